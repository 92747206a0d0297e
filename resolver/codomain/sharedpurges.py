"""Purges of the second level: what is forgotten at all gateways, and what is owed of it.

A purge that does not reach the server is owed, until somebody reaches it again; as long as
anything is owed, nothing may be looked up.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from codomain.errors import CodomainError
from codomain.sharedkeys import (
    ADDRESSES,
    EPOCH,
    FLUSH,
    MARK_SECONDS,
    PURGE,
    Purge,
    channel,
    keys_of,
    mark,
    pack_purge,
)
from codomain.sharedlink import LinkError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from codomain.sharedlink import Link, Way

PURGE_TIMEOUT = 1.0
"""Seconds for a purge, for which an administrator waits, and no mail."""


class OwedError(CodomainError):
    """A purge that did not reach the server; other gateways hear of it when it is there again."""


class Purges:
    """What this gateway purges; for any number of threads."""

    def __init__(self, way: Way, fingerprints: Iterable[str]) -> None:
        """Take how the server is reached, and under which fingerprints we keep values."""
        self.me = mark()
        self._way = way
        self._prints = tuple(sorted(set(fingerprints)))
        self._lock = threading.Lock()
        self._paying = threading.Lock()  # what is owed is paid by one thread at a time, once
        self._owed_keys: set[str] = set()
        self._owed_flush = False

    @property
    def owes(self) -> bool:
        """Whether a purge has not reached the server yet."""
        with self._lock:
            return bool(self._owed_keys) or self._owed_flush

    def purge(self, keys: Iterable[str]) -> int:
        """Forget some addresses at all gateways; returns how many values the server had.

        What this process itself keeps is the caller's matter, after this.

        Raises:
            OwedError: the server was not reached; it will be told when it is there again.

        """
        with self._paying:
            with self._lock:
                self._owed_keys.update(keys)
                if len(self._owed_keys) > ADDRESSES:
                    self._owed_flush = True
            return self._pay()

    def flush(self) -> None:
        """Forget everything at all gateways.

        Raises:
            OwedError: as for :meth:`purge`.

        """
        with self._paying:
            with self._lock:
                self._owed_flush = True
            self._pay()

    def _pay(self) -> int:
        link = self._way.link(PURGE_TIMEOUT)
        try:
            return self._settle(link.open())
        except (LinkError, RefusedError) as error:
            raise OwedError(str(error)) from error
        finally:
            link.close()

    def settle(self, link: Link) -> int:
        """Make good what is owed; returns how many values the server had of it.

        Raises:
            LinkError: the server did not answer.
            RefusedError: it does not permit it, as a replica that is read-only.

        """
        with self._paying:
            return self._settle(link)

    def _settle(self, link: Link) -> int:
        with self._lock:
            keys, everything = frozenset(self._owed_keys), self._owed_flush
        if not keys and not everything:
            return 0
        purge = Purge(
            self.me,
            mark(),
            () if everything else tuple(keys),
            everything,
            self._prints,
        )
        gone = self._forget(link, purge, mark() if everything else "")
        with self._lock:
            self._owed_keys -= keys
            self._owed_flush = self._owed_flush and not everything
            if everything:
                self._owed_keys.clear()
        return gone

    def clear_own(self, link: Link, purge: Purge) -> None:
        """Forget what another gateway purged, where it is kept under fingerprints of ours alone.

        Raises:
            LinkError: the server did not answer.
            RefusedError: it does not permit it.

        """
        own = set(self._prints) - set(purge.cleared)
        if own and purge.keys:
            link.exchange(*[("DEL", name) for name in keys_of(own, purge.keys)])

    def _forget(self, link: Link, purge: Purge, flush: str) -> int:
        names = [EPOCH, FLUSH] if purge.everything else [EPOCH]
        names += keys_of(purge.cleared, purge.keys)
        place = channel(self._way.server.database)
        arguments = (purge.epoch, MARK_SECONDS * 1000, flush, place, pack_purge(purge))
        (gone,) = link.exchange(("EVAL", PURGE, len(names), *names, *arguments))
        return int(gone)
