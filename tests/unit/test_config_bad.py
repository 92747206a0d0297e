"""Bad configurations, a folder each, with the lines that an administrator is to read."""

from __future__ import annotations

from pathlib import Path

import pytest

from codomain.config import load
from codomain.errors import ConfigError

CASES = sorted((Path(__file__).parents[1] / "scenarios" / "bad_config").iterdir())


def test_there_are_cases() -> None:
    """The rule below would hold for none."""
    assert len(CASES) >= 12


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.name)
def test_every_fault_is_said_in_one_run(case: Path) -> None:
    """config.md: file, line, section, key, what is wrong and what to write; all of them."""
    with pytest.raises(ConfigError) as caught:
        load([case / "codomain.ini"])
    said = [line.replace(f"{case}/", "", 1) for line in caught.value.faults]
    assert said == (case / "expected.txt").read_text(encoding="utf-8").splitlines()
