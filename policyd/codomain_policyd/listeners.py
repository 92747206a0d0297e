"""Listening sockets: opened with the right mode and group, and never stolen from a live process.

A unix socket that nobody listens on any more (its process was killed) is replaced.  It is
made under another name and moved into place, so that it never stands there with a wrong
mode; a lock on its folder keeps two processes that start together from replacing each
other's.
"""

from __future__ import annotations

import errno
import fcntl
import grp
import os
import socket
import stat
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from codomain.errors import ListenError
from codomain_policyd.holders import holder_of_port, holder_of_socket

if TYPE_CHECKING:
    from collections.abc import Iterator

    from codomain.config import Endpoint

BACKLOG = 1024
"""Connections that wait to be accepted.  Where a unix socket's queue is full, connect(2)
fails at once, and smtpd with it: more than Postfix's default_process_limit (100) times the
doors of one daemon, and below net.core.somaxconn's default (4096)."""

PATH_OCTETS = 107
"""The longest path of a unix socket (unix(7): sun_path)."""

_NEW = ".new"


@dataclass(slots=True)
class Listening:
    """One socket that listens."""

    endpoint: Endpoint
    """Where, as the configuration says."""

    sock: socket.socket
    """The socket."""

    inode: tuple[int, int] | None = None
    """Device and inode of a unix socket's file, so that only our own is removed."""

    def unlink(self) -> None:
        """Remove a unix socket's file, if it is still ours."""
        if self.inode is None:
            return
        path = Path(self.endpoint.path)
        try:
            if _inode(path) == self.inode:
                path.unlink()
        except OSError:
            return


def listen(endpoint: Endpoint, *, group: str, mode: int) -> list[Listening]:
    """Open an endpoint; a host name may stand for several addresses.

    Raises:
        ListenError: It cannot be opened; the text names it, and what holds it.
    """
    try:
        if endpoint.kind == "unix":
            return [_listen_unix(endpoint, group, mode)]
        return _listen_inet(endpoint)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ListenError(f"{endpoint} cannot be opened: {why}") from error


def _listen_inet(endpoint: Endpoint) -> list[Listening]:
    infos = socket.getaddrinfo(
        endpoint.host or None,
        endpoint.port,
        type=socket.SOCK_STREAM,
        flags=socket.AI_PASSIVE | socket.AI_NUMERICSERV,
    )
    opened: list[Listening] = []
    try:
        for family, _, _, _, address in dict.fromkeys(infos):
            opened.append(Listening(endpoint, _bound_inet(family, address, endpoint)))
    except BaseException:
        close_all(opened)
        raise
    return opened


def _bound_inet(family: int, address: object, endpoint: Endpoint) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)  # type: ignore[arg-type]  # what getaddrinfo gave
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            raise ListenError(_in_use(endpoint, holder_of_port(endpoint.port))) from error
        raise
    return sock


def _listen_unix(endpoint: Endpoint, group: str, mode: int) -> Listening:
    path = Path(endpoint.path)
    new = path.with_name(path.name + _NEW)
    if len(os.fsencode(new)) > PATH_OCTETS:
        longest = PATH_OCTETS - len(_NEW)
        raise ListenError(f"{endpoint} cannot be opened: a path of more than {longest} octets")
    with _locked(path.parent):
        _check_free(endpoint, path)
        new.unlink(missing_ok=True)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.bind(os.fspath(new))
            if group:
                os.chown(new, -1, _gid(endpoint, group))
            new.chmod(mode)
            sock.listen(BACKLOG)
            new.replace(path)
            return Listening(endpoint, sock, _inode(path))
        except BaseException:
            sock.close()
            new.unlink(missing_ok=True)
            raise


def _check_free(endpoint: Endpoint, path: Path) -> None:
    """Make sure that nobody listens at a path, and that what is there may be replaced."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(status.st_mode):
        raise ListenError(f"{endpoint} cannot be opened: what is there is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.setblocking(False)  # noqa: FBT003  # a live process whose queue is full must not hold us
        try:
            client.connect(os.fspath(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return
        except BlockingIOError:
            raise ListenError(_in_use(endpoint, "")) from None
        raise ListenError(_in_use(endpoint, holder_of_socket(client)))


def close_all(opened: list[Listening]) -> None:
    """Close sockets that were opened in vain, or are not wanted any more."""
    for listening in opened:
        listening.sock.close()
        listening.unlink()


def _in_use(endpoint: Endpoint, holder: str) -> str:
    return f"{endpoint} is in use{f' by {holder}' if holder else ''}"


def _gid(endpoint: Endpoint, group: str) -> int:
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise ListenError(f"{endpoint} cannot be opened: there is no group {group}") from None


def _inode(path: Path) -> tuple[int, int]:
    status = path.lstat()
    return status.st_dev, status.st_ino


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a lock on a folder; it ends with the descriptor, also when we are killed."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
