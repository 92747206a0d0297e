"""What each door says of a recipient in the log."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from codomain.connectors import Connector
from codomain.verdict import Deliver, Reason, Refuse, Relay
from codomain_milter.session import Outcome
from codomain_milter.trace import FIELD
from codomain_policyd.journal import Throttle
from codomain_policyd.policy import parse_request
from codomain_policyd.policy_door import PolicyDoor
from support.doors import FakeInForce, FakeResolver, FakeRuntime, policy_request
from support.milters import TRACER, Fakes

if TYPE_CHECKING:
    from codomain.verdict import Verdict

UNIX = Connector("unix", "smtp:[192.0.2.10]")
EXCHANGE = Connector("exchange", "smtp:[192.0.2.20]")
BOB = b"<bob@example.com>"


def _policy(verdicts: dict[str, Verdict], *, redirect: str = "socketmap") -> PolicyDoor:
    runtime = FakeRuntime(resolver=FakeResolver(verdicts))
    runtime.policyd.redirect = redirect
    return PolicyDoor(FakeInForce(runtime), Throttle())  # type: ignore[arg-type]


def _ask(door: PolicyDoor, **values: str) -> bytes:
    answer = door.answer(parse_request(policy_request(**values)), 0.0)
    assert isinstance(answer, bytes)
    return answer


def _fields(caplog: pytest.LogCaptureFixture) -> list[tuple[str, dict[str, Any]]]:
    return [(record.getMessage(), vars(record)["fields"]) for record in caplog.records]


def test_the_policy_server_names_the_message(caplog: pytest.LogCaptureFixture) -> None:
    """The queue id once Postfix has given one; the instance always."""
    door = _policy({"ann@example.com": Refuse(Reason.UNKNOWN)})
    with caplog.at_level(logging.INFO, "codomain.policyd"):
        _ask(door, client_address="198.51.100.8")
        _ask(door, client_address="unknown", recipient="Ann@example.com", queue_id="4Z1abc")
    (_, first), (_, second) = _fields(caplog)
    assert (first["instance"], "queue_id" in first) == ("5e3a.65d0c1d2.8f0a1.0", False)
    assert (second["queue_id"], second["client"]) == ("4Z1abc", "unknown")


def test_a_recipient_of_another_route_has_a_line(caplog: pytest.LogCaptureFixture) -> None:
    """decisions.md, redirect = filter: 452 4.5.3 is a deferral as any other."""
    verdicts: dict[str, Verdict] = {
        "ann@example.com": Deliver("ann@example.com", EXCHANGE),
        "bob@example.com": Relay(UNIX),
    }
    door = _policy(verdicts, redirect="filter")
    with caplog.at_level(logging.INFO, "codomain.policyd"):
        assert _ask(door).startswith(b"action=FILTER ")
        assert _ask(door, recipient="bob@example.com").startswith(b"action=452 4.5.3 ")
    ((name, fields),) = _fields(caplog)
    assert (name, fields["reason"]) == ("deferred", "route")
    assert fields["reply"].startswith("452 4.5.3 ")


def test_a_hit_writes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """architecture.md, the hot path: no log line, also at debug."""
    door = _policy({"ann@example.com": Refuse(Reason.UNKNOWN)})
    with caplog.at_level(logging.DEBUG, "codomain.policyd"):
        for _ in range(5):
            _ask(door)
    assert len(caplog.records) == 1


def test_accepted_recipients_have_a_line_at_debug(caplog: pytest.LogCaptureFixture) -> None:
    """codomain.ini(5), log_level: one for each request only at debug; both doors."""
    door = _policy({"ann@example.com": Deliver("ann@example.com", EXCHANGE, dn="cn=ann")})
    made = Fakes()
    made.resolver.verdicts["bob@example.com"] = Relay(UNIX)
    for level in (logging.INFO, logging.DEBUG):
        with caplog.at_level(level, "codomain"):
            _ask(door, recipient="Ann@example.com" if level == logging.DEBUG else "ann@example.com")
            made.session.mail(b"<a@b.test>")
            made.session.rcpt(BOB)
    policy, milter = _fields(caplog)
    assert policy[0] == milter[0] == "accepted"
    assert (policy[1]["verdict"], policy[1]["connector"], policy[1]["dn"]) == (
        "deliver",
        "exchange",
        "cn=ann",
    )
    assert (milter[1]["door"], milter[1]["verdict"]) == ("milter", "relay")


@pytest.mark.parametrize(
    ("macros", "queue_id"), [({"i": "6AOFxq012345"}, "6AOFxq012345"), ({}, None)]
)
def test_the_milter_names_the_message(
    caplog: pytest.LogCaptureFixture, macros: dict[str, str], queue_id: str | None
) -> None:
    """By the macro ``i``, where the MTA has given a queue id; a refusal and a loop."""
    made = Fakes()
    made.context.macros = macros
    made.resolver.verdicts["bob@example.com"] = Refuse(Reason.UNKNOWN)
    made.resolver.verdicts["x@example.com"] = Relay(UNIX)
    with caplog.at_level(logging.INFO, "codomain.milter"):
        made.session.mail(b"<a@b.test>")
        assert made.session.rcpt(BOB) is Outcome.REJECT
        made.session.rcpt(b"<x@example.com>")
        mark = TRACER.mark("unix", "x@example.com", "a@b.test")
        made.session.header(FIELD, TRACER.value({mark: "unix"}).encode())
        assert made.session.eom() is Outcome.REJECT
    (_, refused), (_, loop) = _fields(caplog)
    assert refused.get("queue_id") == queue_id
    assert (loop["reason"], loop.get("queue_id")) == ("loop", queue_id)


def test_a_queue_id_that_cannot_be_read_refuses_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """It is for the log alone."""
    made = Fakes()
    made.context.undecodable = {"i"}
    made.resolver.verdicts["bob@example.com"] = Refuse(Reason.UNKNOWN)
    with caplog.at_level(logging.INFO, "codomain.milter"):
        made.session.mail(b"<a@b.test>")
        assert made.session.rcpt(BOB) is Outcome.REJECT
    ((_, fields),) = _fields(caplog)
    assert "queue_id" not in fields
