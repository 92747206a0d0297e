"""The keys of a ``[directory]`` section, as a directory over LDAP reads them."""

from __future__ import annotations

from dataclasses import dataclass

from support.slapd import BASE


@dataclass(frozen=True, slots=True)
class Section:
    """A section with the defaults of the INI, but for shorter times."""

    servers: tuple[str, ...]
    """URIs, in the order in which they are asked."""

    name: str = "people"
    """The name of the section."""

    schema: str = "active-directory"
    """Which attributes hold the addresses."""

    base: str = BASE
    """The entry below which is searched."""

    scope: str = "subtree"
    """How deep is searched."""

    filter: str = ""
    """The search, in place of the schema's."""

    bind_dn: str = ""
    """Who is searching."""

    bind_password_file: str = ""
    """Holds the password."""

    starttls: bool = False
    """ldap:// connections go on in TLS."""

    ca_file: str = ""
    """The certificates that vouch for the servers'."""

    connect_timeout: float = 2.0
    """Seconds for a connection."""

    timeout: float = 10.0
    """Seconds for an answer; a test of the deadline sets less."""

    pool_size: int = 4
    """Connections, and searches at a time."""

    canary: str = ""
    """An address that must be found."""
