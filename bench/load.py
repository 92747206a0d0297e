"""Measures how long a directory of files takes to load, and how much memory.

Makes an LDIF and a csvde file of the same entries (nine mailboxes to one contact, three
or four addresses each), loads each in a fresh process, and prints the wall time of the
load, the CPU time, and by how much the process's peak of resident memory grew.  The
limits are for 20,000 entries: 2 s and 60 MB.  Linux only (/proc).

    bench/load.py [ENTRIES] [--keep FOLDER]
"""

from __future__ import annotations

import argparse
import csv
import gc
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

MAX_SECONDS = 2.0
"""The longest that 20,000 entries may take."""

MAX_MB = 60.0
"""The most by which they may let the process grow, in MB of 10^6 octets."""

ENTRIES = 20_000

Entry = dict[str, list[str]]


@dataclass(frozen=True)
class Section:
    """What FilesDirectory reads of the configuration."""

    name: str
    path: tuple[str, ...]
    encoding: str = "utf-8"
    skip_bad_records: bool = False


def entry(number: int) -> Entry:
    """Make the entry of that number: every tenth one is a contact."""
    nick = f"user{number:07d}"
    contact = number % 10 == 0
    target = f"{nick}@unix.example.net"
    own = [f"smtp:{nick}@corp.local", f"smtp:given.sur{number:07d}@example.com"]
    first = target if contact else f"{nick}@example.com"
    if contact:
        own[0] = f"smtp:{nick}@example.com"
    return {
        "objectClass": ["top", "person", "organizationalPerson", "contact" if contact else "user"],
        "dn": [f"cn=User {number:07d},ou=people {number % 50},dc=corp,dc=local"],
        "cn": [f"User {number:07d}"],
        "sn": [f"Sur{number:07d}"],
        "givenName": ["Given"],
        "displayName": [f"Given Sur{number:07d}"],
        "proxyAddresses": [f"SMTP:{first}", *own, f"X400:c=us;a= ;p=Corp;s=Sur{number:07d};"],
        "targetAddress": [f"SMTP:{target}"] if contact else [],
        "mail": [first],
        "mailNickname": [nick],
    }


def write_ldif(path: Path, entries: int) -> None:
    """Write the entries as LDIF content records (RFC 2849)."""
    with path.open("w", encoding="utf-8") as file:
        file.write("version: 1\n")
        for number in range(entries):
            made = entry(number)
            lines = [
                f"{name}: {value}"
                for name, values in made.items()
                if name != "dn"
                for value in values
            ]
            file.write("\n".join(["", f"dn: {made['dn'][0]}", *lines, ""]))


def write_csv(path: Path, entries: int) -> None:
    """Write the entries as csvde does."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(entry(0))
        for number in range(entries):
            writer.writerow([";".join(values) for values in entry(number).values()])


def memory(field: str) -> int:
    """Read a field of /proc/self/status, in octets."""
    found = re.search(rf"^{field}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def measure(path: str) -> None:
    """Load one file in this process, and print what it took."""
    from codomain.directory.files import FilesDirectory  # noqa: PLC0415 - the child's alone

    gc.collect()
    before = memory("VmRSS")
    wall, cpu = time.perf_counter(), time.process_time()
    directory = FilesDirectory(Section("bench", (path,)))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    grown = (memory("VmHWM") - before) / 1e6
    kept = (memory("VmRSS") - before) / 1e6
    print(f"{len(directory)} {wall:.3f} {cpu:.3f} {grown:.1f} {kept:.1f}")


def run(path: Path) -> bool:
    """Measure a file in a fresh process and print a line; whether it keeps the limits."""
    sources = Path(__file__).resolve().parents[1] / "resolver"
    done = subprocess.run(
        [sys.executable, __file__, "--child", str(path)],
        env={**os.environ, "PYTHONPATH": str(sources)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    count, wall, cpu, grown, kept = done.stdout.split()
    kept_limits = float(wall) <= MAX_SECONDS and float(grown) <= MAX_MB
    size = path.stat().st_size / 1e6
    print(
        f"{path.suffix[1:]:5} {int(count):>9,} entries {size:7.1f} MB file {wall:>8} s wall"
        f" {cpu:>8} s CPU {grown:>7} MB peak {kept:>7} MB kept"
    )
    return kept_limits


def main() -> int:
    """Run the bench; 1 where 20,000 entries break a limit."""
    parser = argparse.ArgumentParser(description="Measure the load of a directory of files.")
    parser.add_argument("entries", nargs="?", type=int, default=ENTRIES)
    parser.add_argument("--keep", type=Path, help="write the files here, and leave them")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        measure(options.child)
        return 0
    with tempfile.TemporaryDirectory() as made:
        folder = options.keep or Path(made)
        ldif, table = folder / "load.ldif", folder / "load.csv"
        write_ldif(ldif, options.entries)
        write_csv(table, options.entries)
        good = [run(ldif), run(table)]
    if options.entries > ENTRIES:
        return 0
    print(f"limits: {MAX_SECONDS} s, {MAX_MB} MB: {'kept' if all(good) else 'BROKEN'}")
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
