"""Mail through a real Sendmail: the milter judges and rewrites, the maps route and relay."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.postfix import SECONDS, SENDER
from support.sendmail import STRANGER, TRUSTED, UNIX

if TYPE_CHECKING:
    from support.sendmail import SendmailLab


def test_one_message_has_four_fates(gateway: SendmailLab) -> None:
    """Each recipient is decided on alone: three leave for two systems, the fourth is refused."""
    sent = gateway.send(
        STRANGER, "ann@example.com", "bob@example.com", "dora@example.com", "dora@corp.local"
    )
    assert [reply[:9] for reply in sent.replies] == ["250 2.1.5"] * 3 + ["550 5.1.1"]
    assert gateway.arrivals(sent.token, 3) == [
        ("exchange", "ann@example.com"),
        ("unix", "bob@unix.example.net"),
        ("unix", "dora@example.com"),
    ]
    gateway.wait_until_empty()
    assert len(gateway.arrivals(sent.token, 3)) == 3


@pytest.mark.parametrize(
    ("recipient", "system", "address"),
    [
        ("ann@corp.local", "exchange", "ann@corp.local"),
        ("A.Smith@EXAMPLE.com", "exchange", "A.Smith@example.com"),
        ("ann+list@example.com", "exchange", "ann+list@example.com"),
        ('"john doe"@example.com', "unix", '"john doe"@example.com'),
        ("who@unix.example.net", "unix", "who@unix.example.net"),
        ("lena@lmtp.example.org", "lmtp", "lena@lmtp.example.org"),
        ("postmaster@example.com", "exchange", "ann@corp.local"),
    ],
)
def test_a_stranger_reaches_everybody(
    gateway: SendmailLab, recipient: str, system: str, address: str
) -> None:
    """Known, or unknown in a shared domain: it arrives where it lives (decisions.md)."""
    sent = gateway.send(STRANGER, recipient)
    assert sent.replies[0].startswith("250 2.1.5")
    ((to, as_whom),) = gateway.arrivals(sent.token, 1)
    # Sendmail writes domains in lower case on their way out.
    assert (to, as_whom.replace("EXAMPLE", "example")) == (system, address)


@pytest.mark.parametrize(
    ("client", "recipient", "reply"),
    [
        (STRANGER, "nobody@corp.local", "550 5.1.1"),
        # a contact's target must be allowed (decisions.md, step 5)
        (STRANGER, "eve@example.com", "554 5.7.1"),
        (TRUSTED, "eve@example.com", "554 5.7.1"),
        # the other system has had it, and nobody is after it (step 6)
        (UNIX, "nobody@example.com", "554 5.4.6"),
    ],
)
def test_the_milter_gives_its_own_reply(
    gateway: SendmailLab, client: str, recipient: str, reply: str
) -> None:
    """What Sendmail would pass the milter refuses, with code and enhanced code of its reason."""
    assert gateway.replies(client, recipient)[0].startswith(reply)


@pytest.mark.parametrize(
    "recipient",
    [
        "someone@elsewhere.test",
        # subdomains = no, and the domain above it may be relayed to
        "someone@sub.example.com",
        "someone@sub.unix.example.net",
        "someone%elsewhere.test@example.com",
        "elsewhere.test!someone@example.com",
        '"someone@elsewhere.test"@example.com',
        "@example.com:someone@elsewhere.test",
        "eve@evil.test",
    ],
)
def test_no_stranger_relays(gateway: SendmailLab, recipient: str) -> None:
    """Only our domains are open, and only by their own names; Sendmail itself says so: 5.7.1."""
    (reply,) = gateway.replies(STRANGER, recipient)
    assert reply.startswith("550 5.7.1")


def test_our_own_clients_relay(gateway: SendmailLab) -> None:
    """Who is trusted here and permitted in sendmail.mc sends to anywhere."""
    sent = gateway.send(TRUSTED, "someone@elsewhere.test", "ann@example.com")
    assert gateway.arrivals(sent.token, 2) == [
        ("exchange", "ann@example.com"),
        ("internet", "someone@elsewhere.test"),
    ]


def test_two_addresses_of_one_target_are_one_delivery(gateway: SendmailLab) -> None:
    """Two contacts with one target, and the target itself: it gets the message once."""
    sent = gateway.send(
        STRANGER, "bob@example.com", "robert@example.com", "bob@unix.example.net", "ann@corp.local"
    )
    gateway.arrivals(sent.token, 2)
    gateway.wait_until_empty()
    assert gateway.arrivals(sent.token, 2) == [
        ("exchange", "ann@corp.local"),
        ("unix", "bob@unix.example.net"),
    ]


def test_a_sender_is_not_looked_up(gateway: SendmailLab) -> None:
    """Ruleset 0 routes senders, too; an unknown sender of ours is not codomain's to refuse."""
    sent = gateway.send(STRANGER, "ann@example.com", sender="nobody@corp.local")
    assert gateway.arrivals(sent.token, 1) == [("exchange", "ann@example.com")]


def test_what_passes_no_milter_is_returned(gateway: SendmailLab) -> None:
    """No client, no reply: route says error:, and the report names the enhanced code."""
    token = gateway.submit("ann@corp.local", "dora@corp.local")
    arrived = gateway.sinks.wait_for(
        lambda arrivals: sum(token.encode() in a.content for a in arrivals) >= 2, SECONDS
    )
    reports = [a for a in arrived if token.encode() in a.content and not a.sender]
    assert gateway.arrivals(token, 1) == [("exchange", "ann@corp.local")]
    assert [(report.system, report.recipient) for report in reports] == [("internet", SENDER)]
    assert b"Final-Recipient: RFC822; dora@corp.local" in reports[0].content
    assert b"Status: 5.1.1" in reports[0].content
