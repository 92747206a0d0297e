"""What the directories hold now: every entry, whom each policy is for, and who has what.

The directories themselves are asked, also where ``mode = sync`` keeps an index: a plan is
made of what is there, not of what was.  A policy's filter is the server's to judge (RFC
4511 section 4.5.1.7); of several policies that find an entry the first one has it.

Two sections may show one entry: the same server, with another base, filter or schema.  It
counts once, for the first of them that is stamped, or it would be in its own way.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from codomain.directory import messages
from codomain.directory.files import FilesDirectory
from codomain.directory.paged import pages
from codomain.directory.schema import SCHEMAS, Attributes
from codomain.settings.policies import has_entries, ranked
from codomain_cli.bulk.connecting import connect
from codomain_cli.stamping.entries import ATTRIBUTES, RECIPIENTS, Entry, entry_of
from codomain_cli.stamping.plan import Change, Planner, Used

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from codomain.config import Config, DirectorySection, PolicySection
    from codomain.directory.wire import Wire

STAMPED = "active-directory"
"""The schema whose entries policies are for: the others have no proxyAddresses."""

ALIAS = "(mailNickname=*)"
"""What an entry must have to be stamped."""

NOTHING = ("1.1",)
"""Asks for no attribute (RFC 4511 section 4.5.1.8)."""


@dataclass(slots=True)
class Found:
    """What all directories hold."""

    entries: list[Entry] = field(default_factory=list)
    """The entries that have, or may get, proxyAddresses."""

    policies: dict[tuple[str, str], PolicySection] = field(default_factory=dict)
    """The policy that is for an entry, by :attr:`Entry.id`."""

    used: Used = field(default_factory=Used)
    """The addresses of the directories that are not stamped."""


def stamped(config: Config) -> tuple[DirectorySection, ...]:
    """Return the directories whose entries policies are for."""
    return tuple(d for d in config.directories if d.type == "ldap" and d.schema == STAMPED)


def planned(config: Config, remove: Iterable[str] = ()) -> list[Change]:
    """Read everything, and decide.

    Raises:
        DirectoryError: a directory does not answer, or gives a part only; a plan without
            it could give somebody's address away.
        RecordError: a file cannot be read.

    """
    found = read(config)
    return Planner(config, found.used, remove).plan(found.entries, found.policies)


def read(config: Config) -> Found:
    """Ask every directory; raises as :func:`planned` does."""
    found = Found()
    policies = ranked(config.policies)
    first = stamped(config)
    for section in first:
        with closing(connect(section)) as wire:
            _entries(wire, section, policies, found, _same_server(section, first))
    for section in config.directories:
        if section.type == "files":
            _used_in_files(section, found.used)
        elif section not in first:
            with closing(connect(section)) as wire:
                _used_elsewhere(wire, section, found, _same_server(section, first))
    return found


def _same_server(section: DirectorySection, others: Iterable[DirectorySection]) -> tuple[str, ...]:
    """Return the names of the stamped directories that one of its servers serves, too."""
    servers = set(section.servers)
    return tuple(o.name for o in others if o.name != section.name and servers & set(o.servers))


def _entries(
    wire: Wire,
    section: DirectorySection,
    policies: Sequence[PolicySection],
    found: Found,
    same: Sequence[str],
) -> None:
    seen = {entry.id for entry in found.entries}
    for entry in _pages(wire, section, RECIPIENTS, ATTRIBUTES):
        if not any((name, entry.dn.lower()) in seen for name in same):
            found.entries.append(entry_of(section.name, entry.dn, entry.raw))
    stampable = {entry.id for entry in found.entries if entry.stampable}
    for policy in filter(has_entries, policies):
        if policy.default:
            theirs = {i for i in stampable if i[0] == section.name}
        else:
            wanted = f"(&{ALIAS}{_parenthesised(policy.filter)})"
            dns = (entry.dn for entry in _pages(wire, section, wanted, NOTHING))
            theirs = {(section.name, dn.lower()) for dn in dns} & stampable
        for one in theirs:
            found.policies.setdefault(one, policy)


def _pages(
    wire: Wire, section: DirectorySection, text: str, attributes: tuple[str, ...]
) -> Iterator[messages.Entry]:
    search = messages.Search(section.base, section.scope, text, attributes)
    references = SCHEMAS[section.schema].references_are_usual
    return pages(wire, search, references=references)


def _parenthesised(text: str) -> str:
    return text if text.startswith("(") else f"({text})"


def _used_elsewhere(
    wire: Wire, section: DirectorySection, found: Found, same: Sequence[str]
) -> None:
    seen = {entry.id for entry in found.entries}
    schema = SCHEMAS[section.schema]
    wanted = "(|" + "".join(f"({name}=*)" for name, _ in schema.assertions) + ")"
    for entry in _pages(wire, section, wanted, schema.attributes):
        dn = entry.dn.lower()
        owner = next(((n, dn) for n in same if (n, dn) in seen), (section.name, dn))
        for key in schema.recipient(entry.dn, Attributes(entry.raw)).addresses:
            found.used.put(key, owner, entry.dn)


def _used_in_files(section: DirectorySection, used: Used) -> None:
    for recipient in FilesDirectory(section).recipients():
        for key in recipient.addresses:
            used.put(key, (section.name, recipient.dn.lower()), recipient.dn)
