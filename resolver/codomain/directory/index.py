"""The local index: every address of a directory and its entry, in one file.

One follower writes it (:class:`IndexWriter`), any number of daemons read it
(:class:`IndexReader`), at once and without seeing half a
change: a change is one LMDB transaction, and so is a look-up.

What an index was made from is written in it.  Where that, or the form of the records, is
another one now, or where the file is damaged, the writer sets it aside as
``NAME.bad-<time>`` and begins an empty one, which answers nothing until a whole load has
been taken in.  How much the lost one held is remembered, so that a wrong filter does not
get past ``max_shrink`` by way of a new index.
"""

from __future__ import annotations

import logging
import os
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

from codomain.directory import store as files
from codomain.directory.batch import Batch, check_shrink, removed_of
from codomain.directory.indexfit import (
    domains_of,
    faults,
    index_path,
    lock,
    source_of,
    unfit,
)
from codomain.directory.indexreader import IndexReader, claimed, duplicates, status_of
from codomain.directory.packing import (
    IndexStatus,
    pack_status,
)
from codomain.errors import (
    IndexBusyError,
    IndexDamagedError,
    IndexUnusableError,
    IndexWriteError,
    ShrinkError,
)
from codomain.log import event

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path
    from types import TracebackType

    from codomain.directory.base import Recipient

__all__ = [
    "IndexBusyError",
    "IndexDamagedError",
    "IndexReader",
    "IndexStatus",
    "IndexUnusableError",
    "IndexWriteError",
    "IndexWriter",
    "Load",
    "LoadReport",
    "ShrinkError",
    "duplicates",
    "index_path",
    "source_of",
    "status_of",
]

MAX_DUPLICATES = 100
"""Addresses on several entries that a report names; :func:`duplicates` gives all."""

