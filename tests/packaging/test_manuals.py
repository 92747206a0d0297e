"""The manual pages: what the code says, and readable by the tools that show them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from codomain_cli.main import COMMANDS
from codomain_cli.manuals import FOLDER, pages

PROJECT = Path(__file__).resolve().parents[2]
PAGES = pages()
SECONDS = 30  # for one page, which takes milliseconds


@pytest.mark.parametrize("name", PAGES)
def test_page_is_what_the_code_says(name: str) -> None:
    """A drifted page names options that are gone (python -m codomain_cli.manuals --write)."""
    assert (PROJECT / FOLDER / name).read_text(encoding="utf-8") == PAGES[name]


def test_no_page_is_left_over() -> None:
    """A page of a command that is gone would still be installed."""
    assert {path.name for path in (PROJECT / FOLDER).glob("*.[0-9]")} == set(PAGES)


def test_every_command_has_a_page() -> None:
    """Debian policy 12.1: each program has one; so has each command of ours."""
    assert {f"codomain-{name}.1" for name in COMMANDS} < set(PAGES)


@pytest.mark.parametrize("name", PAGES)
def test_mandoc_and_groff_have_no_objection(name: str) -> None:
    """No warning of either: a page that one of them misreads is wrong somewhere."""
    path = PROJECT / FOLDER / name
    for command in (
        ["mandoc", "-T", "lint", "-W", "warning"],
        ["groff", "-ww", "-mandoc", "-T", "utf8", "-z"],
    ):
        done = subprocess.run(
            [*command, str(path)], capture_output=True, text=True, timeout=SECONDS, check=False
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("command", [["mandoc", "-T", "lint", "-W", "warning"]])
def test_a_broken_page_is_noticed(command: list[str], tmp_path: Path) -> None:
    """The tool can object: a list that is not closed."""
    (tmp_path / "x.1").write_text(PAGES["codomain.1"].replace(".El\n", "", 1))
    done = subprocess.run(
        [*command, str(tmp_path / "x.1")], capture_output=True, timeout=SECONDS, check=False
    )
    assert done.returncode != 0
