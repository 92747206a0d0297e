"""Fuzz by coverage: libFuzzer, through atheris, feeds the tests of tests/fuzz.

As a command (docs/fuzzing.md), with an environment that has atheris, too::

    PYTHONPATH=resolver:policyd:milter:cli:tests python -m support.guided --minutes 60

Each test gets an equal share of the minutes, in a process of its own, and its corpus in a
folder that is kept.  Per test it says the executions, the edges that were reached, the size
of the corpus, and the memory of the process when libFuzzer began and when it ended.  Exit
status 1: a test failed, an input took ten seconds, or a process grew beyond 1 GB.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "fuzz"

INPUT_SECONDS = 10
"""An input that takes longer hangs (libFuzzer's -timeout)."""

MEGABYTES = 1024
"""Beyond this a process has grown (libFuzzer's -rss_limit_mb)."""

OCTETS = 8192
"""The longest input: more than any request of the doors' tests."""

_STATUS = re.compile(r"^#(\d+)\s+(\w+)\s+.*?cov: (\d+).*?corp: (\S+).*?rss: (\d+)Mb", re.MULTILINE)


def targets() -> list[str]:
    """Return ``module:test`` for every property test of tests/fuzz."""
    found = []
    for path in sorted(FOLDER.glob("test_*.py")):
        module = _module(path.stem)
        for name, member in inspect.getmembers(module):
            if not name.startswith("test_") or not hasattr(member, "hypothesis"):
                continue
            # Those that take something of pytest's, too, cannot run by themselves.
            if not inspect.signature(member).parameters:
                found.append(f"{path.stem}:{name}")
    return found


def feed(target: str, arguments: list[str]) -> None:
    """Hand this process to libFuzzer, which never returns."""
    atheris = importlib.import_module("atheris")
    with atheris.instrument_imports(
        include=["codomain", "codomain_policyd", "codomain_milter", "codomain_cli"]
    ):
        name, _, test = target.partition(":")
        one = getattr(_module(name), test).hypothesis.fuzz_one_input

    def once(octets: bytes) -> None:
        one(octets)

    atheris.Setup([sys.argv[0], *arguments], once)
    atheris.Fuzz()


def run(target: str, seconds: int, corpus: Path) -> bool:
    """Run one target in a process of its own; say how it went, and tell whether it went well."""
    folder = corpus / target.replace(":", ".")
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(  # our own interpreter and tests
        [
            *(sys.executable, "-m", "support.guided", "--feed", target, "--"),
            *(f"-max_total_time={seconds}", f"-timeout={INPUT_SECONDS}"),
            *(f"-rss_limit_mb={MEGABYTES}", f"-max_len={OCTETS}", "-print_final_stats=1"),
            *(f"-artifact_prefix={corpus}/", str(folder)),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds + 120,
    )
    states = _STATUS.findall(done.stderr)
    if done.returncode or not states:
        sys.stdout.write(f"{target}: exit {done.returncode}\n{done.stdout}{done.stderr}\n")
        return False
    began = next((state for state in states if state[1] == "INITED"), states[0])
    executed, _, edges, held, ended = states[-1]
    sys.stdout.write(
        f"{target}: {executed} executions, {edges} edges, corpus {held},"
        f" memory {began[4]} -> {ended} MB\n"
    )
    sys.stdout.flush()
    return True


def now() -> str:
    """Return the time of day, in UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def main() -> int:
    """Fuzz for as many minutes as the command line says."""
    parser = argparse.ArgumentParser(description="fuzz with libFuzzer for a time")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--corpus", type=Path, default=Path("build/corpus"))
    parser.add_argument("--feed", metavar="TARGET", help=argparse.SUPPRESS)
    parser.add_argument("arguments", nargs="*", help="targets; all of tests/fuzz without any")
    wanted = parser.parse_args()
    if wanted.feed:
        feed(wanted.feed, wanted.arguments)
    names = wanted.arguments or targets()
    seconds = max(1, round(60 * wanted.minutes / len(names)))
    sys.stdout.write(f"start {now()}, {len(names)} targets, {seconds} s each\n")
    well = [run(name, seconds, wanted.corpus.resolve()) for name in names]
    sys.stdout.write(f"end {now()}\n")
    return 0 if all(well) else 1


def _module(name: str) -> object:
    sys.path.insert(0, str(FOLDER))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(FOLDER))


if __name__ == "__main__":
    sys.exit(main())
