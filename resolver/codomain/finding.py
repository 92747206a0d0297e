"""Finding a recipient in the directories of its domain, without waiting.

The decision asks a :class:`Finder`; the finder asks ``peek``; where ``peek`` does not
know yet, the way back is an exception of this module, which never leaves the decision.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from codomain.directory.base import Kind

if TYPE_CHECKING:
    from codomain.address import Address
    from codomain.directory.base import Recipient
    from codomain.domains import Domain


@dataclass(frozen=True, slots=True)
class Outage:
    """What ``peek`` gives for a directory that did not answer and has nothing that serves."""

    detail: str = ""
    """What was wrong, for the log."""

    limited: bool = False
    """The directory answers, and was not asked because too many are asking: no outage that
    ``on_outage = deliver`` is for, or whoever guesses fast enough is let in."""


class Peek(Protocol):
    """Looks into what is known now."""

    def __call__(self, directory: str, key: str) -> tuple[Recipient, ...] | Outage | None:
        """Return the entries of an address, an outage, or None: nobody has asked yet."""


class Trace(Protocol):
    """Hears of every step, for ``codomain explain``."""

    def __call__(self, step: str, detail: str, /) -> None:
        """Take one step: its name and what it found."""


class Inquiry(NamedTuple):
    """A recipient of whom a next system is asked."""

    connector: str
    """The name of the connector."""

    key: str
    """The address as directories compare it, by which a purge finds it."""

    address: str
    """The address as the next system will be given it, quoted where it must be."""


@dataclass(frozen=True, slots=True)
class Need:
    """What must be asked before it can be decided."""

    directory: str
    """The directory to be asked; empty: a next system."""

    key: str
    """The address, as :attr:`codomain.address.Address.key`."""

    inquiry: Inquiry | None = None
    """What a next system has to be asked; None: a directory."""


@dataclass(frozen=True, slots=True)
class Found:
    """An entry, and how it was reached."""

    directory: str
    """The directory that knows it."""

    entry: Recipient
    """The entry."""

    extension: str = ""
    """The extension that had to be cut off, with its delimiter."""

    @property
    def identity(self) -> str:
        """What tells this entry from all others, of every directory."""
        return f"{self.directory}\0{self.entry.dn}"

    @property
    def leads_nowhere(self) -> bool:
        """Whether it is a contact without a target: its mail is elsewhere, but where?"""
        entry = self.entry
        return entry.kind is Kind.CONTACT and not entry.target and not entry.mail_host


class NeedError(Exception):
    """``peek`` knows nothing yet."""

    def __init__(self, need: Need) -> None:
        super().__init__(need.key)
        self.need = need


class DownError(Exception):
    """A directory did not answer; the search ends at once, before extension and catch-all."""

    def __init__(self, directory: str, outage: Outage) -> None:
        super().__init__(f"directory {directory}: {outage.detail or 'no answer'}")
        self.limited = outage.limited


class AmbiguousError(Exception):
    """Two distinct entries claim one address."""

    def __init__(self, key: str, entries: tuple[Recipient, ...]) -> None:
        names = " and by ".join(entry.dn for entry in entries)
        super().__init__(f"{key} is claimed by {names}")


class Finder:
    """Asks the directories of a domain, in order."""

    __slots__ = ("_peek", "_trace")

    def __init__(self, peek: Peek, trace: Trace) -> None:
        self._peek = peek
        self._trace = trace

    def find(self, address: Address, domain: Domain) -> Found | None:
        """Find an address as it stands, or else without its extension; None: it is not there."""
        return self.whole(address, domain) or self.base(address, domain)

    def whole(self, address: Address, domain: Domain) -> Found | None:
        """Find an address as it stands.

        Raises:
            NeedError: nobody has asked for it yet.
            DownError: a directory did not answer.
            AmbiguousError: several entries have it.

        """
        key = address.key
        if not key:
            self._trace("directory", "no entry can have this address")
            return None
        for directory in domain.directories:
            entries = self._peek(directory, key)
            if entries is None:
                raise NeedError(Need(directory, key))
            if isinstance(entries, Outage):
                raise DownError(directory, entries)
            if len(entries) > 1:
                raise AmbiguousError(key, entries)
            if entries:
                self._trace("entry", f"{key} in {directory}: {entries[0].dn}")
                return Found(directory, entries[0])
            self._trace("directory", f"{key} is not in {directory}")
        return None

    def base(self, address: Address, domain: Domain) -> Found | None:
        """Find an address without its extension; None also where it has none."""
        parts = address.extension(domain.delimiters)
        if parts is None or not address.key:
            return None
        found = self.whole(parts[0], domain)
        return None if found is None else Found(found.directory, found.entry, parts[1])
