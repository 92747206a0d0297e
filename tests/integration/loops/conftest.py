"""Three gateways that point at each other: once for each way by which they judge."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.gateways import gateways

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.gateways import Gateways


@pytest.fixture(scope="module")
def by_policy() -> Iterator[Gateways]:
    """Give gateways whose policy server judges: it knows the client, and no header."""
    with gateways(milter=False) as running:
        yield running


@pytest.fixture(scope="module")
def by_milter() -> Iterator[Gateways]:
    """Give gateways whose milter judges: it knows both."""
    with gateways(milter=True) as running:
        yield running
