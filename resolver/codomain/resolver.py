"""The resolver: fetches what a decision needs and decides again; for every door.

A decision never waits.  Where it needs an address that nobody has asked for, the door
awaits the search or the call-out here, under its deadline; what the deadline cuts off is
answered from an earlier answer if one still serves, and else with 451 4.4.3, or as
``[callout] on_failure`` says.  Nothing here turns an outage into "unknown".
"""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from codomain.cache import State
from codomain.callout.answer import Outcome
from codomain.decision import decide
from codomain.errors import DirectoryError
from codomain.finding import Inquiry, Need, Outage
from codomain.flights import OVERDUE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from codomain.cache import Cache, Key
    from codomain.callout.callouts import Callouts
    from codomain.directory.base import Directory, Recipient
    from codomain.flights import Flights, Result
    from codomain.metrics import Metrics
    from codomain.question import Question
    from codomain.rules import Rules
    from codomain.verdict import Verdict

FOREVER = float("inf")
"""The lifetime of a verdict that no directory had a part in."""

STALE_WAIT = 0.5
"""Seconds that a recipient whom a next system knew a while ago waits for a call-out that does
not come back: SMTP takes longer than LDAP (:data:`codomain.flights.OVERDUE`)."""

REFRESHING = 1.0
"""Seconds for which a verdict is kept whose entry is just being asked for again."""

LOOKUPS: Mapping[State | None, str] = {
    State.FRESH: "hit",
    State.STALE: "stale",
    State.ABSENT: "negative_hit",
    State.FAILED: "miss",
    None: "miss",
}
"""What a look-up counts as, by what the cache knew."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A verdict, and how long it holds."""

    verdict: Verdict
    """What happens to the recipient."""

    expires: float = FOREVER
    """When it must be decided anew, on the monotonic clock; 0.0: it must not be kept."""


@dataclass(frozen=True, slots=True)
class Missing:
    """What :meth:`Resolver.look` has found out so far, for :meth:`Resolver.resolve` to go on."""

    view: View
    """What the decision has seen."""

    need: Need
    """What it needs first."""


class View:
    """What one decision sees: the request's own findings, files, the cache, and call-outs."""

    __slots__ = ("_count", "_refresh", "_resolver", "expires", "found", "now", "told")

    def __init__(
        self,
        resolver: Resolver,
        now: float,
        count: Callable[[State | None], object] | None = None,
        refresh: Callable[[Key | Inquiry], object] | None = None,
    ) -> None:
        """Take other means to count and to refresh where this is not the loop's thread."""
        self._resolver = resolver
        self._count = count or resolver.count
        self._refresh = refresh or resolver.refresh
        self.now = now
        self.expires = FOREVER
        self.found: dict[Key, tuple[Recipient, ...] | Outage] = {}
        self.told: dict[Inquiry, Outcome] = {}

    def ask(self, inquiry: Inquiry, /) -> Outcome | None:
        """Look up what a next system said of a recipient (:class:`codomain.callout.asking.Ask`)."""
        told = self.told.get(inquiry)
        callouts = self._resolver.callouts
        if told is not None or callouts is None:
            return told or Outcome.UNSURE
        known = callouts.look(inquiry, self.now, self._refresh)
        if known is None:
            return None
        past = self.now >= known.refresh and known.outcome is not Outcome.UNSURE
        expires = min(known.until, self.now + REFRESHING) if past else known.refresh
        self.expires = min(self.expires, expires)
        self.told[inquiry] = known.outcome
        return known.outcome

    def __call__(self, directory: str, key: str) -> tuple[Recipient, ...] | Outage | None:
        """Look an address up (:class:`codomain.finding.Peek`)."""
        found = self.found.get((directory, key))
        if found is not None:
            return found
        seen: tuple[Recipient, ...] | Outage | None
        seen = self._resolver.directories[directory].peek(key)
        if seen is None:
            seen = self._cached((directory, key))
        elif isinstance(seen, Outage):
            self.expires = 0.0
        if seen is not None:
            # Decided again, the same address is the same, and is counted once.
            self.found[directory, key] = seen
        return seen

    def _cached(self, key: Key) -> tuple[Recipient, ...] | Outage | None:
        resolver = self._resolver
        known = resolver.cache.get(key, self.now)
        if known is None and resolver.flights.is_down(key[0]):
            # Known a moment ago, and the directory is down: it does not wait for the proof.
            known = resolver.cache.stale(key, self.now)
            if known is not None:
                self._refresh(key)
                # What is fetched behind may be here soon: a directory that is late is not gone.
                until = min(known.until, self.now + REFRESHING)
                known = known._replace(until=until, refresh=until)
        self._count(known.state if known else None)
        if known is None:
            return None
        if known.state is State.FAILED:
            self.expires = 0.0
            return Outage(known.detail)
        expires = known.refresh
        if known.state is State.FRESH and self.now >= expires:
            self._refresh(key)
            expires = min(known.until, self.now + REFRESHING)
        elif known.state is State.ABSENT:
            expires = known.until
        self.expires = min(self.expires, expires)
        return known.entries


