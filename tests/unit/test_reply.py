"""What the policy server and the maps make of each verdict, by the table of the decisions."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest

from codomain.connectors import Connector
from codomain.journal import LINES, WINDOW_SECONDS
from codomain.log import Logfmt
from codomain.replies import DEFAULTS, Replies
from codomain.trust import Standing
from codomain.verdict import Defer, Deliver, Pass, Reason, Redirect, Refuse, Relay, Verdict
from codomain_policyd.journal import Throttle
from codomain_policyd.map_door import MapDoor
from codomain_policyd.policy import parse_request
from codomain_policyd.policy_door import PolicyDoor, question_of
from codomain_policyd.reply import (
    MAPS,
    REPLY_OCTETS,
    map_answer,
    policy_action,
    reply_line,
    sendmail_hop,
)
from codomain_policyd.socketmap import MapRequest
from support.doors import FakeInForce, FakeResolver, FakeRuntime, map_request, policy_request

EXCHANGE = Connector("exchange", "smtp:[192.0.2.20]")
UNIX = Connector("unix", "smtp:[192.0.2.10]:25, [relay2.example.net]")
REPLIES = Replies({})

DELIVER = Deliver("ann@example.com", EXCHANGE, dn="cn=ann")
DELIVER_HERE = Deliver("ann@example.com")
DELIVER_AS = Deliver("a.smith@example.com", EXCHANGE, changed=True)
REDIRECT = Redirect('"b b"@unix.example.net', UNIX, dn="cn=bob")
RELAY = Relay(UNIX)
UNKNOWN = Refuse(Reason.UNKNOWN)
LOOP = Refuse(Reason.LOOP)
DOWN = Defer(Reason.DIRECTORY)

LOOP_LINE = b"554 5.4.6 Unknown here and where it came from, or a routing loop"
DOWN_LINE = b"451 4.4.3 Recipient cannot be checked now: directory unavailable, try again later"


@pytest.mark.parametrize(
    ("verdict", "action"),
    [
        (Pass(), b"DUNNO"),
        (Pass(ours=True), b"DUNNO"),
        (DELIVER, b"DUNNO"),
        (DELIVER_AS, b"DUNNO"),
        (REDIRECT, b"DUNNO"),
        (RELAY, b"DUNNO"),
        (Relay(UNIX, diverted=True), b"FILTER smtp:[192.0.2.10]:25, [relay2.example.net]"),
        (LOOP, LOOP_LINE),
        (DOWN, DOWN_LINE),
    ],
)
def test_policy_with_maps(verdict: Verdict, action: bytes) -> None:
    """What is accepted gets DUNNO, the rest the reply; a diverted relay needs FILTER."""
    assert policy_action(verdict, REPLIES, by_filter=False) == b"action=" + action + b"\n\n"


@pytest.mark.parametrize(
    ("verdict", "action"),
    [
        (Pass(), b"DUNNO"),
        (DELIVER, b"FILTER smtp:[192.0.2.20]"),
        (DELIVER_HERE, b"DUNNO"),
        # the action takes the address as Postfix has it inside: without quotes
        (REDIRECT, b"REDIRECT b b@unix.example.net"),
        (Redirect('"b\\"\\\\"@unix.example.net'), b'REDIRECT b"\\@unix.example.net'),
        # a blank before it is the separator's: it would be another mailbox
        (
            Redirect('" b"@unix.example.net'),
            b"451 4.3.5 Recipient cannot be checked now: server error, try again later",
        ),
        (RELAY, b"FILTER smtp:[192.0.2.10]:25, [relay2.example.net]"),
        (LOOP, LOOP_LINE),
    ],
)
def test_policy_by_filter(verdict: Verdict, action: bytes) -> None:
    """With redirect = filter: FILTER for each next hop, REDIRECT for each target."""
    assert policy_action(verdict, REPLIES, by_filter=True) == b"action=" + action + b"\n\n"


@pytest.mark.parametrize("reason", list(Reason))
def test_policy_never_permits(reason: Reason) -> None:
    """A reply of the policy server begins with a 4xx or 5xx code and its enhanced code."""
    action = policy_action(Refuse(reason), REPLIES, by_filter=False)
    reply = DEFAULTS[reason]
    assert action.startswith(f"action={reply.code} {reply.enhanced} ".encode())
    assert str(reply.code)[0] in "45"


def _replies(text: str, code: int | None = None, enhanced: str | None = None) -> Replies:
    return Replies({"unknown": SimpleNamespace(code=code, enhanced=enhanced, text=text)})


def test_texts_hold_no_line_end() -> None:
    """A text of the INI cannot end the answer or the SMTP reply, and stays UTF-8."""
    action = policy_action(UNKNOWN, _replies("a\r\nb\0c\u2028d é"), by_filter=False)
    assert action == "action=550 5.1.1 a b c d é\n\n".encode()


def test_replies_fit_an_smtp_line() -> None:
    """RFC 5321 section 4.5.3.1.5: 512 octets with CR LF, cut between characters."""
    line = reply_line(_replies("é" * 600)[Reason.UNKNOWN])
    assert REPLY_OCTETS - 1 <= len(line.encode()) <= REPLY_OCTETS


OK = b"OK accepted"
NOT = b"NOTFOUND "
TEMP = b"TEMP temporarily unavailable"
HOP = b"OK smtp:[192.0.2.10]:25, [relay2.example.net]"
EX = b"OK smtp:[192.0.2.20]"
ERROR = b"OK error:5.1.1 User unknown"
ACCESS = b"OK 550 5.1.1 User unknown"


@pytest.mark.parametrize(
    ("verdict", "ours", "recipient", "alias", "transport", "access", "route"),
    [
        (Pass(), False, NOT, NOT, NOT, NOT, NOT),
        (Pass(connector=EXCHANGE), False, NOT, NOT, EX, NOT, b"OK esmtp:[192.0.2.20]"),
        (Pass(ours=True), True, OK, NOT, NOT, NOT, NOT),
        (DELIVER, True, OK, NOT, EX, NOT, b"OK esmtp:[192.0.2.20]"),
        (DELIVER_HERE, True, OK, NOT, NOT, NOT, NOT),
        (DELIVER_AS, True, OK, b"OK a.smith@example.com", EX, NOT, b"OK esmtp:[192.0.2.20]"),
        (
            REDIRECT,
            True,
            OK,
            b'OK "b b"@unix.example.net',
            HOP,
            NOT,
            b"OK esmtp:[192.0.2.10]:[relay2.example.net]",
        ),
        (RELAY, True, OK, NOT, HOP, NOT, b"OK esmtp:[192.0.2.10]:[relay2.example.net]"),
        (UNKNOWN, True, NOT, NOT, ERROR, ACCESS, b"OK error:5.1.1"),
        (UNKNOWN, False, NOT, NOT, NOT, ACCESS, NOT),
        (DOWN, True, TEMP, TEMP, TEMP, TEMP, TEMP),
    ],
)
def test_maps(  # noqa: PLR0917
    verdict: Verdict,
    ours: bool,  # noqa: FBT001
    recipient: bytes,
    alias: bytes,
    transport: bytes,
    access: bytes,
    route: bytes,
) -> None:
    """Each map gives its own part of the verdict; where we do not know, all say TEMP."""
    expected = {
        "recipient": recipient,
        "alias": alias,
        "transport": transport,
        "access": access,
        "route": route,
    }
    assert set(expected) == set(MAPS)
    answers = {name: map_answer(name, verdict, REPLIES, ours=ours) for name in MAPS}
    assert answers == expected


def test_a_refusal_made_temporary_waits() -> None:
    """error(8) bounces; a reason that the INI answers with 4xx goes through retry(8)."""
    replies = _replies("try later", 450, "4.1.1")
    assert map_answer("transport", UNKNOWN, replies, ours=True) == b"OK retry:4.1.1 try later"


@pytest.mark.parametrize(
    "hop", ["smtp:[192.0.2.10]:2525, [192.0.2.11]", "lmtp:unix:private/lmtp", "x:[a]"]
)
def test_what_sendmail_cannot_write_waits(hop: str) -> None:
    """A mailer has one port; mail for such a connector must not go elsewhere."""
    assert sendmail_hop(Connector("c", hop)).startswith(b"TEMP ")


def _line(record: logging.LogRecord) -> str:
    """Write a record as the daemon does."""
    return Logfmt(journal=False).format(record)


# --- the doors around them, without a socket


def _maps(verdicts: dict[str, Verdict] | None = None, **runtime: object) -> MapDoor:
    resolver = FakeResolver(verdicts or {})
    kinds = {"example.com": "relay", "corp.local": "mailbox"}
    in_force = FakeInForce(FakeRuntime(resolver=resolver, kinds=kinds, **runtime))  # type: ignore[arg-type]
    return MapDoor(in_force, Throttle())  # type: ignore[arg-type]


def _look(door: MapDoor, name: str, key: str) -> bytes:
    frame = map_request(name, key)
    answer = door.answer(MapRequest(frame, name.encode(), key.encode()), 0.0)
    assert isinstance(answer, bytes)
    return answer


@pytest.mark.parametrize("name", sorted(MAPS))
@pytest.mark.parametrize(
    "key", ["*", "", "example.com", "@[1.2.3.4]", "@example.com", "postmaster", "ann@", "@"]
)
def test_keys_that_are_no_mailbox_are_not_found(name: str, key: str) -> None:
    """OK for one of them would capture the world, TEMP would stop it; the resolver is not asked."""
    door = _maps()
    assert _look(door, name, key) == b"9:NOTFOUND ,"
    assert door._in_force.runtime.resolver.peeked == []  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "key", "answer"),
    [
        ("domain", "example.com", b"8:OK relay,"),
        ("domain", "EXAMPLE.com.", b"8:OK relay,"),
        ("domain", "corp.local", b"9:NOTFOUND ,"),
        ("domain", "elsewhere.test", b"9:NOTFOUND ,"),
        ("domain", "sub.example.com", b"9:NOTFOUND ,"),
        ("domain", "", b"9:NOTFOUND ,"),
        ("domain", "ann@example.com", b"9:NOTFOUND ,"),
        ("mailbox-domain", "corp.local", b"10:OK mailbox,"),
        ("mailbox-domain", "example.com", b"9:NOTFOUND ,"),
        ("mxserved", "example.com", b"13:OK localhost.,"),
        ("mxserved", "corp.local", b"9:NOTFOUND ,"),
        ("mxserved", "sub.example.com", b"9:NOTFOUND ,"),
        ("mxserved", "elsewhere.test", b"9:NOTFOUND ,"),
    ],
)
def test_maps_of_domains(name: str, key: str, answer: bytes) -> None:
    """A domain of ours is in one of Postfix's two maps, never in both; mxserved is Sendmail's."""
    assert _look(_maps(), name, key) == answer


def test_mailertable_leaves_our_domains_to_route() -> None:
    """Sendmail asks it after route; only a foreign domain that a connector covers is in it."""
    door = _maps({"postmaster@elsewhere.test": Pass(connector=EXCHANGE)})
    assert _look(door, "mailertable", "elsewhere.test") == b"21:OK esmtp:[192.0.2.20],"
    for key in ("example.com", ".com", ".", "other.test"):
        assert _look(door, "mailertable", key) == b"9:NOTFOUND ,"


def test_an_unknown_map_is_temporary(caplog: pytest.LogCaptureFixture) -> None:
    """A wrong name in main.cf must not bounce mail; the log names it, a few times only."""
    door = _maps()
    with caplog.at_level(logging.WARNING, "codomain.policyd"):
        for _ in range(LINES + 5):
            assert _look(door, "recipients", "ann@example.com") == (
                b"28:TEMP temporarily unavailable,"
            )
    assert len(caplog.records) == LINES
    assert "map=recipients" in _line(caplog.records[0])


def _policy(verdict: Verdict, **runtime: object) -> PolicyDoor:
    resolver = FakeResolver({"ann@example.com": verdict})
    in_force = FakeInForce(FakeRuntime(resolver=resolver, **runtime))  # type: ignore[arg-type]
    return PolicyDoor(in_force, Throttle())  # type: ignore[arg-type]


def _ask(door: PolicyDoor, **values: str) -> bytes:
    answer = door.answer(parse_request(policy_request(**values)), 0.0)
    assert isinstance(answer, bytes)
    return answer


@pytest.mark.parametrize("state", ["DATA", "END-OF-MESSAGE", "VRFY", "ETRN", "CONNECT", "MAIL"])
@pytest.mark.parametrize("recipient", ["", "ann@example.com"])
def test_decisions_are_made_at_rcpt_only(state: str, recipient: str) -> None:
    """Elsewhere the recipient may be missing, and nothing is accepted there."""
    door = _policy(UNKNOWN)
    assert _ask(door, protocol_state=state, recipient=recipient) == b"action=DUNNO\n\n"


def test_shadow_mode_lets_everything_through(caplog: pytest.LogCaptureFixture) -> None:
    """The decision is taken, counted and logged, and the mail passes."""
    door = _policy(UNKNOWN, shadowed=True)
    with caplog.at_level(logging.INFO, "codomain.policyd"):
        assert _ask(door) == b"action=DUNNO\n\n"
    assert door.metrics.shadow("unknown", "example.com").count == 1
    assert door.metrics.requests("policy", "refuse", "unknown", "example.com").count == 1
    assert "mode=shadow" in _line(caplog.records[0])


def test_a_refusal_is_logged_with_what_the_client_is_not_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One line, with entry and detail; the reply itself names neither."""
    door = _policy(Refuse(Reason.LOOP, dn="cn=ann", detail="by exchange [192.0.2.20]"))
    with caplog.at_level(logging.INFO, "codomain.policyd"):
        reply = _ask(door)
    (record,) = caplog.records
    line = _line(record)
    for part in (
        "event=refused door=policy client=198.51.100.7",
        "reason=loop",
        "cn=ann",
        "192.0.2.20",
    ):
        assert part in line
    assert b"192.0.2" not in reply
    assert b"cn=" not in reply


