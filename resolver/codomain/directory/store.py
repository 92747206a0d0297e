"""The files of one index: an LMDB environment, and the marks beside it.

A folder holds ``data.mdb`` and ``lock.mdb`` (LMDB's own), ``beat`` (when the index was
last in step: written every second, so it must cost no commit), ``counts`` (what the last
commit left, for the check against shrinking when the index itself is lost) and, where a
reader met damage, ``damaged``.  Beside the folder ``NAME.lock`` is held by its one writer.

LMDB's locks are those of fcntl(2), which belong to a process and a file: a process that
opens one environment twice and closes one of the two has unlocked the other, and a writer
elsewhere overwrites pages that are being read.  So there is one :class:`Store` for each
file in a process, counted and shared: that is why this module, alone in the house, keeps
a list of its own.

Only this module imports lmdb.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import lmdb

from codomain.directory.packing import (
    FORMAT,
    IndexStatus,
    pack_beat,
    unpack_beat,
    unpack_status,
)
from codomain.errors import (
    IndexBusyError,
    IndexDamagedError,
    IndexUnusableError,
    IndexWriteError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAP_SIZE = 16 << 30
"""The address space that is set aside, in octets: a hundred times what a million addresses
take.  It costs nothing until it is filled."""

MAX_READERS = 1022
"""Look-ups at one moment, of all daemons together; LMDB's 126 is for a handful of threads."""

SPARE = 16
"""Read transactions that are kept for the next look-up; as many as there are threads."""

KEPT_ASIDE = 2
"""Damaged or outdated indexes that are kept to be looked at; older ones are removed."""

FOLDER_MODE = 0o750
FILE_MODE = 0o640

DATABASES = (b"addresses", b"entries", b"ids", b"claims", b"domains", b"meta")

_open: dict[tuple[int, int], Store] = {}
_open_lock = threading.RLock()


