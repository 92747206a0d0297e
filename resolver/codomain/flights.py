"""Searches under way: one for each address at a time, however many wait for it.

Directory I/O blocks, so it runs in a thread pool of each directory's own, but for what the
loop can do itself (:mod:`codomain.lane`); the event loop's thread alone keeps the list of
flights.
"""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from codomain.directory.prompt import Prompt
from codomain.errors import DirectoryError, NotInIndexError
from codomain.lane import LATE, Lane, Wanted
from codomain.log import event

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Future

    from codomain.cache import Cache, Key
    from codomain.directory.base import Directory, Recipient
    from codomain.shared import Shared

    Result = tuple[Recipient, ...] | DirectoryError

MAX_THREADS = 4
"""Threads that search one directory: with eight, a cached answer's p99 rises from 7 to 19 ms
(the interpreter is held by each search)."""

MAX_WAITING = 2_000
"""Flights that wait for a thread, of each directory; as many as Postfix has processes on a
large gateway (default_process_limit times ten).  One more is refused as an outage."""

OVERDUE = 0.1
"""Seconds after which a search that is not back makes its directory count as down, for those
who were known a while ago: they are answered at once.

RFC 8767 section 5 (serving stale DNS) says 1.8 for people at a browser; a search of LDAP
takes some milliseconds, and an MTA sends hundreds of recipients one after the other.  A
directory that is always slower gives nothing away by it: each is asked for again behind.
"""

GRACE = 1.0
"""Seconds that a search waits for a thread beyond its own time before it is given up."""

CLOSED = "its configuration is no longer in force"

QUIET_SECONDS = 10.0
"""A change of a directory's state is told this long after the one before at the earliest: one
address whose search always fails must not fill the log while the others succeed."""

log = logging.getLogger("codomain.directory")


class Landing(NamedTuple):
    """How a search ended."""

    result: Result
    """The entries, or the error."""

    asked: bool = False
    """The directory was asked at all."""

    left: float | None = None
    """Seconds that are left of another gateway's answer; None: it is none."""


