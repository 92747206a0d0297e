"""Measure a start, from the command to the first answer, and the longest pause of a reload.

The start is measured with an empty cache and a directory of files: warm, and cold, when the
system has Python's files to read from the disk (they are dropped from its page cache by
posix_fadvise(2)).  What the imports take is printed by package (python -X importtime).

A reload is asked for (SIGHUP) under the load of load.c's connections, which ask without a
pause, and the load goes on until the configuration that was replaced is closed, too.  The
pause is the longest time that any of their requests took.  Beside it stands the longest one
of a load of the same length without a reload: what the machine does by itself.

Must reach: 0.6 s to the first answer with 1,000 people; 20 ms as the longest pause (the
median of the rounds).  Exits 1 where one is missed.

    bench/start.py [--starts 7] [--rounds 3] [--people 1000 20000]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

# To the end: this folder has a milter.py, which must not pass for pymilter's extension.
sys.path.append(sys.path.pop(0))

from codomain.directory.base import Kind, Recipient
from codomain.directory.index import IndexWriter, index_path, source_of
from codomain_cli.background import Background
from figures import Limits, end_by_term, used
from index import REQUEST, Section
from serve import write_people

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).resolve().parent

FIRST_ANSWER = 0.6
"""Seconds, at most."""

PAUSE_MS = 20.0
WAIT_SECONDS = 60.0
CONNECTIONS = 16
CHUNK = 20_000
"""Requests of one run of the load; one follows the other."""

RETIRED_SECONDS = 7.0
"""A replaced configuration is closed by then: its deadline of 1 s, and 5 more."""

SERVE = "codomain_cli.serve, codomain_cli.admin"
"""What ``codomain serve`` imports: the second one when mail is answered already."""

RUN = "from codomain_cli.main import main; main()"

INI = """\
[codomain]
hostname = gateway.example.com
postfix = off
postmaster = user00000@example.com
state_directory = {folder}
control_socket =
[policyd]
listen = unix:{folder}/policy
socketmap_listen =
socket_group =
deadline = 1s
[http]
listen = unix:{folder}/http
[domain example.com]
type = authoritative
{directory}
"""

FILES = "[directory people]\ntype = files\npath = {folder}/people.ldif"
SYNC = (
    "[directory ad]\nmode = sync\nservers = ldap://127.0.0.1:9\nschema = inetorgperson\n"
    "base = dc=example,dc=com\non_miss = none"
)


def first_answer(folder: Path, ini: Path) -> tuple[float, float]:
    """Start a daemon; return the seconds until it answered, and its CPU seconds until then."""
    policy = folder / "policy"
    policy.unlink(missing_ok=True)
    began = time.perf_counter()
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", RUN, "serve", "--config", ini], stdout=log, stderr=log
        )
    try:
        with socket.socket(socket.AF_UNIX) as client:
            while client.connect_ex(os.fspath(policy)):
                assert process.poll() is None, (folder / "log").read_text()
                time.sleep(0.001)
            client.sendall(REQUEST.format("user00007@example.com").encode())
            assert client.recv(4096) == b"action=DUNNO\n\n"
        return time.perf_counter() - began, used(process.pid) / 1e9
    finally:
        process.terminate()
        process.wait()


def forget(folders: list[Path]) -> None:
    """Have the system forget the contents of the files below some folders."""
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file() and path.suffix in {".py", ".pyc", ".so"}:
                descriptor = os.open(path, os.O_RDONLY)
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
                os.close(descriptor)


def imports() -> None:
    """Print what the imports of the daemon take, by package."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", f"import codomain_cli.main, {SERVE}, uvloop"],
        stderr=subprocess.PIPE,
        text=True,
        check=True,
    )
    spent: dict[str, int] = defaultdict(int)
    for line in done.stderr.splitlines()[1:]:
        own, _, name = line.removeprefix("import time:").split("|")
        spent[name.strip().partition(".")[0]] += int(own)
    total = sum(spent.values())
    ten = sorted(spent.items(), key=lambda item: -item[1])[:10]
    print(
        f"imports {total / 1000:.0f} ms (traced): "
        + ", ".join(f"{name} {own / 1000:.0f}" for name, own in ten)
    )


