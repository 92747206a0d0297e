"""Every fault against the directory itself: no answer in time is an error, and nothing leaks."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

import pytest

from codomain.directory import servers as servers_module
from codomain.directory.ldap import LdapDirectory
from codomain.errors import DirectoryError
from support.faults import DOWN, EITHER, FAULTS, RIGHT, Row, Stage
from support.lag import Lag
from support.ldapsection import Section

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.authority import Authority

    Maker = Callable[..., Stage]

TIMEOUT = 0.6
CONNECT = 0.4
COOL_DOWN = 0.05
ROUNDS = 3
THREADS = 4
HEAL = 10.0
"""Seconds after which a test gives up waiting; a cool-down is a tenth of one here."""

LIMITS = {"none": 0.3, "timeout": TIMEOUT}
"""What a search takes at most, in seconds; ``none`` leaves room for a TLS handshake."""


@pytest.fixture(autouse=True)
def short_cool_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a server that failed be asked again at once, so that each search meets the fault."""
    for name in ("COOL_DOWN", "COOL_DOWN_MAX", "LOCKOUT_WAIT"):
        monkeypatch.setattr(servers_module, name, COOL_DOWN)


@pytest.fixture
def new_directory(authority: Authority, tmp_path: Path) -> Iterator[Callable[..., LdapDirectory]]:
    """Give a maker of directories that ask through the stage."""
    made: list[LdapDirectory] = []

    def make(stage: Stage, row: Row) -> LdapDirectory:
        keys = row.login(tmp_path / "password") | row.more()
        section = Section(
            tuple(stage.uris(row)),
            ca_file=str(authority.file),
            connect_timeout=CONNECT,
            timeout=TIMEOUT,
            **keys,  # type: ignore[arg-type]  # all of them are text
        )
        made.append(LdapDirectory(section))
        return made[-1]

    yield make
    for directory in made:
        directory.close()


class Asking:
    """Four threads that ask for somebody known and somebody unknown, and what they were told."""

    def __init__(self, directory: LdapDirectory) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self.wrong: list[str] = []
        self.errors: list[str] = []
        self.answers = 0
        self.longest = 0.0

    def rounds(self, count: int) -> None:
        """Ask so many times in each thread."""
        for number in range(count):
            threads = [
                threading.Thread(target=self._one, args=(f"{'ux'[n % 2]}{number * 7 + n}",))
                for n in range(THREADS)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

    def _one(self, name: str) -> None:
        began = time.monotonic()
        try:
            found = self._directory.find(f"{name}@example.com", TIMEOUT)
        except DirectoryError as error:
            with self._lock:
                self.errors.append(str(error))
        else:
            with self._lock:
                self.answers += 1
                if len(found) != (name[0] == "u"):
                    self.wrong.append(f"{name}: {found}")
        with self._lock:
            self.longest = max(self.longest, time.monotonic() - began)


def answers(directory: LdapDirectory) -> bool:
    """Tell whether somebody known is found."""
    try:
        return len(directory.find("u50@example.com", TIMEOUT)) == 1
    except DirectoryError:
        return False


def heals(directory: LdapDirectory) -> bool:
    """Wait until the directory answers again."""
    end = time.monotonic() + HEAL
    while time.monotonic() < end:
        if answers(directory):
            return True
        time.sleep(COOL_DOWN / 2)
    return False


def descriptors() -> int:
    """Count the open files of this process."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - one that is just closing is no error


def threads_without(stage: Stage) -> int:
    """Count the threads of this process, but for those of the proxies' connections."""
    return threading.active_count() - 2 * (stage.first.open() + stage.second.open())


def descriptors_without(stage: Stage) -> int:
    """Count the open files but for those of the proxies, which are in this process, too."""
    pairs = stage.first.open() + stage.second.open()
    # Of each pair: the client's end, the two of the proxy.
    return descriptors() - 3 * pairs


@pytest.mark.parametrize("row", FAULTS, ids=lambda row: row.name)
def test_a_fault_is_an_error_in_time_and_leaves_nothing_behind(
    row: Row, new_stage: Maker, new_directory: Callable[..., LdapDirectory]
) -> None:
    """Issue 5: never "not there", never past the deadline, no thread, no connection left over."""
    stage = new_stage(tls=row.scheme == "ldaps")
    directory = new_directory(stage, row)
    warm = Asking(directory)
    warm.rounds(2)
    assert (warm.errors, warm.wrong) == ([], [])
    threads, files = threads_without(stage), descriptors_without(stage)
    stage.mark()
    row.inject(stage)
    try:
        asking = Asking(directory)
        with Lag() as lag:
            for _ in range(ROUNDS):
                asking.rounds(1)
                time.sleep(COOL_DOWN)  # the next round is to meet the fault, too
        assert row.proof(stage), "the fault did not take place"
    finally:
        row.heal(stage)
    assert asking.wrong == []
    if row.reply == DOWN:
        assert asking.answers == 0
    if row.reply == RIGHT:
        assert asking.errors == []
    assert row.reply == EITHER or lag.allows(asking.longest, LIMITS[row.seconds]), asking.longest
    assert lag.allows(asking.longest, TIMEOUT), asking.longest
    assert heals(directory)
    directory.close()
    assert settles(lambda: threads_without(stage) - threads)
    assert settles(lambda: descriptors_without(stage) - files)


def settles(surplus: Callable[[], int]) -> bool:
    """Wait until there is nothing too much."""
    end = time.monotonic() + HEAL
    while time.monotonic() < end:
        if surplus() <= 0:
            return True
        time.sleep(0.01)
    return False
