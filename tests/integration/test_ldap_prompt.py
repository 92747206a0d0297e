"""Searches that the event loop does itself: what they find, and what a thread takes over."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import TYPE_CHECKING

import pytest

from codomain.cache import Cache, Lifetimes
from codomain.directory.link import Link
from codomain.directory.prompt import PROMPT_OCTETS
from codomain.errors import DirectoryError
from codomain.flights import Flights
from support.fakeldap import SEARCH, ldap, listening, requests

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Coroutine
    from typing import Any

    from codomain.directory.base import Recipient
    from codomain.directory.ldap import LdapDirectory
    from support.authority import Authority
    from support.fakeldap import Request
    from support.slapd import Slapd

    Maker = Callable[..., LdapDirectory]

ANN = "ann@example.com"
NOBODY = "nobody@example.com"
BOUND = 30.0
"""Seconds after which a test gives up."""


class Asking:
    """Flights over one directory, and how many searches began in a thread."""

    def __init__(
        self, directory: LdapDirectory, monkeypatch: pytest.MonkeyPatch, seconds: float
    ) -> None:
        self.threads = 0
        self.resumed = 0
        find, resume = directory.find, directory.resume

        def counted(key: str, timeout: float) -> tuple[Recipient, ...]:
            self.threads += 1
            return find(key, timeout)

        def resumed(started: Any) -> tuple[Recipient, ...]:  # noqa: ANN401 - resume's
            self.resumed += 1
            return resume(started)

        monkeypatch.setattr(directory, "find", counted)
        monkeypatch.setattr(directory, "resume", resumed)
        name = directory.name
        self._cache = Cache(100, Lifetimes())
        self.flights = Flights({name: directory}, {name: 4}, {name: seconds}, self._cache)
        self._name = name

    async def ask(self, key: str) -> tuple[Recipient, ...] | DirectoryError:
        """Search for an address, whatever is known of it."""
        return await asyncio.wait_for(self.flights.fly((self._name, key)), BOUND)

    async def count(self, key: str) -> int:
        """Return how many entries have an address; an error fails the test."""
        answer = await self.ask(key)
        assert isinstance(answer, tuple), answer
        return len(answer)


@pytest.fixture
def play(
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., None]:
    """Give a runner of tests that ask a directory."""

    def run(
        directory: LdapDirectory,
        test: Callable[[Asking], Coroutine[Any, Any, None]],
        seconds: float = BOUND,
    ) -> None:
        async def whole() -> None:
            asking = Asking(directory, monkeypatch, seconds)
            try:
                await test(asking)
            finally:
                asking.flights.close()

        asyncio.run(whole())

    return run


@pytest.mark.parametrize("way", ["ldap", "ldaps", "ldapi", "starttls"])
def test_over_an_idle_connection_no_thread_searches(
    way: str, slapd: Slapd, authority: Authority, new_directory: Maker, play: Callable[..., None]
) -> None:
    """The first search opens the connection in a thread; the next ones need none."""
    uri = {"ldaps": slapd.ldaps, "ldapi": slapd.ldapi}.get(way, slapd.ldap)
    directory = new_directory(uri, starttls=way == "starttls", ca_file=str(authority.file))

    async def test(asking: Asking) -> None:
        first = await asking.ask(ANN)
        assert isinstance(first, tuple)
        assert [entry.primary for entry in first] == ["Ann@example.com"]
        for _ in range(3):
            assert await asking.ask(ANN) == first
            assert await asking.ask(NOBODY) == ()
            assert await asking.count("twice@example.com") == 2
        assert (asking.threads, asking.resumed) == (1, 0)

    play(directory, test)


def test_connection_that_died_while_it_was_idle_costs_no_answer(
    new_slapd: Callable[..., Slapd], new_directory: Maker, play: Callable[..., None]
) -> None:
    """After a restart of slapd the next search opens another connection."""
    server = new_slapd()

    async def test(asking: Asking) -> None:
        await asking.ask(ANN)
        server.restart()
        assert await asking.count(ANN) == 1
        assert await asking.count(ANN) == 1
        assert asking.threads == 2

    play(new_directory(server.ldap), test)


def test_connection_that_dies_under_a_search_is_replaced(
    new_directory: Maker, play: Callable[..., None]
) -> None:
    """The thread that takes over asks the same server once more over a new connection."""
    searches: list[int] = []

    def hang_up_once(client: socket.socket) -> None:
        for request in requests(client):
            if request.operation == SEARCH:
                searches.append(request.message_id)
                if len(searches) == 2:
                    return
            client.sendall(request.done())

    async def test(asking: Asking) -> None:
        assert await asking.ask(NOBODY) == ()
        assert await asking.ask("other@example.com") == ()
        assert (asking.threads, asking.resumed) == (1, 1)

    with listening(hang_up_once) as uri:
        play(new_directory(uri), test)
    assert len(searches) == 3


def test_silent_server_gets_half_the_time_and_the_next_one_answers(
    slapd: Slapd, new_directory: Maker, play: Callable[..., None]
) -> None:
    """Silence on the loop is blamed as in a thread, and the second server is asked in time."""
    told: list[tuple[str, str]] = []

    def silent_later(client: socket.socket) -> None:
        for number, request in enumerate(requests(client)):
            if number < 2:
                client.sendall(request.done())

    async def test(asking: Asking) -> None:
        assert await asking.ask(NOBODY) == ()
        began = time.monotonic()
        assert await asking.count(ANN) == 1
        assert time.monotonic() - began >= 1.0
        assert asking.resumed == 1

    with listening(silent_later) as uri:
        directory = new_directory(
            uri,
            slapd.ldap,
            timeout=2.0,
            observe=lambda server, result, _: told.append((server, result)),
        )
        play(directory, test, 2.0)
        assert told == [(uri, "not_found"), (uri, "timeout"), (slapd.ldap, "found")]
        assert directory.servers() == [(uri, False), (slapd.ldap, True)]


def test_a_result_that_is_no_success_is_no_answer(
    new_directory: Maker, play: Callable[..., None]
) -> None:
    """``busy`` (51) is an outage, and the server is left alone."""
    codes = iter([0, 51])

    async def test(asking: Asking) -> None:
        assert await asking.ask(NOBODY) == ()
        answer = await asking.ask("other@example.com")
        assert isinstance(answer, DirectoryError)
        assert "busy" in str(answer)

    with listening(ldap(lambda request: request.done(next(codes)))) as uri:
        directory = new_directory(uri)
        play(directory, test)
        assert directory.servers() == [(uri, False)]


def test_values_that_the_server_kept_back_are_fetched_in_a_thread(
    new_directory: Maker, play: Callable[..., None]
) -> None:
    """The second part of proxyAddresses has the address (MS-ADTS 3.1.1.3.1.3.3)."""

    def answer(request: Request) -> bytes:
        if b"range=1-*" in request.body:
            part = {"proxyAddresses;range=1-*": [b"smtp:ann@example.com"]}
        elif b"ann" in request.body:
            part = {"proxyAddresses;range=0-0": [b"smtp:a@example.com"]}
        else:
            return request.done()
        return request.entry("cn=Ann", part) + request.done()

    async def test(asking: Asking) -> None:
        assert await asking.ask(NOBODY) == ()
        found = await asking.ask(ANN)
        assert isinstance(found, tuple)
        assert [entry.addresses for entry in found] == [("a@example.com", ANN)]
        assert (asking.threads, asking.resumed) == (1, 1)

    with listening(ldap(answer)) as uri:
        play(new_directory(uri), test)


def test_a_long_answer_is_read_in_a_thread(new_directory: Maker, play: Callable[..., None]) -> None:
    """To fold thousands of addresses takes milliseconds, for which the loop has no time."""
    values = [b"smtp:ann@example.com", *(b"smtp:a%05d@example.com" % n for n in range(3000))]
    assert sum(map(len, values)) > PROMPT_OCTETS

    def answer(request: Request) -> bytes:
        if b"ann" not in request.body:
            return request.done()
        return request.entry("cn=Ann", {"proxyAddresses": values}) + request.done()

    async def test(asking: Asking) -> None:
        assert await asking.ask(NOBODY) == ()
        found = await asking.ask(ANN)
        assert isinstance(found, tuple)
        assert [len(entry.addresses) for entry in found] == [3001]
        assert (asking.threads, asking.resumed) == (1, 1)
        assert await asking.ask(NOBODY) == ()
        assert asking.threads == 1  # the connection and the slot are free again

    with listening(ldap(answer)) as uri:
        play(new_directory(uri), test)


def test_a_crowd_shares_the_connections_and_none_is_lost(
    slapd: Slapd, new_directory: Maker, play: Callable[..., None]
) -> None:
    """Never more connections than pool_size, and everybody is answered rightly."""
    directory = new_directory(slapd.ldap, pool_size=2)

    async def test(asking: Asking) -> None:
        await asking.ask(ANN)
        keys = [ANN if n % 2 else f"nobody{n}@example.com" for n in range(200)]
        counts = await asyncio.gather(*(asking.count(key) for key in keys))
        assert counts == [n % 2 for n in range(200)]
        pool = directory._pool
        assert len(pool._idle) + len(pool._busy) <= 2
        assert pool._free == 2

    play(directory, test)


def test_a_directory_that_is_closed_under_a_search_ends_it_at_once(
    new_directory: Maker, play: Callable[..., None]
) -> None:
    """A reload or a stop waits for no server."""
    answered = itertools.count()  # of all connections: a second one is silent from the start

    def silent_later(client: socket.socket) -> None:
        for request in requests(client):
            if next(answered) < 2:
                client.sendall(request.done())

    async def test(asking: Asking) -> None:
        assert await asking.ask(NOBODY) == ()
        flights = [asyncio.ensure_future(asking.ask(f"other{n}@example.com")) for n in range(9)]
        await asyncio.sleep(0)
        began = time.monotonic()
        directory.close()
        for answer in await asyncio.gather(*flights):
            assert isinstance(answer, DirectoryError)
        assert time.monotonic() - began < BOUND / 2

    with listening(silent_later) as uri:
        directory = new_directory(uri)
        play(directory, test)


def test_a_fault_of_ours_on_the_loop_costs_one_answer_and_nothing_more(
    slapd: Slapd, new_directory: Maker, play: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no answer; the slot is free again, and the next search is as ever."""
    directory = new_directory(slapd.ldap, pool_size=1)

    async def test(asking: Asking) -> None:
        assert await asking.count(ANN) == 1
        with monkeypatch.context() as patch:
            patch.setattr(Link, "begin", broken)
            assert isinstance(await asking.ask(ANN), DirectoryError)
        assert await asking.count(ANN) == 1
        with monkeypatch.context() as patch:
            patch.setattr(Link, "read", broken)
            assert isinstance(await asking.ask(ANN), DirectoryError)
        assert await asking.count(ANN) == 1

    def broken(*_: object) -> None:
        raise NameError("of ours")

    play(directory, test)
