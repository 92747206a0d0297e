"""Rules of the socketmap codec (socketmap_table(5))."""

from __future__ import annotations

import pytest

from codomain_policyd.errors import ProtocolError
from codomain_policyd.socketmap import (
    ANSWER_OCTETS,
    REQUEST_OCTETS,
    MapDecoder,
    MapRequest,
    encode,
)


def _all(data: bytes, *, step: int | None = None) -> list[MapRequest]:
    decoder = MapDecoder()
    found = []
    for start in range(0, len(data), step or len(data)):
        decoder.feed(data[start : start + (step or len(data))])
        while (request := decoder.next()) is not None:
            found.append(request)
    return found


def test_a_request_is_name_space_key() -> None:
    """The name ends at the first space; the key is whole, further spaces included."""
    (request,) = _all(b"32:transport john doe@example.com x,")
    assert request.name == b"transport"
    assert request.key == b"john doe@example.com x"
    assert request.frame == b"32:transport john doe@example.com x,"


def test_an_empty_key_is_a_key() -> None:
    """Postfix asks for the empty key too."""
    (request,) = _all(b"10:transport ,")
    assert request.key == b""


@pytest.mark.parametrize("step", [1, 2, 5])
def test_splits_and_pipelined_requests(step: int) -> None:
    """Requests may be split anywhere, and sent before the answer to the last one is read."""
    found = _all(b"7:alias a,7:alias b,10:a ,:1:2,3,,", step=step)
    assert [(r.name, r.key) for r in found] == [
        (b"alias", b"a"),
        (b"alias", b"b"),
        (b"a", b",:1:2,3,"),
    ]


def test_binary_is_data() -> None:
    """NUL, commas and colons within the netstring are data."""
    (request,) = _all(b"9:a \0,:\xff\n\r ,")
    assert request.key == b"\0,:\xff\n\r "


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"-1:a b,", "netstring"),
        (b"+3:a b,", "netstring"),
        (b" 3:a b,", "netstring"),
        (b"03:a b,", "netstring"),
        (b"00:,", "netstring"),
        (b"3 :a b,", "netstring"),
        (b"1_0:transport ,", "netstring"),
        ("٣:a b,".encode(), "netstring"),
        (b":a b,", "netstring"),
        (b"GET / HTTP/1.0\r\n", "netstring"),
        (b"3:a bX", "netstring"),
        (b"3:a b\n", "netstring"),
        (b"0:,", "request"),
        (b"3:abc,", "request"),
        (b"%d:" % (REQUEST_OCTETS + 1), "size"),
        (b"99999", "size"),
        (b"123456789", "size"),
    ],
)
def test_what_is_no_netstring_is_a_protocol_error(data: bytes, kind: str) -> None:
    """The length is ASCII digits without sign, space or leading zero, and bounded."""
    with pytest.raises(ProtocolError) as caught:
        _all(data)
    assert caught.value.kind == kind


def test_a_length_that_is_too_long_is_refused_before_anything_is_waited_for() -> None:
    """The bound is checked on the digits alone, even before the colon has come."""
    decoder = MapDecoder()
    decoder.feed(b"8193")
    with pytest.raises(ProtocolError):
        decoder.next()


def test_the_longest_request_is_read() -> None:
    """A request of exactly the permitted length is read."""
    data = b"a " + b"x" * (REQUEST_OCTETS - 2)
    assert len(_all(b"%d:%s," % (len(data), data))) == 1


def test_an_unfinished_length_is_waited_for() -> None:
    """Digits within the bound are no fault, and no request yet."""
    decoder = MapDecoder()
    decoder.feed(b"819")
    assert decoder.next() is None
    assert not decoder.empty


def test_answers_are_netstrings() -> None:
    """NOTFOUND keeps the space that ends it."""
    assert encode(b"NOTFOUND ") == b"9:NOTFOUND ,"
    assert encode(b"OK smtp:[192.0.2.10]") == b"20:OK smtp:[192.0.2.10],"


def test_an_answer_that_is_too_long_is_temporary() -> None:
    """Postfix reads 100,000 octets; half of a value would be another value."""
    assert encode(b"x" * ANSWER_OCTETS).startswith(b"100000:x")
    assert encode(b"x" * (ANSWER_OCTETS + 1)) == b"27:TEMP the answer is too long,"
