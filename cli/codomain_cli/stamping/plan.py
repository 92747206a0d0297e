"""What the policies would change: addresses added, made primary, or taken away.

In flow entries, whom each policy is for, and which addresses are in use; out flows a
:class:`Change` for each entry.  Pure: nothing is asked and nothing is written.

The rules, in the order in which they hold for one template and one entry:

1. An entry that has the address keeps it, also with a number from 2 behind its local
   part: whose mail came to the plain one before is not this entry's to guess.
2. An address that nobody has is taken.
3. Else the least number from 2 that makes it free is put behind the local part.

Entries get theirs in order of age, those of equal age in order of their DNs.  The first
template of the primary domain makes the primary address; the one before stays as a
secondary one, and so does what ``mail`` said.  A contact keeps its primary address, which
is its target.  Nothing is taken away but what ``remove`` names, and within one run what is
taken away is given to nobody else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from codomain.directory.schema import address_key
from codomain.settings.checks import Owners
from codomain.settings.policies import primary_of, templates_of, untouched_spaces
from codomain.settings.template import NoAddressError, fill, letters_of
from codomain_cli.stamping.entries import ordered, smtp

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from codomain.config import Config, PolicySection
    from codomain.settings.template import Template
    from codomain_cli.stamping.entries import Entry

    Id = tuple[str, str]
    """What tells an entry from every other one: directory and DN."""

PLAIN = 1
"""Stands for no number: the first entry of a name has none, the second one has 2."""

LAST_NUMBER = 9999
"""The highest number behind a local part: so many of one name there are nowhere."""

_NUMBER = re.compile(r"[1-9][0-9]{0,3}")


@dataclass(slots=True)
class Change:
    """What becomes of one entry."""

    entry: Entry
    """The entry as it is."""

    policy: str
    """The policy that is for it; empty: none."""

    primary: str = ""
    """Its primary address afterwards."""

    add: list[str] = field(default_factory=list)
    """Values that proxyAddresses gets, with their prefixes."""

    delete: list[str] = field(default_factory=list)
    """Values that proxyAddresses has otherwise afterwards, as they are written there."""

    remove: list[str] = field(default_factory=list)
    """Values that proxyAddresses loses at the end, when everybody has what is new."""

    mail: str = ""
    """What mail becomes; empty: it stays."""

    notes: list[str] = field(default_factory=list)
    """What is worth knowing, such as a number that was put behind a name."""

    conflicts: list[str] = field(default_factory=list)
    """Why it does not get all that its policy says."""

    @property
    def changes(self) -> bool:
        """Whether anything is to be written."""
        return bool(self.add or self.delete or self.remove or self.mail)

    @property
    def gained(self) -> list[str]:
        """The addresses that mail reaches it by afterwards, and not before."""
        before = self.entry.addresses
        return [a for a in map(smtp, self.add) if address_key(a) not in before]

    @property
    def lost(self) -> list[str]:
        """The addresses that mail no longer reaches it by."""
        gone = {*self.delete, *self.remove}
        kept = [value for value in self.entry.proxies if value not in gone]
        new = [value for value in self.add if value not in self.remove]
        left = {address_key(smtp(value)) for value in (*kept, *new)}
        left |= {address_key(text) for text in ((self.mail,) if self.mail else self.entry.mail)}
        return [text for key, text in self.entry.addresses.items() if key not in left]

    @property
    def loses_mail(self) -> bool:
        """Whether what mail says now is among the addresses that it loses."""
        return bool(self.mail) and not set(self.entry.mail).isdisjoint(self.lost)


class Used:
    """Who has which address."""

    def __init__(self) -> None:
        self._owners: dict[str, set[Id]] = {}
        self._names: dict[Id, str] = {}

    def put(self, key: str, owner: Id, name: str) -> None:
        """Note that an entry has an address; an empty key is none."""
        if key:
            self._owners.setdefault(key, set()).add(owner)
            self._names[owner] = name

    def others(self, key: str, owner: Id) -> list[str]:
        """Return the names of the other entries that have it, in order."""
        return sorted(self._names[one] for one in self._owners.get(key, ()) if one != owner)


class Planner:
    """One run over all entries."""

    def __init__(self, config: Config, used: Used, remove: Iterable[str] = ()) -> None:
        self._config = config
        self._used = used
        self._remove = frozenset(remove)
        self._untouched = untouched_spaces(config.policies)
        self._owners = Owners(config.domains)
        self._first_free: dict[str, int] = {}

    def plan(
        self, entries: Iterable[Entry], policies: Mapping[tuple[str, str], PolicySection]
    ) -> list[Change]:
        """Decide for every entry that a policy is for, in the order of their ages."""
        entries = list(entries)
        for entry in entries:
            for key in (*entry.addresses, address_key(entry.target)):
                self._used.put(key, entry.id, entry.dn)
        return [
            self._one(entry, policies[entry.id])
            for entry in ordered(entries)
            if entry.id in policies
        ]

    def _one(self, entry: Entry, policy: PolicySection) -> Change:
        change = Change(entry, policy.name, primary=next(iter(entry.primaries), ""))
        reason = self._untouchable(entry)
        if reason:
            change.notes.append(reason)
            return change
        fault = _unusable(entry)
        if fault:
            change.conflicts.append(fault)
            return change
        wanted: list[str] = []
        primary = entry.primaries[0] if entry.primaries and entry.target else entry.target
        for template in templates_of(policy):
            address = self._address(template, policy, change)
            if address and not primary and template.domain == primary_of(policy):
                primary = address
            wanted += [address] if address else []
        self._set(change, wanted, primary or change.primary)
        return change

    def _delimiters(self, domain: str) -> str:
        owner = self._owners.of(domain)
        return owner.recipient_delimiter if owner else ""

    def _untouchable(self, entry: Entry) -> str:
        if entry.excluded:
            return "left alone: msExchPoliciesExcluded"
        spaces = {address_key(text).rpartition("@")[2] for text in entry.primaries}
        if spaces & self._untouched:
            return "left alone: its primary domain is that of a policy without a filter"
        return ""

    def _address(self, template: Template, policy: PolicySection, change: Change) -> str:
        """Return the address of a template; empty, and a conflict, where there is none."""
        entry = change.entry
        try:
            local = fill(
                template,
                dict(entry.names),
                letters_of(policy.transliterate),
                self._delimiters(template.domain),
            )
        except NoAddressError as error:
            change.conflicts.append(str(error))
            return ""
        own = entry.addresses
        kept = _kept(own, address_key(f"{local}@{template.domain}"))
        if kept:
            others = self._used.others(kept, entry.id)
            if others:
                change.conflicts.append(f"{own[kept]} is also that of {', '.join(others)}")
            return own[kept]
        return self._free(local, template.domain, change)

    def _free(self, local: str, domain: str, change: Change) -> str:
        """Take the plain address, or the first one with a number that nobody has."""
        plain = f"{local}@{domain}"
        key = address_key(plain)
        first = self._first_free.get(key, PLAIN)
        for number in range(first, LAST_NUMBER + 1):
            text = plain if number == PLAIN else f"{local}{number}@{domain}"
            if not self._used.others(address_key(text), change.entry.id):
                # Nothing is given up within a run: all below it stay taken.
                self._first_free[key] = number + 1
                self._used.put(address_key(text), change.entry.id, change.entry.dn)
                if number != PLAIN:
                    there = ", ".join(self._used.others(key, change.entry.id))
                    change.notes.append(f"{text}, because {plain} is that of {there}")
                return text
        change.conflicts.append(f"{plain} and every number behind it are taken")
        return ""

    def _set(self, change: Change, wanted: list[str], primary: str) -> None:
        """Turn what an entry should have into values of proxyAddresses and mail."""
        entry = change.entry
        proxies = sorted(filter(smtp, entry.proxies), key=lambda value: not _is_primary(value))
        before: dict[str, str] = {}
        for value in proxies:  # of two spellings (a domain in Unicode) that of the primary one
            before.setdefault(address_key(smtp(value)), value)
        needed = {address_key(text) for text in (primary, *wanted, entry.target)}
        after = self._after(entry, before, needed, [primary, *wanted])
        for key, value in after.items():
            old = before.get(key, "")
            if old and _is_primary(old) == _is_primary(value):
                continue
            change.add.append(value)
            change.delete += [old] if old else []
        for value in proxies:
            key = address_key(smtp(value))
            if key and key not in needed and self._unwanted(key):
                change.remove.append(self._secondary(change, value))
        change.primary = primary
        if primary and [address_key(text) for text in entry.mail] != [address_key(primary)]:
            change.mail = primary

    def _secondary(self, change: Change, value: str) -> str:
        """Return a value that is to go as it is until then: not a second primary address."""
        if not _is_primary(value):
            return value
        secondary = f"smtp:{smtp(value)}"
        change.delete.append(value)
        change.add.append(secondary)
        return secondary

    def _after(
        self, entry: Entry, before: Mapping[str, str], needed: set[str], wanted: list[str]
    ) -> dict[str, str]:
        """Return the values that must be there afterwards, by their keys: the primary first."""
        after: dict[str, str] = {}
        primary = wanted[0]
        # mail becomes the primary address, and nobody shall lose what it said.
        for text in (*wanted, *(entry.mail if primary else ())):
            key = address_key(text)
            if key and (key in needed or not self._unwanted(key)):
                spelt = smtp(before[key]) if key in before else text
                prefix = "SMTP:" if key == address_key(primary) else "smtp:"
                after.setdefault(key, prefix + spelt)
        for text in entry.primaries:
            key = address_key(text)
            if key and key not in after and not self._unwanted(key):
                after[key] = f"smtp:{text}"
        return after

    def _unwanted(self, key: str) -> bool:
        return key.rpartition("@")[2] in self._remove


def _is_primary(proxy: str) -> bool:
    return proxy.startswith("SMTP:")


def _kept(own: Mapping[str, str], plain: str) -> str:
    """Return the address of its own that is the wanted one, or that one with a number."""
    local, _, domain = plain.rpartition("@")
    found = []
    for key in own:
        there, _, where = key.rpartition("@")
        number = there.removeprefix(local)
        if where != domain or not there.startswith(local):
            continue
        if not number or (_NUMBER.fullmatch(number) and number != "1"):
            found.append((int(number or PLAIN), key))
    return min(found)[1] if found else ""


def _unusable(entry: Entry) -> str:
    """Say why nothing can be decided about an entry; empty: it can."""
    if len(entry.primaries) > 1:
        return f"{len(entry.primaries)} primary addresses: {', '.join(sorted(entry.primaries))}"
    if entry.target and not address_key(entry.target):
        return f"its target {entry.target} is no address"
    if entry.partial:
        return "the server keeps a part of its addresses back"
    return ""
