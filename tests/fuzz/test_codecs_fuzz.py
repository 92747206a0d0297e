"""Whatever bytes come, however they are split: the codecs agree with themselves and never break."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from codomain_policyd.errors import ProtocolError
from codomain_policyd.policy import (
    PolicyDecoder,
    line_by_line,
    parse_request,
    quick,
)
from codomain_policyd.policy_door import question_of
from codomain_policyd.socketmap import REQUEST_OCTETS, MapDecoder
from support.doors import POSTFIX_ORDER, map_request, policy_request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

LINE = st.sampled_from(
    [
        b"request=smtpd_access_policy\n",
        b"protocol_state=RCPT\n",
        b"protocol_state=DATA\n",
        b"client_address=192.0.2.1\n",
        b"recipient=ann@example.com\n",
        b"recipient=\0\xff\n",
        b"sender=\n",
        b"=\n",
        b"x\n",
        b"\n",
        b"\r\n",
        b"helo_name=recipient=evil@example.com\n",
        b"sasl_method=\n",
    ]
)
POLICY_BYTES = st.one_of(
    st.binary(max_size=300),
    st.lists(LINE, max_size=20).map(b"".join),
    st.lists(st.just(policy_request()), max_size=3).map(b"".join),
)
FRAME = st.one_of(
    st.binary(max_size=20),
    st.builds(
        map_request,
        st.sampled_from(["alias", "transport", ""]),
        st.text(st.characters(codec="utf-8"), max_size=40),
    ),
    st.sampled_from([b"3:abc,", b"0:,", b"03:a b,", b"9", b":", b",", b"99999:"]),
)
MAP_BYTES = st.lists(FRAME, max_size=6).map(b"".join)


def _read(decoder: Any, chunks: Iterable[bytes]) -> tuple[list[object], str]:  # noqa: ANN401
    """Return the requests, and the word of the fault that ended them."""
    found = []
    try:
        for chunk in chunks:
            decoder.feed(chunk)
            while (request := decoder.next()) is not None:
                found.append(request)
    except ProtocolError as fault:
        return found, fault.kind
    return found, ""


def _split(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in pairwise(places)]


def _agree(make: Callable[[], object], data: bytes, cuts: list[int]) -> None:
    assert _read(make(), [data]) == _read(make(), _split(data, cuts))


@given(POLICY_BYTES, st.lists(st.integers(0, 2000), max_size=12))
def test_policy_requests_do_not_depend_on_splits(data: bytes, cuts: list[int]) -> None:
    """The same bytes are the same requests and the same fault, wherever they were split."""
    _agree(PolicyDecoder, data, cuts)


@given(MAP_BYTES, st.lists(st.integers(0, 500), max_size=12))
def test_map_requests_do_not_depend_on_splits(data: bytes, cuts: list[int]) -> None:
    """The same bytes are the same requests and the same fault, wherever they were split."""
    _agree(MapDecoder, data, cuts)


@given(MAP_BYTES)
def test_map_requests_are_bounded(data: bytes) -> None:
    """No request is longer than it may be, and its parts are those of its frame."""
    for request in _read(MapDecoder(), [data])[0]:
        assert isinstance(request.frame, bytes)  # type: ignore[attr-defined]
        content = request.name + b" " + request.key  # type: ignore[attr-defined]
        assert len(content) <= REQUEST_OCTETS
        assert request.frame == b"%d:%s," % (len(content), content)  # type: ignore[attr-defined]


@given(
    st.sampled_from(["client_address", "recipient", "helo_name", "sender", "sasl_username"]),
    st.binary(max_size=60).filter(lambda value: b"\n" not in value),
)
def test_the_hot_path_reads_as_the_careful_reader(name: str, value: bytes) -> None:
    """Where the quick pattern matches, it gives the client and recipient of the careful reader."""
    data = policy_request(**{name: "@@"}).replace(b"=@@\n", b"=" + value + b"\n")
    request = line_by_line(data)
    match = quick(data)
    assert match is not None
    assert match.group(1, 2) == (request.client, request.recipient)
    question_of(request)


@given(st.permutations(POSTFIX_ORDER), st.lists(st.sampled_from(POSTFIX_ORDER), max_size=3))
def test_the_hot_path_never_reads_what_the_careful_reader_refuses(
    order: list[str], more: list[str]
) -> None:
    """With attributes in any order or twice: no other recipient, and no fault overlooked."""
    data = policy_request([*order, *more])
    match = quick(data)
    if match is None:
        return
    try:
        request = line_by_line(data)
    except ProtocolError:
        # Then the rest cannot have come out of the careful reader before.
        assert any(b"\n%s=" % name.encode() in match[3] for name in more)
    else:
        assert match.group(1, 2) == (request.client, request.recipient)


def _by(reader: Callable[[bytes], object], block: bytes) -> object:
    try:
        return reader(block)
    except ProtocolError as fault:
        return fault.kind


@given(
    st.integers(0, len(POSTFIX_ORDER)),
    st.integers(0, 2),
    st.lists(
        st.one_of(
            LINE,
            st.builds(
                lambda name, tail: name.encode() + tail + b"\n",
                st.sampled_from(POSTFIX_ORDER),
                st.sampled_from([b"", b"=", b"=x", b"x=", b"=\xff\0", b"=a=b", b"_x=", b"=\r"]),
            ),
        ),
        max_size=3,
    ),
)
def test_a_request_in_postfix_order_is_read_as_line_by_line(
    at: int, dropped: int, put: list[bytes]
) -> None:
    """Some lines of a real request are replaced: the pattern reads what the loop reads, or not."""
    lines = policy_request(recipient="ann@example.com").splitlines(keepends=True)[:-1]
    block = b"".join([*lines[:at], *put, *lines[at + dropped :], b"\n"])
    if b"\n\n" in block[:-2] or block.startswith(b"\n"):
        return  # the decoder cuts there
    assert _by(parse_request, block) == _by(line_by_line, block)
