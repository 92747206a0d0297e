"""An SMTP server that offers DSN (RFC 3461) and keeps what it is told about each recipient."""

from __future__ import annotations

import re
import socketserver
import threading
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS = 20.0
"""The bound of every wait."""

_PATH = re.compile(r"(?:MAIL FROM|RCPT TO):<(.*)>(?: (.*))?$", re.IGNORECASE)


class DsnSink:
    """Takes every message; each is a list of recipients with their parameters, and its content."""

    def __init__(self) -> None:
        self.messages: list[tuple[list[tuple[str, str]], bytes]] = []
        sink = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                sink._talk(self)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self.port: int = self._server.server_address[1]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def wait(self, token: str) -> tuple[list[tuple[str, str]], bytes]:
        """Wait for the message that holds a token."""
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            for message in list(self.messages):
                if token.encode() in message[1]:
                    return message
            time.sleep(0.02)
        raise AssertionError(f"{token} did not come")

    def _talk(self, handler: socketserver.StreamRequestHandler) -> None:
        handler.wfile.write(b"220 sink.test ESMTP\r\n")
        recipients: list[tuple[str, str]] = []
        for line in _lines(handler):
            verb = line[:4].upper()
            if verb == "EHLO":
                handler.wfile.write(b"250-sink.test\r\n250-SMTPUTF8\r\n250-8BITMIME\r\n250 DSN\r\n")
                continue
            if verb == "DATA":
                handler.wfile.write(b"354 go on\r\n")
                content = b"".join(iter(handler.rfile.readline, b".\r\n"))
                self.messages.append((recipients, content))
                recipients = []
            elif verb == "RCPT":
                match = _PATH.match(line)
                assert match is not None, line
                recipients.append((match[1], match[2] or ""))
            elif verb == "QUIT":
                handler.wfile.write(b"221 bye\r\n")
                return
            handler.wfile.write(b"250 2.0.0 good\r\n")


def _lines(handler: socketserver.StreamRequestHandler) -> Iterator[str]:
    while line := handler.rfile.readline():
        yield line.decode("utf-8", "replace").rstrip("\r\n")
