"""The policy door: a request of Postfix's smtpd becomes a question, its verdict an action.

Decisions are made at RCPT only: at DATA and END-OF-MESSAGE the recipient is empty where a
message has several, and VRFY and ETRN accept no mail.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import TYPE_CHECKING

from codomain.address import parse_recipient
from codomain.callout import sign
from codomain.metrics import OTHER
from codomain.question import Door as Kind
from codomain.question import Question
from codomain.resolver import Answer
from codomain.shadow import would_be
from codomain.verdict import Defer, Reason, Refuse
from codomain_policyd.connection import Connection
from codomain_policyd.door import Asked, Door
from codomain_policyd.journal import log_accepted, log_refusal, log_shadow
from codomain_policyd.policy import RECIPIENT_STATE, PolicyDecoder, PolicyRequest, quick
from codomain_policyd.reply import BROKEN, DUNNO, policy_action, reply_action, reply_line
from codomain_policyd.route import Routes
from codomain_policyd.verdicts import Shelf, shelf_key

if TYPE_CHECKING:
    from collections.abc import Callable
    from ipaddress import IPv4Address, IPv6Address

    from codomain.runtime import InForce, Runtime
    from codomain.verdict import Verdict
    from codomain_policyd.journal import Throttle


CLIENTS = 1024
"""Clients whose address is kept as it was read."""

HELD = Answer(Defer(Reason.HARVEST), 0.0)
"""The answer to a client under the harvest brake, whoever the recipient is."""


def _nothing() -> None:
    """Do nothing."""


class PolicyDoor(Door[PolicyRequest]):
    """Answers ``check_policy_service``."""

    name = Kind.POLICY.value
    broken = BROKEN
    pipeline = 1

    def __init__(self, in_force: InForce, throttle: Throttle) -> None:
        super().__init__(in_force, throttle)
        # Messages under way keep their route over a reload.
        self._routes = Routes()
        self.on_braked: Callable[[], object] = _nothing
        """What is called when a client has come under the harvest brake: forget its shelf."""

    def _ask(
        self, request: PolicyRequest, runtime: Runtime, now: float
    ) -> bytes | Asked[PolicyRequest]:
        if request.state != RECIPIENT_STATE:
            self.metrics.requests(self.name, "pass", "", OTHER).count += 1
            return DUNNO
        client, rest = _client_key(request)
        shelf = self.verdicts.shelf_of(client, rest)
        if shelf is not None:
            reply = self._hit(shelf, request.recipient, now)
            if reply is not None:
                return reply
        question = question_of(request)
        if self._braked(question, runtime):
            asked = Asked(request, question, runtime, self.verdicts, None, now)
            return self._answered(asked, HELD)
        if shelf is None:
            shelf = self._shelf(question, runtime, client, rest)
        return self._peek(Asked(request, question, runtime, self.verdicts, shelf, now))

    def _braked(self, question: Question, runtime: Runtime) -> bool:
        """Tell whether the client is told nothing (``[harvest]``)."""
        brake = runtime.brake
        return brake is not None and brake.holds(question.client, runtime.trust.standing(question))

    def _count(self, asked: Asked[PolicyRequest], verdict: Verdict) -> None:
        """Count an unknown recipient; a client that comes under the brake loses its shelf."""
        runtime, question = asked.runtime, asked.question
        brake = runtime.brake
        if brake is None or not isinstance(verdict, Refuse) or verdict.reason is not Reason.UNKNOWN:
            return
        # Each has to be counted: none is answered from memory.
        asked.shelf = None
        if brake.unknown(question.client, runtime.trust.standing(question)):
            self.forget_clients()

    def forget_clients(self) -> None:
        """Forget whose verdicts are whose: some client is told nothing any more."""
        self.verdicts.forget_clients()
        self.on_braked()

    def _shelf(
        self, question: Question, runtime: Runtime, client: bytes, rest: bytes
    ) -> Shelf | None:
        """Return the shelf of a client's verdicts, None where they must not be kept."""
        if runtime.config.policyd.redirect == "filter":
            return None
        standing = runtime.trust.standing(question)
        if standing.peer_of or (runtime.divertible and not standing.trusted):
            return None
        return self.verdicts.assign(client, rest, shelf_key(question, standing))

    def _answered(self, asked: Asked[PolicyRequest], answer: Answer) -> bytes:
        verdict, runtime = answer.verdict, asked.runtime
        if runtime.shadow(asked.question):
            return self._shadow(asked, verdict)
        self._count(asked, verdict)
        by_filter = runtime.config.policyd.redirect == "filter"
        reply = policy_action(verdict, runtime.replies, by_filter=by_filter)
        if asked.shelf is None and not isinstance(verdict, Refuse | Defer):
            # Whatever may be led elsewhere is kept on no shelf.
            settled = self._routes.settle(asked.request.instance, asked.request.recipient, reply)
            if settled is None:
                verdict = Defer(Reason.ROUTE)
                reply = reply_action(runtime.replies[Reason.ROUTE])
            else:
                reply = settled
        if isinstance(verdict, Refuse | Defer):
            log_refusal(asked.question, verdict, reply_line(runtime.replies[verdict.reason]))
        else:
            log_accepted(asked.question, verdict)
        tally = self._tally(asked, verdict)
        tally.count += 1
        self._keep(asked, asked.request.recipient, answer, (reply, tally))
        return reply

    def _shadow(self, asked: Asked[PolicyRequest], verdict: Verdict) -> bytes:
        """Count and log what would have been refused or redirected, and let the mail through."""
        self._tally(asked, verdict).count += 1
        reason = would_be(verdict)
        if reason:
            runtime = asked.runtime
            domain = runtime.label(asked.question.recipient.domain)
            self.metrics.shadow(reason, domain).count += 1
            self.metrics.shadowed.note(asked.question, verdict, domain)
            reply = ""
            if isinstance(verdict, Refuse | Defer):
                reply = reply_line(runtime.replies[verdict.reason])
            log_shadow(asked.question, verdict, reply, domain)
        return DUNNO


