"""Rules of shadow mode's store and report: what is counted, how much is kept, what is shown."""

from __future__ import annotations

import csv
import io
import json
import logging
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from codomain.connectors import Connector
from codomain.journal import log_shadow
from codomain.log import Json, Logfmt
from codomain.shadow import Shadowed, would_be
from codomain.verdict import Defer, Deliver, Pass, Reason, Redirect, Refuse, Relay
from codomain_cli import plain, shadowlog, shadowmaps
from codomain_cli.shadowreport import OTHERS, as_csv, as_object, cell, rows
from support.decisions import question

if TYPE_CHECKING:
    from collections.abc import Callable

    from codomain.verdict import Verdict

UNIX = Connector("unix", "smtp:[192.0.2.10]")
LOOP = Refuse(Reason.LOOP, "cn=x", "by exchange")
NASTY = '"=cmd|x y\\"=z" mode=none'


@pytest.mark.parametrize(
    ("verdict", "counted"),
    [
        (Refuse(Reason.UNKNOWN), "unknown"),
        (Defer(Reason.DIRECTORY), "directory"),
        (Redirect("bob@unix.example.net", UNIX), "redirect"),
        (Deliver("ann@example.com"), ""),
        (Relay(UNIX), ""),
        (Pass(), ""),
    ],
)
def test_refusals_deferrals_and_redirects_are_counted(verdict: Verdict, counted: str) -> None:
    """Everything else goes its way in shadow mode as without it."""
    assert would_be(verdict) == counted
    noted = Shadowed()
    noted.note(question("bob@example.com"), verdict, "example.com")
    found = [(one.reason, one.domain, one.count) for one in noted.totals()]
    assert found == ([(counted, "example.com", 1)] if counted else [])


def test_a_recipient_is_kept_with_its_first_and_its_last() -> None:
    """Count, times, and who sent the last one; the address as it is compared."""
    clock = iter([100.0, 200.0, 300.0])
    noted = Shadowed(clock=lambda: next(clock))
    noted.note(question("Nobody@Example.com"), LOOP, "example.com")
    noted.note(question("nobody@example.com", "192.0.2.10"), LOOP, "example.com")
    assert noted.since == 100.0
    (one,) = noted.recipients()
    assert (one.recipient, one.count, one.first, one.last) == ("nobody@example.com", 2, 200, 300)
    assert (one.client, one.detail) == ("192.0.2.10", "by exchange")


def test_guessing_pushes_out_guesses() -> None:
    """The store is bounded; who is asked for again and again stays, and all are counted."""
    noted = Shadowed(recipients=10)
    for _ in range(3):
        noted.add("unknown", "example.com", "often@example.com")
    for number in range(1000):
        noted.add("unknown", "example.com", f"guess{number}@example.com")
    kept = [one.recipient for one in noted.recipients()]
    assert len(kept) == 10
    assert kept[0] == "often@example.com"
    report = as_object(noted)
    assert report["total"] == 1003
    assert report["forgotten"] == 1003 - 3 - 9


def test_long_texts_are_cut() -> None:
    """What a client sent takes no more room than an address may (RFC 5321 section 4.5.3.1)."""
    noted = Shadowed()
    noted.add("unknown", "other", "x" * 10_000, "c" * 10_000, "s" * 10_000, "d" * 10_000)
    (one,) = noted.recipients()
    assert {len(one.recipient), len(one.client), len(one.sender), len(one.detail)} == {320}


