"""The directory of the seed's gateway: slapd with its own names, or a domain controller."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ldap3

from support.samba import ADMIN, PASSWORD

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class SeedDirectory:
    """One of the two servers, as the seed's gateway sees it."""

    kind: str
    """``slapd`` or ``samba``."""

    base: str
    """What stands for the seed's dc=xo,dc=one."""

    keys: str
    """The ``[directory]`` section."""

    csv: Path
    """The seed's csvde file; its DN ends in the base."""

    server: Any
    """The server."""

    def add(self, name: str, kind: str = "user", **attributes: str | Sequence[str]) -> str:
        """Add an entry; return its DN."""
        dn = f"cn={name},{self.base}"
        values: dict[str, Any] = {"objectClass": [kind], "sn": [name]}
        values |= {k: [v] if isinstance(v, str) else list(v) for k, v in attributes.items()}
        self.server.add(dn, values)
        return dn

    def delete(self, dn: str) -> None:
        """Delete an entry."""
        self.server.delete(dn)

    def addresses(self, dn: str) -> list[str]:
        """Return an entry's proxyAddresses, sorted."""
        user, password = (ADMIN, PASSWORD) if self.kind == "samba" else (None, None)
        connection = ldap3.Connection(
            ldap3.Server(self.server.ldap, get_info=ldap3.NONE),
            user=user,
            password=password,
            auto_bind=ldap3.AUTO_BIND_TLS_BEFORE_BIND,
            check_names=False,
        )
        connection.search(dn, "(objectClass=*)", ldap3.BASE, attributes=["proxyAddresses"])
        raw = (connection.response or [{}])[0]["raw_attributes"]
        connection.unbind()
        return sorted(value.decode() for value in raw["proxyAddresses"])
