"""How an index writes its records down, and how a damaged one is told from a good one.

Four kinds of record, each closed by its check sum (CRC-32 of the key and of what stands
before it, little-endian: the sum over all of it is then a constant, so that one call
checks a record in place):

- an address: the number of its entry, and a copy of the entry if that is small, because a
  look-up of one record takes a third less time than of two; where several entries have
  the address, their number instead,
- an entry, by its number: one octet for kind and restriction, and the texts,
- an id of the source, by which an entry is found again: its number,
- the status of the whole index.

A check sum finds what time and disks do to a file; it is no seal against somebody who may
write to it.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from dataclasses import dataclass
from struct import Struct

from codomain.directory.base import Kind, Recipient

FORMAT = "1"
"""The version of all of this; an index of another one is made anew."""

MAX_KEY = 500
"""The longest key that is kept as it is, in octets; LMDB takes 511 (MDB_MAXKEYSIZE)."""

RESIDUE = 0x2144DF1C
"""The CRC-32 of anything that is followed by its own CRC-32."""

SHORT = 8
"""The length of an address's record that leads to an entry and does not hold it."""

CLAIMED = 12
"""The length of an address's record where several entries have it; all others are longer."""

COPIED_SIZE = 400
"""Octets of an entry that is copied to each of its addresses: nearly all are smaller."""

COPIED_ADDRESSES = 8
"""Addresses of such an entry: one of thousands would be written thousands of times."""

_HASHED = b"\xff"
"""Begins a key that was too long: no UTF-8 text begins so (RFC 3629)."""

_SUM = 4
_KINDS = (Kind.MAILBOX, Kind.CONTACT, Kind.GROUP)
_RESTRICTED = 4
_AS_JSON = 8
_FORMS = {
    code | restricted: (kind, bool(restricted))
    for code, kind in enumerate(_KINDS)
    for restricted in (0, _RESTRICTED)
}
_TEXTS = 4
"""The texts before the addresses: dn, primary, target, mail_host."""

_STATUS = Struct("<QQQQ?d")
_BEAT = Struct("<8sQd")

_checksum = zlib.crc32
_new = object.__new__
# A frozen dataclass is filled through these at half the price of its own __init__, which
# a look-up of five microseconds in all would feel.
_set_dn = Recipient.__dict__["dn"].__set__
_set_kind = Recipient.__dict__["kind"].__set__
_set_addresses = Recipient.__dict__["addresses"].__set__
_set_primary = Recipient.__dict__["primary"].__set__
_set_target = Recipient.__dict__["target"].__set__
_set_mail_host = Recipient.__dict__["mail_host"].__set__
_set_restricted = Recipient.__dict__["restricted"].__set__


@dataclass(frozen=True, slots=True)
class IndexStatus:
    """What an index says of itself."""

    entries: int = 0
    """How many entries it holds."""

    addresses: int = 0
    """How many different addresses lead to them."""

    complete: bool = False
    """A whole load has been taken in; before that it answers nothing."""

    synced: float = 0.0
    """When it was last known to be in step with its source, in seconds of Unix time."""

    revision: int = 0
    """Grows with every change of an answer, and with nothing else."""

    cookie: bytes = b""
    """What the follower wrote beside it, to go on from there."""

    next: int = 0
    """The number that the next new entry gets."""


def sealed(key: bytes, body: bytes) -> bytes:
    """Close a record by its check sum."""
    return body + _checksum(body, _checksum(key)).to_bytes(_SUM, "little")


def intact(key: bytes, record: bytes) -> bool:
    """Tell whether a record is as it was written."""
    return _checksum(record, _checksum(key)) == RESIDUE


def key_of(text: str) -> bytes:
    """Return the key under which an address, or an id that is text, is kept."""
    return fold(text.encode("utf-8", "surrogatepass"))


def fold(key: bytes) -> bytes:
    """Return a key as it is, or what stands for one that is too long, or empty."""
    if 0 < len(key) <= MAX_KEY:
        return key
    return _HASHED + hashlib.sha256(key).digest()


