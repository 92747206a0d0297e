"""Text for a terminal: two columns of lines, safe to show whoever wrote them.

What clients and directories wrote may hold control characters, which would move the cursor
or change the terminal, and marks that turn the direction of text around (Unicode's Cc, Cf,
Zl, Zp): all of them are written as escapes.  Nothing here needs another package, because a
command that answers at once must start at once.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Row = tuple[str, "str | tuple[str, ...]"]
"""A label, and its text or texts."""

LABEL_CHARACTERS = 24
"""The widest first column; a longer label gets a line of its own."""

NARROW = 20
"""The fewest characters that are left for the second column."""


def printable(text: str) -> str:
    """Return a text with everything escaped that is no plain character."""
    return "".join(c if c.isprintable() else _escaped(c) for c in text)


def table(rows: Iterable[Row], width: int = 0, *, bold: bool = False) -> Iterator[str]:
    """Write rows of a label and its texts, each on a line of its own.

    ``width``: characters of a line of the terminal; 0: no line is folded.
    """
    listed = [
        (printable(label), (text,) if isinstance(text, str) else text) for label, text in rows
    ]
    column = min(max((len(label) for label, _ in listed), default=0), LABEL_CHARACTERS) + 2
    for label, texts in listed:
        lines = [
            piece
            for text in texts
            for piece in _folded(printable(text), width and max(width - column, NARROW))
        ]
        head = f"{label:<{column}}"
        first = f"\x1b[1m{head}\x1b[0m" if bold else head
        if len(label) >= column:
            yield first.rstrip()
            first = " " * column
        yield f"{first}{lines[0]}".rstrip()
        for line in lines[1:]:
            yield " " * column + line


def terminal() -> tuple[int, bool]:
    """Return the width of the terminal, 0 where standard output is none; and whether to embolden.

    NO_COLOR (no-color.org) and TERM=dumb switch that off.
    """
    if not sys.stdout.isatty():
        return 0, False
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    import shutil

    return shutil.get_terminal_size().columns, not plain


def _folded(line: str, width: int) -> list[str]:
    if not width:
        return [line]
    import textwrap

    return textwrap.wrap(line, width, break_on_hyphens=False) or [""]


def _escaped(character: str) -> str:
    code = ord(character)
    if character in "\t\n\r":
        return {"\t": "\\t", "\n": "\\n", "\r": "\\r"}[character]
    if code < 0x100:  # noqa: PLR2004  # two hexadecimal digits
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"  # noqa: PLR2004  # four digits
