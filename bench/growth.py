"""Measure how a daemon in sync mode grows: with the entries of its index, and with its connections.

For each size an index is made straight through IndexWriter, and ``codomain serve`` is put
under load.c's load with each number of connections, keys by Zipf from the first 10,000.
Printed are the CPU of a request, and the highest memory while the connections were open:
anonymous (RssAnon), which is what a process needs, and resident (VmRSS), in which the pages
of the mapped index count that other programs may have back at any time.

Must reach: 120 MB of anonymous memory with 1,000,000 entries, whatever the connections.

    bench/growth.py [--entries 10000 100000 1000000] [--connections 1 100 2000]
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

# To the end: this folder has a milter.py, which must not pass for pymilter's extension.
sys.path.append(sys.path.pop(0))

from codomain_cli.background import Background
from figures import Limits, end_by_term, memory, used
from start import INI, SYNC, synced

if TYPE_CHECKING:
    from codomain.directory.index import IndexWriter

HERE = Path(__file__).resolve().parent

ANONYMOUS_MB = 120.0
LIMITED = 1_000_000
"""From so many entries on the limit is judged."""

KEYS = 10_000
"""Recipients who are asked for: as many of the large index as of the small one."""

REQUESTS = 60_000
FILES = 8192
"""Open files that the daemon may have; its unit sets as many."""


class Watch:
    """The highest memory of a process while it is watched."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._ended = threading.Event()
        self.highest = {"RssAnon": 0.0, "VmRSS": 0.0}
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(0.02):
            for name, value in self.highest.items():
                self.highest[name] = max(value, memory(self._pid, name))


class Confirming:
    """What ``codomain sync`` does while nothing changes: it says that the index is in step."""

    def __init__(self, writer: IndexWriter) -> None:
        self._writer = writer
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._writer.close()

    def _run(self) -> None:
        while not self._ended.wait(0.2):
            self._writer.confirm(time.time())


def measure(folder: Path, program: Path, entries: int, connections: list[int]) -> float:
    """Measure one size; print its lines, and return the highest anonymous memory."""
    folder.mkdir()
    began = time.monotonic()
    writer = synced(folder, entries)
    ini = folder / "codomain.ini"
    ini.write_text(INI.format(folder=folder, directory=SYNC))
    made = time.monotonic() - began
    highest = 0.0
    with Confirming(writer), Background(ini, folder) as daemon:
        time.sleep(1.0)  # it has looked at the index, and is in step
        print(
            f"{entries:>9,} entries, idle: {memory(daemon.pid):.1f} MB anonymous,"
            f" {memory(daemon.pid, 'VmRSS'):.1f} resident; made in {made:.1f} s",
            flush=True,
        )
        for count in connections:
            where = ("policy", "unix", folder / "policy", count, min(entries, KEYS), "zipf", 2)
            before = used(daemon.pid)
            with Watch(daemon.pid) as watch:
                done = subprocess.run(
                    [program, *map(str, where), str(REQUESTS)], stdout=subprocess.PIPE, check=True
                )
            spent = (used(daemon.pid) - before) / REQUESTS / 1000
            numbers = json.loads(done.stdout)
            highest = max(highest, watch.highest["RssAnon"])
            print(
                f"{entries:>9,} entries, {count:>5} connections: {spent:6.1f} µs a request,"
                f" p99 {numbers['p99'] / 1e6:6.2f} ms, {watch.highest['RssAnon']:6.1f} MB"
                f" anonymous, {watch.highest['VmRSS']:6.1f} resident",
                flush=True,
            )
    return highest


def main() -> None:
    """Run it."""
    end_by_term()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, nargs="+", default=[10_000, 100_000, LIMITED])
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 100, 2000])
    options = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(FILES, hard), hard))
    folder = Path(tempfile.mkdtemp(prefix="gb-"))
    limits = Limits()
    try:
        program = folder / "load"
        subprocess.run(["gcc", "-O2", "-o", program, HERE / "load.c", "-lm"], check=True)
        for entries in options.entries:
            highest = measure(folder / f"{entries}", program, entries, options.connections)
            shutil.rmtree(folder / f"{entries}")
            if entries >= LIMITED:
                limits.most(f"anonymous memory, {entries:,} entries", highest, ANONYMOUS_MB, "MB")
    finally:
        shutil.rmtree(folder)
    sys.exit(0 if limits.kept else 1)


if __name__ == "__main__":
    main()
