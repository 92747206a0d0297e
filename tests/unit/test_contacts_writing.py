"""Rules of the requests that change a directory, and of their answers (RFC 4511)."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import pytest

from codomain.directory import ber, messages, writing
from codomain.directory.ber import ProtocolError
from codomain.directory.link import BrokenError
from codomain.directory.writing import WINDOW, Addition, Modification, WritingWire

if TYPE_CHECKING:
    from collections.abc import Iterator


def answer(identity: int, tag: int, code: int = 0) -> bytes:
    """Write an LDAPResult (section 4.1.9)."""
    body = ber.integer(code, ber.ENUMERATED) + ber.octets("") * 2
    return ber.sequence(ber.integer(identity), ber.element(tag, body))


class _Wire(WritingWire):
    """A wire over a socket that is there already."""

    def __init__(self, connection: socket.socket) -> None:  # no login
        class Server:
            uri = "ldap://pair"

        self.server = Server()  # type: ignore[assignment]
        self._socket = connection
        self._allowed = None
        self._buffer = b""
        self._at = 0
        self._last = 0


@pytest.fixture
def pair() -> Iterator[tuple[_Wire, socket.socket]]:
    """Give a wire, and the server's end of it."""
    ours, theirs = socket.socketpair()
    theirs.settimeout(10)
    yield _Wire(ours), theirs
    ours.close()
    theirs.close()


def test_an_addition_is_written_as_the_standard_has_it() -> None:
    """AddRequest (section 4.7), octet by octet."""
    wanted = (
        b"\x68\x13"  # [APPLICATION 8]
        b"\x04\x04cn=a"
        b"\x30\x0b\x30\x09\x04\x02cn\x31\x03\x04\x01a"
    )
    assert Addition("cn=a", {"cn": (b"a",)}).encode() == wanted


def test_values_in_place_of_others_are_written_as_the_standard_has_it() -> None:
    """ModifyRequest (section 4.6): replace is 2; without values the attribute goes."""
    wanted = (
        b"\x66\x22"  # [APPLICATION 6]
        b"\x04\x04cn=a"
        b"\x30\x1a"
        b"\x30\x0d\x0a\x01\x02\x30\x08\x04\x02sn\x31\x02\x04\x00"
        b"\x30\x09\x0a\x01\x02\x30\x04\x04\x00\x31\x00"
    )
    assert Modification("cn=a", {}, {}, {"sn": (b"",), "": ()}).encode() == wanted


def test_results_find_their_requests_in_any_order(pair: tuple[_Wire, socket.socket]) -> None:
    """Answers carry the messageID of theirs; others are dropped (section 4.1.1.1)."""
    wire, server = pair
    requests = [Addition(f"cn={n}", {"cn": (b"x",)}) for n in range(3)]
    server.sendall(answer(3, 0x69) + answer(99, 0x69, 50) + answer(1, 0x69, 68) + answer(2, 0x69))
    found = [(request.dn, done.code) for request, done in wire.carry_out(requests)]
    assert found == [("cn=2", 0), ("cn=0", 68), ("cn=1", 0)]


def test_no_more_than_a_window_of_requests_is_under_way(pair: tuple[_Wire, socket.socket]) -> None:
    """A server closes the session when too many wait; each result lets one more go."""
    wire, server = pair
    most = 0

    def serve() -> None:
        nonlocal most
        buffer, answered = b"", 0
        waiting: list[int] = []
        while answered < 3 * WINDOW:
            if not waiting or most < WINDOW:
                buffer += server.recv(65536)
            while (size := messages.size(buffer)) and size <= len(buffer):
                waiting.append(ber.Reader(buffer[:size]).inner().integer())
                buffer = buffer[size:]
            most = max(most, len(waiting))
            if most >= WINDOW:
                server.sendall(answer(waiting.pop(0), 0x67))
                answered += 1

    thread = threading.Thread(target=serve)
    thread.start()
    requests = [Modification(f"cn={n}", {}, {}, {}) for n in range(3 * WINDOW)]
    assert len(list(wire.carry_out(requests))) == 3 * WINDOW
    thread.join(10)
    assert most == WINDOW


def test_a_connection_that_ends_is_an_error_and_not_a_result(
    pair: tuple[_Wire, socket.socket],
) -> None:
    """What was not yielded may have been done or not."""
    wire, server = pair
    server.sendall(answer(1, 0x69))
    server.shutdown(socket.SHUT_WR)
    results = wire.carry_out([Addition("cn=1", {}), Addition("cn=2", {})])
    assert next(results)[1].code == 0
    with pytest.raises(BrokenError):
        next(results)


@pytest.mark.parametrize("tag", [0x67, 0x69])
def test_nobody_else_takes_a_writers_result_for_the_end_of_a_search(tag: int) -> None:
    """The daemon sends no changes: such an answer is no answer, and never "not found"."""
    with pytest.raises(ProtocolError):
        messages.decode(answer(1, tag))


@pytest.mark.parametrize(
    "data", [b"\x30\x00", b"\x30\x03\x02\x01\x01", b"\x30\x05\x02\x01\x01\x69\x05"]
)
def test_what_is_no_answer_is_a_broken_connection(
    pair: tuple[_Wire, socket.socket], data: bytes
) -> None:
    """Cut off within itself, without an operation, empty."""
    wire, server = pair
    server.sendall(data)
    with pytest.raises(BrokenError):
        list(wire.carry_out([Addition("cn=1", {})]))


def test_nothing_here_deletes_or_renames() -> None:
    """Add and modify alone: there is no request that could take an entry away."""
    tags = {value for name, value in vars(writing).items() if name in {"_ADD", "_MODIFY"}}
    assert tags == {0x66, 0x68}
    assert not {0x4A, 0x6C} & {value for value in vars(writing).values() if isinstance(value, int)}
