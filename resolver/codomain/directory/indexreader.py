"""Reading a local index: for the daemons, and for whoever reports on it.

In flow an address; out flow the entries that have it.  A look-up is one read transaction,
a microsecond long, so it sees one state of the index, whole, and holds up nobody.

A damaged file must not end the process that maps it.  So a file is read from end to end in
a process of its own before it is opened here (:mod:`codomain.directory.verify`), its
length is looked at before each look-up, and an entry is believed only with its check sum.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import lmdb

from codomain.directory import store as files
from codomain.directory.packing import (
    CLAIMED,
    FORMAT,
    MAX_KEY,
    SHORT,
    IndexStatus,
    claims_of,
    fold,
    intact,
    key_of,
    unpack_copied,
    unpack_recipient,
)
from codomain.directory.verify import verify
from codomain.errors import IndexDamagedError, IndexUnusableError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from codomain.directory.base import Recipient

MAX_CLAIMS = 10
"""Entries that are given for one address; two already make it ambiguous."""


OTHER_SOURCE = "it was made from another base, scope, filter or schema"

_lseek = os.lseek


class IndexReader:
    """Reads one index, for any number of threads."""

    def __init__(self, path: Path, source: str) -> None:
        """Open it; reading it from end to end first takes a second for a million addresses.

        Raises:
            IndexDamagedError: it is not as it was written.
            IndexUnusableError: it is missing, of another source, or not complete.

        """
        self.path = path
        self.closed = False
        self._store = store = _opened(path)
        self._fd = store.fd
        self._begin = store.env.begin
        self._addresses = store.addresses
        self._entries = store.entries
        self._txnid = -1
        self._size = 0
        try:
            self._check(source)
        except BaseException:
            store.close()
            raise

    def _check(self, source: str) -> None:
        """Check that the index is one to be read."""
        if self._store.format != FORMAT:
            raise IndexUnusableError(f"{self.path}: its form is {self._store.format}, not {FORMAT}")
        if self._store.source != source:
            raise IndexUnusableError(f"{self.path}: {OTHER_SOURCE}")
        if not self.look().complete:
            raise IndexUnusableError(f"{self.path}: it has never been loaded completely")

    @property
    def identity(self) -> tuple[int, int]:
        """What tells its file from all others: device and inode."""
        return self._store.identity

    @property
    def status(self) -> IndexStatus:
        """What the index says of itself now.

        Raises:
            IndexDamagedError: it is damaged.

        """
        return self.look()

    def find(self, key: str) -> tuple[Recipient, ...]:
        """Return the entries of an :attr:`codomain.address.Address.key`; none: it is not there.

        Raises:
            IndexDamagedError: what it says cannot be believed; the MTA gets what the
                directory itself says, or 451 4.4.3.
            IndexUnusableError: it cannot be read just now.

        """
        # This is the hot path of a site with mode = sync, and every line has been measured.
        name = key.encode("utf-8", "surrogatepass")
        if not 0 < len(name) <= MAX_KEY:
            name = fold(name)
        if _lseek(self._fd, 0, 2) < self._size:
            raise self._damage("the file is shorter than it was")
        try:
            txn = self._begin()
            try:
                record = txn.get(name, None, self._addresses)
                if record is None:
                    return ()
                if len(record) <= CLAIMED:
                    return self._elsewhere(txn, key, name, record)
            finally:
                txn.abort()
            recipient = unpack_copied(name, record, 4)
        except (lmdb.Error, OSError) as error:
            raise self._trouble(error) from error
        except (ValueError, LookupError, TypeError) as error:
            raise self._damage(str(error)) from error
        if key not in recipient.addresses:
            raise self._damage("an address leads to an entry that does not have it")
        return (recipient,)

    def look(self) -> IndexStatus:
        """Look at the file: what it says of itself, and whether it is all there.

        Raises:
            IndexDamagedError: it is not.

        """
        store = self._store
        if store.damage:
            raise IndexDamagedError(f"{self.path}: {store.damage}")
        try:
            txnid = store.env.info()["last_txnid"]
            if txnid != self._txnid:
                size = store.needed()
                self._status = store.status()
                self._size = size
                self._txnid = txnid
            if os.fstat(store.fd).st_size < self._size:
                raise self._damage("the file is shorter than its pages need")
        except lmdb.Error as error:
            raise self._trouble(error) from error
        synced = files.read_beat(store, self._status.revision)
        if synced > self._status.synced:
            return replace(self._status, synced=synced)
        return self._status

    def check_slots(self) -> None:
        """Free what look-ups of processes that were killed still hold."""
        self._store.env.reader_check()

    def close(self) -> None:
        """Let go of it; look-ups under way in other threads may fail as unusable."""
        if not self.closed:
            self.closed = True
            self._store.close()

    def _elsewhere(self, txn: Any, key: str, name: bytes, record: bytes) -> tuple[Recipient, ...]:  # noqa: ANN401
        """Return the entries of an address whose record does not hold it: one, or several."""
        if not intact(name, record):
            raise ValueError("the record of an address is damaged")
        if len(record) == SHORT:
            number = record[:4]
            found: tuple[Recipient, ...] = (
                unpack_recipient(number, txn.get(number, b"", self._entries)),
            )
        else:
            found = tuple(_claimers(self._store, txn, name))
            if len(found) != min(claims_of(record), MAX_CLAIMS):
                raise ValueError("the claims of an address are not those that were counted")
        for recipient in found:
            if key not in recipient.addresses:
                raise ValueError("an address leads to an entry that does not have it")
        return found

    def _damage(self, reason: str) -> IndexDamagedError:
        # What was set aside already is no news to the writer.
        if not self._store.damage and files.is_open(self.path):
            files.mark_damaged(self.path, reason)
        self._store.damage = self._store.damage or reason
        return IndexDamagedError(f"{self.path}: {reason}")

    def _trouble(self, error: Exception) -> IndexUnusableError:
        """Tell damage from what is only in the way now: it was closed, all slots are taken."""
        passing = isinstance(error, lmdb.ReadersFullError | lmdb.MapResizedError | OSError)
        if self.closed or passing:
            return IndexUnusableError(f"{self.path}: {error}")
        return self._damage(str(error))


def duplicates(path: Path) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Give every address of an index that stands on several entries, with their DNs.

    At most MAX_CLAIMS DNs are given for one address.

    Raises:
        IndexUnusableError: the index is missing or damaged.

    """
    store = _opened(path)
    try:
        with store.env.begin() as txn:
            yield from claimed(store, txn)
    except (lmdb.Error, ValueError, LookupError, TypeError) as error:
        raise IndexDamagedError(f"{path}: {error}") from error
    finally:
        store.close()


