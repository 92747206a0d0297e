"""One connection of an MTA: callbacks become questions, verdicts become replies and changes.

The order is libmilter's (xxfi_connect, then for each message xxfi_envfrom, xxfi_envrcpt,
xxfi_header, and xxfi_eom or xxfi_abort).  Callbacks of one connection come one after the
other, on changing threads: all state is in the :class:`Session`.

A recipient is decided at RCPT and accepted with CONTINUE: ACCEPT would switch the milter
off for the rest of the message.  The envelope changes at the end of the message
(:mod:`codomain_milter.ending`).

Whatever goes wrong in a callback is ours: 451 4.3.5, counted, with its traceback in the log.
"""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from codomain.address import Address, parse_path
from codomain.callout import sign
from codomain.question import Door as Kind
from codomain.question import Question
from codomain.trust import NOBODY
from codomain.verdict import Defer, Deliver, Reason, Redirect, Refuse
from codomain_milter import client, dsn
from codomain_milter.ending import Ending, queue_id
from codomain_milter.envelope import Envelope
from codomain_milter.memo import LIFETIME, Known
from codomain_milter.reply import BROKEN, told
from codomain_milter.taking import announced, feasible, taken, unbracketed
from codomain_milter.trace import FIELD

if TYPE_CHECKING:
    from codomain.runtime import Runtime
    from codomain.trust import Standing
    from codomain_milter.door import MilterDoor
    from codomain_milter.envelope import Taken
    from codomain_milter.memo import Shelf

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


_CONTINUE = Outcome.CONTINUE  # at hand: an enum's members are found slowly


