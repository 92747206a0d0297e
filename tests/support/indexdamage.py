"""Damages copies of an index, and tells how a writer and a daemon took it.

Run as a program, because a damaged file may end the process that reads it: each copy is
verified in one child and read in another, which are forked before anything is mapped.

    python -m support.indexdamage FOLDER FIRST COUNT

FOLDER holds ``index/ad`` with the entries of :func:`entries`.  One line for each copy:
its number, how it was damaged, ``sound`` or ``damaged``, and how the reading ended, which
is ``right``, ``noticed``, ``wrong: …`` or ``killed N``.
"""

from __future__ import annotations

import contextlib
import io
import os
import random
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from codomain.directory import verify
from codomain.directory.indexreader import IndexReader
from codomain.directory.store import open_store
from codomain.errors import IndexUnusableError
from support.indexes import SOURCE, people, person

if TYPE_CHECKING:
    from collections.abc import Callable

    from codomain.directory.base import Recipient

ENTRIES = 600
PAGE = 4096


def entries() -> dict[bytes, Recipient]:
    """Return what the index holds: mailboxes, and two that share an address."""
    made = people(f"user{n:04}" for n in range(ENTRIES))
    made[b"x"] = person("x", "x@corp.local", "both@corp.local")
    made[b"y"] = person("y", "y@corp.local", "both@corp.local")
    return made


def truncate(data: bytearray, dice: random.Random) -> None:
    """Cut the end off."""
    del data[dice.randrange(len(data)) :]


def zero(data: bytearray, dice: random.Random) -> None:
    """Overwrite one to four pages with zeros, as a file system does that lost them."""
    for _ in range(dice.randint(1, 4)):
        at = dice.randrange(len(data) // PAGE) * PAGE
        data[at : at + PAGE] = bytes(PAGE)


def flip(data: bytearray, dice: random.Random) -> None:
    """Flip one to ten bits."""
    for _ in range(dice.randint(1, 10)):
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)


def swap(data: bytearray, dice: random.Random) -> None:
    """Exchange two pages."""
    one, other = (dice.randrange(len(data) // PAGE) * PAGE for _ in range(2))
    first = data[one : one + PAGE]
    data[one : one + PAGE] = data[other : other + PAGE]
    data[other : other + PAGE] = first


def rubbish(data: bytearray, dice: random.Random) -> None:
    """Overwrite a stretch with noise."""
    at = dice.randrange(len(data))
    size = min(dice.randint(1, 3 * PAGE), len(data) - at)
    data[at : at + size] = dice.randbytes(size)


WAYS = (truncate, zero, flip, swap, rubbish)


def forked(function: Callable[[], str]) -> str:
    """Run a function in a child: what it returned, or the signal that ended it."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.write(writing, function().encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as said:
        text = said.read().decode()
    _, status = os.waitpid(child, 0)
    return f"killed {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else text


def verified(path: Path, seed: int) -> str:
    """Verify as the child of a daemon does, every other file in two halves."""
    verify.HALVES = 0 if seed % 2 else verify.HALVES
    with contextlib.redirect_stdout(io.StringIO()):
        return "damaged" if verify.main([str(path)]) else "sound"


def read(path: Path) -> str:
    """Read every address and as many that are not there, as a daemon that has verified it."""
    model = entries()
    holders: dict[str, set[Recipient]] = {}
    for entry in model.values():
        for key in entry.addresses:
            holders.setdefault(key, set()).add(entry)
    store = open_store(path)  # shared by the reader, which so verifies nothing again
    try:
        reader = IndexReader(path, SOURCE)
        for key, expected in holders.items():
            if set(reader.find(key)) != expected:
                return f"wrong: {key}"
            if reader.find(f"no{key}"):
                return f"wrong: no{key}"
    except IndexUnusableError:
        return "noticed"
    finally:
        store.close()
    return "right"


def main() -> None:
    """Damage and try the copies that the command line asks for."""
    folder, first, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    whole = (folder / "index/ad/data.mdb").read_bytes()
    for seed in range(first, first + count):
        dice = random.Random(seed)
        way = WAYS[seed % len(WAYS)]
        data = bytearray(whole)
        way(data, dice)
        path = folder / "damaged/ad"
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        (path / "data.mdb").write_bytes(data)
        checked = forked(lambda path=path, seed=seed: verified(path, seed))  # type: ignore[misc]
        ended = forked(lambda path=path: read(path)) if checked == "sound" else "noticed"  # type: ignore[misc]
        print(seed, way.__name__, checked, ended, sep="\t", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
