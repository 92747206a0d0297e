"""Guessed names: whatever a stranger thinks of, memory and metrics stay within their bounds."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from support.doors import map_request, policy_request
from support.siege import memory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.siege import Siege

SIZE = 1000
"""[cache] size in these tests; the default is a hundred times that."""

BATCH = 250
GUESSES = 5000
"""Five times what is kept."""

GROWTH = 2_500_000
"""Octets that twice as many guesses may add, once all that is kept is full; a leak of one
request of each guess would be five times that."""


def guess(siege: Siege, names: Iterator[str], count: int, client: str) -> None:
    """Ask for names that nobody has, at both doors, many on one connection."""
    with siege.connect(siege.policy) as policy, siege.connect(siege.map) as maps:
        for _ in range(count // BATCH):
            batch = list(itertools.islice(names, BATCH))
            asked = [
                policy_request(
                    recipient=name,
                    client_address=client,
                    sender=f"from-{name}",
                    instance=name,
                    helo_name=name,
                )
                for name in batch
            ]
            policy.sendall(b"".join(asked))
            read(policy, b"action=", BATCH)
            maps.sendall(b"".join(map_request("transport", name) for name in batch))
            read(maps, b",", BATCH)


def read(client: object, mark: bytes, count: int) -> None:
    """Read until a mark has come so many times."""
    seen = 0
    while seen < count:
        piece = client.recv(1 << 20)  # type: ignore[attr-defined]
        assert piece, "closed before all was answered"
        seen += piece.count(mark)


def names(domain: str) -> Iterator[str]:
    """Give names without end, none of them twice."""
    return (f"guess-{number}-{'x' * 20}@{domain}" for number in itertools.count())


def test_guessed_names_fill_no_memory(siege: Siege) -> None:
    """architecture.md, Cache: not-found entries and verdicts have bounds of their own."""
    siege.set("cache", f"size = {SIZE}")
    with siege.under() as daemon:
        siege.serves()
        strange = names("example.com")
        guess(siege, strange, 4 * GUESSES, "198.51.100.7")
        full = memory(daemon.pid)
        guess(siege, strange, 2 * GUESSES, "198.51.100.8")
        assert memory(daemon.pid) - full < GROWTH
        kept = siege.tell("cache.stats")["entries"]
        assert sum(kept.values()) <= 2 * SIZE
        # Who exists was not pushed out, and is answered.
        siege.serves()


def test_guessed_domains_and_clients_fill_no_memory_and_no_metric(siege: Siege) -> None:
    """architecture.md, Metrics: labels are configured domains alone, the rest is ``other``."""
    siege.set("cache", f"size = {SIZE}")
    with siege.under() as daemon:
        siege.serves()
        numbers = itertools.count()
        strange = (f"x@guess-{number}.test" for number in numbers)
        samples = []
        held = []
        for turn in range(6):
            for part in range(20):
                guess(siege, strange, GUESSES // 20, f"2001:db8:{turn:x}:{part:x}::1")
            held.append(memory(daemon.pid))
            samples.append(len(siege.get("/metrics")[1].splitlines()))
        assert held[5] - held[3] < GROWTH
        assert samples[5] == samples[0]
        assert "guess" not in siege.get("/metrics")[1]
        siege.serves()
