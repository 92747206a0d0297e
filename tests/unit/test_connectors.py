"""Rules of the ways out: which connector covers what, in which order, and who its peers are."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING

import pytest

from codomain.config import parse
from codomain.connectors import Connectors, Spaces, host_name, next_hop, spaces_over

if TYPE_CHECKING:
    from codomain.connectors import Lookup


def lookup(name: str) -> list[IPv4Address | IPv6Address]:
    """Stand for the DNS."""
    known = {
        "relay.example.net": ["192.0.2.77", "2001:db8::77"],
        "peer.example.net": ["192.0.2.78"],
    }
    return [ip_address(address) for address in known.get(name, [])]


def connectors(ini: str, find: Lookup = lookup) -> Connectors:
    """Build the connectors of an INI."""
    return Connectors(parse(ini).connectors, find)


def one(lines: str) -> str:
    """Write one connector."""
    return f"[connector one]\naddress_spaces = example.com\n{lines}\n"


def names(ways: Connectors, domain: str) -> list[str]:
    """Name the connectors that cover a domain."""
    return [way.name for way in ways.covering(domain)]


def test_a_star_covers_everything_below_and_not_the_domain_itself() -> None:
    """Step 6: *.x covers everything below x, not x itself."""
    spaces = Spaces(frozenset({"*.x.test", "y.test"}))
    assert spaces.cover("a.x.test")
    assert spaces.cover("b.a.x.test")
    assert not spaces.cover("x.test")
    assert not spaces.cover("ax.test")
    assert spaces.cover("y.test")
    assert not spaces.cover("a.y.test")


def test_nothing_lies_below_or_above_an_address_literal() -> None:
    """A literal has no parent domain."""
    assert spaces_over("[192.0.2.1]") == ["[192.0.2.1]"]


def test_the_most_specific_space_goes_first_then_cost_then_the_ini() -> None:
    """Step 6: the most specific space first, then by cost; each connector once."""
    ways = connectors(
        "".join(
            f"[connector {name}]\nsmart_hosts = [192.0.2.1]\naddress_spaces = {spaces}\n{cost}\n"
            for name, spaces, cost in (
                ("wide", "*.example.com", "cost = 1"),
                ("exact", "a.b.example.com", "cost = 99"),
                ("late", "*.b.example.com", "cost = 20"),
                ("both", "*.b.example.com, *.example.com", "cost = 5"),
                ("plain", "*.b.example.com", ""),
                ("again", "*.b.example.com", ""),
                ("ten", "*.b.example.com", "cost = 10"),
            )
        )
    )
    assert names(ways, "a.b.example.com") == [
        *("exact", "both", "plain", "again", "ten", "late", "wide")
    ]
    assert names(ways, "b.example.com") == ["wide", "both"]
    assert names(ways, "example.com") == []
    assert names(ways, "") == []


def test_allow_relay_is_off_and_cost_is_ten_until_they_are_set() -> None:
    """KB 321721: relaying is off until it is set; step 6: cost is 10 where it is not given."""
    way = connectors(one("smart_hosts = [192.0.2.1]")).by_name["one"]
    assert (way.allow_relay, way.cost) == (False, 10)


@pytest.mark.parametrize(
    ("transport", "hosts", "hop"),
    [
        ("smtp", ["[192.0.2.10]"], "smtp:[192.0.2.10]"),
        ("smtp", ["[a]:25", "[b]"], "smtp:[a]:25, [b]"),
        ("smtp", ["relay.example.net"], "smtp:[relay.example.net]"),
        ("relay", ["relay.example.net:2525"], "relay:[relay.example.net]:2525"),
        ("smtp", ["[2001:db8::1]:25"], "smtp:[2001:db8::1]:25"),
        ("lmtp", ["unix:private/dovecot-lmtp"], "lmtp:unix:private/dovecot-lmtp"),
    ],
)
def test_a_next_hop_is_all_smart_hosts_in_order(transport: str, hosts: list[str], hop: str) -> None:
    """Step 6: all of them, in order; a smart host is never an MX look-up (transport(5))."""
    assert next_hop(transport, hosts) == hop


@pytest.mark.parametrize(
    ("written", "host"),
    [
        ("[192.0.2.10]:25", "192.0.2.10"),
        ("[192.0.2.10]", "192.0.2.10"),
        ("192.0.2.10", "192.0.2.10"),
        ("Mail1.Example.COM", "mail1.example.com"),
        ("mail1.example.com.", "mail1.example.com"),
        (" mail1.example.com:2525 ", "mail1.example.com"),
        ("[mail1.example.com]", "mail1.example.com"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("[IPv6:2001:DB8::1]:25", "2001:db8::1"),
        ("[IPV6:2001:db8::1]", "2001:db8::1"),
    ],
)
def test_a_host_is_compared_without_brackets_port_and_case(written: str, host: str) -> None:
    """Step 5: the connector whose smart host the entry's mailHost names."""
    assert host_name(written) == host


def test_a_mail_host_names_a_connector_by_any_of_its_smart_hosts() -> None:
    """Step 5: the next hop is always text of the configuration, never of the entry."""
    ways = connectors(one("smart_hosts = [192.0.2.10]:2525, relay.example.net"))
    for host in ("192.0.2.10", "[192.0.2.10]:99", "RELAY.example.net"):
        named = ways.named_by(host)
        assert named is not None
        assert named.next_hop == "smtp:[192.0.2.10]:2525, [relay.example.net]"
    assert ways.named_by("relay2.example.net") is None
    assert ways.named_by("") is None


@pytest.mark.parametrize(
    ("lines", "client", "is_peer"),
    [
        ("smart_hosts = [192.0.2.10]:25", "192.0.2.10", True),
        ("smart_hosts = [192.0.2.10]:25", "192.0.2.11", False),
        ("smart_hosts = relay.example.net", "192.0.2.77", True),
        ("smart_hosts = relay.example.net", "2001:db8::77", True),
        ("smart_hosts = [192.0.2.9], [2001:db8::9]", "2001:db8::9", True),
        ("smart_hosts = [IPv6:2001:db8::9]:25", "2001:db8::9", True),
        ("smart_hosts = [192.0.2.10]\npeers = 203.0.113.0/24", "203.0.113.200", True),
        ("smart_hosts = [192.0.2.10]\npeers = 203.0.113.0/24", "192.0.2.10", False),
        ("smart_hosts = [192.0.2.10]\npeers = peer.example.net", "192.0.2.78", True),
        ("smart_hosts = [192.0.2.10]\npeers = [2001:db8::20]", "2001:db8::20", True),
        ("smart_hosts = [192.0.2.10]\npeers = [2001:db8::]/64", "2001:db8::20", True),
        ("smart_hosts = [192.0.2.10]\npeers = ::ffff:192.0.2.30", "192.0.2.30", True),
        ("smart_hosts = unix:private/x\ntransport = lmtp", "127.0.0.1", False),
        ("smart_hosts = gone.example.net", "192.0.2.10", False),
    ],
)
def test_peers_are_the_networks_of_the_ini_or_the_smart_hosts(
    lines: str,
    client: str,
    is_peer: bool,  # noqa: FBT001  # a column of the table
) -> None:
    """config.md, peers: networks, also in brackets; default: the smart hosts' addresses."""
    ways = connectors(one(lines))
    assert ways.peers_of(ip_address(client)) == (("one",) if is_peer else ())


def test_an_unknown_client_is_nobodys_peer() -> None:
    """A client address that is missing or unknown is a stranger."""
    assert connectors(one("smart_hosts = [192.0.2.10]")).peers_of(None) == ()
