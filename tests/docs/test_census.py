"""Every command line of the manuals is run by a test, or stands in a short table with a reason."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.commands import EXCUSED, all_lines, in_blocks, lines_of, readable
from support.documents import PROJECT, blocks, name_of

INSTALLING = "tests/docs/test_installing.py"
READ: dict[str, dict[str, tuple[str, ...]]] = {
    "README.md": {"sh": (INSTALLING, "tests/integration/sendmail/test_readme.py")},
    "docs/howto/install.md": {
        "sh": (INSTALLING,),
        "console": ("tests/docs/test_reading_service.py",),
    },
    "contrib/ansible/README.md": {"sh": ("tests/packaging/test_ansible.py",)},
}
"""Pages of which other tests than walks take the commands: of all their blocks of a language."""

SOURCES = "\n".join(path.read_text() for path in Path(__file__).parent.glob("test_reading_*.py"))

WITH_COMMANDS = [page for page in readable() if all_lines(page)]


def walked(page: Path) -> bool:
    """Tell whether a test walks a page: at the end no command of it is left (support.walk)."""
    return re.search(rf'walking\([^)]*"{re.escape(name_of(page))}"', SOURCES) is not None


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=name_of)
def test_every_command_line_is_run_or_excused(page: Path) -> None:
    """What is output, and not a command, has the language ``text``."""
    readers = READ.get(name_of(page), {})
    for test in (test for tests in readers.values() for test in tests):
        assert page.name in (PROJECT / test).read_text()
    run = [line for b in blocks(page) if b.language in readers for line in lines_of(b.text)]
    left = [line for lines in in_blocks(page) for line in lines if line not in run]
    assert walked(page) or not left, f"{name_of(page)}: nobody runs {left}"


def test_what_is_excused_stands_in_the_manuals() -> None:
    """An excuse outlives no command, and each has its reason."""
    for page, excused in EXCUSED.items():
        assert set(excused) <= set(all_lines(PROJECT / page)), page
        assert all(excused.values())


def test_a_command_that_nobody_runs_is_noticed() -> None:
    """The test itself: loops and continued lines are one command, and comments are none."""
    text = "# first\nwhile read -r a; do\n  echo $a\ndone < b\ncodomain check \\\n  --json\n\nls\n"
    assert lines_of(text) == [
        "while read -r a; do\n  echo $a\ndone < b",
        "codomain check \\\n  --json",
        "ls",
    ]
    assert not walked(PROJECT / "docs/howto/none.md")
