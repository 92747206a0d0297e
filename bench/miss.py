"""Measure a live miss: our CPU for a recipient that nobody has asked for, and slapd has.

The daemon of bench/serve.py stands before a slapd of its own; the load asks for each of
so many known recipients once, so every request goes to the directory; between two rounds the
daemon forgets all answers.  CPU is the daemon's alone, of all its threads; slapd's is shown
beside it.  slapd and gcc are needed.  Exits 1 where
the target is missed.

    bench/miss.py [--rounds 5] [--requests 5000] [--connections 16]
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from run import Server
from serve import write_people
from support.slapd import BASE, Slapd

HERE = Path(__file__).resolve().parent

TARGET_US = 150.0
"""The most CPU time of an uncached recipient, in microseconds."""

HEAD = f"""\
dn: {BASE}
objectClass: dcObject
objectClass: organization
o: example
dc: example

dn: ou=people,{BASE}
objectClass: organizationalUnit
ou: people

"""


def cpu(process: int) -> int:
    """Return the CPU time of all threads of a process so far, in nanoseconds."""
    tasks = Path(f"/proc/{process}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks)


def drive(folder: Path, options: argparse.Namespace, connections: int) -> dict[str, float]:
    """Ask for every recipient once; return what the client saw."""
    command = [str(folder / "load"), "policy", "unix", str(folder / "policy")]
    command += [str(connections), str(options.requests), "each", "2", str(options.requests)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    numbers: dict[str, float] = json.loads(output)
    return numbers


def measure(folder: Path, options: argparse.Namespace, slapd: Slapd, connections: int) -> float:
    """Print the line of one number of connections; return the median of its rounds."""
    command = [sys.executable, str(HERE / "serve.py"), str(folder), str(options.requests)]
    command += ["--loop", options.loop, "--server", slapd.ldap]
    server = Server([*command, "--schema", options.schema], None)
    try:
        ours, theirs, p50, p99 = [], [], [], []
        for _ in range(options.rounds + 1):
            before = server.cpu(), cpu(slapd.pid)
            numbers = drive(folder, options, connections)
            ours.append((server.cpu() - before[0]) / options.requests / 1000)
            theirs.append((cpu(slapd.pid) - before[1]) / options.requests / 1000)
            p50.append(numbers["p50"] / 1e6)
            p99.append(numbers["p99"] / 1e6)
            server.process.send_signal(signal.SIGHUP)  # forgets all answers
            server.process.send_signal(signal.SIGUSR1)
            server.line()
    finally:
        server.close()
    # The first round opens connections and imports what a search needs.
    middle = [statistics.median(times[1:]) for times in (ours, theirs, p50, p99)]
    spread = f"{min(ours[1:]):.0f}-{max(ours[1:]):.0f}"
    print(
        f"{connections:11}{middle[0]:9.0f}{spread:>12}{middle[1]:10.0f}{middle[2]:9.3f}"
        f"{middle[3]:8.3f}{'' if middle[0] <= TARGET_US else '  MISSED'}",
        flush=True,
    )
    return middle[0]


def main() -> None:
    """Parse the options and run."""
    parser = argparse.ArgumentParser(description="Measure a live miss over LDAP.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=5000, help="recipients of one round")
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--loop", choices=("uvloop", "asyncio"), default="uvloop")
    parser.add_argument("--schema", default="active-directory")
    options = parser.parse_args()
    # What was started is ended, and the folder goes, however the run ends.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with tempfile.TemporaryDirectory(prefix="codomain-bench-") as name:
        folder = Path(name)
        source = [str(HERE / "load.c"), "-lm"]
        subprocess.run(["gcc", "-O2", "-o", str(folder / "load"), *source], check=True)
        (folder / "slapd").mkdir()
        print(
            f"{options.requests} known recipients, {options.schema}, {options.loop}, "
            f"{len(os.sched_getaffinity(0))} cores; medians of {options.rounds} rounds\n"
            f"{'connections':11}{'ours µs':>9}{'range':>12}{'slapd µs':>10}{'p50 ms':>9}{'p99':>8}"
        )
        write_people(folder / "people.ldif", options.requests)
        people = HEAD + (folder / "people.ldif").read_text()
        with Slapd(folder / "slapd", people) as slapd:
            taken = [measure(folder, options, slapd, number) for number in options.connections]
    sys.exit(0 if max(taken) <= TARGET_US else 1)


if __name__ == "__main__":
    main()
