"""Where each value of the configuration comes from: the INI, main.cf, or a default.

In flows what was read; out flows, for every key of every section in force, the place
where its value stands.  A value of main.cf goes before the INI's (postconf(5) has no say
in this: it is :func:`codomain.settings.source.override` that puts it there).
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from codomain.settings.faults import Place
from codomain.settings.source import MAIN_CF
from codomain.settings.whole import NAMED, SINGLE, keys_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from codomain.settings.source import Source
    from codomain.settings.whole import Config

Key = tuple[str, str, str]
"""Kind of section, its name (empty where it stands once), key."""

_FROM_MAIN_CF: Mapping[tuple[str, str], str] = MappingProxyType(
    {
        ("codomain", "hostname"): "myhostname",
        ("trust", "trusted_networks"): "mynetworks",
        ("domain", "recipient_delimiter"): "recipient_delimiter",
    }
)
"""The keys that Postfix's own parameters stand in for (codomain.settings.defaults)."""

_PLURALS: Mapping[str, str] = MappingProxyType(
    {
        "domain": "domains",
        "connector": "connectors",
        "directory": "directories",
        "policy": "policies",
        "context": "contexts",
    }
)


@dataclass(frozen=True, slots=True)
class Origin:
    """One value, and where it comes from."""

    kind: str
    """The section's first word."""

    name: str
    """The section's name; empty where it stands once."""

    key: str
    """The key."""

    value: object
    """The value in force, typed as its field is."""

    place: Place | None
    """Where it stands; None: it is the default."""

    @property
    def source(self) -> str:
        """``default``, ``main.cf: PARAMETER``, or ``FILE:LINE``."""
        if self.place is None:
            return "default"
        if self.place.file == MAIN_CF:
            return f"{MAIN_CF}: {self.place.key}"
        return f"{self.place.file}:{self.place.line}"


def origins_of(source: Source, postfix: Mapping[str, str]) -> Mapping[Key, Place]:
    """Return the places of all values that somebody wrote, by kind, name and key."""
    found: dict[Key, Place] = {}
    for kind, sections in source.sections.items():
        for name, joined in sections.items():
            for key, value in joined.keys.items():
                found[kind, name, key] = value.place
    for (kind, key), parameter in _FROM_MAIN_CF.items():
        if parameter in postfix:
            # "" is every section of the kind that says nothing itself.
            found.setdefault((kind, "", key), Place(MAIN_CF, 0, "", parameter))
    return MappingProxyType(found)


def provenance(config: Config) -> list[Origin]:
    """Return every value in force with its place, section by section, as declared."""
    return list(_origins(config))


def _origins(config: Config) -> Iterator[Origin]:
    for kind, declared in SINGLE.items():
        section = getattr(config, kind)
        for key in keys_of(declared):
            place = config.origins.get((kind, "", key))
            yield Origin(kind, "", key, getattr(section, key), place)
    for kind, declared in NAMED.items():
        for section in getattr(config, _PLURALS[kind]):
            for key in keys_of(declared):
                place = config.origins.get((kind, section.name, key))
                place = place or config.origins.get((kind, "", key))
                yield Origin(kind, section.name, key, getattr(section, key), place)
