"""Following OpenLDAP: content synchronization, RFC 4533, refreshAndPersist.

One search brings the copy up to date (the refresh) and then goes on for ever (the persist
stage), in which each change is sent as it is made.  A cookie, stored with the changes it
stands for, says where to go on after a restart of either side.

A refresh from a cookie is gathered whole and applied at once.  It has a present phase,
at whose end everything that was not named is gone, or a delete phase, in which everything
that is gone is named; a server without a log of what was deleted can do the former alone.
A cookie that the server does not know any more (e-syncRefreshRequired) means to load
everything, and so does a cookie that is ahead of the server for a while: it was restored
from a backup.

The persist stage knows no sign of life, and a peer that vanished sends nothing either.  So
once a second a small search goes over the same connection; what is received before its
answer is applied, and then the copy is in step.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from codomain.directory.ber import ProtocolError
from codomain.directory.follow import CONFIRM_SECONDS, MANY_CHANGES, RefusedError
from codomain.directory.link import BrokenError, ResultError
from codomain.directory.messages import (
    SYNC_REFRESH_REQUIRED,
    Done,
    Entry,
    Intermediate,
    Reference,
    Search,
)
from codomain.directory.syncinfo import INFO, Info, Phase, State, entry_state, info, request
from codomain.log import event

if TYPE_CHECKING:
    from collections.abc import Iterator

    from codomain.directory.base import Recipient
    from codomain.directory.follow import Copy, Extent
    from codomain.directory.messages import Message
    from codomain.directory.wire import Wire

BEAT_SECONDS = 5.0
"""A sign of life that is not answered for so long: the connection is dead.  By then the
daemon does not believe a miss any more."""

BATCH = 1000
"""Changes that are applied at once when many come: a transaction costs as much as fifty."""

BEHIND_SECONDS = 10.0
"""A server that says that we know more than it does is given so long to catch up with the
other masters; then it is believed that this is all it has."""

BEHIND_PAUSE = 1.0
"""Seconds between two questions whether it has."""

FULL_SECONDS = 86_400.0
"""Once a day everything is loaded anew.

OpenLDAP sends nothing for the entries below one that is renamed or moved out of the base,
and whatever else went wrong unnoticed ends there.
"""

UNWILLING_TO_PERFORM = 53
"""OpenLDAP's answer to a cookie that is ahead of it: "consumer state is newer"."""

ALL = 2_147_483_647
"""The size limit that is asked for: OpenLDAP's soft limit holds for who names none, its
hard one for everybody; who asks for more than that is refused at once (slapd.conf(5), limits)."""

_REFUSALS = frozenset({2, 3, 4, 11, 12, 50})
"""Results that speak of this way of asking: protocolError, timeLimitExceeded,
sizeLimitExceeded, adminLimitExceeded (pages may be allowed), unavailableCriticalExtension
(this database has no syncprov), insufficientAccessRights."""

_COOKIE = b"syncrepl 1 "

log = logging.getLogger("codomain.sync")


class _ReloadError(Exception):
    """Everything has to be loaded."""


class SyncreplSource:
    """Follows by refreshAndPersist (:class:`codomain.directory.follow.Source`)."""

    how = "syncrepl"

    def __init__(self, extent: Extent) -> None:
        self._extent = extent

    def follow(self, wire: Wire, copy: Copy) -> None:
        """Refresh, and then apply each change as it comes; ends where it is told to.

        Raises:
            RefusedError: the server does not let itself be asked so, or not for everything.
            DirectoryError: it failed or contradicted itself.
            ShrinkError: too much would be lost.

        """
        session = _Session(wire, copy, self._extent)
        behind_since = 0.0
        while True:
            try:
                session.run()
            except _ReloadError as reason:
                event(log, logging.INFO, "loading everything", server=wire.server.uri, why=reason)
                session = session.anew()
            except ResultError as error:
                if error.code != UNWILLING_TO_PERFORM or not session.cookie:
                    raise
                behind_since = behind_since or time.monotonic()
                if time.monotonic() - behind_since >= BEHIND_SECONDS:
                    event(log, logging.WARNING, "the server knows less than we do", error=error)
                    session = session.anew()
                elif not copy.pause(BEHIND_PAUSE):
                    return
            except ProtocolError as error:
                raise BrokenError(f"{wire.server.uri}: {error}", timed_out=False) from error
            else:
                return


