"""Measures the local index: its making, its look-ups, its memory, and a daemon that uses it.

Two indexes are made straight through IndexWriter, of 10,000 and of ADDRESSES addresses
(three of an entry, every tenth a contact's), and measured in processes of their own:

- the load, the file, and how long a daemon takes from its start to its first answer,
- a hit and a miss as the resolver makes them, with keys by Zipf (exponent 1.1) and uniform,
- the anonymous memory (RssAnon) that look-ups all over it add to a process,
- the CPU time of a policy request, of the large index as a multiple of the small one's,
- beside a flood of distinct unknown recipients: a known one's p99, and the searches made.

``--compare`` measures sqlite and dicts in the same way, for docs/adr/0013-index.md.
Exits 1 where a limit is missed.  Linux only (/proc).

    bench/index.py [--addresses 1000000] [--flood 100000] [--compare] [--folder FOLDER]
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import re
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from bisect import bisect_left
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / part) for part in ("resolver", "policyd", "milter", "cli")]

from codomain.directory.base import Kind, Recipient  # noqa: E402 - found by the line above
from codomain.directory.index import IndexWriter, index_path, source_of  # noqa: E402
from codomain.directory.synced import SyncedDirectory  # noqa: E402
from codomain.errors import DirectoryError  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

SMALL = 9_999
HIT_US, MISS_US, ANON_MB, READY_SECONDS, RATIO, P99_MS = 5.0, 3.0, 60.0, 2.0, 1.1, 10.0
PROBES = 200_000
ROUNDS = 5
REQUESTS = 30_000
START_SECONDS = 30.0
ZIPF = 1.1

COMMAND = "from codomain_cli.main import main; main()"

INI = """
[codomain]
hostname = gateway.example.com
postfix = off
state_directory = {folder}
control_socket = {folder}/control
[policyd]
listen = unix:{folder}/policy
socketmap_listen =
socket_group =
[http]
listen = unix:{folder}/http
[domain example.com]
type = authoritative
[domain corp.example.net]
type = authoritative
[domain unix.example.org]
type = relay
[connector unix]
smart_hosts = [192.0.2.10]
address_spaces = unix.example.org
allow_relay = yes
[directory ad]
type = ldap
servers = ldap://127.0.0.1:9
mode = sync
schema = inetorgperson
base = dc=example,dc=com
on_miss = none
"""

REQUEST = (
    "request=smtpd_access_policy\nprotocol_state=RCPT\nprotocol_name=ESMTP\n"
    "client_address=198.51.100.7\nclient_name=client.example.org\nclient_port=25252\n"
    "reverse_client_name=client.example.org\nserver_address=192.0.2.1\nserver_port=25\n"
    "helo_name=client.example.org\nsender=sender@example.org\nrecipient={}\n"
    "recipient_count=0\nqueue_id=\ninstance=123.456.0\nsize=1234\netrn_domain=\nstress=\n"
    "sasl_method=\nsasl_username=\nsasl_sender=\nccert_subject=\nccert_issuer=\n"
    "ccert_fingerprint=\nccert_pubkey_fingerprint=\nencryption_protocol=\n"
    "encryption_cipher=\nencryption_keysize=0\npolicy_context=\n\n"
)


@dataclass(frozen=True)
class Section:
    """What an index and a synced directory read of the configuration."""

    name: str = "ad"
    base: str = "dc=example,dc=com"
    scope: str = "subtree"
    filter: str = ""
    schema: str = "inetorgperson"
    canary: str = ""
    max_age: float = 3600.0
    on_miss: str = "live"


class Down:
    """A directory that does not answer, and counts who asks."""

    name = "ad"
    asked = 0

    def peek(self, key: str) -> None:
        """Know nothing at once."""

    def find(self, key: str, timeout: float) -> tuple[Recipient, ...]:
        """Count, and fail."""
        del key, timeout
        self.asked += 1
        raise DirectoryError("down")

    def check(self) -> None:
        """Fail."""
        raise DirectoryError("down")

    def close(self) -> None:
        """Do nothing."""


def address(number: int) -> str:
    """Return one address of the directory."""
    if number % 3 == 0:
        return f"user{number:07}@corp.example.net"
    if number % 3 == 1:
        return f"given.surname{number:07}@example.com"
    return f"alias{number * 7919 % 10_000_019:08}.{number}@example.com"


def entries(addresses: int) -> Iterator[tuple[bytes, Recipient]]:
    """Give entries of three addresses each, every tenth a contact."""
    dice = random.Random(1)
    for number in range(0, addresses - addresses % 3, 3):
        own = (address(number), address(number + 1), address(number + 2))
        contact = number % 30 == 0
        yield (
            dice.randbytes(16),
            Recipient(
                f"cn=User {number:07},ou=people {number % 50},dc=example,dc=com",
                Kind.CONTACT if contact else Kind.MAILBOX,
                own,
                own[1],
                f"user{number:07}@unix.example.org" if contact else "",
            ),
        )


def make(folder: Path, addresses: int) -> None:
    """Load an index, and print what that took."""
    path = index_path(folder, "ad")
    wall, cpu = time.perf_counter(), time.process_time()
    writer = IndexWriter(path, source_of(Section()))  # type: ignore[arg-type]
    with writer.load() as whole:
        for name, recipient in entries(addresses):
            whole.put(name, recipient)
        whole.commit(cookie=b"", synced=time.time(), max_shrink=None)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    size = (path / "data.mdb").stat().st_size / 1e6
    count = writer.status.addresses
    writer.close()
    print(f"load {count:>9,} addresses  {wall:6.1f} s wall  {cpu:6.1f} s CPU  {size:6.1f} MB file")


def numbers(addresses: int, how: str) -> list[int]:
    """Draw the numbers of addresses, by Zipf or uniformly."""
    dice = random.Random(2)
    if how == "uniform":
        return [dice.randrange(addresses) for _ in range(PROBES)]
    weights = list(itertools.accumulate(1 / rank**ZIPF for rank in range(1, addresses + 1)))
    spread = 7_919  # neighbours in rank are not neighbours in the file
    return [
        bisect_left(weights, dice.random() * weights[-1]) * spread % addresses
        for _ in range(PROBES)
    ]


def keys(addresses: int, how: str) -> list[str]:
    """Draw addresses, or such as are not there."""
    if how == "miss":
        dice = random.Random(2)
        return [f"nobody{dice.randrange(10**9)}@example.com" for _ in range(PROBES)]
    return [address(number) for number in numbers(addresses, how)]


def timed(ask: Callable[[str], object], some: Sequence[str]) -> float:
    """Return the microseconds of CPU of one call: the median of the rounds."""
    spent = []
    for _ in range(ROUNDS):
        began = time.process_time()
        for key in some:
            ask(key)
        spent.append((time.process_time() - began) / len(some) * 1e6)
    return statistics.median(spent)


def anonymous() -> float:
    """Return this process's anonymous memory in MB of 10^6 octets."""
    found = re.search(r"^RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024 / 1e6


def look_up(folder: Path, addresses: int) -> None:
    """Measure look-ups in this process; a line for each kind of keys, and one of memory."""
    kinds = {how: keys(addresses, how) for how in ("uniform", "zipf", "miss")}
    every = [address(number) for number in range(0, addresses - addresses % 3, 7)]
    before = anonymous()
    now = time.time()
    directory = SyncedDirectory(
        Section(),
        Down(),
        index_path(folder, "ad"),
        source_of(Section()),  # type: ignore[arg-type]
        lambda: now,
    )
    while not directory.usable:
        time.sleep(0.01)
        directory.look()
    for ahead in range(1, 10**9):  # the mark of the load is some seconds old by now
        now = directory.synced
        directory.look()
        if ahead == 2:
            break
    for key in every:
        assert directory.peek(key)
    grown = anonymous() - before
    for how, some in kinds.items():
        print(how, timed(directory.peek, some))
    print("nothing", timed(str.isalpha, kinds["miss"]))
    print("anonymous", grown)
    directory.close()


class Daemon:
    """`codomain serve` on an index."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        ini = folder / "codomain.ini"
        ini.write_text(INI.format(folder=folder))
        self.policy = str(folder / "policy")
        self.writer = IndexWriter(index_path(folder, "ad"), source_of(Section()))  # type: ignore[arg-type]
        self.writer.confirm(time.time())
        self.began = time.perf_counter()
        self.log = (folder / "log").open("wb")
        self.process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, "serve", "--config", str(ini)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=self.log,
            stderr=self.log,
        )

    def connect(self) -> socket.socket:
        """Connect to its policy door, as soon as it is there."""
        while True:
            client = socket.socket(socket.AF_UNIX)
            try:
                client.connect(self.policy)
            except OSError:
                client.close()
                assert self.process.poll() is None, (self.folder / "log").read_text()
                time.sleep(0.005)
            else:
                return client

    def cpu(self) -> float:
        """Return the seconds of CPU that it has used."""
        ticks = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(ticks[11]) + int(ticks[12])) / os.sysconf("SC_CLK_TCK")

    def searches(self) -> float:
        """Return how many searches of the directory it has counted."""
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(self.folder / "http"))
            client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            page = b"".join(iter(lambda: client.recv(65536), b"")).decode()
        counts = re.findall(r"^codomain_directory_requests_total\{.*\} (\S+)$", page, re.MULTILINE)
        return sum(map(float, counts))

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(20)
        self.log.close()
        self.writer.close()


def ask(client: socket.socket, key: str) -> bytes:
    """Ask the policy door."""
    client.sendall(REQUEST.format(key).encode())
    return client.recv(4096)


def start(folder: Path, addresses: int) -> tuple[Daemon, float]:
    """Start a daemon: how long until it answers from the index."""
    daemon = Daemon(folder)
    with daemon.connect() as client:
        while b"DUNNO" not in ask(client, address(addresses // 2)):
            assert time.perf_counter() - daemon.began < START_SECONDS
            time.sleep(0.005)
        return daemon, time.perf_counter() - daemon.began


def requests(daemons: Sequence[Daemon], sizes: Sequence[int], how: str) -> float:
    """Return the CPU of a request of the second daemon, as a multiple of the first one's.

    Both are asked for SMALL people, who in the second one stand all over its index;
    ``once``: for each of them once, so that nothing is answered from what a door has kept.
    """
    spent: list[list[float]] = [[] for _ in daemons]
    order = list(range(SMALL)) if how == "once" else numbers(SMALL, how)[:REQUESTS]
    random.Random(4).shuffle(order)
    some = [[address(number * (size // SMALL)) for number in order] for size in sizes]
    step = len(order) // 10
    clients = [daemon.connect() for daemon in daemons]
    for at in range(0, len(order), step):
        for number, daemon in enumerate(daemons):
            daemon.writer.confirm(time.time())
            before = daemon.cpu()
            for key in some[number][at : at + step]:
                ask(clients[number], key)
            spent[number].append(daemon.cpu() - before)
    for client in clients:
        client.close()
    small, large = (sum(each) / len(order) * 1e6 for each in spent)
    print(
        f"request, {how:8} keys  {small:6.1f} µs of {sizes[0]:,}  {large:6.1f} µs of {sizes[1]:,}"
    )
    return large / small


def flood(daemon: Daemon, addresses: int, count: int) -> tuple[float, float]:
    """Flood a daemon with unknown recipients: p99 of a known one in ms, and searches made."""
    before = daemon.searches()
    flooder = subprocess.Popen(
        [sys.executable, __file__, "--flooder", daemon.policy, "--flood", str(count)]
    )
    took = []
    dice = random.Random(3)
    with daemon.connect() as client:
        while flooder.poll() is None:
            daemon.writer.confirm(time.time())
            key = address(dice.randrange(addresses))
            began = time.perf_counter()
            assert b"DUNNO" in ask(client, key)
            took.append((time.perf_counter() - began) * 1000)
            time.sleep(0.002)
    assert flooder.returncode == 0
    return statistics.quantiles(took, n=100)[98], daemon.searches() - before


def flooder(policy: str, count: int) -> None:
    """Ask for so many distinct unknown recipients, over eight connections at once."""
    clients = [socket.socket(socket.AF_UNIX) for _ in range(8)]
    for client in clients:
        client.connect(policy)
    for at in range(0, count, len(clients)):
        for number, client in enumerate(clients):
            client.sendall(REQUEST.format(f"guess{at + number}@example.com").encode())
        for client in clients:
            assert client.recv(4096).startswith(b"action=550 5.1.1 ")


def compare(folder: Path, addresses: int) -> None:
    """Measure what was rejected: sqlite, and a dict; keys lead to an entry's packed texts."""
    file = folder / "compare.sqlite"
    base = sqlite3.connect(file)
    base.execute("PRAGMA journal_mode = WAL")
    base.execute("CREATE TABLE a (k TEXT PRIMARY KEY, e INTEGER) WITHOUT ROWID")
    base.execute("CREATE TABLE e (n INTEGER PRIMARY KEY, t TEXT)")
    began = time.perf_counter()
    for number, (_, entry) in enumerate(entries(addresses)):
        texts = "\0".join((entry.dn, entry.primary, entry.target, *entry.addresses))
        base.execute("INSERT INTO e VALUES (?, ?)", (number, texts))
        base.executemany("INSERT INTO a VALUES (?, ?)", [(key, number) for key in entry.addresses])
    base.commit()
    print(f"sqlite load {time.perf_counter() - began:.1f} s, {file.stat().st_size / 1e6:.1f} MB")
    query = "SELECT t FROM a JOIN e ON e.n = a.e WHERE k = ?"
    before = anonymous()
    for how in ("uniform", "zipf", "miss"):
        spent = timed(lambda key: base.execute(query, (key,)).fetchone(), keys(addresses, how))
        print(f"sqlite {how:8} {spent:6.2f} µs, before an entry is made of it")
    print(f"sqlite anonymous {anonymous() - before:.1f} MB")
    base.close()
    before = anonymous()
    plain = {key: entry for _, entry in entries(addresses) for key in entry.addresses}
    grown, spent = anonymous() - before, timed(plain.get, keys(addresses, "uniform"))
    print(f"dict anonymous {grown:.1f} MB, {spent:.2f} µs a hit")


def measured(folder: Path, addresses: int) -> dict[str, float]:
    """Run the look-ups in a fresh process."""
    done = subprocess.run(
        [sys.executable, __file__, "--child", str(folder), "--addresses", str(addresses)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return {line.split()[0]: float(line.split()[1]) for line in done.stdout.splitlines()}


def run(folder: Path, addresses: int, count: int) -> bool:
    """Measure all; whether every limit is kept."""
    kept = []

    def limit(text: str, value: float, most: float, unit: str) -> None:
        kept.append(value <= most)
        print(f"{text:58}{value:8.2f} {unit:3} of {most:g}{'' if kept[-1] else '   MISSED'}")

    small, large = folder / "small", folder / "large"
    for place, size in ((small, SMALL), (large, addresses)):
        place.mkdir(exist_ok=True)
        make(place, size)
    found = measured(large, addresses)
    for how, most in (("uniform", HIT_US), ("zipf", HIT_US), ("miss", MISS_US)):
        name = "a miss" if how == "miss" else f"a hit, keys {how}"
        limit(f"{name}, CPU of one look-up", found[how] - found["nothing"], most, "µs")
    limit("anonymous memory that look-ups add", found["anonymous"], ANON_MB, "MB")
    first, _ = start(small, SMALL)
    second, ready = start(large, addresses)
    try:
        limit("from the start to the first answer of the index", ready, READY_SECONDS, "s")
        for how in ("once", "zipf", "uniform"):
            ratio = requests((first, second), (SMALL, addresses), how)
            limit(f"CPU of a request, as a multiple of 10,000's, {how}", ratio, RATIO, "")
        p99, searches = flood(second, addresses, count)
        limit(f"p99 of a known recipient beside {count:,} guesses", p99, P99_MS, "ms")
        limit("searches that they made", searches, 0, "")
    finally:
        first.stop()
        second.stop()
    return all(kept)


def main() -> int:
    """Run the bench; 1 where a limit is missed."""
    parser = argparse.ArgumentParser(description="Measure the local index.")
    parser.add_argument("--addresses", type=int, default=1_000_000)
    parser.add_argument("--flood", type=int, default=100_000)
    parser.add_argument("--compare", action="store_true", help="measure sqlite and a dict, too")
    parser.add_argument("--folder", type=Path, help="work here, and leave what was made")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--flooder", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        look_up(options.child, options.addresses)
        return 0
    if options.flooder:
        flooder(options.flooder, options.flood)
        return 0
    with tempfile.TemporaryDirectory() as made:
        folder = options.folder or Path(made)
        if options.compare:
            compare(folder, options.addresses)
        return 0 if run(folder, options.addresses, options.flood) else 1


if __name__ == "__main__":
    sys.exit(main())
