"""A runtime whose resolver answers what a test says, for tests of the doors."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from codomain.finding import Need
from codomain.metrics import Metrics
from codomain.replies import Replies
from codomain.resolver import Missing
from codomain.trust import NOBODY, Standing
from codomain.verdict import Defer, Pass, Reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from codomain.brake import Brake
    from codomain.question import Question
    from codomain.resolver import View
    from codomain.verdict import Verdict

POSTFIX_ORDER = [
    "request",
    "protocol_state",
    "protocol_name",
    "client_address",
    "client_name",
    "client_port",
    "reverse_client_name",
    "server_address",
    "server_port",
    "helo_name",
    "sender",
    "recipient",
    "recipient_count",
    "queue_id",
    "instance",
    "size",
    "etrn_domain",
    "stress",
    "sasl_method",
    "sasl_username",
    "sasl_sender",
    "ccert_subject",
    "ccert_issuer",
    "ccert_fingerprint",
    "ccert_pubkey_fingerprint",
    "encryption_protocol",
    "encryption_cipher",
    "encryption_keysize",
    "policy_context",
]
"""The 29 attributes of Postfix 3.7, in its order."""

REAL = {
    "request": "smtpd_access_policy",
    "protocol_state": "RCPT",
    "protocol_name": "ESMTP",
    "client_address": "198.51.100.7",
    "client_name": "unknown",
    "client_port": "40114",
    "reverse_client_name": "unknown",
    "server_address": "192.0.2.1",
    "server_port": "25",
    "helo_name": "client.example.org",
    "sender": "someone@elsewhere.test",
    "recipient": "ann@example.com",
    "recipient_count": "0",
    "instance": "5e3a.65d0c1d2.8f0a1.0",
    "size": "1234",
    "encryption_keysize": "0",
    "policy_context": "inbound",
}
"""What a stranger's request looks like."""


def policy_request(order: list[str] | None = None, /, **values: str) -> bytes:
    """Write a request as Postfix does, with some values changed."""
    every = REAL | values
    lines = [f"{name}={every.get(name, '')}\n" for name in order or POSTFIX_ORDER]
    return ("".join(lines) + "\n").encode("utf-8", "surrogateescape")


def map_request(name: str, key: str) -> bytes:
    """Write a look-up as Postfix does."""
    text = f"{name} {key}".encode("utf-8", "surrogateescape")
    return b"%d:%s," % (len(text), text)


@dataclass
class Answer:
    """What a resolver answers."""

    verdict: Verdict
    expires: float


@dataclass
class FakeResolver:
    """Answers by the recipient's key; what is not ``known`` has to be asked."""

    verdicts: dict[str, Verdict] = field(default_factory=dict)
    lifetime: float = 30.0
    lasting: bool = True
    remembers: bool = True
    gate: asyncio.Event | None = None
    asked: list[str] = field(default_factory=list)
    peeked: list[str] = field(default_factory=list)
    fault: Exception | None = None

    def _answer(self, question: Question) -> Answer:
        verdict = self.verdicts.get(question.recipient.key, Pass())
        return Answer(verdict, time.monotonic() + self.lifetime if self.lasting else 0.0)

    def peek(self, question: Question) -> Answer | None:
        """Answer at once, if this resolver remembers."""
        self.peeked.append(question.recipient.key)
        if self.fault is not None:
            raise self.fault
        return self._answer(question) if self.remembers else None

    def peek_aside(self, question: Question, later: object) -> Answer | None:
        """Do the same on another thread."""
        del later
        return self.peek(question)

    def look(self, question: Question) -> Answer | Missing:
        """Answer at once, or say that the recipient has to be asked for."""
        answer = self.peek(question)
        if answer is not None:
            return answer
        return Missing(cast("View", None), Need("people", question.recipient.key))

    async def resolve(
        self, question: Question, deadline: float, missing: Missing | None = None
    ) -> Answer:
        """Answer when the gate is open, or defer at the deadline."""
        assert missing is None or missing.need.key == question.recipient.key
        self.asked.append(question.recipient.key)
        if self.gate is not None:
            try:
                async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                    await self.gate.wait()
            except TimeoutError:
                return Answer(Defer(Reason.DIRECTORY), 0.0)
        return self._answer(question)


@dataclass
class FakeRuntime:
    """One configuration in force."""

    resolver: FakeResolver = field(default_factory=FakeResolver)
    standing: Callable[[Question], Standing] = lambda _question: NOBODY
    divertible: bool = False
    kinds: dict[str, str] = field(default_factory=lambda: {"example.com": "relay"})
    shadowed: bool = False
    generation: int = 1
    replies: Replies = field(default_factory=lambda: Replies({}))
    metrics: Metrics = field(default_factory=lambda: Metrics("0"))
    policyd: SimpleNamespace = field(
        default_factory=lambda: SimpleNamespace(
            listen=(),
            socketmap_listen=(),
            redirect="socketmap",
            deadline=4.0,
            idle_timeout=600.0,
            max_connections=2000,
            socket_group="",
            socket_mode=0o660,
        )
    )

    def __post_init__(self) -> None:
        """Hang up what the doors look for."""
        self.trust = SimpleNamespace(standing=self._standing, reads_certificates=True)
        self.brake: Brake | None = None
        self.cache = SimpleNamespace(epoch=0)
        self.config = SimpleNamespace(
            policyd=self.policyd,
            cache=SimpleNamespace(size=100_000),
            milter=SimpleNamespace(deadline=4.0, max_hops=50),
        )

    def _standing(self, question: Question) -> Standing:
        return self.standing(question)

    def label(self, domain: str) -> str:
        """Return a domain of ours, or ``other``."""
        return domain if domain in self.kinds else "other"

    def shadow(self, question: Question) -> bool:
        """Tell whether shadow mode holds."""
        del question
        return self.shadowed

    def domain_kind(self, domain: str) -> str | None:
        """Return the kind of a domain of ours."""
        return self.kinds.get(domain)


@dataclass
class FakeInForce:
    """The reference that a reload swaps."""

    runtime: FakeRuntime = field(default_factory=FakeRuntime)
