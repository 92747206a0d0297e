"""One bound connection as a stream of messages: requests out, answers as they come.

Opening, TLS and the bind are :class:`~codomain.directory.link.Link`'s; then its socket is
taken over, and :mod:`codomain.directory.messages` speaks on it, which costs a sixth of
ldap3's CPU for each entry.  Several requests may be under way: answers carry the
messageID of theirs.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from typing import TYPE_CHECKING

from codomain.directory import messages
from codomain.directory.ber import ProtocolError
from codomain.directory.link import BrokenError, Link, ResultError
from codomain.directory.messages import Done, Entry, Reference

if TYPE_CHECKING:
    from collections.abc import Iterator

    from codomain.directory.messages import Control, Message, Search
    from codomain.directory.section import Login
    from codomain.directory.servers import Server
    from codomain.directory.tls import Trust

CHUNK = 262_144
"""Octets that are taken in at a time: a socket's usual buffer, some thousand entries."""

SILENCE_SECONDS = 60.0
"""A server that sends nothing for so long, while an answer is due, is down.

A search without an index walks through a million entries before the first one is sent;
live look-ups have the section's ``timeout`` for that, but nobody waits for a load.
"""


class Wire:
    """A bound connection; for one thread, but for :meth:`abort`."""

    def __init__(self, server: Server, login: Login, trust: Trust, until: float) -> None:
        """Connect, turn to TLS where asked, and bind, all before ``until``.

        ``until`` is on the monotonic clock.

        Raises:
            BrokenError: no connection, no TLS, or no verified certificate.
            ResultError: the server refused the bind.
            DirectoryError: the password or ``ca_file`` cannot be read.

        """
        self.server = server
        self._socket = Link(server, login, trust, until).take_socket()
        self._keep_alive()
        self._allowed: float | None = None
        self._buffer = b""
        self._at = 0
        self._last = 0

    def root(self) -> dict[str, list[bytes]]:
        """Return the attributes of the rootDSE, by lower-case name (RFC 4512 section 5.1).

        Raises:
            BrokenError, ResultError: as :meth:`find` does.

        """
        search = messages.Search("", "base", "(objectClass=*)", ("*", "+"))
        for entry in self.find(search):
            return {name.lower(): values for name, values in entry.raw.items()}
        return {}

    def find(
        self,
        search: Search,
        controls: tuple[Control, ...] = (),
        *,
        references: bool = False,
        silence: float = SILENCE_SECONDS,
    ) -> Iterator[Entry]:
        """Search, and yield the entries as they come; whole only where it ends by itself.

        ``references``: that other servers hold a part of the tree is no fault.

        Raises:
            BrokenError: the connection failed, was silent, or sent what is no LDAP.
            ResultError: the server gave another result than success, or a reference.

        """
        for message in self.answers(self.send(search, controls), silence=silence):
            if isinstance(message, Entry):
                yield message
            elif isinstance(message, Reference) and not references:
                raise self.elsewhere(message)
            elif isinstance(message, Done):
                self.expect(message)

    def answers(self, identity: int, *, silence: float = SILENCE_SECONDS) -> Iterator[Message]:
        """Yield the answers to one request; the last one is a :class:`Done`, whatever it says.

        Answers to other requests are dropped.

        Raises:
            BrokenError: the connection failed, was silent, or sent what is no LDAP.

        """
        while True:
            message = self.due(silence)
            if message.id != identity:
                continue
            yield message
            if isinstance(message, Done):
                return

    def due(self, silence: float = SILENCE_SECONDS) -> Message:
        """Return the next message, which must come within ``silence`` seconds of the last octet.

        Raises:
            BrokenError: it does not, or the connection failed.

        """
        message = self.receive(silence)
        if message is None:
            raise self._broken(f"silent for {silence:.0f} s", timed_out=True)
        return message

    def expect(self, done: Done) -> None:
        """Take only a success.

        Raises:
            ResultError: it is none.

        """
        if done.code != messages.SUCCESS:
            raise ResultError(f"{self.server.uri}: {done.describe()}", done.code)

    def elsewhere(self, reference: Reference) -> ResultError:
        """Return the error that a part of the tree is held by others, which are not asked."""
        uris = ", ".join(reference.uris)
        return ResultError(
            f"{self.server.uri}: a part of the tree is held by {uris}, which is not asked", code=0
        )

    def send(self, search: Search, controls: tuple[Control, ...] = ()) -> int:
        """Send a search; returns the messageID that its answers carry.

        Raises:
            BrokenError: the connection failed.
            ValueError: the filter is none.

        """
        identity = self._next()
        self._send(search.encode(identity, controls))
        return identity

    def abandon(self, identity: int) -> None:
        """Say that the answers to a request are wanted no more; some may still come.

        Raises:
            BrokenError: the connection failed.

        """
        self._send(messages.abandon(self._next(), identity))

    def receive(self, seconds: float) -> Message | None:
        """Return the next message; None: no octet came within so many seconds.

        With 0.0 only what is there already is looked at.

        Raises:
            BrokenError: the connection failed, the server is about to close it, or what it
                sent is no LDAP.

        """
        try:
            while True:
                message = self._parse()
                if message is not None:
                    break
                if not self._fill(seconds):
                    return None
        except ProtocolError as error:
            raise self._broken(str(error)) from error
        if isinstance(message, Done) and message.id == 0:
            raise self._broken(message.describe())
        return message

    def abort(self) -> None:
        """End what another thread does on this connection: it gets BrokenError at once."""
        with contextlib.suppress(OSError):  # it is closed already
            # Not the TLS layer's, which forgets its keys under the hands of that other thread.
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def close(self) -> None:
        """Say goodbye and close; never raises."""
        with contextlib.suppress(OSError, BrokenError):
            self._socket.settimeout(0)
            self._socket.send(messages.unbind(self._next()))
        self._socket.close()

    def _parse(self) -> Message | None:
        """Take the next message out of the buffer, if all of it is there."""
        size = messages.size(self._buffer, self._at)
        end = self._at + size
        if not size or end > len(self._buffer):
            return None
        message = messages.decode(self._buffer[self._at : end])
        self._at = end
        return message

    def _fill(self, seconds: float) -> bool:
        """Receive something; False: nothing came."""
        try:
            self._allow(seconds)
            data = self._socket.recv(CHUNK)
        except (BlockingIOError, TimeoutError, ssl.SSLWantReadError):
            return False
        except OSError as error:  # ssl.SSLError is one
            raise self._broken(str(error) or type(error).__name__) from error
        if not data:
            raise self._broken("the server closed the connection")
        self._buffer = self._buffer[self._at :] + data
        self._at = 0
        return True

    def _send(self, data: bytes) -> None:
        try:
            self._allow(SILENCE_SECONDS)
            self._socket.sendall(data)
        except OSError as error:
            raise self._broken(str(error) or type(error).__name__) from error

    def _allow(self, seconds: float) -> None:
        if seconds != self._allowed:
            self._socket.settimeout(seconds)
            self._allowed = seconds

    def _next(self) -> int:
        self._last = self._last % messages.MAX_ID + 1
        return self._last

    def _broken(self, text: str, *, timed_out: bool = False) -> BrokenError:
        self._socket.close()
        return BrokenError(f"{self.server.uri}: {text}", timed_out=timed_out)

    def _keep_alive(self) -> None:
        if self.server.scheme != "ldapi":
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def deadline(login: Login) -> float:
    """Return until when a connection is to be up, on the monotonic clock."""
    return time.monotonic() + login.connect_timeout + login.timeout
