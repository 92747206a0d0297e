"""Rules of the verdict cache: what a shelf stands for, and what is kept how long."""

from __future__ import annotations

import ipaddress
import time
from dataclasses import fields
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from codomain.address import parse_recipient
from codomain.connectors import Connector
from codomain.decision import decide
from codomain.directory.base import Kind, Recipient
from codomain.metrics import Tally
from codomain.question import Door, Question
from codomain.trust import Standing
from codomain.verdict import Defer, Deliver, Pass, Reason, Redirect, Refuse, Relay
from codomain_policyd.journal import Throttle
from codomain_policyd.policy import PolicyDecoder, quick
from codomain_policyd.policy_door import PolicyConnection, PolicyDoor
from codomain_policyd.verdicts import LIFETIME, Verdicts, shelf_key
from support.doors import FakeInForce, FakeResolver, FakeRuntime, policy_request

if TYPE_CHECKING:
    from collections.abc import Callable

    from codomain.rules import Rules
    from codomain.verdict import Verdict

EXCHANGE = Connector("exchange", "smtp:[192.0.2.20]")
UNIX = Connector("unix", "smtp:[192.0.2.10]")
MARK = ":".join(["AB"] * 20)
DUNNO = b"action=DUNNO\n\n"


class Recorder:
    """A question that notes which of its fields are read."""

    def __init__(self, question: Question) -> None:
        self._question = question
        self.read: set[str] = set()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  # whatever the field is
        self.read.add(name)
        return getattr(self._question, name)


def _rules() -> Rules:
    """The domains and connectors of the examples in the documentation."""
    from codomain import config  # noqa: PLC0415
    from codomain.rules import rules_from  # noqa: PLC0415

    text = f"""
        [codomain]
        hostname = gateway.example.com
        postfix = off
        [trust]
        trusted_networks = 10.0.0.0/8
        trust_certificates = {MARK}
        [context submission]
        trusted = yes
        [domain example.com]
        type = shared
        deliver_to = exchange
        [domain corp.local]
        type = authoritative
        [domain unix.example.net]
        type = relay
        [connector unix]
        smart_hosts = [192.0.2.10]
        address_spaces = example.com, unix.example.net
        allow_relay = yes
        [connector exchange]
        smart_hosts = [192.0.2.20]
        address_spaces = exchange.example.com
        [directory people]
        type = files
        path = /nowhere/*.ldif
    """
    lines = "\n".join(line.strip() for line in text.splitlines())
    return rules_from(config.parse(lines), lambda _name: [])


def _entries(_directory: str, key: str) -> tuple[Recipient, ...]:
    """A mailbox that takes mail of authenticated senders only, a contact, and nobody else."""
    if key == "ann@example.com":
        return (Recipient("cn=ann", Kind.MAILBOX, (key,), primary=key, restricted=True),)
    if key == "bob@example.com":
        return (Recipient("cn=bob", Kind.CONTACT, (key,), target="bob@unix.example.net"),)
    return ()


def test_a_shelf_stands_for_all_that_a_decision_reads() -> None:
    """Every field of the question that decide() reads is the recipient, or in the shelf's key."""
    rules = _rules()
    read: set[str] = set()
    covered: set[str] = set()
    for recipient in (
        "ann@example.com",
        "ann+list@example.com",
        "bob@example.com",
        "nobody@example.com",
        "nobody@corp.local",
        "x@elsewhere.test",
        "x@unix.example.net",
        "é@example.com",
        "a%b@example.com",
        "postmaster@example.com",
        "postmaster",
    ):
        for client in ("198.51.100.7", "192.0.2.10", "10.1.1.1"):
            for door in (Door.POLICY, Door.MAP):
                question = Question(
                    parse_recipient(recipient.encode()),
                    door,
                    ipaddress.ip_address(client),
                    fingerprint=MARK,
                    smtputf8=False,
                    context="submission",
                )
                decided = Recorder(question)
                decide(rules, decided, _entries)  # type: ignore[arg-type]
                read |= decided.read
                named = Recorder(question)
                shelf_key(named, rules.trust.standing(named))  # type: ignore[arg-type]
                covered |= named.read
    assert {"recipient", "door"} <= read
    assert read - {"recipient"} <= covered


@pytest.mark.parametrize(
    "change",
    [
        {"authenticated": True},
        {"context": "submission"},
        {"smtputf8": False},
        {"door": Door.MAP},
    ],
)
def test_what_differs_lies_on_another_shelf(change: dict[str, Any]) -> None:
    """Two requests share a shelf only if nothing that a verdict reads differs."""
    plain: dict[str, Any] = {"recipient": parse_recipient(b"a@example.com")}
    one, other = Question(**plain), Question(**plain, **change)
    assert shelf_key(one, Standing()) != shelf_key(other, Standing())


@pytest.mark.parametrize("field", [f.name for f in fields(Standing)])
def test_standings_lie_on_shelves_of_their_own(field: str) -> None:
    """Trusted clients, peers and strangers never share a verdict."""
    question = Question(parse_recipient(b"a@example.com"))
    values: dict[str, Any] = {field: ("unix",) if field == "peer_of" else True}
    assert shelf_key(question, Standing()) != shelf_key(question, Standing(**values))


