"""The plan: what an import would do with each record, before anything is done.

In flow the contacts of a file and what the directory holds; out flow steps: create,
change, same, conflict.  A record that would give an address to two entries, that names an
entry which is no contact, or whose mail could not be delivered, is not carried out, and
the others are planned as if it were not in the file.  Nothing is ever deleted.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from codomain.directory.schema import ACTIVE_DIRECTORY, Attributes
from codomain.directory.writing import Addition, Modification
from codomain_cli.bulk import merging
from codomain_cli.bulk.records import Fault

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from codomain.directory.base import Recipient
    from codomain_cli.bulk.held import Held, Known
    from codomain_cli.bulk.names import Name
    from codomain_cli.bulk.outlook import Outlook
    from codomain_cli.bulk.records import Contact

    Key = tuple[object, ...]

SPELLINGS = {
    name.lower(): name
    for name in (
        "displayName",
        "givenName",
        "mailNickname",
        "objectClass",
        "proxyAddresses",
        "targetAddress",
    )
}
"""How attributes are written that files name in any case."""


class What(Enum):
    """What becomes of a record."""

    CREATE = "create"
    """There is no such entry yet."""

    CHANGE = "change"
    """The contact is there, and has other values."""

    SAME = "same"
    """The contact is there as the record says."""

    CONFLICT = "conflict"
    """What the directory or another record holds stands against it."""

    REFUSED = "refused"
    """The record cannot be used."""


@dataclass(frozen=True, slots=True)
class Step:
    """One record that is carried out, or needs not to be."""

    what: What
    """Create, change or same."""

    contact: Contact
    """The record."""

    request: Addition | Modification | None
    """What is sent; None: nothing."""

    takes: frozenset[str]
    """The addresses that the entry has afterwards."""

    gives_up: frozenset[str]
    """Those that it had before, and has no longer."""

    changes: tuple[str, ...] = ()
    """The changes, a line each."""


@dataclass(slots=True)
class Plan:
    """All of it."""

    units: list[Name] = field(default_factory=list)
    """Organisational units to be created first, the upper ones before the lower ones."""

    steps: list[Step] = field(default_factory=list)
    """The good records, in the order of the file."""

    conflicts: list[Fault] = field(default_factory=list)
    """What stands against others."""

    refused: list[Fault] = field(default_factory=list)
    """What cannot be used."""

    notes: list[str] = field(default_factory=list)
    """What else a postmaster should know, a line each."""

    def counts(self) -> dict[What, int]:
        """Count the records by what becomes of them."""
        counted = Counter(step.what for step in self.steps)
        counted[What.CONFLICT] = len(self.conflicts)
        counted[What.REFUSED] = len(self.refused)
        return {what: counted[what] for what in What}

    def works(self) -> bool:
        """Tell whether there is anything to do."""
        return bool(self.units) or any(step.request is not None for step in self.steps)

    def steps_of(self, what: What) -> Iterator[Step]:
        """Give the steps of one kind."""
        return (step for step in self.steps if step.what is what)


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A record with what its entry is to be."""

    contact: Contact
    before: Known | None
    changed: dict[str, tuple[bytes, ...]]
    after: Recipient

    @property
    def keeps(self) -> frozenset[str]:
        """The addresses that its entry has now, and keeps."""
        before = () if self.before is None else self.before.recipient.addresses
        return frozenset(before).intersection(self.after.addresses)


