"""The second level of the cache: what other gateways were answered, on a Redis or Valkey.

It stands below the cache of this process and above the directories.  A search looks here
first, in its own thread, and puts here what the directory answered; failures are never
put.  Nothing here may hold mail up: a look-up takes 50 ms at most, one that fails ends all
look-ups for a second, and whatever cannot be read or believed means that the directory is
asked.  Look-ups use connections that are open already; :mod:`codomain.sharedwatch` opens
them, in a thread of its own, and hears what other gateways purge.  While it cannot hear,
nothing is looked up, because nobody could take it back.

A purge that does not reach the server is owed: until it does, nothing is looked up.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from codomain.journal import Throttle
from codomain.log import event
from codomain.sharedkeys import EPOCH, FLUSH, MARK_OCTETS, PUT, read_mark, value_key
from codomain.sharedlink import LinkError, RefusedError
from codomain.sharedpool import Links
from codomain.sharedpurges import Purges
from codomain.sharedvalue import VALUE_OCTETS, SurpriseError, Value, pack, unpack

if TYPE_CHECKING:
    from collections.abc import Mapping

    from codomain.cache import Cache
    from codomain.directory.base import Recipient
    from codomain.metrics import Metrics
    from codomain.sharedlink import Link, Way

GONE = -2
"""PTTL's answer for a key that is not there, or just is not there any more."""

SHORTEST = 0.001
"""The shortest lifetime in seconds that a server takes (SET … PX)."""

log = logging.getLogger("codomain.shared")


class Seen(NamedTuple):
    """What a look-up brought."""

    entries: tuple[Recipient, ...] | None = None
    """The entries, none where it is known not to be there; None: ask the directory."""

    left: float = 0.0
    """How many seconds of the answer's lifetime are left."""

    epoch: str | None = None
    """Under which epoch the answer of the directory may be put; None: it must not be."""

    flush: str = ""
    """The mark of the last flush."""


NOTHING = Seen()
"""Nothing was looked up."""


class Shared:
    """The second level as this gateway has it; for any number of threads."""

    def __init__(
        self, way: Way, fingerprints: Mapping[str, str], cache: Cache, metrics: Metrics
    ) -> None:
        """Take the fingerprint of each directory whose answers are shared, by its name."""
        self.way = way
        self.name = str(way.server)
        self.fingerprints = fingerprints
        self.cache = cache
        self.links = Links()
        self.purges = Purges(way, fingerprints.values())
        self.detail = "not reached yet"
        self._metrics = metrics
        self._takes = True
        self._throttle = Throttle(log)

    @property
    def up(self) -> bool:
        """Whether it is in use."""
        return self.links.is_open and not self.purges.owes

    def get(self, directory: str, key: str) -> Seen:
        """Look an address up; it never raises, and takes the time-out of one look-up at most."""
        fingerprint = self.fingerprints.get(directory)
        if fingerprint is None:
            return NOTHING
        link = self._take()
        if link is None:
            return NOTHING
        name = value_key(fingerprint, key)
        try:
            epoch, flush, raw, left = link.replies(
                ("GETRANGE", EPOCH, 0, MARK_OCTETS - 1),
                ("GETRANGE", FLUSH, 0, MARK_OCTETS - 1),
                ("GETRANGE", name, 0, VALUE_OCTETS),
                ("PTTL", name),
            )
        except LinkError as error:
            self._failed(link, error)
            return NOTHING
        self.links.give_back(link)
        seen = NOTHING
        try:
            seen = Seen(None, 0.0, read_mark(epoch), read_mark(flush))
            if not raw or left == GONE:
                self._metrics.shared_request("miss")
                return seen
            if isinstance(raw, RefusedError):  # a key of another kind: to be written over
                raise SurpriseError(str(raw))  # noqa: TRY301
            return self._believed(seen, unpack(raw, key), left)
        except SurpriseError as error:
            self._metrics.shared_request("invalid")
            self._throttle.warn("not believed", "value", server=self.name, key=name, detail=error)
            return seen

    def put(self, directory: str, key: str, entries: tuple[Recipient, ...], seen: Seen) -> None:
        """Tell the others what a directory answered; it never raises.

        Nothing is put where a purge, of whichever gateway, came since the look-up.
        """
        lifetimes = self.cache.lifetimes
        lifetime = lifetimes.found if entries else lifetimes.not_found
        fingerprint = self.fingerprints.get(directory)
        if seen.epoch is None or fingerprint is None or lifetime < SHORTEST:
            return
        raw = pack(Value(key, lifetime, seen.flush, entries))
        link = self._take() if raw is not None else None
        if raw is None or link is None:
            return
        name = value_key(fingerprint, key)
        milliseconds = int(lifetime * 1000)
        try:
            link.exchange(("EVAL", PUT, 2, EPOCH, name, seen.epoch, raw, milliseconds))
        except RefusedError as error:
            self.links.give_back(link)
            self._metrics.shared_request("error")
            self._taking(takes=False, detail=str(error))
        except LinkError as error:
            self._failed(link, error)
        else:
            self.links.give_back(link)
            self._taking(takes=True)

    def opened(self) -> None:
        """Look up again: the watch hears what others purge."""
        self.links.open()
        self.detail = ""
        self._metrics.shared_up(self.name, up=self.up)

    def closed(self, detail: str) -> bool:
        """Look nothing up any more, for a reason; returns whether it was in use until now."""
        self.detail = detail
        self._metrics.shared_up(self.name, up=False)
        return self.links.close()

    def _take(self) -> Link | None:
        return None if self.purges.owes else self.links.take()

    def _failed(self, link: Link, error: LinkError) -> None:
        self.links.failed(link)
        self._metrics.shared_request("error")
        self._throttle.warn("look-up failed", "shared", server=self.name, detail=error)

    def _believed(self, seen: Seen, value: Value, left: object) -> Seen:
        """Judge the age of a value; what was put before a flush is a miss."""
        if not isinstance(left, int) or not 0 < left <= value.lifetime * 1000:
            raise SurpriseError("it outlives its lifetime")
        lifetimes = self.cache.lifetimes
        whole = lifetimes.found if value.entries else lifetimes.not_found
        seconds = whole - (value.lifetime - left / 1000)  # by our own lifetime, not the putter's
        if value.flush != seen.flush or seconds <= 0:
            self._metrics.shared_request("miss")
            return seen
        self._metrics.shared_request("hit")
        return seen._replace(entries=value.entries, left=min(seconds, left / 1000))

    def _taking(self, *, takes: bool, detail: str = "") -> None:
        """Log once that the server refuses values: it is full, or a replica that is read-only."""
        if self._takes == takes:
            return
        self._takes = takes
        if self._throttle.passes("taking"):
            level = logging.INFO if takes else logging.WARNING
            name = "shared cache takes values again" if takes else "shared cache takes no values"
            event(log, level, name, server=self.name, detail=detail)
