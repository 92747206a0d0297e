"""Rules of the pool: never more connections than its size, and no caller waits past its time."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, cast

import pytest

from codomain.directory.pool import Pool, SlotError
from codomain.directory.servers import Server, parse_server
from codomain.errors import DirectoryError

if TYPE_CHECKING:
    from codomain.directory.link import Link

ONE = parse_server("ldap://one.example")
TWO = parse_server("ldap://two.example")
BOUND = 10.0
"""Seconds after which a test gives up waiting for another thread."""


class FakeLink:
    """A connection without a network."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.alive = True
        self.closed = False
        self.aborted = False

    def usable(self) -> bool:
        """Tell whether it may be used again."""
        return self.alive

    def close(self) -> None:
        """Close it."""
        self.closed = True

    def abort(self) -> None:
        """End what is done on it."""
        self.aborted = True


def opened(pool: Pool, server: Server = ONE) -> FakeLink:
    """Add a new connection to a pool."""
    link = FakeLink(server)
    pool.add(cast("Link", link))
    return link


def given_back(pool: Pool, server: Server = ONE) -> FakeLink:
    """Add a new connection to a pool, idle."""
    link = opened(pool, server)
    pool.give_back(cast("Link", link))
    return link


def soon() -> float:
    """Return a deadline that no test reaches."""
    return time.monotonic() + BOUND


def test_connection_is_used_again_for_its_server() -> None:
    """An idle connection serves the next search of the same server, and no other server's."""
    pool = Pool(4)
    link = given_back(pool)
    assert pool.take(TWO) is None
    assert pool.take(ONE) is cast("Link", link)
    assert pool.take(ONE) is None


def test_connection_used_last_is_used_first() -> None:
    """So that those that are not needed grow old."""
    pool = Pool(4)
    first, second = opened(pool), opened(pool)
    pool.give_back(cast("Link", first))
    pool.give_back(cast("Link", second))
    assert pool.take(ONE) is cast("Link", second)


def test_connection_that_is_not_usable_is_closed() -> None:
    """One that the server closed meanwhile costs no search."""
    pool = Pool(4)
    good, bad = opened(pool), opened(pool)
    pool.give_back(cast("Link", good))
    pool.give_back(cast("Link", bad))
    bad.alive = False
    assert pool.take(ONE) is cast("Link", good)
    assert bad.closed


def test_idle_connections_make_room() -> None:
    """There are never more than the pool's size, whatever servers they lead to."""
    pool = Pool(2)
    old, new = opened(pool), opened(pool)
    pool.give_back(cast("Link", old))
    pool.give_back(cast("Link", new))
    opened(pool, TWO)
    assert (old.closed, new.closed) == (True, False)


def test_slot_is_not_waited_for_past_the_deadline() -> None:
    """A caller that gets no slot in its time gets an error, not a place in a queue."""
    pool = Pool(1)
    with pool.slot(soon()), pytest.raises(SlotError), pool.slot(time.monotonic() + 0.01):
        pass


def test_slot_is_free_again_after_an_error() -> None:
    """A search that fails gives its slot back."""
    pool = Pool(1)
    with pytest.raises(KeyError), pool.slot(soon()):
        raise KeyError
    with pool.slot(time.monotonic()):
        pass


def test_slot_goes_to_who_waits() -> None:
    """A caller that waits gets the slot that another gives back."""
    pool = Pool(1)
    got = threading.Event()

    def wait() -> None:
        with pool.slot(soon()):
            got.set()

    with pool.slot(soon()):
        waiter = threading.Thread(target=wait)
        waiter.start()
        assert not got.is_set()
    assert got.wait(BOUND)
    waiter.join(BOUND)


def test_idle_connections_of_one_server_are_thrown_away() -> None:
    """A server that restarted has closed them all; those of the others stay."""
    pool = Pool(4)
    one, two = given_back(pool), given_back(pool, TWO)
    pool.discard_idle(ONE)
    assert (one.closed, two.closed) == (True, False)
    assert pool.take(ONE) is None


def test_close_ends_everything() -> None:
    """Idle connections are closed, busy ones are ended, and nothing new begins."""
    pool = Pool(4)
    busy, idle = opened(pool), opened(pool)
    pool.give_back(cast("Link", idle))
    pool.close()
    assert (busy.aborted, idle.closed) == (True, True)
    with pytest.raises(DirectoryError), pool.slot(soon()):
        pass
    with pytest.raises(DirectoryError):
        pool.take(ONE)
    pool.give_back(cast("Link", busy))
    assert busy.closed
    late = FakeLink(ONE)
    with pytest.raises(DirectoryError):
        pool.add(cast("Link", late))
    assert late.closed


def test_close_wakes_who_waits_for_a_slot() -> None:
    """A thread that waits is not left behind."""
    pool = Pool(1)
    errors: list[DirectoryError] = []

    def wait() -> None:
        try:
            with pool.slot(soon()):
                pass
        except DirectoryError as error:
            errors.append(error)

    with pool.slot(soon()):
        waiter = threading.Thread(target=wait)
        waiter.start()
        pool.close()
        waiter.join(BOUND)
    assert len(errors) == 1
    assert not isinstance(errors[0], SlotError)


def test_a_slot_may_be_taken_without_waiting() -> None:
    """The event loop takes one where there is one, and hears at once where there is none."""
    pool = Pool(1)
    assert pool.try_slot()
    assert not pool.try_slot()
    with pytest.raises(SlotError), pool.slot(time.monotonic()):
        pass
    pool.free_slot()
    with pool.slot(soon()):
        assert not pool.try_slot()
    assert pool.try_slot()


def test_a_slot_that_the_loop_gives_back_wakes_a_thread() -> None:
    """Threads and the loop share the slots."""
    pool = Pool(1)
    assert pool.try_slot()
    got = threading.Event()

    def wait() -> None:
        with pool.slot(soon()):
            got.set()

    waiter = threading.Thread(target=wait)
    waiter.start()
    pool.free_slot()
    assert got.wait(BOUND)
    waiter.join(BOUND)


def test_no_slot_of_a_closed_directory_can_be_taken() -> None:
    """Not even without waiting."""
    pool = Pool(1)
    pool.close()
    with pytest.raises(DirectoryError):
        pool.try_slot()
