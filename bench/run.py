"""Measure the doors: server CPU per request, as a multiple of a C server that always answers.

The C server and codomain run at the same time on the same core, and rounds of the same
load go to one and then to the other, so that whatever else the machine does falls on both.
The ratio of a round is between neighbours; the median of the rounds is what counts.

A cold run asks for every recipient once.  The verdict cache is warmed in the same way before
each scenario, and the scenario ends before the first verdict does, which lives for a minute
at most: so what is measured is kept answers, and the rate of hits says whether it was.
Latencies are those that the
client saw with all of its connections busy.  Exits 1 where a target is missed.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).resolve().parent
SOURCES = ("floor", "load")

TARGETS = {
    ("uvloop", "unix"): 2.1,
    ("uvloop", "inet"): 1.7,
    ("asyncio", "unix"): 3.2,
    ("asyncio", "inet"): 2.4,
}
"""The most CPU time of a cached answer, as a multiple of the C server's."""

WARM_SECONDS = 45.0
"""After so long no new round begins: the verdicts that the warming made are about to expire."""

P999_MS = 5.0
"""The slowest that one in a thousand cached answers may be, on an idle machine."""

HEADER = (
    f"{'loop':8}{'door':8}{'socket':8}{'keys':9}{'samples':>9}{'C µs':>7}{'ours µs':>9}"
    f"{'ratio':>7}{'range':>12}{'target':>8}{'hits':>8}{'p50 ms':>8}{'p99':>7}{'p99.9':>7}"
)


@dataclass(frozen=True)
class Load:
    """One load."""

    door: str
    """``policy`` or ``map``."""

    transport: str
    """``unix`` or ``inet``."""

    keys: str
    """``uniform``, ``zipf`` or ``each``."""


