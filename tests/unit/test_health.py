"""Whether the directories answer: what /readyz knows, and that it never stops asking."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from codomain.errors import DirectoryError
from codomain_cli import health
from codomain_cli.health import Health

if TYPE_CHECKING:
    from collections.abc import Callable

    from codomain.runtime import InForce

SECONDS = 10.0
"""The bound of every wait."""


class Checked:
    """A directory whose check ends as the test says."""

    def __init__(self) -> None:
        self.error: Exception | None = None

    def check(self) -> None:
        """Answer, or raise."""
        if self.error is not None:
            raise self.error


def runtime(generation: int, **directories: object) -> SimpleNamespace:
    """Make a runtime of some directories, whose searches all succeed."""
    found: set[str] = set()
    flights = SimpleNamespace(
        down={}, answered=found.discard, unanswered=found.add, found_silent=found
    )
    return SimpleNamespace(generation=generation, directories=directories, flights=flights)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition on the loop."""
    async with asyncio.timeout(SECONDS):
        while not condition():  # noqa: ASYNC110  # nothing tells of these changes
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("error", [DirectoryError("refused"), RuntimeError("a fault of ours")])
def test_a_directory_that_fails_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Whatever a check raises, the directory counts as silent until it answers."""
    monkeypatch.setattr(health, "DOWN_SECONDS", 0.01)

    async def test() -> None:
        people = Checked()
        people.error = error
        in_force = SimpleNamespace(runtime=runtime(1, people=people))
        watch = Health(cast("InForce", in_force))
        assert watch.silent() == {"people"}  # not asked yet
        task = asyncio.create_task(watch.run())
        await until(lambda: "people" in watch._silent)
        # Whoever was known is not to wait for it, although no search has failed yet.
        assert in_force.runtime.flights.found_silent == {"people"}
        people.error = None
        await until(lambda: watch.silent() == set())
        assert in_force.runtime.flights.found_silent == set()
        assert not task.done()
        task.cancel()

    asyncio.run(test())


def test_a_reload_asks_anew_and_forgets_who_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory of the new configuration is silent until asked; one that left keeps no 503."""
    monkeypatch.setattr(health, "DOWN_SECONDS", 0.01)

    async def test() -> None:
        old, new = Checked(), Checked()
        old.error = DirectoryError("refused")
        in_force = SimpleNamespace(runtime=runtime(1, old=old))
        watch = Health(cast("InForce", in_force))
        task = asyncio.create_task(watch.run())
        await until(lambda: "old" in watch._silent)
        in_force.runtime = runtime(2, new=new)
        assert watch.silent() == {"new"}
        watch.look_now()
        await until(lambda: watch.silent() == set())
        assert watch._silent == {}
        task.cancel()

    asyncio.run(test())


def test_a_reload_forgets_nobody_who_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its searches are told at once, before it has been asked again."""
    monkeypatch.setattr(health, "DOWN_SECONDS", 0.01)

    async def test() -> None:
        people = Checked()
        people.error = DirectoryError("refused")
        in_force = SimpleNamespace(runtime=runtime(1, people=people))
        watch = Health(cast("InForce", in_force))
        task = asyncio.create_task(watch.run())
        await until(lambda: "people" in watch._silent)
        gate = threading.Event()
        again = SimpleNamespace(check=lambda: gate.wait(SECONDS))
        in_force.runtime = runtime(2, people=again)
        watch.look_now()
        await until(lambda: bool(in_force.runtime.flights.found_silent))
        assert not gate.is_set()
        gate.set()
        await until(lambda: watch.silent() == set())
        task.cancel()

    asyncio.run(test())
