"""The harvest brake: clients that ask for too many unknown recipients are told nothing more.

A client that had more than ``[harvest] limit`` recipients refused as unknown within
``window`` is answered 450 4.7.1 for *every* recipient, known or not, for a window's time;
so it cannot tell one from the other.  An IPv6 client counts by its /64, which is what one
site has (RFC 6177).  The doors exempt trusted clients and peers.

Whichever door counted it, all doors are told: what they remember of a client that is now
under the brake must answer it no more.  Memory is bounded by two generations of clients;
any thread may call.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from codomain.log import event

if TYPE_CHECKING:
    from collections.abc import Callable
    from ipaddress import IPv4Address, IPv6Address

    from codomain.config import HarvestSection
    from codomain.trust import Standing

CLIENTS = 20_000
"""Clients of one generation, some 200 octets each; twice what :mod:`codomain.trust` remembers."""

SITE_BITS = 64
"""The bits of an IPv6 address that tell hosts of one site apart."""

log = logging.getLogger("codomain.harvest")


def _nobody() -> None:
    """Tell nobody."""


class _Count:
    """What one client has guessed."""

    __slots__ = ("begun", "braked_until", "unknown")

    def __init__(self, begun: float) -> None:
        self.begun = begun
        self.unknown = 0
        self.braked_until = 0.0


class Brake:
    """Counts unknown recipients by client."""

    def __init__(
        self,
        limit: int,
        window: float,
        *,
        clients: int = CLIENTS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take ``[harvest]``, the clients of one generation, and the clock, in seconds."""
        self.limit = limit
        self.window = window
        self._size = clients
        self._clock = clock
        self._young: dict[tuple[int, int], _Count] = {}
        self._old: dict[tuple[int, int], _Count] = {}
        self._lock = threading.Lock()
        self.on_brake: Callable[[], object] = _nobody
        """What is called when a client comes under the brake, on the thread that counted it:
        a door that answers from memory has to forget who that client is."""

    def __len__(self) -> int:
        """Count the clients that are remembered."""
        return len(self._young) + len(self._old)

    def holds(self, client: IPv4Address | IPv6Address | None, standing: Standing) -> bool:
        """Tell whether a client is told nothing now."""
        if client is None or _exempt(standing):
            return False
        key = _site(client)
        with self._lock:
            count = self._young.get(key) or self._old.get(key)
        return count is not None and self._clock() < count.braked_until

    def unknown(self, client: IPv4Address | IPv6Address | None, standing: Standing) -> bool:
        """Count an unknown recipient; tell whether the client has just come under the brake."""
        if client is None or _exempt(standing):
            return False
        now = self._clock()
        with self._lock:
            count = self._count(_site(client), now)
            if now - count.begun >= self.window:
                count.begun, count.unknown = now, 0
            count.unknown += 1
            braked = count.unknown > self.limit and now >= count.braked_until
            if braked:
                count.braked_until = now + self.window
                count.begun, count.unknown = count.braked_until, 0
        if braked:
            self.on_brake()
            event(log, logging.WARNING, "harvest brake", client=client, unknown=self.limit + 1)
        return braked

    def _count(self, key: tuple[int, int], now: float) -> _Count:
        count = self._young.get(key)
        if count is None:
            if len(self._young) >= self._size:
                self._old, self._young = self._young, {}
            count = self._old.pop(key) if key in self._old else _Count(now)
            self._young[key] = count
        return count


def brake_from(section: HarvestSection, before: Brake | None = None) -> Brake | None:
    """Return the brake of a configuration, the one in force where it is the same; None: off."""
    if section.limit == 0:
        return None
    if before is not None and (before.limit, before.window) == (section.limit, section.window):
        return before
    return Brake(section.limit, section.window)


def _exempt(standing: Standing) -> bool:
    return standing.trusted or bool(standing.peer_of)


def _site(client: IPv4Address | IPv6Address) -> tuple[int, int]:
    number = int(client)
    return (4, number) if client.version == 4 else (6, number >> SITE_BITS)  # noqa: PLR2004
