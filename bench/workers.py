"""Measure what a second daemon on the same listening socket would bring.

One and two daemons of ours (``codomain serve``, sockets passed on as by systemd) answer the
same load in turn, each on a core of its own.  The load generator needs a core, too, so it
is left out of the count: daemons that do nothing else take as long as the busiest of them
has used CPU.  ``gain`` is that time with one daemon, as a multiple of that with two; 2.0
would be perfect.  ``share`` is the busiest daemon's share of the CPU of both: connections
go to whoever accepts them, so it says how unevenly they were spread.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import figures
from serve import write_people

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).resolve().parent
TARGET = 1.7
SECONDS = 30.0

INI = """
[codomain]
hostname = gateway.example.com
postfix = off
postmaster = user00000@example.com
state_directory = {state}
[policyd]
listen = {policy}
socketmap_listen =
socket_group =
[http]
listen =
[domain example.com]
type = authoritative
[directory people]
type = files
path = {people}
"""

# LISTEN_PID must be the process's own (sd_listen_fds(3)), which only it knows.
RUN = """
import os, sys
os.dup2(int(sys.argv.pop(1)), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
sys.argv[0] = "codomain"
from codomain_cli.main import main
sys.exit(main())
"""


@contextmanager
def daemon(folder: Path, sock: socket.socket, core: int, policy: str) -> Iterator[int]:
    """Run a daemon on a socket that listens already, and on one core."""
    state = folder / f"state{core}"
    state.mkdir(exist_ok=True)
    ini = state / "codomain.ini"
    ini.write_text(INI.format(state=state, policy=policy, people=folder / "people.ldif"))
    descriptor = sock.fileno()
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, str(descriptor), "serve", "--config", str(ini)],
        pass_fds=[descriptor],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        os.sched_setaffinity(process.pid, {core})
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line)
            if "event=ready" in line:
                break
        else:
            sys.exit("".join(said) + f"the daemon ended with status {process.wait()}")
        yield process.pid
    finally:
        process.terminate()
        process.wait(SECONDS)
        if process.stderr is not None:
            process.stderr.close()


def spend(folder: Path, path: Path, pids: list[int], options: argparse.Namespace) -> list[int]:
    """Send a load; return the nanoseconds of CPU that each daemon used, the busiest first."""
    before = [figures.used(pid) for pid in pids]
    command = [str(folder / "load"), "policy", "unix", str(path), str(options.connections)]
    command += [str(options.keys), "zipf", "2", str(options.requests)]
    subprocess.run(command, check=True, stdout=subprocess.PIPE)
    spent = [figures.used(pid) - old for pid, old in zip(pids, before, strict=True)]
    return sorted(spent, reverse=True)


def one_round(folder: Path, options: argparse.Namespace, cores: list[int]) -> list[int]:
    """Measure as many daemons as there are cores in the list."""
    path = folder / "policy"
    path.unlink(missing_ok=True)
    with ExitStack() as held, socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        sock.listen(1024)
        pids = [held.enter_context(daemon(folder, sock, core, f"unix:{path}")) for core in cores]
        spend(folder, path, pids, options)  # each fills its own cache
        return spend(folder, path, pids, options)


def main() -> None:
    """Compare one with two, so many rounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=200_000)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--keys", type=int, default=20_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))[:2]
    if len(cores) < 2:  # two daemons, two cores
        sys.exit("two cores are needed")
    gains, shares = [], []
    with tempfile.TemporaryDirectory(prefix="codomain-bench-") as name:
        folder = Path(name)
        command = ["gcc", "-O2", "-o", str(folder / "load"), str(HERE / "load.c"), "-lm"]
        subprocess.run(command, check=True)
        write_people(folder / "people.ldif", options.keys)
        for _ in range(options.rounds):
            (alone,) = one_round(folder, options, cores[:1])
            both = one_round(folder, options, cores)
            gains.append(alone / both[0])
            shares.append(both[0] / sum(both))
            if not options.json:
                print(
                    f"one {alone / options.requests / 1000:6.2f} us a request, two"
                    f" {sum(both) / options.requests / 1000:6.2f} us, busiest {shares[-1]:.0%},"
                    f" gain {gains[-1]:.2f}",
                    flush=True,
                )
    gain, share = statistics.median(gains), statistics.median(shares)
    if options.json:
        print(json.dumps({"gain": gain, "share": share, "target": TARGET}))
    else:
        word = "PASS" if gain >= TARGET else "MISS"
        print(f"gain {gain:.2f} (median of {options.rounds}; target {TARGET}) {word}")
    sys.exit(0 if gain >= TARGET else 1)


if __name__ == "__main__":
    main()
