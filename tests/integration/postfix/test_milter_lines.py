"""`codomain postfix --milter`: the milter judges and rewrites, the maps still route."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from support.postfix import SECONDS, SENDER, STRANGER, TRUSTED, UNIX, Lab, lab, message, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.slapd import Slapd

DIRECTORY = "[directory ad]\ntype = ldap\nbase = dc=example,dc=com\nservers = {server}\n"

FOUR = ("ann@example.com", "bob@example.com", "dora@example.com", "dora@corp.local")
ARRIVE = [
    ("exchange", "ann@example.com"),
    ("unix", "bob@unix.example.net"),
    ("unix", "dora@example.com"),
]


@pytest.fixture(scope="module")
def judged(directory_server: Slapd) -> Iterator[Lab]:
    """Give a gateway whose Postfix asks the milter."""
    with lab(DIRECTORY.format(server=directory_server.ldap), milter=True) as running:
        yield running


def test_one_message_has_four_fates(judged: Lab) -> None:
    """Delivered, redirected, relayed and refused, as through the policy server."""
    sent = judged.send(STRANGER, *FOUR)
    assert [reply[:9] for reply in sent.replies] == ["250 2.1.5"] * 3 + ["550 5.1.1"]
    assert judged.arrivals(sent.token, 3) == ARRIVE
    judged.wait_until_empty()
    assert judged.arrivals(sent.token, 3) == ARRIVE


def test_a_contact_and_its_target_are_one_delivery(judged: Lab) -> None:
    """Rewritten once, by the milter; the target as a recipient of its own adds none."""
    sent = judged.send(STRANGER, "bob@example.com", "bob@unix.example.net", "ann@example.com")
    judged.arrivals(sent.token, 2)
    judged.wait_until_empty()
    assert judged.arrivals(sent.token, 2) == ARRIVE[:2]


def test_local_submission_is_rewritten_and_bounced_by_the_maps(judged: Lab) -> None:
    """It passes no milter: a cleanup of its own rewrites, and error: makes the report."""
    token = uuid.uuid4().hex
    judged.gateway.postfix.sendmail(SENDER, list(FOUR), message(token))
    judged.sinks.wait_for(
        lambda arrivals: sum(token.encode() in a.content for a in arrivals) >= 4, SECONDS
    )
    assert judged.arrivals(token, 3) == ARRIVE
    reports = [a for a in judged.sinks.all() if token.encode() in a.content and not a.sender]
    assert [report.recipient for report in reports] == [SENDER]
    assert b"Final-Recipient: rfc822; dora@corp.local" in reports[0].content


@pytest.mark.parametrize(
    ("client", "recipient", "reply"),
    [
        (STRANGER, "someone@elsewhere.test", "554 5.7.1"),
        (STRANGER, "someone@sub.example.com", "554 5.7.1"),
        (STRANGER, "someone%elsewhere.test@example.com", "554 5.7.1"),
        (STRANGER, "eve@example.com", "554 5.7.1"),
        (STRANGER, "nobody@corp.local", "550 5.1.1"),
        (UNIX, "nobody@example.com", "554 5.4.6"),
        (TRUSTED, "someone@elsewhere.test", "250 2.1.5"),
    ],
)
def test_replies(judged: Lab, client: str, recipient: str, reply: str) -> None:
    """Postfix says who may relay, the milter all else; the codes are those of the reasons."""
    assert judged.reply(client, recipient)[:9] == reply


def test_without_the_daemon_nothing_passes_and_all_heals(judged: Lab) -> None:
    """milter_default_action = tempfail: 4xx while it is stopped, well again once it runs."""
    with judged.gateway.postfix.connect(STRANGER) as session:
        assert session.docmd("MAIL", f"FROM:<{SENDER}>")[0] == 250
        judged.gateway.daemon.stop()
        try:
            codes = [session.docmd("RCPT", f"TO:<{to}>")[0] for to in FOUR]
            with judged.gateway.postfix.connect(STRANGER) as another:
                codes.append(another.docmd("MAIL", f"FROM:<{SENDER}>")[0])
        finally:
            judged.gateway.daemon.start()
    # smtpd remembers of a domain that could not be looked up (the text above master.cf).
    judged.gateway.postfix.command("reload")
    wait_until(lambda: not any(judged.reply(STRANGER, to).startswith("4") for to in FOUR))
    assert {code // 100 for code in codes} == {4}
    sent = judged.send(STRANGER, *FOUR)
    assert judged.arrivals(sent.token, 3) == ARRIVE
