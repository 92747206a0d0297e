"""Loops between gateways of ours where the policy server judges: peers stop them.

decisions.md, step 6: from a peer of a connector only the connectors after it are ways out;
where none is left, 554 5.4.6.  A policy server sees no header, so what peers do not tell is
left to Postfix's count of hops.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.gateways import HOPS, HOSTS, SENDER

if TYPE_CHECKING:
    from support.gateways import Gateways

LOOP = b"5.4.6"
TRUSTED = "10.1.2.3"


@pytest.mark.parametrize(
    ("domain", "taken"),
    [
        # b knows that the mail comes from where it would send it: it never takes it.
        ("pair.test", {"a": 1, "b": 0, "c": 0}),
        # b takes a for a stranger; a knows b, from which its own mail returns.
        ("half.test", {"a": 1, "b": 1, "c": 0}),
        # Each lists both of the others behind its connector, so the first one asked knows.
        ("ring.test", {"a": 1, "b": 0, "c": 0}),
        # Only a lists all that are behind its connector.
        ("entry.test", {"a": 1, "b": 1, "c": 1}),
    ],
)
def test_an_unknown_recipient_is_stopped_at_the_first_return(
    by_policy: Gateways, domain: str, taken: dict[str, int]
) -> None:
    """No gateway takes it twice; the sender is told 5.4.6 by the one that sent it on."""
    recipient = f"nobody-{domain}@{domain}"
    token, reply = by_policy.send(recipient)
    assert reply.startswith("250 "), reply
    report = by_policy.bounce(token)
    assert report.recipient == SENDER
    assert LOOP in report.content, report.content
    assert b"554 " in report.content
    by_policy.settled()
    assert by_policy.taken(recipient) == taken


@pytest.mark.parametrize("domain", ["nat.test", "next.test"])
def test_where_no_peer_is_known_the_count_of_hops_stops_it(
    by_policy: Gateways, domain: str
) -> None:
    """Behind address translation, or in a ring of which each knows the next: hopcount_limit."""
    recipient = f"nobody-{domain}@{domain}"
    token, reply = by_policy.send(recipient)
    assert reply.startswith("250 "), reply
    assert b"too many hops" in by_policy.bounce(token).content
    by_policy.settled()
    assert HOPS - 1 <= sum(by_policy.taken(recipient).values()) <= HOPS + 1


def test_a_ring_of_contacts_is_stopped_by_the_count_of_hops(by_policy: Gateways) -> None:
    """A peer's mail to a contact goes back to it by right (the seed's method 2), so it may loop."""
    token, reply = by_policy.send("x@at-a.test")
    assert reply.startswith("250 "), reply
    assert b"too many hops" in by_policy.bounce(token).content
    by_policy.settled()


def test_a_postmaster_whom_nobody_has_is_stopped_by_the_count_of_hops(
    by_policy: Gateways,
) -> None:
    """RFC 5321 section 4.5.1: never refused; `codomain check` asks for [codomain] postmaster."""
    token, reply = by_policy.send("postmaster@post.test")
    assert reply.startswith("250 "), reply
    assert b"too many hops" in by_policy.bounce(token).content
    by_policy.settled()


def test_a_report_that_would_loop_as_well_ends(by_policy: Gateways) -> None:
    """The sender is as unknown as the recipient: no report of a report, and empty queues."""
    recipient = "nobody-twice@pair.test"
    _, reply = by_policy.send(recipient, TRUSTED, "sender-twice@pair.test")
    assert reply.startswith("250 "), reply
    by_policy.settled()
    assert by_policy.taken(recipient) == {"a": 1, "b": 0, "c": 0}
    assert by_policy.taken("sender-twice@pair.test") == {"a": 1, "b": 0, "c": 0}


def test_the_other_half_of_a_shared_domain_is_no_stranger(by_policy: Gateways) -> None:
    """A peer writes as the shared domain, of mailboxes that nobody here knows, and is taken."""
    for sender in ("someone@pair.test", "ann@pair.test"):
        assert rcpt(by_policy, HOSTS["b"], sender).startswith("250 ")


def test_from_outside_such_a_sender_is_left_to_the_mta(by_policy: Gateways) -> None:
    """What Postfix has against it is what it hears; we have nothing, and add nothing."""
    refused = rcpt(by_policy, "198.51.100.7", "someone@pair.test")
    assert refused.startswith("550 5.7.1 "), refused
    assert "Not from there" in refused
    # A shared domain's unknown sender is no unlisted one: half.test has no such restriction.
    assert rcpt(by_policy, "198.51.100.7", "someone@half.test").startswith("250 ")
    assert rcpt(by_policy, "198.51.100.7", "someone@corp-a.test").startswith("550 5.1.0 ")


def rcpt(gateways: Gateways, client: str, sender: str) -> str:
    """Return what gateway ``a`` says to a mailbox of its own as recipient."""
    with gateways.gateways["a"].postfix.connect(client) as session:
        session.docmd("MAIL", f"FROM:<{sender}>")
        code, text = session.docmd("RCPT", "TO:<ann@pair.test>")
        return f"{code} {text.decode()}"
