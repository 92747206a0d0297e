"""What a client or an entry wrote, where people and programs read it: log, terminal, control.

No text of theirs becomes a line, a field, a colour, a cursor's movement or a JSON value of
its own (CWE-117, CWE-150).
"""

from __future__ import annotations

import io
import json
import logging
import re
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from codomain.address import parse_path, parse_recipient
from codomain.journal import log_refusal, log_shadow
from codomain.log import LINES, VALUE_CHARACTERS, Limit, event, set_up
from codomain.question import Question
from codomain.verdict import Reason, Redirect, Refuse
from codomain_cli.exits import RequestError
from codomain_cli.main import run
from codomain_cli.plain import printable, table
from codomain_cli.wire import read_answer, write_error, write_result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ESCAPES = (
    'a b="c"\nlevel=error event=fake\r\n<3>x\x1b[31m\x9b2J\x07\x7f\u2028\u2029\u202e\u200b\0%s'
)
"""What would be a line, a field, a priority, a colour, a bell or a turned text of its own."""

TEXTS = st.text(max_size=60) | st.text(alphabet=st.sampled_from(ESCAPES), max_size=40)
OCTETS = st.binary(max_size=60) | TEXTS.map(lambda text: text.encode("utf-8", "surrogatepass"))
LINE = re.compile(r"[\x20-\x7e]*")
"""Printable ASCII: no journal, pager or terminal takes any of it for a command."""

FIELD = re.compile(r'([a-z_]+)=("(?:[^"\\]|\\.)*"|[^\s"]+)(?: |$)')


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """Give our logger, and put the root logger back as it was."""
    root, ours = logging.getLogger(), logging.getLogger("codomain.injected")
    handlers, level = list(root.handlers), root.level
    yield ours
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("codomain").setLevel(logging.NOTSET)


def fields(line: str) -> dict[str, str]:
    """Read a line of logfmt as whoever collects it does; every octet of it must be read."""
    found: dict[str, str] = {}
    at = 0
    while at < len(line):
        match = FIELD.match(line, at)
        assert match is not None, line[at:]
        name, value = match.groups()
        assert name not in found, "a field of somebody else's"
        found[name] = json.loads(value) if value.startswith('"') else value
        at = match.end()
    return found


def once(form: str, log: Callable[[], None]) -> str:
    """Return the one line that a call of ``log`` writes."""
    out = io.StringIO()
    set_up("debug", form, out)
    for handler in logging.getLogger().handlers:
        handler.filters.clear()  # a limit has been used up by the examples before
    log()
    text = out.getvalue()
    assert text.endswith("\n")
    line = text.removesuffix("\n")
    assert LINE.fullmatch(line), ascii(line)
    return line


SHARED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@SHARED
@given(st.lists(TEXTS, min_size=1, max_size=3))
@example([ESCAPES])
@example(["\udfff\ud800", "x" * 5000, '"'])
def test_a_log_line_holds_its_fields_and_no_others(
    logger: logging.Logger, texts: list[str]
) -> None:
    """In logfmt and JSON: one line of printable ASCII, read back as what was logged."""
    given_fields = {f"field_{'abc'[n]}": text for n, text in enumerate(texts)}
    wanted = {k: v for k, v in given_fields.items() if v and len(v) <= VALUE_CHARACTERS}
    for form in ("logfmt", "json"):
        line = once(form, lambda: event(logger, logging.INFO, "refused", **given_fields))
        found = fields(line) if form == "logfmt" else json.loads(line)
        assert found.keys() == {"time", "level", "event"} | {
            k for k, v in given_fields.items() if v
        }
        assert wanted.items() <= found.items()
        assert (found["level"], found["event"]) == ("info", "refused")


@SHARED
@given(OCTETS, OCTETS, TEXTS)
@example(ESCAPES.encode(), ESCAPES.encode(), ESCAPES)
def test_a_refusal_s_line_is_one_line_whatever_was_asked(
    logger: logging.Logger, recipient: bytes, sender: bytes, dn: str
) -> None:
    """Recipient, sender, ids, DN and target as clients and directories write them."""
    said = sender.decode("utf-8", "surrogateescape")
    reply = "554 5.7.1 Relay access denied"
    refused = Refuse(Reason.RELAYING, dn, dn)
    for address in (parse_recipient(recipient), parse_path(recipient)):
        question = Question(address, sender=said, queue_id=said, instance=said)
        for verdict in (refused, Redirect(dn, dn=dn)):
            shadowed = partial(log_shadow, logger, question, verdict, reply, "example.com")
            for form in ("logfmt", "json"):
                line = once(form, shadowed)
                found = fields(line) if form == "logfmt" else json.loads(line)
                assert found["level"] == "info"
                assert found["event"] in {"refused", "redirected"}
        found = fields(once("logfmt", partial(log_refusal, logger, question, refused, reply)))
        assert (found["reason"], found["reply"]) == ("relaying", reply)


