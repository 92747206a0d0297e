"""One message, four recipients, four fates: through smtpd and by local submission."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from support.postfix import SECONDS, SENDER, STRANGER, Lab, lab, message

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.slapd import Slapd

FOUR = ("ann@example.com", "bob@example.com", "dora@example.com", "dora@corp.local")
"""A mailbox, a contact, somebody of the other system, nobody."""

ARRIVE = [
    ("exchange", "ann@example.com"),
    ("unix", "bob@unix.example.net"),
    ("unix", "dora@example.com"),
]
"""Where they arrive, and as whom (decisions.md, steps 5 and 6)."""

DIRECTORY = "[directory ad]\ntype = ldap\nbase = dc=example,dc=com\n"


@pytest.fixture(scope="module", params=["ldap", "starttls", "ldaps"])
def reached(request: pytest.FixtureRequest, directory_server: Slapd, bound: str) -> Iterator[Lab]:
    """Give a gateway that reaches its directory in one of the three ways."""
    keys = {
        "ldap": f"servers = {directory_server.ldap}\n",
        "starttls": f"servers = {directory_server.ldap}\nstarttls = yes\n{bound}",
        "ldaps": f"servers = {directory_server.ldaps}\n{bound}",
    }
    with lab(DIRECTORY + keys[request.param]) as running:
        yield running


def test_one_message_through_smtpd_has_four_fates(reached: Lab) -> None:
    """Each recipient is decided on alone: three go on, the fourth is refused at RCPT."""
    sent = reached.send(STRANGER, *FOUR)
    assert [reply[:9] for reply in sent.replies] == ["250 2.1.5"] * 3 + ["550 5.1.1"]
    assert reached.arrivals(sent.token, 3) == ARRIVE
    reached.wait_until_empty()
    assert reached.arrivals(sent.token, 3) == ARRIVE


def test_local_submission_bounces_what_smtpd_would_refuse(reached: Lab) -> None:
    """No RCPT, no reply: the transport map's error: makes the report (mta.md, next hops)."""
    token = uuid.uuid4().hex
    reached.gateway.postfix.sendmail(SENDER, list(FOUR), message(token))
    # The report goes to the sender, and carries the header of the message inside.
    arrived = reached.sinks.wait_for(
        lambda arrivals: sum(token.encode() in a.content for a in arrivals) >= 4, SECONDS
    )
    ours = [arrival for arrival in arrived if token.encode() in arrival.content]
    reports = [arrival for arrival in ours if not arrival.sender]
    assert reached.arrivals(token, 3) == ARRIVE
    assert [(report.system, report.recipient) for report in reports] == [("internet", SENDER)]
    assert b"Final-Recipient: rfc822; dora@corp.local" in reports[0].content
    assert b"Status: 5.1.1" in reports[0].content
    assert b"ann@example.com" not in reports[0].content
