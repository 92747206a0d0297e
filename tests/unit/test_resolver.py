"""Rules of the resolver: what is asked, how long it is waited for, and what serves instead."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING

import pytest

from codomain.cache import Lifetimes
from codomain.errors import DirectoryError
from codomain.flights import OVERDUE
from codomain.resolver import FOREVER, REFRESHING, Answer
from support.decisions import entry, question, told
from support.searching import BOUND, INI, House, Searched

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from codomain.directory.base import Recipient

ANN = entry("ann@corp.local")
SOON = 30.0


def run(test: Coroutine[Any, Any, None]) -> None:
    """Run a test in a loop, with a bound."""
    asyncio.run(asyncio.wait_for(test, BOUND))


async def asked(house: House, recipient: str, seconds: float = SOON) -> Answer:
    """Resolve a recipient under a deadline."""
    return await house.resolver.resolve(question(recipient), time.monotonic() + seconds)


async def verdict(house: House, recipient: str, seconds: float = SOON) -> str:
    """Tell the verdict on a recipient."""
    return told((await asked(house, recipient, seconds)).verdict)


def peeked(house: House, recipient: str) -> str | None:
    """Tell the verdict from memory."""
    answer = house.resolver.peek(question(recipient))
    return None if answer is None else told(answer.verdict)


def lookups(house: House) -> dict[str, int]:
    """Return the counts of cache look-ups."""
    kinds = ("hit", "miss", "stale", "negative_hit")
    return {kind: house.metrics.lookups(kind).count for kind in kinds}


def test_a_thousand_concurrent_misses_of_ten_addresses_make_ten_searches() -> None:
    """One flight per key, for every door."""

    async def test() -> None:
        with House(Searched(*[entry(f"u{n}@corp.local") for n in range(10)])) as house:
            house.directory.gate.clear()
            requests = [
                asyncio.ensure_future(verdict(house, f"u{n % 10}@corp.local")) for n in range(1000)
            ]
            for _ in range(3):
                await asyncio.sleep(0)
            house.directory.gate.set()
            verdicts = await asyncio.gather(*requests)
            assert verdicts == [f"Deliver u{n % 10}@corp.local" for n in range(1000)]
            assert sorted(house.directory.asked) == sorted(f"u{n}@corp.local" for n in range(10))

    run(test())


def test_what_was_asked_once_is_answered_from_memory() -> None:
    """A decision never waits; the second one has no need to."""

    async def test() -> None:
        with House(Searched(ANN)) as house:
            assert peeked(house, "ann@corp.local") is None
            assert await verdict(house, "ann@corp.local") == "Deliver ann@corp.local"
            assert peeked(house, "ann@corp.local") == "Deliver ann@corp.local"
            assert await verdict(house, "nobody@corp.local") == "Refuse unknown"
            assert peeked(house, "nobody@corp.local") == "Refuse unknown"
            assert house.directory.asked == ["ann@corp.local", "nobody@corp.local"]
            assert lookups(house) == {"hit": 1, "miss": 3, "stale": 0, "negative_hit": 1}

    run(test())


def test_a_chain_is_resolved_search_by_search() -> None:
    """Decide, fetch what it needs, decide again."""

    async def test() -> None:
        one, two = entry("a@corp.local", target="b+x@corp.local"), entry("b@corp.local")
        with House(Searched(one, two)) as house:
            assert await verdict(house, "a@corp.local") == "Redirect b+x@corp.local"
            assert house.directory.asked == ["a@corp.local", "b+x@corp.local", "b@corp.local"]

    run(test())


def test_a_deadline_is_kept_while_a_search_blocks() -> None:
    """What is not known by then is an outage, never an absence."""

    async def test() -> None:
        with House(Searched()) as house:
            house.directory.gate.clear()
            began = time.monotonic()
            answer = await asked(house, "nobody+x@corp.local", 0.2)
            assert told(answer.verdict) == "Defer directory"
            assert answer.expires == 0.0
            assert time.monotonic() - began < BOUND / 2

    run(test())


def test_the_deadline_is_for_the_whole_decision() -> None:
    """A chain of slow searches gets no deadline for each of them."""

    class Slow(Searched):
        def find(self, key: str, timeout: float) -> tuple[Recipient, ...]:
            threading.Event().wait(0.1)
            return super().find(key, timeout)

    async def test() -> None:
        chain = [entry(f"c{n}@corp.local", target=f"c{n + 1}@corp.local") for n in range(5)]
        with House(Slow(*chain, entry("c5@corp.local"))) as house:
            # Six searches, each of them well within the deadline, all of them not.
            assert await verdict(house, "c0@corp.local", 0.3) == "Defer directory"

    run(test())


def test_a_search_goes_on_after_the_deadline_and_fills_the_cache() -> None:
    """The sender comes again, and then it is known."""

    async def test() -> None:
        with House(Searched(ANN)) as house:
            house.directory.gate.clear()
            assert await verdict(house, "ann@corp.local", 0.05) == "Defer directory"
            house.directory.gate.set()
            assert await house.flights.fly(("people", "ann@corp.local")) == (ANN,)
            assert peeked(house, "ann@corp.local") == "Deliver ann@corp.local"
            assert house.directory.asked == ["ann@corp.local"]

    run(test())


@pytest.mark.parametrize("error", [DirectoryError("refused"), ValueError("a fault of ours")])
@pytest.mark.parametrize("recipient", ["ann@corp.local", "nobody+x@corp.local", "n@example.com"])
def test_an_error_of_the_directory_is_never_unknown(error: Exception, recipient: str) -> None:
    """Directory down is never "unknown", nor "not here, so it is the other system's"."""

    async def test() -> None:
        with House(Searched(ANN)) as house:
            house.directory.error = error
            assert await verdict(house, recipient) == "Defer directory"
            assert peeked(house, recipient) == "Defer directory"
            assert len(house.directory.asked) == 1

    run(test())


def test_a_failed_search_is_not_repeated_at_once() -> None:
    """failed_ttl: a flood for one address is one search."""

    async def test() -> None:
        with House(Searched()) as house:
            house.directory.error = DirectoryError("refused")
            for _ in range(20):
                assert await verdict(house, "ann@corp.local") == "Defer directory"
            assert len(house.directory.asked) == 1

    run(test())


def test_stale_entries_serve_while_the_directory_is_down_and_recovery_heals() -> None:
    """Past its lifetime a found entry serves while the directory is down, and then no longer."""

    async def test() -> None:
        times = Lifetimes(found=0.0, failed=0.0)
        with House(Searched(ANN), lifetimes=times) as house:
            await verdict(house, "ann@corp.local")
            house.directory.error = DirectoryError("refused")
            # The first one has to find out; all later ones are answered from memory.
            assert await verdict(house, "ann@corp.local") == "Deliver ann@corp.local"
            assert await verdict(house, "nobody@corp.local") == "Defer directory"
            house.directory.gate.clear()
            healed = asyncio.Event()
            house.flights.on_change = lambda _name, detail: None if detail else healed.set()
            house.flights.quiet = 0.0
            assert peeked(house, "ann@corp.local") == "Deliver ann@corp.local"
            assert lookups(house)["stale"] == 2
            house.directory.error = None
            house.directory.entries = {}
            house.directory.gate.set()
            await healed.wait()
            assert await verdict(house, "ann@corp.local") == "Refuse unknown"

    run(test())


def test_a_stale_answer_is_kept_for_failed_ttl_at_most() -> None:
    """A verdict made from a stale entry holds for failed_ttl."""

    async def test() -> None:
        with House(Searched(ANN), lifetimes=Lifetimes(found=0.0, failed=5.0)) as house:
            await verdict(house, "ann@corp.local")
            house.directory.error = DirectoryError("refused")
            answer = await asked(house, "ann@corp.local")
            assert told(answer.verdict) == "Deliver ann@corp.local"
            assert 0 < answer.expires - time.monotonic() <= 5.0
            again = house.resolver.peek(question("ann@corp.local"))
            assert again is not None
            assert 0 < again.expires - time.monotonic() <= 5.0

    run(test())


def test_a_stale_entry_serves_where_the_deadline_cuts_a_search_off() -> None:
    """A directory that hangs is down, too."""

    async def test() -> None:
        with House(Searched(ANN), lifetimes=Lifetimes(found=0.0)) as house:
            await verdict(house, "ann@corp.local")
            house.directory.gate.clear()
            assert await verdict(house, "ann@corp.local", 0.05) == "Deliver ann@corp.local"

    run(test())


def test_who_was_known_waits_for_a_silent_directory_once_and_briefly() -> None:
    """Issue 5: a recipient that was known a minute ago must not wait for it; others may."""

    async def test() -> None:
        ben = entry("ben@corp.local")
        with House(Searched(ANN, ben), lifetimes=Lifetimes(found=0.0)) as house:
            assert await verdict(house, "ann@corp.local") == "Deliver ann@corp.local"
            assert await verdict(house, "ben@corp.local") == "Deliver ben@corp.local"
            house.directory.gate.clear()
            began = time.monotonic()
            assert peeked(house, "ann@corp.local") is None
            assert await verdict(house, "ann@corp.local") == "Deliver ann@corp.local"
            known = time.monotonic() - began
            # One search is overdue: all others who were known wait for nothing.
            assert peeked(house, "ann@corp.local") == "Deliver ann@corp.local"
            assert peeked(house, "ben@corp.local") == "Deliver ben@corp.local"
            began = time.monotonic()
            assert await verdict(house, "bob@corp.local", 3 * OVERDUE) == "Defer directory"
            assert time.monotonic() - began >= 3 * OVERDUE - 0.05
            assert OVERDUE - 0.05 <= known < SOON / 2

    run(test())


def test_behind_an_answer_past_its_lifetime_the_address_is_searched_for() -> None:
    """A directory that was late, or found silent, is believed as soon as it answers."""

    async def test() -> None:
        with House(Searched(ANN), lifetimes=Lifetimes(found=0.0)) as house:
            await verdict(house, "ann@corp.local")
            house.flights.unanswered("people")
            house.directory.entries = {}
            house.directory.gate.clear()
            answer = house.resolver.peek(question("ann@corp.local"))
            assert answer is not None
            assert told(answer.verdict) == "Deliver ann@corp.local"
            # A door keeps it for as long as it keeps any that is just being asked for again.
            assert 0 < answer.expires - time.monotonic() <= REFRESHING
            flight = house.flights.fly(("people", "ann@corp.local"))
            house.directory.gate.set()
            await flight
            assert house.directory.asked == ["ann@corp.local"] * 2
            assert peeked(house, "ann@corp.local") == "Refuse unknown"

    run(test())


def test_an_absence_past_its_lifetime_serves_nobody() -> None:
    """Somebody may have come in the meantime: not found past its lifetime is not known."""

    async def test() -> None:
        with House(Searched(), lifetimes=Lifetimes(not_found=0.0)) as house:
            assert await verdict(house, "new@corp.local") == "Refuse unknown"
            house.directory.error = DirectoryError("refused")
            assert await verdict(house, "new@corp.local") == "Defer directory"

    run(test())


def test_an_entry_in_use_is_refreshed_ahead_by_exactly_one_search() -> None:
    """refresh_ahead: at once from memory, and one search for all who ask meanwhile."""

    async def test() -> None:
        times = Lifetimes(found=1000.0, refresh_ahead=0.0)
        with House(Searched(ANN), lifetimes=times) as house:
            await verdict(house, "ann@corp.local")
            house.directory.gate.clear()
            for _ in range(50):
                assert peeked(house, "ann@corp.local") == "Deliver ann@corp.local"
            for _ in range(2):  # the first search, and the one ahead of the end
                assert await asyncio.to_thread(house.directory.arrived.acquire, timeout=BOUND)
            assert house.directory.asked == ["ann@corp.local"] * 2
            house.directory.gate.set()
            await house.flights.fly(("people", "ann@corp.local"))
            assert house.directory.asked == ["ann@corp.local"] * 2

    run(test())


def test_nothing_is_refreshed_before_its_time() -> None:
    """An entry within refresh_ahead makes no search at all."""

    async def test() -> None:
        with House(Searched(ANN)) as house:
            await verdict(house, "ann@corp.local")
            for _ in range(50):
                peeked(house, "ann@corp.local")
            assert len(house.directory.asked) == 1

    run(test())


def test_a_refresh_that_fails_leaves_what_is_believed() -> None:
    """The entry's lifetime has not ended yet."""

    async def test() -> None:
        times = Lifetimes(found=1000.0, refresh_ahead=0.0)
        with House(Searched(ANN), lifetimes=times) as house:
            await verdict(house, "ann@corp.local")
            house.directory.error = DirectoryError("refused")
            peeked(house, "ann@corp.local")
            await house.flights.fly(("people", "ann@corp.local"))
            assert peeked(house, "ann@corp.local") == "Deliver ann@corp.local"

    run(test())


