"""The gateway on which the manuals are read, for all tests of this folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.readerhost import ReaderHost

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def host() -> Iterator[ReaderHost]:
    """Give the gateway; each page begins on it as after the installation."""
    with ReaderHost() as gateway:
        yield gateway
