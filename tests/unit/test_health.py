"""Whether the directories answer: what /readyz knows, and that it never stops asking."""

from __future__ import annotations

import asyncio
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


def runtime(generation: int, **directories: Checked) -> SimpleNamespace:
    """Make a runtime of some directories, whose searches all succeed."""
    flights = SimpleNamespace(down={}, answered=lambda _name: None)
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
        people.error = None
        await until(lambda: watch.silent() == set())
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
