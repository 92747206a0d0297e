"""Measures ``codomain contacts`` on a slapd of its own, with Active Directory's attributes.

CONTACTS contacts in a hundred units, each with two addresses, through the command itself:

- imported into an empty directory (limit: 60 s),
- imported again with nothing to change (limit: 10 s),
- imported with another display name each,
- exported, and the export imported: nothing to change, and exported again: the same bytes.

Exits 1 where a limit is missed.

    bench/contacts.py [--contacts 20000] [--folder FOLDER]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
PARTS = ("resolver", "policyd", "milter", "cli", "tests")
sys.path[:0] = [str(HERE.parent / part) for part in PARTS]

from support.contactsite import BASE, Gateway, XoSlapd  # noqa: E402 - found by the line above

IMPORT_SECONDS, SAME_SECONDS = 60.0, 10.0
COMMAND = "from codomain_cli.main import main; main()"
HEADER = (
    "objectClass,dn,name,cn,sn,givenName,displayName,proxyAddresses,targetAddress,mail,mailnickname"
)


def table(count: int, title: str = "") -> str:
    """Write the file."""
    lines = [HEADER]
    for n in range(count):
        dn = f"cn=User {n},ou=unit {n % 100},ou=users,{BASE}"
        target = f"SMTP:User.{n}@remote.domain"
        lines.append(
            f'contact,"{dn}",User {n},User {n},{n},User,{title}User {n},'
            f"{target};smtp:user.{n}@xo.one,{target},User.{n}@remote.domain,user{n}"
        )
    return "".join(f"{line}\r\n" for line in lines)


def timed(gateway: Gateway, *arguments: str | Path) -> tuple[float, str]:
    """Run ``codomain contacts``; return the seconds, and the last lines."""
    words = [os.fspath(argument) for argument in arguments]
    path = os.pathsep.join(str(HERE.parent / part) for part in PARTS)
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, "contacts", *words, "--config", str(gateway.ini)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": path},
    )
    took = time.monotonic() - began
    if done.returncode:
        raise SystemExit(f"{words[0]}: {done.returncode}\n{done.stdout[-2000:]}{done.stderr}")
    return took, done.stdout


def run(folder: Path, count: int) -> bool:
    """Measure; whether every limit is kept."""
    good = True
    with XoSlapd(folder / "s") as slapd:
        gateway = Gateway(folder, slapd.ldapi)
        path = gateway.file(table(count))
        took, _ = timed(gateway, "import", path, "--create-ou", "--apply")
        print(f"import {count}: {took:.1f} s (limit {IMPORT_SECONDS:.0f} s)")
        good &= took <= IMPORT_SECONDS
        took, said = timed(gateway, "import", path, "--apply")
        print(f"again, nothing to change: {took:.1f} s (limit {SAME_SECONDS:.0f} s)")
        good &= took <= SAME_SECONDS and f"{count} same" in said
        other = gateway.file(table(count, "Dr. "), "other.csv")
        took, _ = timed(gateway, "import", other, "--apply")
        print(f"every one changed: {took:.1f} s")
        export = folder / "export.csv"
        took, _ = timed(gateway, "export", export)
        print(f"export: {took:.1f} s")
        before = export.read_bytes()
        _, said = timed(gateway, "import", export, "--apply")
        timed(gateway, "export", export)
        same = f"{count} same" in said and export.read_bytes() == before
        print(f"round trip: {'the same bytes' if same else 'DIFFERENT'}")
        good &= same
    return good


def main() -> int:
    """Run the benchmark; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--contacts", type=int, default=20_000)
    parser.add_argument("--folder", type=Path)
    chosen = parser.parse_args()
    if chosen.folder is not None:
        chosen.folder.mkdir(parents=True, exist_ok=True)
        return 0 if run(chosen.folder, chosen.contacts) else 1
    with tempfile.TemporaryDirectory(prefix="contacts") as folder:
        return 0 if run(Path(folder), chosen.contacts) else 1


if __name__ == "__main__":
    sys.exit(main())
