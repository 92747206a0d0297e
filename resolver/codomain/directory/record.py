"""One record of a file, and the recipient that it describes.

In flows a :class:`Record`, which :mod:`codomain.directory.ldif` and
:mod:`codomain.directory.csvde` read alike; out flows a :class:`Recipient`, or a
:class:`RecordError` that says in one sentence what is wrong.  A file is written by hand,
so it is judged strictly: an address that cannot be read is a fault of its record, not
an address fewer, or people would become unknown without a word.

The attributes are those of all three schemas, in any mixture: proxyAddresses, mail,
targetAddress, mailNickname and msExchRequireAuthToSendTo (Exchange); mailLocalAddress,
mailRoutingAddress and mailHost (the inetLocalMailRecipient of Sendmail's ldap_routing);
mail and mailAlternateAddress (inetOrgPerson, RFC 2798).  What LDAP directories make of
them stands in :mod:`codomain.directory.schema`; here mail is always an address too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from codomain.address import hides_foreign, parse_mailbox
from codomain.directory.base import Kind, Recipient
from codomain.directory.schema import GROUP_CLASSES
from codomain.errors import RecordError

PLAIN_ADDRESSES = ("mail", "mailLocalAddress", "mailAlternateAddress")
"""Attributes whose values are addresses as they stand."""

CONTAINERS = frozenset(
    {
        "builtindomain",
        "container",
        "country",
        "dcobject",
        "domain",
        "domaindns",
        "locality",
        "organization",
        "organizationalunit",
    }
)
"""Object classes, in lower case, of what holds entries: without an address, no fault."""

SHOWN = 80
"""Characters of a value that an error repeats: a line of a log stays one line."""

REPEATS = 16
"""Addresses that are remembered: those of one record repeat (primary, mail, target)."""

NAMES_KEPT = 256
"""Spellings of attribute names that are remembered; an export uses a few dozen."""

_NAME = re.compile(
    r"((?:[A-Za-z][A-Za-z0-9-]*|[0-9]+(?:\.[0-9]+)*))"  # RFC 4512 section 1.4: descr or numericoid
    r"((?:;[A-Za-z0-9-]+)*)"  # section 2.5: options
    r"(;range=[0-9]+-(?:[0-9]+|\*))?",  # Active Directory: a part of the values
    re.IGNORECASE,
)
_PART = ";range"
_READ_PARTS = frozenset(
    name.lower() + _PART for name in ("proxyAddresses", "targetAddress", *PLAIN_ADDRESSES)
)
_PREFIX = re.compile(r"[A-Za-z0-9]+:")
_BLANKS = " \t"
_mailbox = lru_cache(maxsize=REPEATS)(parse_mailbox)


@dataclass(slots=True)
class Record:
    """What a file says about one entry."""

    line: int
    """The number of its first line, from 1."""

    dn: str
    """Its DN as written; empty where a CSV file has none."""

    attributes: dict[str, list[str | bytes]]
    """Values by attribute name as :func:`attribute_name` folds it; bytes: no UTF-8 text."""


class LineError(RecordError):
    """A record that cannot be read at all; :attr:`line` is the number of the line at fault.

    The readers *yield* it in the record's place, so that one bad record hides no other.
    Nothing reaches the MTA (see :class:`RecordError`).
    """

    def __init__(self, line: int, text: str) -> None:
        """Take the number of the line, from 1, and what is wrong with it."""
        super().__init__(text)
        self.line = line


def shown(value: str) -> str:
    """Quote a value for an error line: control characters escaped, cut to a length."""
    return repr(value if len(value) <= SHOWN else value[: SHOWN - 1] + "…")


@lru_cache(maxsize=NAMES_KEPT)
def attribute_name(written: str) -> str:
    """Fold an attribute's name: lower case, without options; empty where it is no name.

    A name with an option is a subtype: its values are values of the attribute too
    (RFC 4512 section 2.5.2).  Active Directory's ``;range=0-1499`` names a part of the
    values: it is kept apart, as ``name;range``.
    """
    found = _NAME.fullmatch(written)
    if found is None:
        return ""
    return found[1].lower() + (_PART if found[3] else "")


def recipient_of(record: Record, place: str) -> Recipient | None:
    """Make a recipient of a record; None: it is a container, and no recipient.

    ``place`` (``file:line``) names it where it has no DN.

    Raises:
        RecordError: it has no address, one of its addresses cannot be read, or its
            target is no single mailbox.

    """
    if record.dn and "=" not in record.dn:
        raise RecordError(f"{shown(record.dn)} is no DN")
    if not _READ_PARTS.isdisjoint(record.attributes):
        part = min(_READ_PARTS.intersection(record.attributes)).removesuffix(_PART)
        raise RecordError(f"a part of the values of {part} only (range=)")
    classes = {name.lower() for name in _texts(record, "objectClass")}
    primary, addresses = _addresses(record)
    target = _target(record)
    if not addresses:
        if target or CONTAINERS.isdisjoint(classes):
            names = ", ".join(("proxyAddresses", *PLAIN_ADDRESSES))
            raise RecordError(f"no address in any of {names}")
        return None
    if "contact" in classes and not target:
        raise RecordError("a contact without targetAddress: its mail would lead nowhere")
    return Recipient(
        dn=record.dn or place,
        kind=_kind(classes, target),
        addresses=tuple(addresses),
        primary=primary,
        target=target,
        mail_host=_single(record, "mailHost"),
        restricted=_flag(record, "msExchRequireAuthToSendTo"),
    )


def lacks_nickname(record: Record) -> bool:
    """Tell whether an Exchange entry has no mailNickname.

    Its mail resolves all the same, but Exchange does not import such an entry.
    """
    attributes = record.attributes
    exchange = "proxyaddresses" in attributes or "targetaddress" in attributes
    return exchange and not any(attributes.get("mailnickname", ()))


def _kind(classes: set[str], target: str) -> Kind:
    if not GROUP_CLASSES.isdisjoint(classes):
        return Kind.GROUP
    return Kind.CONTACT if target else Kind.MAILBOX


def _texts(record: Record, name: str) -> list[str]:
    """Return an attribute's values without the blanks around them."""
    values = record.attributes.get(name.lower())
    if not values:
        return []
    texts = [value.strip(_BLANKS) for value in values if isinstance(value, str)]
    if len(texts) < len(values):
        raise RecordError(f"a value of {name} is no UTF-8 text")
    return texts


