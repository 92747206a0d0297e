"""The searches of one directory that the event loop does itself, one after the other in line.

In flow addresses; out flow entries, or what a thread has to do instead.  As many searches
are under way as the directory has slots and idle connections; the others wait, which costs
no thread.  Only the loop's thread is in here.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from codomain.errors import DirectoryError

if TYPE_CHECKING:
    from collections.abc import Callable

    from codomain.directory.base import Recipient
    from codomain.directory.prompt import Prompt, Started

LATE = "no thread was free in time"
"""What is said of a search that waited for its turn until it was of no use any more."""


class Wanted(NamedTuple):
    """A search that somebody waits for."""

    address: str
    """The key of the address."""

    latest: float
    """When it is given up unless it was begun, on the monotonic clock."""

    land: Callable[[tuple[Recipient, ...] | DirectoryError], object]
    """What takes the entries, or that nobody was asked."""

    aside: Callable[[Callable[[], tuple[Recipient, ...]] | None], object]
    """What goes on in a thread: with this, or (None) with the search from its beginning."""


class Lane:
    """The line of one directory."""

    def __init__(self, directory: Prompt, seconds: float) -> None:
        """Take the directory, and the seconds of one search."""
        self._directory = directory
        self._seconds = seconds
        self._waiting: deque[Wanted] = deque()  # empty unless a search is under way
        self._under_way = 0

    def fly(self, wanted: Wanted) -> None:
        """Search, now or when it is its turn."""
        if self._waiting or not self._begin(wanted):
            self._waiting.append(wanted)

    def close(self, error: DirectoryError) -> None:
        """Begin nothing more; those who wait get an error."""
        waiting, self._waiting = self._waiting, deque()
        for wanted in waiting:
            wanted.land(error)

    def _begin(self, wanted: Wanted) -> bool:
        """Begin a search, or have a thread do it; False: it has to wait for one of ours to end."""
        if time.monotonic() > wanted.latest:
            wanted.land(DirectoryError(LATE))
            return True
        started = self._directory.begin(wanted.address, self._seconds)
        if started is True and self._under_way:
            return False
        if isinstance(started, bool):
            wanted.aside(None)
            return True
        self._under_way += 1
        if started.failure is None:
            self._watch(wanted, started)
        else:
            self._end(wanted, started)
        return True

    def _watch(self, wanted: Wanted, started: Started) -> None:
        """Wait for the answer, as long as its server has time."""
        loop = asyncio.get_running_loop()
        descriptor = started.link.fileno()
        left = max(0.0, started.share - time.monotonic())

        def readable() -> None:
            if started.read():
                loop.remove_reader(descriptor)
                timer.cancel()
                self._end(wanted, started)

        def late() -> None:
            loop.remove_reader(descriptor)
            started.late()
            self._end(wanted, started)

        timer = loop.call_later(left, late)
        loop.add_reader(descriptor, readable)

    def _end(self, wanted: Wanted, started: Started) -> None:
        self._under_way -= 1
        entries = None
        if not started.heavy:
            try:
                entries = self._directory.conclude(started)
            except Exception:  # noqa: BLE001  # a fault of ours: the thread meets it, and tells
                entries = None
        if entries is None:
            wanted.aside(partial(self._directory.resume, started))
        else:
            wanted.land(entries)
        while self._waiting and self._begin(self._waiting[0]):
            self._waiting.popleft()
