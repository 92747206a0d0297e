"""Recipients that were decided a moment ago, by who asked: the milter's hot path.

A decision takes 35 µs of Python, and far more with caches that Postfix's processes have
emptied.  What is kept are recipients that the directories have (Deliver, Redirect), by the
octets of RCPT; what strangers can make up is not kept.  An asker is everything else that a
verdict reads: its standing, SMTPUTF8 and the context.

A new runtime, a purge and a reload change the runtime or the cache's epoch, and nothing
that was kept before is looked at any more.  Callbacks come on many threads: each step here
is one operation of a dict, and whatever they lose by a race is decided anew.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable

    from codomain.metrics import Tally
    from codomain.runtime import Runtime
    from codomain_milter.envelope import Taken

LIFETIME = 60.0
"""The most seconds that a verdict is kept, as at the policy door."""

ASKERS = 1_000
"""Kinds of askers: few, because a client counts by its standing and not by its address."""


@dataclass(frozen=True, slots=True)
class Known:
    """One recipient that was taken."""

    expires: float
    """When it must be decided anew, on the monotonic clock."""

    tally: Tally
    """The count of answers like this one."""

    taken: Taken
    """The recipient, without its DSN parameters."""


@dataclass(slots=True)
class Shelf:
    """What one kind of asker was told."""

    runtime: Runtime
    """The runtime that decided."""

    epoch: int
    """The cache's epoch at that time."""

    known: dict[bytes, Known] = field(default_factory=dict)
    """Recipients, as the MTA gave them."""

    def holds(self, runtime: Runtime) -> bool:
        """Tell whether it may still be looked at."""
        return self.runtime is runtime and self.epoch == runtime.cache.epoch

    def keep(self, recipient: bytes, known: Known) -> None:
        """Keep a recipient; where there are too many, all begin anew."""
        if len(self.known) >= self.runtime.config.cache.size:
            self.known = {}
        self.known[recipient] = known


class Memo:
    """All shelves of one runtime."""

    def __init__(self) -> None:
        self._shelves: dict[Hashable, Shelf] = {}

    def shelf(self, runtime: Runtime, asker: Hashable) -> Shelf:
        """Return the shelf of an asker, a new one where the old one holds no more."""
        shelf = self._shelves.get(asker)
        if shelf is None or not shelf.holds(runtime):
            if len(self._shelves) >= ASKERS:
                self._shelves = {}
            shelf = self._shelves[asker] = Shelf(runtime, runtime.cache.epoch)
        return shelf
