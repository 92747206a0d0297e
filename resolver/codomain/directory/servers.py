"""The servers of one directory: how they are written, and which one to ask now.

They are asked in the order of the INI.  One that failed is left alone for a while (its
cool-down), which doubles with each failure in a row; when it is over, one caller tries
the server while the others still go elsewhere.  Nothing here opens a connection.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

COOL_DOWN = 1.0
"""Seconds for which a server is left alone after its first failure."""

COOL_DOWN_MAX = 5.0
"""The longest cool-down, in seconds: doubling ends here.

A server that does not even refuse costs a search its connect_timeout, two seconds, each
time; and one that has come back should not keep mail waiting for longer than that twice.
"""

LOCKOUT_WAIT = 30.0
"""Seconds for which a server that refused our password is left alone: to try again soon
would lock the account (Active Directory counts within minutes, lockoutObservationWindow)."""

LDAPI_PATH = "/var/run/slapd/ldapi"
"""Where Debian's slapd listens, for ``ldapi:///`` without a path."""

_PORTS = {"ldap": 389, "ldaps": 636}


@dataclass(frozen=True, slots=True)
class Server:
    """One server of the INI's ``servers``."""

    uri: str
    """As it is written there; for logs and metrics."""

    scheme: str
    """``ldap``, ``ldaps`` or ``ldapi``."""

    host: str
    """Host name or IP address without brackets; the path of the socket for ldapi."""

    port: int
    """TCP port; 0 for ldapi."""


def parse_server(uri: str) -> Server:
    """Read an LDAP URL (RFC 4516) that names a server and nothing more.

    Raises:
        ValueError: it is none, with what is wrong; a fault of the configuration.

    """
    parts = urlsplit(uri)
    scheme = parts.scheme.lower()
    if scheme == "ldapi":
        path = unquote(parts.netloc + parts.path).rstrip("/")
        if path and not path.startswith("/"):
            raise ValueError(f"{uri}: the path of the socket is not absolute")
        return Server(uri, scheme, path or LDAPI_PATH, 0)
    if scheme not in _PORTS:
        raise ValueError(f"{uri}: neither ldap://, ldaps:// nor ldapi://")
    if not parts.hostname:
        raise ValueError(f"{uri}: no host")
    if parts.path not in {"", "/"} or parts.query or parts.fragment or parts.username is not None:
        raise ValueError(f"{uri}: more than a host and a port")
    port = _PORTS[scheme] if parts.port is None else parts.port
    if port == 0:
        raise ValueError(f"{uri}: port 0")
    return Server(uri, scheme, parts.hostname, port)


class _State:
    """What is known of one server."""

    def __init__(self) -> None:
        self.wait = 0.0  # the cool-down of the last failure; 0: it is up
        self.again = 0.0  # when a server that is down may be tried
        self.tried_again = False  # it was, after its cool-down, and the outcome is not known yet


class Servers:
    """Which server to ask, from how the last tries ended; for any number of threads."""

    def __init__(
        self, servers: Sequence[Server], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._states = {server: _State() for server in servers}
        self._clock = clock
        self._lock = threading.Lock()

    def choose(self, tried: Collection[Server] = ()) -> Server | None:
        """Return the first server to ask beside those ``tried``; None: all are cooling down.

        A server whose cool-down is over is given to one caller; the next ones get it when
        that caller has told how it went.
        """
        with self._lock:
            now = self._clock()
            for server, state in self._states.items():
                if server in tried or (state.wait and state.again > now):
                    continue
                if state.wait:
                    state.again = now + state.wait
                    state.tried_again = True
                return server
            return None

    def first_up(self) -> Server | None:
        """Return the server that :meth:`choose` would give, if it is up; None: it is on trial.

        None also where all are cooling down.
        """
        with self._lock:
            for server, state in self._states.items():
                if not state.wait:
                    return server
                if state.again <= self._clock():
                    return None
            return None

    def another(self, tried: Collection[Server]) -> bool:
        """Tell whether a server beside those ``tried`` is believed to be up."""
        with self._lock:
            return any(not s.wait for server, s in self._states.items() if server not in tried)

    def answered(self, server: Server) -> None:
        """Note that a server answered: it is up."""
        with self._lock:
            self._states[server].wait = 0.0
            self._states[server].tried_again = False

    def failed(self, server: Server, *, at_once: bool = False) -> None:
        """Note that a server failed: it is left alone, ``at_once`` for LOCKOUT_WAIT."""
        with self._lock:
            state = self._states[server]
            if state.wait and not state.tried_again and not at_once:
                return  # told already, by a thread whose search began as early as this one's
            longer = min(state.wait * 2, COOL_DOWN_MAX) or COOL_DOWN
            state.wait = LOCKOUT_WAIT if at_once else longer
            state.again = self._clock() + state.wait
            state.tried_again = False

    def next_try(self) -> float:
        """Return the seconds until the first server that is down may be tried again."""
        with self._lock:
            waits = [state.again for state in self._states.values() if state.wait]
            return max(0.0, min(waits, default=0.0) - self._clock())

    def status(self) -> list[tuple[str, bool]]:
        """Return each server's URI and whether it is up, in order."""
        with self._lock:
            return [(server.uri, not state.wait) for server, state in self._states.items()]
