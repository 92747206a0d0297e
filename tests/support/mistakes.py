r"""Configurations for ``codomain check``: good ones, and what a mistake changes in them.

A folder of tests/scenarios/mistakes/good is a whole site; what it lacks of main.cf,
master.cf and people.ldif is that of ``method-1``.  A change is ``FILE: old => new``
(``\\n`` is a line feed) or ``FILE: += more``, several of them parted by `` ;; ``.
"""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from codomain.config import parse
from codomain_cli import sendmail as lines
from codomain_cli.check import checked
from support.postfix import SECONDS
from support.sendmail import unpacked

if TYPE_CHECKING:
    from codomain_cli.checks.findings import Finding
    from codomain_cli.exits import Exit

SCENARIOS = Path(__file__).parents[1] / "scenarios" / "mistakes"
GOOD = SCENARIOS / "good"
TABLE = SCENARIOS / "mistakes.tsv"

OLD = 1_000_000_000
"""A time in the past: Postfix waits for files that have just changed."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """One row of the table."""

    id: str
    """The finding that is expected."""

    severity: str
    """How severe it is."""

    good: str
    """The configuration in which the mistake is made."""

    file: str
    """The file in which it is found."""

    line: str
    """How the line begins that is named; empty: the file as a whole."""

    changes: str
    """What is changed."""


def mistakes() -> list[Mistake]:
    """Read the table."""
    with TABLE.open() as table:
        rows = csv.reader((row for row in table if not row.startswith("#")), "excel-tab")
        return [Mistake(*row) for row in rows if row]


def site(good: str, folder: Path, changes: str = "") -> Path:
    """Copy a good configuration into a folder, make the changes, and return the INI's path."""
    for name in ("main.cf", "master.cf", "people.ldif"):
        shutil.copy(GOOD / "method-1" / name, folder / name)
    for path in (GOOD / good).iterdir():
        shutil.copy(path, folder / path.name)
    (folder / "table").touch()
    for change in filter(None, changes.split(" ;; ")):
        name, _, edit = change.partition(": ")
        old, arrow, new = edit.partition(" => ")
        text = (folder / name).read_text()
        if edit.startswith("+= "):
            text += edit.removeprefix("+= ") + "\n"
        else:
            assert arrow, change
            assert old.replace("\\n", "\n") in text, change
            text = text.replace(old.replace("\\n", "\n"), new, 1)
        (folder / name).write_text(text.replace("\\n", "\n").replace("\\t", "\t"))
    for path in folder.iterdir():
        path.write_text(path.read_text().replace("FOLDER", str(folder)))
        os.utime(path, (OLD, OLD))
    if (folder / "password").exists():
        (folder / "password").chmod(0o600)
    return folder / "codomain.ini"


def make_cf(folder: Path) -> Path:
    """Make sendmail.cf of sendmail.mc and the lines that codomain prints; then edit it."""
    root = unpacked()
    cf = root / "usr/share/sendmail/cf"
    good = (GOOD / "sendmail" / "codomain.ini").read_text().replace("FOLDER", f"{folder}")
    mc = (folder / "sendmail.mc").read_text() + lines.text(parse(good))
    libraries = [os.fspath(path) for path in (root / "usr/lib").glob("*-linux-*")]
    done = subprocess.run(
        [root / "usr/bin/m4", f"-D_CF_DIR_={cf}/", cf / "m4/cf.m4", "-"],
        input=mc.encode(),
        env={**os.environ, "LD_LIBRARY_PATH": os.pathsep.join(libraries)},
        capture_output=True,
        timeout=SECONDS,
        check=True,
    )
    (folder / "sendmail.cf").write_bytes(done.stdout)
    return folder / "sendmail.cf"


def found(good: str, folder: Path, changes: str = "") -> tuple[list[Finding], Exit]:
    """Check a good configuration with some changes."""
    if good == "sendmail":
        before = [one for one in changes.split(" ;; ") if not one.startswith("sendmail.cf")]
        ini = site(good, folder, " ;; ".join(before))
        cf = make_cf(folder)
        for change in changes.split(" ;; "):
            if change.startswith("sendmail.cf: "):
                old, _, new = change.removeprefix("sendmail.cf: ").partition(" => ")
                text = cf.read_text()
                assert old in text, change
                cf.write_text(text.replace(old, new.replace("FOLDER", f"{folder}"), 1))
        return checked([ini], cf=cf)
    return checked([site(good, folder, changes)], where=str(folder))
