"""The index survives kill -9 of its writer and its readers at any moment.

The suite kills some dozens of times; the whole proof is

    CODOMAIN_KILLS=200 python -m pytest tests/integration/test_index_killed.py
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

KILLS = int(os.environ.get("CODOMAIN_KILLS", "60"))
SIZE = 4 << 20
"""Octets: several times what 300 entries need in any state.  A slot that a killed reader
left behind would keep every page of every later state."""


@pytest.mark.timeout(60 + KILLS)
def test_no_kill_leaves_a_wrong_answer(tmp_path: Path) -> None:
    """Every look-up finds one state, whole, and none older than the last that was committed."""
    done = subprocess.run(
        [sys.executable, "-m", "support.indexkills", str(tmp_path), str(KILLS), str(KILLS)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    said = done.stdout.splitlines()
    assert said[-1:] == ["right"], done.stdout + done.stderr
    states, size = int(said[-2].split()[1]), int(said[-2].split()[3])
    assert states > KILLS / 6
    assert size < SIZE
    # It was never taken for damaged, either.
    assert sorted(entry.name for entry in (tmp_path / "index").iterdir()) == ["ad", "ad.lock"]
