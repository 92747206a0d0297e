"""`codomain check` reads the local index of `mode = sync` from end to end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from codomain.config import Config, parse
from codomain.directory.index import index_path, source_of
from codomain_cli.check import looked_at
from support.indexes import load, person

if TYPE_CHECKING:
    from pathlib import Path

INI = """\
[codomain]
postfix = off
postmaster = ann@corp.local
state_directory = {folder}
[domain corp.local]
type = authoritative
[directory ad]
servers = ldap://127.0.0.1:1
base = dc=corp,dc=local
mode = sync
"""

OTHERS = {"usable", "directory.canary"}
"""What is said of this configuration whatever its index holds."""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Give a configuration whose index would be below the test's folder."""
    return parse(INI.format(folder=tmp_path))


def index(config: Config, **entries: tuple[str, ...]) -> None:
    """Load an index: addresses by name, of a contact where the last one has ``->`` before it."""
    section = config.directories[0]
    path = index_path(config.codomain.state_directory, section.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    people = {}
    for name, addresses in entries.items():
        target = addresses[-1].removeprefix("->") if addresses[-1].startswith("->") else ""
        people[name.encode()] = person(name, *addresses[: -1 if target else None], target=target)
    load(path, people, source=source_of(section))


def found(config: Config) -> dict[str, str]:
    """Return what is said, by id."""
    findings, _ = looked_at(config)
    return {one.id: one.what for one in findings if one.id not in OTHERS}


def test_without_an_index_that_is_said(config: Config) -> None:
    """Every address is searched for until `codomain sync` has run."""
    said = found(config)
    assert set(said) == {"directory.no_index"}


def test_the_entries_of_an_index_are_followed(config: Config) -> None:
    """Issue 8: for the local index all contacts are walked; no server is asked."""
    index(config, ann=("ann@corp.local",), bob=("bob@corp.local", "->gone@corp.local"))
    said = found(config)
    assert set(said) == {"entry.unknown"}
    assert "bob@corp.local → gone@corp.local" in said["entry.unknown"]


def test_an_address_of_two_entries_is_named(config: Config) -> None:
    """index.duplicates: mail to it is deferred."""
    index(config, ann=("ann@corp.local",), bob=("bob@corp.local", "ann@corp.local"))
    findings, status = looked_at(config)
    [one] = [one for one in findings if one.id not in OTHERS]
    assert one.id == "directory.duplicate"
    assert one.section == "directory ad"
    assert one.what == (
        "ann@corp.local is an address of cn=ann and of cn=bob; mail to it is deferred"
    )
    assert status == 1