log = logging.getLogger("codomain.index")


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What a load changed."""

    before: int
    """Entries before it."""

    after: int
    """Entries after it."""

    removed: Mapping[str, int]
    """Addresses that led to an entry before and do not now, by domain."""

    duplicates: Mapping[str, tuple[str, ...]]
    """Addresses on several entries, with the DNs; at most MAX_DUPLICATES of them."""


class IndexWriter:
    """Writes one index; its methods are called by one thread."""

    def __init__(self, path: Path, source: str) -> None:
        """Open or begin the index of a folder (:func:`index_path`).

        ``source`` is :func:`source_of`.  An index that is there is read from end to end
        first, in a process of its own; see the module for what becomes of one that does
        not fit.

        Raises:
            IndexBusyError: another process writes it, or this one reads it already: LMDB
                opens a file once in a process, so the writer must be first.
            IndexWriteError: the folder cannot be made, renamed or written.

        """
        self.path = path
        self._source = source
        self._loading = False
        self._lock = lock(path)
        try:
            self._store = self._open()
            with faults(path), self._store.env.begin() as txn:
                self._domains = domains_of(self._store, txn)
            self._status = self._store.status()
        except BaseException:
            os.close(self._lock)
            raise

    @property
    def status(self) -> IndexStatus:
        """What the index says of itself, with the last :meth:`confirm`."""
        return self._status

    def get(self, id: bytes) -> Recipient | None:  # noqa: A002 - the id of RFC 4530
        """Return an entry by its id; None: it is not there.

        Raises:
            IndexDamagedError: the index is damaged.

        """
        with faults(self.path), self._store.env.begin() as txn:
            return Batch(self._store, txn, 0).get(id)

    def ids(self) -> Iterator[bytes]:
        """Give the ids of all entries, as they are now; to be read without long pauses.

        Raises:
            IndexDamagedError: the index is damaged.

        """
        with faults(self.path), self._store.env.begin() as txn:
            for name, _number in Batch(self._store, txn, 0).ids():
                yield name

    def change(
        self,
        changes: Iterable[tuple[bytes, Recipient | None]],
        *,
        cookie: bytes,
        synced: float,
        max_shrink: float | None = None,
    ) -> None:
        """Take changes in, all of them or none; None: the entry is gone.

        The same id may come several times; the last one counts.  ``synced`` is when they
        were read, in seconds of Unix time; ``max_shrink`` as for :meth:`Load.commit`.

        Raises:
            ShrinkError: too much would be taken away; nothing was changed.
            IndexDamagedError: the index is damaged: close this writer and make another
                one, which sets it aside.
            IndexWriteError: it cannot be written; nothing was changed.

        """
        with self._transaction() as (txn, batch):
            for name, recipient in changes:
                if recipient is None:
                    batch.remove(name)
                else:
                    batch.put(name, recipient)
            before = self._status.entries
            if self._status.complete:
                check_shrink(
                    (before, before + batch.entries),
                    self._domains,
                    removed_of(batch.removed),
                    max_shrink,
                )
            self._finish(txn, batch, cookie, synced, complete=self._status.complete)

    def confirm(self, synced: float) -> None:
        """Say that the index is still in step; costs no transaction and no new revision.

        Raises:
            IndexDamagedError: a reader found it damaged, as for :meth:`change`.
            IndexWriteError: that cannot be said.

        """
        self._check_marks()
        if not self._status.complete:
            return
        files.write_beat(self._store, self._status.revision, synced)
        self._status = replace(self._status, synced=max(synced, self._status.synced))

    def load(self) -> Load:
        """Begin a whole load; a context manager, without whose commit nothing changes."""
        if self._loading:
            raise IndexBusyError(f"{self.path}: a load is under way")
        return Load(self)

    def close(self) -> None:
        """Let go of the index; twice does nothing more."""
        if self._lock >= 0:
            self._store.close()
            os.close(self._lock)
            self._lock = -1

    @contextmanager
    def _transaction(self) -> Iterator[tuple[Any, Batch]]:
        """Give a write transaction, which is taken back unless it was committed."""
        if self._loading:
            raise IndexBusyError(f"{self.path}: a load is under way")
        self._check_marks()
        self._loading = True
        try:
            with faults(self.path):
                self._store.env.reader_check()
                txn = self._store.env.begin(write=True)
                try:
                    yield txn, Batch(self._store, txn, self._status.next)
                finally:
                    txn.abort()  # does nothing after a commit
        finally:
            self._loading = False

    def _finish(
        self,
        txn: Any,  # noqa: ANN401 - lmdb carries no types
        batch: Batch,
        cookie: bytes,
        synced: float,
        *,
        complete: bool,
    ) -> None:
        """Write the status, and commit."""
        before = self._status
        status = IndexStatus(
            entries=before.entries + batch.entries,
            addresses=before.addresses + batch.addresses,
            complete=complete,
            synced=synced,
            revision=before.revision + (batch.changed or complete != before.complete),
            cookie=cookie,
            next=batch.next,
        )
        domains = dict(self._domains)
        batch.commit_domains(domains)
        txn.put(b"status", pack_status(status), db=self._store.meta)
        txn.commit()
        self._status = status
        self._domains = domains
        if complete:
            if batch.changed:
                files.write_counts(self.path, status.entries, domains)
            files.write_beat(self._store, status.revision, synced)

    def _check_marks(self) -> None:
        if found := files.marked_damaged(self.path):
            raise IndexDamagedError(f"{self.path}: {found}")

    def _open(self) -> files.Store:
        """Open the index that is there if it fits, or begin one."""
        why = unfit(self.path, self._source)
        if why:
            counts = files.read_counts(self.path)
            aside = files.set_aside(self.path)
            event(log, logging.ERROR, "index set aside", index=self.path, to=aside, reason=why)
            self._make_folder()
            files.write_counts(self.path, *counts)
        else:
            self._make_folder()
        store = files.open_store(self.path, write=True)
        if not store.source:
            with faults(self.path), store.env.begin(write=True) as txn:
                txn.put(b"source", self._source.encode(), db=store.meta)
            store.source = self._source
        return store

    def _make_folder(self) -> None:
        try:
            self.path.mkdir(files.FOLDER_MODE, exist_ok=True)
        except OSError as error:
            raise IndexWriteError(f"{self.path}: {error.strerror}") from error


class Load:
    """A whole load under way: what it does not name is gone when it is committed."""

    def __init__(self, writer: IndexWriter) -> None:
        self._writer = writer
        self._seen = bytearray()

    def __enter__(self) -> Self:
        self._context = self._writer._transaction()  # noqa: SLF001 - the two are one
        self._txn, self._batch = self._context.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._context.__exit__(kind, error, trace)

    def put(self, id: bytes, recipient: Recipient) -> None:  # noqa: A002 - the id of RFC 4530
        """Take one entry in.

        Raises:
            IndexDamagedError, IndexWriteError: as for :meth:`IndexWriter.change`.

        """
        with faults(self._writer.path):
            number = self._batch.put(id, recipient)
        seen = self._seen
        if number >= len(seen):
            seen.extend(bytes(number + 1 - len(seen)))
        seen[number] = 1

    def commit(self, *, cookie: bytes, synced: float, max_shrink: float | None) -> LoadReport:
        """Put the load in force, and take away what it did not name.

        ``max_shrink``: the part of all entries, or of one domain's addresses, that may go
        (0.2 is a fifth); None: all of it may.  Losses below SHRINK_FLOOR pass.

        Raises:
            ShrinkError: more would go; nothing was changed.
            IndexDamagedError, IndexWriteError: as for :meth:`IndexWriter.change`.

        """
        writer, batch = self._writer, self._batch
        with faults(writer.path):
            for name in [name for name, number in batch.ids() if not self._named(number)]:
                batch.remove(name)
            before, removed = self._check(max_shrink)
            duplicates = dict(self._duplicates())
            writer._finish(self._txn, batch, cookie, synced, complete=True)  # noqa: SLF001
        return LoadReport(before, writer.status.entries, removed, duplicates)

    def _named(self, number: int) -> bool:
        return number < len(self._seen) and bool(self._seen[number])

    def _check(self, max_shrink: float | None) -> tuple[int, dict[str, int]]:
        """Check against shrinking; returns the entries before, and what was removed."""
        writer, batch = self._writer, self._batch
        status = writer._status  # noqa: SLF001
        domains = writer._domains  # noqa: SLF001
        before, removed = status.entries, removed_of(batch.removed)
        after = status.entries + batch.entries
        if not status.complete:
            # What an earlier index held, of another filter or damaged, is what it is measured by.
            before, domains = files.read_counts(writer.path)
            now = {name: batch.domains[name] + writer._domains.get(name, 0) for name in domains}  # noqa: SLF001
            removed = {name: domains[name] - n for name, n in now.items() if n < domains[name]}
        check_shrink((before, after), domains, removed, max_shrink)
        return before, removed

    def _duplicates(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        for number, found in enumerate(claimed(self._writer._store, self._txn)):  # noqa: SLF001
            if number >= MAX_DUPLICATES:
                return
            yield found
