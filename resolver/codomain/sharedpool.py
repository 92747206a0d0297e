"""The connections for look-ups in the second level: open already, or there is no look-up.

A look-up that fails ends all look-ups for a second (the cool-down); then one of them tries,
while the others still go without.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from codomain.sharedlink import Link

COOL_DOWN = 1.0
"""Seconds without look-ups after one that failed; then one look-up tries."""

LINKS = 8
"""Connections for look-ups: the threads of two busy directories (codomain.flights)."""


class Links:
    """Open connections, for any number of threads; closed until it is opened."""

    def __init__(self) -> None:
        self.clock: Callable[[], float] = time.monotonic
        self._lock = threading.Lock()
        self._idle: list[Link] = []
        self._out = 0
        self._open = False
        self._again = 0.0

    @property
    def is_open(self) -> bool:
        """Whether connections are given at all."""
        with self._lock:
            return self._open

    def open(self) -> None:
        """Give connections from now on."""
        with self._lock:
            self._open = True
            self._again = 0.0

    def close(self) -> bool:
        """Give no connections any more; returns whether it did until now."""
        with self._lock:
            was_open, self._open = self._open, False
            idle, self._idle = self._idle, []
        for link in idle:
            link.close()
        return was_open

    def wanted(self) -> int:
        """Return how many connections are missing."""
        with self._lock:
            return max(0, LINKS - len(self._idle) - self._out)

    def add(self, link: Link) -> None:
        """Take an open connection for look-ups."""
        with self._lock:
            self._idle.append(link)

    def take(self) -> Link | None:
        """Take a connection; None: there is none, or a look-up failed a moment ago."""
        with self._lock:
            if not self._open or not self._idle:
                return None
            if self._again:
                now = self.clock()
                if now < self._again:
                    return None
                self._again = now + COOL_DOWN  # the others wait for how this one fares
            self._out += 1
            return self._idle.pop()

    def give_back(self, link: Link) -> None:
        """Take back a connection over which a look-up succeeded."""
        with self._lock:
            self._out -= 1
            self._again = 0.0
            if self._open:
                self._idle.append(link)
                return
        link.close()

    def failed(self, link: Link) -> None:
        """Take back a connection over which a look-up failed: the cool-down begins."""
        link.close()
        with self._lock:
            self._out -= 1
            self._again = self.clock() + COOL_DOWN
