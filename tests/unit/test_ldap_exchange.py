"""Rules of one search over a connection: what is sent, and what counts as its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from codomain.directory.ber import ProtocolError
from codomain.directory.exchange import MET, Collector, exchange
from codomain.directory.filters import any_encoded, encode_filter
from codomain.directory.messages import Entry, Search
from support.fakeldap import SEARCH, Request, disconnection

if TYPE_CHECKING:
    from codomain.directory.deadline import DeadlineSocket

ASKED = Search("dc=x", "subtree", "(mail=a@x.example)", ("mail",))
MINE = Request(7, SEARCH, b"")
ENTRY = MINE.entry("cn=a", {"mail": [b"a@x.example"]})


class Wire:
    """A socket that gives what a test says, in the pieces that it says."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = list(pieces)
        self.sent = b""

    def sendall(self, data: bytes) -> None:
        """Take what is sent."""
        self.sent += data

    def recv(self, _octets: int) -> bytes:
        """Give the next piece; none are left: it is closed."""
        return self._pieces.pop(0) if self._pieces else b""

    def socket(self) -> DeadlineSocket:
        """Be what the search is made over."""
        return cast("DeadlineSocket", self)


def test_an_answer_may_come_in_any_pieces() -> None:
    """TCP has no messages: each octet may come alone, and all may come at once."""
    data = ENTRY + MINE.reference("ldap://o.example/") + MINE.done()
    for pieces in ([data], [bytes([octet]) for octet in data], [data[:5], data[5:]]):
        wire = Wire(*pieces)
        answer = exchange(wire.socket(), 7, ASKED)
        assert [entry.raw for entry in answer.entries] == [{"mail": [b"a@x.example"]}]
        assert answer.references == ("ldap://o.example/",)
        assert answer.done.code == 0
        assert wire.sent == ASKED.encode(7)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", OSError),
        (ENTRY, OSError),
        (ENTRY + MINE.done()[:-1], OSError),
        (disconnection(), OSError),
        (Request(8, SEARCH, b"").done(), ProtocolError),
        (Request(7, 0x60, b"").done(), ProtocolError),
        (MINE.done() + ENTRY, ProtocolError),
        (b"HTTP/1.1 400\r\n", ProtocolError),
    ],
    ids=["closed", "no end", "cut", "notice", "other number", "other kind", "more", "no LDAP"],
)
def test_what_is_no_whole_answer_is_an_error(data: bytes, error: type[Exception]) -> None:
    """A miss is what the server says so: a connection that ends says nothing."""
    with pytest.raises(error):
        exchange(Wire(data).socket(), 7, ASKED)


def test_a_result_is_handed_on_as_it_is() -> None:
    """Which results are no answer is the caller's to say."""
    answer = exchange(Wire(MINE.done(51)).socket(), 7, ASKED)
    assert answer.done.code == 51
    assert answer.done.describe() == "busy (51) said so"


def test_encoded_filters_are_joined_as_text_is() -> None:
    """RFC 4515: (|(a)(b)) finds what one of both finds; a single one needs no or."""
    one, two = "(mail=a@x.example)", "(mail=b@x.example)"
    assert any_encoded([encode_filter(one)]) == encode_filter(one)
    both = any_encoded([encode_filter(one), encode_filter(two)])
    assert both == encode_filter(f"(|{one}{two})")
    assert Search("dc=x", "base", both).encode(1) == Search(
        "dc=x", "base", f"(|{one}{two})"
    ).encode(1)


@pytest.mark.parametrize(
    ("text", "octets"),
    [
        (r"\61\62", b"ab"),
        (r"smtp:\61\C3\a9", b"smtp:a\xc3\xa9"),
        (r"x\61y\62", b"xayb"),
        ("plain", b"plain"),
    ],
)
def test_escaped_octets_are_what_they_stand_for(text: str, octets: bytes) -> None:
    r"""RFC 4515 section 3: ``\xx`` is one octet, wherever it stands."""
    assert encode_filter(f"(a={text})").endswith(octets)


def test_an_entry_that_came_before_is_the_same_under_another_id() -> None:
    """What is remembered is all but the messageID, which must be the search's own."""
    met: dict[bytes, Entry] = {}
    for identity in (7, 70_000):
        request = Request(identity, SEARCH, b"")
        entry = request.entry("cn=a", {"mail": [b"a@x.example"]})
        answer = Collector(identity, met).feed(_shortest_id(entry + request.done(), identity))
        assert answer is not None
        assert answer.entries == (Entry(identity, "cn=a", {"mail": [b"a@x.example"]}, ()),)
    assert len(met) == 1


def test_an_entry_that_answers_another_search_is_a_fault_though_it_came_before() -> None:
    """An old answer on a connection says nothing about this search."""
    met: dict[bytes, Entry] = {}
    data = _shortest_id(ENTRY, 7)
    Collector(7, met).feed(data)
    assert met
    with pytest.raises(ProtocolError):
        Collector(8, met).feed(data)


def test_what_is_remembered_is_bounded() -> None:
    """A server with many entries takes no more memory than MET of them."""
    met: dict[bytes, Entry] = {}
    for number in range(3 * MET):
        entry = MINE.entry(f"cn={number}", {"mail": [b"a@x.example"]})
        Collector(7, met).feed(_shortest_id(entry, 7))
        assert 0 < len(met) <= MET


def _shortest_id(data: bytes, identity: int) -> bytes:
    """Write messageIDs as BER's shortest, as servers do; all lengths are short here."""
    whole = b"\x02\x04" + identity.to_bytes(4, "big")
    size = identity.bit_length() // 8 + 1
    short = bytes((2, size)) + identity.to_bytes(size, "big")
    pieces = []
    while data:
        length = data[1]
        assert length < 0x80
        body = data[2 : 2 + length]
        assert body.startswith(whole)
        rest = short + body.removeprefix(whole)
        pieces.append(bytes((0x30, len(rest))) + rest)
        data = data[2 + length :]
    return b"".join(pieces)
