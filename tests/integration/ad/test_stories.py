"""The golden files of tests/scenarios, decided on what a real Active Directory holds.

The people of each story become users, contacts and groups of an organisational unit of
its own, and the story's directory is asked over ldaps.  :data:`LEFT_OUT` names what Active
Directory cannot express, and why; everything else is as the file says.
"""

from __future__ import annotations

import re
from itertools import count
from typing import TYPE_CHECKING

import pytest

from codomain.directory import csvde, ldif
from codomain.directory.ldap import LdapDirectory
from codomain.directory.record import Record
from codomain_policyd.reply import policy_action
from scenarios.test_scenarios import HERE, MAPS, STORIES, Story, question_of, rows
from support.decisions import told
from support.ldapsection import Section
from support.samba import ADMIN, BASE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import ldap3

    from codomain.directory.base import Recipient
    from codomain.finding import Outage
    from support.samba import Samba

TIME = 20.0
"""Seconds for an answer: far more than one takes."""

LEFT_OUT = {
    "routing": "mailHost and mailRoutingAddress are no attributes of Active Directory",
    "relay-domain": "it has no directory",
}
"""Stories that Active Directory cannot express, and why."""

ROWS_LEFT_OUT = {
    "adversary": (
        re.compile(rb"(host|both)(\.box)?@corp\.local"),
        "mailHost and mailRoutingAddress are no attributes of Active Directory",
    ),
}
"""Recipients of a story that Active Directory cannot express, and why."""

OF_THE_NAME = {"cn", "name", "dn"}
"""Attributes that the entry's name gives, or that are none."""


def records(folder: Path, name: str) -> Iterator[Record]:
    """Read the entries of a story's directory."""
    for path in (*folder.glob(f"{name}.ldif"), *folder.glob("contacts.csv")):
        read = ldif.read if path.suffix == ".ldif" else csvde.read
        with path.open(encoding="utf-8", newline="") as lines:
            for record in read(lines):
                assert isinstance(record, Record), record
                yield record


def enter(connection: ldap3.Connection, unit: str, number: int, record: Record) -> None:
    """Add one entry of a story below a unit."""
    classes = record.attributes["objectclass"]
    if "inetLocalMailRecipient" in classes:
        return
    attributes = {
        name: values for name, values in record.attributes.items() if name not in OF_THE_NAME
    }
    if "user" in classes:
        attributes["sAMAccountName"] = [f"someone{number}"]
    connection.add(f"{record.dn.partition(',')[0]},{unit}", attributes=attributes)


@pytest.fixture(scope="module")
def units(samba: Samba) -> dict[str, str]:
    """Give the unit of each story's directory, by story and name, filled with its people."""
    made = {}
    numbers = count()
    with samba.administrator() as connection:
        for story in sorted(set(STORIES) - set(LEFT_OUT)):
            for section in Story(HERE / story).config.directories:
                found = list(records(HERE / story, section.name))
                unit = f"OU={story} {section.name},{BASE}"
                connection.add(unit, ["organizationalUnit"])
                for record in found:
                    enter(connection, unit, next(numbers), record)
                made[f"{story} {section.name}"] = unit
    return made


class OnActiveDirectory(Story):
    """A story whose directories are asked over LDAP."""

    def __init__(self, name: str, directories: dict[str, LdapDirectory]) -> None:
        super().__init__(HERE / name)
        self._directories = directories

    def peek(self, directory: str, key: str) -> tuple[Recipient, ...] | Outage | None:
        """Ask the server, but for a directory that is down in this story."""
        asked = self._directories.get(directory)
        return super().peek(directory, key) if asked is None else asked.find(key, TIME)


@pytest.fixture
def tell(
    samba: Samba, units: dict[str, str], password_file: str
) -> Iterator[Callable[[str], OnActiveDirectory]]:
    """Give a maker of stories on Active Directory."""
    opened: list[LdapDirectory] = []

    def make(name: str) -> OnActiveDirectory:
        directories = {}
        for section in Story(HERE / name).config.directories:
            down = section.type == "ldap" and not (HERE / name / f"{section.name}.ldif").exists()
            if down:
                continue
            keys = Section(
                (samba.ldaps,),
                base=units[f"{name} {section.name}"],
                bind_dn=ADMIN,
                bind_password_file=password_file,
                ca_file=str(samba.authority),
                timeout=TIME,
            )
            directories[section.name] = LdapDirectory(keys)
        opened.extend(directories.values())
        return OnActiveDirectory(name, directories)

    yield make
    for directory in opened:
        directory.close()


@pytest.mark.parametrize("name", sorted(set(STORIES) - set(LEFT_OUT)))
def test_every_row_comes_true_on_active_directory(
    name: str, tell: Callable[[str], OnActiveDirectory]
) -> None:
    """Verdict, policy action and map answers are those of the golden file, letter for letter."""
    story = tell(name)
    by_filter = story.config.policyd.redirect == "filter"
    left_out, _ = ROWS_LEFT_OUT.get(name, (None, ""))
    wrong, asked = [], 0
    for row in rows(name):
        if left_out is not None and left_out.search(row.recipient):
            continue
        asked += 1
        question = question_of(row)
        verdict = story.decide(question)
        action = policy_action(verdict, story.replies, by_filter=by_filter)
        if told(verdict).removesuffix(" diverted") != row.verdict:
            wrong.append(f"{row.place}: {told(verdict)!r} is not {row.verdict!r}")
        if action != f"action={row.action}\n\n".encode():
            wrong.append(f"{row.place}: {action!r} is not {row.action!r}")
        if row.maps != ("-",) * len(MAPS) and story.maps(question) != row.maps:
            wrong.append(f"{row.place}: {story.maps(question)!r} is not {row.maps!r}")
    assert not wrong, "\n" + "\n".join(wrong)
    assert asked >= 3


def test_what_is_left_out_is_there() -> None:
    """The tables name stories and rows that exist; a story that is renamed is not lost."""
    assert set(LEFT_OUT) | set(ROWS_LEFT_OUT) <= set(STORIES)
    for name, (pattern, reason) in ROWS_LEFT_OUT.items():
        assert [row for row in rows(name) if pattern.search(row.recipient)], name
        assert reason
