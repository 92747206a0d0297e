"""The sign of life for systemd: given while look-ups work, and withheld when they do not."""

from __future__ import annotations

import asyncio
import os
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from codomain.errors import DirectoryError
from codomain.runtime import InForce
from codomain_cli import watchdog
from support.searching import House, Searched

if TYPE_CHECKING:
    from collections.abc import Callable

    from codomain.runtime import Runtime

BOUND = 20.0
"""Seconds after which a test gives up; none waits so long when all is well."""


def in_force(house: House, deadline: float = 1.0) -> InForce:
    """Make a runtime of what the watchdog reads."""
    config = SimpleNamespace(
        domains=[SimpleNamespace(name="example.com")],
        policyd=SimpleNamespace(deadline=deadline),
    )
    runtime = SimpleNamespace(config=config, resolver=house.resolver)
    return InForce(cast("Runtime", runtime))


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition, under a bound."""
    async with asyncio.timeout(BOUND):
        while not condition():  # noqa: ASYNC110  # nothing tells about it
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "60000000"}, 20.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid())}, 20.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}, None),
    ],
)
def test_period_is_what_systemd_asks_for(
    environment: dict[str, str], seconds: float | None
) -> None:
    """sd_watchdog_enabled(3): microseconds, for this process; told three times in that time."""
    assert watchdog.period(environment) == seconds


def test_sign_is_given_while_look_ups_work() -> None:
    """Each time one recipient gets a verdict."""

    async def test() -> None:
        told: list[str] = []
        house = House(Searched())
        task = asyncio.create_task(watchdog.watch(in_force(house), told.append, 0.01))
        await until(lambda: len(told) > 2)
        task.cancel()
        house.flights.close()
        assert set(told) == {"WATCHDOG=1"}

    asyncio.run(test())


def test_a_directory_that_is_down_is_no_reason_to_restart() -> None:
    """The cache lives in this process: to end it would lose what still serves."""

    async def test() -> None:
        told: list[str] = []
        house = House(Searched())
        house.directory.error = DirectoryError("down")
        task = asyncio.create_task(watchdog.watch(in_force(house), told.append, 0.01))
        await until(lambda: len(told) > 2)
        task.cancel()
        house.flights.close()

    asyncio.run(test())


def test_sign_is_withheld_while_the_resolver_is_broken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A fault of ours that no verdict comes out of: systemd shall begin anew."""

    async def test() -> None:
        told: list[str] = []
        asked: list[object] = []
        house = House(Searched())

        async def broken(question: object, deadline: float) -> None:
            del deadline
            asked.append(question)
            await asyncio.sleep(0)
            raise RuntimeError("broken")

        monkeypatch.setattr(house.resolver, "resolve", broken)
        task = asyncio.create_task(watchdog.watch(in_force(house), told.append, 0.01))
        await until(lambda: len(asked) > 2)
        task.cancel()
        house.flights.close()
        assert told == []

    asyncio.run(test())


def test_sign_is_withheld_when_no_verdict_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A resolver that hangs past its own deadline is as good as dead."""

    async def test() -> None:
        house = House(Searched())

        async def hangs(question: object, deadline: float) -> None:
            del question, deadline
            await asyncio.Event().wait()

        monkeypatch.setattr(house.resolver, "resolve", hangs)
        fault = await watchdog._fault(in_force(house, deadline=0.05).runtime, 1.0)
        house.flights.close()
        assert fault.startswith("no verdict within")

    asyncio.run(test())