def test_certificates_of_strangers_make_no_shelves() -> None:
    """A stranger may show as many certificates as it likes; only trusted ones count."""
    one, other = (
        Question(parse_recipient(b"a@example.com"), fingerprint=mark) for mark in ("AA", "BB")
    )
    assert shelf_key(one, Standing()) == shelf_key(other, Standing())
    trusted = Standing(trusted=True)
    assert shelf_key(one, trusted) != shelf_key(other, trusted)


def test_guesses_push_no_found_recipient_out() -> None:
    """However many refusals strangers make, what a directory holds stays."""
    verdicts = Verdicts(found=100, guessed=10)
    shelf = verdicts.shelf("s")
    later = time.monotonic() + 50
    verdicts.keep(shelf, b"ann", (later, b"found", Tally()), found=True)
    for number in range(1000):
        verdicts.keep(shelf, b"guess%d" % number, (later, b"no", Tally()), found=False)
    entry = shelf.look(b"ann")
    assert entry is not None
    assert entry[1] == b"found"
    assert len(verdicts) <= 21


def test_entries_are_bounded_over_all_shelves() -> None:
    """Two generations of each store, however many shelves there are."""
    verdicts = Verdicts(found=50, guessed=50)
    later = time.monotonic() + 50
    for number in range(2000):
        shelf = verdicts.shelf(number % 7)
        verdicts.keep(shelf, b"%d" % number, (later, b"x", Tally()), found=number % 2 == 0)
    assert len(verdicts) <= 200
    assert sum(map(len, verdicts._buried)) <= 100


def test_an_entry_that_is_asked_for_survives_its_generation() -> None:
    """Of the old generation goes only what nobody has asked for."""
    verdicts = Verdicts(found=10, guessed=10)
    shelf = verdicts.shelf("s")
    later = time.monotonic() + 50
    verdicts.keep(shelf, b"ann", (later, b"x", Tally()), found=True)
    for number in range(100):
        verdicts.keep(shelf, b"%d" % number, (later, b"x", Tally()), found=True)
        entry = shelf.look(b"ann")
        assert entry is not None
        if b"ann" not in shelf.found:
            verdicts.promote(shelf, b"ann", entry)
    assert shelf.look(b"0") is None


def test_the_memo_of_clients_is_bounded() -> None:
    """A client is remembered while it asks; strangers come and go."""
    verdicts = Verdicts(clients=10)
    for number in range(1000):
        verdicts.assign(b"%d" % number, b"rest", "s")
        assert len(verdicts.clients) <= 10
    assert verdicts.shelf_of(b"999", b"rest") is verdicts.shelf("s")
    assert verdicts.shelf_of(b"0", b"rest") is None


def test_a_guess_that_became_an_entry_is_replaced() -> None:
    """A recipient has one entry, whichever store the last verdict belongs to."""
    verdicts = Verdicts()
    shelf = verdicts.shelf("s")
    later = time.monotonic() + 50
    verdicts.keep(shelf, b"a", (later, b"found", Tally()), found=True)
    verdicts.keep(shelf, b"a", (later, b"guess", Tally()), found=False)
    entry = shelf.look(b"a")
    assert entry is not None
    assert entry[1] == b"guess"


class Wire:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Keep an answer."""
        self.written.append(data)

    def set_write_buffer_limits(self, high: int) -> None:
        """Take any limit."""

    def is_closing(self) -> bool:
        """Stay open."""
        return False


class Smtpd:
    """One policy connection, without a socket, whose clock a test sets."""

    def __init__(self, verdict: Verdict, **runtime: Any) -> None:  # noqa: ANN401
        self.resolver = FakeResolver({"ann@example.com": verdict})
        self.in_force = FakeInForce(FakeRuntime(resolver=self.resolver, **runtime))
        self.door = PolicyDoor(self.in_force, Throttle())  # type: ignore[arg-type]
        self.connection = PolicyConnection(self.door)
        self.wire = Wire()
        self.connection.connection_made(self.wire)  # type: ignore[arg-type]

    def ask(self, **values: str) -> bytes:
        """Ask, and return the answer."""
        self.connection.data_received(policy_request(**values))
        return self.wire.written[-1]

    @property
    def asked(self) -> int:
        """How often the resolver was asked."""
        return len(self.resolver.peeked)


@pytest.mark.parametrize(
    "verdict",
    [
        Deliver("ann@example.com", EXCHANGE, dn="cn=ann"),
        Redirect("bob@unix.example.net", UNIX, dn="cn=ann"),
        Relay(UNIX),
        Refuse(Reason.UNKNOWN),
        Pass(),
    ],
)
def test_a_verdict_is_decided_once(verdict: Verdict) -> None:
    """The second request for a recipient is answered from the kept bytes, and counted."""
    smtpd = Smtpd(verdict)
    first = smtpd.ask()
    assert smtpd.ask(instance="other", sender="x@y.test", client_port="1") == first
    assert smtpd.asked == 1
    assert sum(tally.count for tally in smtpd.door.metrics._requests.values()) == 2
    assert smtpd.door.durations.hits.count == 1


def test_a_hit_runs_no_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kept answer goes out without a question being made."""
    smtpd = Smtpd(Deliver("ann@example.com", EXCHANGE))
    smtpd.ask()

    def never(_self: object, _data: bytes) -> None:
        raise AssertionError

    monkeypatch.setattr(PolicyDecoder, "feed", never)
    assert smtpd.ask() == DUNNO


