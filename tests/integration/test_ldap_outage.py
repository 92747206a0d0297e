"""Servers that are down, silent, slow or mad: the deadline holds, and service comes back."""

from __future__ import annotations

import select
import socket
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from codomain.directory import link as link_module
from codomain.directory import servers as servers_module
from codomain.directory.servers import parse_server
from codomain.errors import DirectoryError
from support.fakeldap import SEARCH, disconnection, ldap, listening, requests

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from codomain.directory.ldap import LdapDirectory
    from support.fakeldap import Request
    from support.slapd import Slapd

    Maker = Callable[..., LdapDirectory]

TIME = 10.0
"""Seconds for an answer: far more than one takes."""

SHORT = 0.5
"""Seconds after which a search is given up, where a test waits for that."""

LATE = SHORT + 1.0
"""When it must be over on a busy machine; without a deadline it would take forever."""


@pytest.fixture(autouse=True)
def short_cool_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let dead servers be tried again soon."""
    monkeypatch.setattr(servers_module, "COOL_DOWN", 0.05)
    monkeypatch.setattr(servers_module, "COOL_DOWN_MAX", 0.1)
    monkeypatch.setattr(servers_module, "LOCKOUT_WAIT", 0.1)


def unused_uri() -> str:
    """Return the URI of a port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"ldap://127.0.0.1:{listener.getsockname()[1]}"


def until(found: Callable[[], bool]) -> bool:
    """Wait for a condition, with a bound."""
    end = time.monotonic() + TIME
    while time.monotonic() < end:
        if found():
            return True
        time.sleep(0.01)
    return False


def finds(directory: LdapDirectory) -> bool:
    """Tell whether a directory finds what is there."""
    try:
        return len(directory.find("ann@example.com", TIME)) == 1
    except DirectoryError:
        return False


@contextmanager
def limit(seconds: float) -> Iterator[None]:
    """Fail where something takes longer."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds


def test_connections_that_died_with_a_restart_are_replaced_at_once(
    new_slapd: Callable[..., Slapd], new_directory: Maker
) -> None:
    """No search fails after a server restarted, though all idle connections are dead."""
    server = new_slapd()
    directory = new_directory(server.ldap, pool_size=3)
    gate = threading.Barrier(3)
    links = directory._pool

    def search() -> None:
        with links.slot(time.monotonic() + TIME):
            gate.wait(TIME)  # all three are in use at once
            directory._ask(parse_server(server.ldap), "ann@example.com", time.monotonic() + TIME)

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    server.restart()
    assert len(directory.find("ann@example.com", TIME)) == 1
    assert directory.find("nobody@example.com", TIME) == ()


def test_connection_that_dies_under_a_search_is_replaced(new_directory: Maker) -> None:
    """A server that closes an idle connection at the very moment costs one more try, no error."""
    searches: list[int] = []

    def hang_up_once(client: socket.socket) -> None:
        for request in requests(client):
            if request.operation == SEARCH:
                searches.append(request.message_id)
                if len(searches) == 2:
                    return
            client.sendall(request.done())

    with listening(hang_up_once) as uri:
        directory = new_directory(uri)
        assert directory.find("nobody@example.com", TIME) == ()
        assert directory.find("nobody@example.com", TIME) == ()
    assert len(searches) == 3


def test_directory_that_is_down_is_no_answer_and_heals(
    new_slapd: Callable[..., Slapd], new_directory: Maker
) -> None:
    """While slapd is down nothing is "not there"; when it is back, no restart is needed."""
    server = new_slapd()
    directory = new_directory(server.ldap)
    assert finds(directory)
    server.stop()
    for key in ("ann@example.com", "nobody@example.com"):
        with limit(LATE), pytest.raises(DirectoryError):
            directory.find(key, SHORT)
    with pytest.raises(DirectoryError):
        directory.check()
    assert directory.servers() == [(server.ldap, False)]
    server.start()
    assert until(lambda: finds(directory))
    assert directory.servers() == [(server.ldap, True)]


def test_directory_that_is_down_at_start_heals(
    new_slapd: Callable[..., Slapd], new_directory: Maker
) -> None:
    """A directory is made without a server, and finds it when it comes."""
    server = new_slapd()
    server.stop()
    directory = new_directory(server.ldap)
    assert not finds(directory)
    server.start()
    assert until(lambda: finds(directory))


def test_server_that_is_down_is_not_asked_during_its_cool_down(
    new_directory: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Callers get their error at once, and the server is left alone."""
    monkeypatch.setattr(servers_module, "COOL_DOWN", 60.0)
    monkeypatch.setattr(servers_module, "COOL_DOWN_MAX", 60.0)
    seen: list[tuple[str, str]] = []
    uri = unused_uri()
    directory = new_directory(uri, observe=lambda server, result, _: seen.append((server, result)))
    with pytest.raises(DirectoryError, match="refused"):
        directory.find("ann@example.com", TIME)
    with pytest.raises(DirectoryError, match="no server is up; the next try is in"):
        directory.find("ann@example.com", TIME)
    assert seen == [(uri, "error"), ("", "error")]