def test_lines_of_a_kind_are_bounded(caplog: pytest.LogCaptureFixture) -> None:
    """Ten lines a minute of each kind; the next window says how many were left out."""
    now = 0.0
    throttle = Throttle(clock=lambda: now)
    for _ in range(LINES + 5):
        throttle.warn("protocol-error", "size")
    throttle.warn("protocol-error", "syntax")
    now = WINDOW_SECONDS
    throttle.warn("protocol-error", "size")
    events = [_line(record) for record in caplog.records]
    assert len(events) == LINES + 3
    assert "event=repeated" in events[-2]
    assert "dropped=5" in events[-2]


def test_a_fault_of_ours_is_temporary(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever breaks in between: 451 4.3.5 or TEMP, counted, with a traceback in the log."""
    door = _policy(DELIVER)
    door._in_force.runtime.resolver.fault = RuntimeError("boom")  # type: ignore[attr-defined]
    assert _ask(door).startswith(b"action=451 4.3.5 ")
    maps = _maps()
    maps._in_force.runtime.resolver.fault = RuntimeError("boom")  # type: ignore[attr-defined]
    assert _look(maps, "recipient", "ann@example.com") == b"28:TEMP temporarily unavailable,"
    assert maps.metrics.requests("map", "defer", "fault", "other").count == 1
    assert caplog.text.count("RuntimeError: boom") == 2


def test_one_route_for_a_peers_message() -> None:
    """A message of a peer that FILTER leads elsewhere takes no recipient of another route."""
    door = _policy(
        Relay(UNIX, diverted=True), standing=lambda _question: Standing(peer_of=("exchange",))
    )
    assert _ask(door).startswith(b"action=FILTER smtp:[192.0.2.10]")
    assert _ask(door, recipient="x@example.com").startswith(b"action=452 4.5.3 ")
    assert _ask(door).startswith(b"action=FILTER smtp:[192.0.2.10]")
    assert _ask(door, recipient="x@example.com", instance="other") == b"action=DUNNO\n\n"
    assert door.metrics.requests("policy", "defer", "route", "example.com").count == 1


def test_refused_recipients_fix_no_route() -> None:
    """The first recipient that is accepted fixes the route, not the first one."""
    door = _policy(Refuse(Reason.UNKNOWN), divertible=True)
    assert _ask(door).startswith(b"action=550 ")
    verdicts = door._in_force.runtime.resolver.verdicts  # type: ignore[attr-defined]
    verdicts["x@example.com"] = Relay(UNIX, diverted=True)
    assert _ask(door, recipient="x@example.com").startswith(b"action=FILTER ")


@pytest.mark.parametrize(
    ("raw", "client"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("2001:db8::1", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("unknown", "None"),
        ("", "None"),
        ("192.0.2.1\0", "None"),
        ("\udcff", "None"),
    ],
)
def test_client_addresses(raw: str, client: str) -> None:
    """IPv4-mapped addresses are IPv4; what is none makes a stranger."""
    request = parse_request(policy_request(client_address=raw))
    assert str(question_of(request).client) == client
