"""Servers that are silent, slow or mad: the deadline holds, and garbage is no answer."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from codomain.directory import deadline as deadline_module
from codomain.errors import DirectoryError
from support.fakeldap import SEARCH, ldap, listening, requests, tlv

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

    from codomain.directory.ldap import LdapDirectory
    from support.fakeldap import Request

    Maker = Callable[..., LdapDirectory]

TIME = 10.0
"""Seconds for an answer: far more than one takes."""

SHORT = 0.5
"""Seconds after which a search is given up."""

LATE = SHORT + 1.0
"""When it must be over on a busy machine; without a deadline it would take forever."""


@contextmanager
def limit(seconds: float) -> Iterator[None]:
    """Fail where something takes longer."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds


def drip(client: socket.socket) -> None:
    """Answer a bind, and a search with one byte at a time, for ever."""
    for request in requests(client):
        if request.operation != SEARCH:
            client.sendall(request.done())
            continue
        client.sendall(b"\x30\x84\x00\x7f\xff\xff")  # eight megabytes will come
        pause = threading.Event()
        while not pause.wait(0.05):
            client.sendall(b"\0")


def drip_from_the_start(client: socket.socket) -> None:
    """Say one byte at a time before anything was asked."""
    pause = threading.Event()
    while not pause.wait(0.05):
        client.sendall(b"\x30")


def many_entries(client: socket.socket) -> None:
    """Answer a search with entries that never end, each one whole."""
    for request in requests(client):
        if request.operation != SEARCH:
            client.sendall(request.done())
            continue
        pause = threading.Event()
        while not pause.wait(0.02):
            client.sendall(request.entry("cn=x", {"mail": [b"x@example.com"]}))


def silence(client: socket.socket) -> None:
    """Take everything and say nothing."""
    while client.recv(4096):
        pass


@pytest.mark.parametrize("handle", [drip, drip_from_the_start, many_entries, silence])
def test_deadline_is_one_for_everything(
    new_directory: Maker, handle: Callable[[socket.socket], None]
) -> None:
    """A server that sends something now and then holds a thread no longer than a silent one."""
    seen: list[str] = []
    with listening(handle) as uri:
        directory = new_directory(uri, observe=lambda _, result, __: seen.append(result))
        with limit(LATE), pytest.raises(DirectoryError):
            directory.find("nobody@example.com", SHORT)
    assert seen == ["timeout"]


@pytest.mark.parametrize("handle", [drip_from_the_start, silence])
@pytest.mark.parametrize("starttls", [False, True])
def test_deadline_holds_during_tls(
    new_directory: Maker, handle: Callable[[socket.socket], None], *, starttls: bool
) -> None:
    """A handshake that never ends is given up too."""
    with listening(handle) as uri:
        if not starttls:
            uri = uri.replace("ldap:", "ldaps:")  # noqa: PLW2901 - the same server
        directory = new_directory(uri, starttls=starttls)
        with limit(LATE), pytest.raises(DirectoryError):
            directory.find("nobody@example.com", SHORT)


def test_timeout_of_the_section_holds_where_the_caller_has_more_time(new_directory: Maker) -> None:
    """``timeout`` is the most that a search takes, whoever asks."""
    with listening(drip) as uri, limit(LATE), pytest.raises(DirectoryError):
        new_directory(uri, timeout=SHORT).find("nobody@example.com", TIME)


def test_short_time_of_a_caller_is_not_the_servers_fault(new_directory: Maker) -> None:
    """A caller with next to no time left does not make the server count as down."""
    with listening(silence) as uri:
        directory = new_directory(uri)
        with pytest.raises(DirectoryError):
            directory.find("nobody@example.com", 0.05)
        assert directory.servers() == [(uri, True)]
        with pytest.raises(DirectoryError):
            directory.find("nobody@example.com", 0.0)
        assert directory.servers() == [(uri, True)]


GARBAGE = [
    b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n" + b"x" * 200,
    b"\0" * 64,
    b"\xff" * 64,
    b"\x30\x00",
    b"\x30\x03\x02\x01\x01",
    b"\x30\x80",
    b"\x30\x05\x04\x03abc",
    b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00" * 3,
    tlv(0x30, tlv(0x30, tlv(0x30, b"\x30" * 50))),
]


@pytest.mark.parametrize("data", GARBAGE, ids=range(len(GARBAGE)))
def test_garbage_is_no_answer(new_directory: Maker, data: bytes) -> None:
    """Whatever ldap3's decoder makes of bytes that are no LDAP, the caller gets our error."""

    def on_bind(client: socket.socket) -> None:
        for _ in requests(client):
            client.sendall(data)

    def on_search(_: Request) -> bytes:
        return data

    for handle in (on_bind, ldap(on_search)):
        with listening(handle) as uri, limit(LATE), pytest.raises(DirectoryError):
            new_directory(uri).find("nobody@example.com", SHORT / 2)


def test_answer_without_end_is_given_up(
    new_directory: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server cannot fill our memory within the deadline."""
    monkeypatch.setattr(deadline_module, "ANSWER_OCTETS", 10_000)
    entry = {"mail": [b"x" * 1000]}
    with (
        listening(ldap(lambda r: r.entry("cn=x", entry) * 20 + r.done())) as uri,
        pytest.raises(DirectoryError, match="longer than 10000 octets"),
    ):
        new_directory(uri).find("nobody@example.com", TIME)
