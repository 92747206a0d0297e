"""A daemon with a page worth looking at, and a browser to look at it with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.chromium import Chromium
from support.pagehouse import House

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Give a daemon that has had some work; socket paths must be short."""
    house = House(tmp_path_factory.mktemp("h"))
    with house.daemon:
        house.work()
        yield house


@pytest.fixture
def make_house(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], House]:
    """Give a maker of daemons of one's own, which are not started yet."""
    return lambda more: House(tmp_path_factory.mktemp("h"), more)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """Give a browser."""
    with Chromium(tmp_path_factory.mktemp("c")) as browser:
        yield browser


@pytest.fixture
def artefacts() -> Path:
    """Give the folder of the screenshots."""
    folder = Path(__file__).parents[3] / "build" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
