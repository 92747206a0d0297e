"""Which addresses that are not in a lagging index are asked for, and what came of it.

A stranger who guesses names makes nothing but misses, so searches are counted out: MISS_RATE
a second, MISS_BURST in one go (a token bucket), and none while the directory does not
answer.  What such a search found is kept until the index is in step again: an entry that
was seen is not forgotten because the directory went down.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from codomain.directory.base import Recipient

MISS_RATE = 5.0
"""Searches a second for what is not in the index: some thousandths of a core."""

MISS_BURST = 20.0
"""Such searches in one go: the recipients of one message."""

ANSWER_SECONDS = 10.0
"""How long an answer is taken without asking again."""

MAX_ANSWERS = 1_000
"""Answers that are kept: more than MISS_RATE allows within ANSWER_SECONDS."""

MAX_SEEN = 10_000
"""Entries that are kept until the index has them: a day's new mailboxes of a large site."""

DOWN_SECONDS = 5.0
"""A directory that did not answer is left alone for so long (as its servers are: COOL_DOWN_MAX)."""


class Misses:
    """The searches for what is not in the index; for any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: dict[str, tuple[float, tuple[Recipient, ...] | None]] = {}
        self._seen: dict[str, tuple[Recipient, ...]] = {}
        self._tokens = MISS_BURST
        self._since = 0.0
        self._down_until = 0.0

    def ask(self, key: str, now: float, *, live: bool) -> tuple[bool, tuple[Recipient, ...] | None]:
        """Decide on one address, at a time of the monotonic clock.

        True, None: it is to be asked for (once more costs no second token).  True and
        entries: that was answered just now.  False: it is not asked for, and entries are
        those of an earlier answer, if there are any.
        """
        with self._lock:
            until, answer = self._answers.get(key, (0.0, None))
            if now < until:
                return True, answer
            if live and now >= self._down_until and self._take(now):
                self._keep(key, None, now)
                return True, None
            return False, self._seen.get(key, ())

    def answered(self, key: str, found: tuple[Recipient, ...], now: float) -> None:
        """Keep what the directory itself answered."""
        with self._lock:
            self._down_until = 0.0
            self._keep(key, found, now)
            if not found:
                self._seen.pop(key, None)
            elif len(self._seen) < MAX_SEEN:
                self._seen[key] = found

    def failed(self, now: float) -> None:
        """Take note that the directory did not answer."""
        with self._lock:
            self._down_until = now + DOWN_SECONDS

    def down(self, now: float) -> bool:
        """Tell whether the directory is left alone, because it did not answer."""
        with self._lock:
            return now < self._down_until

    def earlier(self, key: str) -> tuple[Recipient, ...]:
        """Return the entries of an earlier answer; none: there is none."""
        with self._lock:
            return self._seen.get(key, ())

    def forget(self) -> None:
        """Forget all answers: the index knows better."""
        with self._lock:
            self._answers.clear()
            self._seen.clear()

    def _take(self, now: float) -> bool:
        self._tokens = min(MISS_BURST, self._tokens + (now - self._since) * MISS_RATE)
        self._since = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

    def _keep(self, key: str, answer: tuple[Recipient, ...] | None, now: float) -> None:
        if len(self._answers) >= MAX_ANSWERS:
            self._answers.clear()
        self._answers[key] = (now + ANSWER_SECONDS, answer)
