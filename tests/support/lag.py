"""How late this machine is by itself, so that a bound on time blames only who is tested."""

from __future__ import annotations

import threading
import time
from typing import Self

BEAT = 0.005
"""Seconds between two looks at the clock."""


class Lag:
    """Sleeps short whiles, and remembers by how much the longest of them was too long."""

    def __init__(self) -> None:
        self.worst = 0.0
        self._late: list[float] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def allows(self, elapsed: float, limit: float) -> bool:
        """Tell whether a time keeps a limit within 10%, but for what the machine was late.

        A request goes through three processes here (the asker, the daemon, the proxy or
        the server), and each may be late once.
        """
        return elapsed <= limit * 1.1 + 3 * self.worst

    def quantile(self, part: float) -> float:
        """Return the seconds by which this part of the sleeps was too long at most."""
        late = sorted(self._late)
        return late[min(len(late) - 1, int(len(late) * part))]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.is_set():
            began = time.monotonic()
            time.sleep(BEAT)
            late = time.monotonic() - began - BEAT
            self._late.append(late)
            self.worst = max(self.worst, late)
