"""The reader of main.cf: postconf's output, and what is done where it gives none."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from codomain.config import postfix_parameters
from codomain.errors import ConfigError
from codomain_cli import maincf

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def postconf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a program named postconf first on the PATH; the test writes it."""
    path = tmp_path / "postconf"
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return path


def script(path: Path, lines: str) -> None:
    """Write a program of a few lines."""
    path.write_text(f"#!/bin/sh\n{lines}\n")
    path.chmod(0o755)


def test_pairs_are_read_by_name() -> None:
    """postconf(1): name = value on a line each; a value may hold = itself."""
    lines = ["mynetworks = 127.0.0.0/8 [::1]/128", "recipient_delimiter = ", "x = a=b", "noise"]
    assert maincf.parse(lines) == {
        "mynetworks": "127.0.0.0/8 [::1]/128",
        "recipient_delimiter": "",
        "x": "a=b",
    }


def test_off_asks_nobody(postconf: Path) -> None:
    """Postfix = off: main.cf has no say."""
    script(postconf, "echo mynetworks = 10.0.0.0/8")
    assert maincf.read("off") == {}


def test_auto_asks_for_every_parameter(postconf: Path) -> None:
    """Postconf is asked once, expanded, by name: -n leaves our own parameters out."""
    script(postconf, 'echo "arguments = $*"; echo "mynetworks = 10.0.0.0/8"')
    found = maincf.read("auto")
    assert found["arguments"].split() == ["-x", *postfix_parameters()]
    assert found["mynetworks"] == "10.0.0.0/8"


def test_a_folder_is_given_to_postconf(postconf: Path) -> None:
    """Postfix = FOLDER: another instance's main.cf."""
    script(postconf, 'echo "arguments = $1 $2"')
    assert maincf.read("/etc/postfix-out") == {"arguments": "-c /etc/postfix-out"}


def test_without_postconf_there_is_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Sendmail host has no main.cf."""
    monkeypatch.setattr("shutil.which", lambda _name, path: None if path else "never")
    assert maincf.read("auto") == {}


def test_a_host_without_main_cf_has_nothing_to_say(postconf: Path) -> None:
    """Postfix is installed, and not set up: as if it were not there."""
    script(
        postconf,
        "echo postconf: fatal: open /etc/postfix/main.cf: No such file or directory >&2; exit 1",
    )
    assert maincf.read("auto") == {}
    with pytest.raises(ConfigError, match=r"^main\.cf: postconf \(/etc/out\): .*No such file"):
        maincf.read("/etc/out")


def test_a_postconf_that_fails_stops_the_start(postconf: Path) -> None:
    """Going on without mynetworks would refuse the site's own clients for good."""
    script(postconf, "echo 'postconf: fatal: bad string length 0 < 1: x =' >&2; exit 1")
    with pytest.raises(ConfigError) as caught:
        maincf.read("auto")
    assert caught.value.faults == [
        (
            "main.cf: postconf (auto): postconf: fatal: bad string length 0 < 1: x =;"
            " mend it, or write postfix = off in [codomain]"
        )
    ]


def test_a_postconf_that_hangs_is_ended(postconf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A start never hangs on another program."""
    script(postconf, "exec sleep 60")
    asked: list[float] = []
    run = subprocess.run

    def spy(*args: object, **options: object) -> object:
        asked.append(options["timeout"])  # type: ignore[arg-type]
        return run(*args, **options)  # type: ignore[call-overload]

    monkeypatch.setattr("subprocess.run", spy)
    with pytest.raises(ConfigError, match=r"no answer within 0\.2 s"):
        maincf.read("auto", timeout=0.2)
    assert asked == [0.2]


def test_a_postconf_that_cannot_run_is_a_fault(postconf: Path) -> None:
    """A broken installation is said, not taken for none."""
    postconf.write_text("#!/nonexistent/sh\n")
    postconf.chmod(0o755)
    with pytest.raises(ConfigError, match=r"postconf \(auto\): No such file or directory"):
        maincf.read("auto")