class Resolver:
    """Decides with what the directories know, waiting for them where it must."""

    def __init__(  # noqa: PLR0913, PLR0917  # the parts of a runtime
        self,
        rules: Rules,
        directories: Mapping[str, Directory],
        cache: Cache,
        flights: Flights,
        metrics: Metrics,
        callouts: Callouts | None = None,
    ) -> None:
        """Take the parts of a runtime; without ``callouts`` no next system is asked."""
        self.rules = rules
        self.callouts = callouts
        self.directories = directories
        self.cache = cache
        self.flights = flights
        self._counts = {state: metrics.lookups(name) for state, name in LOOKUPS.items()}
        self._aside = {state: metrics.lookups_aside(name) for state, name in LOOKUPS.items()}
        self._aside_lock = threading.Lock()

    def count(self, state: State | None) -> None:
        """Count one look-up by what came of it."""
        self._counts[state].count += 1

    def refresh(self, key: Key | Inquiry) -> None:
        """Ask for an address again, for nobody in particular; called on the loop's thread."""
        if not isinstance(key, Inquiry):
            self.flights.fly(key, anew=True)
        elif self.callouts is not None:
            self.callouts.fly(key)

    def peek(self, question: Question) -> Answer | None:
        """Decide from memory; None where something must be asked. Called on the loop's thread."""
        seen = self.look(question)
        return seen if isinstance(seen, Answer) else None

    def look(self, question: Question) -> Answer | Missing:
        """Decide from memory, or say what must be asked. Called on the loop's thread."""
        view = View(self, time.monotonic())
        verdict = decide(self.rules, question, view, ask=view.ask)
        if isinstance(verdict, Need):
            return Missing(view, verdict)
        return Answer(verdict, view.expires)

    def peek_aside(
        self, question: Question, later: Callable[[Callable[[], object]], object]
    ) -> Answer | None:
        """Decide from memory on any thread; None where something must be asked.

        Decisions, rules and the cache's lock allow it; flights and counts belong to the
        loop's thread.  So counts go to tallies of their own, under a lock, and what has to
        be asked for again is handed to ``later`` (the loop's ``call_soon_threadsafe``).
        """
        states: list[State | None] = []
        keys: list[Key | Inquiry] = []
        view = View(self, time.monotonic(), states.append, keys.append)
        verdict = decide(self.rules, question, view, ask=view.ask)
        if isinstance(verdict, Need):
            return None
        if states:
            with self._aside_lock:
                for state in states:
                    self._aside[state].count += 1
        if keys:
            later(lambda: self._refresh_all(keys))
        return Answer(verdict, view.expires)

    def _refresh_all(self, keys: list[Key | Inquiry]) -> None:
        for key in keys:
            self.refresh(key)

    async def resolve(
        self, question: Question, deadline: float, missing: Missing | None = None
    ) -> Answer:
        """Decide, asking the directories and the next systems for what is not known yet.

        ``deadline`` is on the monotonic clock, in seconds; what is not known by then counts
        as an outage: an earlier answer serves, or the MTA gets 451 4.4.3; or what
        ``[callout] on_failure`` says, where a next system is late.  ``missing`` is what
        :meth:`look` said of this question just now.
        """
        view = View(self, time.monotonic()) if missing is None else missing.view
        need = None if missing is None else missing.need
        while True:
            verdict = need or decide(self.rules, question, view, ask=view.ask)
            need = None
            if not isinstance(verdict, Need):
                break
            if verdict.inquiry is not None:
                view.told[verdict.inquiry] = await self._call_out(verdict.inquiry, view, deadline)
                continue
            key = (verdict.directory, verdict.key)
            flight = self.flights.fly(key)
            await _wait(flight, self._patience(key, deadline))
            view.now = time.monotonic()
            if not flight.done():
                view.found[key] = self._instead(key, view, "no answer within the deadline")
                view.expires = min(view.expires, view.now + REFRESHING)
                continue
            result = flight.result()
            if isinstance(result, DirectoryError):
                view.found[key] = self._instead(key, view, str(result))
            else:
                view.found[key] = result
                self._keep(key, view)
        return Answer(verdict, view.expires)

    async def _call_out(self, inquiry: Inquiry, view: View, deadline: float) -> Outcome:
        """Ask a next system; by the deadline it is unsure, unless something earlier serves."""
        if self.callouts is None:
            return Outcome.UNSURE
        results = self.callouts.results
        flight = self.callouts.fly(inquiry)
        now = time.monotonic()
        left = max(0.0, deadline - now)
        if results.stale(inquiry, now) is not None:
            left = min(left, STALE_WAIT)
        await asyncio.wait({flight}, timeout=left)
        view.now = time.monotonic()
        if not flight.done():
            self.callouts.late(inquiry)
        outcome = flight.result() if flight.done() else Outcome.UNSURE
        unsure = outcome is Outcome.UNSURE
        known = results.stale(inquiry, view.now) if unsure else results.get(inquiry, view.now)
        # What was not said in time, or is kept nowhere, holds for this request alone.
        view.expires = min(view.expires, known.refresh if known else 0.0)
        if not unsure:
            return outcome
        return known.outcome if known else results.unsure(inquiry, view.now)

    def _patience(self, key: Key, deadline: float) -> float:
        """Return the seconds to wait for a search: fewer where an earlier answer serves."""
        now = time.monotonic()
        left = max(0.0, deadline - now)
        return left if self.cache.stale(key, now) is None else min(left, OVERDUE)

    def _instead(self, key: Key, view: View, detail: str) -> tuple[Recipient, ...] | Outage:
        """Return what serves in place of an answer: an earlier one, or the outage."""
        known = self.cache.stale(key, view.now)
        if known is None:
            view.expires = 0.0
            return Outage(detail)
        self.count(State.STALE)
        view.expires = min(view.expires, known.until)
        return known.entries

    def _keep(self, key: Key, view: View) -> None:
        """Let a verdict hold as long as the answer that was just put into the cache."""
        known = self.cache.get(key, view.now)
        view.expires = min(view.expires, known.refresh if known else 0.0)


async def _wait(flight: asyncio.Future[Result], seconds: float) -> None:
    """Wait for a flight, but no longer; :func:`asyncio.wait` with less to do."""
    if flight.done():
        return
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[None] = loop.create_future()

    def wake(_: object = None) -> None:
        if not waiter.done():
            waiter.set_result(None)

    timer = loop.call_later(seconds, wake)
    flight.add_done_callback(wake)
    try:
        await waiter
    finally:
        timer.cancel()
        flight.remove_done_callback(wake)
