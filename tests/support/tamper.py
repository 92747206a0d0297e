"""Ways to change what an LDAP server answers, message by message (RFC 4511, in BER)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.fakeldap import BIND_RESPONSE, DONE, ENTRY, result, tlv

if TYPE_CHECKING:
    from collections.abc import Callable

    Tamper = Callable[[bytes, int], bytes]
    """From one message of the server, and its operation's tag, to what the client gets."""


def swallow_searches(message: bytes, operation: int) -> bytes:
    """Let a bind be answered, and nothing else."""
    return message if operation == BIND_RESPONSE else b""


def halve_searches(message: bytes, operation: int) -> bytes:
    """Give the first half of each message that answers a search."""
    return message if operation == BIND_RESPONSE else message[: len(message) // 2]


def garble_searches(message: bytes, operation: int) -> bytes:
    """Give octets that are no LDAP, as many as the message had."""
    if operation == BIND_RESPONSE:
        return message
    return bytes((71 * place + 13) % 256 for place in range(len(message)))


def end_searches_with(code: int, referral: str = "", *, entries: bool = False) -> Tamper:
    """Make every search end with a result code; without an entry, unless they may pass."""

    def tamper(message: bytes, operation: int) -> bytes:
        if operation == ENTRY:
            return message if entries else b""
        if operation != DONE:
            return message
        header = _header(message)
        identity = message[header : header + 2 + message[header + 1]]
        return tlv(0x30, identity + tlv(DONE, result(code, referral)))

    return tamper


def outcome(message: bytes) -> tuple[int, int] | None:
    """Return the operation and the result code of a message that ends one; else None."""
    operation = operation_of(message)
    if operation not in {DONE, BIND_RESPONSE}:
        return None
    at = message.find(b"\x0a\x01", _header(message))
    return None if at < 0 or at + 2 >= len(message) else (operation, message[at + 2])


def operation_of(message: bytes) -> int:
    """Return the tag of a message's operation: after its header, and the message's number."""
    header = _header(message)
    place = header + 2 + message[header + 1] if len(message) > header + 1 else len(message)
    return message[place] if place < len(message) else 0


def _header(message: bytes | bytearray) -> int:
    """Return the length of tag and length of an element."""
    return 2 if message[1] < 0x80 else 2 + (message[1] & 0x7F)


def size_of(data: bytearray) -> int:
    """Return the length of the first message with its header; 0: it is not known yet."""
    if len(data) < 2 or len(data) < _header(data):
        return 0
    header = _header(data)
    return header + (data[1] if header == 2 else int.from_bytes(data[2:header], "big"))
