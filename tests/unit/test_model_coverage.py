"""The decision, addresses, trust and the codecs are run through by their own tests: every branch.

The tests of these modules are run once more, in a Python of its own that counts.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

MODULES = {
    "resolver/codomain": ("address", "contacts", "decision", "finding", "trust", "unresolved"),
    "policyd/codomain_policyd": ("policy", "socketmap"),
    "milter/codomain_milter": ("dsn", "envelope", "reply", "trace"),
}
"""Where a branch that no test takes could open a relay or lose mail."""

TESTS = (
    *("test_address.py", "test_callout_decision.py", "test_decision.py", "test_decision_edges.py"),
    *("test_model_decision.py", "test_trust.py", "test_policy_codec.py", "test_socketmap_codec.py"),
    *("test_milter_dsn.py", "test_milter_envelope.py", "test_milter_reply.py"),
    *("test_milter_trace.py", "test_milter_session.py", "test_callouts.py"),
)


@pytest.fixture(scope="module")
def covered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, object]]:
    """Run the tests under coverage, and give what it says of each file."""
    folder = tmp_path_factory.mktemp("coverage")
    command = (
        *(sys.executable, "-m", "coverage", "run", f"--data-file={folder}/data", "--branch"),
        *("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:cov", "-p", "no:xdist"),
        *(f"tests/unit/{name}" for name in TESTS),
        "tests/scenarios/test_scenarios.py",
    )
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    report = folder / "report.json"
    subprocess.run(
        [sys.executable, "-m", "coverage", "json", f"--data-file={folder}/data", "-o", report],
        cwd=ROOT, capture_output=True, check=True,
    )  # fmt: skip
    files: dict[str, dict[str, object]] = json.loads(report.read_text())["files"]
    return files


@pytest.mark.parametrize(
    "path", [f"{folder}/{name}.py" for folder, names in MODULES.items() for name in names]
)
def test_every_line_and_branch_is_taken(covered: dict[str, dict[str, object]], path: str) -> None:
    """100% of lines and branches, by tests that know what must come of each."""
    found = covered[path]
    assert (found["missing_lines"], found["missing_branches"]) == ([], [])
