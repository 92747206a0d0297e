"""The bytes of one SMTP connection, under one deadline: commands out, replies in.

Whatever a server does, no call here lasts longer than what is left of the operation's
time, and no reply grows past a bound.  No command holds a line end, so that nothing that a
client wrote becomes a command of its own.

Standards: RFC 5321 section 4.2 (replies) and 4.5.3 (sizes), RFC 3207 (STARTTLS).
"""

from __future__ import annotations

import re
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from codomain.callout.answer import Reply
from codomain.directory.deadline import Deadline, resolve
from codomain.errors import NextSystemError

if TYPE_CHECKING:
    import ssl

    from codomain.callout.host import Host

COMMAND_OCTETS = 510
"""The longest command without its CR LF (RFC 5321 section 4.5.3.1.4)."""

REPLY_OCTETS = 16_384
"""The longest reply: thirty lines of the 512 octets that RFC 5321 section 4.5.3.1.5 allows."""

RESOLVE_SECONDS = 5.0
"""A host whose name is not found for so long is passed over (resolv.conf(5): timeout)."""

CONNECT_SECONDS = 3.0
"""A host that does not take the connection for so long is passed over for the next one."""

_LINE = re.compile(rb"([2-5][0-9]{2})([ -]|$)(.*)", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Wire:
    """One connection to one host."""

    def __init__(self) -> None:
        self._deadline = Deadline()
        self._socket: socket.socket | None = None
        self._aborted = False
        self._unread = b""

    def begin(self, until: float) -> None:
        """Start an operation that ends at ``until`` (:func:`time.monotonic`)."""
        self._deadline.begin(until)

    def connect(self, host: Host) -> None:
        """Connect to the first address of a host that takes the connection.

        Raises:
            OSError: none does; TimeoutError among them.

        """
        if host.path:
            self._open(socket.AF_UNIX, host.path)
            return
        failure: OSError | None = None
        lookup = Deadline()
        lookup.begin(time.monotonic() + min(RESOLVE_SECONDS, self._deadline.left()))
        for family, _, _, _, address in resolve(host.name, host.port, lookup):
            try:
                self._open(family, address)
            except OSError as error:
                failure = error
            else:
                return
        raise failure or OSError("no address")

    def _open(self, family: int, address: object) -> None:
        raw = socket.socket(family, socket.SOCK_STREAM)
        try:
            raw.settimeout(min(CONNECT_SECONDS, self._deadline.left()))
            raw.connect(address)  # type: ignore[arg-type]  # its form is the family's
            if family != socket.AF_UNIX:
                raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except BaseException:
            raw.close()
            raise
        self._socket = raw

    def start_tls(self, context: ssl.SSLContext, name: str) -> None:
        """Go on in TLS; ``name`` is the host's, which a verifying context compares.

        Raises:
            OSError: as ssl.SSLError with OpenSSL's reason; TimeoutError.
            NextSystemError: the server sent something behind its reply, which would count as
                if it had come through TLS.

        """
        if self._unread:
            raise NextSystemError("it sent more than its reply to STARTTLS")
        raw = self._ready()
        raw.settimeout(self._deadline.left())
        # Not at once, so that abort() finds it during the handshake.
        safe = context.wrap_socket(raw, server_hostname=name, do_handshake_on_connect=False)
        self._socket = safe
        safe.do_handshake()

    def ask(self, command: str) -> Reply:
        """Send one command, and return the reply.

        Raises:
            ValueError: it holds a line end or another control character, or is too long;
                nothing was sent.
            OSError: the connection broke; TimeoutError: there was no reply in time.
            NextSystemError: the reply is none.

        """
        data = command.encode("utf-8")
        if _CONTROL.search(command) or len(data) > COMMAND_OCTETS:
            raise ValueError("no command of SMTP")
        raw = self._ready()
        raw.settimeout(self._deadline.left())
        raw.sendall(data + b"\r\n")
        return self.reply()

    def reply(self) -> Reply:
        """Return the server's next reply, of as many lines as it has (RFC 5321 section 4.2.1).

        Raises:
            OSError, NextSystemError: as :meth:`ask` does.

        """
        texts: list[str] = []
        octets = 0
        while True:
            line = self._line()
            octets += len(line)
            match = _LINE.fullmatch(line)
            if match is None or octets > REPLY_OCTETS:
                raise NextSystemError("it sent no SMTP reply")
            texts.append(match[3].decode("utf-8", "replace"))
            if match[2] != b"-":
                return Reply(int(match[1]), "\n".join(texts))

    def _line(self) -> bytes:
        while b"\n" not in self._unread:
            if len(self._unread) > REPLY_OCTETS:
                raise NextSystemError("it sent no SMTP reply")
            raw = self._ready()
            raw.settimeout(self._deadline.left())
            data = raw.recv(4096)
            if not data:
                raise ConnectionError("it closed the connection")
            self._unread += data
        line, _, self._unread = self._unread.partition(b"\n")
        return line.removesuffix(b"\r")

    def say_quit(self) -> None:
        """Say QUIT, and wait for nothing."""
        with suppress(OSError):
            raw = self._ready()
            raw.settimeout(0.0)
            raw.sendall(b"QUIT\r\n")

    def stale(self) -> bool:
        """Tell whether the connection is of no more use: closed, or something came unasked."""
        if self._socket is None or self._unread:
            return True
        self._socket.settimeout(0)
        try:
            # Not the TLS layer's recv: a closed connection shows below it.
            socket.socket.recv(self._socket, 1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True

    def abort(self) -> None:
        """Let whatever waits on the connection fail at once; from another thread."""
        self._aborted = True
        if self._socket is not None:
            with suppress(OSError):
                # Not the TLS layer's, which forgets its keys under the other thread's hands.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _ready(self) -> socket.socket:
        if self._socket is None or self._aborted:
            raise ConnectionError("not connected")
        return self._socket
