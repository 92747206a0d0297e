"""The connections of one directory: how many there may be, and which one to use again.

A slot is the right to search; there are ``pool_size`` of them, and a caller waits for one
no longer than its deadline.  A connection that is given back is used again for the same
server, the one used last first; altogether there are never more than ``pool_size``.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from codomain.errors import DirectoryError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from codomain.directory.link import Link
    from codomain.directory.servers import Server


class SlotError(DirectoryError):
    """All slots stayed in use until the deadline; the MTA gets 451 4.4.3."""


class Pool:
    """Slots and idle connections, for any number of threads."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._free = size
        self._idle: list[Link] = []  # the one used last is last
        self._busy: set[Link] = set()
        self._closed = False
        self._waiting = 0
        self._lock = threading.Lock()
        self._condition = threading.Condition(self._lock)

    @contextmanager
    def slot(self, until: float) -> Iterator[None]:
        """Hold a slot, waited for until then (:func:`time.monotonic`).

        Raises:
            SlotError: there was none in time.
            DirectoryError: the directory was closed.

        """
        with self._condition:
            wait = max(0.0, until - time.monotonic())
            self._waiting += 1
            try:
                got = self._condition.wait_for(lambda: self._free or self._closed, wait)
            finally:
                self._waiting -= 1
            if not got:
                raise SlotError(f"all {self._size} connections are in use")
            self._check_open()
            self._free -= 1
        try:
            yield
        finally:
            self.free_slot()

    def try_slot(self) -> bool:
        """Take a slot if there is one, without waiting; :meth:`free_slot` gives it back.

        Raises:
            DirectoryError: the directory was closed.

        """
        with self._lock:
            self._check_open()
            free = self._free > 0
            self._free -= free
            return free

    def free_slot(self) -> None:
        """Give a slot back."""
        with self._lock:
            self._free += 1
            if self._waiting:
                self._condition.notify()

    def take(self, server: Server) -> Link | None:
        """Return an idle connection to a server that may be used; None: open one."""
        while True:
            with self._lock:
                self._check_open()
                mine = [link for link in self._idle if link.server == server]
                if not mine:
                    return None
                link = mine[-1]
                self._idle.remove(link)
                self._busy.add(link)
            if link.usable():
                return link
            self.discard(link)

    def add(self, link: Link) -> None:
        """Take in a connection that was opened; the oldest idle ones make room for it.

        Raises:
            DirectoryError: the directory was closed meanwhile, and so is the connection.

        """
        with self._condition:
            if not self._closed:
                self._busy.add(link)
            over = len(self._busy) + len(self._idle) - self._size
            spare, self._idle = self._idle[: max(0, over)], self._idle[max(0, over) :]
        for old in spare:
            old.close()
        if self._closed:
            link.close()
            raise _closed()

    def give_back(self, link: Link) -> None:
        """Keep a connection that is in order for the next search."""
        with self._lock:
            self._busy.discard(link)
            if not self._closed:
                self._idle.append(link)
                return
        link.close()

    def discard(self, link: Link) -> None:
        """Throw a connection away."""
        with self._condition:
            self._busy.discard(link)
        link.close()

    def discard_idle(self, server: Server) -> None:
        """Throw away every idle connection to a server: it restarted, or it is down."""
        with self._condition:
            gone = [link for link in self._idle if link.server == server]
            self._idle = [link for link in self._idle if link.server != server]
        for link in gone:
            link.close()

    def close(self) -> None:
        """Close all connections; whoever searches or waits for a slot gets an error."""
        with self._condition:
            self._closed = True
            idle, self._idle = self._idle, []
            busy = list(self._busy)
            self._condition.notify_all()
        for link in idle:
            link.close()
        for link in busy:
            link.abort()

    def _check_open(self) -> None:
        if self._closed:
            raise _closed()


def _closed() -> DirectoryError:
    return DirectoryError("the directory is closed")