def starts(folder: Path, count: int, limits: Limits) -> None:
    """Measure starts with 1,000 people in a file."""
    folder.mkdir()
    write_people(folder / "people.ldif", 1000)
    ini = folder / "codomain.ini"
    ini.write_text(INI.format(folder=folder, directory=FILES.format(folder=folder)))
    first_answer(folder, ini)  # Python's compiled files are there from now on
    warm = [first_answer(folder, ini) for _ in range(count)]
    roots = [Path(path) for path in sys.path if path and Path(path).is_dir() and path != str(HERE)]
    cold = []
    for _ in range(max(1, count // 3)):
        forget(roots)
        cold.append(first_answer(folder, ini))
    for name, some in (("warm", warm), ("cold", cold)):
        seconds = [one[0] for one in some]
        print(
            f"{name}: {statistics.median(seconds):.2f} s to the first answer"
            f" ({min(seconds):.2f}-{max(seconds):.2f}),"
            f" {statistics.median(one[1] for one in some):.2f} s of CPU; {len(some)} starts"
        )
    imports()
    middle = statistics.median(one[0] for one in warm)
    limits.most("from the start to the first answer, 1,000 people", middle, FIRST_ANSWER, "s")


class Load:
    """load.c, again and again, until it is told to stop."""

    def __init__(self, program: Path, policy: Path, keys: int) -> None:
        where = ("policy", "unix", policy, CONNECTIONS, keys, "zipf", 2, CHUNK)
        self._command = [str(program), *map(str, where)]
        self._stop = threading.Event()
        self._longest = 0.0
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> float:
        """Stop it; the longest time that a request took, in milliseconds."""
        self._stop.set()
        self._thread.join()
        assert self._longest, "the load failed"
        return self._longest

    def _run(self) -> None:
        while not self._stop.is_set():
            done = subprocess.run(self._command, stdout=subprocess.PIPE, check=False)
            if done.returncode:
                self._longest = 0.0
                return
            self._longest = max(self._longest, json.loads(done.stdout)["max"] / 1e6)


def pauses(program: Path, folder: Path, directory: str, people: int, rounds: int) -> list[float]:
    """Return the longest pause of each round with a reload; print them."""
    ini = folder / "codomain.ini"
    ini.write_text(INI.format(folder=folder, directory=directory))
    calm, busy = [], []
    with Background(ini, folder) as daemon:

        def stretch(act: Callable[[], None]) -> float:
            load = Load(program, folder / "policy", people)
            try:
                time.sleep(0.5)
                act()
                time.sleep(RETIRED_SECONDS)
            finally:
                longest = load.stop()
            return longest

        def reload() -> None:
            count = daemon.logged().count("configuration in force")
            daemon.reload()
            daemon.wait_for_log("configuration in force", count + 1, WAIT_SECONDS)

        stretch(lambda: None)
        for _ in range(rounds):
            calm.append(stretch(lambda: None))
            busy.append(stretch(reload))
    print(
        f"longest pause with a reload {' '.join(f'{one:.1f}' for one in busy)} ms,"
        f" without {' '.join(f'{one:.1f}' for one in calm)} ms"
    )
    return busy


def synced(folder: Path, people: int) -> IndexWriter:
    """Make a local index."""
    writer = IndexWriter(index_path(folder, "ad"), source_of(Section()))  # type: ignore[arg-type]
    with writer.load() as whole:
        for number in range(people):
            address = f"user{number:05}@example.com"
            entry = Recipient(f"cn=user{number:05}", Kind.MAILBOX, (address,), address, "")
            whole.put(number.to_bytes(16, "big"), entry)
        whole.commit(cookie=b"", synced=time.time(), max_shrink=None)
    return writer


def reloads(folder: Path, people: int, mode: str, rounds: int, limits: Limits) -> None:
    """Measure reloads of a directory of files, or with a local index."""
    folder.mkdir()
    program = folder / "load"
    subprocess.run(["gcc", "-O2", "-o", program, HERE / "load.c", "-lm"], check=True)
    print(f"\n{people:,} people, {mode}")
    if mode == "files":
        write_people(folder / "people.ldif", people)
        found = pauses(program, folder, FILES.format(folder=folder), people, rounds)
    else:
        writer = synced(folder, people)
        ended = threading.Event()

        def confirm() -> None:
            while not ended.wait(0.2):
                writer.confirm(time.time())

        thread = threading.Thread(target=confirm)
        thread.start()
        try:
            found = pauses(program, folder, SYNC, people, rounds)
        finally:
            ended.set()
            thread.join()
            writer.close()
    middle = statistics.median(found)
    limits.most(f"longest pause of a reload, {people:,} people, {mode}", middle, PAUSE_MS, "ms")


def main() -> None:
    """Run it."""
    end_by_term()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=7)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--people", type=int, nargs="*", default=[1000, 20_000])
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="sb-"))
    limits = Limits()
    try:
        starts(folder / "starts", options.starts, limits)
        for people in options.people:
            reloads(folder / f"files{people}", people, "files", options.rounds, limits)
        if options.people:
            people = max(options.people)
            reloads(folder / "sync", people, "sync", options.rounds, limits)
    finally:
        shutil.rmtree(folder)
    sys.exit(0 if limits.kept else 1)


if __name__ == "__main__":
    main()
