"""A directory in sync mode: the local index answers, and the directory itself where it must.

In flow an address; out flow its entries, at once.  What is in the index is found there,
whatever the directory does.  What is not in it is *not there* only as long as the follower
says that the index is in step; else (``on_miss = live``) the directory itself is asked, so
that a mailbox made a second ago works, but no more than MISS_RATE times a second: a
stranger who guesses names costs no search.  Where it does not answer, or may not be asked
so often, nobody knows, and the MTA gets 451 4.4.3: an index that has fallen behind says
nothing of who was added since, and no one can tell when that was.  With ``on_miss = none``
the administrator has chosen to believe it nevertheless, while it is younger than
``max_age``.  An index that is missing, damaged, not complete or of another source answers
nothing: every address is asked for then, as in live mode.

:meth:`SyncedDirectory.look`, called many times a second, sees that the index has changed or
has been replaced, and how old it is.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Protocol

from codomain.directory import store
from codomain.directory.index import IndexReader, duplicates
from codomain.directory.indexlog import IndexLog
from codomain.directory.misses import Misses
from codomain.directory.schema import address_key
from codomain.errors import (
    DirectoryError,
    IndexDamagedError,
    IndexUnusableError,
    NotInIndexError,
)
from codomain.finding import Outage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from codomain.directory.base import Directory, Recipient

IN_STEP_SECONDS = 5.0
"""A follower confirms every second; after five without a word the index may lag behind."""

OPEN_SECONDS = 1.0
"""A start waits so long for the index to be read from end to end; then it goes on, and
every address is asked for until that is done."""

RETRY_SECONDS = 2.0
"""How often an index that could not be used is tried again."""

RETIRE_SECONDS = 5.0
"""An index that is used no more stays open so long: a look-up may be under way in a thread."""

SLOTS_SECONDS = 30.0
"""How often it is looked for slots of readers that were killed; they cost only space."""

BEHIND = "the index is behind, and the directory does not answer"
"""Why a miss is not known during an outage, for the log."""

LIMITED = "the index is behind, and the directory is not asked so often"
"""Why one of many misses is not known."""

MAX_WARNINGS = 20
"""Addresses on several entries that are named."""


class SyncSection(Protocol):
    """The keys of ``[directory NAME]`` that matter here."""

    @property
    def name(self) -> str:
        """The name of the section."""

    @property
    def canary(self) -> str:
        """An address that must be found, or nothing that is not found is believed."""

    @property
    def max_age(self) -> float:
        """Seconds after which a miss is believed no more."""

    @property
    def on_miss(self) -> str:
        """``live`` or ``none``."""


class SyncedDirectory:
    """An index in front of a directory; a :class:`codomain.directory.base.Directory`."""

    def __init__(
        self,
        section: SyncSection,
        live: Directory,
        path: Path,
        source: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Open the index, if it can be used; it is no error if it cannot.

        ``clock`` gives the seconds of Unix time that the follower's ``synced`` are.
        """
        self.name = section.name
        self.live = live
        self.usable = False
        """The index answers."""
        self.entries = 0
        """What it holds, for the metrics."""
        self.synced = 0.0
        """When it was last in step, for the metrics; 0.0: not known."""
        self._section = section
        self._path = path
        self._source = source
        self._clock = clock
        self._canary = address_key(section.canary)
        self._reader: IndexReader | None = None
        self._opened: IndexReader | None = None
        self._opening: threading.Thread | None = None
        self._try_again = 0.0
        self._slots_again = 0.0
        self._revision = -1
        self._believed = False
        self._doubt = ""
        self._canary_there = True
        self._retired: list[tuple[float, IndexReader]] = []
        self._tried: object = None
        self._say = IndexLog(section.name)
        self._misses = Misses()
        self._closed = False
        self._open_soon()
        if self._opening is not None:
            self._opening.join(OPEN_SECONDS)
        self.look()

    def peek(self, key: str) -> tuple[Recipient, ...] | Outage | None:
        """Answer from the index; None: the directory itself must be asked.

        For any thread; an outage is what cannot be known (see the module).
        """
        reader = self._reader
        if reader is None:
            return None
        try:
            found = reader.find(key)
        except IndexUnusableError as error:
            self._lost(reader, str(error))
            return None
        if found or self._believed:
            return found
        return self._missed(key)

    def shown(self, key: str) -> tuple[Recipient, ...] | None:
        """Answer as :meth:`peek` does, for whoever only shows it: no search is taken for it.

        None: nothing is known of a miss, because the index may lag behind, or is not usable.
        """
        reader = self._reader
        if reader is None:
            return None
        try:
            found = reader.find(key)
        except IndexUnusableError:
            return None
        return found if found or self._believed else None

    def find(self, key: str, timeout: float) -> tuple[Recipient, ...]:
        """Ask the directory itself; called where :meth:`peek` gave None.

        While it does not answer, an entry that it showed since the index fell behind serves.

        Raises:
            NotInIndexError: it did not answer, and the index answers for others; the MTA
                gets 451 4.4.3.
            DirectoryError: it did not answer, and nobody is answered for; likewise.

        """
        try:
            found = self.live.find(key, timeout)
        except DirectoryError as error:
            self._misses.failed(time.monotonic())
            earlier = self._misses.earlier(key)
            if earlier:
                return earlier
            if self._reader is None or self._doubt:
                raise
            raise NotInIndexError(str(error)) from error
        self._misses.answered(key, found, time.monotonic())
        return found

    def look(self) -> bool:
        """Look at the index; whether answers may be other ones than before.

        Called by one thread; it takes some microseconds, and never blocks.
        """
        before = (self._reader, self._revision, self._believed, self._doubt)
        now = time.monotonic()
        self._take_opened()
        while self._retired and now >= self._retired[0][0]:
            self._retired.pop(0)[1].close()
        if self._reader is not None:
            self._look_at(self._reader, now)
        if self._reader is None:
            self.usable = False
            self.entries, self._revision = 0, -1
            self._believed, self._doubt = False, ""
            if now >= self._try_again:
                self._open_soon()
        return before != (self._reader, self._revision, self._believed, self._doubt)

    def check(self) -> None:
        """Tell whether addresses can be answered: by the index, or by the directory itself.

        Raises:
            DirectoryError: by neither, with the reason; ``/readyz`` answers 503.

        """
        try:
            self.live.check()
        except DirectoryError as error:
            if self._reader is None or self._doubt:
                raise
            self._say.down(str(error))
        else:
            self._say.down("")

    @property
    def warnings(self) -> tuple[str, ...]:
        """A line for each address of several entries, MAX_WARNINGS at most, for ``check``."""
        lines: list[str] = []
        try:
            for address, names in duplicates(self._path):
                if len(lines) == MAX_WARNINGS:
                    lines.append("and more addresses are those of several entries")
                    break
                lines.append(
                    f"directory {self.name}: {address} is an address of {' and of '.join(names)};"
                    " mail to it is deferred"
                )
        except IndexUnusableError as error:
            lines.append(f"directory {self.name}: no index, every address is searched for: {error}")
        return tuple(lines)

    def close(self) -> None:
        """Let go of the index and of the directory's connections."""
        self._closed = True
        if self._opening is not None:
            self._opening.join()
            self._take_opened()
        reader, self._reader = self._reader, None
        for old in [reader, *(retired for _, retired in self._retired)]:
            if old is not None:
                old.close()
        self._retired.clear()
        self.live.close()

    def _missed(self, key: str) -> tuple[Recipient, ...] | Outage | None:
        """Say what becomes of an address that is not in an index that may lag behind."""
        live, now = self._section.on_miss == "live", time.monotonic()
        known, answer = self._misses.ask(key, now, live=live)
        if known or answer:
            return answer
        if not live:
            return Outage(self._doubt) if self._doubt else ()
        limited = not self._misses.down(now)
        return Outage(LIMITED if limited else self._doubt or BEHIND, limited=limited)

    def _look_at(self, reader: IndexReader, now: float) -> None:
        """Take note of what the index says of itself."""
        try:
            if store.identity((self._path / "data.mdb").stat()) != reader.identity:
                self._lost(reader, "it was set aside or replaced")
                return
            status = reader.look()
            if now >= self._slots_again:
                self._slots_again = now + SLOTS_SECONDS
                reader.check_slots()
            if status.revision != self._revision:
                self._canary_there = not self._canary or bool(reader.find(self._canary))
        except (OSError, IndexUnusableError) as error:
            self._lost(reader, str(error))
            return
        self.entries, self.synced, self._revision = status.entries, status.synced, status.revision
        age = self._clock() - status.synced
        if not self._canary_there:
            self._doubt = f"the canary {self._section.canary} is not in the index"
        elif age > self._section.max_age:
            self._doubt = "the index is older than max_age"
        else:
            self._doubt = ""
        # A clock that was set back does not make an index younger than it is.
        believed = not self._doubt and abs(age) <= IN_STEP_SECONDS
        if believed and not self._believed:
            self._misses.forget()
        self._believed = believed
        self.usable = True
        self._say.state(self._doubt, age, self.entries, in_step=believed)

    def _lost(self, reader: IndexReader, reason: str) -> None:
        """Use an index no more; whoever is looking it up in another thread goes on."""
        if self._reader is reader:
            self._reader = None
            self._retired.append((time.monotonic() + RETIRE_SECONDS, reader))
            self._say.lost(reason)

    def _take_opened(self) -> None:
        opening = self._opening
        if opening is None or opening.is_alive():
            return
        self._opening = None
        self._reader, self._opened = self._opened, None

    def _open_soon(self) -> None:
        """Open the index in a thread: it is read from end to end first.

        One that could not be used is tried again when its files are other ones.
        """
        self._try_again = time.monotonic() + RETRY_SECONDS
        if self._opening is not None or self._closed:
            return
        tried, self._tried = self._tried, self._marks()
        if tried != self._tried:
            self._opening = threading.Thread(
                target=self._open, name=f"index-{self.name}", daemon=True
            )
            self._opening.start()

    def _open(self) -> None:
        before = self._marks()
        try:
            self._opened = IndexReader(self._path, self._source)
        except IndexDamagedError as error:
            if self._marks()[0] == before[0]:
                store.mark_damaged(self._path, str(error))
            self._say.lost(str(error))
        except IndexUnusableError as error:
            self._say.lost(str(error))

    def _marks(self) -> list[object]:
        """Return what tells one state of the files from another."""
        marks: list[object] = []
        for name in ("data.mdb", "beat"):
            try:
                marks.append(store.identity((self._path / name).stat()))
            except OSError:
                marks.append(None)
        return marks
