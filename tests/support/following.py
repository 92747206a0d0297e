"""A domain controller that is followed in a thread, and the index that comes of it."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from codomain.directory.follow import Copy, Extent, Terms, Watch
from codomain.directory.follower import Follower
from codomain.directory.index import IndexReader, IndexWriter, source_of
from codomain.directory.schema import Attributes
from codomain.directory.servers import parse_server
from codomain.directory.tls import Trust
from codomain.directory.usn import UsnSource
from codomain.directory.wire import Wire, deadline
from codomain.errors import CodomainError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path
    from typing import Self

    from codomain.directory.base import Recipient
    from codomain.directory.dirsync import DirSyncSource
    from support.ldapsection import Section
    from support.samba import Samba

BOUND = 60.0
"""Seconds after which a test gives up waiting; a change takes less than one."""


class Following(Watch):
    """Follows a section's first server with one connection, until it breaks or is stopped."""

    source: type[UsnSource | DirSyncSource] = UsnSource
    """In which way."""

    def __init__(self, section: Section, path: Path, *, accept_shrink: bool = False) -> None:
        self.loads: list[int] = []
        """How many entries each load brought."""
        self.duplicates: dict[str, tuple[str, ...]] = {}
        """What the last load said of addresses of several entries."""
        self.rounds = 0
        """How often it was in step."""
        self.servers: list[str] = []
        """Which servers were followed."""
        self.ways: list[str] = []
        """In which ways, one for each of these."""
        self.error: CodomainError | None = None
        """What went wrong last."""
        self._section = section
        self._path = path
        self._terms = Terms(max_shrink=0.2, accept_shrink=accept_shrink)
        self._stop = threading.Event()
        self._reader: IndexReader | None = None
        self._thread = threading.Thread(target=self._run, name="following")
        self._open()

    def connected(self, how: str, server: str) -> None:
        """Note the server, and how it is followed."""
        self.servers.append(server)
        self.ways.append(how)

    def loaded(self, count: int, duplicates: Mapping[str, Iterable[str]]) -> None:
        """Count a load."""
        self.loads.append(count)
        self.duplicates = {key: tuple(names) for key, names in duplicates.items()}

    def in_step(self) -> None:
        """Count a round."""
        self.rounds += 1

    def failed(self, error: CodomainError, server: str, retry: float) -> None:
        """Note what went wrong."""
        del server, retry
        self.error = error

    def __enter__(self) -> Self:
        """Begin, and return when it is in step or something went wrong."""
        self._thread.start()
        self.wait(lambda: self.rounds > 0 or self.error or self.ended)
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self._end()
        self._thread.join(BOUND)
        if self._reader is not None:
            self._reader.close()

    @property
    def ended(self) -> bool:
        """Tell whether following ended by itself."""
        return not self._thread.is_alive()

    @property
    def revision(self) -> int:
        """The index's revision."""
        return self._read().status.revision

    @property
    def entries(self) -> int:
        """How many entries the index has."""
        return self._read().status.entries

    def find(self, key: str) -> tuple[Recipient, ...]:
        """Look an address up in the index, as a daemon does."""
        return self._read().find(key)

    def wait(self, condition: Callable[[], object], what: str = "") -> None:
        """Wait until something is so; the test fails where it never is."""
        end = time.monotonic() + BOUND
        while not condition():
            assert time.monotonic() < end, (
                f"{what or 'it never came'}: {self.rounds} rounds, loads {self.loads}, "
                f"{'ended' if self.ended else 'running'}, {self.error}"
            )
            time.sleep(0.005)

    def wait_round(self) -> None:
        """Wait until all that has been written by now was taken in."""
        seen = self.rounds  # the round under way may have begun before
        self.wait(lambda: self.rounds >= seen + 2 or self.ended)
        assert not self.ended, self.error

    def appears(self, key: str) -> Recipient:
        """Wait until an address leads to one entry, and return it."""
        self.wait(lambda: len(self.find(key)) == 1 or self.ended, f"{key} never came")
        (found,) = self.find(key)
        return found

    def vanishes(self, key: str) -> None:
        """Wait until an address leads nowhere."""
        self.wait(lambda: not self.find(key) or self.ended, f"{key} never went")
        assert not self.find(key)

    def _open(self) -> None:
        self._writer = IndexWriter(self._path, source_of(self._section))

    def _run(self) -> None:
        section = self._section
        try:
            server = parse_server(section.servers[0])
            extent = Extent.of(section)
            wire = Wire(server, section, Trust(section.ca_file), deadline(section))
            try:
                copy = Copy(self._writer, extent, self._stop, self._terms, self)
                self.source(extent).follow(wire, copy)
            finally:
                wire.close()
        except CodomainError as error:
            self.error = error
        finally:
            self._writer.close()

    def _end(self) -> None:
        self._stop.set()

    def _read(self) -> IndexReader:
        if self._reader is None:
            self._reader = IndexReader(self._path, source_of(self._section))
        return self._reader


class Followed(Following):
    """Follows as the command does: the next server, or again, when a connection breaks."""

    def _open(self) -> None:
        self._follower = Follower(self._section, self._path, self._terms, self)

    def _run(self) -> None:
        self._follower.run()

    def _end(self) -> None:
        self._follower.stop()


def contents(section: Section, path: Path) -> dict[bytes, Recipient]:
    """Return everything that is in an index which nobody writes."""
    writer = IndexWriter(path, source_of(section))
    try:
        found = {identity: writer.get(identity) for identity in writer.ids()}
    finally:
        writer.close()
    return {identity: recipient for identity, recipient in found.items() if recipient}


def searched(samba: Samba, section: Section) -> dict[bytes, Recipient]:
    """Return what a full search by ldap3 finds: what an index must hold."""
    extent = Extent.of(section)
    names = (*extent.schema.attributes, "objectGUID")
    found = {}
    for part in samba.find(section.base, extent.filter, *names):
        if part.kind == "searchResEntry":
            recipient = extent.schema.recipient(part.dn, Attributes(part.raw))
            found[part.raw["objectGUID"][0]] = recipient
    return found


def same(samba: Samba, section: Section, path: Path) -> bool:
    """Tell whether an index holds what a full search finds; values have no order."""

    def plain(recipients: Mapping[bytes, Recipient]) -> dict[bytes, tuple[object, ...]]:
        return {
            identity: (r.dn, r.kind, sorted(r.addresses), r.primary, r.target, r.restricted)
            for identity, r in recipients.items()
        }

    return plain(contents(section, path)) == plain(searched(samba, section))
