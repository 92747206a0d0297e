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

from codomain.journal import Throttle, log_accepted, log_refusal, log_shadow
from codomain.log import event
from codomain.metrics import OTHER
from codomain.question import Door as Kind
from codomain.resolver import Answer
from codomain.shadow import SHADOW, would_be
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

HELD = Answer(Defer(Reason.HARVEST), 0.0)
"""The answer to a client under the harvest brake, whoever the recipient is."""

WHOLE_MESSAGE = "(a whole message)"
"""What stands in shadow mode's report for a loop, which concerns all recipients at once."""

log = logging.getLogger("codomain.milter")


class MilterDoor:
    """One milter, for all of its connections."""

    name = Kind.MILTER.value
    """Its name in metrics and logs."""

    def __init__(self, in_force: InForce, loop: asyncio.AbstractEventLoop, tracer: Tracer) -> None:
        """Take the runtime in force, the loop that resolves, and the instance's tracer."""
        self.in_force = in_force
        """What a reload swaps the runtime of."""
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
        return self.in_force.runtime

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

    def braked(self, runtime: Runtime, question: Question) -> Answer | None:
        """Return what a client under the harvest brake is told; None: it is not under it."""
        brake = runtime.brake
        if brake is None or not brake.holds(question.client, runtime.trust.standing(question)):
            return None
        return HELD

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
        if runtime.brake is not None and reason == Reason.UNKNOWN.value and not shadow:
            runtime.brake.unknown(question.client, runtime.trust.standing(question))
        with self._lock:
            self.tally(runtime, question, verdict).count += 1
            if shadow and (would := would_be(verdict)):
                self._metrics.shadow(would, domain).count += 1
                self._metrics.shadowed.note(question, verdict, domain)
        if shadow:
            log_shadow(log, question, verdict, reply, domain)
        else:
            log_refusal(log, question, verdict, reply)
            log_accepted(log, question, verdict)

    def note_loop(self, reply: str, *, shadow: bool, **fields: object) -> None:
        """Count and log a message that is refused as a loop."""
        with self._lock:
            self._metrics.requests(self.name, "refuse", Reason.LOOP.value, OTHER).count += 1
            if shadow:
                self._metrics.shadow(Reason.LOOP.value, OTHER).count += 1
                client, sender, detail = (
                    str(fields.get(name, "")) for name in ("client", "sender", "detail")
                )
                self._metrics.shadowed.add(
                    Reason.LOOP.value, OTHER, WHOLE_MESSAGE, client, sender, detail
                )
        mode = SHADOW if shadow else ""
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
