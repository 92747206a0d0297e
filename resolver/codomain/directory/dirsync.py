"""Following Active Directory by DirSync, where our account may (MS-ADTS 3.1.1.3.4.1.3).

Each answer to a search with this control ends with a cookie, and the next search with that
cookie finds what has changed since: every object of which one of the attributes that are
asked for was changed, with what was changed of it, and deleted ones as well.  So it tells
of no more than concerns mail.  A domain controller of Windows tells of deletions whoever
may replicate, Samba's only whoever may see tombstones, too; so whom these are hidden from
counts through what is still there, as with uSNChanged (:mod:`codomain.directory.usn`).

Only *which* objects changed is taken from it.  What they are now is searched for in the
plain way, with our rights to read and our filter, as a live look-up would; so what DirSync
may show beyond these rights never reaches the copy.  All else is as with uSNChanged: the
counter is looked at first, one controller is followed, and everything is loaded anew when
that is another one.  Another controller would take the cookie, too, but it may not yet have
what the copy has, and would then never tell of it.

The account needs "Replicating Directory Changes".  Without it the control works with the
flag LDAP_DIRSYNC_OBJECT_SECURITY alone, and then tells no more than uSNChanged does.  So
the control is used without flags, and where that is refused uSNChanged takes its place.
"""

from __future__ import annotations

import base64
import re
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from codomain.directory import ber
from codomain.directory.ber import ProtocolError, Reader
from codomain.directory.controller import folded
from codomain.directory.follow import MANY_CHANGES, RefusedError
from codomain.directory.link import BrokenError
from codomain.directory.messages import SUCCESS, Control, Done, Entry, Search
from codomain.directory.record import CONTAINERS
from codomain.directory.usn import GUID, Round
from codomain.errors import DirectoryError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from codomain.directory.base import Recipient
    from codomain.directory.controller import Mark
    from codomain.directory.follow import Copy, Extent
    from codomain.directory.wire import Wire

DIRSYNC = "1.2.840.113556.1.4.841"
"""LDAP_SERVER_DIRSYNC_OID, among supportedControl."""

REFUSALS = frozenset({12, 50, 53})
"""unavailableCriticalExtension, insufficientAccessRights, unwillingToPerform: the control is
not for us, or our cookie is none of this controller's (RFC 4511 section 4.1.9)."""

MAX_BYTES = 1 << 20
"""Octets of attributes in one answer; the controller has a bound of its own beside it."""

TOGETHER = 100
"""Objects that are read with one search: a filter of some 5,000 octets."""

_ANYTHING = "(objectClass=*)"
_NOTHING = "(!(objectClass=*))"
_ITEM = re.compile(r"\((?![&|!])([^()=<>~:]*)")


class DirSyncSource:
    """Follows one domain controller (:class:`codomain.directory.follow.Source`)."""

    how = "dirsync"

    def __init__(self, extent: Extent, clock: Callable[[], float] = time.time) -> None:
        """Follow the entries of an extent; ``clock`` gives Unix seconds."""
        self._extent = extent
        self._clock = clock

    def follow(self, wire: Wire, copy: Copy) -> None:
        """Bring the copy in step and keep it so; ends where it is told to.

        Raises:
            RefusedError: our account may not, or the server is no domain controller.
            DirectoryError: it failed, or gave a part of the entries only.
            ShrinkError: too much would be lost.

        """
        _Replica(wire, copy, self._extent, self._clock).go_on()


