"""The control socket: where the administrator's commands reach the running daemon.

It is a unix socket of mode 0660, outside every chroot; who may connect, the system decides
by owner and group (unix(7)).  One connection carries one request (:mod:`codomain_cli.wire`)
and is given little time; there are few connections at a time, so that nothing here can
disturb mail.  What can be asked for is a table of handlers, which ``serve`` gives:

    async def purge(arguments: Mapping[str, Any], peer: Peer) -> object: ...

A handler returns what JSON can hold, or raises :class:`codomain_cli.exits.RequestError`.
It runs on the event loop: what waits, waits in a thread.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from codomain.config import Endpoint
from codomain.log import event
from codomain_cli.exits import RequestError
from codomain_cli.wire import (
    ANSWER_OCTETS,
    REQUEST_OCTETS,
    read_request,
    write_error,
    write_result,
)
from codomain_policyd.listeners import close_all, listen

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from codomain_policyd.listeners import Listening

    Handler = Callable[[Mapping[str, Any], "Peer"], Awaitable[object]]

MODE = 0o660
"""The mode of the socket."""

REQUEST_SECONDS = 5.0
"""A request is one line that a command writes at once."""

ANSWER_SECONDS = 30.0
"""The longest that a handler may take: longer than a directory's longest answer by default."""

CONNECTIONS = 16
"""Commands at a time: more are closed at once."""

_CREDENTIALS = struct.Struct("3i")

log = logging.getLogger("codomain.control")


@dataclass(frozen=True, slots=True)
class Peer:
    """The process that asks (SO_PEERCRED, unix(7)), for the log."""

    pid: int
    """Its process id."""

    uid: int
    """Its user id."""

    gid: int
    """Its group id."""


class Control:
    """The listener and its connections."""

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        """Take what can be asked for, by the command's name."""
        self._handlers = handlers
        self._listening: list[Listening] = []
        self._server: asyncio.AbstractServer | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self, path: str, group: str) -> None:
        """Listen; one that nobody listens on any more is replaced, a live one never.

        Raises:
            ListenError: it cannot be opened; the text names it, and what holds it.

        """
        self._listening = listen(Endpoint("unix", path=path), group=group, mode=MODE)
        try:
            sock = self._listening[0].sock
            self._server = await asyncio.start_unix_server(
                self._accept, sock=sock, limit=REQUEST_OCTETS
            )
        except BaseException:
            close_all(self._listening)
            raise

    async def close(self) -> None:
        """Close the listener; what is under way ends, without an answer if it must."""
        if self._server is not None:
            self._server.close()
        close_all(self._listening)
        self._listening = []
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(self._tasks) >= CONNECTIONS:
            writer.close()
            return
        self._tasks.add(task)
        try:
            writer.write(await self._answer(reader, _peer(writer)))
            async with asyncio.timeout(REQUEST_SECONDS):
                await writer.drain()
        except (OSError, TimeoutError):
            return  # it has gone, and with it whoever wanted to know
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, peer: Peer) -> bytes:
        try:
            request = read_request(await _line(reader))
            handler = self._handlers.get(request.command)
            if handler is None:
                known = ", ".join(sorted(self._handlers))
                raise RequestError("command", f"no such command; there are {known}")  # noqa: TRY301
            async with asyncio.timeout(ANSWER_SECONDS):
                answer = write_result(await handler(request.arguments, peer))
        except RequestError as error:
            return write_error(error)
        except TimeoutError:
            return write_error(RequestError("failed", "it took too long"))
        except Exception:
            log.exception("a command failed by a fault of our own")
            return write_error(RequestError("failed", "by a fault of the daemon's: see its log"))
        if len(answer) > ANSWER_OCTETS:
            event(log, logging.ERROR, "answer too long", command=request.command)
            return write_error(RequestError("failed", "the answer is too long"))
        return answer


async def _line(reader: asyncio.StreamReader) -> bytes:
    try:
        async with asyncio.timeout(REQUEST_SECONDS):
            return await reader.readuntil(b"\n")
    except asyncio.IncompleteReadError:
        raise RequestError("request", "no line") from None
    except asyncio.LimitOverrunError:
        raise RequestError("request", f"more than {REQUEST_OCTETS} octets") from None
    except TimeoutError:
        raise RequestError("request", f"no line within {REQUEST_SECONDS:g} s") from None


def _peer(writer: asyncio.StreamWriter) -> Peer:
    sock: socket.socket = writer.get_extra_info("socket")
    raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return Peer(*_CREDENTIALS.unpack(raw))
