"""The call-outs under way: one for each recipient and system, however many wait for it.

SMTP blocks, so each connector has threads of its own, and as many connections as threads;
the event loop's thread alone starts and ends flights.  A system that failed several times
in a row is suspended: what was known of it serves, what was not is unsure at once, and one
call-out now and then finds out whether it is back.
"""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from codomain.callout.answer import Outcome
from codomain.callout.results import Known
from codomain.callout.session import Said
from codomain.callout.state import State
from codomain.callout.system import IDLE_SECONDS
from codomain.errors import NextSystemError
from codomain.log import event

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Future
    from typing import Protocol

    from codomain.callout.results import Results
    from codomain.finding import Inquiry

    class Askable(Protocol):
        """A :class:`codomain.callout.system.System`."""

        def ask(self, address: str, seconds: float, *, judged: bool) -> Said: ...  # noqa: D102
        def tidy(self) -> bool: ...  # noqa: D102
        def close(self) -> None: ...  # noqa: D102


CONNECTIONS = 20
"""Connections to one system: default_destination_concurrency_limit of postconf(5)."""

MAX_WAITING = 2_000
"""Call-outs of one system that wait for a connection; one more is unsure at once."""

CLOSED = "its configuration is no longer in force"

Landed = tuple[Said, bool, bool, float]
"""What was said, whether the system was asked at all, whether it failed, and the seconds."""

log = logging.getLogger("codomain.callout")


