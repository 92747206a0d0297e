"""Who holds a port or a socket that we cannot have, as far as /proc tells (proc(5))."""

from __future__ import annotations

import socket
import struct
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_LISTEN = "0A"
_CREDENTIALS = struct.Struct("3i")
_PROC = Path("/proc")


def holder_of_port(port: int) -> str:
    """Return ``name (pid)`` of the process that listens on a TCP port; empty: it cannot be told."""
    inodes = _listening(port)
    if not inodes:
        return ""
    for process in _PROC.glob("[0-9]*"):
        if not inodes.isdisjoint(_open_files(process)):
            return _named(int(process.name))
    return ""


def holder_of_socket(client: socket.socket) -> str:
    """Return ``name (pid)`` of the process that listens on a unix socket we are connected to."""
    raw = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return _named(_CREDENTIALS.unpack(raw)[0])


def _open_files(process: Path) -> Iterator[str]:
    """Yield what the descriptors of a process stand for, as far as we may know."""
    try:
        for descriptor in (process / "fd").iterdir():
            with suppress(OSError):  # closed in between
                yield str(descriptor.readlink())
    except OSError:
        return  # it has ended, or belongs to somebody else


def _listening(port: int) -> set[str]:
    """Return the links by which /proc/PID/fd names the sockets that listen on a port."""
    found = set()
    for table in ("tcp", "tcp6"):
        try:
            lines = (_PROC / "net" / table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            columns = line.split()
            if columns[3] == _LISTEN and int(columns[1].rpartition(":")[2], 16) == port:
                found.add(f"socket:[{columns[9]}]")
    return found


def _named(pid: int) -> str:
    try:
        name = (_PROC / str(pid) / "comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return f"process {pid}"
    return f"{name} (process {pid})"
