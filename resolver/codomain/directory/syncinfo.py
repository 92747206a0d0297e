"""The values of RFC 4533 (LDAP Content Synchronization): written, and read.

Sans-IO.  A server tells of each entry in a control (Sync State), of phases and of sets of
entries in intermediate messages (Sync Info); entries are known by their entryUUID, 16
octets.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from codomain.directory import ber
from codomain.directory.ber import ProtocolError, Reader
from codomain.directory.messages import Control

REQUEST = "1.3.6.1.4.1.4203.1.9.1.1"
"""Sync Request (section 2.2); a server names it in its rootDSE."""

STATE = "1.3.6.1.4.1.4203.1.9.1.2"
"""Sync State (section 2.3)."""

INFO = "1.3.6.1.4.1.4203.1.9.1.4"
"""Sync Info (section 2.5)."""

UUID_OCTETS = 16
"""The length of an entryUUID (RFC 4530)."""

_REFRESH_AND_PERSIST = 3
_NEW_COOKIE, _REFRESH_DELETE, _REFRESH_PRESENT, _ID_SET = 0x80, 0xA1, 0xA2, 0xA3


class State(Enum):
    """What is said of an entry (section 2.3)."""

    PRESENT = 0
    """It is unchanged."""

    ADD = 1
    """It is new to us."""

    MODIFY = 2
    """It was changed."""

    DELETE = 3
    """It is gone, or does not match any more."""


class EntryState(NamedTuple):
    """The Sync State of one entry."""

    state: State
    """What is said of it."""

    uuid: bytes
    """Its entryUUID."""

    cookie: bytes | None
    """The cookie from now on; None: as it was."""


class Phase(Enum):
    """What a Sync Info says (section 2.5)."""

    NEW_COOKIE = "newcookie"
    """Nothing but a cookie."""

    DELETE = "refreshDelete"
    """A phase is over in which everything that is gone was named."""

    PRESENT = "refreshPresent"
    """A phase is over in which everything that is left was named."""

    GONE = "syncIdSet with refreshDeletes"
    """Entries that are gone."""

    UNCHANGED = "syncIdSet"
    """Entries that are left as they were."""


class Info(NamedTuple):
    """One Sync Info."""

    phase: Phase
    """What it says."""

    cookie: bytes | None
    """The cookie from now on; None: as it was."""

    done: bool
    """At the end of a phase: the whole refresh is over."""

    uuids: tuple[bytes, ...]
    """The entries that it names."""


# A state without a cookie, as it comes with each entry of a load: known by its octets.
_HEAD, _MIDDLE = b"\x30\x15\x0a\x01", b"\x04\x10"
_PLAIN = len(_HEAD) + 1 + len(_MIDDLE) + UUID_OCTETS
_STATES = {state.value: state for state in State}


def request(cookie: bytes) -> Control:
    """Write the request to be brought up to date and kept so; empty cookie: from nothing."""
    value = ber.sequence(
        ber.integer(_REFRESH_AND_PERSIST, ber.ENUMERATED),
        ber.octets(cookie) if cookie else b"",
    )
    return Control(REQUEST, value, critical=True)


def entry_state(controls: tuple[Control, ...]) -> EntryState:
    """Read what is said of an entry.

    Raises:
        ProtocolError: nothing is, or it cannot be read.

    """
    for control in controls:
        value = control.value
        if control.oid == STATE and value is not None:
            if len(value) == _PLAIN and value[:4] == _HEAD and value[5:7] == _MIDDLE:
                state = _STATES.get(value[4])
                if state is not None:
                    return EntryState(state, value[7:], None)
            body = Reader(value).inner()
            number = body.integer(ber.ENUMERATED)
            try:
                state = State(number)
            except ValueError:
                raise ProtocolError(f"an entry in the state {number}") from None
            uuid = _uuid(body)
            return EntryState(state, uuid, _cookie(body))
    raise ProtocolError("an entry without its Sync State")


def info(value: bytes) -> Info:
    """Read a Sync Info.

    Raises:
        ProtocolError: it cannot be read.

    """
    outer = Reader(value)
    if outer.next_is(_NEW_COOKIE):
        return Info(Phase.NEW_COOKIE, outer.octets(_NEW_COOKIE), done=False, uuids=())
    for tag, phase in ((_REFRESH_DELETE, Phase.DELETE), (_REFRESH_PRESENT, Phase.PRESENT)):
        if outer.next_is(tag):
            body = outer.inner(tag)
            cookie = _cookie(body)
            done = body.boolean() if body.next_is(ber.BOOLEAN) else True  # DEFAULT TRUE
            return Info(phase, cookie, done=done, uuids=())
    body = outer.inner(_ID_SET)
    cookie = _cookie(body)
    gone = body.boolean() if body.next_is(ber.BOOLEAN) else False  # DEFAULT FALSE
    inner = body.inner(ber.SET)
    uuids = []
    while inner.more():
        uuids.append(_uuid(inner))
    return Info(Phase.GONE if gone else Phase.UNCHANGED, cookie, done=False, uuids=tuple(uuids))


def _uuid(body: Reader) -> bytes:
    uuid = body.octets()
    if len(uuid) != UUID_OCTETS:
        raise ProtocolError(f"an entryUUID of {len(uuid)} octets")
    return uuid


def _cookie(body: Reader) -> bytes | None:
    return body.octets() if body.next_is(ber.OCTETS) else None
