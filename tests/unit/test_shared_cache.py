"""What the cache makes of shared answers, and what a search does with the second level."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import pytest

from codomain.cache import Cache, Lifetimes, State
from codomain.errors import DirectoryError
from codomain.flights import Flights
from codomain.shared import Seen, Shared
from codomain.sharedkeys import Purge, pack_purge, unpack_purge
from codomain.sharedvalue import SurpriseError
from support.decisions import entry
from support.searching import BOUND, Searched

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from codomain.directory.base import Recipient

KEY = ("people", "ann@corp.local")
BOB = ("people", "bob@corp.local")
ANN = entry("ann@corp.local")
NOW = 1_000.0
LIFETIMES = Lifetimes(found=300, not_found=60, stale=1000, failed=5, refresh_ahead=0.8)


def cache() -> Cache:
    """Make an empty cache."""
    return Cache(100, LIFETIMES)


def test_a_shared_answer_lives_as_long_as_is_left() -> None:
    """An entry put four minutes ago by another gateway lives one minute more here."""
    store = cache()
    store.put(KEY, (ANN,), NOW, store.epoch, left=60)
    known = store.get(KEY, NOW + 59.9)
    assert known is not None
    assert known.state is State.FRESH
    assert store.get(KEY, NOW + 60) is None
    assert store.stale(KEY, NOW + 60) is not None


def test_a_shared_answer_lives_no_longer_than_our_own() -> None:
    """Whatever the server says: found_ttl and not_found_ttl are the bound."""
    store = cache()
    store.put(KEY, (ANN,), NOW, store.epoch, left=9e9)
    store.put(BOB, (), NOW, store.epoch, left=9e9)
    assert store.get(KEY, NOW + 300) is None
    assert store.get(BOB, NOW + 60) is None


@pytest.mark.parametrize(("left", "refresh"), [(300, 240), (100, 40), (60, 0), (10, 0)])
def test_a_shared_answer_is_refreshed_when_the_putters_would_be(left: float, refresh: int) -> None:
    """refresh_ahead counts from when it was put: 0.8 of 300 s leaves 60."""
    store = cache()
    store.put(KEY, (ANN,), NOW, store.epoch, left=left)
    known = store.get(KEY, NOW)
    assert known is not None
    assert known.refresh == pytest.approx(NOW + refresh)


def test_an_answer_that_is_due_is_told_from_one_that_is_not() -> None:
    """A refresh takes another gateway's answer only if that is not due for one itself."""
    store = cache()
    assert [store.due((ANN,), left) for left in (300, 61, 59, 1)] == [False, False, True, True]
    assert [store.due((), left) for left in (60, 13, 11)] == [False, False, True]


def test_doubt_is_as_if_the_lifetime_were_over() -> None:
    """Neither found nor not found is believed; a found entry still serves stale."""
    store = cache()
    store.put(KEY, (ANN,), NOW, store.epoch)
    store.put(BOB, (), NOW, store.epoch, left=60)
    store.doubt()
    assert store.get(KEY, NOW) is None
    assert store.get(BOB, NOW) is None
    stale = store.stale(KEY, NOW)
    assert stale is not None
    assert stale.entries == (ANN,)
    store.fail(KEY, "down", NOW, store.epoch)
    known = store.get(KEY, NOW)
    assert known is not None
    assert known.state is State.STALE


def test_doubt_of_shared_answers_leaves_our_own() -> None:
    """A lost connection says nothing about what the directory told us ourselves."""
    store = cache()
    store.put(KEY, (ANN,), NOW, store.epoch)
    store.put(BOB, (ANN,), NOW, store.epoch, left=300)
    store.doubt(shared_only=True)
    assert store.get(KEY, NOW) is not None
    assert store.get(BOB, NOW) is None


def test_after_a_doubt_new_answers_are_believed_and_old_searches_store_nothing() -> None:
    """Searches that began before may have been answered by what is doubted."""
    store = cache()
    epoch = store.epoch
    store.doubt(shared_only=True)
    store.put(KEY, (ANN,), NOW, epoch, left=300)
    assert store.get(KEY, NOW) is None
    store.put(KEY, (ANN,), NOW, store.epoch, left=300)
    assert store.get(KEY, NOW) is not None


@dataclass
class FakeShared:
    """A second level of which a test says what it knows."""

    seen: Seen = field(default_factory=lambda: Seen(epoch="e"))
    put_: list[tuple[str, str, tuple[Recipient, ...], Seen]] = field(default_factory=list)

    def get(self, _directory: str, _key: str) -> Seen:
        """Look up."""
        return self.seen

    def put(self, directory: str, key: str, entries: tuple[Recipient, ...], seen: Seen) -> None:
        """Take an answer."""
        self.put_.append((directory, key, entries, seen))


