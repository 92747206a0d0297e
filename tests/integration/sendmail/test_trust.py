"""Who is trusted through a real Sendmail: by listener, by login, by certificate, and by inet.

The client is one whom Sendmail itself lets relay, and whom codomain does not know: so what
is refused the milter refuses, by what Sendmail tells it.
"""

from __future__ import annotations

import hashlib
import ssl
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from codomain_cli.private_postfix import free_ports
from support.authority import Authority
from support.postfix import SENDER
from support.saslauth import SaslAuth
from support.sendmail import TRUSTED as PERMITTED
from support.sendmail import sendmail_lab

if TYPE_CHECKING:
    import smtplib
    from collections.abc import Iterator

    from support.authority import Certificate
    from support.sendmail import SendmailLab

PEOPLE = Path(__file__).with_name("people.ldif")

INI = """\
SITE
[directory people]
type = files
path = {people}

[trust]
trusted_networks = 127.0.0.1
trust_certificates = {fingerprint}

[context inside]
trusted = yes

[policyd]
socketmap_listen = inet:127.0.0.1:{map_port}

[milter]
listen = inet:127.0.0.1:{milter_port}
"""

MC = """\
DAEMON_OPTIONS(`Name=inside, Family=inet, Addr=127.0.0.1, Port={inside}')dnl
define(`confAUTH_MECHANISMS', `PLAIN')dnl
TRUST_AUTH_MECH(`PLAIN')dnl
define(`confSERVER_CERT', `{server.file}')dnl
define(`confSERVER_KEY', `{server.key}')dnl
define(`confCACERT', `{server.authority}')dnl
define(`confCACERT_PATH', `{server.authority.parent}')dnl
define(`confDONT_BLAME_SENDMAIL', `GroupReadableKeyFile')dnl
LOCAL_CONFIG
ESASL_CONF_PATH={sasl}
"""

FOREIGN = "someone@elsewhere.test"


class Certificates:
    """Those of the clients, and who signed them."""

    def __init__(self, folder: Path) -> None:
        ours, theirs = Authority(folder / "ours"), Authority(folder / "theirs")
        self.server = ours.sign("server", "DNS:gateway.test")
        self.listed = ours.sign("listed", "DNS:client.test")
        self.unlisted = ours.sign("unlisted", "DNS:client.test")
        self.unverified = theirs.sign("listed", "DNS:client.test")


def fingerprint(certificate: Certificate) -> str:
    """Return a certificate's fingerprint by SHA-256, as trust_certificates takes it."""
    der = ssl.PEM_cert_to_DER_cert(certificate.file.read_text())
    return hashlib.sha256(der).hexdigest()


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Give a folder; Sendmail reads nothing below one that others may write to, such as /tmp."""
    with tempfile.TemporaryDirectory(prefix="codomain-trust-", dir="/run") as name:
        yield Path(name)


@pytest.fixture(scope="module")
def certificates(folder: Path) -> Certificates:
    """Give certificates."""
    return Certificates(folder / "ca")


@pytest.fixture(scope="module")
def gateway(certificates: Certificates, folder: Path) -> Iterator[SendmailLab]:
    """Give a gateway with two listeners, logins and TLS; codomain listens on inet."""
    inside, map_port, milter_port = free_ports(3)
    listed = f"{fingerprint(certificates.listed)}, {fingerprint(certificates.unverified)}"
    ini = INI.format(people=PEOPLE, fingerprint=listed, map_port=map_port, milter_port=milter_port)
    with ExitStack() as stack:
        logins = SaslAuth(folder / "sasl", {"alice": "secret"})
        stack.enter_context(logins)
        mc = MC.format(inside=inside, server=certificates.server, sasl=logins.folder)
        running = stack.enter_context(sendmail_lab(ini, mc))
        running.ports["inside"] = inside
        yield running


def rcpt(session: smtplib.SMTP, recipient: str = FOREIGN) -> str:
    """Return the beginning of the reply to one recipient."""
    session.docmd("MAIL", f"FROM:<{SENDER}>")
    code, text = session.docmd("RCPT", f"TO:<{recipient}>")
    return f"{code} {text.decode()}"[:9]


def test_the_listener_names_the_context(gateway: SendmailLab) -> None:
    """Build 6: DaemonPortOptions Name= is {daemon_name}, and [context inside] is trusted."""
    with gateway.sendmail.connect(PERMITTED) as session:
        assert rcpt(session) == "554 5.7.1"
    with gateway.sendmail.connect(PERMITTED, gateway.ports["inside"]) as session:
        assert rcpt(session) == "250 2.1.5"


def test_who_logged_in_is_trusted(gateway: SendmailLab) -> None:
    """Build 6: {auth_authen}; a login that fails is none."""
    with gateway.sendmail.connect(PERMITTED) as session:
        code, _ = session.docmd("AUTH", "PLAIN AGFsaWNlAHdyb25n")
        assert code == 535
        assert rcpt(session) == "554 5.7.1"
        session.rset()
        session.login("alice", "secret")
        assert rcpt(session) == "250 2.1.5"


@pytest.mark.parametrize(
    ("which", "reply"),
    [
        ("listed", "250 2.1.5"),
        ("unlisted", "554 5.7.1"),
        # its authority is nobody's here: {verify} is FAIL, and the fingerprint proves nothing
        ("unverified", "554 5.7.1"),
        ("", "554 5.7.1"),
    ],
)
def test_a_certificate_is_trusted_by_its_fingerprint(
    gateway: SendmailLab, certificates: Certificates, which: str, reply: str
) -> None:
    """Build 6: {cert_fp} and {verify}, against trust_certificates; {cert_subject} is no proof."""
    context = ssl.create_default_context(cafile=certificates.server.authority)
    context.check_hostname = False
    if which:
        certificate: Certificate = getattr(certificates, which)
        context.load_cert_chain(certificate.file, certificate.key)
    with gateway.sendmail.connect(PERMITTED) as session:
        session.starttls(context=context)
        session.ehlo()
        assert rcpt(session) == reply


def test_inet_sockets_serve(gateway: SendmailLab) -> None:
    """Milter and map on inet: a contact is turned, and goes where its target is."""
    sent = gateway.send(PERMITTED, "bob@example.com", "ann@example.com")
    assert gateway.arrivals(sent.token, 2) == [
        ("exchange", "ann@example.com"),
        ("unix", "bob@unix.example.net"),
    ]


def test_what_needs_smtputf8_is_refused(gateway: SendmailLab) -> None:
    """This Sendmail offers no SMTPUTF8 (RFC 6531 section 3.5): whoever writes so hears 5xx."""
    with gateway.sendmail.connect(PERMITTED) as session:
        assert "smtputf8" not in session.esmtp_features
        session.command_encoding = "utf-8"
        assert rcpt(session, "j\u00fcrgen@corp.local").startswith("55")
