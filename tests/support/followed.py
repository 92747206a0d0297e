"""A directory that is followed in a thread of the test, and what its index then holds."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Self

from codomain.directory.follow import Terms, Watch
from codomain.directory.follower import Follower
from codomain.directory.index import IndexReader, IndexWriter, index_path, source_of
from codomain.errors import IndexUnusableError
from support.ldapsection import Section

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from codomain.directory.base import Recipient
    from codomain.errors import CodomainError

BOUND = 20.0
"""Seconds for anything to happen; on an idle machine all takes less than two."""

MAX_SHRINK = 0.2
"""The INI's default."""


def until(condition: Callable[[], object], bound: float = BOUND) -> None:
    """Wait for a condition, and fail where it does not come true in time."""
    end = time.monotonic() + bound
    while not condition():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.005)


class Notes(Watch):
    """Keeps what a follower tells."""

    def __init__(self) -> None:
        self.ways: list[tuple[str, str]] = []
        self.loads: list[int] = []
        self.duplicates: dict[str, tuple[str, ...]] = {}
        self.changes: list[Mapping[bytes, Recipient | None]] = []
        self.steps = 0
        self.errors: list[CodomainError] = []

    def connected(self, how: str, server: str) -> None:
        """Note a way and a server."""
        self.ways.append((how, server))

    def loaded(self, count: int, duplicates: Mapping[str, Iterable[str]]) -> None:
        """Note a load."""
        self.loads.append(count)
        self.duplicates = {address: tuple(names) for address, names in duplicates.items()}

    def changed(self, changes: Mapping[bytes, Recipient | None]) -> None:
        """Note a change."""
        self.changes.append(dict(changes))

    def in_step(self) -> None:
        """Count."""
        self.steps += 1

    def failed(self, error: CodomainError, server: str, retry: float) -> None:  # noqa: ARG002
        """Note an error."""
        self.errors.append(error)


class Followed:
    """One directory's index in a folder, followed again and again."""

    def __init__(self, folder: Path, *servers: str, **keys: object) -> None:
        self.section = Section(servers, **keys)  # type: ignore[arg-type]
        self.path = index_path(folder, self.section.name)
        self.notes = Notes()
        self._follower: Follower | None = None
        self._thread: threading.Thread | None = None

    def once(self, *, accept: bool = False, max_shrink: float = MAX_SHRINK) -> CodomainError | None:
        """Follow until it is in step; returns why it is not."""
        self.notes = Notes()
        terms = Terms(max_shrink, accept_shrink=accept, once=True)
        follower = Follower(self.section, self.path, terms, self.notes)
        thread = threading.Thread(target=follower.run)
        thread.start()
        thread.join(BOUND)
        if thread.is_alive():
            follower.stop()
            thread.join()
            raise AssertionError("it did not end")
        return follower.error

    def __enter__(self) -> Self:
        """Follow until the end of the block."""
        self.notes = Notes()
        self._follower = Follower(self.section, self.path, Terms(MAX_SHRINK), self.notes)
        self._thread = threading.Thread(target=self._follower.run)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        assert self._follower is not None
        assert self._thread is not None
        self._follower.stop()
        self._thread.join(BOUND)
        assert not self._thread.is_alive()

    def in_step(self, times: int = 1) -> None:
        """Wait until it is in step so many times more."""
        before = self.notes.steps
        until(lambda: self.notes.steps >= before + times)

    def find(self, key: str) -> list[str]:
        """Return the DNs of the entries to which an address leads, by the index."""
        try:
            reader = IndexReader(self.path, source_of(self.section))
        except IndexUnusableError:
            return []
        try:
            return [recipient.dn for recipient in reader.find(key)]
        finally:
            reader.close()

    def contents(self) -> dict[bytes, Recipient | None]:
        """Return everything that the index holds, while nobody follows."""
        writer = IndexWriter(self.path, source_of(self.section))
        try:
            return {identity: writer.get(identity) for identity in list(writer.ids())}
        finally:
            writer.close()

    def cookie(self) -> bytes:
        """Return the cookie of the index, while nobody follows."""
        writer = IndexWriter(self.path, source_of(self.section))
        try:
            return writer.status.cookie
        finally:
            writer.close()
