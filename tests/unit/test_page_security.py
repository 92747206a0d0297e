"""Who may read the admin door, and under which name."""

from __future__ import annotations

import pytest

from codomain.config import parse
from codomain_cli.page.security import HEADERS, refusal

INI = """\
[codomain]
hostname = MX.example.com
postfix = off
[http]
listen = inet:0.0.0.0:9815
allow = 192.0.2.0/24, 2001:db8:5::/48
hosts = status.example.com, straße.example.com
"""

CONFIG = parse(INI)


def _status(
    *hosts: str, peer: str | None = "127.0.0.1", local: str = "127.0.0.1", method: str = "GET"
) -> int:
    found = refusal(CONFIG, method, hosts, peer, local)
    return 200 if found is None else found.status


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:9815",
        "127.0.0.1",
        "localhost:9815",
        "LocalHost.",
        "[::1]:9815",
        "[::1]",
        "mx.example.com:9815",
        "status.EXAMPLE.com",
        "xn--strae-oqa.example.com:1",
    ],
)
def test_our_names_are_answered(host: str) -> None:
    """This host's, `[codomain] hostname`, and those of `[http] hosts`; the port says nothing."""
    assert _status(host) == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.test",
        "evil.test:9815",
        "127.0.0.1.evil.test",
        "localhost.evil.test",
        "127.0.0.1:9815.evil.test",
        "127.0.0.1@evil.test",
        "mx.example.com:80:80",
        "192.0.2.5",
        "[::1",
        "[::1]x",
        "::1",
        "",
        " ",
        "mx.example.com\x00",
        "mx.example.com:٣",
    ],
)
def test_other_names_are_misdirected(host: str) -> None:
    """RFC 9110 section 15.5.20: 421; a foreign site's name may lead here (DNS rebinding)."""
    assert _status(host) == 421


def test_two_hosts_are_none() -> None:
    """RFC 9112 section 3.2: one Host; with two, whoever looks chooses."""
    assert _status("127.0.0.1", "127.0.0.1") == 421


def test_without_a_host_no_browser_asks() -> None:
    """HTTP/1.0 of a load balancer's check has none; every browser sends one."""
    assert _status() == 200


def test_the_address_that_was_called_is_a_name_of_ours() -> None:
    """Prometheus calls by address, and an address has no DNS that could be turned."""
    assert _status("192.0.2.1:9815", peer="192.0.2.9", local="192.0.2.1") == 200
    assert _status("192.0.2.2:9815", peer="192.0.2.9", local="192.0.2.1") == 421
    assert _status("[2001:db8:5::1]:9815", peer="2001:db8:5::9", local="2001:db8:5::1") == 200


@pytest.mark.parametrize(
    ("peer", "status"),
    [
        ("127.0.0.1", 200),
        ("127.9.9.9", 200),
        ("::1", 200),
        ("::ffff:127.0.0.1", 200),
        ("192.0.2.77", 200),
        ("::ffff:192.0.2.77", 200),
        ("2001:db8:5:1::1", 200),
        ("192.0.3.1", 403),
        ("198.51.100.7", 403),
        ("2001:db8:6::1", 403),
        ("fe80::1%eth0", 403),
        ("gone", 403),
        ("", 403),
    ],
)
def test_this_host_and_allowed_networks_may_ask(peer: str, status: int) -> None:
    """`[http] allow`; an IPv4 client of an IPv6 socket counts as IPv4."""
    assert _status("mx.example.com", peer=peer) == status


def test_over_a_unix_socket_its_mode_decides() -> None:
    """No browser gets there, so that any name will do."""
    assert _status("x", peer=None) == 200
    assert _status(peer=None) == 200


@pytest.mark.parametrize(
    ("method", "status"),
    [("GET", 200), ("HEAD", 200), ("POST", 405), ("PUT", 405), ("DELETE", 405), ("OPTIONS", 405)],
)
def test_nothing_is_changed_by_any_method(method: str, status: int) -> None:
    """RFC 9110 section 15.5.6: 405, over a unix socket, too."""
    assert _status("127.0.0.1", method=method) == status
    assert _status("x", peer=None, method=method) == status


def test_who_may_not_ask_learns_no_name() -> None:
    """The peer is looked at first: 403 whatever the Host."""
    assert _status("evil.test", peer="198.51.100.7") == 403


def test_the_policy_of_content_allows_only_this_origin() -> None:
    """Default none, no inline script or style, no frame, no foreign form target."""
    policy = dict(part.split(" ", 1) for part in HEADERS["Content-Security-Policy"].split("; "))
    assert policy.pop("default-src") == "'none'"
    assert policy.pop("frame-ancestors") == "'none'"
    assert policy.pop("base-uri") == "'none'"
    assert set(policy.values()) == {"'self'"}
    assert HEADERS["X-Content-Type-Options"] == "nosniff"
    assert HEADERS["Cache-Control"] == "no-store"
    assert HEADERS["Referrer-Policy"] == "no-referrer"