class Server:
    """A server under load, and the CPU time that it has used."""

    def __init__(self, command: list[str], core: int | None) -> None:
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        if core is not None:
            os.sched_setaffinity(self.process.pid, {core})
        self.greeting = self.line()

    def line(self) -> str:
        """Read one line of its output."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{self.process.args!r} ended with status {self.process.wait()}")
        return line

    def cpu(self) -> int:
        """Return the CPU time of all of its threads so far, in nanoseconds."""
        tasks = Path(f"/proc/{self.process.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks)

    def close(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


class Bench:
    """The programs and the options of one run."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options = options
        self.folder = folder
        cores = sorted(os.sched_getaffinity(0))
        self.server_core = cores[0] if len(cores) > 1 else None
        self.load_core = cores[1] if len(cores) > 1 else None
        for name in SOURCES:
            source = HERE / f"{name}.c"
            command = ["gcc", "-O2", "-o", str(folder / name), str(source), "-lm"]
            subprocess.run(command, check=True)

    @contextmanager
    def floor(self, load: Load, port: int) -> Iterator[tuple[Server, str]]:
        """Run the C server for one load."""
        where = str(port)
        if load.transport == "unix":
            where = str(self.folder / f"floor-{load.door}-{load.keys}")
            Path(where).unlink(missing_ok=True)
        command = [str(self.folder / "floor"), load.door, load.transport, where]
        server = Server(command, self.server_core)
        try:
            yield server, server.greeting.strip() if load.transport == "inet" else where
        finally:
            server.close()

    @contextmanager
    def codomain(self, loop: str) -> Iterator[Server]:
        """Run codomain's doors on one kind of loop."""
        script = str(HERE / "serve.py")
        command = [sys.executable, script, str(self.folder), str(self.options.keys)]
        server = Server([*command, "--loop", loop], self.server_core)
        try:
            yield server
        finally:
            server.close()

    def drive(self, server: Server, load: Load, where: str, requests: int) -> dict[str, float]:
        """Send so many requests; return the client's numbers, and the server's CPU for each."""
        options = self.options
        command = [str(self.folder / "load"), load.door, load.transport, where]
        command += map(str, (options.connections, options.keys, load.keys))
        command += map(str, (options.recipients, requests))
        before = server.cpu()
        client = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        if self.load_core is not None:
            os.sched_setaffinity(client.pid, {self.load_core})
        output = client.communicate()[0]
        if client.returncode:
            sys.exit(f"the load ended with status {client.returncode}")
        numbers: dict[str, float] = json.loads(output)
        numbers["cpu"] = (server.cpu() - before) / requests / 1000
        return numbers

    def tell(self, server: Server) -> tuple[int, int]:
        """Ask codomain how many requests it has answered, and how many from its verdicts."""
        server.process.send_signal(signal.SIGUSR1)
        counts = json.loads(server.line())
        return counts["requests"], counts["hits"]

    def scenario(self, loop: str, server: Server, load: Load) -> bool:
        """Measure one load; print its line, and say whether it reaches the targets."""
        ports = json.loads(server.greeting)
        where = str(ports[load.door])
        if load.transport == "unix":
            where = str(self.folder / load.door)
        with self.floor(load, 0) as (floor, floor_where):
            server.process.send_signal(signal.SIGHUP)
            warmed = time.monotonic()
            self.drive(server, Load(load.door, load.transport, "each"), where, self.options.keys)
            requests, hits = self.tell(server)
            rounds = []
            for _ in range(self.options.rounds):
                least = self.drive(floor, load, floor_where, self.options.requests)
                ours = self.drive(server, load, where, self.options.requests)
                rounds.append((least, ours))
                if time.monotonic() - warmed > WARM_SECONDS:
                    break
            requests_after, hits_after = self.tell(server)
        rate = (hits_after - hits) / (requests_after - requests)
        return self.report(loop, load, rounds, rate)

    def report(
        self,
        loop: str,
        load: Load,
        rounds: list[tuple[dict[str, float], dict[str, float]]],
        rate: float,
    ) -> bool:
        """Print one line."""
        ratios = sorted(ours["cpu"] / least["cpu"] for least, ours in rounds)
        ratio = statistics.median(ratios)
        target = TARGETS[loop, load.transport]
        least, ours = (statistics.median(pair[i]["cpu"] for pair in rounds) for i in (0, 1))
        times = [
            statistics.median(pair[1][name] for pair in rounds) / 1e6
            for name in ("p50", "p99", "p999")
        ]
        reached = ratio <= target and times[2] < P999_MS
        spread = f"{ratios[0]:.2f}-{ratios[-1]:.2f}"
        print(
            f"{loop:8}{load.door:8}{load.transport:8}{load.keys:9}"
            f"{len(rounds) * self.options.requests:9}{least:7.2f}{ours:9.2f}"
            f"{ratio:7.2f}{spread:>12}{target:8.1f}{rate:8.2%}"
            f"{times[0]:8.3f}{times[1]:7.3f}{times[2]:7.3f}{'' if reached else '  MISSED'}",
            flush=True,
        )
        return reached

    def cold(self, loop: str, server: Server) -> None:
        """Print what a request costs that nobody has asked before."""
        ports = json.loads(server.greeting)
        for door in ("policy", "map"):
            load = Load(door, "inet", "each")
            ours = self.drive(server, load, str(ports[door]), self.options.keys)
            print(
                f"{loop:8}{door:8}{'inet':8}{'each':9}{self.options.keys:9}{'':7}"
                f"{ours['cpu']:9.2f}   cold: every recipient for the first time"
                f"{ours['p50'] / 1e6:25.3f}{ours['p99'] / 1e6:7.3f}{ours['p999'] / 1e6:7.3f}",
                flush=True,
            )

    def run(self) -> bool:
        """Measure everything; say whether all targets are reached."""
        reached = True
        options = self.options
        print(
            f"{options.connections} connections, {options.keys} recipients, "
            f"{options.recipients} to a message; medians of up to {options.rounds} rounds of "
            f"{options.requests} requests each\n{HEADER}"
        )
        for loop in options.loops:
            if loop == "uvloop" and importlib.util.find_spec("uvloop") is None:
                print("uvloop  is not installed")
                continue
            with self.codomain(loop) as server:
                self.cold(loop, server)
                for door in options.doors:
                    for transport in ("unix", "inet"):
                        for keys in ("uniform", "zipf"):
                            load = Load(door, transport, keys)
                            reached = self.scenario(loop, server, load) and reached
        return reached


def main() -> None:
    """Parse the options and run."""
    parser = argparse.ArgumentParser(description="Measure the doors against a C server.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=100_000, help="of one round")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--keys", type=int, default=100_000, help="recipients")
    parser.add_argument("--recipients", type=int, default=2, help="of one message")
    parser.add_argument("--loops", nargs="+", default=["uvloop", "asyncio"])
    parser.add_argument("--doors", nargs="+", default=["policy", "map"])
    options = parser.parse_args()
    # What was started is ended, and the folder goes, however the run ends.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with tempfile.TemporaryDirectory(prefix="codomain-bench-") as folder:
        reached = Bench(options, Path(folder)).run()
    sys.exit(0 if reached else 1)


if __name__ == "__main__":
    main()
