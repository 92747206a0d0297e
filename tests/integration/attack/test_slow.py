"""Clients that take their time: an octet now and then, half a request, answers never read."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import pytest

from codomain_cli.control import REQUEST_SECONDS
from codomain_policyd.policy import REQUEST_OCTETS as POLICY_OCTETS
from codomain_policyd.socketmap import REQUEST_OCTETS as MAP_OCTETS
from support.doors import map_request, policy_request
from support.siege import DUNNO, asked, ended, memory
from support.site import SECONDS, until

if TYPE_CHECKING:
    import socket
    from contextlib import ExitStack

    from support.siege import Siege

IDLE = 1
"""Seconds of idle_timeout in these tests."""

MEGABYTE = 1_000_000

ROUNDS = 10
"""So often a process may have grown before it counts as a leak."""

GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: "

REQUESTS = {
    "policy": policy_request(helo_name="x" * 30_000),
    "map": map_request("recipient", "x" * 2000 + "@example.com"),
    "http": GET + b"x" * 7000,
}
"""Requests that a client may trickle for long."""


def patient(siege: Siege) -> str:
    """Let nobody be idle for longer than :data:`IDLE`; return the prelude for HTTP."""
    siege.set(
        "policyd",
        f"socketmap_listen = unix:{siege.map}",
        f"idle_timeout = {IDLE}s",
        "max_connections = 400",
    )
    return f"import codomain_cli.httplimits as limits; limits.IDLE_SECONDS = {IDLE}\n"


def trickle(client: socket.socket, octets: bytes) -> float:
    """Send octet by octet until the other side has ended it; return how long that took."""
    began = time.monotonic()
    client.settimeout(0.05)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        for octet in octets:
            client.send(bytes([octet]))
            with contextlib.suppress(TimeoutError):
                if client.recv(1) == b"":
                    break
            assert time.monotonic() - began < SECONDS
    return time.monotonic() - began


@pytest.mark.parametrize("door", ["policy", "map", "http"])
def test_an_octet_now_and_then_keeps_no_connection(siege: Siege, door: str) -> None:
    """Only a whole request counts: it is closed after idle_timeout, and the others are served."""
    with siege.under(patient(siege)), siege.connect(getattr(siege, door)) as slow:
        siege.serves()
        assert trickle(slow, REQUESTS[door]) < 4 * IDLE
        siege.serves()


def test_a_command_that_comes_too_slowly_is_told_so(siege: Siege) -> None:
    """The control socket gives a request five seconds, however it comes."""
    with siege.under(), siege.connect(siege.control) as slow:
        took = trickle(slow, b'{"codomain": 1, "command": "version", "arguments": {}' + b" " * 1000)
        assert took < REQUEST_SECONDS * 2
        assert siege.tell("version")["version"]


@pytest.mark.parametrize("door", ["policy", "map", "http"])
def test_half_requests_are_let_go_and_hold_nobody_up(
    siege: Siege, held: ExitStack, door: str
) -> None:
    """Fifty clients that never end their request: all are closed, and mail is served meanwhile."""
    with siege.under(patient(siege)):
        clients = [held.enter_context(siege.connect(getattr(siege, door))) for _ in range(50)]
        for client in clients:
            client.sendall(REQUESTS[door][: len(REQUESTS[door]) // 2])
        siege.serves()
        for client in clients:
            assert ended(client) == b""


def test_a_body_is_not_waited_for(siege: Siege) -> None:
    """HTTP: nothing here takes a body; the answer comes before it, and it changes nothing."""
    with siege.under(), siege.connect(siege.http) as client:
        client.sendall(b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\nx")
        assert client.recv(4096).startswith(b"HTTP/1.1 405 ")
        siege.serves()


@pytest.mark.parametrize("door", ["policy", "map", "control", "http"])
def test_a_request_without_end_is_cut_off(siege: Siege, door: str) -> None:
    """A value of a megabyte and more: an end to the connection at the limit, and no memory."""
    octets = {
        "policy": b"request=smtpd_access_policy\nprotocol_state=RCPT\nrecipient=",
        "map": b"65000:recipient ",
        "control": b'{"codomain": 1, "command": "',
        "http": b"GET / HTTP/1.1\r\nX-Long: ",
    }[door]
    with siege.under() as daemon:
        siege.serves()
        grown = [endless(siege, daemon.pid, door, octets) for _ in range(2)]
        # Python's collector frees now and then what a connection held, so one round may
        # hold more than the one before it.  A leak of what each of the hundred sends us,
        # 64 to 256 KiB, is 6 MB or more in every round.
        while grown[-1] >= 3 * MEGABYTE:
            assert len(grown) < ROUNDS, grown
            grown.append(endless(siege, daemon.pid, door, octets))
        siege.serves()


def endless(siege: Siege, pid: int, door: str, octets: bytes) -> int:
    """Send a hundred requests without end; return by how much the process has grown."""
    before = memory(pid)
    for _ in range(100):
        with siege.connect(getattr(siege, door)) as client:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                client.sendall(octets + b"x" * MEGABYTE)
            ended(client)
    return memory(pid) - before


@pytest.mark.parametrize("digits", [b"65537:", b"999999999:", b"9" * 4000, b"-1:", b"0x10:x,"])
def test_a_netstring_of_an_impossible_length_is_refused_at_once(
    siege: Siege, digits: bytes
) -> None:
    """Before any of it is waited for, or room made for it (socketmap_table(5): 100,000)."""
    with siege.under(), siege.connect(siege.map) as client:
        client.sendall(digits)
        assert ended(client) == b""
        siege.serves()


def test_the_longest_values_are_answered(siege: Siege) -> None:
    """Up to the limit of a request a long value is a value: nobody has such an address."""
    with siege.under(), siege.connect(siege.policy) as client:
        long = "x" * (POLICY_OCTETS - 2000)
        client.sendall(policy_request(recipient=f"{long}@example.com"))
        assert client.recv(4096).startswith(b"action=550 5.1.1 ")
        client.sendall(policy_request(recipient=f"x@{long}.test"))
        assert client.recv(4096).startswith(b"action=554 5.7.1 ")
        key = "x" * (MAP_OCTETS - 100)
        assert siege.look("recipient", f"{key}@example.com") == b"9:NOTFOUND ,"
        assert siege.look(key, "ann@example.com").startswith(b"28:TEMP ")


@pytest.mark.parametrize("door", ["policy", "map"])
def test_who_never_reads_its_answers_is_cut_off(siege: Siege, door: str) -> None:
    """Ten seconds after the buffers are full it is closed; what it holds is bounded."""
    prelude = "import codomain_policyd.server as s; s.Doors.__init__.__kwdefaults__"
    with siege.under(f"{prelude}['unread_seconds'] = 1\n") as daemon:
        siege.serves()
        before = memory(daemon.pid)
        request = policy_request() if door == "policy" else map_request("transport", "*")
        with (
            siege.connect(getattr(siege, door)) as deaf,
            contextlib.suppress(BrokenPipeError, ConnectionResetError),
        ):
            while True:
                deaf.sendall(request * 100)  # a time-out, where it is not cut off, fails the test
                assert memory(daemon.pid) - before < 4 * MEGABYTE
        errors = f'codomain_protocol_errors_total{{door="{door}",kind="unread"}}'
        assert siege.metric(errors) == 1
        siege.serves()


def test_a_slow_client_of_the_milter_holds_nobody_up(siege: Siege, held: ExitStack) -> None:
    """The library waits for it (smfi_settimeout); other milter clients and the maps are served."""
    with siege.under():
        slow = [held.enter_context(siege.connect(siege.milter)) for _ in range(50)]
        for client in slow:
            client.sendall(b"\0\0\0\x0dO\0\0")  # half of SMFIC_OPTNEG
        siege.serves()
        with siege.connect(siege.milter) as client:
            client.sendall(b"\0\0\0\x0dO" + b"\0\0\0\x06" + b"\0\0\0\xff" + b"\0\x1f\xff\xff")
            assert client.recv(4096)[4:5] == b"O"


def test_a_policy_client_that_waits_is_not_idle(siege: Siege) -> None:
    """Between requests smtpd may say nothing for as long as idle_timeout, and is served after."""
    patient(siege)
    with siege.under(), siege.connect(siege.policy) as client:
        for _ in range(3):
            assert asked(client) == DUNNO
            time.sleep(IDLE / 2)
        until(lambda: ended(client) == b"")
