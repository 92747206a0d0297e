"""The reader of the INI format, which knows the line of every key.

In flows the text of a file; out flow its sections and keys, and a fault for each line
that is none of the format.  The format: ``[section]`` or ``[section name]``, ``key =
value``, comments behind ``;`` or ``#`` at a line's start and behind a ``;`` that follows
white space; a line that is indented goes on with the value above it.  (configparser of
the standard library keeps no line numbers, and stops at the first fault.)
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from codomain.settings.faults import Place, shown

if TYPE_CHECKING:
    from codomain.settings.faults import Faults

_COMMENT = re.compile(r"[ \t];.*", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_BLANK = " \t"


@dataclass(frozen=True, slots=True)
class Value:
    """What stands behind a key, with its line or lines."""

    place: Place
    """Where the key stands."""

    parts: tuple[tuple[int, str], ...]
    """Line number and text of each line that is not empty, comments taken away."""

    unusable: bool = False
    """It holds what no value may hold, and has its fault already."""

    @property
    def text(self) -> str:
        """The lines, one below the other."""
        return "\n".join(text for _, text in self.parts)

    def place_of(self, part: int) -> Place:
        """Return the place of one of the :attr:`parts`."""
        if part < len(self.parts):
            return replace(self.place, line=self.parts[part][0])
        return self.place


@dataclass(slots=True)
class Section:
    """One section of one file."""

    place: Place
    """Where its header stands."""

    kind: str
    """The first word of the header."""

    name: str
    """The rest of the header; empty: there is none."""

    keys: dict[str, Value] = field(default_factory=dict)
    """Its keys, in the order of the file."""


def read(text: str, file: str, faults: Faults) -> list[Section]:
    """Return the sections of a file in their order; what is none of the format is a fault."""
    reader = _Reader(file, faults)
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        reader.line(number, line.removesuffix("\r"))
    return reader.sections


def control_character(text: str) -> str:
    """Return the code of the first character that no value may hold; empty: there is none."""
    found = _CONTROL.search(text)
    return f"U+{ord(found[0]):04X}" if found else ""


class _Reader:
    """The state between two lines: the section, and the key that a line may go on with."""

    def __init__(self, file: str, faults: Faults) -> None:
        self.file = file
        self.faults = faults
        self.sections: list[Section] = []
        self._known: dict[tuple[str, str], Section] = {}
        self._section: Section | None = None
        self._key = ""

    def line(self, number: int, line: str) -> None:
        bare = line.strip(_BLANK)
        if not bare or bare[0] in ";#":
            return
        content = _COMMENT.sub("", line).rstrip(_BLANK)
        if line[0] in _BLANK:
            self._more(number, content.strip(_BLANK))
        elif line[0] == "[":
            self._header(number, content)
        else:
            self._pair(number, content)

    def _header(self, number: int, content: str) -> None:
        self._key = ""
        place = Place(self.file, number)
        words = content[1:-1].split(None, 1)
        if not content.endswith("]") or not words or _CONTROL.search(content):
            self.faults.add(place, f"{shown(content)} is no section; write [section]")
            # The keys below it belong to nothing known, and are not read.
            self._section = Section(place, "", "")
            return
        kind, name = words[0], words[1].strip(_BLANK) if len(words) > 1 else ""
        place = Place(self.file, number, f"{kind} {name}".rstrip())
        self._section = self._known.get((kind, name))
        if self._section is None:
            self._section = self._known[kind, name] = Section(place, kind, name)
            self.sections.append(self._section)
        else:
            first = self._section.place.line
            self.faults.add(place, f"the section stands on line {first} already; join the two")

    def _pair(self, number: int, content: str) -> None:
        self._key = ""
        section = self._section
        name = section.place.section if section else ""
        key, equals, text = content.partition("=")
        key = key.rstrip(_BLANK)
        if not equals or not key or _CONTROL.search(key):
            self.faults.add(
                Place(self.file, number, name), f"{shown(content)} is no key; write key = value"
            )
            return
        place = Place(self.file, number, name, key)
        if section is None:
            self.faults.add(place, "a key before the first section; write [section] above it")
            return
        if key in section.keys:
            first = section.keys[key].place.line
            self.faults.add(place, f"the key stands on line {first} already; remove one of the two")
        section.keys[key] = Value(place, ())
        self._key = key
        self._extend(section, number, text.strip(_BLANK))

    def _more(self, number: int, text: str) -> None:
        section = self._section
        if section is None or not self._key:
            name = section.place.section if section else ""
            self.faults.add(
                Place(self.file, number, name),
                "an indented line that goes on with no key; begin it at the line's start",
            )
            return
        self._extend(section, number, text)

    def _extend(self, section: Section, number: int, text: str) -> None:
        """Add a line to the value of the key that was read last."""
        value = section.keys[self._key]
        code = control_character(text)
        if code:
            place = replace(value.place, line=number)
            self.faults.add(place, f"the control character {code} in the value; remove it")
            section.keys[self._key] = replace(value, unusable=True)
        elif text:
            section.keys[self._key] = replace(value, parts=(*value.parts, (number, text)))
