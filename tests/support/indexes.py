"""Indexes for tests: made of few words, and read as a daemon reads them."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from codomain.directory.base import Kind, Recipient
from codomain.directory.index import IndexReader, IndexWriter

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

SOURCE = "a source"
"""What the indexes of tests say that they were made from."""


def person(name: str, *addresses: str, target: str = "") -> Recipient:
    """Return a mailbox, or with a target a contact; without addresses ``name@example.com``."""
    kind = Kind.CONTACT if target else Kind.MAILBOX
    found = addresses or (f"{name}@example.com",)
    return Recipient(f"cn={name}", kind, found, found[0], target)


def people(names: Iterable[str]) -> dict[bytes, Recipient]:
    """Return mailboxes by their ids, which are their names."""
    return {name.encode(): person(name) for name in names}


def load(
    path: Path,
    entries: dict[bytes, Recipient],
    *,
    source: str = SOURCE,
    cookie: bytes = b"",
    synced: float | None = None,
    max_shrink: float | None = None,
) -> None:
    """Load entries whole, as a follower does, and let go of the index."""
    writer = IndexWriter(path, source)
    try:
        with writer.load() as whole:
            for name, recipient in entries.items():
                whole.put(name, recipient)
            at = time.time() if synced is None else synced
            whole.commit(cookie=cookie, synced=at, max_shrink=max_shrink)
    finally:
        writer.close()


def load_elsewhere(path: Path, entries: dict[bytes, Recipient], **how: Any) -> None:  # noqa: ANN401
    """Do what :func:`load` does in another process, while this one reads the index."""
    script = "import pickle, sys; from support import indexes\n"
    script += (
        "path, entries, how = pickle.load(sys.stdin.buffer); indexes.load(path, entries, **how)"
    )
    subprocess.run(
        [sys.executable, "-c", script],
        input=pickle.dumps((path, entries, how)),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=True,
    )


def found(path: Path, keys: Iterable[str], source: str = SOURCE) -> dict[str, list[str]]:
    """Return the DNs of addresses, asked of a fresh reader."""
    reader = IndexReader(path, source)
    try:
        return {key: sorted(entry.dn for entry in reader.find(key)) for key in keys}
    finally:
        reader.close()


def copied(path: Path, to: Path) -> Path:
    """Copy an index, to be damaged."""
    shutil.copytree(path, to)
    return to
