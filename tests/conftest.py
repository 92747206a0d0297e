"""What every test may rely on."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Generator[None, object, object]:
    """Let no test find the log as another one has set it up.

    A command that runs in the test's process sets levels and handlers for good.  It is no
    fixture, because Hypothesis refuses those that are made anew for each test.
    """
    root, ours = logging.getLogger(), logging.getLogger("codomain")
    before = root.level, root.handlers[:], ours.level
    try:
        return (yield)
    finally:
        root.setLevel(before[0])
        root.handlers[:] = before[1]
        ours.setLevel(before[2])
