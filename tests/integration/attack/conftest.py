"""A gateway of one's own for each attack."""

from __future__ import annotations

import resource
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.siege import Siege

if TYPE_CHECKING:
    from collections.abc import Iterator

WANTED = 6000
"""Open files of the attacker: one for each connection."""


@pytest.fixture
def siege() -> Iterator[Siege]:
    """Give a gateway with every door open; socket paths must be short."""
    folder = Path(tempfile.mkdtemp(prefix="sg-", dir="/tmp"))
    try:
        yield Siege(folder)
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def held() -> Iterator[ExitStack]:
    """Give what closes every connection that is put into it."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def many_files() -> Iterator[None]:
    """Let this process open as many files as an attacker of 5,000 connections needs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert hard == resource.RLIM_INFINITY or hard >= WANTED, "raise the hard limit of open files"
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, WANTED), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
