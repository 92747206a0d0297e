"""Wrong input of every kind, as a new administrator gives it: one clear line, the right status.

The statuses are sysexits(3)'s: 64 the command line, 69 what is missing on this host, 75 the
daemon that is not there, 78 the configuration.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from codomain_cli.main import run

if TYPE_CHECKING:
    from pathlib import Path

GOOD = """\
[codomain]
postfix = off
[domain corp.local]
type = authoritative
deliver_to = exchange
[connector exchange]
smart_hosts = [192.0.2.20]
"""

COMMANDS = (
    ["check"],
    ["explain", "ann@corp.local"],
    ["postfix"],
    ["sendmail"],
)
"""Those that read the whole of the INI."""

ASKING = (["status"], ["shadow", "report"], ["cache", "stats"], ["cache", "flush"])
"""Those that ask the daemon, and take from the INI where it is."""

BAD = {
    "not UTF-8": GOOD.replace("corp", "c\udcffrp"),
    "a key misspelled": GOOD.replace("deliver_to", "deliver_too"),
    "a section misspelled": GOOD.replace("[connector", "[conector"),
    "a huge value": f"{GOOD}cost = {'9' * 40}\n",
    "a key twice": f"{GOOD}cost = 5\ncost = 6\n",
    "no key": f"{GOOD}nonsense\n",
    "no section": "postfix = off\n",
    "NUL": "[codomain]\0\n",
    "a long line": f"[codomain]\npostmaster = {'a' * 200_000}\n",
}

FINE = {
    "a byte order mark": f"\ufeff{GOOD}",
    "CRLF": GOOD.replace("\n", "\r\n"),
    "no line end": GOOD.rstrip("\n"),
}

LINE = 400
"""Characters of a line that somebody still reads."""


def status(words: list[str]) -> int:
    """Run a command line; some end the process themselves."""
    try:
        return run(words)
    except SystemExit as end:
        return int(end.code or 0)


def write(path: Path, text: str) -> str:
    """Write an INI, octet for octet."""
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    return f"{path}"


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_named_with_its_line(
    command: list[str], kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 78, and every line is FILE:LINE, what is wrong, and what to write."""
    ini = write(tmp_path / "codomain.ini", BAD[kind])
    more = ["--json", "--postfix", "off"] if command == ["check"] else []
    assert status([*command, *more, "--config", ini]) == 78
    captured = capsys.readouterr()
    said = captured.out + captured.err
    assert f"{ini}" in said
    assert "Traceback" not in said
    assert max(map(len, said.splitlines())) < LINE
    if not more:
        assert all(line.startswith(f"{ini}:") and "; " in line for line in said.splitlines())


@pytest.mark.parametrize("command", [*COMMANDS, *ASKING], ids=" ".join)
@pytest.mark.parametrize("kind", ["missing", "folder", "below a file", "circle"])
def test_a_file_that_cannot_be_read_is_named(
    command: list[str], kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 78 too where the daemon is asked: without the file it might be another one."""
    path = tmp_path / kind
    if kind == "folder":
        path.mkdir()
    elif kind == "circle":
        path.symlink_to(path)
    elif kind == "below a file":
        path.write_text(GOOD)
        path /= "codomain.ini"
    more = ["--json", "--postfix", "off"] if command == ["check"] else []
    assert status([*command, *more, "--config", f"{path}"]) == 78
    captured = capsys.readouterr()
    said = captured.out + captured.err
    assert f"{path}" in said
    assert "cannot be read" in said
    assert "[Errno" not in said
    assert more or len(said.splitlines()) == 1


@pytest.mark.parametrize("kind", FINE)
def test_what_other_editors_write_is_read(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same lines of main.cf come of it."""
    said = []
    for text in (GOOD, FINE[kind]):
        ini = write(tmp_path / "codomain.ini", text)
        assert status(["postfix", "--config", ini]) == 0
        said.append(capsys.readouterr().out)
    assert said[0] == said[1]


def test_without_a_daemon_it_is_said_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 75: start it, and ask again."""
    ini = write(tmp_path / "codomain.ini", f"{GOOD}[codomain]\ncontrol_socket = {tmp_path}/no\n")
    for command in ASKING:
        assert status([*command, "--config", ini]) == 75
        assert "start codomain serve" in capsys.readouterr().err


@pytest.mark.parametrize("command", [*COMMANDS, *ASKING], ids=" ".join)
def test_a_wrong_option_is_a_matter_of_usage(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 64, with the option's name; `explain --config` without a file means something."""
    for option in ("--nonsense", *(() if "explain" in command else ("--config",))):
        assert status([*command, option]) == 64
        assert option in capsys.readouterr().err


@pytest.mark.parametrize(
    "command", [["chek"], ["cache", "drop"], ["shadow", "repot"]], ids=" ".join
)
def test_an_unknown_command_is_a_matter_of_usage(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 64, with its name."""
    assert status(command) == 64
    assert command[-1] in capsys.readouterr().err


@pytest.mark.parametrize("command", [[], *COMMANDS, *ASKING], ids=" ".join)
def test_each_has_help(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Status 0, without an argument that it would need."""
    assert status([*command[:2], "--help"]) == 0
    assert capsys.readouterr().out.startswith("Usage: codomain")


@pytest.mark.parametrize("kind", ["missing", "folder", "without the message"])
def test_a_mail_log_that_says_nothing_is_named(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 69, not 1, which would say that the mail is refused."""
    ini = write(tmp_path / "codomain.ini", GOOD)
    log = tmp_path / "mail.log"
    if kind == "folder":
        log.mkdir()
    elif kind == "without the message":
        log.write_text("Nov 24 10:00:00 gw postfix/qmgr[1]: 4bQ1cx2Zz1zC: removed\n")
    words = ["explain", "--log", "4bQ1cx2Zz1zB", "--mail-log", f"{log}", "--config", ini]
    assert status(words) == 69
    said = capsys.readouterr().err
    assert f"{log}" in said
    assert "--mail-log FILE names another" in said
    assert "[Errno" not in said


def test_a_context_that_nobody_wrote_is_noticed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A misspelled --context would else be explained as if it were right."""
    ini = write(tmp_path / "codomain.ini", f"{GOOD}[context submission]\ntrusted = yes\n")
    for name, said in (("submission", ""), ("submision", "[context submision]")):
        status(["explain", "ann@corp.local", "--context", name, "--config", ini])
        err = capsys.readouterr().err
        assert said in err
        assert bool(err) is bool(said)


def test_main_cf_that_cannot_be_written_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 69, with postconf's words."""
    (tmp_path / "main.cf").write_text("compatibility_level = 3.6\n")
    (tmp_path / "master.cf").write_text("smtp inet n - y - - smtpd\n")
    ini = write(tmp_path / "codomain.ini", GOOD.replace("off", f"{tmp_path}"))
    (tmp_path / "main.cf.tmp").mkdir()  # what postconf writes first
    assert status(["postfix", "--apply", "--config", ini]) == 69
    assert "main.cf.tmp" in capsys.readouterr().err
