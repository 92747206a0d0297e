"""The messages of LDAP that a search needs (RFC 4511): requests out, answers in.

Sans-IO: the caller owns the socket (:mod:`codomain.directory.wire`).  :func:`size` finds
the end of the next message in what was received, :func:`decode` reads it.  Out go search,
abandon and unbind; binding and StartTLS are ldap3's, which has the connection first.

Entries are what a load is made of, a million of them, so they are read with as few calls
as can be; everything else goes through :class:`~codomain.directory.ber.Reader`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from codomain.directory import ber
from codomain.directory.attributelist import attribute_list, name_of
from codomain.directory.ber import ProtocolError, Reader
from codomain.directory.filters import encode_filter

MAX_MESSAGE = 10_485_760
"""Octets of one message: Active Directory's MaxReceiveBuffer, which bounds the other way."""

MAX_ID = 2_147_483_647
"""The largest messageID (maxInt, RFC 4511 section 4.1.1)."""

SUCCESS = 0
SIZE_LIMIT_EXCEEDED = 4
SYNC_REFRESH_REQUIRED = 4096
"""e-syncRefreshRequired (RFC 4533 section 2.6)."""

SEARCHES_KEPT = 64
"""Searches of which all but the filter is kept in BER: each directory has a few."""

SCOPES = {"base": 0, "onelevel": 1, "subtree": 2}
"""The INI's ``scope`` as a number (RFC 4511 section 4.5.1.2)."""

_UNBIND, _SEARCH, _ABANDON = 0x42, 0x63, 0x50
_ENTRY, _DONE, _REFERENCE, _EXTENDED, _INTERMEDIATE = 0x64, 0x65, 0x73, 0x78, 0x79
_CONTROLS, _REFERRAL = 0xA0, 0xA3
_NEVER_DEREFERENCE = 0

_PLAIN_SUCCESS = b"\x0a\x01\x00\x04\x00\x04\x00"
"""The body of nearly every result: success, no matchedDN, no text."""

_RESULTS = {
    0: "success",
    1: "operationsError",
    2: "protocolError",
    3: "timeLimitExceeded",
    4: "sizeLimitExceeded",
    8: "strongerAuthRequired",
    10: "referral",
    11: "adminLimitExceeded",
    12: "unavailableCriticalExtension",
    13: "confidentialityRequired",
    16: "noSuchAttribute",
    32: "noSuchObject",
    49: "invalidCredentials",
    50: "insufficientAccessRights",
    51: "busy",
    52: "unavailable",
    53: "unwillingToPerform",
    80: "other",
    4096: "e-syncRefreshRequired",
}


class Control(NamedTuple):
    """A control of a request or an answer (RFC 4511 section 4.1.11)."""

    oid: str
    """Its number."""

    value: bytes | None = None
    """Its value, in BER of its own; None: it has none."""

    critical: bool = False
    """A server that does not know it must refuse the request."""


class Entry(NamedTuple):
    """One entry that a search found (section 4.5.2)."""

    id: int
    """The messageID of the request that it answers."""

    dn: str
    """Its name."""

    raw: dict[str, list[bytes]]
    """Its attributes, named as the server writes them."""

    controls: tuple[Control, ...]
    """What was sent with it."""


class Reference(NamedTuple):
    """Other servers that hold a part of what was to be searched (section 4.5.3)."""

    id: int
    """The messageID of the request that it answers."""

    uris: tuple[str, ...]
    """LDAP URLs, of which one is to be asked."""

    controls: tuple[Control, ...]
    """What was sent with it."""


class Done(NamedTuple):
    """How a search, or another operation, ended (sections 4.1.9, 4.5.2)."""

    id: int
    """The messageID of the request; 0: the server is about to close (section 4.4.1)."""

    code: int
    """The resultCode; 0: success."""

    text: str
    """What the server says about it."""

    referral: tuple[str, ...]
    """LDAP URLs of servers to ask instead."""

    controls: tuple[Control, ...]
    """What was sent with it."""

    def describe(self) -> str:
        """Return the result for a log line, with its number."""
        said = self.text or ", ".join(self.referral)
        return f"{_RESULTS.get(self.code, 'result')} ({self.code}) {said}".rstrip()