def test_second_server_answers_for_a_dead_one(slapd: Slapd, new_directory: Maker) -> None:
    """The first search already gets its answer, from the next server of the list."""
    dead = unused_uri()
    directory = new_directory(dead, slapd.ldap)
    assert directory.trace("ann@example.com", TIME).server == slapd.ldap
    assert directory.find("nobody@example.com", TIME) == ()
    assert directory.servers() == [(dead, False), (slapd.ldap, True)]


def test_second_server_answers_for_a_silent_one(slapd: Slapd, new_directory: Maker) -> None:
    """A first server that takes the connection and says nothing leaves time for the next."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"ldap://127.0.0.1:{silent.getsockname()[1]}"
        directory = new_directory(uri, slapd.ldap, timeout=2.0)
        assert directory.trace("ann@example.com", TIME).server == slapd.ldap
        assert directory.servers() == [(uri, False), (slapd.ldap, True)]


def test_first_server_is_asked_again_when_it_is_back(
    new_slapd: Callable[..., Slapd], slapd: Slapd, new_directory: Maker
) -> None:
    """The order of the INI counts again as soon as the first server is up."""
    first = new_slapd()
    directory = new_directory(first.ldap, slapd.ldap)
    first.stop()
    assert directory.trace("ann@example.com", TIME).server == slapd.ldap
    first.start()
    assert until(lambda: directory.trace("ann@example.com", TIME).server == first.ldap)


def test_no_third_server_is_asked(new_directory: Maker, slapd: Slapd) -> None:
    """One more try, not one for each server: the caller's time is short."""
    directory = new_directory(unused_uri(), unused_uri(), slapd.ldap)
    with pytest.raises(DirectoryError):
        directory.find("ann@example.com", TIME)
    assert finds(directory)


def test_caller_that_gets_no_connection_in_time_gets_an_error(new_directory: Maker) -> None:
    """A pool that is full of slow searches does not make others wait past their deadline."""
    asked, seen = threading.Event(), []
    answer = threading.Event()

    def slow(request: Request) -> bytes:
        asked.set()
        answer.wait(TIME)
        return request.done()

    with listening(ldap(slow)) as uri:
        directory = new_directory(
            uri, pool_size=1, observe=lambda server, result, _: seen.append((server, result))
        )
        first = threading.Thread(target=directory.find, args=("nobody@example.com", TIME))
        first.start()
        assert asked.wait(TIME)
        with limit(LATE), pytest.raises(DirectoryError, match="all 1 connections are in use"):
            directory.find("nobody@example.com", 0.1)
        answer.set()
        first.join()
    assert seen == [("", "timeout"), (uri, "not_found")]


def test_close_ends_a_search_under_way(new_directory: Maker) -> None:
    """A stop does not wait for a directory that is silent."""
    asked = threading.Event()
    errors: list[DirectoryError] = []

    def silent(_: Request) -> bytes:
        asked.set()
        return b""

    def search(directory: LdapDirectory) -> None:
        try:
            directory.find("nobody@example.com", TIME)
        except DirectoryError as error:
            errors.append(error)

    with listening(ldap(silent)) as uri:
        directory = new_directory(uri)
        thread = threading.Thread(target=search, args=(directory,))
        thread.start()
        assert asked.wait(TIME)
        with limit(TIME / 2):
            directory.close()
            thread.join()
    assert len(errors) == 1
    with pytest.raises(DirectoryError, match="closed"):
        directory.find("nobody@example.com", TIME)


def test_connection_that_was_idle_for_long_is_not_used(
    slapd: Slapd, new_directory: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A firewall may have forgotten it, silently: it would cost the whole deadline."""
    directory = new_directory(slapd.ldap)
    assert finds(directory)
    before = directory._pool._idle[0]
    assert finds(directory)
    assert directory._pool._idle[0] is before
    monkeypatch.setattr(link_module, "IDLE_LIMIT", -1.0)
    assert finds(directory)
    assert directory._pool._idle[0] is not before


def test_connection_that_the_server_gave_up_is_not_used(new_directory: Maker) -> None:
    """What can be read from an idle connection is its end: no search is sent over it."""
    give_up = threading.Semaphore(0)
    searches: list[list[int]] = []

    def one_search(client: socket.socket) -> None:
        mine: list[int] = []
        searches.append(mine)
        for request in requests(client):
            client.sendall(request.done())
            if request.operation == SEARCH:
                mine.append(request.message_id)
                give_up.acquire(timeout=TIME)
                client.sendall(disconnection())

    with listening(one_search) as uri:
        directory = new_directory(uri)
        for _ in range(3):
            assert directory.find("nobody@example.com", TIME) == ()
            give_up.release()
            connection = directory._pool._idle[0]._connection
            assert connection is not None
            assert connection.socket is not None
            assert select.select([connection.socket._raw], [], [], TIME)[0]
    assert [len(mine) for mine in searches] == [1, 1, 1]
