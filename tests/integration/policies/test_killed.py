"""``codomain policies apply`` that is killed at any moment, and one whose server dies."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import ldap3
import pytest

from codomain_cli.loading import load
from codomain_cli.stamping.reading import planned
from codomain_cli.stamping.reading import stamped as stamped_directories
from codomain_cli.stamping.writing import write
from support.site import run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.stamped import Directory

INI = """\
[codomain]
hostname = mx.example.com
postfix = off
postmaster = p1@corp.example

[domain corp.example]
type = authoritative

[domain example.com]

[directory ad]
schema = active-directory
{keys}

[policy rest]
default = yes
address_spaces = corp.example, example.com
"""
ENTRIES = 140
NAMES = 20
"""So many names share all entries but the last: the addresses go by age."""

LATE = ENTRIES - NAMES
"""These want what the first ones lose.  There are more requests between them than are under
way at a time, so that a run that is killed at its first result leaves them for the next."""


SECONDS = 60.0
Held = dict[str, tuple[list[str], list[str]]]
"""proxyAddresses and mail, by the name of the entry."""


def letter(number: int) -> str:
    """Return what tells names apart: behind a digit a number would be another name."""
    return chr(ord("a") + number % NAMES)


class Unit:
    """A unit of its own, with as many entries, and a configuration around it."""

    def __init__(self, folder: Path, directory: Directory, name: str) -> None:
        self.unit = f"ou={name},{directory.unit}"
        self.directory = replace(directory, unit=self.unit)
        keys = directory.keys.replace(f"base = {directory.unit}\n", f"base = {self.unit}\n")
        assert keys != directory.keys
        self.ini = folder / f"{name}.ini"
        self.ini.write_text(INI.format(keys=keys))
        with directory.connect() as connection:
            connection.add(self.unit, attributes={"objectClass": ["organizationalUnit"]})
            for number in range(ENTRIES):
                connection.add(f"cn=P{number:03},{self.unit}", attributes=self._values(number))

    def _values(self, number: int) -> dict[str, list[str]]:
        classes = {"samba": ["contact"], "slapd": ["inetOrgPerson", "mailRecipient"]}
        values = {
            "objectClass": classes[self.directory.kind],
            "sn": ["P"],
            "mailNickname": [("q" if number >= LATE else "p") + letter(number)],
        }
        if number < NAMES:  # has what a late one wants, and is to lose it
            lost = f"q{letter(LATE + number)}@example.com"
            values["proxyAddresses"] = [f"SMTP:{lost}", f"smtp:old{number}@example.com"]
            values["mail"] = [f"mail{number}@example.com"]
        return values

    def apply(self) -> subprocess.CompletedProcess[str]:
        """Stamp them, to the end."""
        return run("policies", "apply", "--remove", "example.com", "--config", self.ini)

    def ended(self, results: int) -> None:
        """Stamp them, and end that at so many results, with what is under way then."""
        config = load([self.ini])
        changes = [c for c in planned(config, ["example.com"]) if c.changes]
        writing = write(stamped_directories(config), changes)
        for _ in range(results):
            if next(writing, None) is None:
                break
        writing.close()

    def killed(self, when: Callable[[Held], bool]) -> int:
        """Stamp them, and kill that at a moment; return the exit status."""
        code = "from codomain_cli.main import main; main()"
        words = ["policies", "apply", "--remove", "example.com", "--config", os.fspath(self.ini)]
        process = subprocess.Popen(
            [sys.executable, "-c", code, *words],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            end = time.monotonic() + SECONDS
            with self.directory.connect() as connection:
                while process.poll() is None and not when(self._held(connection)):
                    assert time.monotonic() < end
        finally:
            process.kill()
            process.wait(SECONDS)
        return process.returncode

    def held(self) -> Held:
        """Return what all of them have."""
        with self.directory.connect() as connection:
            return self._held(connection)

    def _held(self, connection: ldap3.Connection) -> Held:
        names = ["proxyAddresses", "mail"]
        connection.search(self.unit, "(mailNickname=*)", ldap3.LEVEL, attributes=names)
        return {
            entry["dn"].partition(",")[0].lower(): (
                _texts(entry["raw_attributes"].get("proxyAddresses", [])),
                _texts(entry["raw_attributes"].get("mail", [])),
            )
            for entry in connection.response or ()
            if entry["type"] == "searchResEntry"
        }


def _texts(values: list[bytes]) -> list[str]:
    return sorted(value.decode() for value in values)


def stamped(held: Held) -> int:
    """Count those that have what they are to have in the private domain."""
    return sum(any("@corp.example" in p for p in proxies) for proxies, _ in held.values())


def left(held: Held) -> int:
    """Count the addresses that are to go and are still there."""
    return sum("old" in proxy for proxies, _ in held.values() for proxy in proxies)


@pytest.mark.parametrize("directory", ["slapd"], indirect=True)
def test_killed_at_any_moment_and_run_again_it_ends_as_if_it_had_not_been(
    tmp_path: Path, directory: Directory
) -> None:
    """Numbers by age, new primaries, and addresses that go: the same entries in the end."""
    whole, killed = (Unit(tmp_path, directory, name) for name in ("whole", "killed"))
    before = whole.held()
    assert killed.held() == before
    assert whole.apply().returncode == 0
    for results in (1, ENTRIES // 2, ENTRIES + 1):
        killed.ended(results)
    statuses = [
        killed.killed(lambda held: stamped(held) > stamped(before)),
        killed.killed(lambda held: left(held) < left(before)),
    ]
    assert set(statuses) <= {-9, 0}
    assert killed.apply().returncode == 0
    assert killed.held() == whole.held()
    wanted = whole.held()
    assert stamped(wanted) == ENTRIES
    assert left(wanted) == 0
    # The first ones have q…@example.com until the end, so the late ones get the next number.
    assert wanted[f"cn=p{LATE}"][0] == ["SMTP:qa@corp.example", "smtp:qa2@example.com"]
    assert not any("smtp:qa@example.com" in proxies for proxies, _ in wanted.values())
    again = killed.apply()
    assert "0 entries changed, 0 not" in again.stdout
    assert killed.held() == wanted
