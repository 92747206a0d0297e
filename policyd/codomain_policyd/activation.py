"""Sockets that systemd opened for us, before this process was there (sd_listen_fds(3)).

While the daemon restarts they stay open, so that smtpd waits for a moment where it would
else be refused, and remember the refusal.  A socket is used for the endpoint of the INI
that has its path, or its address and port; one that fits none is named and left alone.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from codomain.config import Endpoint

FIRST = 3
"""The first descriptor that is passed on (SD_LISTEN_FDS_START)."""

MOST = 64
"""More sockets than any unit of ours names; a larger number is somebody's mistake."""

VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
"""What systemd sets; a child of ours must not take the sockets for its own."""


class Activation:
    """The sockets that were passed to this process and are not taken yet."""

    def __init__(self, passed: list[socket.socket]) -> None:
        self._passed = passed

    @classmethod
    def of_process(cls, environment: MutableMapping[str, str] | None = None) -> Activation:
        """Take the sockets that were passed on, and clear the variables that say so.

        A descriptor that is no listening stream socket is not ours to touch, and left alone.
        """
        variables = os.environ if environment is None else environment
        pid, count = (variables.get(name, "") for name in VARIABLES[:2])
        for name in VARIABLES:
            variables.pop(name, None)
        if pid != str(os.getpid()) or not count.isdecimal():
            return cls([])
        descriptors = range(FIRST, FIRST + min(int(count), MOST))
        return cls([sock for sock in map(_listener, descriptors) if sock is not None])

    def take(self, endpoint: Endpoint) -> list[socket.socket]:
        """Return the sockets that listen where an endpoint says; each is given once."""
        taken = [sock for sock in self._passed if _is_at(sock, endpoint)]
        for sock in taken:
            self._passed.remove(sock)
        return taken

    def left(self) -> list[str]:
        """Return where the sockets listen that no endpoint took: units and INI differ."""
        return [str(sock.getsockname()) for sock in self._passed]


def _listener(descriptor: int) -> socket.socket | None:
    """Return the listening stream socket behind a descriptor, closed in children of ours."""
    try:
        sock = socket.socket(fileno=descriptor)
    except OSError:
        return None
    try:
        listens = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError:
        listens = 0
    if not listens or sock.type != socket.SOCK_STREAM:
        sock.detach()
        return None
    sock.setblocking(False)  # noqa: FBT003  # the socket module's own way to say it
    sock.set_inheritable(False)
    return sock


def _is_at(sock: socket.socket, endpoint: Endpoint) -> bool:
    name = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return endpoint.kind == "unix" and _same_file(name, endpoint.path)
    if endpoint.kind == "unix":
        return False
    infos = socket.getaddrinfo(
        endpoint.host or None,
        endpoint.port,
        type=socket.SOCK_STREAM,
        flags=socket.AI_PASSIVE | socket.AI_NUMERICSERV,
    )
    return any((family, *address[:2]) == (sock.family, *name[:2]) for family, *_, address in infos)


def _same_file(one: str, other: str) -> bool:
    """Tell whether two paths are one: systemd writes /run where the INI may have /var/run."""
    return os.path.realpath(one) == os.path.realpath(other)
