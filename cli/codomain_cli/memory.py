"""What the running daemon has in memory, looked at for ``codomain explain --live``.

:class:`InDaemon` counts nothing and sets nothing going; what nobody has asked for yet stays
open, and :meth:`InDaemon.fetch` asks for it where that is wanted, as for a client.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from codomain.cache import State
from codomain.callout.answer import Outcome
from codomain.errors import DirectoryError
from codomain.finding import Outage
from codomain_cli.lookups import Callout, Lookup, Lookups, describe, in_memory

if TYPE_CHECKING:
    from codomain.cache import Known, Lifetimes
    from codomain.directory.base import Recipient
    from codomain.finding import Inquiry, Need, Trace
    from codomain.runtime import Runtime

FETCH_SECONDS = 8.0
"""How long the daemon asks for one address: three of them (the address, without extension, a
target) are within what it gives a command (:data:`codomain_cli.control.ANSWER_SECONDS`)."""


class InDaemon(Lookups):
    """Looks at what the daemon has in memory, on the event loop's thread."""

    def __init__(self, runtime: Runtime, trace: Trace) -> None:
        super().__init__(trace)
        self.directories = runtime.directories
        self.rules = runtime.rules
        self._runtime = runtime
        self._bases = {section.name: section.base for section in runtime.config.directories}

    def __call__(self, directory: str, key: str) -> tuple[Recipient, ...] | Outage | None:
        """Look an address up as a decision of the daemon would (:class:`codomain.finding.Peek`)."""
        answer = self._answers.get((directory, key))
        if answer is None and (directory, key) not in self.made:
            answer = self._look(directory, key)
        return answer

    def ask(self, inquiry: Inquiry, /) -> Outcome | None:
        """Say what the daemon knows of a next system's answer."""
        known = self.callouts.get(inquiry)
        if known is not None:
            return Outcome(known.outcome) if known.source != "none" else None
        callouts = self._runtime.callouts
        if callouts is None:
            return Outcome.UNSURE
        now = time.monotonic()
        found = callouts.look(inquiry, now, _leave)
        if found is None:
            self._tell(inquiry, Callout(inquiry.connector, inquiry.address, "none", "unsure"))
            self.trace("call-out", f"{inquiry.connector}: {inquiry.address} was not asked for yet")
            return None
        left = max(0.0, found.until - now)
        return self._tell(
            inquiry,
            Callout(inquiry.connector, inquiry.address, "cache", found.outcome.value, left=left),
        )

    async def fetch(self, need: Need, *, callout: bool) -> bool:
        """Ask for what a decision needs; whether it is known now.

        The daemon keeps the answer, as it would for a client.
        """
        began = time.monotonic()
        if need.inquiry is not None:
            return callout and await self._call_out(need.inquiry, began)
        flight = self._runtime.flights.fly((need.directory, need.key))
        await asyncio.wait({flight}, timeout=FETCH_SECONDS)
        lookup = Lookup(need.directory, need.key, "search")
        describe(lookup, self.directories[need.directory], self._bases[need.directory])
        lookup.seconds = time.monotonic() - began
        result = flight.result() if flight.done() else DirectoryError("no answer in time")
        self._take(lookup, Outage(str(result)) if isinstance(result, DirectoryError) else result)
        return True

    async def _call_out(self, inquiry: Inquiry, began: float) -> bool:
        callouts = self._runtime.callouts
        if callouts is None:
            return False
        flight = callouts.fly(inquiry)
        await asyncio.wait({flight}, timeout=FETCH_SECONDS)
        outcome = flight.result() if flight.done() else Outcome.UNSURE
        spent = time.monotonic() - began
        self._tell(
            inquiry,
            Callout(inquiry.connector, inquiry.address, "asked", outcome.value, seconds=spent),
        )
        return True

    def _look(self, name: str, key: str) -> tuple[Recipient, ...] | Outage | None:
        directory = self.directories[name]
        known = directory.peek(key)
        if known is not None:
            self._take(Lookup(name, key, in_memory(directory)), known)
            return known
        cache, now = self._runtime.cache, time.monotonic()
        kept = cache.get((name, key), now)
        if kept is None and self._runtime.flights.is_down(name):
            kept = cache.stale((name, key), now)
        lookup = Lookup(name, key, "none" if kept is None else "cache")
        describe(lookup, directory, self._bases[name])
        if kept is None:
            self._take(lookup, None)
            return None
        lookup.cache, lookup.shared = kept.state.value, kept.shared
        lookup.left = max(0.0, kept.until - now)
        lookup.age = age_of(kept, cache.lifetimes, now)
        answer = Outage(kept.detail) if kept.state is State.FAILED else kept.entries
        self._take(lookup, answer)
        return answer


def age_of(known: Known, lifetimes: Lifetimes, now: float) -> float | None:
    """Return how long ago a directory said so; None where what is kept does not tell.

    Of a lifetime, which is jittered, the cache keeps its end and the point of its refreshing.
    """
    rest = 1 - lifetimes.refresh_ahead
    if known.state not in {State.FRESH, State.ABSENT} or known.shared or rest <= 0:
        return None
    return max(0.0, (known.until - known.refresh) / rest - (known.until - now))


def _leave(_inquiry: Inquiry) -> None:
    """Ask for nothing anew: an explanation changes nothing."""
