"""The command lines of the manuals, and the few that nobody can run here.

In flows a page; out flow its command lines, in its order, as a reader would paste them: one
line, or several where a loop or a backslash joins them.  A block is one of commands when its
language is ``sh``, ``console`` or nothing at all; what a command prints is of language ``text``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from support.documents import PROJECT, blocks, name_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LANGUAGES = {"", "sh", "console"}
"""The languages of blocks that hold commands."""

WINDOWS = "a command of Windows, on a domain controller"
BUILD = "the package is built by it in tests/packaging, as soon as what it needs is installed"
INDEX = "it fetches packages; tests/packaging/test_dist.py installs the wheel without them"

EXCUSED: dict[str, dict[str, str]] = {
    "README.md": {
        "make demo": "tests/integration/postfix/test_demo.py runs the command that it starts",
        "make test": "it is what runs these tests",
        ".venv/bin/codomain explain nobody@example.com --client 198.51.100.7 "
        "--config /tmp/codomain-demo-…/codomain.ini": "the demo names its own folder, and the"
        " test of the demo talks to it",
    },
    "docs/howto/active-directory.md": {
        'dsacls "CN=Deleted Objects,DC=corp,DC=example,DC=com" /takeownership': WINDOWS,
        'dsacls "CN=Deleted Objects,DC=corp,DC=example,DC=com" /G CORP\\codomain:LCRP': WINDOWS,
    },
    "docs/howto/install.md": {
        "apt-get install debhelper dh-python pybuild-plugin-pyproject python3-all "
        "python3-hatchling dpkg-dev fakeroot": BUILD,
        "packaging/build-deb.sh packages": BUILD,
        "python3.11 -m venv /opt/codomain": INDEX,
        "/opt/codomain/bin/pip install '.[sync,uvloop]'": INDEX,
    },
    "docs/howto/status-page.md": {
        "ssh -L 9815:127.0.0.1:9815 gateway.example.com     # then http://127.0.0.1:9815/ in the "
        "browser": "on the postmaster's own machine, to a gateway elsewhere",
    },
}
"""What no test runs: by page and command, the reason."""

_LOOP = re.compile(r"(?:^|;|\|)\s*(?:while|for|until)\b")
_DONE = re.compile(r"(?:^|;)\s*done\b")


def lines_of(text: str) -> list[str]:
    """Return the command lines of a block; a comment by itself is none."""
    found: list[str] = []
    depth = 0
    joined = False
    for line in text.splitlines():
        if not (depth or joined):
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            found.append(line)
        else:
            found[-1] += f"\n{line}"
        depth += bool(_LOOP.search(line)) - bool(_DONE.search(line))
        joined = line.endswith("\\")
    return found


def in_blocks(page: Path) -> Iterator[list[str]]:
    """Give the command lines of each block of commands that a test has to run."""
    excused = EXCUSED.get(name_of(page), {})
    for block in blocks(page):
        if block.language in LANGUAGES:
            lines = [line for line in lines_of(block.text) if line not in excused]
            if lines:
                yield lines


def all_lines(page: Path) -> list[str]:
    """Return all command lines of a page, the excused ones, too."""
    found = (lines_of(block.text) for block in blocks(page) if block.language in LANGUAGES)
    return [line for lines in found for line in lines]


def readable() -> list[Path]:
    """Return the pages whose commands a reader pastes: README, how-tos, runbook, contrib."""
    return [
        PROJECT / "README.md",
        *sorted((PROJECT / "docs/howto").glob("*.md")),
        PROJECT / "docs/runbook.md",
        *sorted((PROJECT / "contrib").rglob("*.md")),
    ]
