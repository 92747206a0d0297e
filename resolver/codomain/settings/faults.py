"""Faults and warnings of the configuration, each with the place where it is mended.

In flow what is wrong and where; out flow lines in the order of the files::

    FILE:LINE: [section] key: what is wrong; what to write instead
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

SHOWN_CHARACTERS = 60
"""So much of a value is repeated in a fault: a line of a terminal stays readable."""

WORD_CHARACTERS = 64
"""Longer words have no nearest one: difflib's time grows with the square."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands in the configuration."""

    file: str
    """The file, as it was given."""

    line: int = 0
    """The line, counted from 1; 0: the file as a whole, or main.cf."""

    section: str = ""
    """The section as it stands between the brackets; empty: outside of any."""

    key: str = ""
    """The key; empty: the section as a whole."""

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:" if self.line else f"{self.file}:"
        if self.section:
            where += f" [{self.section}]"
            where += f" {self.key}:" if self.key else ":"
        elif self.key:
            where += f" {self.key}:"
        return where


class WrongError(ValueError):
    """A value that its key cannot take: what is wrong and what to write instead."""

    def __init__(self, text: str, *more: tuple[int, str], part: int = 0) -> None:
        """Keep the text, on which of the value's lines it is (from 0), and the other items'."""
        super().__init__(text)
        self.all = ((part, text), *more)


@dataclass(slots=True)
class Faults:
    """Everything that is wrong, gathered in one run."""

    faults: list[tuple[Place, str]] = field(default_factory=list)
    """What stops the start."""

    warnings: list[tuple[Place, str]] = field(default_factory=list)
    """What works, but hardly as it was meant."""

    def add(self, place: Place, text: str) -> None:
        """Note a fault."""
        self.faults.append((place, text))

    def warn(self, place: Place, text: str) -> None:
        """Note a warning."""
        self.warnings.append((place, text))

    def fault_lines(self, files: Iterable[str]) -> list[str]:
        """Return a line for each fault, in the order of the files and their lines."""
        return _lines(self.faults, files)

    def warning_lines(self, files: Iterable[str]) -> list[str]:
        """Return a line for each warning, in the order of the files and their lines."""
        return _lines(self.warnings, files)


def shown(text: str) -> str:
    """Return a value for a fault: quoted, printable, and not longer than a line."""
    short = text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…"
    inner = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in short)
    return f'"{inner}"'


def nearest(word: str, words: Iterable[str]) -> str:
    """Return the right word that is nearest to a wrong one; empty: none is near."""
    if len(word) > WORD_CHARACTERS:
        return ""
    import difflib  # noqa: PLC0415 - 2 ms that only a wrong word costs

    found = difflib.get_close_matches(word.lower(), list(words), n=1)
    return found[0] if found else ""


def _lines(found: list[tuple[Place, str]], files: Iterable[str]) -> list[str]:
    order = {name: index for index, name in enumerate(files)}
    found = sorted(found, key=lambda item: (order.get(item[0].file, len(order)), item[0].line))
    return list(dict.fromkeys(f"{place} {text}" for place, text in found))
