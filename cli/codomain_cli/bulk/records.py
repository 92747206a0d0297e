"""The records of a file as contacts: read, judged one by one, and what each would write.

In flows a file (csvde CSV or LDIF); out flow contacts that a gateway can send mail to, and
for every other record its line and one sentence.  What a record is measured by is its own
content and the base of the directory; other records and the directory itself come later
(:mod:`codomain_cli.bulk.plan`).
KB 321721, method 2: a contact has one primary address (``SMTP:`` in capitals), a
targetAddress, and a mailNickname, without which Exchange does not take it for one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePath
from typing import TYPE_CHECKING

from codomain.directory import csvde, ldif, text
from codomain.directory.record import CONTAINERS, LineError, recipient_of, shown
from codomain.errors import RecordError
from codomain_cli.bulk.names import Name, fold, parse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from codomain.directory.record import Record

CONTACT = "contact"
"""The object class of what is written, in lower case; nothing else is ever touched."""

OF_THE_NAME = frozenset({"dn", "distinguishedname", "name", "cn", "objectclass"})
"""What the entry's name or its creation gives: it is never changed afterwards."""

OF_THE_SERVER = frozenset(
    {
        "createtimestamp",
        "creatorsname",
        "dscorepropagationdata",
        "entrycsn",
        "entryuuid",
        "instancetype",
        "memberof",
        "modifiersname",
        "modifytimestamp",
        "objectcategory",
        "objectguid",
        "objectsid",
        "structuralobjectclass",
        "usnchanged",
        "usncreated",
        "whenchanged",
        "whencreated",
    }
)
"""What servers set themselves, and what an export of all attributes therefore holds."""

_NOT_CHANGED = OF_THE_NAME | OF_THE_SERVER
_SMTP = "SMTP:"


@dataclass(frozen=True, slots=True)
class Contact:
    """A record that can be written."""

    line: int
    """The number of its first line."""

    name: Name
    """Where it is to be."""

    classes: tuple[bytes, ...]
    """Its object classes, as written."""

    cn: tuple[bytes, ...]
    """Its common names, the one of its DN first; none where the DN has another type."""

    attributes: dict[str, tuple[bytes, ...]]
    """What is written beside these, by lower-case name; no attribute is without a value."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A record that is not written, or a line that is none."""

    line: int
    """The number of its first line; 0: the directory refused it, or the whole is at fault."""

    dn: str
    """Its name as written; empty where it has none."""

    why: str
    """What is wrong, in one sentence."""


@dataclass(slots=True)
class Reading:
    """What a file holds."""

    contacts: list[Contact] = field(default_factory=list)
    """Every good record, in the order of the file."""

    faults: list[Fault] = field(default_factory=list)
    """Every other one."""

    separated: bool = False
    """Values are separated by ``;`` in it: it is CSV."""

    skipped: int = 0
    """Units and other containers, which are no contacts and no fault."""

    attributes: set[str] = field(default_factory=set)
    """The attributes that are written, in lower case."""

    def refuse_several(self, single: frozenset[str]) -> None:
        """Take out the records with several values of an attribute that has one at most."""
        good = []
        for contact in self.contacts:
            bad = [n for n, values in contact.attributes.items() if len(values) > 1 and n in single]
            if not bad:
                good.append(contact)
                continue
            why = f"{len(contact.attributes[bad[0]])} values of {bad[0]}, which has a single one"
            if self.separated:
                why += ": a ; within a value is written as X'hex'"
            self.faults.append(Fault(contact.line, str(contact.name), why))
        self.contacts = good


def read(path: str, encoding: str, base: Name, left_out: frozenset[str] = frozenset()) -> Reading:
    """Read a file, whole.

    Args:
        path: its name ends in .csv or .ldif.
        encoding: of a file that has no byte order mark and is no UTF-8.
        base: the entry below which every contact must be.
        left_out: attributes that are not written, in lower case.

    Raises:
        RecordError: it cannot be opened, read or decoded, or is neither CSV nor LDIF.

    """
    reading = Reading(separated=path.lower().endswith(".csv"))
    try:
        for item in _items(path, encoding):
            _take(reading, item, base, left_out)
    except (OSError, UnicodeError) as error:
        raise RecordError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    except RecordError as error:
        raise RecordError(f"{path}: {error}") from error
    return reading


