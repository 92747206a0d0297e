"""Entries as recipient policies see them: names, addresses as they are written, how old.

In flow the raw attributes of an entry of Active Directory; out flows an :class:`Entry`.
Exchange's rules for proxyAddresses: ``SMTP:`` in capitals is the one primary address,
``smtp:`` a secondary one, every other prefix belongs to other systems and is left alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from codomain.directory.schema import Attributes, address_key, next_ranges
from codomain.settings.template import FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

PROXIES = "proxyAddresses"
MAIL = "mail"
EXCLUDED = "msExchPoliciesExcluded"
"""Exchange's mark that an entry is not to be stamped."""

EXCLUDED_VALUE = "{26491cfc-9e50-4857-861b-0cb8df22b5d7}"
"""The value of it that means addresses, in lower case."""

CREATED = ("whenCreated", "createTimestamp")
"""When an entry was made: Active Directory's name, and that of RFC 4512 section 3.4.2."""

ATTRIBUTES = (
    "objectClass",
    PROXIES,
    MAIL,
    "targetAddress",
    *FIELDS.values(),
    *CREATED,
    EXCLUDED,
)
"""What is asked for."""

RECIPIENTS = "(|(mailNickname=*)(proxyAddresses=*)(mail=*)(targetAddress=*))"
"""Every entry that has an address, or may get one."""

_TIME_DIGITS = 14  # of YYYYMMDDHHMMSS, before the fraction and the zone (RFC 4517 3.3.13)


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a directory."""

    directory: str
    """The name of its ``[directory]``."""

    dn: str
    """Its name."""

    proxies: tuple[str, ...] = ()
    """Its proxyAddresses as they are written."""

    mail: tuple[str, ...] = ()
    """Its mail; Active Directory has one at most."""

    target: str = ""
    """Its targetAddress without ``smtp:``; empty: it has none."""

    names: tuple[tuple[str, str], ...] = ()
    """The values for templates, by their letters."""

    created: str = ""
    """When it was made, ``YYYYMMDDHHMMSS``; empty: unknown."""

    excluded: bool = False
    """Exchange's own mark says that no policy is for it."""

    partial: bool = False
    """The server kept a part of its addresses back."""

    @property
    def id(self) -> tuple[str, str]:
        """What tells it from every other one."""
        return self.directory, self.dn.lower()

    @property
    def primaries(self) -> tuple[str, ...]:
        """The primary addresses: one, unless something is wrong."""
        return tuple(p.partition(":")[2].strip() for p in self.proxies if p.startswith("SMTP:"))

    @property
    def addresses(self) -> dict[str, str]:
        """The addresses of SMTP by their keys, as they are written; mail after the others."""
        found: dict[str, str] = {}
        for text in (*filter(None, map(smtp, self.proxies)), *self.mail):
            found.setdefault(address_key(text), text)
        found.pop("", None)
        return found

    @property
    def stampable(self) -> bool:
        """It has an alias: Exchange's policies are for no entry without one."""
        return any(letter == "m" and value for letter, value in self.names)


def smtp(proxy: str) -> str:
    """Return the address of a proxy address of SMTP; empty: it belongs to another system."""
    prefix, _, address = proxy.partition(":")
    return address.strip() if prefix.lower() == "smtp" else ""


def entry_of(directory: str, dn: str, raw: Mapping[str, Sequence[bytes]]) -> Entry:
    """Read one entry; values that are no UTF-8 count as absent."""
    attributes = Attributes(raw)
    target = attributes.routing("targetAddress")
    created = [text for name in CREATED for text in attributes.texts(name)]
    excluded = {text.lower() for text in attributes.texts(EXCLUDED)}
    return Entry(
        directory=directory,
        dn=dn,
        proxies=tuple(attributes.texts(PROXIES)),
        mail=tuple(attributes.texts(MAIL)),
        target=smtp(target) or target,
        names=tuple((letter, _one(attributes.texts(name))) for letter, name in FIELDS.items()),
        created=created[0][:_TIME_DIGITS] if created else "",
        excluded=EXCLUDED_VALUE in excluded,
        partial=any(name.startswith(PROXIES.lower()) for name in next_ranges(raw)),
    )


def _one(texts: Iterable[str]) -> str:
    """Return the one value; of several the least, because values of LDAP have no order."""
    return min(texts, default="")


def ordered(entries: Iterable[Entry]) -> list[Entry]:
    """Return entries in the order in which they get addresses: the oldest first, then by DN."""
    return sorted(entries, key=lambda entry: (not entry.created, entry.created, *entry.id))
