"""One connection to the server of the second level (Redis 7, Valkey), over redis-py.

Commands go out together and their replies come back together, within one time-out; an
error is one exception of ours, and the connection is then gone.  RESP2, and no more of
redis-py than its connections: no pool that waits, no retries, no commands of its own at
the start, and the password is read anew for each connection.  redis-py >= 4.3.
"""

from __future__ import annotations

import inspect
import socket
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import redis
from redis.backoff import NoBackoff
from redis.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.retry import Retry

from codomain.errors import CodomainError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from codomain.settings.sharedurl import SharedServer

    Command = tuple[str | bytes | int, ...]

TIMEOUT = 0.05
"""Seconds for one look-up: a server on the same network answers in 0.0001, and a directory
in about 0.001; whoever waits for longer had better ask the directory."""

QUIET: tuple[dict[str, object], ...] = (
    {"driver_info": None},
    {"lib_name": None, "lib_version": None},
)
"""What later releases of redis-py would otherwise say at the start of a connection: each
costs a round trip, and a user of the server who may do little may not say it."""

_CLASSES: dict[str, type[Any]] = {
    "redis": Connection,
    "rediss": SSLConnection,
    "unix": UnixDomainSocketConnection,
}


class LinkError(CodomainError):
    """The server did not answer in time, or cannot be had; its text is fit for a log line."""


class RefusedError(CodomainError):
    """The server answered a command with an error: read-only, full, or not permitted."""


class Link:
    """One connection, for one thread at a time."""

    def __init__(
        self, server: SharedServer, password_file: str, ca_file: str, timeout: float
    ) -> None:
        """Take the server, where its password and authorities are, and the time-out."""
        self._server = server
        self._password_file = password_file
        self._ca_file = ca_file
        self._timeout = timeout
        self._connection: Any = None

    def open(self) -> Self:
        """Connect, and say who we are.

        Raises:
            LinkError: there is no connection, or no such user.

        """
        with self._guarded():
            connection = _CLASSES[self._server.scheme](**self._arguments())
            self._connection = connection
            connection.connect()
        return self

    def exchange(self, *commands: Command) -> list[Any]:
        """Send commands in one go, and return their replies.

        Raises:
            LinkError: there was no answer in time; the connection is gone.
            RefusedError: one of them was answered with an error; the connection stays.

        """
        replies = self.replies(*commands)
        for reply in replies:
            if isinstance(reply, RefusedError):
                raise reply
        return replies

    def replies(self, *commands: Command) -> list[Any]:
        """Send commands in one go; a :class:`RefusedError` stands where one was refused.

        Raises:
            LinkError: there was no answer in time; the connection is gone.

        """
        replies: list[Any] = []
        with self._guarded():
            connection = self._opened()
            connection.send_packed_command(connection.pack_commands(commands))
            for _ in commands:
                try:
                    replies.append(connection.read_response())
                except redis.ResponseError as error:
                    replies.append(RefusedError(_told(error)))
        return replies

    def hear(self, seconds: float) -> Any:  # noqa: ANN401 - whatever RESP2 can hold
        """Return what the server says by itself (a published message); None: nothing in time.

        Raises:
            LinkError: the connection is gone.

        """
        with self._guarded():
            connection = self._opened()
            return connection.read_response() if connection.can_read(timeout=seconds) else None

    def tell(self, *command: str) -> None:
        """Send a command whose reply :meth:`hear` will give.

        Raises:
            LinkError: the connection is gone.

        """
        with self._guarded():
            connection = self._opened()
            connection.send_packed_command(connection.pack_command(*command))

    def abort(self) -> None:
        """Wake up the thread that reads; called from another one."""
        connection = self._connection
        sock = getattr(connection, "_sock", None)
        if sock is not None:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                return

    def close(self) -> None:
        """Give the connection up; the next use opens another one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.disconnect()

    def _opened(self) -> Any:  # noqa: ANN401 - redis-py's connection
        if self._connection is None:
            raise LinkError("the connection is closed")
        return self._connection

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Close the connection at any fault, and give it as one of ours."""
        try:
            yield
        except BaseException as error:
            self.close()
            if isinstance(error, redis.RedisError | OSError | ValueError):
                raise LinkError(_told(error)) from error
            raise

    def _arguments(self) -> dict[str, Any]:
        server = self._server
        arguments: dict[str, Any] = {
            "db": server.database,
            "username": server.user or None,
            "password": _password(self._password_file),
            "socket_timeout": self._timeout,
            "retry": Retry(NoBackoff(), 0),
        }
        if server.scheme == "unix":
            arguments["path"] = server.path
        else:
            arguments |= {
                "host": server.host,
                "port": server.port,
                "socket_connect_timeout": self._timeout,
                "socket_keepalive": True,
            }
        if server.scheme == "rediss":
            arguments |= {
                "ssl_cert_reqs": "required",
                "ssl_check_hostname": True,
                "ssl_ca_certs": self._ca_file or None,
            }
        known = _parameters(server.scheme)
        if "protocol" in known:
            arguments["protocol"] = 2
        quiet = (keys for keys in QUIET if known.issuperset(keys))
        return arguments | next(quiet, {})


@dataclass(frozen=True, slots=True)
class Way:
    """How the server is reached: ``[cache] shared`` and the keys beside it."""

    server: SharedServer
    """Which server."""

    password_file: str = ""
    """The file with the password."""

    ca_file: str = ""
    """The authorities that may vouch for it; empty: the system's."""

    timeout: float = TIMEOUT
    """Seconds for one look-up."""

    def link(self, timeout: float) -> Link:
        """Return a connection that is not open yet."""
        return Link(self.server, self.password_file, self.ca_file, timeout)


@cache
def _parameters(scheme: str) -> frozenset[str]:
    """Name what a kind of connections takes, with what it hands on to its bases."""
    own = [vars(base).get("__init__") for base in _CLASSES[scheme].__mro__]
    return frozenset(name for init in own if init for name in inspect.signature(init).parameters)


def _password(path: str) -> str | None:
    """Read the password: the first line of its file, as for a directory."""
    if not path:
        return None
    with Path(path).open(encoding="utf-8") as file:
        return file.readline().rstrip("\r\n")


def _told(error: Exception) -> str:
    """Return what an error says, on one line; never the password, which redis-py never names."""
    return " ".join(str(error).split()) or type(error).__name__
