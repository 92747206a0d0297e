"""Rules of the line of searches that the event loop does itself."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

from codomain.directory.exchange import Answer, Collector
from codomain.directory.link import BrokenError
from codomain.directory.messages import Done
from codomain.directory.prompt import PROMPT_OCTETS, Started
from codomain.errors import DirectoryError
from codomain.lane import LATE, Lane, Wanted
from support.decisions import entry

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from typing import Any

    from codomain.directory.base import Recipient
    from codomain.directory.link import Link

ANN = (entry("ann@corp.local"),)
BOUND = 20.0
"""Seconds after which a test gives up."""

WHOLE = Answer((), (), Done(1, 0, "", (), ()))


class FakeLink:
    """A connection whose answer is one octet."""

    def __init__(self) -> None:
        self.ours, self.servers = socket.socketpair()

    def fileno(self) -> int:
        """Return what the loop waits for."""
        return self.ours.fileno()

    def read(self, collector: Collector, most: int) -> Answer | None:
        """Take an octet: ``!`` is the end, everything else more of the answer."""
        octet = self.ours.recv(1)
        if not octet:
            raise BrokenError("closed", timed_out=False)
        collector.octets += most + 1 if octet == b"+" else 1
        return WHOLE if octet == b"!" else None

    def late(self) -> BrokenError:
        """Say that the time was up."""
        return BrokenError("timed out", timed_out=True)

    def close(self) -> None:
        """Close both ends."""
        self.ours.close()
        self.servers.close()


class FakeDirectory:
    """A directory with so many slots; it finds Ann."""

    def __init__(self, slots: int = 1, seconds: float = BOUND) -> None:
        self.slots = slots
        self.seconds = seconds
        self.links: list[FakeLink] = []
        self.started: list[Started] = []
        self.connected = True
        self.plain = True
        self.fault: Exception | None = None

    def begin(self, key: str, timeout: float) -> Started | bool:
        """Begin, if there is a slot."""
        del timeout
        if len(self.started) >= self.slots:
            return True
        if not self.connected:
            return False
        self.links.append(FakeLink())
        now = time.monotonic()
        until = now + self.seconds
        link = cast("Link", self.links[-1])
        self.started.append(Started(link, key, "", now, until, until, Collector(1)))
        return self.started[-1]

    def conclude(self, started: Started) -> tuple[Recipient, ...] | None:
        """End it with Ann."""
        if self.fault is not None:
            raise self.fault
        if started.failure or not self.plain:
            return None
        self.slots += 1
        return ANN

    def resume(self, started: Started) -> tuple[Recipient, ...]:
        """Go on in a thread; nobody does here."""
        raise NotImplementedError(started)


class Line:
    """A lane, and what came of each search."""

    def __init__(self, directory: FakeDirectory) -> None:
        self.lane = Lane(directory, BOUND)
        self.landed: dict[str, tuple[Recipient, ...] | DirectoryError] = {}
        self.aside: dict[str, bool] = {}
        self.changed = asyncio.Event()

    def fly(self, address: str, latest: float = BOUND) -> None:
        """Ask for an address; ``latest`` is in seconds from now."""

        def land(result: tuple[Recipient, ...] | DirectoryError) -> None:
            self.landed[address] = result
            self.changed.set()

        def aside(find: Callable[[], object] | None) -> None:
            self.aside[address] = find is not None
            self.changed.set()

        self.lane.fly(Wanted(address, time.monotonic() + latest, land, aside))

    async def change(self) -> None:
        """Wait until one more search has ended here."""
        async with asyncio.timeout(BOUND):
            await self.changed.wait()
        self.changed.clear()


@contextmanager
def closing(directory: FakeDirectory) -> Iterator[FakeDirectory]:
    """Close its connections in the end."""
    try:
        yield directory
    finally:
        for link in directory.links:
            link.close()


def run(directory: FakeDirectory, test: Callable[[Line], Coroutine[Any, Any, None]]) -> None:
    """Run a test in a loop."""

    async def whole() -> None:
        await test(Line(directory))

    with closing(directory):
        asyncio.run(whole())


def test_a_plain_answer_needs_no_thread() -> None:
    """It lands when it is whole, however it is split."""
    directory = FakeDirectory()

    async def test(line: Line) -> None:
        line.fly("ann")
        directory.links[0].servers.sendall(b"..")
        directory.links[0].servers.sendall(b"!")
        await line.change()
        assert line.landed == {"ann": ANN}
        assert not line.aside

    run(directory, test)


def test_a_search_waits_for_one_of_ours_to_end() -> None:
    """Without a free slot it takes no thread, and begins when a slot is given back."""
    directory = FakeDirectory(slots=1)

    async def test(line: Line) -> None:
        line.fly("ann")
        line.fly("bob")
        line.fly("carol")
        assert [started.key for started in directory.started] == ["ann"]
        directory.links[0].servers.sendall(b"!")
        await line.change()
        assert [started.key for started in directory.started] == ["ann", "bob"]
        directory.links[1].servers.sendall(b"!")
        await line.change()
        assert [started.key for started in directory.started] == ["ann", "bob", "carol"]
        assert not line.aside

    run(directory, test)


def test_without_an_idle_connection_a_thread_searches() -> None:
    """It opens one; the loop never waits for that."""
    directory = FakeDirectory()
    directory.connected = False

    async def test(line: Line) -> None:
        line.fly("ann")
        assert line.aside == {"ann": False}

    run(directory, test)


def test_where_threads_have_all_slots_a_thread_waits_for_one() -> None:
    """No search of ours will end and begin it, so it must not stand in the line for ever."""
    directory = FakeDirectory(slots=0)

    async def test(line: Line) -> None:
        line.fly("ann")
        assert line.aside == {"ann": False}

    run(directory, test)


def test_those_who_wait_go_to_threads_when_the_last_of_ours_ended_there() -> None:
    """A search that goes on in a thread keeps its slot; the others wait for it there."""
    directory = FakeDirectory(slots=1)
    directory.plain = False

    async def test(line: Line) -> None:
        line.fly("ann")
        line.fly("bob")
        directory.links[0].servers.sendall(b"!")
        await line.change()
        assert line.aside == {"ann": True, "bob": False}

    run(directory, test)


def test_a_connection_that_breaks_goes_on_in_a_thread() -> None:
    """Which knows what a failure means."""
    directory = FakeDirectory()

    async def test(line: Line) -> None:
        line.fly("ann")
        directory.links[0].servers.close()
        await line.change()
        assert line.aside == {"ann": True}
        assert str(directory.started[0].failure) == "closed"

    run(directory, test)


def test_silence_ends_with_the_servers_share_of_the_time() -> None:
    """The thread hears that it was a time-out."""
    directory = FakeDirectory(seconds=0.05)

    async def test(line: Line) -> None:
        line.fly("ann")
        await line.change()
        failure = directory.started[0].failure
        assert isinstance(failure, BrokenError)
        assert failure.timed_out
        assert line.aside == {"ann": True}

    run(directory, test)


def test_a_long_answer_is_read_in_a_thread() -> None:
    """More than PROMPT_OCTETS would hold every door."""
    directory = FakeDirectory()

    async def test(line: Line) -> None:
        line.fly("ann")
        directory.links[0].servers.sendall(b"+")
        await line.change()
        assert line.aside == {"ann": True}
        assert directory.started[0].answer is None
        collector = directory.started[0].collector
        assert collector is not None
        assert collector.octets > PROMPT_OCTETS

    run(directory, test)


def test_a_fault_of_ours_is_met_again_by_a_thread_which_tells() -> None:
    """No exception ends in the loop, and no search is lost."""
    directory = FakeDirectory()
    directory.fault = RuntimeError("of ours")

    async def test(line: Line) -> None:
        line.fly("ann")
        directory.links[0].servers.sendall(b"!")
        await line.change()
        assert line.aside == {"ann": True}

    run(directory, test)


def test_who_waits_too_long_is_told_so() -> None:
    """A search that would come too late for everybody is not begun."""
    directory = FakeDirectory()

    async def test(line: Line) -> None:
        line.fly("ann")
        line.fly("bob", latest=-1.0)
        directory.links[0].servers.sendall(b"!")
        await line.change()
        assert str(line.landed["bob"]) == LATE
        assert len(directory.started) == 1

    run(directory, test)


def test_those_who_wait_when_it_is_closed_get_an_error() -> None:
    """And the search under way still lands."""
    directory = FakeDirectory()

    async def test(line: Line) -> None:
        line.fly("ann")
        line.fly("bob")
        error = DirectoryError("closed")
        line.lane.close(error)
        assert line.landed == {"bob": error}
        line.changed.clear()
        directory.links[0].servers.sendall(b"!")
        await line.change()
        assert line.landed == {"bob": error, "ann": ANN}

    run(directory, test)
