"""Whom a directory must show, if what it does not show is to be believed.

A server that has lost our rights, its data or its base may answer "success", and nothing
in it, to any question (RFC 4511 section 4.5.2 asks no more of it).  So each search asks for
somebody else beside the address: the ``canary`` of the INI, or else somebody whom this
directory showed a moment ago.  A miss beside whom that one is shown is a miss; one beside
whom nobody is shown, of all whom it showed lately, is no answer.
"""

from __future__ import annotations

import threading

KEPT = 8
"""Entries that are remembered.  All of them must be gone before a miss is doubted."""

FEWEST = 3
"""Entries that must have been seen before a miss can be doubted: one or two may well have
been deleted by somebody who is trying things out."""


class Witnesses:
    """The canary, or the entries that were found lately; for any number of threads."""

    def __init__(self, canary: str = "") -> None:
        """Take the canary's key; empty: there is none, and what is found is remembered."""
        self.canary = canary
        self._seen: dict[str, str] = {}  # the entry's name to the key it was found by
        self._lock = threading.Lock()

    def beside(self, key: str) -> str:
        """Return the key to search beside another; empty: none that would prove anything."""
        if self.canary:
            return "" if key == self.canary else self.canary
        with self._lock:
            if len(self._seen) < FEWEST:
                return ""
            return next((k for k in reversed(self._seen.values()) if k != key), "")

    def others(self, *known: str) -> tuple[str, ...]:
        """Return the keys of all that were found lately, but for those given."""
        with self._lock:
            return tuple(key for key in self._seen.values() if key not in known)

    def seen(self, name: str, key: str) -> None:
        """Remember that an entry was found by a key; the one found longest ago is forgotten."""
        if self.canary:
            return
        with self._lock:
            self._seen.pop(name, None)
            self._seen[name] = key
            if len(self._seen) > KEPT:
                del self._seen[next(iter(self._seen))]

    def gone(self, *keys: str) -> None:
        """Forget those who are not shown any more, while others are."""
        with self._lock:
            self._seen = {name: key for name, key in self._seen.items() if key not in keys}
