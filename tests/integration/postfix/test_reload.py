"""A reload under traffic, a bad one, and a daemon that is not there."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from support.postfix import STRANGER, Lab, Sent, lab, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.slapd import Slapd

RELOADS = 5
IN_FORCE = '"configuration in force"'
FAILED = '"reload failed"'


@pytest.fixture(scope="module")
def reloading(directory_server: Slapd) -> Iterator[Lab]:
    """Give a gateway over ldap:// whose configuration the tests change and put back."""
    directory = f"[directory ad]\ntype = ldap\nservers = {directory_server.ldap}\n"
    with lab(directory + "base = dc=example,dc=com\n") as running:
        yield running


def _more(sent: list[Sent], than: int) -> None:
    wait_until(lambda: len(sent) > than)


def configure(gateway: Lab, ini: str, message: str = IN_FORCE) -> None:
    """Write a drop-in, reload, and wait until the daemon says what it made of it."""
    daemon = gateway.gateway.daemon
    before = daemon.logged().count(message)
    (gateway.gateway.folder / "conf.d" / "z.ini").write_text(ini)
    daemon.reload()
    daemon.wait_for_log(message, before + 1)


def test_a_reload_under_traffic_loses_nothing(reloading: Lab) -> None:
    """No request is lost and no connection drops while the configuration is swapped."""
    over = threading.Event()
    sent: list[Sent] = []
    refused: list[str] = []

    def traffic() -> None:
        while not over.is_set():
            sent.append(reloading.send(STRANGER, "ann@example.com", "bob@example.com"))
            refused.append(reloading.reply(STRANGER, "nobody@corp.local")[:9])

    thread = threading.Thread(target=traffic)
    thread.start()
    try:
        for number in range(RELOADS):
            _more(sent, 2 * number)
            configure(reloading, f"[redirect]\nmax_depth = {number + 1}\n")
    finally:
        over.set()
        thread.join()
    codes = {reply[:9] for one in sent for reply in one.replies}
    assert codes == {"250 2.1.5"}
    assert set(refused) == {"550 5.1.1"}
    for one in sent:
        assert reloading.arrivals(one.token, 2) == [
            ("exchange", "ann@example.com"),
            ("unix", "bob@unix.example.net"),
        ]


def test_a_reload_takes_effect(reloading: Lab) -> None:
    """What the INI says now is what a client hears."""
    assert reloading.reply(STRANGER, "x@added.example.org")[:9] == "554 5.7.1"
    configure(reloading, "[domain added.example.org]\ntype = authoritative\n")
    assert reloading.reply(STRANGER, "x@added.example.org")[:9] == "550 5.1.1"
    configure(reloading, "")
    assert reloading.reply(STRANGER, "x@added.example.org")[:9] == "554 5.7.1"


def test_a_bad_reload_keeps_the_configuration(reloading: Lab) -> None:
    """The old one stays in force, and the log and a metric say so."""
    metric = "codomain_config_last_reload_successful"
    bad = "[domain added.example.org]\ntype = authoritive\n"
    configure(reloading, bad, FAILED)
    assert f"{metric} 0.0" in reloading.gateway.page("metrics")
    assert reloading.reply(STRANGER, "x@added.example.org")[:9] == "554 5.7.1"
    sent = reloading.send(STRANGER, "ann@example.com")
    assert reloading.arrivals(sent.token, 1) == [("exchange", "ann@example.com")]
    configure(reloading, "")
    assert f"{metric} 1.0" in reloading.gateway.page("metrics")


def test_without_the_daemon_mail_waits(reloading: Lab) -> None:
    """Postfix answers 451 4.3.5 (default_action), and goes on when the daemon is back."""
    daemon = reloading.gateway.daemon
    assert daemon.stop() == 0
    try:
        began = time.monotonic()
        assert reloading.reply(STRANGER, "carl@example.com")[:9] == "451 4.3.5"
        assert reloading.reply(STRANGER, "gone@corp.local")[:9] == "451 4.3.5"
        # Two tries with a second in between (smtpd_policy_service_try_limit), not a time-out.
        assert time.monotonic() - began < 10
    finally:
        daemon.start()
    # (So these two addresses are asked for in this test alone.)
    # A smtpd that could not resolve an address remembers that for its life; nobody else does.
    sent = reloading.send(STRANGER, "a.smith@example.com")
    assert [reply[:3] for reply in sent.replies] == ["250"]
    assert reloading.arrivals(sent.token, 1) == [("exchange", "a.smith@example.com")]
    # As codomain postfix advises after an outage of the daemon: that smtpd ends.
    reloading.gateway.postfix.command("reload")
    wait_until(lambda: reloading.reply(STRANGER, "carl@example.com").startswith("250"))
    assert reloading.reply(STRANGER, "gone@corp.local")[:9] == "550 5.1.1"
