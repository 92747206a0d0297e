"""An SMTP or LMTP server that says what a test tells it to, and notes what it was told."""

from __future__ import annotations

import socket
import socketserver
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO, Self

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from pathlib import Path

    Say = str | Callable[[], str | None]
    """A reply, or what makes one; None: the connection is closed without a word."""

BOUND = 20.0
"""Seconds after which a held reply is given anyway."""

UNKNOWN = "550 5.1.1 User unknown"


class Script:
    """One server on loopback, or on a unix socket."""

    def __init__(self, path: Path | None = None) -> None:
        self.replies: dict[str, Say] = {"MAIL": "250 2.1.0 Ok", "RSET": "250 2.0.0 Ok"}
        """By the first word of a command, or by the whole of it, which goes first."""
        self.greeting: Say = "220 mx.example.net ESMTP"
        self.features = ["SIZE 1000", "SMTPUTF8", "ENHANCEDSTATUSCODES"]
        self.taken: set[str] = set()
        """Recipients that are taken; all others are unknown."""
        self.anything = False
        """Every recipient is taken."""
        self.tls: ssl.SSLContext | None = None
        """With it STARTTLS works."""
        self.commands: list[str] = []
        self.connections = 0
        self.open = 0
        self.most_open = 0
        self.gate = threading.Event()
        """Cleared: replies to RCPT wait."""
        self.gate.set()
        self.news = threading.Condition()
        server = socketserver.ThreadingTCPServer if path is None else _Unix
        script = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                script.serve(self.request)

        self._server = server(("127.0.0.1", 0) if path is None else str(path), Handler)  # type: ignore[arg-type]
        self._server.daemon_threads = True
        self.port: int = 0 if path else self._server.socket.getsockname()[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._sockets: set[socket.socket] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.gate.set()
        self.down()

    def down(self) -> None:
        """Stop listening, and break every connection."""
        self._server.shutdown()
        self._server.server_close()
        for one in list(self._sockets):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)  # whoever serves it holds it open beyond close()
            one.close()
        self._thread.join(BOUND)

    def asked(self, verb: str = "RCPT") -> list[str]:
        """Return the commands of one kind so far, without the verb."""
        with self.news:
            return [c.partition(" ")[2] for c in self.commands if c.partition(" ")[0] == verb]

    def wait_for(self, wanted: Callable[[], bool]) -> None:
        """Wait until something is so."""
        with self.news:
            assert self.news.wait_for(wanted, BOUND), self.commands

    def serve(self, raw: socket.socket) -> None:
        """Serve one connection until it ends."""
        with self.news:
            self.connections += 1
            self.open += 1
            self.most_open = max(self.most_open, self.open)
            self._sockets.add(raw)
        try:
            self._talk(raw)
        except OSError:
            pass  # the client, or down(), has broken it
        finally:
            with self.news:
                self.open -= 1
                self._sockets.discard(raw)
                self.news.notify_all()

    def _talk(self, raw: socket.socket) -> None:
        if not _send(raw, self.greeting):
            return
        lines = raw.makefile("rb")
        try:
            self._converse(raw, lines)
        finally:
            lines.close()

    def _converse(self, raw: socket.socket, lines: BinaryIO) -> None:
        while line := lines.readline():
            command = line.decode("utf-8").rstrip("\r\n")
            with self.news:
                self.commands.append(command)
                self.news.notify_all()
            verb = command.partition(" ")[0]
            if verb == "QUIT":
                _send(raw, "221 2.0.0 Bye")
                return
            if not _send(raw, self._reply(verb, command)):
                return
            if verb == "STARTTLS" and self.tls is not None:
                safe = self.tls.wrap_socket(raw, server_side=True)
                with safe, safe.makefile("rb") as inner:
                    self._converse(safe, inner)
                return

    def _reply(self, verb: str, command: str) -> Say:
        if verb == "RCPT":
            self.gate.wait(BOUND)
        found = self.replies.get(command, self.replies.get(verb))
        if found is not None:
            return found
        if verb in {"EHLO", "LHLO"}:
            features = [*self.features, *(["STARTTLS"] if self.tls else [])]
            lines = ["mx.example.net", *features]
            parts = [f"250-{text}" for text in lines[:-1]] + [f"250 {lines[-1]}"]
            return "\r\n".join(parts)
        if verb == "RCPT":
            address = command.removeprefix("RCPT TO:<").removesuffix(">")
            return "250 2.1.5 Ok" if self.anything or address in self.taken else UNKNOWN
        return "220 2.0.0 Go ahead" if verb == "STARTTLS" and self.tls else "502 5.5.1 What?"


class _Unix(socketserver.ThreadingUnixStreamServer):
    """The same on a unix socket."""


def _send(raw: socket.socket, say: Any) -> bool:  # noqa: ANN401  # a Say
    text = say if isinstance(say, str) else say()
    if text is None:
        raw.shutdown(socket.SHUT_RDWR)
        return False
    raw.sendall(text.encode() + b"\r\n")
    return True
