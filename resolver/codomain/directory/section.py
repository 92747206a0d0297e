"""The keys of ``[directory NAME]`` that a directory over LDAP reads.

The configuration's own section fits; so does anything else with these fields.
"""

from __future__ import annotations

from typing import Protocol


class Login(Protocol):
    """Who we are to the servers of a directory: keys of its section in the INI."""

    @property
    def bind_dn(self) -> str:
        """The name of a simple bind; empty: anonymous, or SASL EXTERNAL over ldapi."""

    @property
    def bind_password_file(self) -> str:
        """The file with its password."""

    @property
    def starttls(self) -> bool:
        """Turn ldap:// connections to TLS before anything else is said."""

    @property
    def connect_timeout(self) -> float:
        """Seconds for one TCP connection."""

    @property
    def timeout(self) -> float:
        """Seconds for a whole answer."""


class Section(Login, Protocol):
    """The keys of ``[directory NAME]`` that this directory reads."""

    @property
    def name(self) -> str:
        """The name of the section."""

    @property
    def servers(self) -> tuple[str, ...]:
        """URIs, in the order in which they are asked."""

    @property
    def schema(self) -> str:
        """A key of :data:`codomain.directory.schema.SCHEMAS`."""

    @property
    def base(self) -> str:
        """The DN below which is searched."""

    @property
    def scope(self) -> str:
        """A key of :data:`codomain.directory.messages.SCOPES`."""

    @property
    def filter(self) -> str:
        """A filter in place of the schema's (with ``%s``) or beside it; empty: none."""

    @property
    def ca_file(self) -> str:
        """The authorities that may vouch for the servers; empty: the system's."""

    @property
    def pool_size(self) -> int:
        """The most connections, and searches at a time."""

    @property
    def canary(self) -> str:
        """An address that must be found, or nothing that is not found is believed."""
