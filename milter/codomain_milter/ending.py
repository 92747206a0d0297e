"""The end of a message: is it a loop, and how do its envelope and its trace fields change?

Additions come before deletions, so that a fault in between leaves a recipient too many and
never one too few; and then the MTA is told 451 and keeps nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from codomain.verdict import Reason
from codomain_milter.trace import FIELD, UNSEEN

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

    from codomain.runtime import Runtime
    from codomain_milter.door import MilterDoor
    from codomain_milter.envelope import Envelope
    from codomain_milter.session import Context


class Ending:
    """One message that has come to its end."""

    __slots__ = ("_client", "_door", "_envelope", "_marks", "_replaced", "_seen")

    def __init__(
        self, door: MilterDoor, client: IPv4Address | IPv6Address | None, envelope: Envelope
    ) -> None:
        """Take the message, and whose it is."""
        self._door = door
        self._client = client
        self._envelope = envelope
        tracer, traces, sender = door.tracer, envelope.traces, envelope.sender
        self._seen = tracer.read(traces) if traces else UNSEEN
        self._replaced = False
        self._marks: dict[str, str] = {}
        """The marks of the recipients that leave by a connector, in their order."""
        for taken in envelope.taken:
            if taken.target:
                self._replaced = True
            if taken.connector and not taken.shadow:
                self._marks[tracer.mark(taken.connector, taken.key, sender)] = taken.connector

    def refused(self, runtime: Runtime, context: Context) -> bool:
        """Tell whether it goes in a circle, and count and log it if it does.

        The MTA is to answer 554 5.4.6; in shadow mode it is only counted.
        """
        envelope = self._envelope
        loop = ""
        if envelope.hops > runtime.config.milter.max_hops:
            loop = f"{envelope.hops} Received fields"
        elif envelope.traces:
            loop = self._returned()
        if not loop:
            return False
        shadow = all(taken.shadow for taken in envelope.taken)
        self._door.note_loop(
            runtime.replies[Reason.LOOP].line,
            shadow=shadow,
            client=self._client or "unknown",
            queue_id=queue_id(context),
            sender=envelope.sender,
            recipients=len(envelope.taken),
            detail=loop,
        )
        return not shadow

    def _returned(self) -> str:
        """Say to which connectors it went before; empty: not all of it has been there."""
        marks = self._marks
        here = any(not taken.connector and not taken.shadow for taken in self._envelope.taken)
        if here or not marks or not all(map(self._seen.proves, marks)):
            return ""
        return f"it went to connector {', '.join(sorted(set(marks.values())))} before"

    def carry_out(self, context: Context) -> None:
        """Change the envelope and the trace fields."""
        if self._replaced:
            changes = self._envelope.changes()
            for target, parameters in changes.add:
                context.addrcpt(f"<{target}>", parameters or None)
            for given in changes.delete:
                context.delrcpt(given)
        if self._seen.forged:
            for number in reversed(self._seen.forged):
                context.chgheader(FIELD, number, None)
        if self._marks:
            context.addheader(FIELD, self._door.tracer.value(self._marks), 0)


def queue_id(context: Context) -> str:
    """Return what the MTA calls the message, for the log; empty: it does not say so yet."""
    try:
        return context.getsymval("i") or ""
    except UnicodeDecodeError:
        return ""
