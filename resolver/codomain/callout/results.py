"""What the next systems said lately, by recipient, and which of them take anything.

Bounded, with a store for each kind, so that somebody who guesses names pushes no real
recipient out.  Lifetimes are looked at on reading, as in :mod:`codomain.cache`.  An address
counts as it is written: whether case matters is the next system's affair (RFC 5321
section 2.4).

One lock guards all: the milter's callbacks read on threads of their own.
"""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from cachetools import LRUCache

from codomain.cache import JITTER
from codomain.callout.answer import Outcome

if TYPE_CHECKING:
    from codomain.callout.session import Said
    from codomain.finding import Inquiry

UNSURE_SECONDS = 10.0
"""A recipient of whom a system said nothing is asked for again after this: seconds, because
greylisting and faults pass."""

UNSURE_SIZE = 10_000
"""Recipients that are remembered as unsure; more are forgotten."""

DOMAINS = 10_000
"""Domains whose systems have been tried with a name that nobody can have."""


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """``[callout]`` and ``[cache]``, in seconds."""

    found: float = 21_600.0
    """How long it is believed that a recipient is known, or that a system takes anything."""

    not_found: float = 600.0
    """How long it is believed that a recipient is unknown."""

    stale: float = 86_400.0
    """How much longer a known recipient stays known while the system is down, and an unknown
    one doubted."""

    refresh_ahead: float = 0.8
    """The part of a lifetime after which a recipient in use is asked for again."""


class Known(NamedTuple):
    """What is known of a recipient."""

    outcome: Outcome
    """What it is."""

    until: float
    """When this stops being so, on the monotonic clock, in seconds."""

    refresh: float
    """When it should be asked for again."""

    address: str = ""
    """The address that was asked for, as it was written."""


_Key = tuple[str, str]


