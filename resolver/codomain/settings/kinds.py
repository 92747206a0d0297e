"""The types of plain values: what the text behind a key may be, and what it becomes.

In flows the text of a value, its lines below one another; out flows a Python value:
durations as float seconds, sizes and counts as int, ``yes`` and ``no`` as bool, shares as
float, words as themselves.  What an address, a host or a network may be stands in
:mod:`codomain.settings.names`.
"""

from __future__ import annotations

import math
import re
from dataclasses import Field, dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar, get_args

from codomain.settings.faults import WrongError, nearest, shown

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
"""Seconds in each unit of time: those of postconf(5), with milliseconds for weeks."""

PERCENT = 100
"""All of it."""

_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?) ?(ms|s|m|h|d)")
_NUMBER = re.compile(r"[0-9]{1,9}")
_FRACTION = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,9})?")
_OCTAL = re.compile(r"0?[0-7]{3}")


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """A type of values."""

    name: str
    """What the reference calls it, with its unit and range."""

    read: Callable[[str], T]
    """From the text to the value; raises :class:`WrongError`."""

    lines: bool = False
    """The value may take several lines."""


@dataclass(frozen=True, slots=True)
class Spec(Generic[T]):
    """What is declared about a key beside its name, its Python type and its sentence."""

    kind: Kind[T]
    """Its type."""

    written: str
    """Its default, as one would write it."""

    default: T
    """Its default, read."""

    example: str
    """What the commented example shows; empty: the default."""

    only: str
    """The ``type`` of the section for which it means something; empty: every one."""

    otherwise: str
    """What holds where nothing is written, if that depends on other things."""


def key(
    kind: Kind[T], written: str = "", *, example: str = "", only: str = "", otherwise: str = ""
) -> T:
    """Declare a key of a section: the field's default is read from its written form."""
    spec = Spec(kind, written, kind.read(written), example, only, otherwise)
    # To mypy a field of T is a T, as dataclasses.field has it.
    return field(default=spec.default, metadata={"spec": spec})


def spec_of(declared: Field[Any]) -> Spec[Any] | None:
    """Return what was declared of a key; None for a field that is no key (``name``)."""
    found = declared.metadata.get("spec")
    return found if isinstance(found, Spec) else None


def words(alias: object) -> Kind[Any]:
    """Make the type of keys that take one of some words: those of a ``Literal``."""
    choices = [word for word in get_args(alias) if word]
    listed = ", ".join(choices)
    may_be_empty = "" in get_args(alias)

    def read(text: str) -> str:
        if text in choices or (not text and may_be_empty):
            return text
        near = nearest(text, choices)
        hint = f'the nearest is "{near}"' if near else "write one of them"
        raise WrongError(f"{shown(text)} is not one of {listed}; {hint}")

    return Kind(" | ".join(choices), read)


def _yes_no(text: str) -> bool:
    if text not in {"yes", "no"}:
        raise WrongError(f"{shown(text)} is neither yes nor no; write yes or no")
    return text == "yes"


def _any_text(text: str) -> str:
    return text


def duration(low: str, high: str) -> Kind[float]:
    """Make the type of durations between two, which are written as the INI has them."""
    least, most = _seconds(low), _seconds(high)

    def read(text: str) -> float:
        seconds = _seconds(text)
        if not least <= seconds <= most:
            raise WrongError(f"{shown(text)} is out of range; write {low} to {high}")
        return seconds

    return Kind(f"duration, {low} to {high}", read)


def whole(low: int, high: int) -> Kind[int]:
    """Make the type of whole numbers between two."""

    def read(text: str) -> int:
        if not _NUMBER.fullmatch(text):
            raise WrongError(f"{shown(text)} is no whole number; write {low} to {high}")
        number = int(text)
        if not low <= number <= high:
            raise WrongError(f"{text} is out of range; write {low} to {high}")
        return number

    return Kind(f"number, {low} to {high}", read)


def _percent(text: str) -> float:
    number = text.removesuffix("%").rstrip(" ")
    if not text.endswith("%") or not _FRACTION.fullmatch(number):
        raise WrongError(f"{shown(text)} is no percentage; write 0% to 100%")
    if float(number) > PERCENT:
        raise WrongError(f"{text} is out of range; write 0% to 100%")
    return float(number) / PERCENT


def _share(text: str) -> float:
    if not _FRACTION.fullmatch(text) or float(text) > 1:
        raise WrongError(f"{shown(text)} is no share of one; write 0 to 1, such as 0.8")
    return float(text)


def _octal(text: str) -> int:
    if not _OCTAL.fullmatch(text):
        raise WrongError(f"{shown(text)} is no mode of a file; write three octal digits, as 0660")
    return int(text, 8)


def listing(item: Kind[T]) -> Kind[tuple[T, ...]]:
    """Make the type of lists: commas or lines stand between the items."""

    def read(text: str) -> tuple[T, ...]:
        found = []
        wrong: list[tuple[int, str]] = []
        for part, line in enumerate(text.split("\n")):
            for piece in filter(None, (piece.strip() for piece in line.split(","))):
                try:
                    found.append(item.read(piece))
                except WrongError as error:
                    wrong.append((part, str(error)))
        if wrong:
            part, text = wrong[0]
            raise WrongError(text, *wrong[1:], part=part)
        return tuple(found)

    return Kind(f"list; each {item.name}", read, lines=True)


def _seconds(text: str) -> float:
    found = _DURATION.fullmatch(text)
    if found is None:
        near = f"{text}s" if _NUMBER.fullmatch(text) else "5s, 10m or 24h"
        raise WrongError(f"{shown(text)} is no duration; write a number and its unit, as {near}")
    seconds = float(found[1]) * UNITS[found[2]]
    # 200ms is 0.2 and not 0.2 and a bit: the values are shown again by the commands.
    return seconds if math.floor(seconds) == seconds else round(seconds, 6)


YES_NO = Kind("yes | no", _yes_no)
"""A flag."""

TEXT = Kind("text", _any_text)
"""Any text on one line."""

PERCENTAGE = Kind("percentage, 0% to 100%", _percent)
"""A part of something, as float: 20% is 0.2."""

SHARE = Kind("share, 0 to 1", _share)
"""A part of something, written as it is kept."""

MODE = Kind("mode of a file, octal", _octal)
"""Who may open a socket."""
