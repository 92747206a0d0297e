"""The socketmap protocol, sans I/O: bytes in, requests out, and answers back.

A request is a netstring that holds ``NAME SP key``; the answer is a netstring that holds
``OK value``, ``NOTFOUND `` or ``TEMP why`` (socketmap_table(5), Sendmail's socket map).
A client may send its next request before it has read an answer.  ``PERM`` is never given:
Postfix would report a configuration error, and Sendmail would take it for *not found*.
"""

from __future__ import annotations

from dataclasses import dataclass

from codomain_policyd.errors import ProtocolError

REQUEST_OCTETS = 8192
"""The longest request: four times the longest line that smtpd reads
(line_length_limit, postconf(5): 2048), of which an address can only be a part."""

ANSWER_OCTETS = 100_000
"""The longest answer that Postfix reads (socketmap_table(5))."""

NAME_OCTETS = 64
"""The longest name of a map that goes to a log: as long as a host name's label, and one more."""

NOTFOUND = b"NOTFOUND "
"""The key is not there; Postfix wants the space that ends it."""

_DIGITS = len(str(REQUEST_OCTETS))


@dataclass(frozen=True, slots=True)
class MapRequest:
    """One look-up."""

    frame: bytes
    """The whole netstring."""

    name: bytes
    """The map's name."""

    key: bytes
    """The key, whole."""


class MapDecoder:
    """Cuts the bytes of one connection into requests, however they were split."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    @property
    def empty(self) -> bool:
        """Whether no byte of a request waits for the rest of it."""
        return not self._buffer

    def feed(self, data: bytes) -> None:
        """Take more bytes of the connection."""
        self._buffer += data

    def next(self) -> MapRequest | None:
        """Return the next request, or None until it is whole.

        Raises:
            ProtocolError: It is no netstring, or a longer one than may be; said as soon as
                the length is read, before any of the rest is waited for.
        """
        buffer = self._buffer
        colon = buffer.find(b":", 0, _DIGITS + 1)
        digits = bytes(buffer[: _DIGITS + 1] if colon < 0 else buffer[:colon])
        length = _length(digits, whole=colon >= 0)
        end = colon + 1 + length
        if colon < 0 or len(buffer) <= end:
            return None
        if buffer[end] != ord(","):
            raise ProtocolError("netstring", "a netstring without its comma")
        frame = bytes(buffer[: end + 1])
        del buffer[: end + 1]
        name, space, key = frame[colon + 1 : -1].partition(b" ")
        if not space:
            raise ProtocolError("request", "a request without a space")
        return MapRequest(frame, name, key)


def encode(answer: bytes) -> bytes:
    """Put an answer into a netstring; one that is too long becomes TEMP, never half of it."""
    if len(answer) > ANSWER_OCTETS:
        answer = b"TEMP the answer is too long"
    return b"%d:%s," % (len(answer), answer)


def _length(digits: bytes, *, whole: bool) -> int:
    """Read a netstring's length, ASCII digits without a leading zero, as far as it is there."""
    if digits.strip(b"0123456789") or (digits.startswith(b"0") and digits != b"0"):
        raise ProtocolError("netstring", "a netstring whose length is no number")
    if len(digits) > _DIGITS or (digits and int(digits) > REQUEST_OCTETS):
        raise ProtocolError("size", f"a request of more than {REQUEST_OCTETS} octets")
    if whole and not digits:
        raise ProtocolError("netstring", "a netstring without a length")
    return int(digits) if whole else 0