class Intermediate(NamedTuple):
    """An answer before the last one (section 4.13)."""

    id: int
    """The messageID of the request that it answers."""

    oid: str
    """What it is."""

    value: bytes
    """Its value, in BER of its own."""

    controls: tuple[Control, ...]
    """What was sent with it."""


Message = Entry | Reference | Done | Intermediate


@dataclass(frozen=True, slots=True)
class Search:
    """What is asked for (section 4.5.1); aliases are never followed."""

    base: str
    """The DN below which is searched."""

    scope: str
    """``base``, ``onelevel`` or ``subtree``."""

    filter: str | bytes
    """A filter as text (RFC 4515), or encoded already."""

    attributes: tuple[str, ...] = ()
    """The attributes to give; none: all that are no operational ones; ``1.1``: none."""

    size_limit: int = 0
    """The most entries of the answer; 0: as many as the server allows."""

    time_limit: int = 0
    """The most seconds that the server takes; 0: as long as it allows."""

    def encode(self, identity: int, controls: tuple[Control, ...] = ()) -> bytes:
        """Write the request with its messageID.

        Raises:
            ValueError: the filter is none.

        """
        before, after = _around_filter(
            self.base, self.scope, self.size_limit, self.time_limit, self.attributes
        )
        sought = self.filter if isinstance(self.filter, bytes) else encode_filter(self.filter)
        return _message(identity, ber.element(_SEARCH, before + sought + after), controls)


@lru_cache(SEARCHES_KEPT)
def _around_filter(
    base: str, scope: str, size_limit: int, time_limit: int, attributes: tuple[str, ...]
) -> tuple[bytes, bytes]:
    """Write what stands before the filter of a search, and what stands behind it."""
    before = (
        ber.octets(base),
        ber.integer(SCOPES[scope], ber.ENUMERATED),
        ber.integer(_NEVER_DEREFERENCE, ber.ENUMERATED),
        ber.integer(size_limit),
        ber.integer(time_limit),
        ber.boolean(value=False),  # typesOnly
    )
    return b"".join(before), ber.sequence(*map(ber.octets, attributes))


def abandon(identity: int, other: int) -> bytes:
    """Write that the answers to another request are wanted no more (section 4.11)."""
    return _message(identity, ber.integer(other, _ABANDON))


def unbind(identity: int) -> bytes:
    """Write that the connection ends (section 4.3)."""
    return _message(identity, ber.element(_UNBIND, b""))


def size(data: bytes | bytearray, at: int = 0) -> int:
    """Return the octets of the message that begins at ``at``; 0: its length is not there yet.

    Raises:
        ProtocolError: no message begins there, or it is longer than MAX_MESSAGE.

    """
    left = len(data) - at
    if left < 2:  # noqa: PLR2004 - a tag and a length
        return 0
    if data[at] != ber.SEQUENCE:
        raise ProtocolError(f"tag {data[at]:#04x} where a message was due")
    length = data[at + 1]
    whole = 2 + length
    if length & 0x80:
        count = length & 0x7F
        if not 0 < count <= ber.LENGTH_OCTETS:
            raise ProtocolError(f"a length of {count or 'no'} octets")
        if left < 2 + count:
            return 0
        whole = 2 + count + int.from_bytes(data[at + 2 : at + 2 + count], "big")
    if whole > MAX_MESSAGE:
        raise ProtocolError(f"a message of {whole} octets")
    return whole


def after_id(data: bytes, identity: int) -> bytes:
    """Return what follows the messageID of a whole message; empty: it has another one."""
    at = 2 if data[1] < ber.LONG else 2 + (data[1] & 0x7F)
    written = ber.integer(identity)
    stop = at + len(written)
    return data[stop:] if data[at:stop] == written else b""


