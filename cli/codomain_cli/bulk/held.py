"""What the directory holds already: its contacts, everybody's addresses, and its schema.

In flows a bound connection; out flow entries by their names.  All that has an address is
fetched at once, page by page (RFC 2696): to ask for each record on its own would take as
many round trips as there are records.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from codomain.directory.link import NO_SUCH_OBJECT, ResultError
from codomain.directory.messages import Search
from codomain.directory.paged import pages
from codomain.directory.schema import ACTIVE_DIRECTORY, Attributes, next_ranges
from codomain_cli.bulk.names import Name, name_of
from codomain_cli.bulk.records import CONTACT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from codomain.directory.base import Recipient
    from codomain.directory.messages import Entry
    from codomain.directory.wire import Wire

WITH_ADDRESS = "(|(objectClass=contact)(proxyAddresses=*)(mail=*))"
"""All that can be a contact, or have an address that a contact wants."""

EVERYTHING = "(objectClass=*)"
NO_ATTRIBUTES = ("1.1",)
"""Asks for names alone (RFC 4511 section 4.5.1.8)."""

RANGES = 20
"""The most parts of one attribute that are fetched: 30,000 values of Active Directory."""

_QUOTED = re.compile(rb"'([^']*)'")
_SINGLE = re.compile(rb"\bSINGLE-VALUE\b")
# RFC 4517 section 3.3.9 (Active Directory quotes it), or RFC 4519 section 2.7 above it.
_NAMING = re.compile(
    rb"\bSYNTAX\s+'?1\.3\.6\.1\.4\.1\.1466\.115\.121\.1\.12'?[\s)]|\bSUP\s+distinguishedName\b"
)
_NAMES = re.compile(rb"\bNAME\s+(\([^)]*\)|'[^']*')")


@dataclass(frozen=True, slots=True)
class Known:
    """One entry of the directory."""

    name: Name
    """Its name as the server writes it."""

    contact: bool
    """It is a contact, and nothing else."""

    raw: dict[str, tuple[bytes, ...]]
    """Its values by lower-case name, as far as they were asked for; empty but for a contact."""

    recipient: Recipient
    """What the resolver makes of it."""


@dataclass(frozen=True, slots=True)
class Schema:
    """The attributes and classes that a server knows, in lower case."""

    attributes: frozenset[str]
    """Every name of every attribute."""

    classes: frozenset[str]
    """Every name of every object class."""

    single: frozenset[str] = frozenset()
    """The attributes that have one value at most."""

    naming: frozenset[str] = frozenset()
    """The attributes whose values are names of entries."""


@dataclass(slots=True)
class Held:
    """The part of a directory that concerns a file of contacts."""

    entries: dict[tuple[object, ...], Known] = field(default_factory=dict)
    """Everything with an address, and every contact, by the keys of their names."""

    others: set[tuple[object, ...]] = field(default_factory=set)
    """The keys of the other entries beside which contacts are to be created."""

    naming: frozenset[str] = frozenset()
    """The attributes whose values are names of entries, in lower case."""

    missing: set[tuple[object, ...]] = field(default_factory=set)
    """The keys of units in which contacts are to be, and which are not there."""


def fetch(
    wire: Wire, base: str, wanted: Iterable[str] = (), seen: Callable[[], object] = lambda: None
) -> Held:
    """Fetch everything below the base that has an address.

    ``wanted`` are more attributes, ``seen`` is called for each entry.

    Raises:
        DirectoryError: the directory did not answer, or gave a part only.

    """
    held = Held()
    asked = tuple(dict.fromkeys([*ACTIVE_DIRECTORY.attributes, *wanted]))
    search = Search(base, "subtree", WITH_ADDRESS, asked)
    for entry in pages(wire, search, references=ACTIVE_DIRECTORY.references_are_usual):
        known = known_of(complete(wire, entry))
        held.entries[known.name.key] = known
        seen()
    return held


def known_of(entry: Entry) -> Known:
    """Read an entry."""
    values = Attributes(entry.raw)
    classes = values.classes()
    contact = CONTACT in classes and "user" not in classes
    raw: dict[str, tuple[bytes, ...]] = {}
    if contact:
        for description, found in entry.raw.items():
            attribute = description.partition(";")[0].lower()
            raw[attribute] = (*raw.get(attribute, ()), *found)
    recipient = ACTIVE_DIRECTORY.recipient(entry.dn, values)
    return Known(name_of(entry.dn), contact, raw, recipient)


def look_around(wire: Wire, held: Held, names: Iterable[Name], base: Name) -> None:
    """Find out what stands where entries are to be created.

    Raises:
        DirectoryError: the directory did not answer.

    """
    parents: dict[tuple[object, ...], Name] = {}
    for name in names:
        above = name.parent
        while above.key not in parents and above.key != base.key:
            parents[above.key] = above
            above = above.parent
    parents[base.key] = base
    for key, parent in sorted(parents.items(), key=lambda item: len(item[0])):
        if parent.parent.key in held.missing or not _is_there(wire, parent):
            held.missing.add(key)
            continue
        search = Search(str(parent), "onelevel", f"(!{WITH_ADDRESS})", NO_ATTRIBUTES)
        for entry in pages(wire, search, references=True):
            held.others.add(name_of(entry.dn).key)


def schema_of(wire: Wire) -> Schema | None:
    """Return what the server's schema knows (RFC 4512 section 4.4); None: it does not show it.

    Raises:
        DirectoryError: the directory did not answer.

    """
    where = wire.root().get("subschemasubentry")
    if not where:
        return None
    search = Search(
        where[0].decode("utf-8", "replace"),
        "base",
        EVERYTHING,
        ("attributeTypes", "objectClasses"),
    )
    try:
        found = list(wire.find(search))
    except ResultError:
        return None
    raw = {name.lower(): values for entry in found for name, values in entry.raw.items()}
    if not raw.get("attributetypes") or not raw.get("objectclasses"):
        return None
    types = raw["attributetypes"]
    return Schema(
        _named(types),
        _named(raw["objectclasses"]),
        single=_named(filter(_SINGLE.search, types)),
        naming=_named(filter(_NAMING.search, types)),
    )


def _is_there(wire: Wire, name: Name) -> bool:
    search = Search(str(name), "base", EVERYTHING, NO_ATTRIBUTES)
    try:
        return any(True for _ in wire.find(search, references=True))
    except ResultError as error:
        if error.code != NO_SUCH_OBJECT:
            raise
        return False


def complete(wire: Wire, entry: Entry) -> Entry:
    """Fetch the values that the server kept back (Active Directory gives 1,500 at most).

    Raises:
        DirectoryError: the directory did not answer, or not with all of them.

    """
    wanted = next_ranges(entry.raw)
    raw = dict(entry.raw)
    for _ in range(RANGES):
        if not wanted:
            return entry._replace(raw=raw)
        part: dict[str, list[bytes]] = {}
        for more in wire.find(Search(entry.dn, "base", EVERYTHING, tuple(wanted))):
            part = more.raw
        raw |= part
        wanted = next_ranges(part)
    raise ResultError(f"{wire.server.uri}: {entry.dn} has too many values", code=0)


def _named(definitions: Iterable[bytes]) -> frozenset[str]:
    names = set()
    for definition in definitions:
        if found := _NAMES.search(definition):
            names |= {name.decode("ascii", "replace").lower() for name in _QUOTED.findall(found[1])}
    return frozenset(names)
