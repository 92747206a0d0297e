"""README's five commands and docs/howto/install.md, word by word, on a host with a real Postfix.

Their tables are asked by SMTP: who is taken and refused, and where the mail arrives.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import pytest

from support.documents import PROJECT, Block, blocks, name_of, tables
from support.packages import alone, once, script
from support.postfixhost import STRANGER, TRUSTED, visit

if TYPE_CHECKING:
    from pathlib import Path

HEADER = ("mail from", "to", "what happens")
CLIENTS = {"a stranger": STRANGER, "a trusted client": TRUSTED}
PAGES = [PROJECT / "README.md", PROJECT / "docs/howto/install.md"]
MINUTE = 60.0
"""The bound of the way from the package to the first answered recipient."""

ENOUGH = "Beside Sendmail"
"""The heading of README behind which other commands begin."""


class Row(NamedTuple):
    """One row of a table."""

    client: str
    recipient: str
    happens: str


def script_of(page: Path) -> str:
    """Return what a reader pastes: every block of a shell, with its here-documents."""
    text = page.read_text(encoding="utf-8").partition(f"\n## {ENOUGH}\n")[0]
    return "\n".join(re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))


def rows_of(page: Path) -> list[Row]:
    """Return the rows of a page's promise."""
    (table,) = (table for table in tables(page) if table.header == HEADER)
    return [Row(CLIENTS.get(who, who), to, happens) for who, to, happens in table.rows]


def arrival(row: Row) -> list[str] | None:
    """Return the system and the recipient of the mail that a row promises; None: it sends none."""
    if (match := re.fullmatch(r"redirected to (\S+) through (\w+)", row.happens)) is not None:
        return [match[2], match[1]]
    if (match := re.fullmatch(r"(?:delivered|relayed) through (\w+)", row.happens)) is not None:
        return [match[1], row.recipient]
    return None


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_reader_gets_recipients_answered(page: Path) -> None:
    """From the package to the first answered recipient, and to every other row of the table."""
    rows = rows_of(page)
    wanted = [arrival(row) for row in rows]
    asked = [(row.client, row.recipient, arrival(row) is not None) for row in rows]
    seen = visit(script_of(page), asked)
    for row, reply in zip(rows, seen["replies"], strict=True):
        _, _, code = row.happens.partition("refused: ")
        assert reply.startswith(code or "250 2.1.5"), row
    assert seen["arrived"] == sorted(way for way in wanted if way is not None)
    assert "Traceback" not in seen["said"]


@pytest.mark.timeout(600)  # the package is built first, and another test may have its turn
def test_five_commands_take_under_a_minute(tmp_path_factory: pytest.TempPathFactory) -> None:
    """With the real package and the real apt(8), which finds what it depends on installed.

    The bound is on the processor's time: the test shares the machine with others.
    """
    folder = once(tmp_path_factory, "deb", script("build-deb.sh"))
    stranger = (STRANGER, "ann@example.com", True)
    with alone(tmp_path_factory):
        seen = visit(script_of(PAGES[0]), [stranger], folder)
    assert "Setting up codomain" in seen["said"]
    assert seen["replies"][0].startswith("250 2.1.5")
    assert seen["arrived"] == [["exchange", "ann@example.com"]]
    assert seen["seconds"] < MINUTE, seen["said"]


def test_the_readme_needs_five_commands() -> None:
    """Each block of the section is one of them."""
    text = (PROJECT / "README.md").read_text().partition(f"\n## {ENOUGH}\n")[0]
    shells: list[Block] = [
        b for b in blocks(PROJECT / "README.md") if b.language in {"sh", "ini", "csv"}
    ]
    assert len([block for block in shells if block.at < len(text)]) == 5
