"""A unit of entries in a directory that recipient policies stamp: slapd or Samba AD."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ldap3

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager


@dataclass(frozen=True, slots=True)
class Directory:
    """A unit of its own in one of the servers."""

    kind: str
    """``slapd`` or ``samba``."""

    unit: str
    """The DN below which the test's entries are."""

    keys: str
    """The keys of its ``[directory]``."""

    connect: Callable[[], AbstractContextManager[ldap3.Connection]]
    """Gives a connection of somebody who may do everything, on which a failure raises."""

    modify: Callable[[str], None]
    """Carries out LDIF change records by the server's own tool."""

    def add(self, name: str, **attributes: str | Sequence[str]) -> str:
        """Add a person; return the DN."""
        classes = ["contact"] if self.kind == "samba" else ["inetOrgPerson", "mailRecipient"]
        dn = f"cn={name},{self.unit}"
        surname = name.rsplit(maxsplit=1)[-1]
        values: dict[str, Any] = {"objectClass": classes, "sn": surname, **attributes}
        with self.connect() as connection:
            connection.add(dn, attributes=values)
        return dn

    def read(self, dn: str, *names: str) -> dict[str, list[str]]:
        """Return attributes of an entry, sorted."""
        with self.connect() as connection:
            connection.search(dn, "(objectClass=*)", ldap3.BASE, attributes=list(names))
            raw: Mapping[str, list[bytes]] = (connection.response or [{}])[0]["raw_attributes"]
            return {
                name: sorted(v.decode(errors="backslashreplace") for v in values)
                for name, values in raw.items()
            }

    def addresses(self, dn: str) -> list[str]:
        """Return an entry's proxyAddresses, sorted."""
        return self.read(dn, "proxyAddresses")["proxyAddresses"]
