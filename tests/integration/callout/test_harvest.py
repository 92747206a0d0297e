"""The harvest brake behind a real Postfix, at both doors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.postfix import TRUSTED, UNIX, lab

if TYPE_CHECKING:
    from support.postfix import Lab

INI = """
[harvest]
limit = 5

[domain example.com]
type = shared

[connector unix]
smart_hosts = [127.0.0.1]:1
address_spaces = example.com
peers = 192.0.2.10
"""
GUESSER, OTHER = "198.51.100.7", "198.51.100.8"


@pytest.mark.parametrize("milter", [False, True])
def test_who_guesses_is_told_nothing_more(base: str, *, milter: bool) -> None:
    """450 4.7.1 for every recipient, known ones too; trusted clients and peers are exempt."""
    # smtpd takes no client's IPv6 address in XCLIENT without it.
    main = {"inet_protocols": "all"}
    with lab(INI, base=base, milter=milter, main=main) as gateway:
        postfix = gateway.gateway.postfix
        with postfix.connect(GUESSER) as session, postfix.connect(GUESSER) as another:
            another.docmd("MAIL", "FROM:<a@elsewhere.test>")
            assert another.docmd("RCPT", "TO:<ann@corp.local>")[0] == 250
            session.docmd("MAIL", "FROM:<a@elsewhere.test>")
            assert session.docmd("RCPT", "TO:<ann@corp.local>")[0] == 250
            for number in range(6):
                code, text = session.docmd("RCPT", f"TO:<n{number}@corp.local>")
                assert (code, text[:5]) == (550, b"5.1.1")
            for name in ("ann", "n0", "other", "postmaster"):
                code, text = session.docmd("RCPT", f"TO:<{name}@corp.local>")
                assert (code, text[:5]) == (450, b"4.7.1"), text
            assert another.docmd("RCPT", "TO:<ann@corp.local>")[0] == 450
        # on every connection
        assert gateway.reply(GUESSER, "ann@corp.local").startswith("450 4.7.1")
        assert gateway.reply(OTHER, "ann@corp.local").startswith("250 ")
        for client in (TRUSTED, UNIX):
            for number in range(7):
                reply = gateway.reply(client, f"n{number}@corp.local")
                assert reply.startswith("550 5.1.1")
            assert gateway.reply(client, "ann@corp.local").startswith("250 ")
        _a_site_of_ipv6_counts_as_one(gateway)
        page = gateway.gateway.page("metrics")
        assert 'reason="harvest"' in page


def _a_site_of_ipv6_counts_as_one(gateway: Lab) -> None:
    """RFC 6177: a site has a /64 at least, and so as many addresses as it wants to guess from."""
    for number in range(1, 7):
        reply = gateway.reply(f"2001:db8:0:7::{number}", f"n{number}@corp.local")
        assert reply.startswith("550 5.1.1")
    assert gateway.reply("2001:db8:0:7:ffff:1:2:3", "ann@corp.local").startswith("450 4.7.1")
    assert gateway.reply("2001:db8:0:8::1", "ann@corp.local").startswith("250 ")