def decode(data: bytes) -> Message:
    """Read one message, from its first octet to its last (see :func:`size`).

    Raises:
        ProtocolError: it is none, or none that a server sends to whom searches.

    """
    tag, at, end = ber.header(data, 0, len(data))
    if tag != ber.SEQUENCE or end != len(data):
        raise ProtocolError("not one message")
    tag, start, at = ber.header(data, at, end)
    identity = int.from_bytes(data[start:at], "big", signed=True)
    if tag != ber.INTEGER or not 0 < at - start <= ber.INTEGER_OCTETS or identity < 0:
        raise ProtocolError("a message without a messageID")
    tag, start, stop = ber.header(data, at, end)
    controls = () if stop == end else _controls(data, stop, end)
    if tag == _ENTRY:
        return _entry(identity, data, start, stop, controls)
    if tag == _DONE and data[start:stop] == _PLAIN_SUCCESS:
        return Done(identity, SUCCESS, "", (), controls)
    body = Reader(data, start, stop)
    if tag in {_DONE, _EXTENDED}:
        return _done(identity, body, controls)
    if tag == _REFERENCE:
        return Reference(identity, _uris(body), controls)
    if tag == _INTERMEDIATE:
        return _intermediate(identity, body, controls)
    raise ProtocolError(f"tag {tag:#04x} where an answer was due")


def _message(identity: int, operation: bytes, controls: tuple[Control, ...] = ()) -> bytes:
    written = ber.sequence(*map(_control, controls), tag=_CONTROLS) if controls else b""
    return ber.sequence(ber.integer(identity), operation, written)


def _control(control: Control) -> bytes:
    return ber.sequence(
        ber.octets(control.oid),
        ber.boolean(value=True) if control.critical else b"",  # FALSE is the default
        b"" if control.value is None else ber.octets(control.value),
    )


def _controls(data: bytes, at: int, end: int) -> tuple[Control, ...]:
    """Read what follows the operation; unknown elements after it are skipped (section 4)."""
    found = []
    while at < end:
        tag, start, at = ber.header(data, at, end)
        while tag == _CONTROLS and start < at:
            kind, inner, start = ber.header(data, start, at)
            if kind != ber.SEQUENCE:
                raise ProtocolError("a control that is none")
            found.append(_one_control(data, inner, start))
    return tuple(found)


def _one_control(data: bytes, at: int, end: int) -> Control:
    tag, start, at = ber.header(data, at, end)
    if tag != ber.OCTETS:
        raise ProtocolError("a control without a number")
    oid = name_of(data[start:at])
    critical, value = False, None
    while at < end:
        tag, start, at = ber.header(data, at, end)
        if tag == ber.BOOLEAN and value is None:
            critical = data[start:at] != b"\0"
        elif tag == ber.OCTETS:
            value = data[start:at]
    return Control(oid, value, critical)


def _done(identity: int, body: Reader, controls: tuple[Control, ...]) -> Done:
    code = body.integer(ber.ENUMERATED)
    body.octets()  # matchedDN
    text = _text(body.octets())
    referral = _uris(body.inner(_REFERRAL)) if body.next_is(_REFERRAL) else ()
    return Done(identity, code, text, referral, controls)


def _intermediate(identity: int, body: Reader, controls: tuple[Control, ...]) -> Intermediate:
    name = body.octets(0x80) if body.next_is(0x80) else b""
    value = body.octets(0x81) if body.next_is(0x81) else b""
    return Intermediate(identity, name.decode("ascii", "replace"), value, controls)


def _uris(body: Reader) -> tuple[str, ...]:
    uris = []
    while body.more():
        uris.append(_text(body.octets()))
    return tuple(uris)


def _text(value: bytes) -> str:
    return value.decode("utf-8", "backslashreplace")


def _entry(identity: int, data: bytes, at: int, end: int, controls: tuple[Control, ...]) -> Entry:
    """Read a SearchResultEntry."""
    tag, at, stop = ber.header(data, at, end)
    if tag != ber.OCTETS:
        raise ProtocolError("an entry without a name")
    dn = _text(data[at:stop])
    tag, at, stop = ber.header(data, stop, end)
    if tag != ber.SEQUENCE or stop != end:
        raise ProtocolError("an entry without attributes")
    try:
        return Entry(identity, dn, attribute_list(data, at, end), controls)
    except IndexError:  # a tag is the last octet
        raise ProtocolError("an attribute is cut off") from None
