"""Measure following a real slapd: how fast everything is loaded, and a change is seen.

A slapd of its own holds ``--entries`` people of two addresses each.  Measured are the
whole ``codomain sync --once`` as a process (first by syncrepl, then by pages), with the
CPU seconds of it and of slapd beside it, a resume without changes, and, while the index
is followed, the time from sending one change to slapd until a reader of the index finds it.

Exits 1 where a target is missed: a million addresses in 60 s, a change within 0.2 s.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import ldap3

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))

from codomain.directory.follow import Terms
from codomain.directory.follower import Follower
from codomain.directory.index import IndexReader, index_path, source_of, status_of
from support.ldapsection import Section
from support.slapd import ADMIN, BASE, PASSWORD, Settings, Slapd

if TYPE_CHECKING:
    from collections.abc import Iterator

ADDRESSES_A_SECOND = 1_000_000 / 60
"""The full load of a million addresses within a minute."""

VISIBLE_SECONDS = 0.2
"""A change by syncrepl is in the index within this, at the 99th percentile."""

CHANGES = 200
OCTETS = 4096
"""Of slapd's database for one entry: generous."""

RUN = "from codomain_cli.main import main; main()"
SYNCPROV = ("olcSpSessionlog: 10000",)


def ldif(count: int) -> Iterator[str]:
    """Give the tree, one entry after the other."""
    yield (
        f"dn: {BASE}\nobjectClass: dcObject\nobjectClass: organization\no: example\n"
        f"dc: example\n\ndn: ou=people,{BASE}\nobjectClass: organizationalUnit\nou: people\n\n"
    )
    for n in range(count):
        yield (
            f"dn: cn=Person {n},ou=people,{BASE}\nobjectClass: contact\ncn: Person {n}\n"
            f"sn: S{n}\nproxyAddresses: SMTP:first.last{n}@remote.example.net\n"
            f"proxyAddresses: smtp:p{n}@example.com\ntargetAddress: SMTP:first.last{n}@"
            f"remote.example.net\nmail: first.last{n}@remote.example.net\nmailNickname: p{n}\n\n"
        )


def cpu(pid: int) -> float:
    """Return the CPU seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def load(slapd: Slapd, folder: Path, what: str) -> bool:
    """Run ``codomain sync --once``, print what it took, and tell whether that is the target."""
    ini = folder / "codomain.ini"
    ini.write_text(
        f"[codomain]\nhostname = mx.example.com\npostfix = off\nstate_directory = {folder}\n"
        "[domain example.com]\ntype = authoritative\n"
        f"[directory people]\nservers = {slapd.ldap}\nbase = {BASE}\nmode = sync\n"
    )
    before, own = cpu(slapd.pid), resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.monotonic()
    subprocess.run(
        [sys.executable, "-c", RUN, "sync", "--once", "--config", os.fspath(ini)],
        check=True,
        stderr=subprocess.DEVNULL,
    )
    took = time.monotonic() - began
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    status = status_of(index_path(folder, "people"))
    seconds = used.ru_utime + used.ru_stime - own.ru_utime - own.ru_stime
    rate = status.addresses / took
    print(
        f"{what:22}{status.entries:>9}{status.addresses:>10}{took:>8.1f}{rate:>12.0f}"
        f"{seconds:>9.1f}{cpu(slapd.pid) - before:>10.1f}{used.ru_maxrss / 1024:>9.0f}"
    )
    return rate >= ADDRESSES_A_SECOND


def latency(slapd: Slapd, folder: Path) -> bool:
    """Change entries one after the other, and time each until the index has it."""
    section = Section((slapd.ldap,))
    path = index_path(folder, "people")
    follower = Follower(section, path, Terms(0.2))
    thread = threading.Thread(target=follower.run)
    thread.start()
    connection = ldap3.Connection(
        ldap3.Server(slapd.ldap, get_info=ldap3.NONE), ADMIN, PASSWORD, check_names=False
    )
    connection.bind()
    reader = IndexReader(path, source_of(section))
    times = []
    for n in range(CHANGES + 1):
        key = f"changed{n}@example.com"
        changes = {"mail": [(ldap3.MODIFY_REPLACE, [key])]}
        began = time.monotonic()
        connection.modify(f"cn=Person {n},ou=people,{BASE}", changes)
        while not reader.find(key):
            time.sleep(0.0005)
            if time.monotonic() - began > 60:
                raise SystemExit("a change is not seen")
        times.append(time.monotonic() - began)
    reader.close()
    follower.stop()
    thread.join()
    times = sorted(times[1:])  # the first one waited for the connection
    p99 = times[len(times) * 99 // 100]
    print(
        f"a change is seen after {statistics.median(times) * 1000:.1f} ms,"
        f" p99 {p99 * 1000:.1f} ms, at most {times[-1] * 1000:.1f} ms ({CHANGES} changes)"
    )
    return p99 <= VISIBLE_SECONDS


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=100_000)
    count = parser.parse_args().entries
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = Settings(
            syncprov=SYNCPROV,
            max_size=max(1 << 30, count * OCTETS),
            size_limit="size.soft=1000 size.hard=unlimited size.prtotal=unlimited",
        )
        began = time.monotonic()
        slapd = Slapd(folder / "d", "".join(ldif(count)), settings)
        print(f"slapd filled in {time.monotonic() - began:.1f} s")
        with slapd:
            print(
                f"{'':22}{'entries':>9}{'addresses':>10}{'s':>8}{'addresses/s':>12}"
                f"{'CPU s':>9}{'slapd s':>10}{'RSS MB':>9}"
            )
            (folder / "a").mkdir()
            fine = load(slapd, folder / "a", "load")
            load(slapd, folder / "a", "resume, no changes")
            fine &= latency(slapd, folder / "a")
    sys.exit(0 if fine else 1)


if __name__ == "__main__":
    main()