def recipients(path: Path) -> Iterator[Recipient]:
    """Give every entry of an index, for ``codomain check``.

    Raises:
        IndexUnusableError: the index is missing or damaged.

    """
    store = _opened(path)
    try:
        with store.env.begin() as txn, txn.cursor(store.entries) as cursor:
            for number, raw in cursor:
                yield unpack_recipient(number, raw)
    except (lmdb.Error, ValueError, LookupError, TypeError) as error:
        raise IndexDamagedError(f"{path}: {error}") from error
    finally:
        store.close()


def status_of(path: Path) -> IndexStatus:
    """Return what an index says of itself, whatever it was made from.

    Raises:
        IndexUnusableError: it is missing or damaged.

    """
    store = _opened(path)
    try:
        status = store.status()
        return replace(status, synced=max(status.synced, files.read_beat(store, status.revision)))
    finally:
        store.close()


def claimed(store: files.Store, txn: Any) -> Iterator[tuple[str, tuple[str, ...]]]:  # noqa: ANN401
    """Give what :func:`duplicates` does, of one transaction."""
    with txn.cursor(store.claims) as cursor:
        for name in cursor.iternext_nodup(keys=True, values=False):
            entries = list(_claimers(store, txn, bytes(name)))
            address = next(a for a in entries[0].addresses if key_of(a) == name)
            yield address, tuple(entry.dn for entry in entries)


def _claimers(store: files.Store, txn: Any, name: bytes) -> Iterator[Recipient]:  # noqa: ANN401
    """Give the first entries of an address that several have."""
    with txn.cursor(store.claims) as cursor:
        if not cursor.set_key(name):
            return
        for count, number in enumerate(cursor.iternext_dup()):
            if count == MAX_CLAIMS:
                return
            yield unpack_recipient(number, txn.get(number, None, store.entries))


def _opened(path: Path) -> files.Store:
    """Open an index that was read from end to end, now or when this process opened it."""
    if not files.is_open(path):
        verified = verify(path)
        store = files.open_store(path)
        if store.identity != verified:
            store.close()
            raise IndexUnusableError(f"{path}: it was replaced just now")
        return store
    return files.open_store(path)