@pytest.mark.parametrize(
    "recipient", ["someone@elsewhere.test", "@corp.local", "ann", "x@relay.test"]
)
def test_what_no_directory_had_a_part_in_holds_for_ever(recipient: str) -> None:
    """It changes with the configuration alone."""

    async def test() -> None:
        with House(Searched(), ini=INI + "[domain relay.test]\ntype = relay\n") as house:
            answer = house.resolver.peek(question(recipient))
            assert answer is not None
            assert answer.expires == FOREVER
            assert house.directory.asked == []

    run(test())


def test_a_verdict_holds_as_long_as_the_shortest_of_its_answers() -> None:
    """An entry expires with the earliest lifetime that it was made from."""

    async def test() -> None:
        times = Lifetimes(found=1000.0, not_found=50.0)
        with House(Searched(ANN), lifetimes=times) as house:
            found = await asked(house, "ann@corp.local")
            extended = await asked(house, "ann+x@corp.local")
            now = time.monotonic()
            assert 50.0 < found.expires - now <= 1000.0
            assert 0.0 < extended.expires - now <= 50.0
            again = house.resolver.peek(question("ann+x@corp.local"))
            assert again is not None
            assert 0.0 < again.expires - now <= 50.0

    run(test())


def test_a_cache_of_no_size_and_no_lifetime_still_answers() -> None:
    """config.md: size = 0 keeps none; a lifetime of 0s believes nothing."""

    async def test() -> None:
        times = Lifetimes(found=0.0, not_found=0.0, failed=0.0, stale=0.0)
        with House(Searched(ANN), size=0, lifetimes=times) as house:
            for _ in range(3):
                assert await verdict(house, "ann+x@corp.local") == "Deliver ann+x@corp.local"
                assert await verdict(house, "nobody@corp.local") == "Refuse unknown"

    run(test())


def test_a_purge_during_a_request_keeps_its_verdict_out_of_every_cache() -> None:
    """A flight that a purge overtook answers its request, and its verdict must not be kept."""

    async def test() -> None:
        with House(Searched(ANN)) as house:
            house.directory.gate.clear()
            request = asyncio.ensure_future(asked(house, "ann@corp.local"))
            assert await asyncio.to_thread(house.directory.arrived.acquire, timeout=BOUND)
            house.cache.flush()
            house.directory.gate.set()
            answer = await request
            assert told(answer.verdict) == "Deliver ann@corp.local"
            assert answer.expires == 0.0

    run(test())
