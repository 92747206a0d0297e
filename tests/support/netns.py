"""A network namespace of its own, and the way into it: loopback ports that are forwarded.

Active Directory's ports cannot be chosen: a domain controller listens on 389, 636, 3268 and
3269, and two of them, or one beside a slapd of this host, would be in each other's way.
In a namespace that dies with its process they have those ports to themselves.  Each
port of it is reached through a port of 127.0.0.1 that was free: its listening socket
belongs to the test's namespace, the process that accepts from it to the other.

Needs CAP_SYS_ADMIN, and the commands unshare, nsenter and ip.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

READY = b"ready\n"
PIECE = 65536


class Namespace:
    """A namespace with one address on its loopback; it ends with :meth:`close`, or with us."""

    def __init__(self, address: str, ports: Iterable[int]) -> None:
        """Open it, and a loopback port of ours for each of ``ports`` of ``address``."""
        listeners = {port: socket.create_server(("127.0.0.1", 0), backlog=64) for port in ports}
        self.ports: dict[int, int] = {port: one.getsockname()[1] for port, one in listeners.items()}
        pairs = [f"{one.fileno()}={port}" for port, one in listeners.items()]
        self._process = subprocess.Popen(
            ["unshare", "--net", "--", sys.executable, __file__, address, *pairs],
            stdin=subprocess.PIPE,  # its end is the end of the namespace
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=[one.fileno() for one in listeners.values()],
        )
        for one in listeners.values():
            one.close()
        assert self._process.stdout is not None
        said = self._process.stdout.readline()
        if said != READY:
            said += self._process.stdout.read()
            self.close()
            raise RuntimeError(f"unshare --net: {said.decode(errors='replace')}")

    def inside(self, *command: str) -> list[str]:
        """Return the command that runs another one in here, under the same process id."""
        return ["nsenter", f"--net=/proc/{self._process.pid}/ns/net", "--", *command]

    def close(self) -> None:
        """End it."""
        process = self._process
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(PIECE):
            writer.write(data)
            await writer.drain()
    writer.close()


async def _forward(listener: socket.socket, address: str, port: int) -> asyncio.Server:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inner_reader, inner_writer = await asyncio.open_connection(address, port)
        except OSError:
            writer.close()  # nobody listens there now
            return
        await asyncio.gather(_copy(reader, inner_writer), _copy(inner_reader, writer))

    return await asyncio.start_server(connected, sock=listener)


async def _serve(address: str, pairs: Sequence[str]) -> None:
    servers = []
    for pair in pairs:
        fd, port = map(int, pair.split("="))
        servers.append(await _forward(socket.socket(fileno=fd), address, port))
    sys.stdout.buffer.write(READY)
    sys.stdout.buffer.flush()
    await asyncio.to_thread(sys.stdin.buffer.read)


def main(address: str, *pairs: str) -> None:
    """Serve inside the namespace until standard input ends."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["ip", "addr", "add", f"{address}/8", "dev", "lo"], check=True)
    asyncio.run(_serve(address, pairs))


if __name__ == "__main__":
    main(*sys.argv[1:])