class _Replica(Round):
    """One connection's time with a copy, round by round."""

    def __init__(self, wire: Wire, copy: Copy, extent: Extent, clock: Callable[[], float]) -> None:
        super().__init__(wire, copy, extent, clock)
        self._attributes = attributes(extent)
        self._cookie = ""

    def _takes_up(self, mark: Mark) -> bool:
        try:
            return bool(base64.b64decode(mark.dirsync, validate=True))
        except ValueError:
            return False

    def _beginning(self) -> str:
        """Return a cookie for the state of now: a search that finds nothing has one, too."""
        for _ in self._sync("", _NOTHING):
            pass
        return self._cookie

    def _touched(self, *, away: bool) -> set[bytes] | None:
        del away  # a name that changed is told, however long ago
        touched: set[bytes] = set()
        revived = False
        for entry in self._sync(self._mark.dirsync, _ANYTHING):
            raw = folded(entry)
            guid = raw.get(GUID.lower())
            if not guid:
                raise DirectoryError(
                    f"{self._wire.server.uri} does not show the objectGUID of {entry.dn}"
                )
            touched.add(guid[0])
            if len(touched) > MANY_CHANGES or self._renamed(guid[0], raw):
                return None
            revived = revived or ("isdeleted" in raw and not _deleted(raw))
        if revived:  # which of these are containers it does not say: their class is no change
            self._name_containers()
        self._mark = replace(self._mark, dirsync=self._cookie)
        return touched

    def _there(self, touched: set[bytes]) -> dict[bytes, Recipient]:
        wanted = sorted(touched)
        there: dict[bytes, Recipient] = {}
        for at in range(0, len(wanted), TOGETHER):
            parts = [f"({GUID}={_escaped(guid)})" for guid in wanted[at : at + TOGETHER]]
            there.update(self._recipients(f"(|{''.join(parts)})"))
        return there

    def _renamed(self, guid: bytes, raw: dict[str, list[bytes]]) -> bool:
        """Tell whether a container that was there before has a new name, or a new parent.

        A move counts as a change of ``name``; of a new object its class is told as well.
        """
        if _deleted(raw):
            self._containers.pop(guid, None)
            return False
        if "objectclass" in raw:
            classes = {value.decode("ascii", "replace").lower() for value in raw["objectclass"]}
            if not classes.isdisjoint(CONTAINERS):
                self._containers[guid] = ""
            return False
        return guid in self._containers and "name" in raw

    def _sync(self, cookie: str, text: str) -> Iterator[Entry]:
        """Yield what changed since a cookie; at the end the new one is ``self._cookie``.

        Raises:
            RefusedError: our account may not, or the cookie is not taken.
            BrokenError: the connection failed, or there is no end.

        """
        search = Search(self._controller.context, "subtree", text, self._attributes)
        held, more = base64.b64decode(cookie), True
        while more:
            before, entries, answered = held, 0, False
            for message in self._wire.answers(self._wire.send(search, (_control(held),))):
                if isinstance(message, Entry):
                    entries += 1
                    yield message
                elif isinstance(message, Done):
                    more, held = self._end(message)
                    answered = True
            if not answered or (more and not entries and held == before):
                raise self._broken("DirSync without an end")
        self._cookie = base64.b64encode(held).decode()

    def _end(self, done: Done) -> tuple[bool, bytes]:
        """Read the end of an answer: whether there is more, and the cookie to ask it with."""
        uri = self._wire.server.uri
        if done.code in REFUSALS:
            raise RefusedError(f"{uri} lets us not use DirSync: {done.describe()}")
        if done.code != SUCCESS:
            self._wire.expect(done)
        for control in done.controls:
            if control.oid == DIRSYNC and control.value is not None:
                try:
                    body = Reader(control.value).inner()
                    more = body.integer() != 0
                    body.integer()  # it means nothing in an answer
                    return more, body.octets()
                except ProtocolError as error:
                    raise self._broken(str(error)) from error
        raise RefusedError(f"{uri} answers a search with DirSync without its cookie")

    def _broken(self, text: str) -> BrokenError:
        return BrokenError(f"{self._wire.server.uri}: {text}", timed_out=False)


def attributes(extent: Extent) -> tuple[str, ...]:
    """Return what is asked for: only where one of these changed an object is told of.

    That is what a recipient is read from, what the filter asks for, the name (which stands
    for the place in the tree as well), the class, and whether it was deleted.
    """
    asked = [name.strip() for name in _ITEM.findall(extent.filter)]
    if not all(asked):  # a condition on no attribute by name: everything may matter
        return ("*", GUID)
    own = (*extent.schema.attributes, GUID, "name", "objectClass", "isDeleted")
    return tuple({name.lower(): name for name in (*asked, *own)}.values())


def _deleted(raw: dict[str, list[bytes]]) -> bool:
    """Tell whether this is a deletion; one that is called back has no value left."""
    return raw.get("isdeleted") == [b"TRUE"]


def _control(cookie: bytes) -> Control:
    value = ber.sequence(ber.integer(0), ber.integer(MAX_BYTES), ber.octets(cookie))
    return Control(DIRSYNC, value, critical=True)


def _escaped(guid: bytes) -> str:
    return "".join(f"\\{octet:02x}" for octet in guid)