def test_doors_may_note_on_several_threads() -> None:
    """The policy door on the loop's, the milter on libmilter's: no count is lost."""
    noted = Shadowed(recipients=5)

    def note(start: int) -> None:
        for number in range(2000):
            noted.add("unknown", "example.com", f"{start + number % 7}@example.com")

    threads = [threading.Thread(target=note, args=(start,)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one.count for one in noted.totals()] == [8000]
    assert len(noted.recipients()) == 5


def _report() -> dict[str, Any]:
    noted = Shadowed(clock=lambda: 1_700_000_000.0)
    for recipient in ("a@example.com", "a@example.com", "b@example.com"):
        noted.add("unknown", "example.com", recipient, "198.51.100.7", "x@y.test", "why")
    noted.add("redirect", "corp.local", "c@corp.local", "", "", "c@unix.example.net")
    return as_object(noted, listed=2)


def test_the_report_sums_up_by_reason_domain_and_recipient() -> None:
    """The greatest first; who is not listed is counted."""
    found = _report()
    assert found["version"] == 1
    assert found["since"] == 1_700_000_000.0
    assert found["total"] == 4
    assert found["reasons"] == [
        {"reason": "unknown", "count": 3},
        {"reason": "redirect", "count": 1},
    ]
    assert found["domains"] == [
        {"domain": "example.com", "count": 3},
        {"domain": "corp.local", "count": 1},
    ]
    assert [one["recipient"] for one in found["recipients"]] == ["a@example.com", "c@corp.local"]
    assert found["forgotten"] == 1
    text = "\n".join(plain.table(rows(found, 20)))
    assert "reason unknown" in text
    assert "1 more refusals of recipients that are not listed" in text


def test_the_csv_adds_up() -> None:
    """A row for each recipient, and one for the others of each reason and domain (RFC 4180)."""
    header, *lines = list(csv.reader(io.StringIO(as_csv(_report()))))
    assert header[:4] == ["reason", "domain", "recipient", "count"]
    assert [line[:4] for line in lines] == [
        ["unknown", "example.com", "a@example.com", "2"],
        ["redirect", "corp.local", "c@corp.local", "1"],
        ["unknown", "example.com", OTHERS, "1"],
    ]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("ann@example.com", "ann@example.com"),
        (17, "17"),
        ("=1+1@example.com", "'=1+1@example.com"),
        ("+1@example.com", "'+1@example.com"),
        ("-1@example.com", "'-1@example.com"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\\t=1"),
        ("\r=1", "'\\r=1"),
        ("\n=1", "'\\n=1"),
        ("＝1", "'＝1"),
        ("a\x1b[2J", "a\\x1b[2J"),
    ],
)
def test_no_cell_of_the_csv_is_a_formula(value: object, shown: str) -> None:
    """OWASP, CSV Injection: = + - @ TAB CR (and LF, full width) get an apostrophe before them."""
    assert cell(value) == shown


def test_a_cell_cannot_break_out_of_its_row() -> None:
    """Quotes, commas and line ends stay in their cell, and start none (RFC 4180 section 2)."""
    noted = Shadowed()
    noted.add("unknown", "example.com", '"x","=1"\r\n=2@example.com', "", "=3", '",=4')
    read = list(csv.reader(io.StringIO(as_csv(as_object(noted)))))
    assert len(read) == 2
    assert read[1][2] == '"x","=1"\\r\\n=2@example.com'
    assert not [text for text in read[1] if text.startswith(("=", "+", "-", "@", "\t", "\r"))]


def logged(
    form: Callable[..., logging.Formatter], verdict: Verdict, address: str, journal: str = ""
) -> str:
    """Return the line of the log that shadow mode writes of a recipient."""
    lines: list[str] = []
    logger = logging.getLogger("test.shadow")
    logger.propagate = False
    logger.setLevel(logging.INFO)

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    handler = Keep()
    handler.setFormatter(form(journal=bool(journal)))
    logger.addHandler(handler)
    try:
        log_shadow(logger, question(address), verdict, "550 5.1.1 User unknown", "example.com")
    finally:
        logger.removeHandler(handler)
    (line,) = lines
    return journal + line.partition(">")[2] if journal else line


