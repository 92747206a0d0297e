"""Servers that misbehave: LDAP answers written by hand, and listeners that are no LDAP.

A real server cannot be made to say ``busy``, to send one byte a second or to split an
attribute into ranges.  The messages are those of RFC 4511, in BER.
"""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Handler = Callable[[socket.socket], None]

BIND, UNBIND, SEARCH, EXTENDED = 0x60, 0x42, 0x63, 0x77
BIND_RESPONSE, ENTRY, DONE, REFERENCE, EXTENDED_RESPONSE = 0x61, 0x64, 0x65, 0x73, 0x78


@dataclass(frozen=True, slots=True)
class Request:
    """One request of a client."""

    message_id: int
    """Its messageID, which the answer repeats."""

    operation: int
    """The tag of its protocolOp."""

    body: bytes
    """What is in the protocolOp, as it was sent."""

    def answer(self, tag: int, body: bytes) -> bytes:
        """Write a message that answers it."""
        message_id = tlv(0x02, self.message_id.to_bytes(4, "big"))
        return tlv(0x30, message_id + tlv(tag, body))

    def done(self, code: int = 0, referral: str = "") -> bytes:
        """Write the end of a search, or of a bind, with a result code."""
        tag = DONE if self.operation == SEARCH else BIND_RESPONSE
        return self.answer(tag, result(code, referral))

    def entry(self, dn: str, attributes: dict[str, list[bytes]]) -> bytes:
        """Write an entry."""
        written = b"".join(
            tlv(0x30, text(name) + tlv(0x31, b"".join(tlv(0x04, value) for value in values)))
            for name, values in attributes.items()
        )
        return self.answer(ENTRY, text(dn) + tlv(0x30, written))

    def reference(self, uri: str) -> bytes:
        """Write a search result reference."""
        return self.answer(REFERENCE, text(uri))


def tlv(tag: int, value: bytes) -> bytes:
    """Write one BER element: tag, length, value."""
    size = len(value)
    if size < 0x80:
        return bytes([tag, size]) + value
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + value


def text(value: str) -> bytes:
    """Write an OCTET STRING that holds UTF-8."""
    return tlv(0x04, value.encode())


def result(code: int, referral: str = "") -> bytes:
    """Write the components of an LDAPResult."""
    refer = tlv(0xA3, text(referral)) if referral else b""
    return tlv(0x0A, bytes([code])) + text("") + text("said so") + refer


def disconnection() -> bytes:
    """Write the notice that a server sends before it closes (RFC 4511 section 4.4.1)."""
    name = tlv(0x8A, b"1.3.6.1.4.1.1466.20036")
    return tlv(0x30, tlv(0x02, b"\0") + tlv(EXTENDED_RESPONSE, result(52) + name))


def requests(client: socket.socket) -> Iterator[Request]:
    """Read what a client asks until it goes away."""
    data = b""
    while True:
        message, data = _split(data)
        if message:
            _, identity, rest = _element(message)
            operation, body, _ = _element(rest)
            yield Request(int.from_bytes(identity, "big"), operation, body)
            continue
        more = client.recv(65536)
        if not more:
            return
        data += more


def ldap(on_search: Callable[[Request], bytes], bind_code: int = 0) -> Handler:
    """Make a server that takes every bind and answers searches by ``on_search``."""

    def handle(client: socket.socket) -> None:
        for request in requests(client):
            if request.operation == BIND:
                client.sendall(request.done(bind_code))
            elif request.operation == SEARCH:
                client.sendall(on_search(request))

    return handle


@contextmanager
def listening(handle: Handler) -> Iterator[str]:
    """Serve each connection by ``handle`` in a thread; give the ldap:// URI."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    clients: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def serve(client: socket.socket) -> None:
        with client, suppress(OSError):
            handle(client)

    def accept() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                clients.append(client)
                threads.append(threading.Thread(target=serve, args=(client,)))
                threads[-1].start()

    acceptor = threading.Thread(target=accept)
    acceptor.start()
    try:
        yield f"ldap://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        acceptor.join()
        for client in clients:
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()


def _split(data: bytes) -> tuple[bytes, bytes]:
    """Return the content of the first whole message, and what follows it."""
    with suppress(IndexError):
        size, start = _length(data)
        if len(data) >= start + size:
            return data[start : start + size], data[start + size :]
    return b"", data


def _element(data: bytes) -> tuple[int, bytes, bytes]:
    size, start = _length(data)
    return data[0], data[start : start + size], data[start + size :]


def _length(data: bytes) -> tuple[int, int]:
    first = data[1]
    if first < 0x80:
        return first, 2
    octets = first & 0x7F
    if len(data) < 2 + octets:
        raise IndexError
    return int.from_bytes(data[2 : 2 + octets], "big"), 2 + octets
