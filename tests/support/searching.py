"""A directory whose searches a test counts, holds and lets fail; and a resolver around it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from codomain.cache import Cache, Lifetimes
from codomain.errors import DirectoryError
from codomain.flights import Flights
from codomain.metrics import Metrics
from codomain.resolver import Resolver
from support.decisions import rules_of

if TYPE_CHECKING:
    from typing import Self

    from codomain.directory.base import Recipient

BOUND = 20.0
"""Seconds after which a test gives up waiting; none waits so long when all is well."""

INI = """
[domain example.com]
type = shared
deliver_to = exchange

[domain corp.local]
type = authoritative

[connector unix]
smart_hosts = [192.0.2.10]
address_spaces = example.com
allow_relay = yes

[connector exchange]
smart_hosts = [192.0.2.20]

[directory people]
type = ldap
servers = ldaps://dc1.corp.local
base = dc=corp,dc=local
"""


class Searched:
    """A :class:`codomain.directory.base.Directory` under a test's hand."""

    name = "people"

    def __init__(self, *entries: Recipient) -> None:
        self.entries = {key: (entry,) for entry in entries for key in entry.addresses}
        self.asked: list[str] = []
        self.error: Exception | None = None
        self.gate = threading.Event()
        """Cleared: searches wait here."""
        self.gate.set()
        self.arrived = threading.Semaphore(0)
        """Released by each search that has begun."""
        self.closed = False
        self._lock = threading.Lock()

    def peek(self, key: str) -> tuple[Recipient, ...] | None:
        """Know nothing without a search."""
        del key
        return None  # mypy wants it said

    def find(self, key: str, timeout: float) -> tuple[Recipient, ...]:
        """Search, when the gate opens."""
        del timeout
        with self._lock:
            self.asked.append(key)
        entries = self.entries.get(key, ())
        self.arrived.release()
        if not self.gate.wait(BOUND):
            raise DirectoryError("the test did not open the gate")
        if self.error is not None:
            raise self.error
        return entries

    def check(self) -> None:
        """Answer."""

    def close(self) -> None:
        """Close."""
        self.closed = True


class House:
    """A resolver with its cache, its flights and one directory."""

    def __init__(
        self, directory: Searched, *, ini: str = INI, threads: int = 4, size: int = 1000,
        lifetimes: Lifetimes | None = None,
    ) -> None:  # fmt: skip
        self.directory = directory
        self.cache = Cache(size, lifetimes or Lifetimes())
        directories = {"people": directory}
        self.flights = Flights(directories, {"people": threads}, {"people": 3.0}, self.cache)
        self.metrics = Metrics("0")
        self.resolver = Resolver(rules_of(ini), directories, self.cache, self.flights, self.metrics)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.directory.gate.set()
        self.flights.close()