class _Planner:
    """One plan in the making."""

    def __init__(self, held: Held, outlook: Outlook) -> None:
        self.plan = Plan()
        self._held = held
        self._outlook = outlook
        self._candidates: dict[Key, _Candidate] = {}

    def take(self, contacts: Iterable[Contact], *, remove: bool, create_units: bool) -> None:
        """Take the records, each on its own."""
        for contact in contacts:
            key = contact.name.key
            first = self._candidates.get(key)
            if first is not None:
                self._refuse(contact, f"its DN stands at line {first.contact.line} too")
                continue
            known = self._held.entries.get(key)
            if key in self._held.others or (known is not None and not known.contact):
                self._conflict(contact, "the entry of this DN is no contact, and is not touched")
                continue
            if bad := _not_made(self._missing(contact.name), create_units=create_units):
                self._refuse(contact, bad)
                continue
            candidate = _candidate(contact, known, remove=remove, naming=self._held.naming)
            if owner := self._elsewhere(candidate):
                self._conflict(contact, owner)
                continue
            self._candidates[key] = candidate

    def settle(self) -> None:
        """Take records out until the others stand against nothing."""
        self._part_claims()
        while self._part_lost():  # a contact may lead to one that was taken out
            self._part_claims()
        foreign = sum(not self._outlook.ours(c.after) for c in self._candidates.values())
        if foreign:
            self.plan.notes.append(
                f"{foreign} records have no address in a domain of ours that this directory serves"
            )
        missing = [self._missing(c.contact.name) for c in self._candidates.values()]
        units = {unit.key: unit for above in missing for unit in above}
        self.plan.units = sorted(units.values(), key=lambda unit: len(unit.key))
        self.plan.steps = [_step(candidate) for candidate in self._candidates.values()]

    def _elsewhere(self, candidate: _Candidate) -> str:
        """Say who has a new address in another directory; empty: nobody."""
        for address in candidate.after.addresses:
            if address not in candidate.keeps:
                owner = self._outlook.elsewhere(address, candidate.contact.name)
                if owner:
                    return f"{address} is an address of {owner} too"
        return ""

    def _part_lost(self) -> bool:
        """Take out whose mail would not arrive; tell whether there was anybody."""
        state = self._state()
        bad = [
            (key, fault)
            for key, candidate in self._candidates.items()
            if (fault := self._outlook.fault(candidate.after, state))
        ]
        for key, fault in bad:
            self._refuse(self._candidates.pop(key).contact, fault)
        return bool(bad)

    def _part_claims(self) -> None:
        """Take out who would have an address of somebody else's, until nobody has."""
        while True:
            owners = self._standing()
            for key, candidate in self._candidates.items():
                for address in candidate.keeps:  # who has it already comes first
                    owners.setdefault(address, (key, candidate.after.dn))
            bad = []
            for key, candidate in self._candidates.items():
                for address in candidate.after.addresses:
                    owner = owners.setdefault(address, (key, candidate.after.dn))
                    if owner[0] != key:
                        bad.append((key, f"{address} is an address of {owner[1]} too"))
                        break
            if not bad:
                return
            for key, why in bad:
                self._conflict(self._candidates.pop(key).contact, why)

    def _standing(self) -> dict[str, tuple[Key, str]]:
        """Return who has each address and keeps it, whatever the file says."""
        return {
            address: (key, known.recipient.dn)
            for key, known in self._held.entries.items()
            if key not in self._candidates
            for address in known.recipient.addresses
        }

    def _state(self) -> dict[str, tuple[Recipient, ...]]:
        """Return the entries by address, as they are to be."""
        state: dict[str, tuple[Recipient, ...]] = {}
        left = [k.recipient for key, k in self._held.entries.items() if key not in self._candidates]
        for recipient in [*left, *(candidate.after for candidate in self._candidates.values())]:
            for address in dict.fromkeys(recipient.addresses):
                state[address] = (*state.get(address, ()), recipient)
        return state

    def _missing(self, name: Name) -> list[Name]:
        """Return the units above a name that are not there."""
        missing = []
        above = name.parent
        while above.key in self._held.missing:
            missing.append(above)
            above = above.parent
        return missing

    def _refuse(self, contact: Contact, why: str) -> None:
        self.plan.refused.append(Fault(contact.line, str(contact.name), why))

    def _conflict(self, contact: Contact, why: str) -> None:
        self.plan.conflicts.append(Fault(contact.line, str(contact.name), why))


