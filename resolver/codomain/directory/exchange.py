"""One search over a connection that is bound: the request out, its answers in.

In flow the socket, which keeps the deadline and the bound on octets, and the search; out
flow entries and references, where the server ends them with a result.  ldap3 opens and
binds; searching on its own costs ten times the CPU of this, and holds the interpreter for
all of it, while every door waits (RFC 4511 section 4.5).

Whoever waits for the octets, a thread or the event loop, :class:`Collector` makes the
answer of them.
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

MET = 64
"""Entries that are remembered as they came: the witness of the next search is among them."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a search brought."""

    entries: tuple[Entry, ...]
    """The entries, in the server's order."""

    references: tuple[str, ...]
    """LDAP URLs of other servers that hold a part of what was to be searched."""

    done: Done
    """How it ended: only with a success the rest says anything."""


class Collector:
    """Makes one search's answer of the octets that come, sans I/O."""

    __slots__ = ("_buffer", "_entries", "_identity", "_met", "_references", "octets")

    def __init__(self, identity: int, met: dict[bytes, Entry] | None = None) -> None:
        """Take the messageID of the search; ``met``: entries that came lately, as octets."""
        self._identity = identity
        self._met = met
        self._buffer = b""
        self._entries: list[Entry] = []
        self._references: list[str] = []
        self.octets = 0
        """Octets that were taken."""

    def feed(self, data: bytes) -> Answer | None:
        """Take what was received; the answer, or None until its result is there.

        Raises:
            OSError: the server closed the connection, or is about to.
            ProtocolError: what came is no LDAP, or answers something else.

        """
        if not data:
            raise OSError("the server closed the connection")
        self.octets += len(data)
        buffer = self._buffer + data if self._buffer else data
        at = 0
        while (size := messages.size(buffer, at)) and size <= len(buffer) - at:
            answer = self._take(buffer[at : at + size])
            at += size
            if answer is not None:
                if at < len(buffer):
                    raise ProtocolError("something follows the result")
                return answer
        self._buffer = buffer[at:]
        return None

    def _take(self, octets: bytes) -> Answer | None:
        message = messages.decode(octets) if self._met is None else self._again(octets, self._met)
        if isinstance(message, Done) and message.id == 0:
            raise OSError(message.describe())
        if message.id != self._identity:
            raise ProtocolError(f"the answer {message.id} where {self._identity} was due")
        if isinstance(message, Entry):
            self._entries.append(message)
        elif isinstance(message, Reference):
            self._references += message.uris
        elif isinstance(message, Done):
            return Answer(tuple(self._entries), tuple(self._references), message)
        return None

    def _again(self, octets: bytes, met: dict[bytes, Entry]) -> Message:
        """Read a message, unless it is an entry that came just so before, but for its id."""
        operation = messages.after_id(octets, self._identity)
        entry = met.get(operation)
        if entry is not None:
            return entry._replace(id=self._identity)
        message = messages.decode(octets)
        if operation and isinstance(message, Entry):
            if len(met) >= MET:
                met.clear()
            met[operation] = message
        return message


def exchange(connection: DeadlineSocket, identity: int, search: Search) -> Answer:
    """Send a search with its messageID, and read until its result.

    Raises:
        OSError: the connection failed (TimeoutError: the time was up), or the server is
            about to close it.
        ProtocolError: what came is no LDAP, or answers something else.
        ValueError: the search's filter is none.

    """
    connection.sendall(search.encode(identity))
    return read_on(connection, Collector(identity))


def read_on(connection: DeadlineSocket, collector: Collector) -> Answer:
    """Read until the result of a search that was sent; raises as :func:`exchange` does."""
    while True:
        answer = collector.feed(connection.recv(CHUNK))
        if answer is not None:
            return answer