class Store:
    """One environment, open in this process; from :func:`open_store`."""

    def __init__(self, folder: Path, *, write: bool) -> None:
        self.folder = folder
        self.write = write
        self.users = 1
        self.damage = ""
        """What was found damaged, by whoever met it first; it is not read any more then."""
        with _pinned(folder) as base:
            self.env = lmdb.open(
                base,
                map_size=MAP_SIZE,
                max_dbs=len(DATABASES),
                max_readers=MAX_READERS,
                max_spare_txns=SPARE,
                readonly=not write,
                create=write,
                mode=FILE_MODE,
                readahead=True,
            )
            self.fd = os.open(f"{base}/data.mdb", os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.identity = identity(os.fstat(self.fd))
            databases = self._databases()
            self.addresses, self.entries, self.ids, self.claims, self.domains, self.meta = databases
            self.page_size = int(self.env.stat()["psize"])
            with self.env.begin() as txn:
                self.incarnation = bytes(txn.get(b"incarnation", b"", self.meta))
                self.format = bytes(txn.get(b"format", b"", self.meta)).decode(errors="replace")
                self.source = bytes(txn.get(b"source", b"", self.meta)).decode(errors="replace")
        except BaseException:
            self.env.close()
            os.close(self.fd)
            raise

    def _databases(self) -> list[Any]:
        if not self.write:
            return [
                self.env.open_db(name, create=False, dupsort=name == b"claims")
                for name in DATABASES
            ]
        with self.env.begin(write=True) as txn:
            databases = [
                self.env.open_db(name, txn, dupsort=name == b"claims") for name in DATABASES
            ]
            meta = databases[-1]
            if txn.get(b"incarnation", None, meta) is None:
                txn.put(b"incarnation", os.urandom(8), db=meta)
                txn.put(b"format", FORMAT.encode(), db=meta)
        return databases

    def status(self, txn: Any = None) -> IndexStatus:  # noqa: ANN401 - lmdb carries no types
        """Read the status, with the beat taken into account.

        Raises:
            IndexDamagedError: it is not as it was written.

        """
        try:
            if txn is None:
                with self.env.begin() as own:
                    record = own.get(b"status", None, self.meta)
            else:
                record = txn.get(b"status", None, self.meta)
            return IndexStatus() if record is None else unpack_status(record)
        except (lmdb.Error, ValueError) as error:
            raise IndexDamagedError(f"{self.folder}: {error}") from error

    def needed(self) -> int:
        """Return the octets that the file must have for all of its pages to be there."""
        return (int(self.env.info()["last_pgno"]) + 1) * self.page_size

    def close(self) -> None:
        """Let go of it; the last of its users closes the file."""
        with _open_lock:
            self.users -= 1
            if self.users:
                return
            if _open.get(self.identity) is self:
                del _open[self.identity]
            self.env.close()
            os.close(self.fd)


def open_store(folder: Path, *, write: bool = False) -> Store:
    """Open the index of a folder, or share it where this process has it open.

    The file must have been verified before: to read a damaged one can end the process.

    Raises:
        IndexUnusableError: it is missing, or LMDB does not take it.
        IndexBusyError: it is to be written, and this process has it open to read.

    """
    with _open_lock:
        shared = _shared(folder)
        if shared is not None:
            if write and not shared.write:
                raise IndexBusyError(f"{folder}: this process reads it, and cannot write it")
            shared.users += 1
            return shared
        try:
            store = Store(folder, write=write)
        except (lmdb.Error, OSError) as error:
            raise IndexUnusableError(f"{folder}: {error}") from error
        _open[store.identity] = store
        return store


def is_open(folder: Path) -> bool:
    """Tell whether this process has the index open, and found no damage in it."""
    with _open_lock:
        shared = _shared(folder)
        return shared is not None and not shared.damage


def identity(stat: os.stat_result) -> tuple[int, int]:
    """Tell one file from all others."""
    return stat.st_dev, stat.st_ino


def _shared(folder: Path) -> Store | None:
    try:
        return _open.get(identity((folder / "data.mdb").stat()))
    except OSError:
        return None


@contextmanager
def _pinned(folder: Path) -> Iterator[str]:
    """Give a path to the folder that stays right when the folder is set aside meanwhile.

    Otherwise LMDB might take the lock file of one index and the data of the next.
    """
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{fd}"
    finally:
        os.close(fd)


def write_beat(store: Store, revision: int, synced: float) -> None:
    """Say that the index is in step now.

    Raises:
        IndexWriteError: that cannot be written.

    """
    try:
        fd = os.open(store.folder / "beat", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        try:
            os.pwrite(fd, pack_beat(store.incarnation, revision, synced), 0)
        finally:
            os.close(fd)
    except OSError as error:
        raise IndexWriteError(f"{store.folder}/beat: {error.strerror}") from error


def read_beat(store: Store, revision: int) -> float:
    """Return when the index was last in step, as its writer says; 0.0: it does not."""
    try:
        fd = os.open(store.folder / "beat", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return unpack_beat(os.read(fd, 64), store.incarnation, revision)
        finally:
            os.close(fd)
    except OSError:
        return 0.0


def mark_damaged(folder: Path, reason: str) -> None:
    """Tell the writer, who may be another process, that its file is damaged."""
    with suppress(OSError):
        (folder / "damaged").write_text(f"{reason}\n", encoding="utf-8")


def marked_damaged(folder: Path) -> str:
    """Return what a reader found damaged; empty: nothing."""
    try:
        text = (folder / "damaged").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return text.strip() or "a reader found it damaged"


def write_counts(folder: Path, entries: int, domains: dict[str, int]) -> None:
    """Keep what a commit left, beside the index; without it nothing is lost but a check."""
    new = folder / "counts.new"
    with suppress(OSError):
        new.write_text(json.dumps({"entries": entries, "domains": domains}), encoding="utf-8")
        new.replace(folder / "counts")


def read_counts(folder: Path) -> tuple[int, dict[str, int]]:
    """Return what :func:`write_counts` kept: entries, and addresses by domain."""
    try:
        kept = json.loads((folder / "counts").read_text(encoding="utf-8"))
        return int(kept["entries"]), {str(name): int(n) for name, n in kept["domains"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return 0, {}


def set_aside(folder: Path) -> Path | None:
    """Rename a folder out of the way, and remove what was set aside long ago.

    Raises:
        IndexWriteError: it cannot be renamed.

    """
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    for attempt in range(100):
        aside = folder.with_name(f"{folder.name}.bad-{stamp}{f'.{attempt}' if attempt else ''}")
        if not aside.exists():
            break
    try:
        folder.rename(aside)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise IndexWriteError(f"{folder}: {error.strerror}") from error
    kept = sorted(folder.parent.glob(f"{folder.name}.bad-*"), key=lambda old: old.stat().st_mtime)
    for old in kept[:-KEPT_ASIDE]:
        shutil.rmtree(old, ignore_errors=True)
    return aside
