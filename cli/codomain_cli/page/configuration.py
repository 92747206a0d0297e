"""The configuration in force, as one would write it, with where each value stands.

Secrets are files, and not even their paths are shown; addresses of people are masked
unless ``show_addresses``.  What a key holds is known by its declared kind, not by its name.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codomain.settings import kinds, names
from codomain.settings.provenance import provenance
from codomain.settings.whole import NAMED, SINGLE, keys_of
from codomain_cli.page.masks import DOTS, mask_address

if TYPE_CHECKING:
    from collections.abc import Iterator

    from codomain.config import Config
    from codomain.settings.provenance import Origin

ADDRESSES = (names.MAILBOX, names.SENDER)
"""The kinds of keys that hold the address of somebody."""


@dataclass(frozen=True, slots=True)
class Value:
    """One value in force."""

    key: str
    """The key."""

    written: str
    """The value, as one would write it; empty: nothing is set."""

    source: str
    """``default``, ``main.cf: PARAMETER``, or ``FILE:LINE``."""

    @property
    def default(self) -> bool:
        """Whether nobody wrote it."""
        return self.source == "default"


def values(config: Config) -> list[tuple[str, list[Value]]]:
    """Return the sections with their values, in the order of the reference."""
    sections: dict[str, list[Value]] = {}
    for origin in provenance(config):
        header = f"{origin.kind} {origin.name}".rstrip()
        sections.setdefault(header, []).append(_value(origin, show=config.http.show_addresses))
    replies = list(_replies(config))
    return [*sections.items(), *([("replies", replies)] if replies else [])]


def _value(origin: Origin, *, show: bool) -> Value:
    declared = SINGLE.get(origin.kind) or NAMED[origin.kind]
    kind = keys_of(declared)[origin.key].kind
    written = write(origin.value, kind)
    if kind is names.SECRET and written:
        written = DOTS
    elif kind in ADDRESSES and not show:
        written = mask_address(written)
    return Value(origin.key, written, _source(origin))


def _source(origin: Origin) -> str:
    if origin.place is None or not origin.place.line:
        return origin.source
    return f"{Path(origin.place.file).name}:{origin.place.line}"


def _replies(config: Config) -> Iterator[Value]:
    for reason, reply in config.replies.items():
        if reply.code:
            code = f"{reply.code} {reply.enhanced}".rstrip()
            yield Value(f"{reason}.code", code, "INI")
        if reply.text:
            yield Value(f"{reason}.text", reply.text, "INI")


def write(value: object, kind: kinds.Kind[Any]) -> str:
    """Write a value as it stands in an INI."""
    if isinstance(value, tuple):
        return ", ".join(str(item) for item in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if kind is kinds.MODE and isinstance(value, int):
        return f"{value:04o}"
    if kind is kinds.PERCENTAGE and isinstance(value, float):
        return f"{value * kinds.PERCENT:g}%"
    if kind.name.startswith("duration") and isinstance(value, float):
        return write_duration(value)
    return "" if value is None else str(value)


def write_duration(seconds: float) -> str:
    """Write a duration in the largest unit of which it is a whole number."""
    for unit in ("d", "h", "m", "s"):
        count = seconds / kinds.UNITS[unit]
        if count >= 1 and count == int(count):
            return f"{int(count)}{unit}"
    return f"{seconds * 1000:g}ms"
