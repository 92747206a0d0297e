"""How the connection to a next system is protected: none, may, encrypt, verify."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest

from codomain.callout.answer import Outcome
from codomain.callout.host import Host, Hosts
from codomain.callout.session import Manner
from codomain.callout.system import System
from codomain.errors import NextSystemError
from support.smtpscript import BOUND, Script

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.authority import Authority

ANN = "ann@example.com"


@pytest.fixture
def script() -> Iterator[Script]:
    """Give a server that knows ann."""
    with Script() as server:
        server.taken = {ANN}
        yield server


def protect(script: Script, authority: Authority, names: str, *, days: int = 30) -> None:
    """Let the server offer STARTTLS with a certificate of these names."""
    certificate = authority.sign("mx", names, days=days)
    script.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    script.tls.load_cert_chain(certificate.file, certificate.key)


def asked(script: Script, tls: str) -> Outcome:
    """Ask for ann, and close."""
    hosts = Hosts([Host("127.0.0.1", script.port)])
    system = System(Manner("gateway.example.com", tls=tls), hosts)  # type: ignore[arg-type]
    try:
        return system.ask(ANN, BOUND, judged=True).outcome
    finally:
        system.close()


@pytest.fixture
def trusted(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """Give the authority that the system trusts."""
    monkeypatch.setenv("SSL_CERT_FILE", f"{authority.file}")
    return authority


@pytest.mark.parametrize("tls", ["may", "encrypt", "verify"])
def test_starttls_is_used_where_it_is_offered(script: Script, trusted: Authority, tls: str) -> None:
    """EHLO again behind it: what was said before may have been anybody's (RFC 3207)."""
    protect(script, trusted, "IP:127.0.0.1")
    assert asked(script, tls) is Outcome.KNOWN
    verbs = [command.partition(" ")[0] for command in script.commands]
    assert verbs[:4] == ["EHLO", "STARTTLS", "EHLO", "MAIL"]


def test_none_never_uses_it(script: Script, trusted: Authority) -> None:
    """Where it is offered, too."""
    protect(script, trusted, "IP:127.0.0.1")
    assert asked(script, "none") is Outcome.KNOWN
    assert script.asked("STARTTLS") == []


@pytest.mark.parametrize("tls", ["encrypt", "verify"])
def test_without_starttls_nothing_is_asked(script: Script, tls: str) -> None:
    """A recipient's name goes over no connection that anybody can read."""
    with pytest.raises(NextSystemError, match="STARTTLS"):
        asked(script, tls)
    assert script.asked("MAIL") == []


@pytest.mark.parametrize("tls", ["may", "encrypt"])
def test_a_certificate_is_not_verified_unless_the_ini_says_so(
    script: Script, authority: Authority, tls: str
) -> None:
    """As smtp_tls_security_level (postconf(5)) has these words."""
    protect(script, authority, "DNS:elsewhere.example", days=-1)
    assert asked(script, tls) is Outcome.KNOWN
    assert script.asked("STARTTLS") == [""]


@pytest.mark.parametrize(("names", "days"), [("DNS:elsewhere.example", 30), ("IP:127.0.0.1", -1)])
def test_a_certificate_of_another_name_or_time_proves_nothing(
    script: Script, trusted: Authority, names: str, days: int
) -> None:
    """With verify: chain, dates and name."""
    protect(script, trusted, names, days=days)
    with pytest.raises(NextSystemError, match="certificate"):
        asked(script, "verify")
    assert script.asked("MAIL") == []


def test_a_certificate_of_an_unknown_authority_proves_nothing(
    script: Script, authority: Authority
) -> None:
    """With verify: the authorities that the system trusts."""
    protect(script, authority, "IP:127.0.0.1")
    with pytest.raises(NextSystemError, match="certificate"):
        asked(script, "verify")


def test_where_tls_fails_may_goes_on_without_it(script: Script) -> None:
    """As Postfix does: in a new connection."""
    script.features.append("STARTTLS")
    script.replies["STARTTLS"] = "454 4.7.0 TLS not available"
    with pytest.raises(NextSystemError):
        asked(script, "encrypt")
    assert asked(script, "may") is Outcome.KNOWN
    script.replies["STARTTLS"] = "220 2.0.0 Go ahead"  # and then it speaks no TLS
    assert asked(script, "may") is Outcome.KNOWN


@pytest.mark.parametrize("tls", ["may", "encrypt"])
def test_what_comes_behind_the_reply_to_starttls_is_not_believed(
    script: Script, authority: Authority, tls: str
) -> None:
    """Somebody in between may have put it there (CVE-2011-0411)."""
    protect(script, authority, "IP:127.0.0.1")
    script.replies["STARTTLS"] = "220 2.0.0 Go ahead\r\n250 2.1.5 Ok"
    with pytest.raises(NextSystemError, match="more than its reply"):
        asked(script, tls)
    assert script.asked("MAIL") == []
