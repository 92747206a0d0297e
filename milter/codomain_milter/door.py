"""The milter's door: what all connections share, from a question to a counted verdict.

libmilter calls back on threads of its own, so a question is answered from memory on that
thread, or else by the resolver on the event loop's thread, for which the callback waits on
a future under the milter's deadline.  Counts are kept under a lock.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from typing import TYPE_CHECKING

from codomain.journal import Throttle, log_refusal
from codomain.log import event
from codomain.metrics import OTHER
from codomain.question import Door as Kind
from codomain.resolver import Answer
from codomain.verdict import Defer, Reason, Refuse
from codomain_milter.memo import Memo

if TYPE_CHECKING:
    from codomain.metrics import Tally
    from codomain.question import Question
    from codomain.runtime import InForce, Runtime
    from codomain.verdict import Verdict
    from codomain_milter.memo import Known
    from codomain_milter.trace import Tracer

LATE_SECONDS = 1.0
"""How long past the deadline the resolver's own Defer is waited for: the MTAs give a milter
30 s at least (milter_command_time out of postconf(5); Sendmail's T=R:10s is raised in ours)."""

LATE = Defer(Reason.DIRECTORY, detail="no answer within the deadline")

log = logging.getLogger("codomain.milter")


class MilterDoor:
    """One milter, for all of its connections."""

    name = Kind.MILTER.value
    """Its name in metrics and logs."""

    def __init__(self, in_force: InForce, loop: asyncio.AbstractEventLoop, tracer: Tracer) -> None:
        """Take the runtime in force, the loop that resolves, and the instance's tracer."""
        self._in_force = in_force
        self._loop = loop
        self.tracer = tracer
        self.memo = Memo()
        self._throttle = Throttle(log)
        self._lock = threading.Lock()
        metrics = in_force.runtime.metrics
        self._metrics = metrics
        self._durations = metrics.durations(self.name)
        self._in_flight = metrics.in_flight(self.name)
        self._connections = metrics.connections(self.name)

    @property
    def runtime(self) -> Runtime:
        """The configuration in force; a callback reads it once."""
        return self._in_force.runtime

    @property
    def busy(self) -> int:
        """How many callbacks wait for an answer."""
        return self._in_flight.count

    def hit(self, known: Known) -> None:
        """Count a recipient that was decided a moment ago."""
        with self._lock:
            known.tally.count += 1
            self._durations.hits.count += 1

    def tally(self, runtime: Runtime, question: Question, verdict: Verdict) -> Tally:
        """Return the count of answers like this one."""
        reason = verdict.reason.value if isinstance(verdict, Refuse | Defer) else ""
        domain = runtime.label(question.recipient.domain)
        return self._metrics.requests(self.name, type(verdict).__name__.lower(), reason, domain)

    def ask(self, runtime: Runtime, question: Question) -> Answer:
        """Return the answer, within the deadline: 451 4.4.3 where nothing is known by then."""
        started = time.monotonic()
        answer = runtime.resolver.peek_aside(question, self._loop.call_soon_threadsafe)
        if answer is None:
            with self._lock:
                self._in_flight.count += 1
            try:
                answer = self._wait(runtime, question, started + runtime.config.milter.deadline)
            finally:
                with self._lock:
                    self._in_flight.count -= 1
        with self._lock:
            self._durations.observe(time.monotonic() - started)
        return answer

    def _wait(self, runtime: Runtime, question: Question, deadline: float) -> Answer:
        future = asyncio.run_coroutine_threadsafe(
            runtime.resolver.resolve(question, deadline), self._loop
        )
        try:
            return future.result(max(0.0, deadline - time.monotonic() + LATE_SECONDS))
        except TimeoutError:
            future.cancel()
            return Answer(LATE, 0.0)

    def note(
        self, runtime: Runtime, question: Question, verdict: Verdict, *, shadow: bool, reply: str
    ) -> None:
        """Count a verdict, and log a refusal."""
        reason = verdict.reason.value if isinstance(verdict, Refuse | Defer) else ""
        domain = runtime.label(question.recipient.domain)
        with self._lock:
            self.tally(runtime, question, verdict).count += 1
            if shadow and reason:
                self._metrics.shadow(reason, domain).count += 1
        if reason:
            log_refusal(log, question, verdict, reply, shadow=shadow)

    def note_loop(self, reply: str, *, shadow: bool, **fields: object) -> None:
        """Count and log a message that is refused as a loop."""
        with self._lock:
            self._metrics.requests(self.name, "refuse", Reason.LOOP.value, OTHER).count += 1
            if shadow:
                self._metrics.shadow(Reason.LOOP.value, OTHER).count += 1
        mode = "shadow" if shadow else ""
        event(
            log,
            logging.INFO,
            "refused",
            door=self.name,
            reason="loop",
            reply=reply,
            mode=mode,
            **fields,
        )

    def broken(self, error: Exception) -> None:
        """Count a fault of ours, and log its traceback."""
        with self._lock:
            self._metrics.requests(self.name, "defer", "fault", OTHER).count += 1
            passes = self._throttle.passes("broken")
        if passes:
            log.error("broken", exc_info=error, extra={"fields": {"door": self.name}})

    def opened(self) -> None:
        """Count a connection of an MTA."""
        with self._lock:
            self._connections.count += 1

    def closed(self) -> None:
        """Count it no more."""
        with self._lock:
            self._connections.count -= 1
