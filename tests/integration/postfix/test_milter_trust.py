"""Who is trusted by the milter behind a real Postfix: by listener, by login, and not by name.

Postfix itself lets everybody relay here, so what is refused the milter refuses, by what
Postfix tells it.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest

from codomain_cli.private_postfix import free_ports
from support.authority import Authority
from support.milterlab import STRANGER, milter_lab
from support.postfix import wait_until

if TYPE_CHECKING:
    import smtplib
    from collections.abc import Iterator

    from support.milterlab import MilterLab

FOREIGN = "someone@elsewhere.test"

INI = """\
[context inside]
trusted = yes
"""

SERVICES = (
    "127.0.0.1:{outside} inet n - n - - smtpd\n"
    "127.0.0.1:{inside} inet n - n - - smtpd\n"
    "  -o milter_macro_daemon_name=inside\n"
)


class Ports:
    """The two listeners of one Postfix."""

    def __init__(self, lab: MilterLab) -> None:
        self.lab = lab
        self.outside, self.inside = free_ports(2)

    def connect(self, port: int) -> smtplib.SMTP:
        """Open a session as a stranger."""
        return self.lab.postfix.connect(STRANGER, port=port)

    def open(self) -> bool:
        """Tell whether both serve."""
        try:
            for port in (self.outside, self.inside):
                self.connect(port).close()
        except OSError:
            return False
        return True


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Give an authority that this Postfix trusts."""
    return Authority(tmp_path_factory.mktemp("ca") / "ours")


@pytest.fixture(scope="module")
def ports(authority: Authority) -> Iterator[Ports]:
    """Give a Postfix with logins and TLS, which asks the milter over inet."""
    server = authority.sign("server", "DNS:gateway.test")
    main = {
        "mynetworks": "0.0.0.0/0",
        "smtpd_sasl_auth_enable": "yes",
        "smtpd_tls_security_level": "may",
        "smtpd_tls_cert_file": f"{server.file}",
        "smtpd_tls_key_file": f"{server.key}",
        "smtpd_tls_CAfile": f"{authority.file}",
        "smtpd_tls_ask_ccert": "yes",
    }
    with milter_lab(inet=True, main=main, more=INI) as lab:
        made = Ports(lab)
        lab.postfix.add("", SERVICES.format(outside=made.outside, inside=made.inside))
        lab.postfix.command("reload")
        wait_until(made.open)
        yield made


def rcpt(session: smtplib.SMTP, recipient: str = FOREIGN, mail: str = "") -> str:
    """Return the beginning of the reply to one recipient."""
    session.docmd("MAIL", f"FROM:<author@elsewhere.test>{mail}")
    code, text = session.docmd("RCPT", f"TO:<{recipient}>")
    return f"{code} {text.decode()}"[:9]


def test_the_listener_names_the_context(ports: Ports) -> None:
    """Build 6: milter_macro_daemon_name is {daemon_name}, and [context inside] is trusted."""
    with ports.connect(ports.outside) as session:
        assert rcpt(session) == "554 5.7.1"
    with ports.connect(ports.inside) as session:
        assert rcpt(session) == "250 2.1.5"


def test_who_logged_in_is_trusted(ports: Ports) -> None:
    """Build 6: {auth_authen}, which Postfix has of XCLIENT here; it ends with the session."""
    with ports.lab.postfix.connect(port=ports.outside) as session:
        client = f"ADDR={STRANGER} NAME=[UNAVAILABLE] LOGIN=alice"
        assert session.docmd("XCLIENT", client)[0] == 220
        session.ehlo()
        assert rcpt(session) == "250 2.1.5"
    with ports.connect(ports.outside) as session:
        assert rcpt(session) == "554 5.7.1"


def test_a_certificate_trusts_nobody_by_its_subject(ports: Ports, authority: Authority) -> None:
    """ADR 9: Postfix tells a milter {cert_subject} and no fingerprint; a subject is no proof."""
    certificate = authority.sign("client", "DNS:client.test")
    context = ssl.create_default_context(cafile=authority.file)
    context.check_hostname = False
    context.load_cert_chain(certificate.file, certificate.key)
    with ports.connect(ports.outside) as session:
        session.starttls(context=context)
        session.ehlo()
        assert rcpt(session) == "554 5.7.1"


def test_smtputf8_must_be_announced(ports: Ports) -> None:
    """RFC 6531 section 3.5: 553 5.6.7 without the parameter, and with it the recipient's own."""
    with ports.connect(ports.outside) as session:
        session.command_encoding = "utf-8"
        assert rcpt(session, "j\u00fcrgen@corp.local") == "553 5.6.7"
        session.rset()
        session.command_encoding = "utf-8"
        assert rcpt(session, "j\u00fcrgen@corp.local", " SMTPUTF8") == "550 5.1.1"
