"""Loops between gateways of ours where the milter judges: the trace field stops them, too.

One mark that returns for the same recipient, by the same connector, from the same sender is
a proof (:mod:`codomain_milter.trace`); it needs no peer to be known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.gateways import HOPS, SENDER

if TYPE_CHECKING:
    from support.gateways import Gateways

LOOP = b"5.4.6"
STRANGER = "198.51.100.7"


@pytest.mark.parametrize(
    ("domain", "taken"),
    [
        ("pair.test", {"a": 1, "b": 0, "c": 0}),
        ("half.test", {"a": 1, "b": 1, "c": 0}),
        ("ring.test", {"a": 1, "b": 0, "c": 0}),
        ("entry.test", {"a": 1, "b": 1, "c": 1}),
        # Nobody knows a peer: a finds its own mark in what comes back.
        ("nat.test", {"a": 1, "b": 1, "c": 0}),
        ("next.test", {"a": 1, "b": 1, "c": 1}),
    ],
)
def test_an_unknown_recipient_is_stopped_at_the_first_return(
    by_milter: Gateways, domain: str, taken: dict[str, int]
) -> None:
    """No gateway takes it twice, whether peers are known or not; the sender is told 5.4.6."""
    recipient = f"nobody-{domain}@{domain}"
    token, reply = by_milter.send(recipient)
    assert reply.startswith("250 "), reply
    report = by_milter.bounce(token)
    assert report.recipient == SENDER
    assert LOOP in report.content, report.content
    by_milter.settled()
    assert by_milter.taken(recipient) == taken


@pytest.mark.parametrize(
    ("recipient", "final"),
    [
        # A contact of each gateway leads to the other's.
        ("x@at-a.test", "x@at-b.test"),
        # Each takes the other for the system that has postmaster's mailbox.
        ("postmaster@post.test", "postmaster@post.test"),
    ],
)
def test_what_peers_may_not_stop_is_stopped_by_its_trace(
    by_milter: Gateways, recipient: str, final: str
) -> None:
    """At RCPT both are taken by right; when the message comes back for it, it is a loop."""
    token, reply = by_milter.send(recipient)
    assert reply.startswith("250 "), reply
    assert LOOP in by_milter.bounce(token).content
    by_milter.settled()
    assert by_milter.taken(final)["a"] == 1


def test_a_message_that_has_been_at_too_many_hosts_is_refused(by_milter: Gateways) -> None:
    """max_hops: more Received fields than that is 554 5.4.6 (RFC 5321 section 6.3)."""
    with by_milter.gateways["a"].postfix.connect(STRANGER) as session:
        for hops, code in ((HOPS - 1, 250), (HOPS + 1, 554)):
            session.docmd("MAIL", f"FROM:<{SENDER}>")
            session.docmd("RCPT", f"TO:<hops-{hops}@nat.test>")
            fields = "".join(f"Received: from h{n}.test by h.test; today\r\n" for n in range(hops))
            said, text = session.data(f"{fields}Subject: x\r\n\r\nx\r\n")
            assert said == code, text
    by_milter.settled()
