"""Lines that clients cause: as many as tell what goes on, and the count of the others."""

from __future__ import annotations

import io
import json
import logging
import re
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codomain.address import parse_recipient
from codomain.journal import log_accepted, log_refusal
from codomain.log import (
    LINES,
    LINES_PER_SECOND,
    TRACEBACK_CHARACTERS,
    VALUE_CHARACTERS,
    Json,
    Limit,
    Logfmt,
    event,
    left_out,
    set_up,
)
from codomain.question import Question
from codomain.verdict import Deliver, Pass, Reason, Refuse

if TYPE_CHECKING:
    from collections.abc import Iterator

JOURNAL_LINE = 48 * 1024
"""journald.conf(5), LineMax=: a longer line becomes several."""

log = logging.getLogger("codomain.test")


@pytest.fixture(autouse=True)
def kept_logging() -> Iterator[None]:
    """Put the root logger back as it was."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("codomain").setLevel(logging.NOTSET)


def _record(name: str = "refused", **fields: object) -> logging.LogRecord:
    record = logging.LogRecord("codomain.x", logging.INFO, "", 0, name, (), None)
    record.fields = fields
    return record


def test_an_attack_gets_a_burst_of_lines_and_a_steady_rate() -> None:
    """LINES at once, then LINES_PER_SECOND; every line that is left out is counted."""
    now = 0.0
    limit = Limit(clock=lambda: now)
    assert sum(limit.filter(_record()) for _ in range(LINES + 50)) == LINES
    assert limit.take() == {"refused": 50}
    assert limit.take() == {}
    now = 2.0
    passed = sum(limit.filter(_record()) for _ in range(1000))
    assert passed == 2 * LINES_PER_SECOND
    assert limit.take() == {"refused": 1000 - passed}


def test_each_event_has_a_bucket_of_its_own() -> None:
    """A flood of refusals hides no deferral."""
    limit = Limit(clock=lambda: 0.0)
    for _ in range(LINES + 1):
        limit.filter(_record("refused"))
    assert not limit.filter(_record("refused"))
    assert limit.filter(_record("deferred"))


def test_what_no_client_can_cause_is_never_left_out() -> None:
    """A fault for each of a thousand lines of an INI, and every change of state."""
    limit = Limit(clock=lambda: 0.0)
    for name in ("reload failed", "directory down", "configuration"):
        assert all(limit.filter(_record(name)) for _ in range(LINES * 2))
    assert limit.take() == {}


def test_a_reload_begins_no_new_burst() -> None:
    """The buckets go on, so that a reload in an attack does not open the log again."""
    out = io.StringIO()
    set_up("info", "logfmt", out)
    for _ in range(LINES + 20):
        event(log, logging.INFO, "refused", n=1)
    set_up("info", "logfmt", out)
    event(log, logging.INFO, "refused", n=2)
    assert out.getvalue().count("\n") == LINES
    assert left_out() == {"refused": 21}


def test_refusals_are_events_at_every_level_and_lines_from_info_on() -> None:
    """`log_level = error` silences the log; the status page's list hears of them still."""
    heard: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            heard.append(record.getMessage())

    out = io.StringIO()
    set_up("error", "logfmt", out)
    logging.getLogger().addHandler(Listener())
    set_up("error", "logfmt", out)
    event(log, logging.INFO, "refused", n=1)
    assert heard == ["refused"]
    assert not out.getvalue()


def _line(question: Question, level: str = "info") -> str:
    out = io.StringIO()
    set_up(level, "logfmt", out)
    log_refusal(log, question, Refuse(Reason.UNKNOWN, "cn=x,dc=test"), "550 5.1.1 User unknown")
    log_accepted(log, question, Deliver("ann@example.com", dn="cn=ann"))
    log_accepted(log, question, Pass())
    return out.getvalue()


def test_a_refusal_names_message_client_recipient_reason_and_entry() -> None:
    """What one needs to answer "why was my mail refused?"."""
    question = Question(
        parse_recipient(b"nobody@example.com"),
        client=ip_address("198.51.100.7"),
        sender="someone@elsewhere.test",
        queue_id="4Z1abc",
        instance="5e3a.65d0c1d2.8f0a1.0",
    )
    (line,) = _line(question).splitlines()
    assert line.partition(" ")[2] == (
        "level=info event=refused door=policy client=198.51.100.7 queue_id=4Z1abc"
        " instance=5e3a.65d0c1d2.8f0a1.0 sender=someone@elsewhere.test"
        ' recipient=nobody@example.com reason=unknown reply="550 5.1.1 User unknown"'
        " dn=cn=x,dc=test"
    )


def test_accepted_recipients_are_logged_at_debug_alone() -> None:
    """`info` gives no line per accepted recipient."""
    question = Question(parse_recipient(b"ann@example.com"))
    assert "accepted" not in _line(question)
    lines = _line(question, "debug").splitlines()
    assert [" event=accepted " in line for line in lines] == [False, True, True]
    assert lines[1].endswith("verdict=deliver dn=cn=ann")


def test_no_value_is_longer_than_the_journal_takes_a_line() -> None:
    """The journal would part it, and what follows would look like a line of its own."""
    values = dict.fromkeys(("sender", "recipient"), "\U0001f600" * 100_000)
    for form in (Logfmt(journal=True), Json(journal=True)):
        line = form.format(_record(**values))
        assert len(line) < JOURNAL_LINE
        assert "..." in line
    assert len(Logfmt(journal=True).format(_record(sender="x" * VALUE_CHARACTERS))) > (
        VALUE_CHARACTERS
    )
    record = _record(door="policy", **values)
    try:
        int("x" * 100_000)
    except ValueError as error:
        record.exc_info = (ValueError, error, error.__traceback__)
    line = Logfmt(journal=True).format(record)
    assert TRACEBACK_CHARACTERS < len(line) < JOURNAL_LINE


FIELD = re.compile(r' ?([a-z_]+)=("(?:[^"\\]|\\.)*"|[^ "]*)')
"""A field of logfmt, as any reader of it has it."""

OCTETS = st.binary(max_size=60).map(lambda octets: octets.decode("utf-8", "surrogateescape"))
"""What a client sends, as the doors read it: octets that are no UTF-8 are low surrogates."""

ODD = st.text(
    st.sampled_from(list('\n\r\0\x0b\x0c\x1b\x7f\x85\u2028\u2029" =\\<>{}ae\udc80\udcff')),
    max_size=40,
)

ANY_TEXT = OCTETS | ODD | st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


@given(st.dictionaries(st.sampled_from(["sender", "recipient", "detail", "dn"]), ANY_TEXT))
def test_nothing_that_a_client_sends_breaks_a_line(values: dict[str, str]) -> None:
    """One line of printable ASCII, from which every field comes back as it was."""
    record = _record(**values)
    line = Logfmt(journal=True).format(record)
    assert line.isascii()
    assert line.isprintable()
    read = {}
    for name, value in FIELD.findall(line.removeprefix("<6>")):
        read[name] = json.loads(value) if value.startswith('"') else value
    assert read == {"level": "info", "event": "refused", **values}
    line = Json(journal=True).format(record)
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line.removeprefix("<6>")) == read