@pytest.mark.parametrize(
    ("verdict", "runtime"),
    [
        (Defer(Reason.DIRECTORY), {}),
        (Deliver("ann@example.com"), {"standing": lambda _q: Standing(peer_of=("unix",))}),
        (Deliver("ann@example.com"), {"divertible": True}),
        (Deliver("ann@example.com"), {"shadowed": True}),
    ],
)
def test_what_is_never_kept(verdict: Verdict, runtime: dict[str, Any]) -> None:
    """Temporary verdicts, those for peers, for strangers where routes differ, and shadows."""
    smtpd = Smtpd(verdict, **runtime)
    smtpd.ask()
    smtpd.ask()
    assert smtpd.asked == 2


def test_an_answer_that_does_not_last_is_not_kept() -> None:
    """The resolver says 0.0 where the next request has to be decided anew."""
    smtpd = Smtpd(Deliver("ann@example.com"))
    smtpd.resolver.lasting = False
    smtpd.ask()
    smtpd.ask()
    assert smtpd.asked == 2


def test_trusted_clients_are_kept_where_strangers_routes_differ() -> None:
    """Every connector relays for a trusted client."""
    smtpd = Smtpd(
        Deliver("ann@example.com"), divertible=True, standing=lambda _q: Standing(trusted=True)
    )
    smtpd.ask()
    smtpd.ask()
    assert smtpd.asked == 1


def test_nothing_is_kept_with_redirect_by_filter() -> None:
    """The answer depends on the message's first recipient."""
    smtpd = Smtpd(Relay(UNIX))
    smtpd.in_force.runtime.policyd.redirect = "filter"
    smtpd.ask()
    smtpd.ask()
    assert smtpd.asked == 2


@pytest.mark.parametrize(
    "change",
    [
        {"client_address": "198.51.100.8"},
        {"sasl_username": "bob"},
        {"policy_context": "submission"},
        {"ccert_fingerprint": "AA:BB"},
    ],
)
def test_what_a_verdict_reads_is_asked_anew(change: dict[str, str]) -> None:
    """Another client, login, context or certificate finds no answer that was not given to it."""

    def standing(question: Question) -> Standing:
        known = (str(question.client), question.authenticated, question.context)
        stranger = known == ("198.51.100.7", False, "inbound") and not question.fingerprint
        return Standing(trusted=not stranger)

    smtpd = Smtpd(Deliver("ann@example.com"), standing=standing)
    smtpd.ask()
    smtpd.ask(**change)
    assert smtpd.asked == 2
    smtpd.ask()
    smtpd.ask(**change)
    assert smtpd.asked == 2


def _at(smtpd: Smtpd, clock: Callable[[], float], monkeypatch: pytest.MonkeyPatch) -> None:
    smtpd.connection._clock = clock
    fake = SimpleNamespace(monotonic=clock)
    monkeypatch.setattr("codomain_policyd.door.time", fake)
    monkeypatch.setattr("support.doors.time", fake)


@pytest.mark.parametrize(("lifetime", "most"), [(5.0, 5.0), (3600.0, LIFETIME)])
def test_an_entry_expires_with_its_answer(
    lifetime: float, most: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An entry lives as long as what it was made from, 60 s at most, less part of a second."""
    now = 1000.5
    smtpd = Smtpd(Deliver("ann@example.com"))
    smtpd.resolver.lifetime = lifetime
    _at(smtpd, lambda: now, monkeypatch)
    smtpd.ask()
    now = 1000.5 + most - 1
    smtpd.ask()
    assert smtpd.asked == 1
    now = 1000.5 + most
    smtpd.ask()
    assert smtpd.asked == 2


def test_a_new_runtime_brings_new_verdicts() -> None:
    """After a reload or a purge nothing that was kept before answers."""
    smtpd = Smtpd(Deliver("ann@example.com"))
    assert smtpd.ask() == DUNNO
    assert smtpd.ask() == DUNNO
    smtpd.resolver.verdicts["ann@example.com"] = Refuse(Reason.UNKNOWN)
    smtpd.door.refresh()
    smtpd.connection.forget()
    assert smtpd.ask().startswith(b"action=550 5.1.1 ")


def test_the_rest_must_have_been_read_with_care() -> None:
    """A request that hides a second recipient behind sasl_method= finds no shelf."""
    smtpd = Smtpd(Deliver("ann@example.com"))
    smtpd.ask()
    hidden = policy_request()[:-1] + b"recipient=evil@elsewhere.test\n\n"
    assert quick(hidden) is not None
    written = len(smtpd.wire.written)
    smtpd.wire.close = lambda: None  # type: ignore[attr-defined]
    smtpd.connection.data_received(hidden)
    assert len(smtpd.wire.written) == written
