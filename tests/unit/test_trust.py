"""Rules of trust: who is trusted, who is a peer, and who is a stranger."""

from __future__ import annotations

import pytest

from codomain.trust import NOBODY, Standing, fold_fingerprint
from support.decisions import question, rules_of

INI = """
[trust]
trusted_networks = 127.0.0.0/8, 2001:db8:1::/48
trust_sasl = {sasl}
trust_certificates = 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF
peers_may_relay = {peers}

[domain example.com]

[connector unix]
smart_hosts = [192.0.2.10]
address_spaces = example.com
peers = 192.0.2.10, 127.0.0.9, 203.0.113.0/24

[connector other]
smart_hosts = [192.0.2.11]
peers = 203.0.113.5

[context submission]
trusted = yes

[context inbound]
"""
CERTIFICATE = "00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff"


def standing(
    client: str = "198.51.100.7",
    *,
    login: bool = False,
    fingerprint: str = "",
    context: str = "",
    sasl: str = "yes",
    peers: str = "no",
) -> Standing:
    """Return what a client may do."""
    trust = rules_of(INI.format(sasl=sasl, peers=peers)).trust
    return trust.standing(
        question("ann@example.com", client, sasl=login, fingerprint=fingerprint, context=context)
    )


def test_a_client_that_shows_nothing_is_a_stranger() -> None:
    """Trust is never the default; a missing or unknown address is a stranger."""
    assert standing() == NOBODY
    assert standing("") == NOBODY
    assert Standing(trusted=False, peer_of=(), sends_out=False) == NOBODY


@pytest.mark.parametrize("client", ["127.0.0.1", "127.255.255.255", "2001:db8:1::5"])
def test_a_client_of_a_trusted_network_is_trusted(client: str) -> None:
    """Trusted: its address is in trusted_networks."""
    found = standing(client)
    assert found.trusted
    assert found.sends_out


@pytest.mark.parametrize("client", ["128.0.0.1", "2001:db8:2::5", "::1", "::127.0.0.1"])
def test_a_client_outside_of_them_is_not(client: str) -> None:
    """Networks of one family hold no address of the other."""
    assert standing(client) == NOBODY


def test_a_client_that_authenticated_is_trusted_if_trust_sasl() -> None:
    """Trusted: it authenticated and trust_sasl."""
    assert standing(login=True).trusted
    assert standing("", login=True).trusted
    assert standing(login=True, sasl="no") == NOBODY


def test_a_listed_certificate_is_trusted() -> None:
    """Trusted: its certificate is listed; case and colons do not count."""
    assert standing(fingerprint=CERTIFICATE).trusted
    assert standing(fingerprint=CERTIFICATE.upper().replace(":", "")).trusted
    assert standing(fingerprint=CERTIFICATE[:-2]) == NOBODY
    assert standing(fingerprint=CERTIFICATE + ":00") == NOBODY
    assert standing(fingerprint=":") == NOBODY


def test_a_context_that_says_so_is_trusted() -> None:
    """Trusted: the context says so; another one, or none, does not."""
    assert standing(context="submission").trusted
    for context in ("inbound", "Submission", "other", ""):
        assert standing(context=context) == NOBODY


def test_a_peer_is_known_and_not_trusted() -> None:
    """A peer may send out only with peers_may_relay, and is never trusted for that."""
    assert standing("192.0.2.10") == Standing(trusted=False, peer_of=("unix",), sends_out=False)
    assert standing("192.0.2.10", peers="yes") == Standing(
        trusted=False, peer_of=("unix",), sends_out=True
    )


def test_a_client_may_be_the_peer_of_several_and_trusted_as_well() -> None:
    """Step 6: also if it is trusted as well."""
    assert standing("203.0.113.5").peer_of == ("unix", "other")
    assert standing("127.0.0.9") == Standing(trusted=True, peer_of=("unix",), sends_out=True)


def test_peers_may_relay_opens_nothing_for_strangers() -> None:
    """peers_may_relay is about peers."""
    assert standing(peers="yes") == NOBODY


def test_fingerprints_have_one_form() -> None:
    """Postfix writes colons and upper case; administrators write both ways."""
    assert fold_fingerprint("AB:cd:01") == fold_fingerprint("abCD01") == "abcd01"