def contact_of(record: Record, base: Name, left_out: frozenset[str]) -> Contact | None:
    """Make a contact of a record; None: it is a container.

    Raises:
        RecordError: it cannot be one; the text says why.

    """
    if not record.dn:
        raise RecordError("no DN")
    name = parse(record.dn)
    classes = {value.lower() for value in _texts(record, "objectclass")}
    if CONTACT not in classes:
        if classes & CONTAINERS:
            return None
        said = ", ".join(sorted(classes)) or "missing"
        raise RecordError(f"its objectClass is {said}: only contacts are written")
    if not name.below(base):
        raise RecordError(f"its DN is not below the base {base}")
    _check_addresses(record, left_out)
    recipient_of(record, record.dn)
    attributes = {
        key: _encoded(key, values)
        for key, values in record.attributes.items()
        if values and key not in _NOT_CHANGED and key not in left_out
    }
    return Contact(
        line=record.line,
        name=name,
        classes=_encoded("objectclass", record.attributes["objectclass"]),
        cn=_common_names(record, name),
        attributes=attributes,
    )


def _items(path: str, encoding: str) -> Iterator[Record | LineError]:
    suffix = PurePath(path).suffix.lower()
    if suffix not in {".csv", ".ldif"}:
        raise RecordError("its name ends in neither .csv nor .ldif")
    reader, newline = (ldif.read, "\n") if suffix == ".ldif" else (csvde.read, "")
    with text.lines(path, encoding, newline) as lines:
        yield from reader(lines)


def _take(reading: Reading, item: Record | LineError, base: Name, left_out: frozenset[str]) -> None:
    if isinstance(item, LineError):
        reading.faults.append(Fault(item.line, "", str(item)))
        return
    try:
        contact = contact_of(item, base, left_out)
    except RecordError as error:
        reading.faults.append(Fault(item.line, item.dn, str(error)))
        return
    if contact is None:
        reading.skipped += 1
    else:
        reading.contacts.append(contact)
        reading.attributes |= contact.attributes.keys()


def _check_addresses(record: Record, left_out: frozenset[str]) -> None:
    """Look at what Exchange wants of a contact."""
    if "mailnickname" not in left_out and not any(_texts(record, "mailnickname")):
        raise RecordError("no mailNickname: Exchange does not take it for a contact")
    targets = _texts(record, "targetaddress")
    if not any(targets):
        raise RecordError("no targetAddress: its mail would lead nowhere")
    if any(":" not in target for target in targets):
        raise RecordError(f"targetAddress {shown(targets[0])} has no prefix, such as SMTP:")
    primaries = [value for value in _texts(record, "proxyaddresses") if value.startswith(_SMTP)]
    if len(primaries) != 1:
        found = ", ".join(map(shown, primaries)) or "none"
        raise RecordError(
            f"proxyAddresses has one primary address, with SMTP: in capitals; here: {found}"
        )


def _common_names(record: Record, name: Name) -> tuple[bytes, ...]:
    """Return the values of cn, and see that they, and name, are not at odds with the DN."""
    kind, own = name.own()
    written = _texts(record, "cn")
    if kind == "cn" and written == [own] and _texts(record, "name") in ([], written):
        return (own.encode(),)  # as in nearly every record
    known = {fold(value) for value in written}
    if kind == "cn" and known and fold(own) not in known:
        raise RecordError(f"cn is {shown(written[0])}, and its DN begins with {shown(own)}")
    said = _texts(record, "name")
    if kind and said and fold(said[0]) != fold(own):
        raise RecordError(f"name is {shown(said[0])}, and its DN begins with {shown(own)}")
    if kind != "cn":
        return _encoded("cn", list(written))
    return _encoded("cn", [own, *(value for value in written if fold(value) != fold(own))])


def _texts(record: Record, name: str) -> list[str]:
    values = record.attributes.get(name, ())
    return [value.strip() for value in values if isinstance(value, str)]


def _encoded(name: str, values: list[str] | list[str | bytes]) -> tuple[bytes, ...]:
    """Return the values as they are sent, each once; of an address the primary form.

    A server takes ``SMTP:`` and ``smtp:`` for the same value (caseIgnoreMatch).
    """
    raw = [value.encode() if isinstance(value, str) else value for value in values]
    if len(raw) == 1:
        return (raw[0],)
    if name != "proxyaddresses":
        return tuple(dict.fromkeys(raw))
    raw.sort(key=lambda value: not value.startswith(_SMTP.encode()))
    return tuple({value.lower(): value for value in reversed(raw)}.values())[::-1]
