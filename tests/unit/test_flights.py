"""Rules of the searches under way: one for each address, and what they may store."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from codomain import flights as flights_module
from codomain.cache import State
from codomain.errors import DirectoryError, NotInIndexError
from support.decisions import entry
from support.searching import BOUND, House, Searched

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

KEY = ("people", "ann@corp.local")
ANN = entry("ann@corp.local")


def run(test: Coroutine[Any, Any, None]) -> None:
    """Run a test in a loop, with a bound."""
    asyncio.run(asyncio.wait_for(test, BOUND))


async def begun(directory: Searched) -> None:
    """Wait until a search has begun."""
    arrived = await asyncio.to_thread(directory.arrived.acquire, timeout=BOUND)
    assert arrived


def known(house: House, key: tuple[str, str] = KEY) -> State | None:
    """Tell what the cache holds now."""
    found = house.cache.get(key, asyncio.get_running_loop().time())
    return found.state if found else None


def test_an_address_is_searched_once_however_many_wait() -> None:
    """One flight per key; all who wait get what it found."""

    async def test() -> None:
        with House(Searched(ANN)) as house:
            house.directory.gate.clear()
            flights = [house.flights.fly(KEY) for _ in range(100)]
            house.directory.gate.set()
            assert await asyncio.gather(*flights) == [(ANN,)] * 100
            assert house.directory.asked == [KEY[1]]

    run(test())


def test_what_was_found_is_in_the_cache_when_the_flight_ends() -> None:
    """Found, not found, or failed."""

    async def test() -> None:
        with House(Searched(ANN)) as house:
            await house.flights.fly(KEY)
            assert known(house) is State.FRESH
            await house.flights.fly(("people", "nobody@corp.local"))
            assert known(house, ("people", "nobody@corp.local")) is State.ABSENT
            house.directory.error = DirectoryError("refused")
            assert isinstance(await house.flights.fly(("people", "x@corp.local")), DirectoryError)
            assert known(house, ("people", "x@corp.local")) is State.FAILED

    run(test())


@pytest.mark.parametrize("how", ["purge", "flush", "overtake"])
@pytest.mark.parametrize("error", [None, DirectoryError("refused")])
def test_a_flight_that_a_purge_overtook_stores_nothing(how: str, error: Exception | None) -> None:
    """A flight that began before a purge or reload stores nothing after it; the waiters get it."""

    async def test() -> None:
        with House(Searched(ANN)) as house:
            house.directory.gate.clear()
            house.directory.error = error
            flight = house.flights.fly(KEY)
            await begun(house.directory)
            if how == "purge":
                house.cache.purge([KEY])
            else:
                getattr(house.cache, how)()
            house.directory.gate.set()
            assert (await flight == (ANN,)) is (error is None)
            assert known(house) is None

    run(test())


def test_after_a_purge_the_address_is_searched_again() -> None:
    """Whoever asks after a purge gets no answer from before it."""

    async def test() -> None:
        with House(Searched(ANN)) as house:
            house.directory.gate.clear()
            old = house.flights.fly(KEY)
            await begun(house.directory)
            house.cache.purge([KEY])
            house.directory.entries = {}
            new = house.flights.fly(KEY)
            await begun(house.directory)
            house.directory.gate.set()
            assert (await old, await new) == ((ANN,), ())
            assert known(house) is State.ABSENT

    run(test())


@pytest.mark.parametrize("error", [ValueError("x"), RecursionError(), KeyError(), StopIteration()])
def test_an_unexpected_error_is_an_outage_and_never_an_answer(error: Exception) -> None:
    """A fault of ours says nothing about a recipient."""

    async def test() -> None:
        with House(Searched()) as house:
            house.directory.error = error
            assert isinstance(await house.flights.fly(KEY), DirectoryError)
            assert known(house) is State.FAILED
            assert house.flights.is_down("people")

    run(test())


def test_a_directory_is_down_until_it_answers() -> None:
    """Down and up are said once each, whatever the error's text."""

    async def test() -> None:
        with House(Searched(ANN)) as house:
            said: list[tuple[str, bool]] = []
            house.flights.on_change = lambda name, detail: said.append((name, bool(detail)))
            house.flights.quiet = 0.0
            for error in (DirectoryError("refused"), DirectoryError("")):
                house.directory.error = error
                for number in range(2):
                    await house.flights.fly(("people", f"{number}{error}@corp.local"))
                    assert house.flights.is_down("people")
            house.directory.error = None
            await house.flights.fly(("people", "nobody@corp.local"))
            assert not house.flights.is_down("people")
            assert said == [("people", True), ("people", False)]

    run(test())


def test_one_address_that_an_index_lacks_does_not_make_its_directory_down() -> None:
    """The index answers for whom it has: the gateway stays ready, and that address fails."""

    async def test() -> None:
        with House(Searched(ANN)) as house:
            house.directory.error = NotInIndexError("refused")
            result = await house.flights.fly(KEY)
            assert isinstance(result, DirectoryError)
            assert known(house) is State.FAILED
            assert not house.flights.is_down("people")

    run(test())


