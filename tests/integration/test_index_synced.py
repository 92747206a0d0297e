"""A directory in sync mode: what the index answers, and when the directory itself is asked."""

from __future__ import annotations

import logging
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from codomain.directory import synced
from codomain.directory.index import index_path
from codomain.directory.misses import MISS_BURST
from codomain.directory.synced import BEHIND, IN_STEP_SECONDS, LIMITED, SyncedDirectory
from codomain.errors import DirectoryError, NotInIndexError
from codomain.finding import Outage
from support.indexes import SOURCE, load, load_elsewhere, people, person

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from codomain.directory.base import Recipient

NOW = 1_700_000_000.0
BOUND = 30.0
"""Seconds within which anything that is waited for has happened."""


@dataclass
class Section:
    """What is read of the configuration."""

    name: str = "ad"
    canary: str = ""
    max_age: float = 3600.0
    on_miss: str = "live"


class Live:
    """The directory itself: what it has, and how often it was asked."""

    name = "ad"

    def __init__(self) -> None:
        self.entries: dict[str, tuple[Recipient, ...]] = {}
        self.down = False
        self.asked: list[str] = []

    def peek(self, key: str) -> None:
        """Know nothing at once."""

    def find(self, key: str, timeout: float) -> tuple[Recipient, ...]:
        """Answer, unless it is down."""
        del timeout
        self.asked.append(key)
        if self.down:
            raise DirectoryError("refused")
        return self.entries.get(key, ())

    def check(self) -> None:
        """Tell whether it answers."""
        if self.down:
            raise DirectoryError("refused")

    def close(self) -> None:
        """Do nothing."""


