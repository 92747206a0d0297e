"""Findings: what is wrong, where it stands, what becomes of mail, and what mends it.

In flow the lines of :class:`codomain.errors.ConfigError`, and what the checks find; out
flow findings, most severe first, as text or as JSON.  Their ids are stable: that of a
finding about the INI alone is its section and key (``connector.smart_hosts``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

EXAMPLES = 5
"""Entries that one finding names; a directory may hold a million."""

_LINE = re.compile(
    r"(?P<file>[^\s:][^:]*?)(?::(?P<line>[0-9]+))?: "
    r"(?:\[(?P<section>[a-z]+(?: (?:\[[^\]]*\]|[^\]])*)?)\](?: (?P<key>[\w.]+))?: )?"
    r"(?P<text>.*)"
)
_PARAMETER = re.compile(r"(?P<key>[A-Za-z_]\w*): (?P<text>.*)")


class Severity(Enum):
    """How bad it is; also what the exit status goes by."""

    ERROR = "error"
    """Mail is lost, refused or held up, or codomain does not start: status 78."""

    WARNING = "warning"
    """Some mail does not fare as the configuration says: status 1."""

    ADVICE = "advice"
    """It works, and could be better: status 0."""

    OK = "ok"
    """What was looked at and is right."""


_ORDER = list(Severity)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found."""

    id: str
    """What kind of thing, stable between versions."""

    severity: Severity
    """How bad it is."""

    what: str
    """What is wrong, and what will happen to mail."""

    remedy: str = ""
    """The line that mends it, or what to do."""

    file: str = ""
    """The file; empty: none."""

    line: int = 0
    """The line, counted from 1; 0: the file as a whole."""

    section: str = ""
    """The section of the INI, as between the brackets."""

    key: str = ""
    """The key of the INI, or the parameter."""

    @property
    def where(self) -> str:
        """The place, as compilers write it."""
        where = f"{self.file}:{self.line}:" if self.line else f"{self.file}:" * bool(self.file)
        names = f"[{self.section}] {self.key}".rstrip() if self.section else self.key
        return " ".join(filter(None, [where, f"{names}:" if names else ""]))

    def as_object(self) -> dict[str, str | int]:
        """Return it for JSON; every key is always there."""
        return {
            "id": self.id,
            "severity": self.severity.value,
            "file": self.file,
            "line": self.line,
            "section": self.section,
            "key": self.key,
            "what": self.what,
            "remedy": self.remedy,
        }


def from_line(line: str, severity: Severity, kind: str = "") -> Finding:
    """Read a line of the form ``FILE:LINE: [section] key: what is wrong; what to write``.

    ``kind`` is the id; empty: the section's first word and the key.
    """
    match = _LINE.fullmatch(line)
    if match is None:
        what, remedy = split(line)
        return Finding(kind or "configuration", severity, what, remedy)
    section, key, text = match["section"] or "", match["key"] or "", match["text"]
    file = match["file"]
    if not section and file == "main.cf" and (parameter := _PARAMETER.fullmatch(text)):
        key, text = parameter["key"], parameter["text"]
    what, remedy = split(text)
    found = ".".join(filter(None, [section.partition(" ")[0], key]))
    return Finding(
        kind or found or "configuration",
        severity,
        what,
        remedy,
        file,
        int(match["line"] or 0),
        section,
        key,
    )


def split(text: str) -> tuple[str, str]:
    """Part what is wrong from what to do about it; the last semicolon stands between."""
    what, parted, remedy = text.rpartition("; ")
    return (what, remedy) if parted else (text, "")


def ordered(findings: Iterable[Finding]) -> list[Finding]:
    """Return them without doubles, most severe first, else as they were found."""
    return sorted(dict.fromkeys(findings), key=lambda found: _ORDER.index(found.severity))


def named(examples: list[str], count: int) -> str:
    """List some of many."""
    more = count - len(examples)
    return ", ".join(examples) + (f" and {more} more" if more > 0 else "")
