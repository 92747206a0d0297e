"""Where the second level of the cache is: ``[cache] shared`` as written, taken apart.

``redis://HOST[:PORT][/DB]``, ``rediss://`` the same over TLS, ``unix:///PATH[?db=DB]``;
before the host a user may stand, as ``redis://codomain@HOST``.  These are the forms of the
provisional registration of redis:// at IANA, without the password: that is in a file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, cast
from urllib.parse import unquote, urlsplit

from codomain.settings.faults import WrongError, shown
from codomain.settings.kinds import Kind
from codomain.settings.names import SOCKET_OCTETS

SCHEMES = ("redis", "rediss", "unix")
"""What an address of the second level begins with."""

PORT = 6379
"""The port of Redis and of Valkey."""

HIGHEST_DATABASE = 9_999
"""The highest number of a database; a server has 16 of them unless it is told otherwise."""

_DATABASE = re.compile(r"[0-9]{1,4}")
_USER = re.compile(r"[A-Za-z0-9._-]{0,64}")


@dataclass(frozen=True, slots=True)
class SharedServer:
    """One server of the second level."""

    scheme: Literal["redis", "rediss", "unix"]
    """How it is reached: in the clear, over TLS, or by a socket of this host."""

    host: str = ""
    """Its host name or IP address, without brackets."""

    port: int = PORT
    """Its TCP port."""

    path: str = ""
    """The path of its socket."""

    database: int = 0
    """The number of the database."""

    user: str = ""
    """Who we are to it (its ACL); empty: the default user."""

    def __str__(self) -> str:
        """Name the server, for logs and metrics: without the user."""
        if self.scheme == "unix":
            return f"unix:{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def parse_shared(text: str) -> SharedServer:
    """Read the address of a server of the second level.

    Raises:
        WrongError: it is none, or holds a password.

    """
    try:
        parts = urlsplit(text)
        port = parts.port if parts.scheme != "unix" else None
    except ValueError:
        raise _wrong(text) from None
    if parts.scheme not in SCHEMES or "://" not in text or " " in text or parts.fragment:
        raise _wrong(text)
    if parts.password is not None:
        # The text is not repeated: it would stand in the log.
        raise WrongError("it holds a password; write that to a file, and shared_password_file")
    user = parts.username or ""
    if not _USER.fullmatch(user):
        raise _wrong(text)
    scheme = cast('Literal["redis", "rediss", "unix"]', parts.scheme)
    if scheme == "unix":
        path = unquote(parts.path)
        if parts.hostname or not path.startswith("/") or len(path.encode()) > SOCKET_OCTETS:
            raise _wrong(text)
        database = _database(text, parts.query.removeprefix("db=") if parts.query else "0")
        return SharedServer(scheme, path=path, database=database, user=user)
    if not parts.hostname or parts.query or port == 0:
        raise _wrong(text)
    database = _database(text, parts.path.removeprefix("/") or "0")
    return SharedServer(scheme, parts.hostname, port or PORT, database=database, user=user)


def _database(text: str, number: str) -> int:
    if not _DATABASE.fullmatch(number):
        raise WrongError(
            f"{shown(text)} names no database; write a number from 0 to {HIGHEST_DATABASE}"
        )
    return int(number)


def _wrong(text: str) -> WrongError:
    listed = ", ".join(f"{scheme}://" for scheme in SCHEMES)
    return WrongError(f"{shown(text)} is no such address; write one that begins with {listed}")


def _read(text: str) -> str:
    if text:
        parse_shared(text)
    return text


SHARED_CACHE = Kind("server, redis://HOST, rediss://HOST or unix:///PATH", _read)
"""The type of the key: the address as it was written."""