@pytest.mark.parametrize("form", [Logfmt, Json])
@pytest.mark.parametrize(
    "journal",
    ["", "2026-11-24T10:00:00+0000 gw codomain[7]: ", "Nov 24 10:00:00 gw codomain[7]: "],
)
def test_the_log_gives_the_report_that_the_daemon_would(
    form: Callable[..., logging.Formatter], journal: str
) -> None:
    """In both forms, bare or with what syslog and journalctl put before a line."""
    cases: list[tuple[Verdict, str]] = [
        (LOOP, "nobody@example.com"),
        (LOOP, "Nobody@EXAMPLE.com"),
        (Redirect("bob@unix.example.net", UNIX), "bob@example.com"),
        (Defer(Reason.DIRECTORY, detail='no "answer"'), f"{NASTY}@example.com"),
    ]
    noted = Shadowed()
    lines = []
    for verdict, address in cases:
        noted.note(question(address), verdict, "example.com")
        lines.append(logged(form, verdict, address, journal) + "\n")
    noise = ["level=info event=ready\n", "{mode=shadow\n", "mode=shadow\n", "\n"]
    read = shadowlog.read([*noise, *lines], now=time.mktime((2026, 12, 1, 0, 0, 0, 0, 0, -1)))
    ours, theirs = as_object(noted), as_object(read)
    for report in (ours, theirs):
        del report["since"]
        for one in report["recipients"]:
            del one["first"], one["last"]
    assert theirs == ours


def test_a_line_that_was_enforced_is_not_counted() -> None:
    """Only what shadow mode let through is reported, whatever a client wrote into its address."""
    line = 'level=info event=refused recipient="x mode=shadow event=refused" reason=unknown\n'
    assert as_object(shadowlog.read([line]))["total"] == 0


@pytest.mark.parametrize(
    ("line", "when"),
    [
        ("2026-11-24T10:00:00+0000 gw x: level=info", 1_795_514_400.0),
        ("2026-11-24T11:00:00+01:00 gw x: level=info", 1_795_514_400.0),
        ("gw x: level=info", None),
    ],
)
def test_the_report_of_a_log_begins_with_its_first_line(line: str, when: float | None) -> None:
    """``since``: null where no line tells a time."""
    text = f"{line} event=refused recipient=a@example.com reason=unknown mode=shadow\n"
    assert as_object(shadowlog.read([text]))["since"] == when


def test_a_stamp_without_a_year_is_of_the_last_year_it_can_be() -> None:
    """Stamps as syslog writes them: December read in January."""
    line = "Dec 31 23:00:00 gw x: level=info event=refused recipient=a@b reason=loop mode=shadow"
    now = time.mktime((2027, 1, 2, 0, 0, 0, 0, 0, -1))
    since = as_object(shadowlog.read([line], now))["since"]
    assert time.localtime(since)[:4] == (2026, 12, 31, 23)


@pytest.mark.parametrize(
    ("parameter", "value", "refused"),
    [
        ("transport_maps", "socketmap:unix:codomain/map:transport", True),
        ("relay_domains", "a.test, socketmap:inet:127.0.0.1:9816:domain hash:/x", True),
        (
            "smtpd_recipient_restrictions",
            "check_recipient_access { socketmap:unix:codomain/map:access }, permit",
            True,
        ),
        ("transport_maps", "socketmap:unix:private/sts:postfix", False),
        ("transport_maps", "hash:/etc/postfix/transport", False),
        ("transport_maps", "socketmap:unix:codomain/map:transports", False),
    ],
)
def test_a_main_cf_that_asks_our_maps_is_refused(
    parameter: str, value: str, *, refused: bool
) -> None:
    """One line names the parameter; other servers' socketmaps are let be."""
    lines = shadowmaps.asked({parameter: value})
    assert len(lines) == refused
    if refused:
        assert lines[0].startswith(f"main.cf: {parameter}: asks our maps")


def test_the_report_is_json() -> None:
    """It crosses the control socket as it is."""
    assert json.loads(json.dumps(_report())) == _report()
