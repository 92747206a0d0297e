"""What this host is: names, addresses and ports by which mail would come back."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

import pytest

from codomain.config import parse
from codomain_cli.checks.connectors import findings
from codomain_cli.checks.hosts import ThisHost, own_addresses

if TYPE_CHECKING:
    from pathlib import Path

HOST = ThisHost(
    frozenset({"gw.example.com", "localhost"}),
    frozenset({ipaddress.ip_address("192.0.2.1"), ipaddress.ip_address("2001:db8::1")}),
    frozenset({("", 25), ("127.0.0.1", 2525)}),
)


@pytest.mark.parametrize(
    ("smart_host", "here"),
    [
        ("[192.0.2.1]", True),
        ("[192.0.2.1]:25", True),
        ("[192.0.2.1]:2525", False),
        ("[127.0.0.1]:2525", True),
        ("[127.0.0.1]:26", False),
        ("[IPv6:2001:db8::1]", True),
        ("GW.Example.COM", True),
        ("[gw.example.com]:25", True),
        ("gw.example.com:26", False),
        ("other.example.com", False),
        ("[192.0.2.2]", False),
        ("unix:private/lmtp", False),
    ],
)
def test_a_smart_host_is_this_host_by_address_and_port(smart_host: str, here: bool) -> None:  # noqa: FBT001
    """A content filter or mailbox server on another port of this host is no loop."""
    assert HOST.is_here(smart_host) is here


def test_names_are_looked_up_only_where_it_is_asked_for() -> None:
    """A check without --probe asks no DNS."""
    assert not HOST.is_here("alias.example.com")
    assert HOST.is_here("alias.example.com", lambda _name: [ipaddress.ip_address("192.0.2.1")])


def test_the_kernel_names_the_addresses(tmp_path: Path) -> None:
    """proc(5): fib_trie marks them as host LOCAL; if_inet6 has 32 hexadecimal digits."""
    (tmp_path / "fib_trie").write_text(
        "Local:\n  +-- 0.0.0.0/0 2 0 2\n     |-- 192.0.2.7\n        /32 host LOCAL\n"
        "     |-- 192.0.2.255\n        /32 link BROADCAST\n"
    )
    (tmp_path / "if_inet6").write_text(f"20010db8{'0' * 23}1 02 40 00 80 eth0\n")
    found = {f"{address}" for address in own_addresses(tmp_path)}
    assert found == {"192.0.2.7", "2001:db8::1"}


def test_a_circle_is_told_with_its_whole_path() -> None:
    """Domain, connector, smart host, this host: the postmaster sees where to cut."""
    config = parse(
        "[domain example.com]\n[connector unix]\nsmart_hosts = [192.0.2.9], [192.0.2.1]\n"
        "address_spaces = example.com, *.example.org\n"
    )
    [found] = [one for one in findings(config, HOST) if one.id.endswith("this_host")]
    assert found.line == 3
    path = "example.com, *.example.org → connector unix → [192.0.2.1] → this host"
    assert found.what.endswith(path)
