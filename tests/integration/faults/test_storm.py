"""Traffic under random faults: every answer is right or temporary."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from support.faultplay import POOL
from support.faults import ACCESS, people
from support.slapd import Settings, Slapd
from support.storm import TIMEOUT, Storm

if TYPE_CHECKING:
    import pytest

    from support.faults import Servers

SECONDS = 15.0
"""bench/faults.py blows for longer."""

SEED = 4

LATEST = 1.25 * (TIMEOUT + 1.0)
"""The deadline of a request is a second more than the directory's; a tenth, and the machine's."""

PEOPLE = (Path(__file__).parents[2] / "support" / "people.ldif").read_text()


def test_under_faults_every_answer_is_right_or_temporary(
    tmp_path_factory: pytest.TempPathFactory, fault_servers: Servers
) -> None:
    """Issue 5, must reach: seeded faults, reloads, purges and kills, checked against a model."""
    folder = tmp_path_factory.mktemp("s")
    with Slapd(folder / "d", people(PEOPLE), Settings(access=ACCESS)) as second:
        report = Storm(folder, fault_servers, second, SEED).run(SECONDS)
    assert report.wrong == []
    assert report.answers["right"] > 1000
    assert report.answers["temporary"] > 0
    assert sum(report.done.values()) > 10
    assert report.after["right"] > 100
    assert report.after["temporary"] == 0
    assert report.slowest < LATEST
    # A reload leaves one thread of asyncio's own; each thread may have its connection to redis.
    assert report.threads[1] <= report.threads[0] + 1
    assert report.descriptors[1] <= report.descriptors[0] + POOL + 1
