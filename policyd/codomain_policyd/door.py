"""What both doors share: from a request to an answer, at once or after the resolver's.

A door reads the runtime in force once for each request and finishes with it.  Whatever
goes wrong in between is ours, not the client's: it is counted, logged with its traceback,
and answered as temporary (451 4.3.5, or TEMP), because a fault of ours says nothing about
a recipient.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from codomain.metrics import OTHER
from codomain.resolver import Missing
from codomain.verdict import Defer, Deliver, Redirect, Refuse
from codomain_policyd.journal import Throttle, log
from codomain_policyd.verdicts import FOUND, GUESSED, LIFETIME, Shelf, Verdicts

if TYPE_CHECKING:
    from collections.abc import Callable

    from codomain.metrics import Tally
    from codomain.question import Question
    from codomain.resolver import Answer
    from codomain.runtime import InForce, Runtime
    from codomain.verdict import Verdict

LATE_SECONDS = 1.0
"""How long past the deadline the resolver's own Defer is waited for; Postfix's time-out is
at least twice the deadline (``codomain check``), so this still comes in time."""

R = TypeVar("R")
T = TypeVar("T")


@dataclass(slots=True)
class Asked(Generic[R]):
    """A request that the resolver has been asked about."""

    request: R
    """The request."""

    question: Question
    """What it asks."""

    runtime: Runtime
    """The configuration with which it finishes."""

    verdicts: Verdicts
    """Where its answer may be kept."""

    shelf: Shelf | None
    """The shelf of its answer; None: it must not be kept."""

    started: float
    """When it was read, ``time.monotonic()``."""

    missing: Missing | None = None
    """What the resolver needs first."""

    @property
    def deadline(self) -> float:
        """When it has to be answered, ``time.monotonic()``."""
        return self.started + self.runtime.config.policyd.deadline


class Door(ABC, Generic[R]):
    """One kind of door, for all of its listeners and connections."""

    name: ClassVar[str]
    """Its name in metrics and logs."""

    broken: ClassVar[bytes]
    """The answer where we are broken."""

    pipeline: ClassVar[int]
    """Requests of one connection that are under way at once; more wait unread."""

    def __init__(self, in_force: InForce, throttle: Throttle) -> None:
        self._in_force = in_force
        self.throttle = throttle
        self.refresh()

    def refresh(self) -> None:
        """Start with empty verdicts: there is a new runtime, or the cache was purged."""
        runtime = self._in_force.runtime
        size = runtime.config.cache.size
        # In proportion to the entries that the directories' answers may take.
        self.verdicts = Verdicts(max(1, size), max(1, size * GUESSED // FOUND))
        self.metrics = runtime.metrics
        self.durations = runtime.metrics.durations(self.name)
        self.in_flight = runtime.metrics.in_flight(self.name)
        self.connections = runtime.metrics.connections(self.name)

    def answer(self, request: R, now: float) -> bytes | Asked[R]:
        """Answer a request from memory, or say what the resolver has to be asked."""
        return self._guarded(lambda: self._ask(request, self._in_force.runtime, now))

    async def resolve(self, asked: Asked[R]) -> Answer:
        """Ask the resolver; it answers by the deadline, and is not waited for much longer."""
        left = asked.deadline - time.monotonic() + LATE_SECONDS
        async with asyncio.timeout(max(0.0, left)):
            return await asked.runtime.resolver.resolve(
                asked.question, asked.deadline, asked.missing
            )

    def settle(self, asked: Asked[R], task: asyncio.Task[Answer]) -> bytes:
        """Make the answer to a request of what the resolver said."""
        if task.cancelled():
            return self.broken
        answer = self._guarded(lambda: self._answered(asked, task.result()))
        self.durations.observe(time.monotonic() - asked.started)
        return answer

    @abstractmethod
    def _ask(self, request: R, runtime: Runtime, now: float) -> bytes | Asked[R]:
        """Answer from memory, or make the question."""

    @abstractmethod
    def _answered(self, asked: Asked[R], answer: Answer) -> bytes:
        """Make, count, log and keep the answer."""

    def _peek(self, asked: Asked[R]) -> bytes | Asked[R]:
        """Answer what the resolver has in memory."""
        answer = asked.runtime.resolver.look(asked.question)
        if isinstance(answer, Missing):
            asked.missing = answer
            return asked
        reply = self._answered(asked, answer)
        self.durations.observe(time.monotonic() - asked.started)
        return reply

    def _hit(self, shelf: Shelf, key: bytes, now: float) -> bytes | None:
        """Return an answer that was kept, on the paths that are not the hot one."""
        entry = shelf.look(key)
        if entry is None or entry[0] <= now:
            return None
        if key not in shelf.found and key not in shelf.guessed:
            self.verdicts.promote(shelf, key, entry)
        entry[2].count += 1
        self.durations.hits.count += 1
        return entry[1]

    def _keep(
        self, asked: Asked[R], key: bytes, answer: Answer, reply: tuple[bytes, Tally]
    ) -> None:
        """Keep an answer, unless it is temporary or must not be kept."""
        verdict = answer.verdict
        if asked.shelf is None or answer.expires <= 0 or isinstance(verdict, Defer):
            return
        expires = min(answer.expires, time.monotonic() + LIFETIME)
        found = isinstance(verdict, Deliver | Redirect)
        asked.verdicts.keep(asked.shelf, key, (expires, *reply), found=found)

    def _tally(self, asked: Asked[R], verdict: Verdict) -> Tally:
        """Return the count of answers like this one."""
        reason = verdict.reason.value if isinstance(verdict, Refuse | Defer) else ""
        domain = asked.runtime.label(asked.question.recipient.domain)
        return self.metrics.requests(self.name, type(verdict).__name__.lower(), reason, domain)

    def _guarded(self, make: Callable[[], T]) -> T | bytes:
        try:
            return make()
        except Exception:  # noqa: BLE001  # the one place where this door meets a fault of ours
            self.metrics.requests(self.name, "defer", "fault", OTHER).count += 1
            if self.throttle.passes(f"{self.name} broken"):
                log.exception("broken", extra={"fields": {"door": self.name}})
            return self.broken
