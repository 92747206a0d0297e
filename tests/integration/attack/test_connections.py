"""Many connections, and none left: who is served, who is turned away, and what it costs."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import pytest

from codomain_cli.httplimits import CONNECTIONS as HTTP_CONNECTIONS
from support.siege import DESCRIPTORS, DUNNO, asked, cpu_seconds, descriptors, ended, memory
from support.site import SECONDS, until

if TYPE_CHECKING:
    import socket
    from contextlib import ExitStack
    from pathlib import Path

    from support.siege import Siege

ATTACKERS = 5000
LIMIT = 1000
FEW = 100
"""Descriptors of a daemon that has too few: some fifteen to thirty are its own."""

BUSY = 0.5
"""The share of one processor that waiting must stay below; a listener that spins takes all."""

HELD = 65_536
"""Octets that one connection may cost: its protocol, and what one read takes."""

LOOPS = [(), ("--no-uvloop",)]


def flood(siege: Siege, path: Path, count: int, held: ExitStack) -> list[socket.socket]:
    """Open connections as fast as they are taken, and keep them."""
    clients: list[socket.socket] = []
    end = time.monotonic() + SECONDS
    while len(clients) < count:
        try:
            clients.append(held.enter_context(siege.connect(path)))
        except BlockingIOError:  # a full queue of those that wait to be accepted (unix(7))
            assert time.monotonic() < end
            time.sleep(0.01)
    return clients


def closed(client: socket.socket) -> bool:
    """Tell whether the other side has ended a connection, without waiting."""
    client.setblocking(False)  # noqa: FBT003  # socket's own signature
    try:
        return client.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


@pytest.mark.usefixtures("many_files")
@pytest.mark.parametrize("options", LOOPS, ids=["uvloop", "asyncio"])
def test_of_5000_connections_those_within_the_limit_are_served(
    siege: Siege, held: ExitStack, options: tuple[str, ...]
) -> None:
    """max_connections are kept and answered, the others closed at once; then there is room."""
    siege.set("policyd", f"socketmap_listen = unix:{siege.map}", f"max_connections = {LIMIT}")
    with siege.under("", *options) as daemon:
        before = memory(daemon.pid)
        clients = flood(siege, siege.policy, ATTACKERS, held)
        until(lambda: sum(map(closed, clients)) == ATTACKERS - LIMIT)
        kept = [client for client in clients if not closed(client)]
        for client in kept:
            client.settimeout(10)
        assert asked(kept[0]) == asked(kept[-1]) == DUNNO
        assert memory(daemon.pid) - before < LIMIT * HELD
        turned = 'codomain_protocol_errors_total{door="policy",kind="connections"}'
        assert siege.metric(turned) == ATTACKERS - LIMIT
        assert daemon.logged().count("event=turned-away") <= 10
        held.close()
        until(lambda: siege.metric('codomain_connections{door="policy"}') == 0)
        siege.serves()


@pytest.mark.usefixtures("many_files")
def test_the_http_door_takes_no_connections_from_mail(siege: Siege, held: ExitStack) -> None:
    """It keeps a hundred clients and no more; of 5,000 none keeps Postfix out."""
    with siege.under(DESCRIPTORS.format(HTTP_CONNECTIONS * 2)) as daemon:
        own = descriptors(daemon.pid)
        clients = flood(siege, siege.http, ATTACKERS, held)
        until(lambda: sum(map(closed, clients)) == ATTACKERS - HTTP_CONNECTIONS)
        assert descriptors(daemon.pid) <= own + HTTP_CONNECTIONS
        siege.serves()
        held.close()
        until(lambda: descriptors(daemon.pid) <= own)
        assert siege.get("/healthz")[0] == 200


@pytest.mark.usefixtures("many_files")
def test_a_flood_of_the_control_socket_disturbs_no_mail(siege: Siege) -> None:
    """Sixteen commands at a time; mail is answered meanwhile, and then the administrator."""
    with siege.under() as daemon:
        for _ in range(ATTACKERS):
            with contextlib.suppress(BlockingIOError), siege.connect(siege.control) as client:
                client.settimeout(0)
                client.send(b'{"codomain": 1, "command": "version"}\n')
        began = time.monotonic()
        siege.serves()
        assert time.monotonic() - began < 5
        until(lambda: siege.raw(b'{"codomain": 1, "command": "version"}\n'))
        assert daemon.logged().count("\n") < 30


@pytest.mark.parametrize("options", LOOPS, ids=["uvloop", "asyncio"])
@pytest.mark.parametrize("door", ["policy", "map", "http", "control"])
def test_without_descriptors_who_is_connected_is_answered(
    siege: Siege, held: ExitStack, door: str, options: tuple[str, ...]
) -> None:
    """No file is left: nobody new is served, nothing spins or floods the log, and it heals."""
    siege.set("policyd", f"socketmap_listen = unix:{siege.map}", "max_connections = 1000")
    with siege.under(DESCRIPTORS.format(FEW), *options) as daemon:
        early = held.enter_context(siege.connect(siege.policy))
        assert asked(early) == DUNNO
        with contextlib.suppress(BlockingIOError):  # the control socket's queue is short
            for _ in range(2 * FEW):
                held.enter_context(siege.connect(getattr(siege, door)))
        if door != "control":  # which closes all but sixteen itself
            until(lambda: descriptors(daemon.pid) >= FEW - 1)
        assert asked(early) == DUNNO
        assert asked(early, "nobody@example.com").startswith(b"action=550 5.1.1 ")
        used, began = cpu_seconds(daemon.pid), time.monotonic()
        while time.monotonic() - began < 1.5:
            assert asked(early) == DUNNO
            time.sleep(0.05)
        assert cpu_seconds(daemon.pid) - used < BUSY * (time.monotonic() - began)
        assert daemon.logged().count("\n") < 60
        held.close()
        until(lambda: descriptors(daemon.pid) < FEW / 2)
        until(lambda: answers(siege))
        siege.serves()


def answers(siege: Siege) -> bool:
    """Tell whether a new connection is served."""
    with contextlib.suppress(OSError):
        return bool(siege.ask("ann@example.com"))
    return False


@pytest.mark.usefixtures("many_files")
def test_5000_connections_to_the_milter_keep_nobody_out(siege: Siege, held: ExitStack) -> None:
    """Libmilter bounds them by nothing, so the soft limit of open files is raised to the hard."""
    low = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 8192))\n"
    with siege.under(low) as daemon:
        own = descriptors(daemon.pid)
        flood(siege, siege.milter, ATTACKERS, held)
        until(lambda: descriptors(daemon.pid) >= ATTACKERS)
        siege.serves()
        assert siege.get("/healthz")[0] == 200
        held.close()
        until(lambda: descriptors(daemon.pid) <= own + 16)


def test_what_is_no_http_leaves_few_lines(siege: Siege) -> None:
    """A scanner cannot fill the log: ten lines a minute, and the door goes on."""
    with siege.under() as daemon:
        before = daemon.logged().count("\n")
        for junk in (
            b"\x16\x03\x01\x02",
            b"GET / HTTP/1.1\r\nno field\r\n\r\n",
            b"GET /\0 X\r\n\r\n",
        ):
            for _ in range(50):
                with siege.connect(siege.http) as client:
                    client.sendall(junk)
                    ended(client)
        assert daemon.logged().count("\n") - before <= 20
        assert siege.get("/healthz")[0] == 200


def test_a_milter_that_finds_no_descriptor_heals(siege: Siege, held: ExitStack) -> None:
    """The listener of libmilter spins meanwhile (SECURITY.md); who is connected is answered."""
    with siege.under(DESCRIPTORS.format(FEW)) as daemon:
        early = held.enter_context(siege.connect(siege.policy))
        assert asked(early) == DUNNO
        flood(siege, siege.milter, 2 * FEW, held)
        until(lambda: descriptors(daemon.pid) >= FEW - 1)
        assert asked(early) == DUNNO
        held.close()
        until(lambda: descriptors(daemon.pid) < FEW / 2)
        siege.serves()
        with siege.connect(siege.milter) as client:
            client.sendall(b"\0\0\0\x01Q")  # SMFIC_QUIT: it ends the connection
            assert ended(client) == b""