class _Session:
    """One search that synchronizes, from its refresh on."""

    def __init__(self, wire: Wire, copy: Copy, extent: Extent, *, full: bool = False) -> None:
        self._wire = wire
        self._copy = copy
        self._extent = extent
        self._search = Search(
            extent.base, extent.scope, extent.filter, extent.schema.attributes, size_limit=ALL
        )
        self._mark = _COOKIE + extent.mark().encode() + b" "
        stored = copy.cookie
        known = stored.startswith(self._mark) and not full
        self.cookie = stored.removeprefix(self._mark) if known else b""
        self._id = 0
        self._changes: dict[bytes, Recipient | None] = {}

    def anew(self) -> _Session:
        """Return one that loads everything."""
        if self._id:
            self._wire.abandon(self._id)
        return _Session(self._wire, self._copy, self._extent, full=True)

    def run(self) -> None:
        """Refresh, and go on until told to end."""
        self._changes = {}
        self._id = self._wire.send(self._search, (request(self.cookie),))
        if self.cookie:
            self._refresh()
        else:
            self._load()
        if self._copy.confirm():
            self._persist()

    def _load(self) -> None:
        """Take in everything, and let it take the place of the copy."""
        with self._copy.load() as load:
            for message in self._due():
                if isinstance(message, Info):
                    if message.done and message.phase in {Phase.DELETE, Phase.PRESENT}:
                        break
                    if message.phase is Phase.UNCHANGED:
                        raise ProtocolError("entries left as they were, of which we have none")
                    self._changes.update(dict.fromkeys(message.uuids))
                    continue
                state, uuid = self._state_of(message)
                if state is State.PRESENT:
                    raise ProtocolError("an entry left as it was, of which we have none")
                if state is State.DELETE:
                    self._changes[uuid] = None
                    continue
                self._changes.pop(uuid, None)
                recipient = self._extent.recipient(message.dn, message.raw)
                if recipient is not None:
                    load.put(uuid, recipient)
            load.commit(self._stored())
        self._apply()  # what went while the rest was being sent

    def _refresh(self) -> None:
        """Gather what changed since the cookie, and apply it at once."""
        named: set[bytes] = set()
        for message in self._due():
            if isinstance(message, Info):
                if message.phase is Phase.PRESENT:
                    named.update(self._changes)
                    gone = (uuid for uuid in self._copy.ids() if uuid not in named)
                    self._changes.update(dict.fromkeys(gone))
                elif message.phase is Phase.UNCHANGED:
                    named.update(message.uuids)
                elif message.phase is Phase.GONE:
                    self._changes.update(dict.fromkeys(message.uuids))
                if message.done:
                    break
            else:
                state, uuid = self._state_of(message)
                if state is State.PRESENT:
                    named.add(uuid)
                else:
                    self._take(state, uuid, message)
            if len(self._changes) > MANY_CHANGES:
                raise _ReloadError(f"more than {MANY_CHANGES} entries changed")
        self._apply()

    def _persist(self) -> None:
        """Apply each change as it comes, and show that the connection is alive."""
        ends = time.monotonic() + FULL_SECONDS
        beat, asked, asked_at = 0, time.monotonic(), time.time()
        while not self._copy.stopping:
            answered = False
            wait = max(0.0, asked + (BEAT_SECONDS if beat else CONFIRM_SECONDS) - time.monotonic())
            message = self._wire.receive(wait)
            while message is not None:
                if beat and message.id == beat:
                    answered = self._answered(message)
                else:
                    self._hear(message)
                if answered or len(self._changes) >= BATCH:
                    break
                message = self._wire.receive(0.0)
            self._apply()
            now = time.monotonic()
            if answered:
                beat = 0
                if not self._copy.confirm(asked_at):
                    return
            elif beat and now >= asked + BEAT_SECONDS:
                raise BrokenError(f"{self._wire.server.uri}: no sign of life", timed_out=True)
            if not beat and now >= asked + CONFIRM_SECONDS:
                beat, asked, asked_at = self._wire.send(_BEAT), now, time.time()
            if now >= ends:
                raise _ReloadError("a day has passed")

    def _answered(self, message: Message) -> bool:
        """Tell whether the sign of life is there."""
        if not isinstance(message, Done):
            return False
        self._wire.expect(message)
        return True

    def _hear(self, message: Message) -> None:
        """Take in a message of the persist stage."""
        if message.id != self._id:
            return
        heard = self._read(message)
        if isinstance(heard, Info):
            if heard.phase in {Phase.PRESENT, Phase.UNCHANGED}:
                raise ProtocolError(f"{heard.phase.value} when the refresh was over")
            self._changes.update(dict.fromkeys(heard.uuids))
        else:
            state, uuid = self._state_of(heard)
            self._take(state, uuid, heard)

    def _due(self) -> Iterator[Entry | Info]:
        """Yield what the server says, each within SILENCE_SECONDS of the last."""
        while True:
            message = self._wire.due()
            if message.id == self._id:
                yield self._read(message)

    def _read(self, message: Message) -> Entry | Info:
        """Understand a message, and keep its cookie; a search that ended raises."""
        if isinstance(message, Entry):
            return message
        if isinstance(message, Intermediate) and message.oid == INFO:
            said = info(message.value)
            self._keep(said.cookie)
            return said
        if isinstance(message, Reference):
            raise self._wire.elsewhere(message)
        if isinstance(message, Done):
            raise self._ended(message)
        raise ProtocolError("an answer that is none to a synchronization")

    def _ended(self, done: Done) -> Exception:
        """Return what it means that a search has ended which should not."""
        text = f"{self._wire.server.uri}: the synchronization ended: {done.describe()}"
        if done.code == SYNC_REFRESH_REQUIRED and self.cookie:
            return _ReloadError("the server does not know our cookie")
        if done.code in _REFUSALS:
            return RefusedError(text)
        return ResultError(text, done.code)

    def _state_of(self, entry: Entry) -> tuple[State, bytes]:
        state, uuid, cookie = entry_state(entry.controls)
        self._keep(cookie)
        return state, uuid

    def _take(self, state: State, uuid: bytes, entry: Entry) -> None:
        """Note a change; an entry that has no address any more is gone."""
        if state is State.PRESENT:
            raise ProtocolError("an entry left as it was, when the refresh was over")
        gone = state is State.DELETE
        self._changes[uuid] = None if gone else self._extent.recipient(entry.dn, entry.raw)

    def _keep(self, cookie: bytes | None) -> None:
        if cookie is not None:
            self.cookie = cookie

    def _apply(self) -> None:
        """Make the changes, and store the cookie that stands for them."""
        self._copy.change(self._changes, self._stored())
        self._changes = {}

    def _stored(self) -> bytes:
        return self._mark + self.cookie


_BEAT = Search("", "base", "(objectClass=*)", ("1.1",))