def test_a_directory_is_down_for_those_who_were_known_while_a_search_is_overdue(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """From OVERDUE on, and no longer than its oldest search is under way."""
    monkeypatch.setattr(flights_module, "OVERDUE", 0.0)

    async def test() -> None:
        with House(Searched(ANN), threads=1) as house:
            assert not house.flights.is_down("people")
            house.directory.gate.clear()
            first = house.flights.fly(KEY)
            second = house.flights.fly(("people", "ben@corp.local"))
            await begun(house.directory)
            assert house.flights.is_down("people")
            assert house.flights.down == {}  # /readyz says nothing of it: it may be slow
            monkeypatch.setattr(flights_module, "OVERDUE", BOUND)
            assert not house.flights.is_down("people")
            monkeypatch.setattr(flights_module, "OVERDUE", 0.0)
            house.directory.gate.set()
            await first
            assert house.flights.is_down("people") is not second.done()
            await second
            assert not house.flights.is_down("people")

    run(test())


def test_the_oldest_search_alone_says_whether_one_is_overdue(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """When it ends, the one that was begun after it takes its place."""

    async def test() -> None:
        with House(Searched(ANN)) as house:
            house.directory.gate.clear()
            house.flights.fly(KEY)
            house.flights.fly(("people", "ben@corp.local"))
            first, second = house.flights._begun["people"]
            begun = house.flights._begun["people"]
            begun[second] = begun[first] + BOUND  # as if it had begun so much later
            monkeypatch.setattr(flights_module, "OVERDUE", 0.0)
            assert house.flights.is_down("people")
            house.flights._ended(*first)
            assert not house.flights.is_down("people")

    run(test())


def test_whoever_watches_a_directory_may_find_it_down_and_any_answer_ends_it() -> None:
    """So that the first one who was known waits for nothing, either."""

    async def test() -> None:
        with House(Searched(ANN)) as house:
            house.flights.unanswered("people")
            assert house.flights.is_down("people")
            house.flights.answered("people")
            assert not house.flights.is_down("people")
            house.flights.unanswered("people")
            await house.flights.fly(KEY)
            assert not house.flights.is_down("people")

    run(test())


def test_a_state_that_flaps_is_not_told_each_time() -> None:
    """One address that always fails must not fill the log; what holds is told in the end."""

    async def test() -> None:
        with House(Searched(ANN)) as house:
            said: list[bool] = []
            house.flights.on_change = lambda _name, detail: said.append(bool(detail))
            for number in range(6):
                house.directory.error = None if number % 2 else DirectoryError("too long")
                await house.flights.fly(("people", f"{number}@corp.local"))
            assert said == [True]
            house.flights.quiet = 0.0
            await house.flights.fly(("people", "nobody@corp.local"))
            assert said == [True, False]

    run(test())


def test_a_waiter_that_gives_up_takes_no_flight_with_it() -> None:
    """The future is never cancelled: a deadline of one request is no deadline of another."""

    async def test() -> None:
        with House(Searched(ANN)) as house:
            house.directory.gate.clear()
            flight = house.flights.fly(KEY)
            await asyncio.wait({flight}, timeout=0)
            assert not flight.done()
            house.directory.gate.set()
            assert await house.flights.fly(KEY) == (ANN,)

    run(test())


def test_no_more_threads_search_than_the_measured_four() -> None:
    """At most four threads search one directory, whatever pool_size says."""

    async def test() -> None:
        with House(Searched(), threads=16) as house:
            house.directory.gate.clear()
            flights = [house.flights.fly(("people", f"{n}@corp.local")) for n in range(20)]
            for _ in range(4):
                await begun(house.directory)
            assert not house.directory.arrived.acquire(blocking=False)
            assert len(house.directory.asked) == 4
            house.directory.gate.set()
            await asyncio.gather(*flights)

    run(test())


def test_one_more_than_may_wait_is_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    """The queue is bounded; who does not fit waits for nothing and stores nothing."""
    monkeypatch.setattr(flights_module, "MAX_WAITING", 3)

    async def test() -> None:
        with House(Searched(), threads=1) as house:
            house.directory.gate.clear()
            flights = [house.flights.fly(("people", f"{n}@corp.local")) for n in range(4)]
            assert flights[3].done()
            assert isinstance(flights[3].result(), DirectoryError)
            house.directory.gate.set()
            assert await asyncio.gather(*flights[:3]) == [()] * 3
            assert known(house, ("people", "3@corp.local")) is None
            assert await house.flights.fly(("people", "4@corp.local")) == ()

    run(test())


def test_a_search_that_found_no_thread_in_time_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """It asked nobody, so it says nothing of the directory, and is not remembered."""
    monkeypatch.setattr(flights_module, "GRACE", -10.0)

    async def test() -> None:
        with House(Searched(ANN)) as house:
            assert isinstance(await house.flights.fly(KEY), DirectoryError)
            assert house.directory.asked == []
            assert known(house) is None
            assert not house.flights.is_down("people")

    run(test())


def test_closing_ends_what_waits_and_starts_nothing_more() -> None:
    """A request that outlives its configuration gets an outage at once, and never hangs."""

    async def test() -> None:
        with House(Searched(ANN), threads=1) as house:
            house.directory.gate.clear()
            first = house.flights.fly(KEY)
            await begun(house.directory)
            queued = house.flights.fly(("people", "queued@corp.local"))
            house.flights.close()
            assert isinstance(await queued, DirectoryError)
            late = house.flights.fly(("people", "late@corp.local"))
            assert late.done()
            assert isinstance(late.result(), DirectoryError)
            house.directory.gate.set()
            assert await first == (ANN,)
            assert house.directory.asked == [KEY[1]]
            assert not house.flights.is_down("people")

    run(test())
