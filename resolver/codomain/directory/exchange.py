"""One search over a connection that is bound: the request out, its answers in.

In flow the socket, which keeps the deadline and the bound on octets, and the search; out
flow entries and references, where the server ends them with a result.  ldap3 opens and
binds; searching on its own costs ten times the CPU of this, and holds the interpreter for
all of it, while every door waits (RFC 4511 section 4.5).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from codomain.directory import messages
from codomain.directory.ber import ProtocolError
from codomain.directory.messages import Done, Entry, Reference

if TYPE_CHECKING:
    from codomain.directory.deadline import DeadlineSocket
    from codomain.directory.messages import Message, Search

CHUNK = 65_536
"""Octets that are taken in at a time: a whole answer, as a rule."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a search brought."""

    entries: tuple[Entry, ...]
    """The entries, in the server's order."""

    references: tuple[str, ...]
    """LDAP URLs of other servers that hold a part of what was to be searched."""

    done: Done
    """How it ended: only with a success the rest says anything."""


def exchange(connection: DeadlineSocket, identity: int, search: Search) -> Answer:
    """Send a search with its messageID, and read until its result.

    Raises:
        OSError: the connection failed (TimeoutError: the time was up), or the server is
            about to close it.
        ProtocolError: what came is no LDAP, or answers something else.
        ValueError: the search's filter is none.

    """
    connection.sendall(search.encode(identity))
    entries: list[Entry] = []
    references: list[str] = []
    buffer = b""
    while True:
        message, buffer = _next(connection, buffer)
        if isinstance(message, Done) and message.id == 0:
            raise OSError(message.describe())
        if message.id != identity:
            raise ProtocolError(f"the answer {message.id} where {identity} was due")
        if isinstance(message, Entry):
            entries.append(message)
        elif isinstance(message, Reference):
            references += message.uris
        elif isinstance(message, Done):
            if buffer:
                raise ProtocolError("something follows the result")
            return Answer(tuple(entries), tuple(references), message)


def _next(connection: DeadlineSocket, buffer: bytes) -> tuple[Message, bytes]:
    """Return the next message, and what was received beyond it."""
    while True:
        size = messages.size(buffer)
        if size and size <= len(buffer):
            return messages.decode(buffer[:size]), buffer[size:]
        data = connection.recv(CHUNK)
        if not data:
            raise OSError("the server closed the connection")
        buffer += data
