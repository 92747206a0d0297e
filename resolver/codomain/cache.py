"""What the directories answered lately: entries by address, each kind with its lifetime.

Built on cachetools' LRUCache, which bounds the number of entries; lifetimes are kept
beside the values and looked at on reading, because the timed caches of cachetools expire
everything that is due in one go, and a hundred thousand entries that are due at once
would hold every door for a tenth of a second.

Entries that are not there live in a store of their own, so that somebody who guesses
names cannot push real recipients out.  One lock guards all: no class of cachetools is
safe for several threads, and the milter's callbacks come on threads of their own.
"""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from cachetools import LRUCache

if TYPE_CHECKING:
    from collections.abc import Iterable

    from codomain.directory.base import Recipient

JITTER = 0.1
"""Lifetimes are up to a tenth shorter than asked for, so that entries that were looked up
together do not expire together (the usual guard against a stampede)."""

FAILED_SIZE = 10_000
"""Addresses whose look-up failed are remembered for seconds only; more are forgotten."""

Key = tuple[str, str]
"""The directory's name, and the address's key."""


class State(Enum):
    """What the cache knows of an address."""

    FRESH = "fresh"
    """The entries, within their lifetime."""

    STALE = "stale"
    """The entries, past their lifetime: they serve while the directory is down."""

    ABSENT = "absent"
    """It is not there, within that answer's lifetime."""

    FAILED = "failed"
    """The directory did not answer a moment ago, and nothing older serves."""


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """``[cache]``, in seconds."""

    found: float = 300.0
    """How long an entry is believed."""

    not_found: float = 60.0
    """How long it is believed that there is none."""

    failed: float = 5.0
    """How long a failed look-up is not tried again."""

    stale: float = 86_400.0
    """How much longer an entry serves while the directory is down."""

    refresh_ahead: float = 0.8
    """The part of a lifetime after which an entry in use is asked for again."""


class Known(NamedTuple):
    """What the cache gives for an address."""

    state: State
    """What it is."""

    entries: tuple[Recipient, ...]
    """The entries, where there are any."""

    until: float
    """When this stops being so, on the monotonic clock, in seconds."""

    refresh: float
    """When it should be asked for again."""

    detail: str = ""
    """What was wrong, where the look-up failed."""

    shared: bool = False
    """It came from the second level (:mod:`codomain.shared`)."""

    mark: int = 0
    """What :meth:`Cache.doubt` has been called until then, for answers of this origin."""


class Cache:
    """The answers of all directories."""

    def __init__(self, size: int, lifetimes: Lifetimes) -> None:
        self.lifetimes = lifetimes
        self.epoch = 0
        self._marks = [0, 0]  # of what we were answered ourselves, and of what came shared
        self._lock = threading.Lock()
        self._found: LRUCache[Key, Known] = LRUCache(max(size, 1))
        self._absent: LRUCache[Key, Known] = LRUCache(max(size, 1))
        self._failed: LRUCache[Key, Known] = LRUCache(min(max(size, 1), FAILED_SIZE))
        self._stores = (self._found, self._absent, self._failed)

    def get(self, key: Key, now: float) -> Known | None:
        """Return what is known of an address, or None where it has to be asked.

        An entry past its lifetime comes as STALE where a look-up failed within
        ``failed_ttl``; else it is None here, and :meth:`stale` still has it.
        """
        with self._lock:
            known = self._found.get(key)
            if known is not None and now < known.until and known.mark == self._marks[known.shared]:
                return known
            absent = self._absent.get(key)
            if (
                absent is not None
                and now < absent.until
                and absent.mark == self._marks[absent.shared]
            ):
                return absent
            failed = self._failed.get(key)
            if failed is None or now >= failed.until:
                return None
            if known is not None and now < known.until + self.lifetimes.stale:
                return Known(State.STALE, known.entries, failed.until, failed.until)
            return failed

    def stale(self, key: Key, now: float) -> Known | None:
        """Return an entry whatever its lifetime, as long as ``stale_ttl`` lets it serve."""
        with self._lock:
            known = self._found.get(key)
            if known is None or now >= known.until + self.lifetimes.stale:
                return None
            until = now + self.lifetimes.failed
            return Known(State.STALE, known.entries, until, until)

    def put(
        self,
        key: Key,
        entries: tuple[Recipient, ...],
        now: float,
        epoch: int,
        left: float | None = None,
    ) -> None:
        """Keep what a directory answered; nothing is kept of a look-up that a purge overtook.

        ``left``: another gateway was answered, and so many seconds of its answer's lifetime
        are left; it grows no older here than there.
        """
        lifetimes = self.lifetimes
        whole = lifetimes.found if entries else lifetimes.not_found
        if left is None:
            lifetime = whole * (1 - random.random() * JITTER)  # noqa: S311  # no secret
            refresh = now + lifetime * lifetimes.refresh_ahead
        else:
            lifetime = min(left, whole)
            refresh = now + max(0.0, lifetime - whole * (1 - lifetimes.refresh_ahead))
        until = now + lifetime
        shared = left is not None
        state = State.FRESH if entries else State.ABSENT
        known = Known(state, entries, until, refresh, "", shared, self._marks[shared])
        with self._lock:
            if epoch != self.epoch:
                return
            self._failed.pop(key, None)
            if entries:
                self._absent.pop(key, None)
                self._found[key] = known
            else:
                self._found.pop(key, None)
                self._absent[key] = known

    def fail(self, key: Key, detail: str, now: float, epoch: int) -> None:
        """Remember for ``failed_ttl`` that a directory did not answer."""
        until = now + self.lifetimes.failed
        with self._lock:
            if epoch == self.epoch:
                self._failed[key] = Known(State.FAILED, (), until, until, detail)

    def purge(self, keys: Iterable[Key]) -> int:
        """Forget some addresses; returns how many answers were known of them."""
        dropped = 0
        with self._lock:
            self.epoch += 1
            for key in keys:
                for store in self._stores:
                    dropped += store.pop(key, None) is not None
        return dropped

    def flush(self) -> int:
        """Forget everything; returns how many answers were known."""
        with self._lock:
            self.epoch += 1
            dropped = sum(len(store) for store in self._stores)
            for store in self._stores:
                store.clear()
        return dropped

    def doubt(self, *, shared_only: bool = False) -> None:
        """Believe nothing that is kept, as if its lifetime were over: entries still serve stale.

        For when a purge of another gateway may have been missed; ``shared_only`` doubts what
        came from the second level.  No pause grows with the number of entries.
        """
        with self._lock:
            self.epoch += 1
            self._marks[True] += 1
            if not shared_only:
                self._marks[False] += 1

    def due(self, entries: tuple[Recipient, ...], left: float) -> bool:
        """Tell whether an answer with so much time left should be asked for again by now."""
        whole = self.lifetimes.found if entries else self.lifetimes.not_found
        return left <= whole * (1 - self.lifetimes.refresh_ahead)

    def overtake(self) -> None:
        """Keep what is known, but let searches that have begun store nothing any more."""
        with self._lock:
            self.epoch += 1

    def sizes(self) -> dict[str, int]:
        """Return how many addresses each store holds."""
        with self._lock:
            return {
                "found": len(self._found),
                "not_found": len(self._absent),
                "failed": len(self._failed),
            }
