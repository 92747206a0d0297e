"""Mail systems that keep what they are given: the other side of a private gateway.

Each sink speaks SMTP (RFC 5321, with SMTPUTF8) on a free loopback port, or LMTP (RFC 2033)
on a unix socket, and takes every recipient.  All of them run on one thread.  Out flow
:class:`Arrival` values, and waiting for them.
"""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass
from email import message_from_bytes
from email.policy import SMTP as POLICY
from typing import TYPE_CHECKING, Self, TypeVar

from aiosmtpd.lmtp import LMTP
from aiosmtpd.smtp import SMTP

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from aiosmtpd.smtp import Envelope, Session

LOOPBACK = "127.0.0.1"
"""Where the sinks listen."""

START_SECONDS = 10.0
"""A thread and a socket are there in milliseconds."""

CLOSE_SECONDS = 5.0
"""What is still connected at the end is closed within this."""

TOKEN = "X-Codomain-Token"  # noqa: S105  # a name, no secret
"""The field of a message's header by which it is known again."""


_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Arrival:
    """One message for one recipient, at one system."""

    system: str
    """The name of the sink."""

    sender: str
    """MAIL FROM; empty for a report."""

    recipient: str
    """RCPT TO, as this system got it."""

    token: str
    """What :data:`TOKEN` says, empty for a message of another origin (a bounce)."""

    content: bytes
    """The message."""


class Sinks:
    """Any number of sinks, and all that has arrived at them."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="sinks", daemon=True)
        self._servers: list[asyncio.AbstractServer] = []
        self._protocols: list[SMTP] = []
        self._news = threading.Condition()
        self._arrivals: list[Arrival] = []

    def __enter__(self) -> Self:
        """Start the thread."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Close every sink."""
        self._wait(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CLOSE_SECONDS)
        self._loop.close()

    def smtp(
        self,
        name: str,
        *,
        then: Callable[[Arrival], None] | None = None,
        at: tuple[str, int] = (LOOPBACK, 0),
    ) -> int:
        """Open an SMTP sink and return its port; ``then`` is called with what arrives."""
        handler = Handler(self, name, then)
        server = self._wait(self._loop.create_server(lambda: self._smtp(handler), *at))
        self._servers.append(server)
        port: int = server.sockets[0].getsockname()[1]
        return port

    def lmtp(self, name: str, path: Path) -> None:
        """Open an LMTP sink on a unix socket that everyone may connect to."""
        handler = Handler(self, name)
        server = self._wait(self._loop.create_unix_server(lambda: self._lmtp(handler), path))
        self._servers.append(server)
        path.chmod(0o666)

    def arrived(self, token: str) -> list[Arrival]:
        """Return what has arrived of one message so far."""
        with self._news:
            return [arrival for arrival in self._arrivals if arrival.token == token]

    def all(self) -> list[Arrival]:
        """Return everything that has arrived so far."""
        with self._news:
            return list(self._arrivals)

    def wait_for(self, wanted: Callable[[list[Arrival]], bool], seconds: float) -> list[Arrival]:
        """Wait until all that has arrived is as wanted, or the time is over; return it."""
        end = time.monotonic() + seconds
        with self._news:
            while not wanted(self._arrivals) and time.monotonic() < end:
                self._news.wait(max(0.0, end - time.monotonic()))
            return list(self._arrivals)

    def note(self, arrival: Arrival) -> None:
        """Take an arrival down, and tell whoever waits."""
        with self._news:
            self._arrivals.append(arrival)
            self._news.notify_all()

    def _smtp(self, handler: Handler) -> asyncio.Protocol:
        return self._opened(
            SMTP(handler, loop=self._loop, hostname=handler.name, enable_SMTPUTF8=True)
        )

    def _lmtp(self, handler: Handler) -> asyncio.Protocol:
        return self._opened(
            LMTP(handler, loop=self._loop, hostname=handler.name, enable_SMTPUTF8=True)
        )

    def _opened(self, protocol: SMTP) -> SMTP:
        self._protocols.append(protocol)
        return protocol

    def _wait(self, coroutine: Coroutine[object, object, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(START_SECONDS)

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        for protocol in self._protocols:
            if protocol.transport is not None:
                protocol.transport.close()
        tasks = asyncio.all_tasks(self._loop) - {asyncio.current_task(self._loop)}
        if tasks:
            await asyncio.wait(tasks, timeout=CLOSE_SECONDS)


class Handler:
    """Takes every recipient and message at one sink (the hooks of aiosmtpd)."""

    def __init__(
        self, sinks: Sinks, name: str, then: Callable[[Arrival], None] | None = None
    ) -> None:
        """Make it; ``then`` is called with each arrival, on a thread of its own."""
        self.name = name
        self._sinks = sinks
        self._then = then

    async def handle_DATA(  # noqa: N802  # aiosmtpd's name
        self, server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        """Keep a message, once for each recipient."""
        content = envelope.original_content or b""
        token = str(message_from_bytes(content, policy=POLICY).get(TOKEN, ""))
        sender = (envelope.mail_from or "").replace("<>", "")
        for recipient in envelope.rcpt_tos:
            arrival = Arrival(self.name, sender, recipient, token, content)
            self._sinks.note(arrival)
            if self._then is not None:
                # It may wait for a server that waits for this loop.
                threading.Thread(target=self._then, args=(arrival,), daemon=True).start()
        # In LMTP each recipient has a reply of its own (RFC 2033 section 4.2).
        replies = len(envelope.rcpt_tos) if isinstance(server, LMTP) else 1
        return "\r\n".join(["250 2.0.0 Kept"] * replies)
