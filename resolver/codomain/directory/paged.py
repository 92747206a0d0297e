"""Following a server that tells of no changes: everything is searched again and compared.

Paged results are RFC 2696.  An entry is known by its entryUUID (RFC 4530) or objectGUID,
and where the server gives neither, by its DN.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from uuid import UUID

from codomain.directory import ber
from codomain.directory.ber import ProtocolError, Reader
from codomain.directory.follow import MANY_CHANGES
from codomain.directory.link import BrokenError
from codomain.directory.messages import Control, Done, Entry, Reference, Search

if TYPE_CHECKING:
    from collections.abc import Iterator

    from codomain.directory.base import Recipient
    from codomain.directory.follow import Copy, Extent
    from codomain.directory.wire import Wire

PAGED_RESULTS = "1.2.840.113556.1.4.319"
"""The control of RFC 2696."""

PAGE = 1000
"""Entries of a page: Active Directory's MaxPageSize, and OpenLDAP's usual soft limit is 500."""

EMPTY_PAGES = 1000
"""Pages in a row without an entry: Active Directory sends some; a server that goes on has
lost its way."""

INTERVAL = 60.0
"""Seconds between two searches for everything."""

SHARE = 10
"""A search that takes a minute is made every ten: the server has other things to do."""

BEAT = 15.0
"""Seconds after which an idle connection is used, so that nobody on the way forgets it."""

IDENTITIES = ("entryUUID", "objectGUID")
"""Attributes that name an entry for good, the first of which is there."""

_COOKIE = b"paged 1 "


class PagedSource:
    """Searches everything, again and again (:class:`codomain.directory.follow.Source`)."""

    how = "paged"

    def __init__(self, extent: Extent) -> None:
        self._extent = extent
        self._cookie = _COOKIE + extent.mark().encode()

    def follow(self, wire: Wire, copy: Copy) -> None:
        """Load everything, and then compare at intervals; ends where it is told to.

        Raises:
            DirectoryError: the server failed, or gave a part of the entries only.
            ShrinkError: too much would be lost.

        """
        while True:
            synced, began = time.time(), time.monotonic()
            if copy.cookie != self._cookie or not self._compare(wire, copy, synced):
                self._load(wire, copy, synced)
            if not copy.confirm(synced):
                return
            took = time.monotonic() - began
            if not self._wait(wire, copy, max(INTERVAL, SHARE * took)):
                return

    def _load(self, wire: Wire, copy: Copy, synced: float) -> None:
        with copy.load() as load:
            for identity, recipient in self._recipients(wire, set()):
                if recipient is not None:
                    load.put(identity, recipient)
            load.commit(self._cookie, synced)

    def _compare(self, wire: Wire, copy: Copy, synced: float) -> bool:
        """Bring the copy up to date; False: too much is different, load everything."""
        changes: dict[bytes, Recipient | None] = {}
        seen: set[bytes] = set()
        for identity, recipient in self._recipients(wire, seen):
            if copy.get(identity) != recipient:
                changes[identity] = recipient
                if len(changes) > MANY_CHANGES:
                    return False
        changes.update((identity, None) for identity in copy.ids() if identity not in seen)
        copy.change(changes, self._cookie, synced)
        return True

    def _recipients(self, wire: Wire, seen: set[bytes]) -> Iterator[tuple[bytes, Recipient | None]]:
        """Yield every entry with its id, and None where it has no address; no id twice."""
        extent = self._extent
        wanted = (*extent.schema.attributes, *IDENTITIES)
        search = Search(extent.base, extent.scope, extent.filter, wanted)
        for entry in pages(wire, search, references=extent.schema.references_are_usual):
            identity = _identity(entry)
            if identity in seen:
                raise BrokenError(f"{wire.server.uri}: {entry.dn} came twice", timed_out=False)
            seen.add(identity)
            yield identity, extent.recipient(entry.dn, entry.raw)

    def _wait(self, wire: Wire, copy: Copy, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if not copy.pause(min(left, BEAT)):
                return False
            wire.root()
        return True


def pages(
    wire: Wire, search: Search, controls: tuple[Control, ...] = (), *, references: bool = False
) -> Iterator[Entry]:
    """Search page by page, and yield the entries; all of them only where it ends by itself.

    While a page is worked on the server prepares the next one.  ``controls`` go with each
    request; ``references``: that other servers hold a part of the tree is no fault.

    Raises:
        BrokenError: the connection failed, was silent, or sent what is no LDAP.
        ResultError: the server gave another result than success (it allows a part of the
            entries only: sizeLimitExceeded, adminLimitExceeded), or a reference.

    """
    empty = 0
    identity = wire.send(search, (_page(b""), *controls))
    while identity:
        entries: list[Entry] = []
        following, found = 0, False
        for message in wire.answers(identity):
            if isinstance(message, Entry):
                entries.append(message)
                found = True
                if len(entries) > PAGE:  # it knows no pages, and all of it comes at once
                    yield from entries
                    entries = []
            elif isinstance(message, Reference) and not references:
                raise wire.elsewhere(message)
            elif isinstance(message, Done):
                wire.expect(message)
                cookie = _next_page(wire, message)
                if cookie:
                    following = wire.send(search, (_page(cookie), *controls))
        empty = 0 if found else empty + 1
        if empty > EMPTY_PAGES:
            raise BrokenError(f"{wire.server.uri}: pages without an end", timed_out=False)
        yield from entries
        identity = following


def _page(cookie: bytes) -> Control:
    return Control(PAGED_RESULTS, ber.sequence(ber.integer(PAGE), ber.octets(cookie)))


def _next_page(wire: Wire, done: Done) -> bytes:
    """Return what to ask the next page with; empty: that was the last one."""
    for control in done.controls:
        if control.oid == PAGED_RESULTS and control.value is not None:
            try:
                body = Reader(control.value).inner()
                body.integer()  # an estimate of how many there are
                return body.octets()
            except ProtocolError as error:
                raise BrokenError(f"{wire.server.uri}: {error}", timed_out=False) from error
    return b""  # the server knows no pages, and gave everything at once


def _identity(entry: Entry) -> bytes:
    values = {name.lower(): values for name, values in entry.raw.items()}
    if uuid := values.get("entryuuid"):
        try:
            return UUID(uuid[0].decode("ascii")).bytes  # it is sent as text (RFC 4530)
        except ValueError:
            return uuid[0]
    if guid := values.get("objectguid"):
        return guid[0]
    return entry.dn.encode("utf-8", "surrogateescape")
