"""Whether an index is as it was written, found out in a process of its own.

LMDB maps its file and follows the numbers in it: a truncated or overwritten file can end
the process that reads it (SIGBUS, SIGSEGV).  So it is read from end to end by a child
first; the child's death by a signal is an answer, too.

Read are: every address, entry and (for a writer) id, each with its check sum; that each
of them is found again from the root, as a look-up would find it; that there are as many
as the status says; and that the file is as long as its pages need.  Pages that hold
nothing are not read.  So what a verified file does not find is not there.

    python -m codomain.directory.verify FOLDER [--whole]

Exit status: 0, it is sound, and device and inode of the file stand on standard output; 1,
it is not, and the reason stands there.  A large file is read by two processes, from both
ends of its addresses, so that a start need not wait for long.
"""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import zlib
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codomain.directory.packing import RESIDUE, claims_of, key_of, unpack_recipient
from codomain.errors import IndexDamagedError, IndexUnusableError

if TYPE_CHECKING:
    from codomain.directory.store import Store

SECONDS = 120.0
"""The longest that a file may take: a million addresses take one or two seconds, and a
damaged tree may lead in a circle."""

HALVES = 16 << 20
"""The octets from which on a file is read by two processes; one needs a tenth of a second."""

SLICE = 2_000
"""Records that are read and then found again in one go."""

_REASON_SIZE = 300
_BAD = "damaged: "
_KILLED = "ends a process"


class Part(Enum):
    """What one process reads of an index."""

    ALL = "all"
    """Everything."""

    FIRST = "first"
    """The first half of the addresses, and what several entries claim."""

    LAST = "last"
    """The last half of the addresses, from the end on, and the entries."""


def verify(folder: Path, *, whole: bool = False) -> tuple[int, int]:
    """Read an index from end to end, in a process of its own; ``whole``: for a writer.

    Returns device and inode of the file that was read.

    Raises:
        IndexUnusableError: there is none.
        IndexDamagedError: it is not as it was written.

    """
    if not (folder / "data.mdb").exists():
        raise IndexUnusableError(f"{folder}: there is no index")
    command = [sys.executable, "-m", __name__, os.fspath(folder)]
    try:
        done = subprocess.run(
            [*command, "--whole"] if whole else command,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise IndexDamagedError(f"{folder}: it cannot be read within {SECONDS:.0f} s") from error
    except OSError as error:
        raise IndexUnusableError(f"{folder}: it cannot be verified: {error}") from error
    said = done.stdout.decode(errors="replace").strip()[:_REASON_SIZE]
    if done.returncode < 0:
        raise IndexDamagedError(f"{folder}: reading it {_KILLED} ({_signal(-done.returncode)})")
    if done.returncode:
        raise IndexDamagedError(f"{folder}: {said or 'it cannot be read'}")
    device, inode = said.split()[:2]
    return int(device), int(inode)


def examine(store: Store, part: Part, *, whole: bool) -> str:
    """Read an open index, or its part.

    Returns what the other part must say, too: the state that was read, and where they meet.

    Raises:
        IndexDamagedError: it is not as it was written.

    """
    if os.fstat(store.fd).st_size < store.needed():
        raise IndexDamagedError("the file is shorter than its pages need")
    with store.env.begin() as txn:
        status = store.status(txn)
        mine = {
            Part.ALL: status.addresses,
            Part.FIRST: status.addresses // 2,
            Part.LAST: status.addresses - status.addresses // 2,
        }[part]
        meeting = _read(txn, store.addresses, mine, part)
        if part is not Part.FIRST:
            _read(txn, store.entries, status.entries, Part.ALL)
        if part is not Part.LAST:
            _read_claims(store, txn)
            if whole:
                _read(txn, store.ids, status.entries, Part.ALL)
        return f"{txn.id()} {meeting.hex()}"


def _read(txn: Any, database: Any, count: int, part: Part) -> bytes:  # noqa: ANN401 - untyped
    """Read so many records of a database, all or those at one end of it.

    Returns the first key of the last half, whichever half was read.
    """
    checksum = zlib.crc32
    again = txn.cursor(database)
    cursor = txn.cursor(database)
    records = cursor.iterprev() if part is Part.LAST else cursor.iternext()
    left, key = count, b""
    while left and (some := list(itertools.islice(records, min(left, SLICE)))):
        if again.getmulti([key for key, _ in some]) != some:
            raise IndexDamagedError("a record is not found from the root")
        if any([checksum(record, checksum(key)) != RESIDUE for key, record in some]):  # noqa: C419
            raise IndexDamagedError("a check sum is wrong")
        left -= len(some)
        key = some[-1][0]
    following = b"" if part is Part.LAST else next(records, (b"",))[0]
    if left or (part is Part.ALL and following):
        raise IndexDamagedError("there are not as many records as there should be")
    return key if part is Part.LAST else following


def _read_claims(store: Store, txn: Any) -> None:  # noqa: ANN401
    """Compare the lists of those who claim one address with what the address says."""
    with txn.cursor(store.claims) as cursor:
        for name in cursor.iternext_nodup():
            record = txn.get(name, None, store.addresses)
            if record is None or claims_of(record) != cursor.count():
                raise IndexDamagedError("the claims of an address are not those counted")
            for number in cursor.iternext_dup():
                entry = unpack_recipient(number, txn.get(number, None, store.entries))
                if name not in map(key_of, entry.addresses):
                    raise IndexDamagedError("an address leads to an entry without it")


def _halves(folder: Path, *, whole: bool) -> str:
    """Read both halves at once; empty: the index was changed in between.

    LMDB must not be open when a process forks, so each half opens it.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        signal.alarm(int(SECONDS))  # nobody may be left to wait for this one
        os.write(writing, _told(folder, Part.LAST, whole=whole).encode())
        os._exit(0)
    os.close(writing)
    first = _told(folder, Part.FIRST, whole=whole)
    with os.fdopen(reading, "rb") as said:
        last = said.read().decode()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        raise IndexDamagedError(f"reading it {_KILLED} ({_signal(os.WTERMSIG(status))})")
    for half in (first, last):
        if half.startswith(_BAD):
            raise IndexDamagedError(half.removeprefix(_BAD))
    if first.split()[2:3] != last.split()[2:3]:
        return ""
    if first != last:
        raise IndexDamagedError("its halves do not meet")
    return first


def _told(folder: Path, part: Part, *, whole: bool) -> str:
    """Read a part: device, inode, state and where the parts meet; or what is wrong."""
    from codomain.directory.store import open_store  # noqa: PLC0415 - not before the fork

    try:
        store = open_store(folder)
        said = examine(store, part, whole=whole)
    except Exception as error:  # noqa: BLE001 - whatever it is, the index is not sound
        return f"{_BAD}{error}"
    return f"{store.identity[0]} {store.identity[1]} {said}"


def _signal(number: int) -> str:
    return signal.Signals(number).name


def main(arguments: list[str]) -> int:
    """Examine the index of a folder, and tell."""
    folder, whole = Path(arguments[0]), "--whole" in arguments
    said = ""
    try:
        if (folder / "data.mdb").stat().st_size >= HALVES:
            said = _halves(folder, whole=whole)
    except (IndexDamagedError, OSError) as error:
        said = f"{_BAD}{error}"
    said = said or _told(folder, Part.ALL, whole=whole)
    print(said.removeprefix(_BAD))  # noqa: T201 - it is the answer
    return int(said.startswith(_BAD))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