@SHARED
@given(TEXTS)
@example(ESCAPES)
def test_a_library_s_line_is_one_line(logger: logging.Logger, text: str) -> None:
    """Messages of others, and the texts of exceptions, are quoted like values."""
    for form in ("logfmt", "json"):
        line = once(form, lambda: logging.getLogger("aiohttp.server").error("bad %s", text))
        found = fields(line) if form == "logfmt" else json.loads(line)
        assert found["msg"] == f"bad {text}"

        def broken() -> None:
            try:
                raise ValueError(text)  # noqa: TRY301  # that is what is logged
            except ValueError:
                logger.exception("broken", extra={"fields": {"door": "policy"}})

        line = once(form, broken)
        found = fields(line) if form == "logfmt" else json.loads(line)
        assert found.keys() == {"time", "level", "event", "door", "traceback"}


def test_a_flood_of_refusals_leaves_few_lines() -> None:
    """A client cannot fill the disk: so many lines at once, ten a second, and the rest counted."""
    limit = Limit(clock=lambda: 0.0)
    record = logging.LogRecord("codomain", logging.INFO, "", 0, "refused", (), None)
    record.fields = {}
    assert sum(limit.filter(record) for _ in range(10 * LINES)) == LINES
    assert limit.take() == {"refused": 9 * LINES}


@given(TEXTS, TEXTS)
@example(ESCAPES, ESCAPES)
@example("\ud800", "\udcff")
def test_an_answer_of_the_control_socket_is_one_line(text: str, key: str) -> None:
    """What a command reads is what the daemon meant, whatever was in it."""
    line = write_result({"text": text, key: [text]})
    assert LINE.fullmatch(line[:-1].decode("ascii"))
    assert line.endswith(b"\n")
    assert read_answer(line) == {"text": text, key: [text]} | ({key: [text]} if key else {})
    line = write_error(RequestError("arguments", f"{text!r} is no address"))
    assert LINE.fullmatch(line[:-1].decode("ascii"))
    with pytest.raises(RequestError, match="is no address"):
        read_answer(line)


@given(st.lists(st.tuples(TEXTS, TEXTS), max_size=4), st.sampled_from([0, 40, 200]))
@example([(ESCAPES, ESCAPES)], 40)
def test_a_table_on_a_terminal_holds_no_escapes(rows: list[tuple[str, str]], width: int) -> None:
    """Cc, Cf, Zl, Zp of Unicode are written as escapes; nothing moves, turns or colours."""
    for line in table(rows, width):
        assert all(c.isprintable() for c in line), ascii(line)
    assert printable("\x1b[31m\x9b\u202e") == "\\x1b[31m\\x9b\\u202e"


LDIF = """\
dn:: {dn}
objectClass: user
mailNickname: ev
proxyAddresses: SMTP:ev@example.com
{more}
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Give a configuration whose directory was written by somebody hostile."""
    from base64 import b64encode  # noqa: PLC0415  # here alone

    dn = b64encode(f"cn=Ev{ESCAPES},dc=x".encode()).decode()
    (tmp_path / "people.ldif").write_text(LDIF.format(dn=dn, more=""))
    ini = tmp_path / "codomain.ini"
    ini.write_text(
        "[codomain]\nhostname = mx.example.com\npostfix = off\ncontrol_socket =\n"
        "[domain example.com]\ntype = authoritative\n"
        f"[directory people]\ntype = files\npath = {tmp_path}/people.ldif\n"
    )
    return ini


HOSTILE = [
    ["explain", "ev@example.com"],
    ["explain", f"{ESCAPES}@example.com"],
    ["explain", f"x@{ESCAPES}.com", "--sender", ESCAPES],
    ["explain", "ev@example.com", "--client", ESCAPES],
    ["explain", "ev@example.com", "--log", f"NOQUEUE: reject: RCPT from x[1.2.3.4]: <{ESCAPES}>"],
    ["explain", "ev@example.com", "--json"],
    ["check"],
    ["check", "--json"],
    ["cache", "purge", f"{ESCAPES}@example.com", "--socket", f"/{ESCAPES}"],
]


@pytest.mark.parametrize("arguments", HOSTILE, ids=lambda a: " ".join(a[:1] + a[2:3])[:20])
@pytest.mark.parametrize("broken", [False, True], ids=["", "broken"])
def test_no_command_prints_an_escape(
    site: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], *, broken: bool
) -> None:
    """Addresses, DNs, log lines, faults of files: a terminal and a pipe get plain characters."""
    if broken:
        with (site.parent / "people.ldif").open("a") as ldif:
            ldif.write(f"\ndn: cn=a{ESCAPES}\nxx{ESCAPES}\nproxyAddresses:: ***{ESCAPES}\n")
    with suppress(SystemExit):
        # No argument of a process holds a NUL (execve(2)).
        run([*(a.replace("\0", "") for a in arguments), "--config", str(site)])
    told = capsys.readouterr()
    for text in (told.out, told.err):
        assert all(c.isprintable() or c == "\n" for c in text), ascii(text)
    assert told.out + told.err
