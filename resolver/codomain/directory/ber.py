"""The parts of BER that LDAP uses (RFC 4511 section 5.1): elements of tag, length, value.

Sans-IO: bytes in, bytes and positions out.  Lengths are definite and of four octets at
most; one that reaches beyond what holds it is an error, so nothing that a server writes
makes us take memory for more than it sent.  Tags are of one octet: LDAP has no others.
"""

from __future__ import annotations

from codomain.errors import CodomainError

BOOLEAN = 0x01
INTEGER = 0x02
OCTETS = 0x04
ENUMERATED = 0x0A
SEQUENCE = 0x30
SET = 0x31

LONG = 0x80
"""A length from here on is written as the number of its octets, and these (X.690 8.1.3.5)."""

LENGTH_OCTETS = 4
"""The most octets of a length: 4 GB, more than any message may have; Active Directory
writes every length with four."""

INTEGER_OCTETS = 4
"""The most octets of an INTEGER: LDAP's reach to 2147483647 (maxInt, RFC 4511 section 4.1.1)."""


class ProtocolError(CodomainError):
    """What the other side sent is no LDAP; the connection is of no more use.

    Nothing reaches the MTA but the outage that follows.
    """


def element(tag: int, value: bytes) -> bytes:
    """Write an element."""
    size = len(value)
    if size < LONG:
        return bytes((tag, size)) + value
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + value


def integer(value: int, tag: int = INTEGER) -> bytes:
    """Write a whole number that is not negative, in the fewest octets."""
    return element(tag, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def octets(value: str | bytes, tag: int = OCTETS) -> bytes:
    """Write an OCTET STRING; text goes as UTF-8."""
    return element(tag, value.encode() if isinstance(value, str) else value)


def boolean(*, value: bool, tag: int = BOOLEAN) -> bytes:
    """Write TRUE or FALSE; TRUE is FF (RFC 4511 section 5.1)."""
    return element(tag, b"\xff" if value else b"\0")


def sequence(*parts: bytes, tag: int = SEQUENCE) -> bytes:
    """Write elements one after the other within another one."""
    return element(tag, b"".join(parts))


def header(data: bytes, at: int, end: int) -> tuple[int, int, int]:
    """Read a tag and a length: the tag, where the value begins, and where it ends.

    Raises:
        ProtocolError: there is no whole element between ``at`` and ``end``.

    """
    if at + 2 > end:
        raise ProtocolError("an element is cut off")
    size = data[at + 1]
    start = at + 2
    if size & 0x80:
        count = size & 0x7F
        if not 0 < count <= LENGTH_OCTETS:
            raise ProtocolError(f"a length of {count or 'no'} octets")
        start += count
        if start > end:
            raise ProtocolError("a length is cut off")
        size = int.from_bytes(data[at + 2 : start], "big")
    stop = start + size
    if stop > end:
        raise ProtocolError(f"an element of {size} octets where {end - start} are left")
    return data[at], start, stop


class Reader:
    """Reads the elements of one value, one after the other."""

    __slots__ = ("at", "data", "end")

    def __init__(self, data: bytes, at: int = 0, end: int | None = None) -> None:
        self.data = data
        self.at = at
        self.end = len(data) if end is None else end

    def more(self) -> bool:
        """Tell whether there is another element."""
        return self.at < self.end

    def next_is(self, tag: int) -> bool:
        """Tell whether another element comes, with this tag."""
        return self.at < self.end and self.data[self.at] == tag

    def any(self) -> tuple[int, bytes]:
        """Read the next element: its tag and its value.

        Raises:
            ProtocolError: there is none.

        """
        tag, start, stop = header(self.data, self.at, self.end)
        self.at = stop
        return tag, self.data[start:stop]

    def octets(self, tag: int = OCTETS) -> bytes:
        """Read an element that must have this tag: its value.

        Raises:
            ProtocolError: it has another one, or there is none.

        """
        found, value = self.any()
        if found != tag:
            raise ProtocolError(f"tag {found:#04x} where {tag:#04x} was due")
        return value

    def inner(self, tag: int = SEQUENCE) -> Reader:
        """Read an element that must have this tag: what is in it.

        Raises:
            ProtocolError: it has another one, or there is none.

        """
        found, start, stop = header(self.data, self.at, self.end)
        if found != tag:
            raise ProtocolError(f"tag {found:#04x} where {tag:#04x} was due")
        self.at = stop
        return Reader(self.data, start, stop)

    def integer(self, tag: int = INTEGER) -> int:
        """Read a whole number.

        Raises:
            ProtocolError: it is none, or larger than LDAP's.

        """
        value = self.octets(tag)
        if not 0 < len(value) <= INTEGER_OCTETS:
            raise ProtocolError(f"a number of {len(value)} octets")
        return int.from_bytes(value, "big", signed=True)

    def boolean(self, tag: int = BOOLEAN) -> bool:
        """Read TRUE or FALSE.

        Raises:
            ProtocolError: it is neither.

        """
        value = self.octets(tag)
        if len(value) != 1:
            raise ProtocolError(f"a truth of {len(value)} octets")
        return value != b"\0"
