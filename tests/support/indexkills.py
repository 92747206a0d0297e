"""A writer and a reader of one index, to be killed at any moment.

Run as a program, so that both are forked from a process that has opened nothing.

    python -m support.indexkills FOLDER SEED TRIES

The writer changes every one of ENTRIES in one transaction, again and again, by loads and
by changes: in state N every entry says N.  It tells the number of each state before it
begins it, and when it is committed.  The reader looks up addresses, and ends with a word
about the first answer that is wrong.  Every try kills one of them, or both, after a random
moment.  The last line is ``right``, or what was wrong.
"""

from __future__ import annotations

import mmap
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from codomain.directory.base import Kind, Recipient
from codomain.directory.index import IndexReader, IndexWriter, index_path
from codomain.directory.store import open_store
from support.indexes import SOURCE

if TYPE_CHECKING:
    from collections.abc import Callable

ENTRIES = 300
READER_SECONDS = 0.05
WRITER_SECONDS = 0.5
"""The longest that one lives: a writer needs a part of it to verify its file first."""

FIRST_SECONDS = 60.0

BEGUN, DONE = 0, 1


class Board:
    """Two numbers that all processes see: the state that was begun, and the last one done."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 16)  # shared with the children that are forked

    def __getitem__(self, place: int) -> int:
        return int.from_bytes(self._memory[place * 8 : place * 8 + 8], "little")

    def __setitem__(self, place: int, number: int) -> None:
        self._memory[place * 8 : place * 8 + 8] = number.to_bytes(8, "little")


def entry(number: int, state: int) -> Recipient:
    """Return one entry in one state; every third has an address that comes and goes."""
    own = f"user{number:04}@example.com"
    more = (f"now{state % 2}.{number}@example.com",) if number % 3 == 0 else ()
    return Recipient(f"cn={number}", Kind.MAILBOX, (own, *more), str(state))


def write(path: Path, board: Board) -> None:
    """Write states for ever."""
    writer = IndexWriter(path, SOURCE)
    state = int(writer.status.cookie or b"0")
    if writer.status.complete and not board[DONE] <= state <= board[BEGUN]:
        sys.exit(f"the writer finds state {state}, not {board[DONE]} to {board[BEGUN]}")
    held = {writer.get(b"%d" % n).primary for n in range(ENTRIES)} if state else set()  # type: ignore[union-attr]
    if held - {str(state)}:
        sys.exit(f"beside cookie {state} the entries are of {held}")
    board[DONE] = state
    while True:
        state += 1
        board[BEGUN] = state
        entries = [(b"%d" % n, entry(n, state)) for n in range(ENTRIES)]
        cookie = b"%d" % state
        if state % 3 == 1:
            with writer.load() as whole:
                for name, recipient in entries:
                    whole.put(name, recipient)
                whole.commit(cookie=cookie, synced=time.time(), max_shrink=None)
        else:
            writer.change(entries, cookie=cookie, synced=time.time())
        board[DONE] = state
        writer.confirm(time.time())


def read(path: Path, board: Board, seed: int) -> None:
    """Look up for ever."""
    dice = random.Random(seed)
    # The file was verified when the try began; a reader that opens it anew each time is
    # what matters here, and verifying takes longer than a try.
    store = open_store(path)
    reader = IndexReader(path, SOURCE)
    store.close()
    while True:
        number = dice.randrange(ENTRIES)
        low = board[DONE]
        found = reader.find(f"user{number:04}@example.com")
        high = board[BEGUN]
        if len(found) != 1 or not low <= int(found[0].primary) <= high:
            sys.exit(f"user {number}: {found}, not of {low} to {high}")
        state = int(found[0].primary)
        if found != (entry(number, state),):
            sys.exit(f"user {number}: half of a change: {found}")
        if reader.find(f"nobody{number}@example.com"):
            sys.exit(f"nobody {number} was found")


def forked(function: Callable[[], None]) -> int:
    """Run a function in a child that ends with status 1 where it has something to say."""
    child = os.fork()
    if child:
        return child
    try:
        function()
    except SystemExit as error:
        print(error.code, flush=True)  # noqa: T201
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is wrong
        print(f"{type(error).__name__}: {error}", flush=True)  # noqa: T201
    os._exit(1)


def ended(child: int) -> bool:
    """Tell whether a child has ended by itself, which it never does if all is right."""
    try:
        return os.waitpid(child, os.WNOHANG) != (0, 0)
    except ChildProcessError:  # it was told before
        return True


def pause(dice: random.Random, board: Board, writer: int, turn: int) -> None:
    """Wait for the random moment of one try."""
    seconds = WRITER_SECONDS if turn % 2 or turn % 5 == 4 else READER_SECONDS
    if turn % 4 == 1 and turn % 5 != 4:
        # In the midst of writing, however long it takes to get there.
        state, seconds = board[BEGUN], READER_SECONDS
        end = time.monotonic() + FIRST_SECONDS
        while board[BEGUN] == state and time.monotonic() < end and not ended(writer):
            time.sleep(0.001)
    time.sleep(dice.random() * seconds)


def main() -> None:
    """Kill as often as the command line says."""
    folder, seed, tries = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    dice = random.Random(seed)
    path = index_path(folder, "ad")
    board = Board()
    writer = forked(lambda: write(path, board))
    end = time.monotonic() + FIRST_SECONDS
    while board[DONE] < 3 and time.monotonic() < end:
        time.sleep(0.01)
    reader = forked(lambda: read(path, board, seed))
    for turn in range(tries):
        both = turn % 5 == 4
        pause(dice, board, writer, turn)
        if ended(writer) or ended(reader):
            break
        if both or turn % 2:
            os.kill(writer, signal.SIGKILL)
            os.waitpid(writer, 0)
            writer = forked(lambda: write(path, board))
        if both or not turn % 2:
            os.kill(reader, signal.SIGKILL)
            os.waitpid(reader, 0)
            reader = forked(lambda turn=turn: read(path, board, turn))  # type: ignore[misc]
    else:
        # Both must still be at work.
        state = board[DONE]
        end = time.monotonic() + FIRST_SECONDS
        while board[DONE] < state + 3 and time.monotonic() < end:
            time.sleep(0.01)
        right = board[DONE] >= state + 3 and not ended(writer) and not ended(reader)
        size = (path / "data.mdb").stat().st_size
        print("states", board[DONE], "size", size, flush=True)  # noqa: T201
        for child in (writer, reader):
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        if right:
            print("right", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
