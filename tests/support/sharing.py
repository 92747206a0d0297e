"""A gateway's second level in this process, and waiting for what its thread does."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

from codomain.cache import Cache, Lifetimes, State
from codomain.directory.base import Kind, Recipient
from codomain.metrics import Metrics
from codomain.settings.sharedurl import parse_shared
from codomain.shared import Shared
from codomain.sharedlink import Way
from codomain.sharedwatch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from codomain.sharedkeys import Purge

SECONDS = 20.0
"""The bound of every wait; on a quiet machine all of them take less than a second."""

KEY = "ann@example.com"
ANN = Recipient("cn=Ann,dc=example,dc=com", Kind.MAILBOX, (KEY,), primary=KEY)
BOB = Recipient("cn=Bob,dc=example,dc=com", Kind.MAILBOX, ("bob@example.com",))
PRINTS = {"people": "0123456789abcdef"}
"""The fingerprint of the one directory."""


def until(condition: Callable[[], object], what: str = "") -> None:
    """Wait for a condition."""
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.01)


class Gateway:
    """A cache, the second level below it, and the watch."""

    def __init__(
        self,
        url: str,
        *,
        password_file: str = "",
        ca_file: str = "",
        lifetimes: Lifetimes | None = None,
        prints: dict[str, str] | None = None,
        timeout: float = SECONDS,
    ) -> None:
        """Take the keys of [cache]; a look-up may take long, but where a test is about that."""
        self.cache = Cache(1000, lifetimes or Lifetimes())
        self.metrics = Metrics("0")
        way = Way(parse_shared(url), password_file, ca_file, timeout)
        self.shared = Shared(way, prints or PRINTS, self.cache, self.metrics)
        self.watch = Watch(self.shared)
        self.heard: list[Purge | None] = []

    def start(self) -> Self:
        """Start the watch, and wait until look-ups begin."""
        self.watch.start(self.heard.append)
        until(lambda: self.shared.up, self.shared.detail)
        return self

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.watch.close()
        self.watch.join(SECONDS)

    def find(self, key: str, *entries: Recipient) -> None:
        """Do what a search does that asked the directory: put what it found into both levels."""
        epoch = self.cache.epoch
        seen = self.shared.get("people", key)
        self.shared.put("people", key, entries, seen)
        self.cache.put(("people", key), entries, time.monotonic(), epoch)

    def take(self, key: str) -> None:
        """Do what a search does that another gateway's answer ended."""
        epoch = self.cache.epoch
        seen = self.shared.get("people", key)
        assert seen.entries is not None
        self.cache.put(("people", key), seen.entries, time.monotonic(), epoch, seen.left)

    def knows(self, key: str = KEY) -> State | None:
        """Tell what its cache holds."""
        known = self.cache.get(("people", key), time.monotonic())
        return None if known is None else known.state

    def serves(self, key: str = KEY) -> bool:
        """Tell whether it would serve an address while the directory is down."""
        return self.cache.stale(("people", key), time.monotonic()) is not None

    def count(self, result: str) -> float:
        """Return how many look-ups had a result."""
        name = "codomain_shared_cache_requests_total"
        return self.metrics.registry.get_sample_value(name, {"result": result}) or 0.0

    def gauge(self) -> float | None:
        """Return codomain_shared_cache_up."""
        labels = {"server": self.shared.name}
        return self.metrics.registry.get_sample_value("codomain_shared_cache_up", labels)