def pack_recipient(number: bytes, recipient: Recipient) -> bytes:
    """Write an entry down."""
    texts = (
        recipient.dn,
        recipient.primary,
        recipient.target,
        recipient.mail_host,
        *recipient.addresses,
    )
    form = _KINDS.index(recipient.kind) | (_RESTRICTED if recipient.restricted else 0)
    joined = "\0".join(texts)
    if joined.count("\0") != len(texts) - 1:  # a text of the directory holds NUL itself
        form |= _AS_JSON
        joined = json.dumps(texts)
    return sealed(number, bytes((form,)) + joined.encode("utf-8", "surrogatepass"))


def unpack_recipient(number: bytes, record: bytes) -> Recipient:
    """Read an entry.

    Raises:
        ValueError: the record is damaged.

    """
    return unpack_copied(number, record, 0)


def unpack_copied(key: bytes, record: bytes, at: int) -> Recipient:
    """Read an entry that begins at an octet of the record of a key: 0, or 4 in an address's.

    Raises:
        ValueError: the record is damaged.

    """
    if _checksum(record, _checksum(key)) != RESIDUE:
        raise ValueError("the check sum of an entry is wrong")
    form = record[at]
    text = record[at + 1 : -4].decode("utf-8", "surrogatepass")
    if form & _AS_JSON:
        texts = json.loads(text)
        form ^= _AS_JSON
    else:
        texts = text.split("\0")
    kind, restricted = _FORMS[form]
    recipient = _new(Recipient)
    _set_dn(recipient, texts[0])
    _set_kind(recipient, kind)
    _set_addresses(recipient, tuple(texts[_TEXTS:]))
    _set_primary(recipient, texts[1])
    _set_target(recipient, texts[2])
    _set_mail_host(recipient, texts[3])
    _set_restricted(recipient, restricted)
    return recipient


def copied(entry: bytes) -> bytes:
    """Return what the record of an entry gives to its addresses; empty: it is too large."""
    few = entry.count(0, 1, -_SUM) < _TEXTS + COPIED_ADDRESSES
    small = len(entry) <= COPIED_SIZE and not entry[0] & _AS_JSON
    return entry[:-_SUM] if small and few else b""


def pack_address(key: bytes, number: bytes, claims: int, copy: bytes = b"") -> bytes:
    """Write down to which entry an address leads, and how many entries have it."""
    return sealed(key, number + copy if claims == 1 else number + claims.to_bytes(4, "big"))


def claims_of(record: bytes) -> int:
    """Return how many entries have an address."""
    return int.from_bytes(record[4:8], "big") if len(record) == CLAIMED else 1


def pack_status(status: IndexStatus) -> bytes:
    """Write the status down."""
    body = _STATUS.pack(
        status.entries,
        status.addresses,
        status.next,
        status.revision,
        status.complete,
        status.synced,
    )
    return sealed(b"status", body + status.cookie)


def unpack_status(record: bytes) -> IndexStatus:
    """Read the status.

    Raises:
        ValueError: the record is damaged.

    """
    if len(record) < _STATUS.size + _SUM or not intact(b"status", record):
        raise ValueError("its status is damaged")
    entries, addresses, following, revision, complete, synced = _STATUS.unpack_from(record)
    cookie = record[_STATUS.size : -_SUM]
    return IndexStatus(entries, addresses, complete, synced, revision, cookie, following)


def pack_beat(incarnation: bytes, revision: int, synced: float) -> bytes:
    """Write down that one revision of one file was in step at a time."""
    return sealed(b"beat", _BEAT.pack(incarnation, revision, synced))


def unpack_beat(record: bytes, incarnation: bytes, revision: int) -> float:
    """Return when the file was in step; 0.0: this says nothing of it.

    A beat of a later revision was made of a file that is no longer there: somebody put
    an older copy in its place.
    """
    if len(record) != _BEAT.size + _SUM or not intact(b"beat", record):
        return 0.0
    whose, at, synced = _BEAT.unpack_from(record)
    return float(synced) if whose == incarnation and at <= revision else 0.0
