"""What every test may rely on."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Generator

# No test asserts a time: a busy machine is no fault of the code.  The suite asks the same
# every time; other examples are what `python -m support.fuzzing` draws (docs/fuzzing.md).
settings.register_profile("fuzzing", deadline=None)
settings.register_profile("suite", deadline=None, derandomize=True, database=None)
settings.load_profile("suite")


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
