"""One connection of an MTA: callbacks become questions, verdicts become replies and changes.

The order is libmilter's (xxfi_connect, then for each message xxfi_envfrom, xxfi_envrcpt,
xxfi_data, xxfi_header, and xxfi_eom or xxfi_abort).  Callbacks of one connection come one
after the other, on changing threads: all state is in the :class:`Session`.

A recipient is decided at RCPT and accepted with CONTINUE: ACCEPT would switch the milter
off for the rest of the message.  The envelope changes at the end of the message, additions
first, so that a fault in between leaves a recipient too many and never one too few; and
then the MTA is told 451 and keeps nothing.

Whatever goes wrong in a callback is ours: 451 4.3.5, counted, with its traceback in the log.
"""

from __future__ import annotations

import time
from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from codomain.address import Address, parse_mailbox, parse_path
from codomain.question import Door as Kind
from codomain.question import Question
from codomain.verdict import Defer, Deliver, Pass, Reason, Redirect, Refuse, Relay
from codomain_milter import client, dsn
from codomain_milter.envelope import Envelope, Taken
from codomain_milter.memo import LIFETIME, Known
from codomain_milter.reply import BROKEN, told
from codomain_milter.trace import FIELD

if TYPE_CHECKING:
    from collections.abc import Callable

    from codomain.runtime import Runtime
    from codomain.verdict import Verdict
    from codomain_milter.door import MilterDoor
    from codomain_milter.memo import Shelf
    from codomain_milter.trace import Seen

_RECEIVED = "received"
_TRACE = FIELD.lower()

FIELDS = (_RECEIVED, _TRACE)
"""The names of the fields that are looked at."""

_ANYBODY = Address("", "")


class Context(Protocol):
    """What a callback may ask of the MTA (``milter.Context``); each method may raise."""

    def getsymval(self, symbol: str, /) -> str | None:
        """Return a macro."""

    def setreply(self, code: str, enhanced: str, /, *lines: str) -> None:
        """Choose the reply that follows."""

    def addrcpt(self, recipient: str, parameters: str | None = None, /) -> None:
        """Add a recipient."""

    def delrcpt(self, recipient: str, /) -> None:
        """Delete a recipient."""

    def addheader(self, name: str, value: str, index: int = -1, /) -> None:
        """Add a field."""

    def chgheader(self, name: str, index: int, value: str | None, /) -> None:
        """Delete a field (None); of its name, counted from 1."""


class Outcome(Enum):
    """How a callback ends."""

    CONTINUE = "continue"
    """Go on; of a recipient: it is taken."""

    REJECT = "reject"
    """Permanently no, with the reply that was set."""

    TEMPFAIL = "tempfail"
    """Not now, with the reply that was set."""


