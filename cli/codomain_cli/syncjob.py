"""One directory that ``codomain sync`` follows: its thread, its log lines, its bar.

In flows what the follower tells (:class:`codomain.directory.follow.Watch`), on its
thread; out flow log lines, the state beside the index, and to the main thread that it is
ready or over.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from codomain.directory.follow import RefusedError, Terms, Watch
from codomain.directory.follower import Follower
from codomain.directory.index import duplicates
from codomain.errors import CodomainError, IndexUnusableError, ShrinkError
from codomain.log import event
from codomain_cli.syncstatus import State, write_state
from codomain_cli.systemd import notify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from rich.progress import Progress, TaskID

    from codomain.config import DirectorySection
    from codomain.directory.base import Recipient

Told = Literal["end", "reload", "ready", "over"]
"""What the main thread is told: by a signal, or by a job."""

LINE_SECONDS = 10.0
"""How often a load that is under way gets a line in the log."""

EXTEND_SECONDS = 60
"""How much longer systemd waits for a start whose load goes on (TimeoutStartSec is 90 s)."""

DUPLICATES_SECONDS = 30.0
"""How often, after changes, the index is looked through for addresses of several entries."""

FAULT_SECONDS = 60.0
"""After a fault of our own a directory is followed again after so long."""

JOIN_SECONDS = 20.0
"""A follower ends within this: the longest that a transaction of LMDB takes."""

log = logging.getLogger("codomain.sync")


class Job(Watch):
    """One directory that is followed."""

    def __init__(
        self,
        section: DirectorySection,
        path: Path,
        terms: Terms,
        tell: Callable[[Told], object],
        bars: Progress | None,
    ) -> None:
        """Lock the index.

        Raises:
            CodomainError: it cannot be followed, or not now.

        """
        self.section = section
        self.path = path
        self.error: CodomainError | None = None
        """Why it ended with ``once``; None: the index is in step."""

        self._tell = tell
        self._bars = bars
        self._bar: TaskID | None = None
        self._once = terms.once
        self._stopped = threading.Event()
        self._in_step = False
        self._line = 0.0
        self._look = 0.0
        self._dirty = True
        self._reported: dict[str, tuple[str, ...]] = {}
        self._state = State()
        terms = replace(terms, max_shrink=section.max_shrink)
        self._follower = Follower(section, path, terms, self)
        self.ready = self._follower.complete
        self._before = self._follower.entries
        self._thread = threading.Thread(target=self._run, name=f"follow {section.name}")

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End it; returns at once."""
        self._stopped.set()
        self._follower.stop()

    def join(self) -> None:
        """Wait for the end."""
        if self._thread.ident is None:
            self._follower.run()  # never started: it lets go of the index, and nothing more
        else:
            self._thread.join(JOIN_SECONDS)

    @property
    def over(self) -> bool:
        """Tell whether it has ended."""
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            try:
                self._follower.run()
                self.error = self._follower.error
            except Exception as error:  # the door of this thread: all others go on
                log.exception("following failed by a fault of our own")
                self.error = CodomainError(f"a fault of our own: {error}")
                if not self._once and not self._stopped.wait(FAULT_SECONDS):
                    continue
            break
        self._tell("over")

    def connected(self, how: str, server: str) -> None:
        """Note which server is followed."""
        self._in_step = False
        self._state = State(how, server, time.time(), self._state.error, self._state.error_at)
        write_state(self.path, self._state)
        self._log(logging.INFO, "following", how=how, server=server)

    def loading(self, count: int) -> None:
        """Show how far a load is."""
        if not self.ready:
            notify(f"EXTEND_TIMEOUT_USEC={EXTEND_SECONDS * 1_000_000}")
        if self._bars is not None:
            if count == 0 or self._bar is None:
                self._end_bar()
                self._bar = self._bars.add_task(self.section.name, total=self._before or None)
            self._bars.update(self._bar, completed=count)
        elif count == 0 or time.monotonic() - self._line >= LINE_SECONDS:
            self._line = time.monotonic()
            self._log(logging.INFO, "loading", entries=count)

    def loaded(self, count: int, duplicates: Mapping[str, Iterable[str]]) -> None:  # noqa: ARG002
        """Tell that a load is complete; its duplicates come with all others."""
        self._end_bar()
        self._before = count
        self._dirty = True
        self._log(logging.INFO, "loaded", entries=count)

    def changed(self, changes: Mapping[bytes, Recipient | None]) -> None:
        """Tell what was changed."""
        self._dirty = True
        gone = sum(recipient is None for recipient in changes.values())
        self._log(logging.DEBUG, "changed", entries=len(changes) - gone, gone=gone)

    def in_step(self) -> None:
        """Tell, the first time, that the index is in step."""
        if self._dirty and (not self._in_step or time.monotonic() >= self._look):
            self._look_for_duplicates()
        if self._in_step:
            return
        self._in_step = True
        self._log(logging.INFO, "in step", entries=self._follower.entries)
        if not self.ready:
            self.ready = True
            self._tell("ready")

    def failed(self, error: CodomainError, server: str, retry: float) -> None:
        """Tell why it is not followed now."""
        self._end_bar()
        self._in_step = False
        now = time.time()
        if isinstance(error, RefusedError):
            self._log(logging.WARNING, "followed in another way", reason=error)
            return
        self._state = State("", server, now, str(error), now)
        write_state(self.path, self._state)
        advice = None
        if isinstance(error, ShrinkError):
            command = f"codomain sync --once --accept-shrink {self.section.name}"
            advice = f"look at base and filter; where the loss is meant: {command}"
        self._log(
            logging.ERROR,
            "not followed",
            server=server,
            reason=error,
            advice=advice,
            retry=f"{retry:.0f}s" if not self._once else None,
        )

    def _look_for_duplicates(self) -> None:
        """Name each address of several entries once; decisions on it are deferred."""
        self._dirty = False
        self._look = time.monotonic() + DUPLICATES_SECONDS
        try:
            found = dict(duplicates(self.path))
        except IndexUnusableError as error:
            self._log(logging.WARNING, "duplicates are not known", reason=error)
            return
        for address, names in found.items():
            if self._reported.get(address) != names:
                self._log(
                    logging.WARNING, "duplicate", address=address, entries=" and ".join(names)
                )
        self._reported = found

    def _end_bar(self) -> None:
        if self._bars is not None and self._bar is not None:
            self._bars.remove_task(self._bar)
            self._bar = None

    def _log(self, level: int, name: str, **values: object) -> None:
        event(log, level, name, directory=self.section.name, **values)
