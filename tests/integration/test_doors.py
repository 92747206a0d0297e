"""The doors on real sockets: order, limits, broken clients, stopping; on both kinds of loop."""

from __future__ import annotations

import asyncio
import errno
import gc
import itertools
import os
import socket
import stat
import time
from contextlib import asynccontextmanager, suppress
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import pytest
import uvloop

from codomain.brake import Brake
from codomain.config import Endpoint
from codomain.connectors import Connector
from codomain.errors import ListenError
from codomain.trust import NOBODY
from codomain.verdict import Deliver, Reason, Refuse
from codomain_policyd.connection import TURN, UNREAD_OCTETS
from codomain_policyd.server import Doors
from support.doors import FakeInForce, FakeResolver, FakeRuntime, map_request, policy_request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    Scene = Callable[["House"], Awaitable[None]]
    Play = Callable[..., None]
    Wire = tuple[asyncio.StreamReader, asyncio.StreamWriter]

BOUND = 10.0
"""Seconds that anything here may take before it counts as hanging."""

DUNNO = b"action=DUNNO\n\n"
HOP = b"20:OK smtp:[192.0.2.20],"
EXCHANGE = Connector("exchange", "smtp:[192.0.2.20]")


class House:
    """Doors on sockets of their own, and clients for them."""

    def __init__(self, folder: Path, **limits: Any) -> None:  # noqa: ANN401
        self.resolver = FakeResolver(
            {
                "ann@example.com": Deliver("ann@example.com", EXCHANGE, dn="cn=ann"),
                "no@example.com": Refuse(Reason.UNKNOWN),
            }
        )
        self.runtime = FakeRuntime(resolver=self.resolver)
        self.in_force = FakeInForce(self.runtime)
        self.folder = folder
        section = self.runtime.policyd
        section.listen = (
            Endpoint("unix", path=str(folder / "policy")),
            Endpoint("inet", host="127.0.0.1", port=0),
        )
        section.socketmap_listen = (
            Endpoint("unix", path=str(folder / "map")),
            Endpoint("inet", host="127.0.0.1", port=0),
        )
        unread = limits.pop("unread", 10.0)
        vars(section).update(limits)
        self.doors = Doors(self.in_force, unread_seconds=unread)  # type: ignore[arg-type]

    async def connect(
        self, door: str, kind: str = "unix"
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to one of the doors."""
        if kind == "unix":
            return await asyncio.open_unix_connection(self.folder / door)
        places = self.doors.sockets[door]
        host, port = next(place for place in places if isinstance(place, tuple))
        return await asyncio.open_connection(host, port)

    def errors(self, door: str, kind: str) -> float:
        """Return how many breaches of the protocol were counted."""
        value = self.runtime.metrics.registry.get_sample_value(
            "codomain_protocol_errors_total", {"door": door, "kind": kind}
        )
        return value or 0.0


@asynccontextmanager
async def _open(house: House) -> AsyncIterator[House]:
    await house.doors.open()
    try:
        yield house
    finally:
        await house.doors.stop(1.0)


@pytest.fixture(params=["asyncio", "uvloop"])
def play(request: pytest.FixtureRequest, tmp_path: Path) -> Play:
    """Run a scene in a house whose doors are open."""

    def run(scene: Scene, **limits: Any) -> None:  # noqa: ANN401
        async def whole() -> None:
            async with asyncio.timeout(BOUND), _open(House(tmp_path, **limits)) as house:
                await scene(house)

        factory = uvloop.new_event_loop if request.param == "uvloop" else None
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(whole())
        gc.collect()  # an unclosed socket shows here, as a warning that is an error

    return run


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(BOUND):
        while not condition():  # noqa: ASYNC110  # there is nothing to wait on in another's state
            await asyncio.sleep(0.005)


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


async def _ended(reader: asyncio.StreamReader) -> bytes:
    """Return what comes until the end of the connection, however it ends."""
    got = b""
    with suppress(ConnectionError):
        while chunk := await reader.read(65536):
            got += chunk
    return got


@pytest.mark.parametrize("kind", ["unix", "inet"])
def test_both_doors_answer(play: Play, kind: str) -> None:
    """Both protocols, over unix and inet sockets; the second answer comes from the verdicts."""

    async def scene(house: House) -> None:
        reader, writer = await house.connect("policy", kind)
        for _ in range(2):
            writer.write(policy_request())
            assert await reader.readuntil(b"\n\n") == DUNNO
        await _close(writer)
        reader, writer = await house.connect("map", kind)
        for _ in range(2):
            writer.write(map_request("transport", "ann@example.com"))
            assert await reader.readexactly(len(HOP)) == HOP
        await _close(writer)
        assert len(house.resolver.peeked) == 2

    play(scene)


@pytest.mark.parametrize("step", [1, 100])
def test_requests_may_be_split_anywhere(play: Play, step: int) -> None:
    """One octet at a time is as good as all at once, before a verdict is kept and after."""

    async def scene(house: House) -> None:
        for door, data, answer in (
            ("policy", policy_request(), DUNNO),
            ("map", map_request("transport", "ann@example.com"), HOP),
        ):
            reader, writer = await house.connect(door)
            for _ in range(2):
                for start in range(0, len(data), step):
                    writer.write(data[start : start + step])
                    await writer.drain()
                    await asyncio.sleep(0)
                assert await reader.readexactly(len(answer)) == answer
            await _close(writer)

    play(scene)


def test_answers_keep_the_order_of_requests(play: Play) -> None:
    """What is known at once waits behind what has to be asked, on one connection."""

    async def scene(house: House) -> None:
        house.resolver.gate = asyncio.Event()
        reader, writer = await house.connect("map")
        writer.write(map_request("transport", "ann@example.com"))
        await reader.readexactly(len(HOP))  # from now on it is kept
        house.resolver.remembers = False
        writer.write(
            map_request("recipient", "ann@example.com")
            + map_request("transport", "ann@example.com")
            + map_request("alias", "ann@example.com")
            + map_request("transport", "*")
        )
        await _until(lambda: len(house.resolver.asked) == 2)
        assert house.runtime.metrics.in_flight("map").count == 2
        house.resolver.gate.set()
        expected = b"11:OK accepted," + HOP + b"9:NOTFOUND ,9:NOTFOUND ,"
        assert await reader.readexactly(len(expected)) == expected
        assert house.runtime.metrics.in_flight("map").count == 0
        await _close(writer)

    play(scene)


@pytest.mark.parametrize("door", ["policy", "map"])
def test_a_kept_answer_does_not_overtake(play: Play, door: str) -> None:
    """A request that comes alone, while another is under way, waits though its answer is kept."""

    async def scene(house: House) -> None:
        def asked(recipient: str) -> bytes:
            if door == "policy":
                return policy_request(recipient=recipient)
            return map_request("access", recipient)

        house.resolver.verdicts["slow@example.com"] = Deliver("slow@example.com")
        reader, writer = await house.connect(door)
        writer.write(asked("no@example.com"))
        refused = await reader.read(4096)
        house.resolver.remembers = False
        house.resolver.gate = asyncio.Event()
        writer.write(asked("slow@example.com"))
        await _until(lambda: len(house.resolver.asked) == 1)
        (connection,) = house.doors._connections
        writer.write(asked("no@example.com"))
        await _until(lambda: not connection._decoder.empty or len(connection._queue) == 2)
        house.resolver.gate.set()
        accepted = DUNNO if door == "policy" else b"9:NOTFOUND ,"
        expected = accepted + refused
        assert await reader.readexactly(len(expected)) == expected
        await _close(writer)

    play(scene)


def test_pipelined_policy_requests_are_answered_one_by_one(play: Play) -> None:
    """Postfix never sends two, but another client may; the second waits for the first's answer."""

    async def scene(house: House) -> None:
        house.resolver.gate = asyncio.Event()
        house.resolver.remembers = False
        reader, writer = await house.connect("policy")
        writer.write(policy_request() + policy_request(recipient="no@example.com"))
        await _until(lambda: len(house.resolver.asked) == 1)
        house.resolver.gate.set()
        assert await reader.readuntil(b"\n\n") == DUNNO
        assert (await reader.readuntil(b"\n\n")).startswith(b"action=550 5.1.1 ")
        await _close(writer)

    play(scene)


def test_requests_under_way_are_bounded(play: Play) -> None:
    """One connection holds a fixed number of requests; the rest stays unread, and is answered."""

    async def scene(house: House) -> None:
        house.resolver.gate = asyncio.Event()
        house.resolver.remembers = False
        reader, writer = await house.connect("map")
        for number in range(500):
            writer.write(map_request("recipient", f"u{number}@example.com"))
        await _until(lambda: len(house.resolver.asked) == house.doors.maps.pipeline)
        await asyncio.sleep(0.05)
        assert house.runtime.metrics.in_flight("map").count == house.doors.maps.pipeline
        house.resolver.gate.set()
        answer = b"9:NOTFOUND ,"
        assert await reader.readexactly(500 * len(answer)) == 500 * answer
        assert house.resolver.asked == [f"u{number}@example.com" for number in range(500)]
        await _close(writer)

    play(scene)


def test_a_flood_on_one_connection_leaves_the_others_their_turn(play: Play) -> None:
    """However much one client sends at once, the loop gets to the others in between."""

    async def scene(house: House) -> None:
        loop = asyncio.get_running_loop()
        reader, writer = await house.connect("map")
        count = TURN * 20
        writer.write(map_request("transport", "*") * count)
        await _until(lambda: len(house.doors._connections) == 1)
        (connection,) = house.doors._connections
        tally = house.runtime.metrics.requests("map", "domain", "", "other")
        rounds = []

        def note() -> None:
            rounds.append(tally.count)
            if tally.count < count:
                loop.call_soon(note)

        note()
        answer = b"9:NOTFOUND ,"
        assert await reader.readexactly(count * len(answer)) == count * answer
        steps = [b - a for a, b in itertools.pairwise(rounds)]
        assert max(steps) <= TURN
        assert connection.idle
        await _close(writer)

    play(scene)


def test_the_deadline_is_kept(play: Play) -> None:
    """A directory that hangs: 451 4.4.3 and TEMP in time, and the connection goes on."""

    async def scene(house: House) -> None:
        house.resolver.gate = asyncio.Event()
        house.resolver.remembers = False
        reader, writer = await house.connect("policy")
        writer.write(policy_request())
        assert (await reader.readuntil(b"\n\n")).startswith(b"action=451 4.4.3 ")
        house.resolver.gate.set()
        writer.write(policy_request())
        assert await reader.readuntil(b"\n\n") == DUNNO
        await _close(writer)

    play(scene, deadline=0.1)


def test_a_resolver_that_never_answers_is_a_fault(play: Play, monkeypatch: Any) -> None:  # noqa: ANN401
    """The door has a bound of its own: past the deadline it answers 451 4.3.5."""
    monkeypatch.setattr("codomain_policyd.door.LATE_SECONDS", 0.0)

    async def scene(house: House) -> None:
        async def never(_question: object, _deadline: float) -> None:
            await asyncio.Event().wait()

        house.resolver.remembers = False
        house.resolver.resolve = never  # type: ignore[assignment,method-assign]
        reader, writer = await house.connect("policy")
        writer.write(policy_request())
        assert (await reader.readuntil(b"\n\n")).startswith(b"action=451 4.3.5 ")
        await _close(writer)

    play(scene, deadline=0.1)


@pytest.mark.parametrize(
    ("door", "data", "kind"),
    [
        ("policy", b"GET / HTTP/1.0\r\n\r\n\n\n", "syntax"),
        ("policy", b"\0\xff\x16\x03\x01\n\n", "syntax"),
        ("policy", b"a=" + b"x" * 100_000, "size"),
        ("policy", policy_request().replace(b"recipient=ann", b"recipient2=ann"), "recipient"),
        ("policy", policy_request()[:-1] + b"recipient=x@example.com\n\n", "duplicate"),
        ("policy", b"a=b\n" * 101 + b"\n", "attributes"),
        ("map", b"GET / HTTP/1.0\r\n\r\n", "netstring"),
        ("map", b"\0\xff\x16\x03\x01", "netstring"),
        ("map", b"99999999999:", "size"),
        ("map", b"3:abc,", "request"),
    ],
)
def test_broken_input_ends_its_own_connection_only(
    play: Play, door: str, data: bytes, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A clean close, a metric, one line in the log; and no other connection is hurt."""

    async def scene(house: House) -> None:
        other_reader, other = await house.connect("policy")
        other.write(policy_request())
        assert await other_reader.readuntil(b"\n\n") == DUNNO
        reader, writer = await house.connect(door)
        writer.write(data)
        assert await _ended(reader) == b""
        await _close(writer)
        assert house.errors(door, kind) == 1
        other.write(policy_request())
        assert await other_reader.readuntil(b"\n\n") == DUNNO
        await _close(other)

    play(scene)
    lines = [record for record in caplog.records if "protocol-error" in record.getMessage()]
    assert len(lines) == 1


def test_what_was_asked_before_the_fault_is_answered(play: Play) -> None:
    """A request that was in order gets its answer, though broken bytes follow it."""

    async def scene(house: House) -> None:
        house.resolver.gate = asyncio.Event()
        house.resolver.remembers = False
        reader, writer = await house.connect("map")
        writer.write(map_request("transport", "ann@example.com") + b"x")
        await _until(lambda: len(house.resolver.asked) == 1)
        house.resolver.gate.set()
        assert await _ended(reader) == HOP
        await _close(writer)

    play(scene)


def test_a_client_that_only_asks_gets_its_answer(play: Play) -> None:
    """A client that shuts down its sending side is answered before the connection ends."""

    async def scene(house: House) -> None:
        house.resolver.gate = asyncio.Event()
        house.resolver.remembers = False
        for data, answer in ((policy_request(), DUNNO), (policy_request()[:-5], b"")):
            house.resolver.gate.clear()
            reader, writer = await house.connect("policy")
            writer.write(data)
            writer.write_eof()
            if answer:
                await _until(lambda: len(house.resolver.asked) == 1)
            house.resolver.gate.set()
            assert await _ended(reader) == answer
            await _close(writer)
        assert house.errors("policy", "truncated") == 1

    play(scene)


def test_a_client_that_never_reads_is_cut_off(play: Play) -> None:
    """What it can make us hold is bounded, it ends in time, and the others are served."""

    async def scene(house: House) -> None:
        loop = asyncio.get_running_loop()
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.setblocking(False)  # noqa: FBT003
        await loop.sock_connect(sock, str(house.folder / "map"))
        flood = map_request("transport", "ann@example.com") * 1000

        async def push() -> None:
            with suppress(ConnectionError):
                while True:
                    await loop.sock_sendall(sock, flood)

        pushing = asyncio.ensure_future(push())
        await _until(lambda: any(c.unread_since is not None for c in house.doors._connections))
        (stuck,) = house.doors._connections
        most = UNREAD_OCTETS + 2 * TURN * len(HOP)
        for _ in range(20):
            assert stuck._transport.get_write_buffer_size() <= most
            await asyncio.sleep(0.005)
        reader, writer = await house.connect("map")
        writer.write(map_request("transport", "ann@example.com"))
        assert await reader.readexactly(len(HOP)) == HOP
        await _close(writer)
        await asyncio.wait_for(pushing, BOUND)
        sock.close()
        assert house.errors("map", "unread") == 1

    play(scene, unread=0.3)


def test_a_slow_reader_gets_every_answer(play: Play) -> None:
    """Reading goes on where it was stopped; nothing is lost and nothing changes its order."""

    async def scene(house: House) -> None:
        reader, writer = await house.connect("map")
        count = 40_000
        sending = asyncio.ensure_future(_send(writer, count))
        await _until(lambda: any(c.unread_since is not None for c in house.doors._connections))
        expected = (HOP + b"9:NOTFOUND ,") * (count // 2)
        assert await reader.readexactly(len(expected)) == expected
        await sending
        await _close(writer)

    async def _send(writer: asyncio.StreamWriter, count: int) -> None:
        pair = map_request("transport", "ann@example.com") + map_request("transport", "*")
        for _ in range(count // 2):
            writer.write(pair)
            await writer.drain()

    play(scene)


def test_idle_connections_are_closed(play: Play) -> None:
    """One that asks nothing, and one that never ends its request; not one that waits for us."""

    async def scene(house: House) -> None:
        house.resolver.gate = asyncio.Event()
        house.resolver.remembers = False
        waiting_reader, waiting = await house.connect("policy")
        waiting.write(policy_request())
        await _until(lambda: len(house.resolver.asked) == 1)
        idle_reader, idle = await house.connect("policy")
        half_reader, half = await house.connect("map")
        half.write(b"20:tran")
        assert await _ended(idle_reader) == b""
        assert await _ended(half_reader) == b""
        house.resolver.gate.set()
        for _ in range(2):
            assert await waiting_reader.readuntil(b"\n\n") == DUNNO
            waiting.write(policy_request())
        for writer in (waiting, idle, half):
            await _close(writer)

    play(scene, idle_timeout=0.2)


def test_connections_are_bounded(play: Play) -> None:
    """More than max_connections are closed at once; one that ends makes room."""

    async def scene(house: House) -> None:
        kept = [await house.connect("policy") for _ in range(3)]
        await _until(lambda: len(house.doors._connections) == 3)
        assert house.runtime.metrics.connections("policy").count == 3
        reader, writer = await house.connect("map")
        assert await _ended(reader) == b""
        await _close(writer)
        assert house.errors("map", "connections") == 1
        await _close(kept.pop()[1])
        await _until(lambda: len(house.doors._connections) == 2)
        reader, writer = await house.connect("map")
        writer.write(map_request("transport", "ann@example.com"))
        assert await reader.readexactly(len(HOP)) == HOP
        for _, other in [*kept, (reader, writer)]:
            await _close(other)

    play(scene, max_connections=3)


def test_a_reload_drops_what_was_kept_and_no_connection(play: Play) -> None:
    """After a swap and refresh() the same connection gets the new configuration's verdict."""

    async def scene(house: House) -> None:
        reader, writer = await house.connect("policy")
        for _ in range(2):
            writer.write(policy_request())
            assert await reader.readuntil(b"\n\n") == DUNNO
        resolver = FakeResolver({"ann@example.com": Refuse(Reason.UNKNOWN)})
        new = FakeRuntime(resolver=resolver, metrics=house.runtime.metrics)
        vars(new.policyd).update(vars(house.runtime.policyd))
        house.in_force.runtime = new
        house.doors.refresh()
        writer.write(policy_request())
        assert (await reader.readuntil(b"\n\n")).startswith(b"action=550 5.1.1 ")
        await _close(writer)

    play(scene)


def test_a_client_that_another_door_braked_gets_nothing_from_memory(play: Play) -> None:
    """[harvest]: braked at one door is braked at all, on connections that answered it before."""

    async def scene(house: House) -> None:
        house.runtime.brake = Brake(0, 600.0)
        house.doors.refresh()  # as a reload that brings the section does
        (braked, spared) = [await house.connect("policy") for _ in range(2)]

        async def ask(connection: Wire, client: str) -> bytes:
            connection[1].write(policy_request(client_address=client))
            return await connection[0].readuntil(b"\n\n")

        for _ in range(2):
            assert await ask(braked, "198.51.100.7") == DUNNO
            assert await ask(spared, "198.51.100.8") == DUNNO
        # The milter counts on a thread of libmilter's.
        guesser = ip_address("198.51.100.7")
        await asyncio.to_thread(house.runtime.brake.unknown, guesser, NOBODY)
        assert (await ask(braked, "198.51.100.7")).startswith(b"action=450 4.7.1 ")
        assert await ask(spared, "198.51.100.8") == DUNNO
        for connection in (braked, spared):
            await _close(connection[1])

    play(scene)


def test_a_flight_of_the_old_runtime_keeps_nothing(play: Play) -> None:
    """An answer that was asked for before a purge is given, but not kept after it."""

    async def scene(house: House) -> None:
        house.resolver.gate = asyncio.Event()
        house.resolver.remembers = False
        reader, writer = await house.connect("policy")
        writer.write(policy_request())
        await _until(lambda: len(house.resolver.asked) == 1)
        house.doors.refresh()
        house.resolver.gate.set()
        assert await reader.readuntil(b"\n\n") == DUNNO
        assert len(house.doors.policy.verdicts) == 0
        await _close(writer)

    play(scene)


def test_stop_under_traffic_answers_what_was_asked(play: Play) -> None:
    """Every request that was sent before the end is answered; then all connections end."""

    async def scene(house: House) -> None:
        async def client(number: int) -> None:
            reader, writer = await house.connect("policy" if number % 2 else "map")
            for turn in range(100_000):
                recipient = f"u{number}.{turn}@example.com"
                if number % 2:
                    writer.write(policy_request(recipient=recipient))
                else:
                    writer.write(map_request("recipient", recipient))
                answer = b""
                with suppress(ConnectionError):  # it came too late: smtpd would ask again
                    answer = await reader.read(4096)
                if not answer:
                    refused.append(turn)
                    break
                assert answer in {DUNNO, b"9:NOTFOUND ,"}
                answered.append(number)
            await _close(writer)

        answered: list[int] = []
        refused: list[int] = []
        clients = [asyncio.ensure_future(client(number)) for number in range(10)]
        await _until(lambda: len(answered) > 200)
        house.resolver.remembers = False
        house.resolver.gate = asyncio.Event()
        await _until(lambda: len(house.resolver.asked) == 10)
        stopping = asyncio.ensure_future(house.doors.stop(5.0))
        await _until(lambda: not house.doors.sockets["policy"])
        with pytest.raises(OSError):  # noqa: PT011  # refused, or not there any more
            await house.connect("policy")
        await _until(lambda: all(c._ending for c in house.doors._connections))
        before = len(answered)
        house.resolver.gate.set()
        await asyncio.gather(stopping, *clients)
        assert len(answered) >= before + 10
        assert len(refused) == 10
        assert not (house.folder / "policy").exists()

    play(scene)


def test_stop_ends_in_time(play: Play) -> None:
    """An answer that does not come holds the end up no longer than it may."""

    async def scene(house: House) -> None:
        house.resolver.gate = asyncio.Event()
        house.resolver.remembers = False
        reader, writer = await house.connect("policy")
        writer.write(policy_request())
        await _until(lambda: len(house.resolver.asked) == 1)
        begun = time.monotonic()
        await house.doors.stop(0.3)
        assert time.monotonic() - begun < 2.0
        assert await _ended(reader) == b""
        await _close(writer)

    play(scene)


# --- listening


def test_mode_of_a_unix_socket(play: Play) -> None:
    """The socket has the mode of the configuration, whatever the umask."""

    async def scene(house: House) -> None:
        for door in ("policy", "map"):
            assert stat.S_IMODE((house.folder / door).stat().st_mode) == 0o640

    before = os.umask(0o077)
    try:
        play(scene, socket_mode=0o640)
    finally:
        os.umask(before)


def _opened(house: House) -> str:
    """Try to open the doors; return what the error says."""

    async def attempt() -> str:
        try:
            await house.doors.open()
        except ListenError as error:
            return str(error)
        await house.doors.stop(0.0)
        return ""

    return asyncio.run(attempt())


def test_a_stale_socket_is_replaced(tmp_path: Path) -> None:
    """What a killed process left behind is no reason not to start."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "policy"))
        sock.listen()
    assert (tmp_path / "policy").is_socket()
    assert _opened(House(tmp_path)) == ""


def test_a_live_socket_is_not_stolen(tmp_path: Path) -> None:
    """The error names the socket and who listens on it; nothing else stays open."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "map"))
        sock.listen()
        text = _opened(House(tmp_path))
        assert f"unix:{tmp_path / 'map'} is in use by " in text
        assert f"(process {os.getpid()})" in text
        assert (tmp_path / "map").is_socket()
    assert not (tmp_path / "policy").exists()


def test_a_file_in_the_place_of_a_socket_stays(tmp_path: Path) -> None:
    """Only sockets are replaced."""
    (tmp_path / "policy").write_text("precious")
    assert "what is there is no socket" in _opened(House(tmp_path))
    assert (tmp_path / "policy").read_text() == "precious"


def test_a_port_in_use_names_its_holder(tmp_path: Path) -> None:
    """The error names the port and who listens on it."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
        house = House(tmp_path)
        house.runtime.policyd.listen = (Endpoint("inet", host="127.0.0.1", port=port),)
        text = _opened(house)
    assert text.startswith(f"inet:127.0.0.1:{port} is in use by ")
    assert text.endswith(f"(process {os.getpid()})")


@pytest.mark.parametrize(
    ("limits", "path", "why"),
    [
        ({"socket_group": "no-such-group"}, "policy", "there is no group no-such-group"),
        ({}, "missing/policy", os.strerror(errno.ENOENT)),
        ({}, "x" * 120, "a path of more than"),
    ],
)
def test_what_cannot_be_opened_is_named(
    tmp_path: Path, limits: dict[str, Any], path: str, why: str
) -> None:
    """The error names the endpoint as the INI writes it, and the reason."""
    house = House(tmp_path, **limits)
    house.runtime.policyd.listen = (Endpoint("unix", path=f"{tmp_path}/{path}"),)
    text = _opened(house)
    assert text.startswith(f"unix:{tmp_path}/{path} cannot be opened: ")
    assert why in text


def test_the_socket_of_a_successor_is_not_removed(tmp_path: Path) -> None:
    """Who stops late removes only what is still its own."""

    async def scene() -> None:
        house = House(tmp_path)
        await house.doors.open()
        (tmp_path / "policy").unlink()
        (tmp_path / "policy").write_text("another's")
        await house.doors.stop(0.0)

    asyncio.run(scene())
    assert (tmp_path / "policy").read_text() == "another's"
