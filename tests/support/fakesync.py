"""A server that speaks RFC 4533 by a script: what no real server says, or not when asked to."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from support.fakeldap import BIND, DONE, ENTRY, SEARCH, listening, requests, result, text, tlv

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from support.fakeldap import Request

    Script = Callable[["Asked"], Iterable[bytes]]

STATE = "1.3.6.1.4.1.4203.1.9.1.2"
INFO = "1.3.6.1.4.1.4203.1.9.1.4"
PAGES = "1.2.840.113556.1.4.319"
OFFERED = (b"1.3.6.1.4.1.4203.1.9.1.1",)
PRESENT, ADD, MODIFY, DELETE = 0, 1, 2, 3


class Asked:
    """One search, and the answers that can be given to it."""

    def __init__(self, request: Request, number: int) -> None:
        self._request = request
        self.number = number
        """How many searches for entries came before it, on all connections."""

        self.body = request.body
        """The request, without its controls."""

    def entry(self, number: int, state: int = ADD, *addresses: str, cookie: str = "") -> bytes:
        """Write an entry with its Sync State, its uuid made of a number."""
        listed = addresses or ((f"p{number}@example.com",) if state in {ADD, MODIFY} else ())
        values = b"".join(text(f"smtp:{address}") for address in listed)
        attributes = tlv(0x30, text("proxyAddresses") + tlv(0x31, values)) if listed else b""
        value = tlv(0x0A, bytes([state])) + tlv(0x04, uuid(number))
        value += text(cookie) if cookie else b""
        return self._with(
            ENTRY, text(f"cn=p{number}") + tlv(0x30, attributes), STATE, tlv(0x30, value)
        )

    def bare(self, number: int) -> bytes:
        """Write an entry without any control."""
        return self._request.entry(f"cn=p{number}", {"mail": [b"p%d@example.com" % number]})

    def over(self, tag: int, cookie: str = "c1", *, done: bool = True) -> bytes:
        """Write the end of a phase: 0xA1 refreshDelete, 0xA2 refreshPresent."""
        value = text(cookie) if cookie else b""
        return self._info(tlv(tag, value + (b"" if done else tlv(0x01, b"\0"))))

    def new_cookie(self, cookie: str) -> bytes:
        """Write a newcookie."""
        return self._info(tlv(0x80, cookie.encode()))

    def ids(self, numbers: Iterable[int], *, gone: bool) -> bytes:
        """Write a syncIdSet."""
        uuids = b"".join(tlv(0x04, uuid(number)) for number in numbers)
        return self._info(tlv(0xA3, (tlv(0x01, b"\xff") if gone else b"") + tlv(0x31, uuids)))

    def done(self, code: int = 0) -> bytes:
        """Write the end of the search."""
        number = tlv(0x0A, code.to_bytes(2, "big"))
        return self._request.answer(DONE, number + text("") + text("said so"))

    def page(self, cookie: str) -> bytes:
        """Write the end of a page."""
        value = tlv(0x30, tlv(0x02, b"\0") + text(cookie))
        return self._with(DONE, result(0), PAGES, value)

    def reference(self) -> bytes:
        """Write that a part of the tree is elsewhere."""
        return self._request.reference("ldap://elsewhere/dc=x")

    def _info(self, value: bytes) -> bytes:
        return self._request.answer(0x79, tlv(0x80, INFO.encode()) + tlv(0x81, value))

    def _with(self, tag: int, body: bytes, oid: str, value: bytes) -> bytes:
        """Write a message with one control."""
        identity = tlv(0x02, self._request.message_id.to_bytes(4, "big"))
        control = tlv(0x30, text(oid) + tlv(0x04, value))
        return tlv(0x30, identity + tlv(tag, body) + tlv(0xA0, control))


def uuid(number: int) -> bytes:
    """Return the entryUUID of an entry."""
    return number.to_bytes(16, "big")


@contextmanager
def server(
    script: Script, offered: Sequence[bytes] = OFFERED, *, alive: bool = True
) -> Iterator[str]:
    """Serve a script; give the ldap:// URI.

    ``alive``: it also answers the searches of the rootDSE after the first one.  A script
    that ends with an empty answer closes the connection.
    """
    count = 0

    def handle(client: socket.socket) -> None:
        nonlocal count
        roots = 0
        for request in requests(client):
            if request.operation == BIND:
                client.sendall(request.done())
            elif request.operation == SEARCH and request.body.startswith(b"\x04\0"):
                roots += 1
                if alive or roots == 1:
                    entry = request.entry("", {"supportedControl": list(offered)})
                    client.sendall(entry + request.done())
            elif request.operation == SEARCH:
                number, count = count, count + 1
                for answer in script(Asked(request, number)):
                    if not answer:
                        return
                    client.sendall(answer)

    with listening(handle) as uri:
        yield uri