class PolicyConnection(Connection[PolicyRequest]):
    """One smtpd."""

    __slots__ = ("_client", "_rest", "_shelf")

    def __init__(self, door: PolicyDoor) -> None:
        super().__init__(door, PolicyDecoder())
        self.forget()

    def forget(self) -> None:
        """Drop what was remembered of the verdicts of a runtime."""
        self._client = self._rest = b""
        self._shelf: Shelf | None = None

    def data_received(self, data: bytes) -> None:
        """Answer a request; this is the hot path, and every line of it has been measured."""
        if self._calm:
            match = quick(data)
            if match is not None:
                client, recipient, rest = match.groups()
                if rest != self._rest or client != self._client:
                    # smtpd asks for all recipients of one client in a row.
                    self._shelf = self._door.verdicts.shelf_of(client, rest)
                    self._client = client
                    self._rest = rest
                shelf = self._shelf
                if shelf is not None:
                    entry = shelf.found.get(recipient) or shelf.guessed.get(recipient)
                    if entry is not None:
                        expires, reply, tally = entry
                        now = self._clock()
                        if now < expires:
                            tally.count += 1
                            self._hits.count += 1
                            self.last = now
                            self._write(reply)
                            return
                else:
                    self._client = b""
        self._feed(data)


def question_of(request: PolicyRequest) -> Question:
    """Make the question of a request; nothing in it can be malformed enough to raise."""
    return Question(
        recipient=parse_recipient(request.recipient),
        door=Kind.POLICY,
        client=_address(request.client),
        authenticated=bool(request.username),
        fingerprint=_text(request.fingerprint),
        context=_text(request.context),
        sender=_text(request.sender),
        queue_id=_text(request.queue_id),
        instance=_text(request.instance),
        probe=sign.declared(request.size),
    )


def _client_key(request: PolicyRequest) -> tuple[bytes, bytes]:
    """Return the key of the memo of clients: as the hot path has it, or made of what is read.

    The second form is for an MTA whose attributes come in another order.  It cannot be
    taken for the first, which holds line feeds and neither ends nor begins with one.
    """
    match = quick(request.block)
    if match is not None:
        return match[1], match[3]
    values = (request.username, request.fingerprint, request.context)
    return request.client, b"\n" + b"\n".join(values)


@lru_cache(CLIENTS)
def _address(raw: bytes) -> IPv4Address | IPv6Address | None:
    """Read a client's address; None for ``unknown`` and whatever else is none."""
    try:
        address = ipaddress.ip_address(raw.decode("ascii"))
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