class Stage:
    """An index, a follower that one plays oneself, and the directory in front of which it is."""

    def __init__(self, folder: Path) -> None:
        self.path = index_path(folder, "ad")
        self.live = Live()
        self.now = NOW
        self._made: list[SyncedDirectory] = []

    def directory(self, section: Section | None = None, source: str = SOURCE) -> SyncedDirectory:
        """Open it; the clock is :attr:`now`."""
        made = SyncedDirectory(section or Section(), self.live, self.path, source, lambda: self.now)
        self._made.append(made)
        return made

    def close(self) -> None:
        """Close all that was opened."""
        for made in self._made:
            made.close()


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a start wait for the index however busy the machine is."""
    monkeypatch.setattr(synced, "OPEN_SECONDS", BOUND)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """Give an empty stage."""
    made = Stage(tmp_path)
    yield made
    made.close()


def wait(directory: SyncedDirectory, condition: Callable[[], bool]) -> None:
    """Look, as the daemon does, until something holds."""
    end = time.monotonic() + BOUND
    while not condition():
        assert time.monotonic() < end
        directory.look()
        time.sleep(0.01)


def test_in_step_a_miss_is_believed_and_nobody_is_asked(stage: Stage) -> None:
    """A hit is a hit and a miss is a miss, with no search, however many come."""
    load(stage.path, people(["ann"]), synced=NOW)
    directory = stage.directory()
    assert directory.peek("ann@example.com") == (person("ann"),)
    for n in range(1000):
        assert directory.peek(f"no{n}@example.com") == ()
    assert stage.live.asked == []


def test_behind_a_miss_is_asked_for_but_not_by_every_guess(stage: Stage) -> None:
    """More than IN_STEP_SECONDS without a word: a burst of searches; of the rest nobody knows.

    Whoever was added since may be among the rest, so it is 451.  The directory answers: what
    `on_outage = deliver` lets through is not meant for whoever guesses fast.
    """
    load(stage.path, people(["ann"]), synced=NOW)
    stage.now = NOW + IN_STEP_SECONDS + 1
    directory = stage.directory()
    assert directory.peek("ann@example.com") == (person("ann"),)
    answers = [directory.peek(f"no{n}@example.com") for n in range(1000)]
    searches = answers.count(None)
    assert MISS_BURST <= searches <= MISS_BURST + 5  # the bucket fills while this runs
    assert answers.count(Outage(LIMITED, limited=True)) == 1000 - searches


def test_a_mailbox_made_a_second_ago_works_while_the_index_lags(stage: Stage) -> None:
    """`on_miss = live`: it is found in the directory, and stays found when that goes down."""
    load(stage.path, people(["ann"]), synced=NOW)
    stage.now = NOW + 60
    directory = stage.directory()
    stage.live.entries["new@example.com"] = (person("new"),)
    assert directory.peek("new@example.com") is None
    assert directory.find("new@example.com", 1.0) == (person("new"),)
    assert directory.peek("new@example.com") == (person("new"),)
    stage.live.down = True
    assert directory.find("new@example.com", 1.0) == (person("new"),)


def test_with_on_miss_none_the_directory_is_never_asked(stage: Stage) -> None:
    """A lagging index is believed while it is younger than max_age: the INI chose that."""
    load(stage.path, people(["ann"]), synced=NOW)
    stage.now = NOW + 60
    directory = stage.directory(Section(on_miss="none"))
    assert directory.peek("new@example.com") == ()
    stage.live.down = True
    assert directory.peek("new@example.com") == ()
    assert stage.live.asked == []


def test_while_the_directory_is_down_the_index_answers_for_whom_it_has(stage: Stage) -> None:
    """Hits serve, and it is ready; of a miss nobody knows, and it is not asked for in vain."""
    load(stage.path, people(["ann"]), synced=NOW)
    stage.now = NOW + 60
    stage.live.down = True
    directory = stage.directory()
    directory.check()
    assert directory.peek("ann@example.com") == (person("ann"),)
    assert directory.peek("no@example.com") is None
    with pytest.raises(NotInIndexError):
        directory.find("no@example.com", 1.0)
    assert directory.peek("other@example.com") == Outage(BEHIND)
    assert stage.live.asked == ["no@example.com"]


def test_who_was_added_after_the_follower_stopped_is_not_unknown_in_an_outage(
    stage: Stage,
) -> None:
    """`codomain sync` stops, a mailbox is made, then the directory goes down: 451, not 550."""
    load(stage.path, people(["ann"]), synced=NOW)
    directory = stage.directory()
    stage.now = NOW + 60
    assert directory.look()
    stage.live.entries["new@example.com"] = (person("new"),)
    stage.live.down = True
    assert directory.peek("new@example.com") is None
    with pytest.raises(DirectoryError):
        directory.find("new@example.com", 1.0)
    # Until it is in step again: then a miss is one, and who was added is found.
    load_elsewhere(stage.path, people(["ann", "new"]), synced=NOW + 61)
    stage.now = NOW + 61
    assert directory.look()
    assert directory.peek("new@example.com") == (person("new"),)
    assert directory.peek("no@example.com") == ()


def test_who_was_in_step_until_the_outage_is_believed_no_longer_than_that(stage: Stage) -> None:
    """A link that is cut may have people added behind it: IN_STEP_SECONDS, and then 451."""
    load(stage.path, people(["ann"]), synced=NOW)
    directory = stage.directory()
    stage.live.down = True
    stage.now = NOW + IN_STEP_SECONDS - 1
    directory.look()
    assert directory.peek("no@example.com") == ()
    stage.now = NOW + IN_STEP_SECONDS + 1
    assert directory.look()
    assert directory.peek("no@example.com") is None
    with pytest.raises(NotInIndexError):
        directory.find("no@example.com", 1.0)


@pytest.mark.parametrize("on_miss", ["live", "none"])
def test_past_max_age_a_miss_is_not_known(stage: Stage, on_miss: str) -> None:
    """Hits serve still; a miss is an outage (451), or what the directory itself says."""
    load(stage.path, people(["ann"]), synced=NOW)
    stage.now = NOW + 3601
    stage.live.down = True
    directory = stage.directory(Section(on_miss=on_miss))
    assert directory.peek("ann@example.com") == (person("ann"),)
    if on_miss == "live":
        assert directory.peek("no@example.com") is None
        with pytest.raises(DirectoryError):
            directory.find("no@example.com", 1.0)
    assert directory.peek("other@example.com") == Outage("the index is older than max_age")
    assert stage.live.asked == (["no@example.com"] if on_miss == "live" else [])
    with pytest.raises(DirectoryError):
        directory.check()


def test_a_canary_that_is_not_in_the_index_makes_every_miss_doubtful(stage: Stage) -> None:
    """An index without what it must have may lack others as well."""
    load(stage.path, people(["ann"]), synced=NOW)
    section = Section(canary="Boss@Example.COM", on_miss="none")
    directory = stage.directory(section)
    assert directory.peek("ann@example.com") == (person("ann"),)
    assert isinstance(directory.peek("no@example.com"), Outage)
    load_elsewhere(stage.path, people(["ann", "boss"]), synced=NOW)
    assert directory.look()
    assert directory.peek("no@example.com") == ()


def test_without_a_usable_index_every_address_is_asked_for(stage: Stage) -> None:
    """Missing, or of another source: as in live mode, with the directory's own errors."""
    directory = stage.directory()
    assert directory.peek("ann@example.com") is None
    assert not directory.usable
    stage.live.down = True
    with pytest.raises(DirectoryError):
        directory.find("ann@example.com", 1.0)
    with pytest.raises(DirectoryError):
        directory.check()
    load(stage.path, people(["ann"]), synced=NOW)
    wait(directory, lambda: directory.usable)
    assert directory.peek("ann@example.com") == (person("ann"),)
    assert stage.directory(source="another").peek("ann@example.com") is None


