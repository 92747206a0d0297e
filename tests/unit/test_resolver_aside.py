"""Deciding from memory on another thread than the loop's: for the milter's callbacks."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING

from codomain.cache import Lifetimes
from support.decisions import entry, question, told
from support.searching import BOUND, House, Searched

if TYPE_CHECKING:
    from collections.abc import Callable

ANN = entry("ann@corp.local")


def on_a_thread(house: House, recipient: str, later: Callable[..., object]) -> str | None:
    """Decide there."""
    found: list[str | None] = []

    def look() -> None:
        answer = house.resolver.peek_aside(question(recipient), later)
        found.append(None if answer is None else told(answer.verdict))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join(BOUND)
    return found[0]


def forbidden(act: Callable[[], object]) -> None:
    """Nothing is to be left to the loop."""
    raise AssertionError(act)


def test_what_is_known_is_decided_and_counted_apart() -> None:
    """Counts of the loop's thread are its own; the metrics show the sum of both."""

    async def test() -> None:
        with House(Searched(ANN)) as house:
            assert on_a_thread(house, "ann@corp.local", forbidden) is None
            await house.resolver.resolve(question("ann@corp.local"), time.monotonic() + BOUND)
            before = house.metrics.lookups("hit").count
            assert on_a_thread(house, "ann@corp.local", forbidden) == "Deliver ann@corp.local"
            assert house.metrics.lookups("hit").count == before
            assert house.metrics.lookups_aside("hit").count == 1
            assert house.directory.asked == ["ann@corp.local"]
            families = {family.name: family for family in house.metrics.families()}
            samples = families["codomain_cache_lookups"].samples
            hits = [s.value for s in samples if s.labels["result"] == "hit"]
            assert hits == [before + 1]

    asyncio.run(asyncio.wait_for(test(), BOUND))


def test_a_refresh_is_left_to_the_loop() -> None:
    """Flights belong to the loop's thread: the other one hands over what is to be asked again."""

    async def test() -> None:
        times = Lifetimes(found=1000.0, refresh_ahead=0.0)
        with House(Searched(ANN), lifetimes=times) as house:
            await house.resolver.resolve(question("ann@corp.local"), time.monotonic() + BOUND)
            left: list[Callable[[], object]] = []
            assert on_a_thread(house, "ann@corp.local", left.append) == "Deliver ann@corp.local"
            assert house.directory.asked == ["ann@corp.local"]
            for act in left:
                act()
            await asyncio.to_thread(house.directory.arrived.acquire)
            await asyncio.to_thread(house.directory.arrived.acquire)
            assert house.directory.asked == ["ann@corp.local"] * 2

    asyncio.run(asyncio.wait_for(test(), BOUND))