class Session:
    """One connection."""

    __slots__ = (
        "_asker",
        "_client",
        "_context",
        "_daemon",
        "_door",
        "_envelope",
        "_mail",
        "_nobody",
        "_replaces",
        "_shelf",
        "_standing",
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
        self._mail: tuple[bytes, tuple[bytes, ...]] = (b"", ())
        self._envelope: Envelope | None = None  # since the first recipient
        self._nobody = False  # connect failed, so whose mail it is stays unknown
        self._asker: object = None  # whose shelf it is
        self._shelf: Shelf | None = None
        self._standing: Standing = NOBODY  # the asker's, once there is a shelf
        door.opened()

    def connect(self, hostaddr: object) -> None:
        """Take the client's address; a fault shows in the replies to all recipients."""
        try:
            self._client = client.connected(hostaddr)
            self._daemon = self._macro("{daemon_name}") or ""
        except Exception as error:  # noqa: BLE001  # each callback is an edge of this door
            self._nobody = True
            self._door.broken(error)

    def mail(self, sender: bytes, *parameters: bytes) -> None:
        """Begin a message; what MAIL says, its macros too, is read for its first recipient.

        Between two callbacks the MTA's processes empty the processor's caches, so that two
        short ones cost far more than one that does the work of both.
        """
        self._mail = (sender, parameters)
        self._envelope = None

    def rcpt(self, recipient: bytes, *parameters: bytes) -> Outcome:
        """Decide on a recipient."""
        if not self._nobody:
            try:
                runtime = self._door.in_force.runtime
                envelope = self._envelope
                if envelope is None:
                    envelope = self._envelope = self._begun(runtime)
                shelf = self._shelf
                if shelf is None or not shelf.holds(runtime):
                    shelf = self._settle(runtime, envelope)
                known = shelf.known.get(recipient)
                if known is None or monotonic() >= known.expires or self._held(runtime):
                    return self._decide(runtime, envelope, recipient, parameters)
                self._door.hit(known)
                if known.taken.target:
                    _take(envelope, recipient, parameters, known.taken)
                else:
                    envelope.taken.append(known.taken)
            except Exception as error:  # noqa: BLE001  # the same
                self._door.broken(error)
            else:
                return _CONTINUE
        return self._refuse_all()

    def header(self, name: str, value: bytes) -> None:
        """Take note of the fields that tell where a message has been."""
        lower, envelope = name.lower(), self._envelope
        if envelope is None:
            return
        if lower == _RECEIVED:
            envelope.hops += 1
        elif lower == _TRACE:
            envelope.traces.append(value.decode("ascii", "replace"))

    def eom(self) -> Outcome:
        """Carry the changes out, or refuse a message that goes in a circle."""
        envelope, self._envelope = self._envelope, None
        if envelope is None:
            return Outcome.CONTINUE  # a message for nobody
        try:
            runtime = self._door.in_force.runtime
            ending = Ending(self._door, self._client.address, envelope)
            most = runtime.config.milter.max_hops
            if (envelope.traces or envelope.hops > most) and ending.refused(runtime, self._context):
                return self._reply(runtime, Reason.LOOP, "")
            ending.carry_out(self._context)
        except Exception as error:  # noqa: BLE001  # the same
            self._door.broken(error)
            return self._refuse_all()
        return _CONTINUE

    def abort(self) -> None:
        """Forget the message."""
        self._envelope = None

    def close(self) -> None:
        """End the connection."""
        self._envelope = None
        self._door.closed()

    def _held(self, runtime: Runtime) -> bool:
        """Tell whether the client is under the harvest brake, whatever is remembered."""
        brake = runtime.brake
        return brake is not None and brake.holds(self._client.address, self._standing)

    def _begun(self, runtime: Runtime) -> Envelope:
        """Return the message that MAIL began."""
        sender, parameters = self._mail
        macro = self._macro
        envelope = Envelope(
            unbracketed(sender),
            None if self._client.local else bool(parameters) and announced(parameters),
            client.authenticated(macro),
            # Where none is trusted, two macros less are asked for.
            client.fingerprint(macro) if runtime.trust.reads_certificates else "",
            self._daemon or macro("{daemon_name}") or "",
            bool(parameters) and sign.among(parameters),
        )
        if self._asker != (asker := envelope.asker):
            self._asker, self._shelf = asker, None
        return envelope

    def _decide(
        self,
        runtime: Runtime,
        envelope: Envelope,
        recipient: bytes,
        parameters: tuple[bytes, ...],
    ) -> Outcome:
        question = self._question(parse_path(recipient), envelope)
        shadow = runtime.shadow(question)
        answer = self._door.braked(runtime, question) or self._door.ask(runtime, question)
        verdict = feasible(answer.verdict, recipient, replaces=self._replaces)
        reply = ""
        if isinstance(verdict, Refuse | Defer):
            reply = runtime.replies[verdict.reason].line
            question = replace(question, queue_id=queue_id(self._context))
        self._door.note(runtime, question, verdict, shadow=shadow, reply=reply)
        if isinstance(verdict, Refuse | Defer) and not shadow:
            return self._reply(runtime, verdict.reason)
        new = taken(recipient, question, verdict, shadow=shadow)
        # Each redirect that shadow mode does not carry out has to be counted.
        redirects = isinstance(verdict, Redirect) and not shadow
        if (redirects or isinstance(verdict, Deliver)) and answer.expires > 0:
            expires = min(answer.expires, monotonic() + LIFETIME)
            tally = self._door.tally(runtime, question, verdict)
            self._shelved(runtime, envelope).keep(recipient, Known(expires, tally, new))
        _take(envelope, recipient, parameters, new)
        return Outcome.CONTINUE

    def _settle(self, runtime: Runtime, envelope: Envelope) -> Shelf:
        """Find where this message's kind of asker finds what it was told, and its standing.

        Most connections bring message after message of one kind, whose standing need not be
        found anew.
        """
        question = self._question(_ANYBODY, envelope)
        standing = self._standing = runtime.trust.standing(question)
        kind = (standing, question.smtputf8, question.context, question.probe)
        shelf = self._shelf = self._door.memo.shelf(runtime, kind)
        return shelf

    def _shelved(self, runtime: Runtime, envelope: Envelope) -> Shelf:
        """Return it; a purge or a reload may have come while the answer was under way."""
        shelf = self._shelf
        if shelf is None or not shelf.holds(runtime):
            return self._settle(runtime, envelope)
        return shelf

    def _question(self, recipient: Address, envelope: Envelope) -> Question:
        return Question(
            recipient=recipient,
            door=Kind.MILTER,
            client=self._client.address,
            authenticated=envelope.authenticated,
            fingerprint=envelope.fingerprint,
            smtputf8=envelope.smtputf8,
            context=envelope.context,
            sender=envelope.sender,
            probe=envelope.probe,
        )

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

    def _refuse_all(self) -> Outcome:
        """Say that we are broken; a reply that cannot be set is still temporary."""
        code, enhanced, lines = BROKEN
        try:
            self._context.setreply(code, enhanced, *lines)
        except Exception as error:  # noqa: BLE001  # TEMPFAIL without it is 451 4.7.1 or the like
            self._door.broken(error)
        return Outcome.TEMPFAIL


def _take(
    envelope: Envelope, recipient: bytes, parameters: tuple[bytes, ...], taken: Taken
) -> None:
    if taken.target:
        original = unbracketed(recipient)
        if original.startswith("@"):  # a source route names no mailbox
            original = taken.key
        taken = replace(taken, dsn=dsn.read(parameters, original))
    envelope.taken.append(taken)