def test_a_change_is_told_and_a_heartbeat_is_not(stage: Stage) -> None:
    """Kept verdicts go when an answer may be another one, and only then."""
    load(stage.path, people(["ann"]), synced=NOW)
    directory = stage.directory()
    assert not directory.look()
    load_elsewhere(stage.path, people(["ann"]), synced=NOW + 1)
    assert not directory.look()
    assert directory.synced == NOW + 1
    load_elsewhere(stage.path, people(["ann", "bob"]), synced=NOW + 2)
    assert directory.look()
    assert not directory.look()
    assert directory.entries == 2
    stage.now = NOW + 100  # it lags now: misses are worth another thing
    assert directory.look()
    assert not directory.look()


def test_damage_is_told_and_the_directory_is_asked_until_it_is_made_anew(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    """Noticed at a look-up: that one goes live, and so do all, until there is a new index."""
    load(stage.path, people(f"p{n}" for n in range(2000)), synced=NOW)
    directory = stage.directory()
    with caplog.at_level(logging.ERROR):
        os.truncate(stage.path / "data.mdb", 32768)
        assert directory.peek("p7@example.com") is None
    assert [record.message for record in caplog.records] == [
        "index not usable, every address is searched for"
    ]
    assert directory.look()
    assert not directory.usable
    assert directory.peek("no@example.com") is None
    load(stage.path, people(["ann"]), synced=NOW)  # what `codomain sync` does when it is told
    assert list(stage.path.parent.glob("ad.bad-*"))
    wait(directory, lambda: directory.usable)
    assert directory.peek("ann@example.com") == (person("ann"),)
    assert directory.peek("p7@example.com") == ()


def test_a_damaged_file_is_not_opened_and_the_writer_is_told(stage: Stage) -> None:
    """A start meets the damage first: it goes live, and leaves word for `codomain sync`."""
    load(stage.path, people(f"p{n}" for n in range(2000)), synced=NOW)
    os.truncate(stage.path / "data.mdb", 32768)
    directory = stage.directory()
    assert not directory.usable
    assert directory.peek("p7@example.com") is None
    assert "SIGBUS" in (stage.path / "damaged").read_text()


def test_an_index_that_is_set_aside_is_left_at_once(stage: Stage) -> None:
    """Another filter: the old index must not answer while the new one is made."""
    load(stage.path, people(["ann", "bob"]), synced=NOW)
    directory = stage.directory()
    load_elsewhere(stage.path, people(["ann"]), source="another source")
    assert directory.look()
    assert directory.peek("bob@example.com") is None


def test_a_reload_shares_the_open_index(stage: Stage) -> None:
    """LMDB must not be opened twice in a process; closing the old one leaves the new one be."""
    load(stage.path, people(["ann"]), synced=NOW)
    old, new = stage.directory(), stage.directory()
    old.close()
    assert new.peek("ann@example.com") == (person("ann"),)
    load_elsewhere(stage.path, people(["ann", "bob"]), synced=NOW)
    new.look()
    assert new.peek("bob@example.com") == (person("bob"),)


def test_a_clock_that_was_set_back_does_not_make_the_index_young(stage: Stage) -> None:
    """A mark of the future is no proof of being in step."""
    load(stage.path, people(["ann"]), synced=NOW)
    stage.now = NOW - 1000
    directory = stage.directory()
    assert directory.peek("no@example.com") is None


def test_check_names_addresses_of_several_entries(stage: Stage) -> None:
    """`codomain check` shows both DNs, and says when there is no index."""
    assert "no index" in stage.directory().warnings[0]
    both = person("bob", "ann@example.com")
    load(stage.path, {b"1": person("ann"), b"2": both}, synced=NOW)
    [line] = stage.directory().warnings
    assert line.startswith("directory ad: ann@example.com is an address of cn=ann and of cn=bob;")
