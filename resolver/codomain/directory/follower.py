"""Keeps one directory's index in step: which server, which way, and what after a failure.

In flow a ``[directory]`` section with ``mode = sync`` and the path of its index; out flow
changes of that index.  One server is followed at a time, in the INI's order; another one
only when that one fails, because a cookie belongs to a server, and a change of servers
may cost a full load.  A loss that is too large ends following until somebody has looked:
the index stays, its lock is given up so that ``codomain sync --once --accept-shrink`` can
take it, and it is tried again at intervals.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from codomain.directory.dirsync import DIRSYNC, DirSyncSource
from codomain.directory.follow import Copy, Extent, RefusedError, Source, Terms, Watch
from codomain.directory.index import IndexDamagedError, IndexWriter, ShrinkError, source_of
from codomain.directory.link import INVALID_CREDENTIALS, ResultError
from codomain.directory.paged import PagedSource
from codomain.directory.servers import COOL_DOWN, Servers, parse_server
from codomain.directory.syncinfo import REQUEST
from codomain.directory.syncrepl import SyncreplSource
from codomain.directory.tls import Trust
from codomain.directory.usn import UsnSource
from codomain.directory.wire import Wire, deadline
from codomain.errors import CodomainError, DirectoryError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from codomain.directory.base import Recipient
    from codomain.directory.section import Section
    from codomain.directory.servers import Server

ACTIVE_DIRECTORY = b"1.2.840.113556.1.4.800"
"""LDAP_CAP_ACTIVE_DIRECTORY_OID among supportedCapabilities (MS-ADTS 3.1.1.3.4.3)."""

SHRINK_SECONDS = 300.0
"""After a loss that was too large it is looked at again after so long: a load costs a server
a minute, and who set the base right should not have to restart anything."""

SOON = 0.1
"""The least wait, in seconds, where every server is left alone for a while."""

RETRY_MAX = 60.0
"""The longest wait between two tries that never brought the index in step."""


class Follower:
    """Follows one directory; :meth:`run` on a thread of its own."""

    def __init__(
        self,
        section: Section,
        path: Path,
        terms: Terms,
        watch: Watch | None = None,
    ) -> None:
        """Take the path of the index, and lock it.

        Raises:
            DirectoryError: the section cannot be followed; a fault of the configuration.
            IndexBusyError: another process follows it.
            IndexWriteError: the index cannot be written.

        """
        self.name = section.name
        self.error: CodomainError | None = None
        """Why :meth:`run` ended with ``once``; None: the index is in step."""

        self._section = section
        self._extent = Extent.of(section)
        try:
            servers = [parse_server(uri) for uri in section.servers]
        except ValueError as error:
            raise DirectoryError(str(error)) from error
        if not servers:
            raise DirectoryError("no server")
        self._servers = Servers(servers)
        self._trust = Trust(section.ca_file)
        self._path = path
        self._terms = terms
        self._watch = _InStep(watch or Watch())
        self._stop = threading.Event()
        self._wire: Wire | None = None
        self._copy: Copy | None = None
        self._refused: set[tuple[Server, str]] = set()
        self._fruitless = 0  # failures in a row that followed upon no success
        self._writer: IndexWriter | None = self._open()

    @property
    def complete(self) -> bool:
        """Tell whether the index answers, as far as it is open here."""
        return self._writer is not None and self._writer.status.complete

    @property
    def entries(self) -> int:
        """Return how many entries the index holds, as far as it is open here."""
        return 0 if self._writer is None else self._writer.status.entries

    def run(self) -> None:
        """Follow until :meth:`stop`, or with ``once`` until the index is in step."""
        try:
            while not self._stop.is_set():
                retry = self._attempt()
                if retry is None or self._stop.wait(retry):
                    return
        finally:
            self._let_go()

    def stop(self) -> None:
        """End it; called on any thread, returns at once."""
        self._stop.set()
        wire = self._wire
        if wire is not None:
            wire.abort()

    def _attempt(self) -> float | None:
        """Follow once; returns the seconds until the next attempt, or None at the end."""
        server = self._servers.choose()
        if server is None:
            return max(self._servers.next_try(), SOON)
        self._watch.was_in_step = False
        try:
            self._follow(server)
        except CodomainError as error:
            return None if self._stop.is_set() else self._failed(error, server)
        return None

    def _failed(self, error: CodomainError, server: Server) -> float | None:
        """Decide what comes after a failure: as :meth:`_attempt`."""
        if self._watch.was_in_step:
            self._fruitless = 0
        self._fruitless += 1
        if isinstance(error, DirectoryError):
            retry, goes_on = self._after_server(error, server)
        else:
            self._let_go()
            retry = SHRINK_SECONDS if isinstance(error, ShrinkError) else self._wait()
            # One that is damaged is set aside when it is opened again, and made anew.
            goes_on = isinstance(error, IndexDamagedError) and self._fruitless == 1
        ends = self._terms.once and not goes_on
        if ends:
            self.error = error
        retry = 0.0 if ends else retry
        self._watch.failed(error, server.uri, retry)
        return None if ends else retry

    def _after_server(self, error: DirectoryError, server: Server) -> tuple[float, bool]:
        """Return the seconds until the next attempt, and whether it is another one's turn."""
        if isinstance(error, RefusedError):
            return 0.0, True  # the same server is asked in another way
        code = error.code if isinstance(error, ResultError) else 0
        self._servers.failed(server, at_once=code == INVALID_CREDENTIALS)
        another = self._servers.another((server,))
        return (0.0 if another else self._wait()), another

    def _wait(self) -> float:
        """Return how long to wait: longer with each attempt that never came in step."""
        return min(COOL_DOWN * 2.0 ** min(self._fruitless - 1, 10), RETRY_MAX)

    def _follow(self, server: Server) -> None:
        if self._writer is None:
            self._writer = self._open()
        wire = Wire(server, self._section, self._trust, deadline(self._section))
        self._wire = wire
        try:
            if self._stop.is_set():
                return
            root = wire.root()
            self._servers.answered(server)
            source = self._choose(server, root)
            self._watch.connected(source.how, server.uri)
            copy = self._copied(self._writer)
            try:
                source.follow(wire, copy)
            except RefusedError:
                self._refused.add((server, source.how))
                raise
        finally:
            self._wire = None
            wire.close()

    def _choose(self, server: Server, root: Mapping[str, list[bytes]]) -> Source:
        """Return the best way that the server offers and has not refused."""
        for source in ways(root, self._extent):
            if (server, source.how) not in self._refused:
                return source
        raise DirectoryError(f"{server.uri}: it lets itself be followed in no way")

    def _copied(self, writer: IndexWriter) -> Copy:
        if self._copy is None:
            self._copy = Copy(writer, self._extent, self._stop, self._terms, self._watch)
        self._copy.use(writer)
        return self._copy

    def _open(self) -> IndexWriter:
        return IndexWriter(self._path, source_of(self._section))

    def _let_go(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()


def ways(root: Mapping[str, list[bytes]], extent: Extent) -> list[Source]:
    """Return the ways in which a server can be followed, the best one first."""
    found: list[Source] = []
    controls = root.get("supportedcontrol", ())
    if ACTIVE_DIRECTORY in root.get("supportedcapabilities", ()):
        if DIRSYNC.encode() in controls:
            found.append(DirSyncSource(extent))
        found.append(UsnSource(extent))
    if REQUEST.encode() in controls:
        found.append(SyncreplSource(extent))
    return [*found, PagedSource(extent)]


class _InStep(Watch):
    """Hears whether the copy was in step since the last attempt began, and passes all on."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self.was_in_step = False

    def connected(self, how: str, server: str) -> None:
        self._watch.connected(how, server)

    def loading(self, count: int) -> None:
        self._watch.loading(count)

    def loaded(self, count: int, duplicates: Mapping[str, Iterable[str]]) -> None:
        self._watch.loaded(count, duplicates)

    def changed(self, changes: Mapping[bytes, Recipient | None]) -> None:
        self._watch.changed(changes)

    def in_step(self) -> None:
        self.was_in_step = True
        self._watch.in_step()

    def failed(self, error: CodomainError, server: str, retry: float) -> None:
        self._watch.failed(error, server, retry)
