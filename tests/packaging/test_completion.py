"""Completion of the command line: the files that the packages install, in a real bash."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from codomain_cli.main import COMMANDS
from support.packages import PACKAGING, run

BIN = Path(sys.executable).parent
ENVIRONMENT = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
_ASK = """
. "$0"
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_codomain_completion codomain
printf '%s\\n' "${COMPREPLY[@]}"
"""


def completed(*words: str) -> list[str]:
    """Complete the last of some words as bash does."""
    file = PACKAGING / "completion/codomain.bash"
    return run("bash", "--norc", "-c", _ASK, file, *words, env=ENVIRONMENT).split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("codomain", ""), sorted(COMMANDS)),
        (("codomain", "chec"), ["check"]),
        (("codomain", "cache", "p"), ["purge"]),
        (("codomain", "check", "--prob"), ["--probe"]),
        (("codomain", "nonsense", "x"), []),
    ],
)
def test_bash_offers_what_the_program_takes(words: tuple[str, ...], offered: list[str]) -> None:
    """Commands, their own commands, and options, from the program that is installed."""
    assert sorted(completed(*words)) == offered


def test_zsh_is_answered_in_threes() -> None:
    """The program's side of zsh's file: kind, word and help, a line each."""
    asked = {"_CODOMAIN_COMPLETE": "zsh_complete", "COMP_WORDS": "codomain chec", "COMP_CWORD": "1"}
    said = run(BIN / "codomain", env={**ENVIRONMENT, **asked}).splitlines()
    assert said[:2] == ["plain", "check"]
    assert len(said) == 3
    text = (PACKAGING / "completion/codomain.zsh").read_text()
    assert text.startswith("#compdef codomain\n")
    assert "_CODOMAIN_COMPLETE=zsh_complete" in text