class Flights:
    """All searches under way."""

    def __init__(
        self,
        directories: Mapping[str, Directory],
        threads: Mapping[str, int],
        seconds: Mapping[str, float],
        cache: Cache,
        shared: Shared | None = None,
    ) -> None:
        """Take the directories, and for each the threads and the seconds of one search.

        ``shared`` is the second level of the cache, if there is one.
        """
        self._directories = directories
        self._seconds = seconds
        self._cache = cache
        self._shared = shared
        self._flights: dict[tuple[Key, int], asyncio.Future[Result]] = {}
        self._waiting = dict.fromkeys(directories, 0)
        self._executors = {
            name: ThreadPoolExecutor(
                min(threads[name], MAX_THREADS), thread_name_prefix=f"directory-{name}"
            )
            for name in directories
        }
        # The second level of the cache is asked first, in a thread.
        self._lanes = {
            name: Lane(directory, seconds[name])
            for name, directory in directories.items()
            if shared is None and isinstance(directory, Prompt)
        }
        # When each search under way was begun, by directory: the oldest stands first.
        self._begun: dict[str, dict[tuple[Key, int], float]] = {name: {} for name in directories}
        self._oldest: dict[str, float] = {}
        self._down: dict[str, str] = {}
        self._silent: set[str] = set()
        self._told: dict[str, tuple[bool, float]] = {}
        self.on_change: Callable[[str, str], None] = _log_change
        self.quiet = QUIET_SECONDS

    def is_down(self, directory: str) -> bool:
        """Tell whether a directory is to be waited for by nobody who was known; any thread.

        Its last search failed, or whoever watches it has found it silent, or a search of it
        is overdue.
        """
        if directory in self._down or directory in self._silent:
            return True
        oldest = self._oldest.get(directory)
        return oldest is not None and time.monotonic() - oldest > OVERDUE

    def answered(self, directory: str) -> None:
        """Take note that a directory answers, from whoever asked it for another reason."""
        self._silent.discard(directory)
        if directory in self._down:
            self._set_down(directory, "")

    def unanswered(self, directory: str) -> None:
        """Take note that it does not, from the same; until the next answer, whoever gets it."""
        self._silent.add(directory)

    @property
    def down(self) -> Mapping[str, str]:
        """The directories whose last search failed, and what was wrong."""
        return self._down

    def fly(self, key: Key, *, anew: bool = False) -> asyncio.Future[Result]:
        """Return the flight of an address, started if there is none.

        ``anew``: it is known, and what other gateways were answered does only if it is
        younger.
        The future ends with the entries or with the error, and is never cancelled by us;
        what it found is in the cache by then, unless a purge came in between.
        """
        epoch = self._cache.epoch
        flight = self._flights.get((key, epoch))
        if flight is None:
            flight = asyncio.get_running_loop().create_future()
            if self._waiting[key[0]] >= MAX_WAITING:
                flight.set_result(DirectoryError("too many searches wait for it"))
                return flight
            begun = time.monotonic()
            latest = begun + self._seconds[key[0]] + GRACE
            self._flights[key, epoch] = flight
            self._waiting[key[0]] += 1
            self._begun[key[0]][key, epoch] = begun
            self._oldest.setdefault(key[0], begun)
            self._take_off(key, latest, anew, partial(self._land, key, epoch, flight))
        return flight

    def close(self) -> None:
        """Start no more searches; those under way end in their threads."""
        for executor in self._executors.values():
            executor.shutdown(wait=False, cancel_futures=True)
        for lane in self._lanes.values():
            lane.close(DirectoryError(CLOSED))

    def _take_off(
        self,
        key: Key,
        latest: float,
        anew: bool,  # noqa: FBT001 - fly's
        land: Callable[[Landing], None],
    ) -> None:
        name, address = key

        def aside(find: Callable[[], tuple[Recipient, ...]] | None) -> None:
            job = partial(self._search, key, latest, anew) if find is None else partial(_safe, find)
            self._submit(name, job, land)

        lane = self._lanes.get(name)
        if lane is None:
            aside(None)
        else:
            lane.fly(Wanted(address, latest, lambda result: land(_landing(result)), aside))

    def _submit(
        self, name: str, job: Callable[[], Landing], land: Callable[[Landing], None]
    ) -> None:
        """Have a thread do it."""
        loop = asyncio.get_running_loop()
        try:
            search = self._executors[name].submit(job)
        except RuntimeError:  # a request that outlived its configuration
            land(Landing(DirectoryError(CLOSED)))
            return
        search.add_done_callback(lambda done: _call(loop, lambda: land(_outcome(done))))

    def _search(self, key: Key, latest: float, anew: bool) -> Landing:  # noqa: FBT001 - submit's
        """Search in a thread: at the other gateways' answers first, then in the directory."""
        name, address = key
        if time.monotonic() > latest:
            return Landing(DirectoryError(LATE))
        shared = self._shared
        seen = None if shared is None else shared.get(name, address)
        if (
            seen is not None
            and seen.entries is not None
            and not (anew and self._cache.due(seen.entries, seen.left))
        ):
            return Landing(seen.entries, left=seen.left)
        landing = _safe(partial(self._directories[name].find, address, self._seconds[name]))
        if shared is not None and seen is not None and not isinstance(landing.result, Exception):
            shared.put(name, address, landing.result, seen)
        return landing

    def _land(self, key: Key, epoch: int, flight: asyncio.Future[Result], landing: Landing) -> None:
        result = landing.result
        now = time.monotonic()
        self._flights.pop((key, epoch), None)
        self._waiting[key[0]] -= 1
        self._ended(key, epoch)
        if not isinstance(result, DirectoryError):
            self._cache.put(key, result, now, epoch, landing.left)
            if landing.asked:
                self._silent.discard(key[0])
                self._set_down(key[0], "")
        elif landing.asked:
            self._cache.fail(key, str(result), now, epoch)
            if not isinstance(result, NotInIndexError):
                self._set_down(key[0], str(result) or "no answer")
        if not flight.done():
            flight.set_result(result)

    def _ended(self, key: Key, epoch: int) -> None:
        """Take a search off those under way; the next one is the oldest."""
        begun = self._begun[key[0]]
        begun.pop((key, epoch), None)
        oldest = next(iter(begun.values()), None)
        if oldest is None:
            self._oldest.pop(key[0], None)
        else:
            self._oldest[key[0]] = oldest

    def _set_down(self, directory: str, detail: str) -> None:
        if detail:
            self._down[directory] = detail
        else:
            self._down.pop(directory, None)
        told, when = self._told.get(directory, (False, float("-inf")))
        now = time.monotonic()
        if told != bool(detail) and now - when >= self.quiet:
            self._told[directory] = (bool(detail), now)
            self.on_change(directory, detail)


def _safe(find: Callable[[], tuple[Recipient, ...]]) -> Landing:
    """Search, whatever comes of it."""
    try:
        return Landing(find(), asked=True)
    except DirectoryError as error:
        return Landing(error, asked=True)
    except Exception as error:  # the edge of a directory: a fault of ours is no answer
        log.exception("search failed by a fault of our own")
        return Landing(DirectoryError(f"internal error: {type(error).__name__}"), asked=True)


def _landing(result: Result) -> Landing:
    """Say of a result of the lane that an error means: nobody was asked."""
    return Landing(result, asked=not isinstance(result, DirectoryError))


def _outcome(search: Future[Landing]) -> Landing:
    """Return what a search found; one that :meth:`Flights.close` cancelled asked nobody."""
    return Landing(DirectoryError(CLOSED)) if search.cancelled() else search.result()


def _call(loop: asyncio.AbstractEventLoop, function: Callable[[], None]) -> None:
    """Run a function on the loop's thread, unless the loop has ended meanwhile."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(function)


def _log_change(directory: str, detail: str) -> None:
    if detail:
        event(log, logging.ERROR, "searches fail", directory=directory, detail=detail)
    else:
        event(log, logging.WARNING, "searches succeed again", directory=directory)
