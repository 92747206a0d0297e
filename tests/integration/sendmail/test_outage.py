"""Maps, milter, directory and the whole daemon away: temporary, and nothing passes unchecked."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from codomain_cli.private_postfix import free_ports
from support.postfix import SENDER, wait_until
from support.sendmail import STRANGER, sendmail_lab

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.sendmail import SendmailLab

EVERY = ("ann@corp.local", "bob@example.com", "nobody@corp.local", "someone@elsewhere.test")


def mail(gateway: SendmailLab) -> str:
    """Return the reply to MAIL, which Sendmail delays its milter's failure to."""
    with gateway.sendmail.connect(STRANGER) as session:
        code, text = session.docmd("MAIL", f"FROM:<{SENDER}>")
    return f"{code} {text.decode()}"


def test_without_the_maps_all_is_temporary(gateway: SendmailLab) -> None:
    """A map that cannot be asked is no "not found": 451 4.4.3, also to the foreign."""
    with gateway.without("map"):
        replies = gateway.replies(STRANGER, *EVERY)
    assert [reply[:9] for reply in replies] == ["451 4.4.3"] * len(EVERY)
    assert gateway.replies(STRANGER, "ann@corp.local")[0].startswith("250")


def test_without_the_milter_all_is_temporary(gateway: SendmailLab) -> None:
    """F=T: not one command of a transaction is accepted while the milter cannot be asked."""
    with gateway.without("milter"):
        assert mail(gateway).startswith("451 ")
    assert mail(gateway).startswith("250 ")


def test_without_the_daemon_nothing_passes_and_all_heals(gateway: SendmailLab) -> None:
    """Stopped under a session and started again: nothing accepted, nothing to be done by hand."""
    with gateway.sendmail.connect(STRANGER) as session:
        assert session.docmd("MAIL", f"FROM:<{SENDER}>")[0] == 250
        gateway.daemon.stop()
        codes = [session.docmd("RCPT", f"TO:<{to}>")[0] for to in EVERY]
        meanwhile = mail(gateway)
        gateway.daemon.start()
    assert set(codes) == {451}
    assert meanwhile.startswith("451 ")
    sent = gateway.send(STRANGER, "bob@example.com")
    assert gateway.arrivals(sent.token, 1) == [("unix", "bob@unix.example.net")]


def test_mail_in_the_queue_waits_for_the_maps(gateway: SendmailLab) -> None:
    """What has been taken goes nowhere else meanwhile, and is lost neither."""
    with gateway.without("map"):
        token = gateway.submit("ann@corp.local")
        assert gateway.sendmail.queued() == 1
        gateway.sendmail.run("-q")
        assert gateway.sendmail.queued() == 1
    gateway.sendmail.run("-q")
    assert gateway.arrivals(token, 1) == [("exchange", "ann@corp.local")]
    gateway.wait_until_empty()


def test_a_route_that_sendmail_does_not_know_waits(gateway: SendmailLab) -> None:
    """A connector on a new port, and sendmail.cf not made anew: 451 4.3.5, no bounce."""
    before = gateway.site.read_text()
    port = gateway.ports["exchange"]
    try:
        gateway.site.write_text(re.sub(rf":{port}\b", ":2", before))
        gateway.daemon.reload()
        gateway.daemon.wait_for_log("generation=2")
        (reply,) = gateway.replies(STRANGER, "ann@corp.local")
    finally:
        gateway.site.write_text(before)
        gateway.daemon.reload()
        gateway.daemon.wait_for_log("generation=3")
    assert reply.startswith("451 4.3.5")
    assert gateway.replies(STRANGER, "ann@corp.local")[0].startswith("250")


@pytest.fixture(scope="module")
def blind() -> Iterator[SendmailLab]:
    """Give a gateway whose directory does not answer."""
    (port,) = free_ports(1)
    directory = (
        f"SITE\n[directory ad]\ntype = ldap\nservers = ldap://127.0.0.1:{port}\n"
        "base = dc=example,dc=com\n"
    )
    with sendmail_lab(directory) as running:
        yield running


def test_without_the_directory_nobody_is_unknown(blind: SendmailLab) -> None:
    """Directory down is never "unknown": 451 4.4.3; domains that ask none go on."""
    replies = blind.replies(
        STRANGER, "ann@corp.local", "nobody@example.com", "who@unix.example.net"
    )
    assert [reply[:9] for reply in replies] == ["451 4.4.3", "451 4.4.3", "250 2.1.5"]
    sent = blind.send(STRANGER, "who@unix.example.net", sender="ann@corp.local")
    assert blind.arrivals(sent.token, 1) == [("unix", "who@unix.example.net")]
    wait_until(lambda: blind.sendmail.queued() == 0)