def _addresses(record: Record) -> tuple[str, dict[str, None]]:
    """Return the primary address as written, and the keys of all, in order.

    Values of an attribute have no order (RFC 4511 section 4.1.7), so none is the first:
    of two primary addresses none counts.
    """
    keys: dict[str, None] = {}
    primaries: list[str] = []
    for value in _texts(record, "proxyAddresses"):
        prefix = _PREFIX.match(value)
        if prefix is None:
            raise RecordError(f"proxyAddresses {shown(value)} has no prefix, such as smtp:")
        if prefix[0].lower() == "smtp:":  # others (X400:, x500:, sip:) are no mail addresses
            address = value[prefix.end() :].strip(_BLANKS)
            keys[_key("proxyAddresses", address)] = None
            if prefix[0] == "SMTP:":
                primaries.append(address)
    plain = [(name, value) for name in PLAIN_ADDRESSES for value in _texts(record, name)]
    keys.update((_key(name, value), None) for name, value in plain)
    primaries = primaries or [value for name, value in plain if name == "mail"]
    return primaries[0] if len(primaries) == 1 else "", keys


def _key(name: str, text: str) -> str:
    address = _mailbox(text)
    if address is None or not address.key:
        raise RecordError(f"{name} {shown(text)} is no address")
    return address.key


def _target(record: Record) -> str:
    """Return where the mail goes instead, without ``smtp:``; empty: nowhere else."""
    target = _single(record, "targetAddress")
    if target[:5].lower() == "smtp:":
        target = target[5:].strip(_BLANKS)
    routing = _single(record, "mailRoutingAddress")
    if target and routing:
        raise RecordError("both targetAddress and mailRoutingAddress: which is its target?")
    target = target or routing
    if target:
        address = _mailbox(target)
        if address is None or not address.key or hides_foreign(address.local):
            raise RecordError(f"the target {shown(target)} is no single mailbox")
    return target


def _single(record: Record, name: str) -> str:
    values = _texts(record, name)
    if len(values) > 1:
        raise RecordError(f"{len(values)} values of {name}, which has a single one")
    if values and not values[0]:
        raise RecordError(f"{name} is empty")
    return values[0] if values else ""


def _flag(record: Record, name: str) -> bool:
    value = _single(record, name).upper()
    if value not in {"", "TRUE", "FALSE"}:
        raise RecordError(f"{name} {shown(value)} is neither TRUE nor FALSE")
    return value == "TRUE"