class Callouts:
    """All call-outs under way, and what came of those before."""

    def __init__(
        self,
        systems: Mapping[str, Askable],
        results: Results,
        seconds: float,
        observe: Callable[[str, str, float], None] = lambda _name, _result, _seconds: None,
    ) -> None:
        """Take the systems by their connectors, and the time of one call-out.

        ``observe`` is told of each by connector, outcome and seconds, on the loop's thread.
        """
        self.results = results
        self._systems = systems
        self._seconds = seconds
        self._observe = observe
        self._states = {name: State() for name in systems}
        self._flights: dict[tuple[Inquiry, int], asyncio.Future[Outcome]] = {}
        self._executors = {
            name: ThreadPoolExecutor(CONNECTIONS, thread_name_prefix=f"callout-{name}")
            for name in systems
        }
        self._closed = False

    def look(
        self, inquiry: Inquiry, now: float, refresh: Callable[[Inquiry], object]
    ) -> Known | None:
        """Return what is known of a recipient, or None where it has to be asked; any thread.

        ``refresh`` is called for what should be asked again ahead of its end.
        """
        known = self.results.get(inquiry, now)
        state = self._states[inquiry.connector]
        if known is not None:
            if known.outcome is not Outcome.UNSURE and now >= known.refresh:
                refresh(inquiry)
            return known
        if not state.suspended:
            return None
        stale = self.results.stale(inquiry, now)
        if state.refuses(now):
            return stale or Known(self.results.unsure(inquiry, now), state.again, state.again)
        if stale is not None:
            refresh(inquiry)
        return stale

    def suspended(self) -> set[str]:
        """Return the connectors whose systems do not answer and are not asked for a while."""
        return {name for name, state in self._states.items() if state.suspended}

    @property
    def states(self) -> Mapping[str, State]:
        """How each connector's system fares; to be read on the loop's thread."""
        return self._states

    def fly(self, inquiry: Inquiry) -> asyncio.Future[Outcome]:
        """Return the call-out of a recipient, begun if there is none; on the loop's thread.

        The future ends with the outcome, and is never cancelled by us; by then the results
        have it, unless a purge came in between.
        """
        epoch = self.results.epoch
        flight = self._flights.get((inquiry, epoch))
        if flight is not None:
            return flight
        loop = asyncio.get_running_loop()
        flight = loop.create_future()
        now = time.monotonic()
        state = self._states[inquiry.connector]
        if state.refuses(now) or state.waiting >= MAX_WAITING or self._closed:
            flight.set_result(Outcome.UNSURE)
            return flight
        if state.suspended:
            state.try_again(now)
        choosy = self.results.choosy(inquiry, now)
        search = self._executors[inquiry.connector].submit(
            self._ask, inquiry, now + self._seconds, judged=choosy
        )
        self._flights[inquiry, epoch] = flight
        state.waiting += 1
        search.add_done_callback(
            lambda done: _call(loop, lambda: self._land(inquiry, epoch, flight, _outcome(done)))
        )
        self._tidy_later(inquiry.connector, loop)
        return flight

    def late(self, inquiry: Inquiry) -> None:
        """Take note that a request did not wait for a call-out any longer.

        The next one for the same recipient, most often a map's, need not wait as long again;
        what the call-out brings takes the place of this.
        """
        said = Said(Outcome.UNSURE, "it takes too long")
        self.results.put(inquiry, said, time.monotonic(), self.results.epoch)

    def close(self) -> None:
        """Start no more call-outs; those under way end in their threads."""
        self._closed = True
        for executor in self._executors.values():
            executor.shutdown(wait=False, cancel_futures=True)
        for system in self._systems.values():
            system.close()

    def _ask(self, inquiry: Inquiry, latest: float, *, judged: bool) -> Landed:
        """Ask in a thread."""
        began = time.monotonic()
        if began > latest:
            said = Said(Outcome.UNSURE, "no connection was free in time")
            return said, False, False, 0.0
        failed = False
        try:
            system = self._systems[inquiry.connector]
            said = system.ask(inquiry.address, self._seconds, judged=judged)
        except NextSystemError as error:
            said, failed = Said(Outcome.UNSURE, str(error)), True
        except Exception as error:  # the edge of a system: a fault of ours is no answer
            log.exception("call-out failed by a fault of our own")
            said = Said(Outcome.UNSURE, f"internal error: {type(error).__name__}")
        return said, True, failed, time.monotonic() - began

    def _land(
        self, inquiry: Inquiry, epoch: int, flight: asyncio.Future[Outcome], landed: Landed
    ) -> None:
        said, asked, failed, seconds = landed
        now = time.monotonic()
        name = inquiry.connector
        self._flights.pop((inquiry, epoch), None)
        self._states[name].waiting -= 1
        self.results.put(inquiry, said, now, epoch)
        if asked:
            self._observe(name, said.outcome.value, seconds)
            self._set(name, said, now, failed=failed)
        event(
            log,
            logging.DEBUG,
            "asked",
            connector=name,
            recipient=inquiry.address,
            outcome=said.outcome.value,
            reply=said.detail,
        )
        if not flight.done():
            flight.set_result(said.outcome)

    def _set(self, name: str, said: Said, now: float, *, failed: bool) -> None:
        """Take note of how a system fares; changes are told, and nothing else is."""
        state = self._states[name]
        if not failed:
            if state.answer():
                event(log, logging.WARNING, "next system answers again", connector=name)
        elif state.fail(said.detail, now):
            detail = said.detail
            event(log, logging.ERROR, "next system does not answer", connector=name, detail=detail)

    def _tidy_later(self, name: str, loop: asyncio.AbstractEventLoop) -> None:
        """Plan a visit to the idle sessions of a system, until there are none."""
        state = self._states[name]
        if state.tidying:
            return
        state.tidying = True

        def tidied(done: Future[bool]) -> None:
            left = not done.cancelled() and done.result()
            _call(loop, lambda: again(left=left))

        def again(*, left: bool) -> None:
            state.tidying = False
            if left or state.waiting:
                self._tidy_later(name, loop)

        def visit() -> None:
            if not self._closed:
                tidying = self._executors[name].submit(self._systems[name].tidy)
                tidying.add_done_callback(tidied)

        loop.call_later(IDLE_SECONDS, visit)


def _outcome(search: Future[Landed]) -> Landed:
    """Return what came of a call-out; one that :meth:`Callouts.close` cancelled asked nobody."""
    if search.cancelled():
        return Said(Outcome.UNSURE, CLOSED), False, False, 0.0
    return search.result()


def _call(loop: asyncio.AbstractEventLoop, function: Callable[[], None]) -> None:
    """Run a function on the loop's thread, unless the loop has ended meanwhile."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(function)
