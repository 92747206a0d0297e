"""Who the client is, from connect's address and the macros."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from codomain_milter.client import Client, authenticated, connected, fingerprint


@pytest.mark.parametrize(
    ("hostaddr", "address"),
    [
        (("192.0.2.7", 3701), "192.0.2.7"),
        (("2001:db8::7", 3701, 0, 0), "2001:db8::7"),
        (("IPv6:2001:db8::7", 3701, 0, 0), "2001:db8::7"),
        (("::ffff:192.0.2.7", 3701, 0, 0), "192.0.2.7"),
    ],
)
def test_an_address_is_read(hostaddr: object, address: str) -> None:
    """decisions.md, step 1: IPv4-mapped addresses count as IPv4."""
    assert connected(hostaddr) == Client(ip_address(address))


@pytest.mark.parametrize(
    "hostaddr", [None, "/run/socket", "", ("inet6:unknown", 1, 0, 0), ("", 1), (), (1, 2)]
)
def test_what_is_no_address_is_a_stranger(hostaddr: object) -> None:
    """decisions.md, Trusted: a client address that is missing or unknown is a stranger."""
    assert connected(hostaddr) == Client(None)


def test_port_zero_is_local_submission() -> None:
    """Postfix's cleanup gives 127.0.0.1 and port 0 for mail that came by sendmail(1)."""
    assert connected(("127.0.0.1", 0)) == Client(ip_address("127.0.0.1"), local=True)


@pytest.mark.parametrize(("login", "yes"), [(None, False), ("", False), ("alice", True)])
def test_a_login_is_authentication(login: str | None, yes: bool) -> None:  # noqa: FBT001
    """{auth_authen} is set where the client logged in."""
    assert authenticated({"{auth_authen}": login}.get) is yes


@pytest.mark.parametrize(
    ("macros", "found"),
    [
        ({}, ""),
        ({"{cert_md5}": "AA:BB"}, "AA:BB"),
        ({"{cert_md5}": "AA:BB", "{cert_fp}": "CC:DD"}, "CC:DD"),
        ({"{cert_fp}": "CC:DD", "{verify}": "OK"}, "CC:DD"),
        ({"{cert_fp}": "CC:DD", "{verify}": "FAIL"}, ""),
        ({"{cert_fp}": "CC:DD", "{verify}": "NO"}, ""),
        ({"{cert_subject}": "/CN=gateway", "{verify}": "OK"}, ""),
    ],
)
def test_a_certificate_counts_by_its_fingerprint(macros: dict[str, str], found: str) -> None:
    """A subject trusts nobody, and what Sendmail could not verify is none."""
    assert fingerprint(macros.get) == found