class Session:
    """One connection."""

    __slots__ = (
        "_broken",
        "_client",
        "_context",
        "_daemon",
        "_door",
        "_envelope",
        "_nobody",
        "_replaces",
        "silent",
    )

    def __init__(self, door: MilterDoor, context: Context, *, replaces: bool = True) -> None:
        """Take the door, and the context of libmilter.

        ``replaces``: the MTA lets recipients be added and deleted; where it does not, one
        that would have to be replaced is deferred (451 4.3.5).
        """
        self._door = door
        self._context = context
        self._replaces = replaces
        self.silent = 0  # the steps that the MTA does not wait for, as libmilter's flags
        self._client = client.Client()
        self._daemon = ""
        self._envelope = Envelope()
        self._nobody = False  # connect failed, so whose mail it is stays unknown
        self._broken = False
        door.opened()

    def connect(self, hostaddr: object) -> None:
        """Take the client's address."""
        try:
            self._client = client.connected(hostaddr)
            self._daemon = self._macro("{daemon_name}") or ""
        except Exception as error:  # noqa: BLE001  # each callback is an edge of this door
            self._nobody = True
            self._fault(error)

    def mail(self, sender: bytes, *parameters: bytes) -> None:
        """Begin a message."""
        self._envelope = envelope = Envelope()
        self._broken = self._nobody
        try:
            envelope.sender = _unbracketed(sender)
            if not self._client.local:
                names = {parameter.partition(b"=")[0].upper() for parameter in parameters}
                envelope.smtputf8 = b"SMTPUTF8" in names
            envelope.authenticated = client.authenticated(self._macro)
            envelope.fingerprint = client.fingerprint(self._macro)
            envelope.context = self._macro("{daemon_name}") or self._daemon
        except Exception as error:  # noqa: BLE001  # the same
            self._fault(error)

    def rcpt(self, recipient: bytes, *parameters: bytes) -> Outcome:
        """Decide on a recipient."""
        return self._guarded(lambda: self._rcpt(recipient, parameters))

    def data(self) -> Outcome:
        """Let the message come; a fault of an earlier callback without a reply shows here."""
        return self._guarded(lambda: Outcome.CONTINUE)

    def header(self, name: str, value: bytes) -> None:
        """Take note of the fields that tell where a message has been."""
        lower = name.lower()
        if lower == _RECEIVED:
            self._envelope.hops += 1
        elif lower == _TRACE:
            self._envelope.traces.append(value.decode("ascii", "replace"))

    def eom(self) -> Outcome:
        """Carry the changes out, or refuse a message that goes in a circle."""
        try:
            return self._guarded(self._eom)
        finally:
            self.abort()

    def abort(self) -> None:
        """Forget the message."""
        self._envelope = Envelope()

    def close(self) -> None:
        """End the connection."""
        self.abort()
        self._door.closed()

    # --- at RCPT

    def _rcpt(self, recipient: bytes, parameters: tuple[bytes, ...]) -> Outcome:
        runtime = self._door.runtime
        known = self._shelf(runtime).look(recipient)
        if known is None:
            return self._decide(runtime, recipient, parameters)
        self._door.hit(known)
        self._take(recipient, parameters, known.taken)
        return Outcome.CONTINUE

    def _decide(self, runtime: Runtime, recipient: bytes, parameters: tuple[bytes, ...]) -> Outcome:
        question = self._question(parse_path(recipient))
        shadow = runtime.shadow(question)
        answer = self._door.ask(runtime, question)
        verdict = self._feasible(answer.verdict, recipient)
        reply = ""
        if isinstance(verdict, Refuse | Defer):
            reply = runtime.replies[verdict.reason].line
        self._door.note(runtime, question, verdict, shadow=shadow, reply=reply)
        if isinstance(verdict, Refuse | Defer) and not shadow:
            return self._reply(runtime, verdict.reason)
        taken = _taken(recipient, question, verdict, shadow)
        if isinstance(verdict, Deliver | Redirect) and answer.expires > 0:
            expires = min(answer.expires, time.monotonic() + LIFETIME)
            tally = self._door.tally(runtime, question, verdict)
            self._shelf(runtime).keep(recipient, Known(expires, tally, taken))
        self._take(recipient, parameters, taken)
        return Outcome.CONTINUE

    def _take(self, recipient: bytes, parameters: tuple[bytes, ...], taken: Taken) -> None:
        if taken.target:
            original = _unbracketed(recipient)
            if original.startswith("@"):  # a source route names no mailbox
                original = taken.key
            taken = replace(taken, dsn=dsn.read(parameters, original))
        self._envelope.taken.append(taken)

    def _shelf(self, runtime: Runtime) -> Shelf:
        """Return where this message's kind of asker finds what it was told."""
        shelf = self._envelope.shelf
        if shelf is None or not shelf.holds(runtime):
            question = self._question(_ANYBODY)
            asker = (runtime.trust.standing(question), question.smtputf8, question.context)
            shelf = self._envelope.shelf = self._door.memo.shelf(runtime, asker)
        return shelf

    def _question(self, recipient: Address) -> Question:
        envelope = self._envelope
        return Question(
            recipient=recipient,
            door=Kind.MILTER,
            client=self._client.address,
            authenticated=envelope.authenticated,
            fingerprint=envelope.fingerprint,
            smtputf8=envelope.smtputf8,
            context=envelope.context,
            sender=envelope.sender,
        )

    def _feasible(self, verdict: Verdict, recipient: bytes) -> Verdict:
        """Return a verdict that a milter can carry out."""
        if isinstance(verdict, Relay) and verdict.diverted:
            way = verdict.connector.name
            return Refuse(Reason.LOOP, detail=f"it goes by {way}, and a milter leads nowhere")
        target = _target(verdict)
        if not target:
            return verdict
        if not self._replaces:
            return Defer(Reason.FAULT, detail="the MTA lets no recipient be replaced")
        if not _is_utf8(recipient):
            return Defer(Reason.FAULT, detail="a recipient that is no UTF-8 cannot be replaced")
        if parse_mailbox(target) is None:
            return Defer(Reason.FAULT, detail=f"the target {target!r} is no mailbox")
        return verdict

    # --- at the end of a message

    def _eom(self) -> Outcome:
        runtime = self._door.runtime
        envelope = self._envelope
        seen = self._door.tracer.read(envelope.traces)
        loop = self._loop(runtime, seen)
        if loop:
            shadow = all(taken.shadow for taken in envelope.taken)
            reply = runtime.replies[Reason.LOOP].line
            self._door.note_loop(
                reply,
                shadow=shadow,
                client=self._client.address or "unknown",
                sender=envelope.sender,
                recipients=len(envelope.taken),
                detail=loop,
            )
            if not shadow:
                return self._reply(runtime, Reason.LOOP, "")
        self._change(seen)
        return Outcome.CONTINUE

    def _loop(self, runtime: Runtime, seen: Seen) -> str:
        """Say why the message goes in a circle; empty: it does not, as far as we know."""
        envelope = self._envelope
        if envelope.hops > runtime.config.milter.max_hops:
            return f"{envelope.hops} Received fields"
        leaving = [taken for taken in envelope.taken if not taken.shadow]
        if leaving and all(t.connector and seen.proves(self._mark(t)) for t in leaving):
            ways = sorted({taken.connector for taken in leaving})
            return f"it went to connector {', '.join(ways)} before"
        return ""

    def _change(self, seen: Seen) -> None:
        envelope, context = self._envelope, self._context
        changes = envelope.changes()
        for target, parameters in changes.add:
            context.addrcpt(f"<{target}>", parameters or None)
        for given in changes.delete:
            context.delrcpt(given)
        for number in reversed(seen.forged):
            context.chgheader(FIELD, number, None)
        leaving = [t for t in envelope.taken if t.connector and not t.shadow]
        if leaving:
            marks = dict.fromkeys(self._mark(taken) for taken in leaving)
            context.addheader(FIELD, self._door.tracer.value(marks), 0)

    def _mark(self, taken: Taken) -> str:
        return self._door.tracer.mark(taken.connector, taken.key, self._envelope.sender)

    # --- replies

    def _reply(self, runtime: Runtime, reason: Reason, *prefix: str) -> Outcome:
        reply = runtime.replies[reason]
        code, enhanced, lines = told(reply, *prefix)
        self._context.setreply(code, enhanced, *lines)
        return Outcome.TEMPFAIL if reply.temporary else Outcome.REJECT

    def _macro(self, name: str) -> str | None:
        try:
            return self._context.getsymval(name)
        except UnicodeDecodeError:
            # It is there; what it says serves for nothing but to be there.
            return "?"

    def _guarded(self, act: Callable[[], Outcome]) -> Outcome:
        if not self._broken:
            try:
                return act()
            except Exception as error:  # noqa: BLE001  # each callback is an edge of this door
                self._door.broken(error)
        code, enhanced, lines = BROKEN
        try:
            self._context.setreply(code, enhanced, *lines)
        except Exception as error:  # noqa: BLE001  # TEMPFAIL without it is 451 4.7.1 or the like
            self._door.broken(error)
        return Outcome.TEMPFAIL

    def _fault(self, error: Exception) -> None:
        """Note a fault of a callback that has no reply: the next one with a reply gives it."""
        self._broken = True
        self._door.broken(error)


def _taken(
    recipient: bytes,
    question: Question,
    verdict: Verdict,
    shadow: bool,  # noqa: FBT001  # private
) -> Taken:
    given = recipient.decode("utf-8", "surrogateescape")
    key = question.recipient.key or given
    target = "" if shadow else _target(verdict)
    return Taken(given, key, target, connector=_connector(verdict), shadow=shadow)


def _target(verdict: Verdict) -> str:
    match verdict:
        case Redirect(target=target) | Deliver(address=target, changed=True):
            return target
        case _:
            return ""


def _connector(verdict: Verdict) -> str:
    if isinstance(verdict, Pass | Refuse | Defer) or verdict.connector is None:
        return ""
    return verdict.connector.name


def _unbracketed(path: bytes) -> str:
    text = path.decode("utf-8", "surrogateescape").strip(" \t")
    return text[1:].removesuffix(">") if text.startswith("<") else text


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True
