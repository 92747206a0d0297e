"""`codomain demo`: what a newcomer sees, and that nothing of it stays."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO
from urllib.request import urlopen

import pytest

from codomain_cli.main import run

RUN = [sys.executable, "-c", "from codomain_cli.main import main; main()", "demo"]
SECONDS = 60


def left_behind(port: str) -> list[str]:
    """Return the command lines of processes of a demo with this HTTP port, and its folders."""
    found = []
    for folder in Path("/tmp").glob("codomain-demo-*"):
        ini = folder / "codomain.ini"
        if ini.exists() and f":{port}\n" in ini.read_text():
            found.append(str(folder))
    return found


def test_the_demo_shows_every_row_as_it_should_be() -> None:
    """A table, a line that names the metrics page, status 0, and nothing left behind."""
    done = subprocess.run(RUN, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All 19 rows are as they should be." in done.stdout
    assert "✗" not in done.stdout
    rows = [line.split() for line in done.stdout.splitlines() if "bob@unix.example.net" in line]
    assert rows[0][:7] == [
        *("stranger", "bob@example.com", "250", "2.1.5", "Ok", "unix", "bob@unix.example.net"),
    ]
    page = re.search(r"http://127\.0\.0\.1:(\d+)/metrics", done.stdout)
    assert page is not None
    assert left_behind(page[1]) == []


def test_a_demo_that_stays_ends_by_a_signal_and_removes_everything() -> None:
    """KEEP=1 tells how to talk to it; SIGINT and SIGTERM stop what it started."""
    for number in (signal.SIGINT, signal.SIGTERM):
        process = subprocess.Popen(
            [*RUN, "--keep"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        try:
            assert process.stdout is not None
            said = _until(process.stdout, "the people")
            port = re.search(r"http://127\.0\.0\.1:(\d+)/metrics", said)
            master = re.search(r"tail -f (\S+)/log/mail\.log", said)
            assert port is not None
            assert master is not None
            with urlopen(f"http://127.0.0.1:{port[1]}/metrics", timeout=SECONDS) as page:
                assert b"codomain_requests_total" in page.read()
            pid = int(Path(master[1], "queue", "pid", "master.pid").read_text())
            process.send_signal(number)
            process.stdout.read()
            assert process.wait(SECONDS) == 130
        finally:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
        assert not _is_alive(pid)
        assert left_behind(port[1]) == []


def test_a_row_that_is_wrong_ends_with_status_1(tmp_path: Path) -> None:
    """The demo compares: an expectation that does not hold is marked, and ends non-zero."""
    script = tmp_path / "wrong.py"
    script.write_text(
        "from codomain_cli import demo, stories\n"
        "from codomain_cli.main import main\n"
        "wrong = stories.Fate('bob@example.com', '250 2.1.5', 'exchange', 'bob@example.com')\n"
        "demo.STORIES = (stories.Story(stories.STRANGER, (wrong,)),)\n"
        "main()\n"
    )
    command = [sys.executable, f"{script}", "demo"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 of 1 rows are not as they should be." in done.stdout
    assert "✗" in done.stdout


def test_without_root_the_demo_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """master(8) needs root: one clear line that names sudo."""
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(SystemExit) as ended:
        run(["demo"])
    assert ended.value.code == 69
    said = capsys.readouterr().err
    assert "sudo" in said
    assert len(said.splitlines()) == 1


def _until(stream: IO[str], text: str) -> str:
    said = ""
    for line in stream:
        said += line
        if text in line:
            break
    return said


def _is_alive(pid: int) -> bool:
    # One that nobody has waited for yet is a zombie, and dead.
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"
