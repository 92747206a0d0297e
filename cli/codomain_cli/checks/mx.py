"""The MX of a domain, asked of the system's name server over UDP (RFC 1035), for ``--probe``.

In flows a domain, out flow host names in the order of their preference.  One question, no
recursion of our own: the name server of resolv.conf(5) does that.
"""

from __future__ import annotations

import contextlib
import secrets
import socket
import struct
from pathlib import Path

TYPE_MX, CLASS_IN = 15, 1
"""RFC 1035 sections 3.2.2 and 3.2.4."""

UDP_OCTETS = 1232
"""The largest answer that is taken (DNS flag day 2020); MX records need a tenth."""

MOST_JUMPS = 20
"""Compression pointers of one name; RFC 1035 section 4.1.4 allows no loop, a liar does."""

POINTER = 0xC0
"""A length from here on is the first octet of a pointer (RFC 1035 section 4.1.4)."""

SECONDS = 5.0
"""resolv.conf(5): timeout."""

RESOLV = Path("/etc/resolv.conf")


class DnsError(Exception):
    """There is no answer, or none that makes sense."""


def servers(resolv: Path = RESOLV) -> list[tuple[str, int]]:
    """Return the name servers of the host, with their port."""
    with contextlib.suppress(OSError):
        words = [line.split() for line in resolv.read_text().splitlines()]
        found = [(w[1], 53) for w in words if len(w) > 1 and w[0] == "nameserver"]
        return found or [("127.0.0.1", 53)]
    return [("127.0.0.1", 53)]


def lookup(domain: str, asked: list[tuple[str, int]] | None = None) -> list[str]:
    """Return the MX hosts of a domain, the most preferred first; none: it has none.

    Raises:
        DnsError: no name server answers.

    """
    failure: Exception = DnsError("there is no name server")
    for server in servers() if asked is None else asked:
        try:
            return _ask(domain, server)
        except (OSError, DnsError, struct.error, IndexError) as error:
            failure = error
    raise DnsError(f"{failure or type(failure).__name__}")


def _ask(domain: str, server: tuple[str, int]) -> list[str]:
    number = secrets.randbelow(1 << 16)
    question = b"".join(bytes([len(label)]) + label for label in domain.encode("ascii").split(b"."))
    query = struct.pack("!6H", number, 0x0100, 1, 0, 0, 0)
    query += question + b"\0" + struct.pack("!2H", TYPE_MX, CLASS_IN)
    family = socket.AF_INET6 if ":" in server[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as wire:
        wire.settimeout(SECONDS)
        wire.connect(server)
        wire.send(query)
        return _read(wire.recv(UDP_OCTETS), number)


def _read(answer: bytes, number: int) -> list[str]:
    found, flags, questions, records = struct.unpack_from("!4H", answer)
    code = flags & 0xF
    if found != number or code not in {0, 3}:
        raise DnsError(f"the name server answers with code {code}")
    at = 12
    for _ in range(questions):
        at = _name(answer, at)[1] + 4
    hosts = []
    for _ in range(records):
        _, at = _name(answer, at)
        kind, _, _, length = struct.unpack_from("!2HIH", answer, at)
        at += 10
        if kind == TYPE_MX:
            (preference,) = struct.unpack_from("!H", answer, at)
            hosts.append((preference, _name(answer, at + 2)[0]))
        at += length
    return [host for _, host in sorted(hosts)]


def _name(answer: bytes, at: int) -> tuple[str, int]:
    """Read a name, and return where the next thing begins (RFC 1035 section 4.1.4)."""
    labels, end = [], 0
    for _ in range(MOST_JUMPS * 8):
        length = answer[at]
        if length >= POINTER:
            end = end or at + 2
            at = (length - POINTER) << 8 | answer[at + 1]
        elif length:
            labels.append(answer[at + 1 : at + 1 + length].decode("ascii", "replace"))
            at += 1 + length
        else:
            return ".".join(labels).lower(), end or at + 1
    raise DnsError("a name without an end")
