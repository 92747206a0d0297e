"""What the benches share: CPU time from /proc, limits that are kept or missed, the machine.

CPU time is that of a process's own clock (clock_getcpuclockid(3)), in nanoseconds.  Linux only.
"""

from __future__ import annotations

import os
import platform
import re
import signal
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PROC = Path("/proc")
TICK = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
"""Nanoseconds."""

CLOCK = 2
"""What the scheduler counts, for all threads: MAKE_PROCESS_CPUCLOCK of clock_getcpuclockid(3)."""

PACKAGES = ("codomain", "uvloop", "ldap3", "lmdb", "cachetools", "pymilter")
DEBIAN = ("postfix", "slapd")


def used(pid: int) -> int:
    """Return the nanoseconds of CPU of a process, threads that ended included.

    Raises:
        ProcessLookupError: there is none.

    """
    try:
        return time.clock_gettime_ns((~pid << 3) | CLOCK)
    except OSError as error:
        raise ProcessLookupError(pid) from error


def memory(pid: int, name: str = "RssAnon") -> float:
    """Return a process's memory in MB of 10^6 octets (proc(5))."""
    text = (PROC / f"{pid}" / "status").read_text()
    found = re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024 / 1e6


def end_by_term() -> None:
    """Let SIGTERM end this program as Ctrl-C does: what it started is ended first."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


class Family:
    """A process with its children, such as master(8): the CPU time of a stretch."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._before: dict[int, int] = {}
        self._ended = 0
        self.begin()

    def begin(self) -> None:
        """Begin the stretch."""
        self._before, self._ended = self._members(), self._waited()

    def spent(self) -> int:
        """Return the nanoseconds of the stretch so far.

        A child that ended is in what its parent has waited for, whole; what it had used
        before the stretch is taken off.
        """
        after, ended = self._members(), self._waited() - self._ended
        living = sum(spent - self._before.get(pid, 0) for pid, spent in after.items())
        return living + ended - sum(self._before[pid] for pid in self._before.keys() - after.keys())

    def _waited(self) -> int:
        fields = (PROC / f"{self.pid}" / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[13]) + int(fields[14])) * TICK

    def _members(self) -> dict[int, int]:
        children = (PROC / f"{self.pid}" / "task" / f"{self.pid}" / "children").read_text()
        members = {}
        for pid in (self.pid, *map(int, children.split())):
            try:
                members[pid] = used(pid)
            except ProcessLookupError:
                continue
        return members


class Limits:
    """The limits of a bench, each printed with whether it is kept."""

    def __init__(self) -> None:
        self.kept = True

    def most(self, text: str, value: float, most: float, unit: str = "") -> None:
        """Print one line: ``value`` may be so large at most."""
        fine = value <= most
        self.kept &= fine
        tail = f" {unit}" if unit else ""
        print(f"{'PASS' if fine else 'MISS'}  {text}: {value:.3g}{tail}, at most {most:g}{tail}")

    def least(self, text: str, value: float, least: float, unit: str = "") -> None:
        """Print one line: ``value`` must be so large at least."""
        fine = value >= least
        self.kept &= fine
        tail = f" {unit}" if unit else ""
        print(f"{'PASS' if fine else 'MISS'}  {text}: {value:.3g}{tail}, at least {least:g}{tail}")


def machine() -> list[str]:
    """Return lines about the machine and the versions of what is measured."""
    info = (PROC / "cpuinfo").read_text()
    model = re.search(r"^model name\s*:\s*(.*)$", info, re.MULTILINE)
    total = re.search(r"(\d+)", (PROC / "meminfo").read_text())
    hardware = (
        f"{os.cpu_count()} × {model[1] if model else platform.machine()}, "
        f"{int(total[1]) / 1e6 if total else 0:.1f} GB, Linux {platform.release()}, "
        f"load average {os.getloadavg()[0]:.1f} at the start"
    )
    lines = [
        hardware,
        f"Python {platform.python_version()}, "
        + ", ".join(f"{name} {_version(name)}" for name in PACKAGES),
    ]
    debian = [f"{name} {found}" for name in DEBIAN if (found := _debian(name))]
    return [*lines, ", ".join(debian)] if debian else lines


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "is not installed"


def _debian(name: str) -> str:
    try:
        done = subprocess.run(
            ["dpkg-query", "-W", "-f", "${Version}", name],
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        return ""
    return done.stdout
