"""Where libmilter listens: checked beforehand, because libmilter says only that it failed.

A unix socket is guarded by a lock on a file beside it (``PATH.lock``), held as long as we
live and freed by the kernel however we end: a second instance is refused, and a socket that
is left from a process that was killed is replaced.  libmilter makes the socket under another
name; it is moved into place with its mode and group, so that it never stands there with
wrong ones.
"""

from __future__ import annotations

import contextlib
import fcntl
import grp
import os
import socket
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from codomain.errors import ListenError

if TYPE_CHECKING:
    from codomain.config import Endpoint

PATH_OCTETS = 107
"""The longest path of a unix socket (unix(7): sun_path)."""

_NEW = ".new"
_LOCK = ".lock"


@dataclass(slots=True)
class Place:
    """A place that is ours: reserved, not listened on yet."""

    endpoint: Endpoint
    """Where, as the configuration says."""

    spec: str
    """What smfi_setconn is told."""

    lock: int = -1
    """The descriptor of the lock; -1: an inet port needs none."""

    gid: int = -1
    """The socket's group; -1: our own."""

    family: socket.AddressFamily = socket.AF_UNIX
    """The socket's family."""

    address: tuple[object, ...] = ()
    """The address of an inet socket."""

    inode: tuple[int, int] | None = None
    """Device and inode of the socket, so that only our own is removed."""

    def settle(self, mode: int) -> None:
        """Give the socket that libmilter made its group, mode and name.

        Raises:
            ListenError: that is not permitted.

        """
        if self.endpoint.kind != "unix":
            return
        new = _new(self.endpoint)
        try:
            if self.gid >= 0:
                os.chown(new, -1, self.gid)
            new.chmod(mode)
            status = new.lstat()
            self.inode = status.st_dev, status.st_ino
            new.replace(self.endpoint.path)
        except OSError as error:
            new.unlink(missing_ok=True)
            raise _failed(self.endpoint, error.strerror or str(error)) from error

    def knock(self) -> None:
        """Connect for a moment: libmilter's listener looks up only every 5 s (MI_CHK_TIME)."""
        unix = self.endpoint.kind == "unix"
        with socket.socket(self.family, socket.SOCK_STREAM) as client:
            client.setblocking(False)  # noqa: FBT003  # socket's own signature
            with contextlib.suppress(OSError):
                client.connect(self.endpoint.path if unix else self.address)

    def release(self) -> None:
        """Remove the socket, if it is still ours, and let go of the lock."""
        path = Path(self.endpoint.path)
        try:
            status = path.lstat() if self.inode else None
            if status is not None and (status.st_dev, status.st_ino) == self.inode:
                path.unlink()
        except OSError:
            pass
        if self.lock >= 0:
            os.close(self.lock)
            self.lock = -1


def reserve(endpoint: Endpoint, *, group: str) -> Place:
    """Make sure that libmilter can listen there, and that nobody else does.

    Raises:
        ListenError: one line that names the place and what is wrong with it.

    """
    try:
        return (
            _reserve_unix(endpoint, group) if endpoint.kind == "unix" else _reserve_inet(endpoint)
        )
    except OSError as error:
        raise _failed(endpoint, error.strerror or str(error)) from error


def _reserve_inet(endpoint: Endpoint) -> Place:
    if not endpoint.port:
        raise _failed(endpoint, "the MTA has to know the port; write another than 0")
    family, _, _, _, address = socket.getaddrinfo(
        endpoint.host or None,
        endpoint.port,
        type=socket.SOCK_STREAM,
        flags=socket.AI_PASSIVE | socket.AI_NUMERICSERV,
    )[0]
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)
        probe.listen(1)  # with SO_REUSEADDR bind alone does not see a listener
    kind = "inet6" if family == socket.AF_INET6 else "inet"
    spec = f"{kind}:{endpoint.port}@{address[0]}"
    return Place(endpoint, spec, family=family, address=address)


def _reserve_unix(endpoint: Endpoint, group: str) -> Place:
    path = Path(endpoint.path)
    if len(os.fsencode(endpoint.path + _NEW)) > PATH_OCTETS:
        raise _failed(endpoint, f"a path of more than {PATH_OCTETS - len(_NEW)} octets")
    gid = _gid(endpoint, group)
    lock = os.open(f"{path}{_LOCK}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        _lock(endpoint, lock)
        _check_free(endpoint, path)
        _new(endpoint).unlink(missing_ok=True)
    except BaseException:
        os.close(lock)
        raise
    return Place(endpoint, f"unix:{path}{_NEW}", lock, gid)


def _lock(endpoint: Endpoint, lock: int) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(lock, 20, 0).decode("ascii", "replace").strip()
        raise ListenError(
            f"{endpoint} is in use{f' by process {holder}' if holder else ''}"
        ) from None
    os.ftruncate(lock, 0)
    os.pwrite(lock, b"%d\n" % os.getpid(), 0)


def _check_free(endpoint: Endpoint, path: Path) -> None:
    """Make sure that no other program listens there, and that what is there may be replaced."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(status.st_mode):
        raise _failed(endpoint, "what is there is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.setblocking(False)  # noqa: FBT003  # a live process whose queue is full must not hold us
        try:
            client.connect(os.fspath(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return
        except BlockingIOError:
            pass
    raise ListenError(f"{endpoint} is in use")


def _gid(endpoint: Endpoint, group: str) -> int:
    if not group:
        return -1
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise _failed(endpoint, f"there is no group {group}") from None


def _new(endpoint: Endpoint) -> Path:
    return Path(endpoint.path + _NEW)


def _failed(endpoint: Endpoint, why: str) -> ListenError:
    return ListenError(f"{endpoint} cannot be opened: {why}")
