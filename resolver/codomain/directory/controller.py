"""A domain controller of Active Directory: which one it is, and how far it has come.

In flows a bound connection; out flow the controller's identity and its counter of
changes, highestCommittedUSN.  The counter is the controller's own: it says nothing of any
other controller of the domain, nor of the same one after it was restored from a backup,
when it has another invocationId (MS-ADTS 3.1.1.1.9, 3.1.1.3.2.17).

A :class:`Mark` is what is stored with the copy: this controller, this far.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from codomain.directory.follow import RefusedError
from codomain.directory.messages import Control, Search
from codomain.errors import DirectoryError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from codomain.directory.messages import Entry
    from codomain.directory.wire import Wire

SHOW_DELETED = "1.2.840.113556.1.4.417"
"""The control that shows tombstones as well (MS-ADTS 3.1.1.3.4.1.14)."""

SHOW_RECYCLED = "1.2.840.113556.1.4.2064"
"""The same for objects that the recycle bin has emptied (3.1.1.3.4.1.26)."""

WITH_DELETED = (Control(SHOW_DELETED, critical=True), Control(SHOW_RECYCLED))
"""Both; a controller older than the recycle bin does not know the second."""

VERSION = 1
"""Of the marks' format: one of another version is none."""

USN_DIGITS = 20
"""Digits of a change number: it has 64 bits."""

_DELETED_OBJECTS = "CN=Deleted Objects"
_COUNTER = "highestCommittedUSN"
_SERVICE = "dsServiceName"


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a copy is in step, with which controller."""

    extent: str
    """:meth:`codomain.directory.follow.Extent.mark`: what was followed."""

    service: str
    """The controller's dsServiceName."""

    invocation: str
    """The invocationId of its data, in hexadecimal."""

    usn: int
    """Every change up to this one is in the copy."""

    loaded: int
    """When everything was last loaded from it, in Unix seconds."""

    dirsync: str = ""
    """DirSync's own cookie for this state, in base64; empty: it was not followed so."""

    def cookie(self) -> bytes:
        """Write it."""
        return json.dumps({"version": VERSION, **asdict(self)}, sort_keys=True).encode()

    @classmethod
    def read(cls, cookie: bytes) -> Mark | None:
        """Read one; None: it is none, or of another version."""
        try:
            fields = json.loads(cookie)
            if fields.pop("version") != VERSION:
                return None
            mark = cls(**fields)
        except (ValueError, AttributeError, KeyError, TypeError):
            return None
        numbers = type(mark.usn) is int and type(mark.loaded) is int
        texts = (mark.extent, mark.service, mark.invocation, mark.dirsync)
        return mark if numbers and all(type(text) is str for text in texts) else None


class Controller:
    """The one controller at the other end of a connection."""

    def __init__(self, wire: Wire, base: str) -> None:
        """Ask it who it is, and which of its naming contexts holds ``base``.

        Raises:
            RefusedError: it is no domain controller, or hides what following needs.
            DirectoryError: it holds no naming context with ``base``, or did not answer.

        """
        self._wire = wire
        root = self._read("", "namingContexts", _SERVICE, _COUNTER)
        self.service = _text(root, _SERVICE)
        uri = wire.server.uri
        if not self.service or number(root, _COUNTER) is None:
            raise RefusedError(f"{uri} is no domain controller of Active Directory")
        self.invocation = self._octets(self.service, "invocationId").hex()
        if not self.invocation:
            raise RefusedError(f"{uri} does not show the invocationId of {self.service}")
        self.context = _context(base, root.get("namingcontexts", ()))
        if not self.context:
            raise DirectoryError(
                f"{uri} has no naming context with base {base or '(empty)'}: to follow a domain "
                "takes one of its own controllers, and a base in it"
            )

    @property
    def deleted(self) -> str:
        """The container of its tombstones."""
        return f"{_DELETED_OBJECTS},{self.context}"

    def counter(self) -> int:
        """Return its highestCommittedUSN now.

        Raises:
            DirectoryError: it is another controller meanwhile, or did not answer.

        """
        root = self._read("", _SERVICE, _COUNTER)
        counter = number(root, _COUNTER)
        if _text(root, _SERVICE) != self.service or counter is None:
            raise DirectoryError(f"{self._wire.server.uri} is not the same controller any more")
        return counter

    def shows_deleted(self) -> bool:
        """Tell whether our account may see tombstones.

        Administrators alone may, unless more was granted: then even the container's own
        isDeleted stays hidden.
        """
        return bool(_text(self._read(self.deleted, "isDeleted"), "isDeleted"))

    def _octets(self, dn: str, name: str) -> bytes:
        values = self._read(dn, name).get(name.lower())
        return values[0] if values else b""

    def _read(self, dn: str, *names: str) -> dict[str, list[bytes]]:
        """Return attributes of one entry, by lower-case name."""
        search = Search(dn, "base", "(objectClass=*)", names)
        for entry in self._wire.find(search, WITH_DELETED if dn else (), references=True):
            return folded(entry)
        return {}


def folded(entry: Entry) -> dict[str, list[bytes]]:
    """Return an entry's attributes by lower-case name."""
    return {name.lower(): values for name, values in entry.raw.items()}


def number(raw: dict[str, list[bytes]], name: str) -> int | None:
    """Return an attribute's value as a change number; None: it is none."""
    value = (raw.get(name.lower()) or [b""])[0]
    return int(value) if value.isdigit() and len(value) <= USN_DIGITS else None


def fold_dn(dn: str) -> str:
    """Return a DN for comparison: without what Active Directory does not tell apart."""
    return re.sub(r"\s*([,=])\s*", r"\1", dn.strip().lower())


def _context(base: str, contexts: Iterable[bytes]) -> str:
    """Return the innermost naming context that holds a DN; empty: there is none."""
    below = f",{fold_dn(base)}"
    names = [context.decode("utf-8", "backslashreplace") for context in contexts]
    holding = [name for name in names if below.endswith(f",{fold_dn(name)}")]
    return max(holding, key=len, default="")


def _text(values: dict[str, list[bytes]], name: str) -> str:
    found = values.get(name.lower())
    return found[0].decode("utf-8", "backslashreplace") if found else ""
