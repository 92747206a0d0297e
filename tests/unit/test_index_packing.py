"""The records of an index: what is written down is read again, and damage is noticed."""

from __future__ import annotations

import pytest

from codomain.directory.base import Kind, Recipient
from codomain.directory.packing import (
    MAX_KEY,
    IndexStatus,
    claims_of,
    copied,
    fold,
    intact,
    key_of,
    pack_address,
    pack_beat,
    pack_recipient,
    pack_status,
    unpack_beat,
    unpack_copied,
    unpack_recipient,
    unpack_status,
)

NUMBER = (7).to_bytes(4, "big")

RECIPIENTS = [
    Recipient(
        "cn=ann", Kind.MAILBOX, ("ann@example.com", "a.smith@example.com"), "Ann@Example.com"
    ),
    Recipient("cn=bob", Kind.CONTACT, ("bob@example.com",), target="smtp:bob@unix.example.net"),
    Recipient("cn=all", Kind.GROUP, ("all@example.com",), restricted=True, mail_host="h.example"),
    Recipient("cn=none", Kind.MAILBOX, ()),
    Recipient("cn=nul\0", Kind.CONTACT, ("a\0b@example.com",), target="\0", restricted=True),
    Recipient("cn=müller,ou=\udcff", Kind.MAILBOX, ("jürgen@example.com",)),
    Recipient("", Kind.MAILBOX, tuple(f"a{n}@example.com" for n in range(3000))),
]


@pytest.mark.parametrize("recipient", RECIPIENTS, ids=lambda recipient: recipient.dn[:4])
def test_an_entry_is_read_as_it_was_written(recipient: Recipient) -> None:
    """Every field comes back, whatever stands in it: NUL, a surrogate, nothing."""
    assert unpack_recipient(NUMBER, pack_recipient(NUMBER, recipient)) == recipient


@pytest.mark.parametrize("recipient", RECIPIENTS[:3], ids=lambda recipient: recipient.dn[:4])
def test_every_flipped_bit_of_an_entry_is_noticed(recipient: Recipient) -> None:
    """CRC-32 finds every single wrong bit: none of them is ever taken for an entry."""
    record = pack_recipient(NUMBER, recipient)
    for position in range(len(record) * 8):
        flipped = bytearray(record)
        flipped[position // 8] ^= 1 << position % 8
        with pytest.raises(ValueError, match="check sum"):
            unpack_recipient(NUMBER, bytes(flipped))


def test_an_entry_is_not_taken_for_another_one() -> None:
    """The key is part of the check sum: a whole record at a wrong place is damage."""
    record = pack_recipient(NUMBER, RECIPIENTS[0])
    with pytest.raises(ValueError, match="check sum"):
        unpack_recipient((8).to_bytes(4, "big"), record)


@pytest.mark.parametrize("record", [b"", b"\0", b"\0\0\0\0", b"\0" * 64])
def test_what_is_no_record_is_damage(record: bytes) -> None:
    """An empty record, or a page of zeros, is never an entry."""
    with pytest.raises(ValueError, match="check sum"):
        unpack_recipient(NUMBER, record)


def test_an_address_says_how_many_have_it() -> None:
    """One entry is the usual case; of several the number is kept, to be compared."""
    key = key_of("ann@example.com")
    assert claims_of(pack_address(key, NUMBER, 1)) == 1
    assert claims_of(pack_address(key, NUMBER, 3)) == 3
    assert intact(key, pack_address(key, NUMBER, 3))
    assert not intact(key_of("anm@example.com"), pack_address(key, NUMBER, 1))


def test_a_small_entry_is_copied_to_its_addresses_and_a_large_one_is_not() -> None:
    """Up to 400 octets and eight addresses; one of NUL in its texts never."""
    small = pack_recipient(NUMBER, RECIPIENTS[0])
    copy = copied(small)
    key = key_of("ann@example.com")
    record = pack_address(key, NUMBER, 1, copy)
    assert unpack_copied(key, record, 4) == RECIPIENTS[0]
    assert claims_of(record) == 1
    with pytest.raises(ValueError, match="check sum"):
        unpack_copied(key_of("anm@example.com"), record, 4)
    eight = Recipient("cn=x", Kind.MAILBOX, tuple(f"a{n}@x.example" for n in range(8)))
    nine = Recipient("cn=x", Kind.MAILBOX, tuple(f"a{n}@x.example" for n in range(9)))
    assert copied(pack_recipient(NUMBER, eight))
    for large in (nine, Recipient("x" * 400, Kind.MAILBOX, ()), RECIPIENTS[4]):
        assert copied(pack_recipient(NUMBER, large)) == b""


def test_a_long_key_is_folded_and_a_short_one_stays() -> None:
    """LMDB takes 511 octets; a longer address is found by its SHA-256, after an octet 0xff."""
    assert fold(b"x" * MAX_KEY) == b"x" * MAX_KEY
    long = fold(b"x" * (MAX_KEY + 1))
    assert len(long) == 33
    assert long[0] == 0xFF
    assert long != fold(b"x" * (MAX_KEY + 2))


def test_the_status_is_read_as_it_was_written() -> None:
    """Counts, time, revision and the follower's cookie, which may be any octets."""
    status = IndexStatus(10, 20, True, 1234.5, 7, b"\0cookie\xff", 30)  # noqa: FBT003
    record = pack_status(status)
    assert unpack_status(record) == status
    for damaged in (b"", record[:-1], b"\1" + record[1:]):
        with pytest.raises(ValueError, match="damaged"):
            unpack_status(damaged)


def test_a_beat_counts_for_the_file_and_the_revision_that_it_was_made_of() -> None:
    """A beat of another file, or of a later revision than the file has, says nothing of it."""
    beat = pack_beat(b"12345678", 5, 99.5)
    assert unpack_beat(beat, b"12345678", 5) == 99.5
    assert unpack_beat(beat, b"12345678", 6) == 99.5
    assert unpack_beat(beat, b"12345678", 4) == 0.0
    assert unpack_beat(beat, b"87654321", 5) == 0.0
    assert unpack_beat(beat[:-1], b"12345678", 5) == 0.0
    assert unpack_beat(b"\1" + beat[1:], b"12345678", 5) == 0.0
