"""Builds the packages for their tests, and runs the tools that judge them.

A build takes seconds; however many workers run the tests, each kind is built once.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import tomllib
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import pytest

PROJECT = Path(__file__).resolve().parents[2]
PACKAGING = PROJECT / "packaging"

SECONDS = 300.0
"""The bound of a command; a build takes a quarter of a minute on an idle machine."""

SYSTEM = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/root"}
"""The machine's own tools, with its own Python: not those of a virtual environment."""


class Needed(NamedTuple):
    """A dependency as pyproject.toml names it."""

    name: str
    floor: str
    below: str


def run(
    *command: str | Path,
    check: bool = True,
    env: Mapping[str, str] = SYSTEM,
    cwd: Path | None = None,
) -> str:
    """Run a command, and return all that it says; it fails the test if it fails."""
    done = subprocess.run(
        [os.fspath(word) for word in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
        env=env,
        cwd=cwd,
    )
    assert done.returncode == 0 or not check, done.stdout
    return done.stdout


@contextmanager
def alone(factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let no other worker of this test run install a package meanwhile: there is one database."""
    with (_base(factory) / "dpkg.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _base(factory: pytest.TempPathFactory) -> Path:
    """Return the folder of this test run, whichever worker asks."""
    base = factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


def once(factory: pytest.TempPathFactory, name: str, build: Callable[[Path], object]) -> Path:
    """Return the folder that was filled by `build`, here or by another worker of this test run."""
    base = _base(factory)
    folder = base / name
    with (base / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (base / f"{name}.built").exists():
            folder.mkdir(exist_ok=True)
            build(folder)
            (base / f"{name}.built").touch()
    return folder


def script(name: str) -> Callable[[Path], str]:
    """Return what fills a folder by a script of packaging/."""
    return lambda folder: run(PACKAGING / name, folder)


def dependencies(extra: str | None = None) -> list[Needed]:
    """Read what pyproject.toml needs to run, or what an extra adds."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    lines = project["dependencies"] if extra is None else project["optional-dependencies"][extra]
    found = []
    for line in lines:
        name, _, versions = line.partition(">=")
        floor, _, below = versions.partition(",<")
        found.append(Needed(name, floor, below))
    return found