class Results:
    """The answers of all next systems."""

    def __init__(self, size: int, lifetimes: Lifetimes) -> None:
        self.lifetimes = lifetimes
        self.epoch = 0
        self._lock = threading.Lock()
        self._known: LRUCache[_Key, Known] = LRUCache(max(size, 1))
        self._unknown: LRUCache[_Key, Known] = LRUCache(max(size, 1))
        self._unsure: LRUCache[_Key, Known] = LRUCache(min(max(size, 1), UNSURE_SIZE))
        self._domains: LRUCache[_Key, Known] = LRUCache(DOMAINS)

    def get(self, inquiry: Inquiry, now: float) -> Known | None:
        """Return what is known of a recipient, or None where it has to be asked.

        What a system knew past its lifetime comes where it said nothing a moment ago.
        """
        with self._lock:
            unsure = _of(self._unsure, inquiry)
            waits = unsure.until if unsure is not None else 0.0
            for store in (self._known, self._unknown):
                known = _of(store, inquiry)
                if known is not None and now < known.until:
                    # What was asked ahead of its end in vain is not asked again at once.
                    return known._replace(refresh=max(known.refresh, waits))
            domain = self._domains.get(_domain(inquiry))
            if domain is not None and domain.outcome is Outcome.ANYTHING and now < domain.until:
                return domain._replace(refresh=max(domain.refresh, waits))
            if unsure is None or now >= unsure.until:
                return None
            stale = self._stale(inquiry, now) or self._doubt(inquiry, now)
            return unsure if stale is None else Known(stale, unsure.until, unsure.until)

    def stale(self, inquiry: Inquiry, now: float) -> Known | None:
        """Return that a recipient was known, as long as ``stale_ttl`` lets it serve."""
        with self._lock:
            outcome = self._stale(inquiry, now)
        if outcome is None:
            return None
        return Known(outcome, now + UNSURE_SECONDS, now + UNSURE_SECONDS)

    def unsure(self, inquiry: Inquiry, now: float) -> Outcome:
        """Return what a system that does not say now leaves: unsure, or doubted."""
        with self._lock:
            return self._doubt(inquiry, now) or Outcome.UNSURE

    def choosy(self, inquiry: Inquiry, now: float) -> bool:
        """Tell whether it is known that the system refuses what nobody in the domain can have."""
        with self._lock:
            domain = self._domains.get(_domain(inquiry))
        return domain is not None and domain.outcome is Outcome.KNOWN and now < domain.refresh

    def takers(self, connector: str, now: float) -> list[str]:
        """Return the domains of which a connector's system takes any recipient."""
        with self._lock:
            return [
                domain
                for (name, domain), known in self._domains.items()
                if name == connector and known.outcome is Outcome.ANYTHING and now < known.until
            ]

    def put(self, inquiry: Inquiry, said: Said, now: float, epoch: int) -> None:
        """Keep what a system said; nothing is kept of a call-out that a purge overtook."""
        with self._lock:
            if epoch != self.epoch:
                return
            domain = _domain(inquiry)
            if said.choosy is not None:
                outcome = Outcome.KNOWN if said.choosy else Outcome.ANYTHING
                self._domains[domain] = self._new(outcome, "", now)
            elif said.outcome is Outcome.UNKNOWN and not self._is_choosy(domain):
                self._domains.pop(domain, None)  # it takes anything no longer
            key = _key(inquiry)
            stores = {
                Outcome.KNOWN: self._known,
                Outcome.UNKNOWN: self._unknown,
                Outcome.UNSURE: self._unsure,
            }
            store = stores.get(said.outcome)
            if said.outcome is not Outcome.UNSURE:
                for other in stores.values():
                    other.pop(key, None)
            if store is not None:  # what takes anything is remembered by its domain
                store[key] = self._new(said.outcome, inquiry.address, now)

    def purge(self, *addresses: str) -> int:
        """Forget addresses (their keys) at every connector; returns how many answers there were."""
        dropped = 0
        gone = frozenset(addresses)  # all are looked at once, however many addresses there are
        with self._lock:
            self.epoch += 1
            for store in (self._known, self._unknown, self._unsure):
                for key in [key for key in store if key[1] in gone]:
                    dropped += store.pop(key, None) is not None
        return dropped

    def flush(self) -> int:
        """Forget everything; returns how many answers there were about recipients."""
        with self._lock:
            self.epoch += 1
            dropped = len(self._known) + len(self._unknown) + len(self._unsure)
            for store in (self._known, self._unknown, self._unsure, self._domains):
                store.clear()
        return dropped

    def sizes(self) -> dict[str, int]:
        """Return how many addresses each store holds, and how many domains."""
        with self._lock:
            return {
                "callout_known": len(self._known),
                "callout_unknown": len(self._unknown),
                "callout_unsure": len(self._unsure),
                "callout_domains": len(self._domains),
            }

    def _stale(self, inquiry: Inquiry, now: float) -> Outcome | None:
        known = _of(self._known, inquiry)
        domain = self._domains.get(_domain(inquiry))
        if known is not None and now < known.until + self.lifetimes.stale:
            return known.outcome
        if domain is None or domain.outcome is not Outcome.ANYTHING:
            return None
        return domain.outcome if now < domain.until + self.lifetimes.stale else None

    def _doubt(self, inquiry: Inquiry, now: float) -> Outcome | None:
        unknown = _of(self._unknown, inquiry)
        if unknown is None or now >= unknown.until + self.lifetimes.stale:
            return None
        return Outcome.DOUBTED

    def _is_choosy(self, domain: _Key) -> bool:
        known = self._domains.get(domain)
        return known is not None and known.outcome is Outcome.KNOWN

    def _new(self, outcome: Outcome, address: str, now: float) -> Known:
        lifetimes = self.lifetimes
        if outcome is Outcome.UNSURE:
            return Known(outcome, now + UNSURE_SECONDS, now + UNSURE_SECONDS, address)
        lifetime = lifetimes.not_found if outcome is Outcome.UNKNOWN else lifetimes.found
        lifetime *= 1 - random.random() * JITTER  # noqa: S311  # no secret hangs on it
        return Known(outcome, now + lifetime, now + lifetime * lifetimes.refresh_ahead, address)


def _of(store: LRUCache[_Key, Known], inquiry: Inquiry) -> Known | None:
    known = store.get(_key(inquiry))
    return known if known is not None and known.address == inquiry.address else None


def _key(inquiry: Inquiry) -> _Key:
    return inquiry.connector, inquiry.key


def _domain(inquiry: Inquiry) -> _Key:
    return inquiry.connector, inquiry.address.rpartition("@")[2]