def plan_of(
    contacts: Iterable[Contact],
    held: Held,
    outlook: Outlook,
    *,
    remove: bool = False,
    create_units: bool = False,
) -> Plan:
    """Plan what is to be done with the good records of a file.

    Args:
        contacts: in the order of the file.
        held: what the directory has, looked around for each of them.
        outlook: says whether mail would arrive.
        remove: addresses go that a record does not name.
        create_units: organisational units that are missing are created.

    """
    planner = _Planner(held, outlook)
    planner.take(contacts, remove=remove, create_units=create_units)
    planner.settle()
    planner.plan.conflicts.sort(key=lambda fault: fault.line)
    planner.plan.refused.sort(key=lambda fault: fault.line)
    return planner.plan


def _candidate(
    contact: Contact, known: Known | None, *, remove: bool, naming: frozenset[str]
) -> _Candidate:
    held = {} if known is None else known.raw
    changed = merging.wanted(contact.attributes, held, remove=remove, naming=naming)
    if known is not None and not changed:
        return _Candidate(contact, known, changed, known.recipient)
    after = {**held, "objectclass": contact.classes, **changed}
    dn = str(contact.name if known is None else known.name)
    return _Candidate(contact, known, changed, ACTIVE_DIRECTORY.recipient(dn, Attributes(after)))


def _step(candidate: _Candidate) -> Step:
    contact, before = candidate.contact, candidate.before
    takes = frozenset(candidate.after.addresses)
    if before is None:
        names = {"objectClass": contact.classes, **({"cn": contact.cn} if contact.cn else {})}
        new = Addition(str(contact.name), {**names, **_spelled(contact.attributes)})
        return Step(What.CREATE, contact, new, takes, frozenset())
    gives_up = frozenset(before.recipient.addresses) - takes
    if not candidate.changed:
        return Step(What.SAME, contact, None, takes, gives_up)
    lines = tuple(_lines(candidate.changed, before.raw))
    request = _modification(str(before.name), candidate.changed, before.raw)
    return Step(What.CHANGE, contact, request, takes, gives_up, lines)


def _modification(
    dn: str,
    changed: Mapping[str, tuple[bytes, ...]],
    before: Mapping[str, tuple[bytes, ...]],
) -> Modification:
    """Return the request for a change.

    Addresses go and come one by one, so that one which somebody else added since the plan was
    made stays; the record says all that there is to say of other attributes.
    """
    old, new = before.get(merging.PROXIES, ()), changed.get(merging.PROXIES, ())
    delete = tuple(value for value in old if new and value not in new)
    add = tuple(value for value in new if value not in old)
    return Modification(
        dn,
        delete=_spelled({merging.PROXIES: delete} if delete else {}),
        add=_spelled({merging.PROXIES: add} if add else {}),
        replace=_spelled({k: values for k, values in changed.items() if k != merging.PROXIES}),
    )


def _lines(
    changed: Mapping[str, tuple[bytes, ...]], before: Mapping[str, tuple[bytes, ...]]
) -> Iterator[str]:
    for name, values in changed.items():
        gone, come = merging.differences(before.get(name, ()), values)
        said = ", ".join([*(f"-{text}" for text in gone), *(f"+{text}" for text in come)])
        yield f"{SPELLINGS.get(name, name)}: {said}"


def _spelled(attributes: Mapping[str, tuple[bytes, ...]]) -> dict[str, tuple[bytes, ...]]:
    return {SPELLINGS.get(name, name): values for name, values in attributes.items()}


def _not_made(missing: list[Name], *, create_units: bool) -> str:
    """Say why the units above an entry cannot be had; empty: they can, or are there."""
    if not missing:
        return ""
    if not create_units:
        return f"{missing[0]} is not there: --create-ou makes it"
    for unit in missing:
        if unit.own()[0] != "ou":
            return f"{unit} is not there, and is no organisational unit that could be made"
    return ""
