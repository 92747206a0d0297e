"""Doors that are not the usual ones: TCP, and maps without a policy server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codomain_cli.private_postfix import free_ports
from support.postfix import STRANGER, Lab, lab

if TYPE_CHECKING:
    from support.slapd import Slapd

DIRECTORY = "[directory ad]\ntype = ldap\nservers = {server}\nbase = dc=example,dc=com\n"


def judged(gateway: Lab) -> None:
    """Check one recipient of each kind: delivered, redirected, relayed, refused in our words."""
    sent = gateway.send(
        STRANGER, "ann@example.com", "bob@example.com", "dora@example.com", "nobody@corp.local"
    )
    assert [reply[:9] for reply in sent.replies] == ["250 2.1.5"] * 3 + ["550 5.1.1"]
    assert sent.replies[3].endswith("User unknown")
    assert gateway.arrivals(sent.token, 3) == [
        ("exchange", "ann@example.com"),
        ("unix", "bob@unix.example.net"),
        ("unix", "dora@example.com"),
    ]
    logged = gateway.gateway.postfix.logged().splitlines()
    assert [line for line in logged if "warning:" in line] == []


def test_both_doors_work_over_tcp(directory_server: Slapd) -> None:
    """inet:HOST:PORT, for a codomain that cannot reach the queue directory."""
    policy, maps = free_ports(2)
    doors = (
        f"[policyd]\nlisten = inet:127.0.0.1:{policy}\nsocketmap_listen = inet:127.0.0.1:{maps}\n"
    )
    with lab(DIRECTORY.format(server=directory_server.ldap), doors) as gateway:
        judged(gateway)


def test_maps_alone_give_the_same_replies(directory_server: Slapd) -> None:
    """Without a policy server the `access` map gives the reply (decisions.md, maps)."""
    doors = "[policyd]\nlisten =\n"
    with lab(DIRECTORY.format(server=directory_server.ldap), doors) as gateway:
        judged(gateway)
