"""The manuals as data: blocks, tables, headings and links of the Markdown files.

In flows the text of a page; out flow its parts, each with the line where it stands.  Of
Markdown only what the manuals use is known: fenced blocks, pipe tables, ATX headings and
inline links (CommonMark 0.31, and GitHub's tables and anchors).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT = Path(__file__).resolve().parents[2]

_FENCE = re.compile(r"^( *)```([^\n`]*)\n(.*?)^\1```[ ]*$", re.MULTILINE | re.DOTALL)
_HEREDOC = re.compile(r"^cat > (\S+) <<'(\w+)'\n(.*?)^\2$\n?", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#{1,6} +(.+?)(?: +#+)? *$", re.MULTILINE)
_LINK = re.compile(r"!?\[[^\]\[]*\]\(([^)\s]+)\)")
_ANCHOR = re.compile(r"<a id=\"([^\"]+)\">")
_CODE = re.compile(r"`([^`]+)`")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block, or a file that a block of a shell writes."""

    page: Path
    """The page that has it."""

    line: int
    """The line of its fence."""

    at: int
    """Where it begins in the text of the page, in characters."""

    language: str
    """The first word after the fence; empty: none."""

    about: str
    """What stands behind that word: the directory whose entries these are."""

    text: str
    """The text without the indentation of the fence."""

    @property
    def place(self) -> str:
        """Where it stands, for a message."""
        return f"{self.page.relative_to(PROJECT)}:{self.line}"


@dataclass(frozen=True, slots=True)
class Table:
    """A pipe table."""

    at: int
    """Where it begins in the text of the page, in characters."""

    line: int
    """The line of its header."""

    header: tuple[str, ...]
    """The cells of its header."""

    rows: tuple[tuple[str, ...], ...]
    """The cells of its rows."""


def pages() -> list[Path]:
    """Return every page that is shipped."""
    found = [*PROJECT.glob("*.md")]
    for folder in ("docs", "contrib"):
        found += (PROJECT / folder).rglob("*.md")
    return sorted(found)


def name_of(page: Path) -> str:
    """Name a page from the project's folder."""
    return str(page.relative_to(PROJECT))


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page; each file of a here-document stands for itself, too."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in _FENCE.finditer(text):
        language, _, about = match[2].strip().partition(" ")
        inner = dedent(match[3])
        line = text.count("\n", 0, match.start()) + 1
        for document in _HEREDOC.finditer(inner) if language == "sh" else ():
            kind = Path(document[1]).suffix[1:]
            found.append(Block(page, line, match.start(), kind, "", document[3]))
            inner = inner.replace(document[0], "")
        if inner.strip():
            found.append(Block(page, line, match.start(), language, about.strip(), inner))
    return found


def without_blocks(text: str) -> str:
    """Return a page without its fenced blocks; every line keeps its number."""
    return _FENCE.sub(lambda match: "\n" * match[0].count("\n"), text)


def tables(page: Path) -> Iterator[Table]:
    """Give the pipe tables of a page."""
    text = page.read_text(encoding="utf-8")
    gathered: list[tuple[int, int, tuple[str, ...]]] = []
    at = 0
    for number, line in enumerate([*text.splitlines(keepends=True), "\n"], 1):
        if line.startswith("|"):
            cells = tuple(cell.strip() for cell in line.strip().strip("|").split("|"))
            gathered.append((at, number, cells))
        elif gathered:
            first = gathered[0]
            yield Table(first[0], first[1], first[2], tuple(row for _, _, row in gathered[2:]))
            gathered = []
        at += len(line)


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page: its own, and those that GitHub makes of its headings."""
    text = without_blocks(page.read_text(encoding="utf-8"))
    seen: dict[str, int] = {}
    made = set(_ANCHOR.findall(text))
    for title in _HEADING.findall(text):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        times = seen[slug] = seen.get(slug, -1) + 1
        made.add(f"{slug}-{times}" if times else slug)
    return made


def links(page: Path) -> Iterator[tuple[int, str]]:
    """Give the targets of a page's links, each with its line."""
    text = without_blocks(page.read_text(encoding="utf-8"))
    for match in _LINK.finditer(_CODE.sub(lambda code: " " * len(code[0]), text)):
        yield text.count("\n", 0, match.start()) + 1, match[1]


def inline_code(page: Path) -> Iterator[tuple[int, str]]:
    """Give the inline code of a page, white space folded, each with its line."""
    text = without_blocks(page.read_text(encoding="utf-8"))
    for match in _CODE.finditer(text):
        yield text.count("\n", 0, match.start()) + 1, " ".join(match[1].split())