class House:
    """Flights over one directory and a second level."""

    def __init__(self, shared: FakeShared, *entries: Recipient) -> None:
        self.directory = Searched(*entries)
        self.cache = cache()
        self.shared = shared
        self.flights = Flights(
            {"people": self.directory},
            {"people": 4},
            {"people": 3.0},
            self.cache,
            cast("Shared", shared),
        )

    async def fly(self, *, anew: bool = False) -> object:
        """Search for Ann."""
        return await self.flights.fly(KEY, anew=anew)

    def known(self) -> State | None:
        """Tell what the cache holds now."""
        found = self.cache.get(KEY, asyncio.get_running_loop().time())
        return found.state if found else None


def run(test: Coroutine[Any, Any, None], house: House) -> None:
    """Run a test in a loop, with a bound."""
    try:
        asyncio.run(asyncio.wait_for(test, BOUND))
    finally:
        house.flights.close()


@pytest.mark.parametrize("entries", [(ANN,), ()])
def test_a_hit_is_the_answer_and_asks_nobody(entries: tuple[Recipient, ...]) -> None:
    """Found or not found; what is left of its lifetime goes into the cache."""
    house = House(FakeShared(Seen(entries, 30, "e")), ANN)

    async def test() -> None:
        assert await house.fly() == entries
        assert house.directory.asked == []
        assert house.shared.put_ == []
        known = house.cache.get(KEY, asyncio.get_running_loop().time())
        assert known is not None
        assert known.shared
        assert known.until <= asyncio.get_running_loop().time() + 30

    run(test(), house)


@pytest.mark.parametrize("entries", [(ANN,), ()])
def test_a_miss_asks_the_directory_and_is_put(entries: tuple[Recipient, ...]) -> None:
    """What it answers goes to the others, under the epoch that the look-up saw."""
    house = House(FakeShared(), *entries)

    async def test() -> None:
        assert await house.fly() == entries
        assert house.directory.asked == [KEY[1]]
        assert house.shared.put_ == [("people", KEY[1], entries, Seen(epoch="e"))]

    run(test(), house)


@pytest.mark.parametrize("error", [DirectoryError("refused"), ValueError("a fault of ours")])
def test_a_failure_is_never_put(error: Exception) -> None:
    """A directory that does not answer this gateway says nothing to the others."""
    house = House(FakeShared(), ANN)

    async def test() -> None:
        house.directory.error = error
        assert isinstance(await house.fly(), DirectoryError)
        assert house.shared.put_ == []
        assert house.known() is State.FAILED

    run(test(), house)


def test_a_hit_says_nothing_about_the_directory() -> None:
    """Down stays down: its own servers have not answered."""
    house = House(FakeShared(), ANN)

    async def test() -> None:
        house.directory.error = DirectoryError("refused")
        await house.fly()
        assert house.flights.is_down("people")
        house.shared.seen = Seen((ANN,), 30, "e")
        assert await house.flights.fly(BOB) == (ANN,)
        assert house.flights.is_down("people")

    run(test(), house)


@pytest.mark.parametrize(("left", "asked"), [(200, []), (59, [KEY[1]]), (5, [KEY[1]])])
def test_a_refresh_wants_a_younger_answer(left: float, asked: list[str]) -> None:
    """Else an entry would be refreshed with itself until it expires."""
    house = House(FakeShared(Seen((ANN,), left, "e")), ANN)

    async def test() -> None:
        await house.fly(anew=True)
        assert house.directory.asked == asked

    run(test(), house)


def test_a_message_is_read_back() -> None:
    """What a gateway says is what the others hear."""
    for purge in (
        Purge("0a", "0b", ("ann@example.com", "jörg@example.com"), cleared=("ff",)),
        Purge("0a", "0b", everything=True),
    ):
        assert unpack_purge(pack_purge(purge)) == purge


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"v":1', b'"v":2'),
        (b'"by":"0a"', b'"by":"x y"'),
        (b'"epoch":"0b"', b'"epoch":null'),
        (b'"keys":[]', b'"keys":"x"'),
        (b'"keys":[]', b'"keys":[1]'),
        (b'"keys":[]', b'"keys":["a\\n"]'),
        (b'"keys":[]', b'"keys":[' + b",".join([b'"a"'] * 1001) + b"]"),
        (b'"everything":true', b'"everything":1'),
        (b'"cleared":[]', b'"cleared":{}'),
    ],
)
def test_a_message_that_differs_in_one_thing_is_a_surprise(old: bytes, new: bytes) -> None:
    """Whoever hears it doubts what it has, and does not guess."""
    raw = pack_purge(Purge("0a", "0b", everything=True))
    assert old in raw
    with pytest.raises(SurpriseError):
        unpack_purge(raw.replace(old, new))
