"""What HTTP clients may cost, all together: connections, time, lines in the log.

The door is for Prometheus, a probe and a browser or two.  A client beyond
:data:`CONNECTIONS` is closed at once, so that none takes the file descriptors that mail
needs; one that asks nothing, or never ends its request, is closed after
:data:`IDLE_SECONDS`; requests that are none leave a few lines a minute.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, cast

from codomain_policyd.listeners import BACKLOG

if TYPE_CHECKING:
    import socket

    from aiohttp import web

    from codomain.journal import Throttle

CONNECTIONS = 100
"""Clients at a time.  A browser opens six to one host, Prometheus one."""

IDLE_SECONDS = 75.0
"""How long a client may ask nothing, or leave a request unfinished: longer than Prometheus'
usual interval of scrapes (scrape_interval: 1m), which then keeps its connection."""

_SERVER = logging.getLogger("aiohttp.server")


class Few(logging.Filter):
    """Lets a few of aiohttp's lines through: a client can cause as many as it likes."""

    def __init__(self, throttle: Throttle) -> None:
        """Take what counts the lines."""
        super().__init__()
        self._throttle = throttle

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a line is written; by its format, of which there are few."""
        return self._throttle.passes(str(record.msg))

    def begin(self) -> None:
        """Take effect."""
        _SERVER.addFilter(self)

    def end(self) -> None:
        """Let every line through again."""
        _SERVER.removeFilter(self)


async def serve(runner: web.AppRunner, sock: socket.socket) -> asyncio.AbstractServer:
    """Accept connections of a socket that listens, so many at a time and no more."""

    def admitted() -> asyncio.Protocol:
        server = runner.server
        if server is None or len(server.connections) >= CONNECTIONS:
            return _TurnedAway()
        return server()

    loop = asyncio.get_running_loop()
    return await loop.create_server(admitted, sock=sock, backlog=BACKLOG)


class _TurnedAway(asyncio.Protocol):
    """A connection beyond the limit."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Close it."""
        cast("asyncio.Transport", transport).close()
