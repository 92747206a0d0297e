"""Rules of the values of RFC 4533, written out octet by octet."""

from __future__ import annotations

import pytest

from codomain.directory import syncinfo
from codomain.directory.ber import ProtocolError
from codomain.directory.messages import Control
from codomain.directory.syncinfo import Info, Phase, State

UUID = bytes(range(16))
OTHER = bytes(range(16, 32))


def value(*parts: bytes, tag: int = 0x30) -> bytes:
    """Write an element around others."""
    body = b"".join(parts)
    return bytes([tag, len(body)]) + body


def state(control: bytes) -> tuple[State, bytes, bytes | None]:
    """Read a Sync State."""
    return syncinfo.entry_state((Control(syncinfo.STATE, control),))


@pytest.mark.parametrize(
    ("cookie", "expected"),
    [(b"", b"\x30\x03\x0a\x01\x03"), (b"ab", b"\x30\x07\x0a\x01\x03\x04\x02ab")],
)
def test_request_is_refresh_and_persist(cookie: bytes, expected: bytes) -> None:
    """Section 2.2: mode 3, the cookie if there is one, reloadHint FALSE left out; critical."""
    assert syncinfo.request(cookie) == ("1.3.6.1.4.1.4203.1.9.1.1", expected, True)


@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_state_of_an_entry(number: int) -> None:
    """Section 2.3: present, add, modify, delete; the uuid; the cookie if there is one."""
    plain = value(bytes([10, 1, number]), value(UUID, tag=4))
    assert state(plain) == (State(number), UUID, None)
    with_cookie = value(bytes([10, 1, number]), value(UUID, tag=4), b"\x04\x01c")
    assert state(with_cookie) == (State(number), UUID, b"c")


@pytest.mark.parametrize(
    "control",
    [
        value(b"\x0a\x01\x04", value(UUID, tag=4)),  # no such state
        value(b"\x0a\x01\x01", value(UUID[1:], tag=4)),  # 15 octets
        value(b"\x0a\x01\x01"),
        value(value(UUID, tag=4)),
        b"",
    ],
)
def test_state_that_cannot_be_read_is_an_error(control: bytes) -> None:
    """Nothing is guessed about an entry."""
    with pytest.raises(ProtocolError):
        state(control)


def test_entry_without_a_state_is_an_error() -> None:
    """Section 3.3.1: each entry has one."""
    with pytest.raises(ProtocolError):
        syncinfo.entry_state((Control("1.2.3", b"x"), Control(syncinfo.STATE)))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\x80\x01c", Info(Phase.NEW_COOKIE, b"c", done=False, uuids=())),
        (value(tag=0xA1), Info(Phase.DELETE, None, done=True, uuids=())),
        (value(b"\x04\x01c", tag=0xA1), Info(Phase.DELETE, b"c", done=True, uuids=())),
        (value(b"\x01\x01\x00", tag=0xA2), Info(Phase.PRESENT, None, done=False, uuids=())),
        (
            value(b"\x04\x01c", b"\x01\x01\xff", tag=0xA2),
            Info(Phase.PRESENT, b"c", done=True, uuids=()),
        ),
        (
            value(value(value(UUID, tag=4), value(OTHER, tag=4), tag=0x31), tag=0xA3),
            Info(Phase.UNCHANGED, None, done=False, uuids=(UUID, OTHER)),
        ),
        (
            value(b"\x04\x01c", b"\x01\x01\xff", value(value(UUID, tag=4), tag=0x31), tag=0xA3),
            Info(Phase.GONE, b"c", done=False, uuids=(UUID,)),
        ),
    ],
)
def test_sync_info(data: bytes, expected: Info) -> None:
    """Section 2.5: refreshDone is TRUE and refreshDeletes FALSE where they are left out."""
    assert syncinfo.info(data) == expected


@pytest.mark.parametrize(
    "data", [b"", b"\xa4\x00", b"\xa3\x00", value(value(b"\x04\x01x", tag=0x31), tag=0xA3)]
)
def test_sync_info_that_cannot_be_read_is_an_error(data: bytes) -> None:
    """A uuid has 16 octets, and there are four kinds."""
    with pytest.raises(ProtocolError):
        syncinfo.info(data)
