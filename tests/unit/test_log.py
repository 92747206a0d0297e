"""Log lines: one for each event, whatever a client wrote."""

from __future__ import annotations

import io
import json
import logging
import os
from typing import TYPE_CHECKING, TextIO

import pytest

from codomain.log import event, set_up

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOSTILE = 'a b="c"\nlevel=error event=fake\r\u2028\x1b[31m'
"""What would be a line, a field or a colour of its own."""


@pytest.fixture(autouse=True)
def kept_logging() -> Iterator[None]:
    """Put the root logger back as it was."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("codomain").setLevel(logging.NOTSET)


def test_logfmt_quotes_what_is_not_plain() -> None:
    """Nothing that a client sends looks like another line or another field."""
    out = io.StringIO()
    set_up("info", "logfmt", out)
    event(logging.getLogger("codomain.x"), logging.INFO, "refused", recipient=HOSTILE, plain="a@b")
    text = out.getvalue()
    assert text.count("\n") == 1
    assert " event=refused recipient=" in text
    assert " event=fake" not in text.replace(json.dumps(HOSTILE), "")
    assert text.endswith(" plain=a@b\n")
    assert "\x1b" not in text


def test_json_is_one_object_a_line() -> None:
    """`log_format = json`: every field by its name, read back as it was."""
    out = io.StringIO()
    set_up("info", "json", out)
    event(logging.getLogger("codomain.x"), logging.WARNING, "refused", recipient=HOSTILE)
    fields = json.loads(out.getvalue())
    assert (fields["event"], fields["level"], fields["recipient"]) == (
        "refused",
        "warning",
        HOSTILE,
    )
    assert out.getvalue().count("\n") == 1


def test_empty_fields_are_left_out() -> None:
    """A field that says nothing takes no room; 0 and False say something."""
    out = io.StringIO()
    set_up("info", "logfmt", out)
    event(logging.getLogger("codomain.x"), logging.INFO, "e", a=None, b="", c=0, d=False)
    assert out.getvalue().endswith(" event=e c=0 d=False\n")


def test_the_level_of_the_ini_holds_for_our_lines_only() -> None:
    """`log_level = debug` shows our details, not those of the libraries."""
    out = io.StringIO()
    set_up("debug", "logfmt", out)
    event(logging.getLogger("codomain.x"), logging.DEBUG, "ours")
    logging.getLogger("ldap3").info("theirs")
    assert "event=ours" in out.getvalue()
    assert "theirs" not in out.getvalue()


@pytest.fixture
def error_file(tmp_path: Path) -> Iterator[TextIO]:
    """Give a file to be standard error."""
    with (tmp_path / "stderr").open("w+") as file:
        yield file


def _written(file: TextIO) -> str:
    file.flush()
    file.seek(0)
    return file.read()


def test_journald_gets_priorities_and_no_time(
    error_file: TextIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    """sd-daemon(3): a line begins with its priority; the journal has the time itself."""
    monkeypatch.setattr("sys.stderr", error_file)
    status = os.fstat(error_file.fileno())
    monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
    set_up("info", "logfmt")
    event(logging.getLogger("codomain.x"), logging.ERROR, "down")
    event(logging.getLogger("codomain.x"), logging.WARNING, "up")
    event(logging.getLogger("codomain.x"), logging.INFO, "told")
    assert _written(error_file) == (
        "<3>level=error event=down\n<4>level=warning event=up\n<6>level=info event=told\n"
    )


def test_a_file_is_not_the_journal(error_file: TextIO, monkeypatch: pytest.MonkeyPatch) -> None:
    """systemd.exec(5): children inherit JOURNAL_STREAM, whatever their standard error is."""
    monkeypatch.setattr("sys.stderr", error_file)
    monkeypatch.setenv("JOURNAL_STREAM", "1:2")
    set_up("info", "logfmt")
    event(logging.getLogger("codomain.x"), logging.ERROR, "down")
    assert _written(error_file).startswith("time=")


def test_a_traceback_stays_in_its_line() -> None:
    """A fault of our own is one line, too."""
    out = io.StringIO()
    set_up("info", "logfmt", out)
    try:
        int("x\ny")
    except ValueError:
        logging.getLogger("codomain.x").exception("broken")
    assert out.getvalue().count("\n") == 1
    assert "ValueError: invalid literal" in out.getvalue()
