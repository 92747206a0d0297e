"""Rules of ``explain --log``: which recipient, client and sender a line of a mail log names."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest

from codomain_cli.logline import Logged, is_queue_id, parse
from codomain_cli.maillog import LogError, of_message

if TYPE_CHECKING:
    from pathlib import Path

SYSLOG = "Nov 24 10:00:00 gw postfix/smtpd[7]: "
REJECT = "NOQUEUE: reject: RCPT from mx.test[192.0.2.1]: 550 5.1.1 <a@b.test>: Recipient rejected; "


def told(line: str) -> tuple[str, str, str, str]:
    """Return recipient, client, sender and login of a line."""
    logged = parse(line)
    assert logged is not None, line
    return logged.recipient, logged.client, logged.sender, logged.sasl


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        # smtpd(8), log_whatsup(): reply; from= to= proto= helo= sasl_username=
        (
            f"{SYSLOG}{REJECT}from=<c@d.test> to=<a@b.test> proto=ESMTP helo=<x>",
            ("a@b.test", "192.0.2.1", "c@d.test", ""),
        ),
        (
            f"{REJECT}from=<c@d.test> to=<a@b.test> proto=ESMTP helo=<x> sasl_username=<joe>",
            ("a@b.test", "192.0.2.1", "c@d.test", "joe"),
        ),
        # smtpd_client_port_logging = yes, an IPv6 client, the null sender
        (
            (
                "4bQ1cx2Zz1zB: reject: RCPT from unknown[2001:db8::1]:40114: 450 4.7.1 <a@b.test>: "
                "Try later; from=<> to=<a@b.test> proto=ESMTP helo=<[IPv6:2001:db8::1]>"
            ),
            ("a@b.test", "2001:db8::1", "", ""),
        ),
        # the client has gone before its address was known
        (
            (
                "NOQUEUE: reject: RCPT from unknown[unknown]: 554 5.7.1 <a@b.test>: Relay access "
                "denied; from=<c@d.test> to=<a@b.test> proto=SMTP"
            ),
            ("a@b.test", "", "c@d.test", ""),
        ),
        # warn_if_reject, hold, discard, redirect and filter of access(5)
        *(
            (
                (
                    f"NOQUEUE: {what}: RCPT from mx.test[192.0.2.1]: <a@b.test>: Recipient address "
                    "triggers; from=<c@d.test> to=<a@b.test> proto=ESMTP helo=<x>"
                ),
                ("a@b.test", "192.0.2.1", "c@d.test", ""),
            )
            for what in ("reject_warning", "hold", "discard", "redirect", "filter", "warn", "bcc")
        ),
        # a milter's reply at RCPT (smtpd) and at the end of the message (cleanup)
        (
            (
                "NOQUEUE: milter-reject: RCPT from mx.test[192.0.2.1]: 550 5.1.1 User unknown; "
                "from=<c@d.test> to=<a@b.test> proto=ESMTP helo=<x>"
            ),
            ("a@b.test", "192.0.2.1", "c@d.test", ""),
        ),
        (
            (
                "postfix/cleanup[9]: 4bQ1cx2Zz1zB: milter-reject: END-OF-MESSAGE from "
                "mx.test[192.0.2.1]: 5.4.6 Loop; from=<c@d.test> to=<a@b.test> proto=ESMTP helo=<x>"
            ),
            ("a@b.test", "192.0.2.1", "c@d.test", ""),
        ),
        # smtpd_proxy_filter
        (
            (
                "NOQUEUE: proxy-reject: END-OF-MESSAGE from unknown[192.0.2.1]: 550 5.7.1 No; "
                "from=<c@d.test> to=<a@b.test> proto=ESMTP helo=<x>"
            ),
            ("a@b.test", "192.0.2.1", "c@d.test", ""),
        ),
        # postscreen(8): no name, a port, commas
        (
            (
                "postfix/postscreen[3]: NOQUEUE: reject: RCPT from [198.51.100.7]:4711: 450 4.3.2 "
                "Service currently unavailable; from=<c@d.test>, to=<a@b.test>, proto=ESMTP, "
                "helo=<x>"
            ),
            ("a@b.test", "198.51.100.7", "c@d.test", ""),
        ),
        # an address that needs quotes, as info_log_addr_form = external writes it
        (
            (
                'NOQUEUE: reject: RCPT from mx.test[192.0.2.1]: 550 5.1.1 <"x> to=<y"@b.test>: '
                'Unknown; from=<"a b"@d.test> to=<"x> to=<y"@b.test> proto=ESMTP helo=<x>'
            ),
            ('"x> to=<y"@b.test', "192.0.2.1", '"a b"@d.test', ""),
        ),
        # and as = internal writes it: a quote that does not close
        (
            (
                'NOQUEUE: reject: RCPT from mx.test[192.0.2.1]: 550 5.1.1 <a"b@b.test>: Unknown; '
                'from=<c@d.test> to=<a"b@b.test> proto=ESMTP helo=<x>'
            ),
            ('a"b@b.test', "192.0.2.1", "c@d.test", ""),
        ),
        # what HELO says is no parameter
        (
            f"{REJECT}from=<c@d.test> to=<a@b.test> proto=ESMTP helo=<x> to=<evil@e.test>",
            ("a@b.test", "192.0.2.1", "c@d.test", ""),
        ),
        # a delivery agent; after an alias the original recipient is whom it was for
        (
            (
                "postfix/smtp[5]: 4bQ1cx2Zz1zB: to=<bob@unix.example.net>, "
                "orig_to=<bob@example.com>, "
                "relay=h[192.0.2.9]:25, delay=1, dsn=5.1.1, status=bounced (host said: 550 5.1.1)"
            ),
            ("bob@example.com", "", "", ""),
        ),
        (
            (
                "postfix/lmtp[5]: A1B2C3D4E5: to=<ann@example.com>, relay=none, delay=1, "
                "dsn=4.4.1, "
                "status=deferred (connect: refused)"
            ),
            ("ann@example.com", "", "", ""),
        ),
        # Sendmail: check_rcpt, with a name or without, IPv6, a client that may be forged
        (
            (
                "sendmail[7]: 5AOA00aB000007: ruleset=check_rcpt, arg1=<a@b.test>, relay=mx.test "
                "[192.0.2.1], reject=550 5.1.1 <a@b.test>... User unknown"
            ),
            ("a@b.test", "192.0.2.1", "", ""),
        ),
        (
            (
                "sm-mta[7]: ruleset=check_rcpt, arg1=<a@b.test>, relay=[IPv6:2001:db8::1], "
                "reject=550 5.7.1 Relaying denied"
            ),
            ("a@b.test", "2001:db8::1", "", ""),
        ),
        (
            (
                'sm-mta[7]: ruleset=check_rcpt, arg1=<"x, relay=y [192.0.2.66]"@b.test>, '
                "relay=joe@mx "
                "[192.0.2.1] (may be forged), reject=553 5.1.8"
            ),
            ('"x, relay=y [192.0.2.66]"@b.test', "192.0.2.1", "", ""),
        ),
        (
            "sendmail[7]: 5AOA00aB000007: Milter: to=<a@b.test>, reject=550 5.1.1 User unknown",
            ("a@b.test", "", "", ""),
        ),
    ],
)
def test_a_line_names_whom_it_is_about(line: str, expected: tuple[str, str, str, str]) -> None:
    """Recipient, client, sender and login, in each form that an MTA writes."""
    assert told(line) == expected


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        (
            f"{REJECT}from=<c@d.test> to=<a@b.test> proto=ESMTP helo=<x>",
            "550 5.1.1 <a@b.test>: Recipient rejected",
        ),
        (
            "4bQ1cx2Zz1zB: to=<a@b.test>, relay=none, dsn=5.4.6, status=bounced (mail loops)",
            "bounced (mail loops)",
        ),
        (
            "ruleset=check_rcpt, arg1=<a@b.test>, relay=mx [192.0.2.1], reject=550 5.1.1 No",
            "550 5.1.1 No",
        ),
    ],
)
def test_a_line_says_what_was_told(line: str, reply: str) -> None:
    """The reply is shown beside what would be said now."""
    logged = parse(line)
    assert logged is not None
    assert logged.reply == reply


@pytest.mark.parametrize(
    "line",
    [
        "",
        "postfix/smtpd[7]: connect from mx.test[192.0.2.1]",
        "NOQUEUE: reject: CONNECT from mx.test[192.0.2.1]: 554 5.7.1 No; proto=SMTP",
        "4bQ1cx2Zz1zB: from=<c@d.test>, size=9, nrcpt=1 (queue active)",
        "sendmail[7]: ruleset=check_mail, arg1=<c@d.test>, relay=mx [192.0.2.1], reject=550",
    ],
)
def test_a_line_without_a_recipient_is_none(line: str) -> None:
    """There is nobody of whom it could be explained."""
    assert parse(line) is None


@pytest.mark.parametrize(
    ("text", "is_id"),
    [
        ("4bQ1cx2Zz1zB", True),  # long (enable_long_queue_ids)
        ("A1B2C3D4E5", True),  # short
        ("5AOA00aB000007", True),  # Sendmail's
        ("postmaster", False),
        ("ann@example.com", False),
        ("12345", False),
        ("4bQ1cx2Zz1zB: to=<a@b.test>", False),
    ],
)
def test_a_queue_id_is_told_from_a_line(text: str, *, is_id: bool) -> None:
    """Letters and digits, six at least, and a digit among them."""
    assert is_queue_id(text) is is_id


LOG = """\
Nov 24 10:00:00 gw postfix/smtpd[7]: 4bQ1cx2Zz1zB: client=mx.test[192.0.2.1], sasl_username=joe
Nov 24 10:00:00 gw postfix/smtpd[8]: 4bQ1cx2Zz1zC: client=other.test[192.0.2.2]
Nov 24 10:00:00 gw postfix/qmgr[9]: 4bQ1cx2Zz1zB: from=<c@d.test>, size=9, nrcpt=2 (queue active)
Nov 24 10:00:01 gw postfix/smtp[5]: 4bQ1cx2Zz1zB: to=<b@u.test>, orig_to=<b@b.test>, status=sent
Nov 24 10:00:01 gw postfix/smtp[5]: 4bQ1cx2Zz1zC: to=<not@this.test>, status=sent (ok)
Nov 24 10:00:02 gw postfix/smtp[5]: 4bQ1cx2Zz1zB: to=<a@b.test>, status=deferred (later)
Nov 24 10:05:02 gw postfix/smtp[5]: 4bQ1cx2Zz1zB: to=<a@b.test>, status=sent (ok)
"""


@pytest.mark.parametrize("name", ["mail.log", "mail.log.1.gz"])
def test_a_queue_id_gives_the_recipients_of_its_message(tmp_path: Path, name: str) -> None:
    """Each once, with client, sender and login from the other lines of the same id."""
    file = tmp_path / name
    file.write_bytes(gzip.compress(LOG.encode()) if name.endswith(".gz") else LOG.encode())
    found = of_message("4bQ1cx2Zz1zB", file)
    assert [(one.recipient, one.client, one.sender, one.sasl) for one in found] == [
        ("b@b.test", "192.0.2.1", "c@d.test", "joe"),
        ("a@b.test", "192.0.2.1", "c@d.test", "joe"),
    ]
    assert isinstance(found[0], Logged)


def test_a_queue_id_that_is_in_no_line_is_said(tmp_path: Path) -> None:
    """So is a file that cannot be read."""
    file = tmp_path / "mail.log"
    file.write_text(LOG)
    with pytest.raises(LogError, match="names no recipient of 4bQ1cx2Zz1zD"):
        of_message("4bQ1cx2Zz1zD", file)
    with pytest.raises(LogError, match="cannot be read"):
        of_message("4bQ1cx2Zz1zB", tmp_path / "absent.log")


def test_without_a_file_the_journal_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """journalctl(1) is given the id to look for, and of syslog's facilities that of mail."""
    program = tmp_path / "journalctl"
    program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/arguments\ncat {tmp_path}/mail.log\n')
    program.chmod(0o755)
    (tmp_path / "mail.log").write_text(LOG)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    found = of_message("4bQ1cx2Zz1zB", None)
    assert [one.recipient for one in found] == ["b@b.test", "a@b.test"]
    arguments = (tmp_path / "arguments").read_text().split()
    assert "--grep=4bQ1cx2Zz1zB" in arguments
    assert "SYSLOG_FACILITY=2" in arguments
