"""Where an index is, what it is made from, and whether the one that is there is gone on with.

One of another form or source is not, nor is a damaged one: its writer sets it aside and
begins an empty one.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lmdb

from codomain.directory import store as files
from codomain.directory.indexreader import OTHER_SOURCE
from codomain.directory.packing import FORMAT, intact
from codomain.directory.verify import verify
from codomain.errors import (
    IndexBusyError,
    IndexDamagedError,
    IndexUnusableError,
    IndexWriteError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from codomain.directory.section import Section


LOCK_SECONDS = 1.0
"""How long a writer waits for its right: one that was killed just when it began to verify has
a child that holds it until it has become another program (close-on-exec)."""

LOCK_PAUSE = 0.02


def index_path(state_directory: str | Path, name: str) -> Path:
    """Return where the index of a directory is: a folder, named as the directory is."""
    return Path(state_directory) / "index" / name


def source_of(section: Section) -> str:
    """Return what an index of this directory is made from, as text to be compared.

    Not the servers: they are several of one directory.
    """
    made = {key: getattr(section, key) for key in ("base", "scope", "filter", "schema")}
    return json.dumps({"format": FORMAT, **made}, sort_keys=True)


def lock(path: Path) -> int:
    """Take the right to write an index, which the end of this process gives back."""
    name = path.with_name(f"{path.name}.lock")
    try:
        path.parent.mkdir(files.FOLDER_MODE, parents=True, exist_ok=True)
        fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, files.FILE_MODE)
    except OSError as error:
        raise IndexWriteError(f"{name}: {error.strerror}") from error
    end = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if time.monotonic() < end:
                time.sleep(LOCK_PAUSE)
                continue
            os.close(fd)
            raise IndexBusyError(f"{path}: another process writes this index") from error
        return fd


def unfit(path: Path, source: str) -> str:
    """Tell why the index that is there must not be gone on with; empty: it may."""
    if not (path / "data.mdb").exists():
        return ""
    if found := files.marked_damaged(path):
        return found
    try:
        if not files.is_open(path):
            verify(path, whole=True)
        store = files.open_store(path, write=True)
    except IndexUnusableError as error:
        return str(error)
    try:
        if store.format != FORMAT:
            return f"its form is {store.format}, not {FORMAT}"
        if store.source and store.source != source:
            return OTHER_SOURCE
    finally:
        store.close()
    return ""


def domains_of(store: files.Store, txn: Any) -> dict[str, int]:  # noqa: ANN401 - untyped
    """Return how many addresses each domain has."""
    found = {}
    for key, record in txn.cursor(store.domains):
        if not intact(key, record):
            raise IndexDamagedError(f"{store.folder}: the count of a domain is damaged")
        found[record[8:-4].decode("utf-8", "surrogatepass")] = int.from_bytes(record[:8], "big")
    return found


@contextmanager
def faults(path: Path) -> Iterator[None]:
    """Turn LMDB's errors into ours."""
    try:
        yield
    except (lmdb.CorruptedError, lmdb.PageNotFoundError, lmdb.InvalidError) as error:
        raise IndexDamagedError(f"{path}: {error}") from error
    except lmdb.Error as error:
        raise IndexWriteError(f"{path}: {error}") from error
