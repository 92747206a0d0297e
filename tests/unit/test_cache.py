"""Rules of the cache: what is believed for how long, and what pushes what out."""

from __future__ import annotations

import pytest

from codomain.cache import JITTER, Cache, Known, Lifetimes, State
from support.decisions import entry

ANN = (entry("ann@example.com"),)
KEY = ("people", "ann@example.com")
TIMES = Lifetimes(found=100.0, not_found=10.0, failed=5.0, stale=1000.0, refresh_ahead=0.8)


def cache(size: int = 100) -> Cache:
    """Make an empty cache."""
    return Cache(size, TIMES)


def got(store: Cache, now: float, key: tuple[str, str] = KEY) -> Known:
    """Return what is known, which must be something."""
    known = store.get(key, now)
    assert known is not None
    return known


def test_nothing_is_known_of_what_nobody_asked_for() -> None:
    """None: it has to be asked."""
    assert cache().get(KEY, 0.0) is None
    assert cache().stale(KEY, 0.0) is None


def test_an_entry_is_believed_for_its_lifetime() -> None:
    """found_ttl, up to a tenth shorter by the jitter, and never longer."""
    for _ in range(50):
        store = cache()
        store.put(KEY, ANN, 1000.0, store.epoch)
        known = got(store, 1000.0 + 100.0 * (1 - JITTER) - 0.1)
        assert (known.state, known.entries) == (State.FRESH, ANN)
        assert store.get(KEY, 1100.0) is None


def test_lifetimes_are_jittered() -> None:
    """Entries that were looked up together do not expire together."""
    ends = set()
    for _ in range(20):
        store = cache()
        store.put(KEY, ANN, 0.0, store.epoch)
        ends.add(got(store, 0.0).until)
    assert len(ends) > 10


def test_an_entry_is_to_be_refreshed_ahead_of_its_end() -> None:
    """refresh_ahead: the share of a lifetime after which it is asked for again."""
    store = cache()
    store.put(KEY, ANN, 0.0, store.epoch)
    known = got(store, 0.0)
    assert known.refresh == pytest.approx(known.until * 0.8)


def test_that_there_is_none_has_a_lifetime_of_its_own() -> None:
    """not_found_ttl: shorter, so that a new person gets mail soon."""
    store = cache()
    store.put(KEY, (), 0.0, store.epoch)
    assert got(store, 8.9).state is State.ABSENT
    assert store.get(KEY, 10.0) is None
    assert store.stale(KEY, 10.0) is None


def test_an_absence_never_serves_while_the_directory_is_down() -> None:
    """Directory down is never "unknown": past its lifetime an absence is worth nothing."""
    store = cache()
    store.put(KEY, (), 0.0, store.epoch)
    store.fail(KEY, "refused", 11.0, store.epoch)
    assert got(store, 12.0).state is State.FAILED


def test_past_its_lifetime_an_entry_serves_while_the_directory_is_down() -> None:
    """stale_ttl; it is tried again when failed_ttl ends."""
    store = cache()
    store.put(KEY, ANN, 0.0, store.epoch)
    assert store.get(KEY, 200.0) is None
    store.fail(KEY, "refused", 200.0, store.epoch)
    known = got(store, 204.9)
    assert (known.state, known.entries, known.until) == (State.STALE, ANN, 205.0)
    assert store.get(KEY, 205.0) is None
    stale = store.stale(KEY, 1000.0)
    assert stale is not None
    assert (stale.state, stale.entries, stale.until) == (State.STALE, ANN, 1005.0)


def test_an_entry_does_not_serve_for_ever() -> None:
    """Past stale_ttl it is gone: the failure is what is known."""
    store = cache()
    store.put(KEY, ANN, 0.0, store.epoch)
    store.fail(KEY, "refused", 1100.0, store.epoch)
    assert store.stale(KEY, 1100.0) is None
    assert got(store, 1101.0).state is State.FAILED


def test_a_failure_is_remembered_for_failed_ttl() -> None:
    """A dead directory is not asked for the same address again and again."""
    store = cache()
    store.fail(KEY, "refused", 0.0, store.epoch)
    known = got(store, 4.9)
    assert (known.state, known.entries, known.detail) == (State.FAILED, (), "refused")
    assert store.get(KEY, 5.0) is None


def test_a_failure_does_not_shorten_a_lifetime() -> None:
    """A refresh that failed leaves what is still believed."""
    store = cache()
    store.put(KEY, ANN, 0.0, store.epoch)
    store.fail(KEY, "refused", 50.0, store.epoch)
    assert got(store, 51.0).state is State.FRESH


def test_an_answer_ends_a_failure() -> None:
    """Recovery heals at once."""
    store = cache()
    store.fail(KEY, "refused", 0.0, store.epoch)
    store.put(KEY, ANN, 1.0, store.epoch)
    assert got(store, 1.5).state is State.FRESH
    store.fail(KEY, "refused", 2.0, store.epoch)
    store.put(KEY, (), 3.0, store.epoch)
    assert got(store, 3.5).state is State.ABSENT


def test_the_last_answer_counts() -> None:
    """Somebody who left is unknown, and somebody who came is found."""
    store = cache()
    store.put(KEY, ANN, 0.0, store.epoch)
    store.put(KEY, (), 1.0, store.epoch)
    assert got(store, 2.0).state is State.ABSENT
    assert store.stale(KEY, 2.0) is None
    store.put(KEY, ANN, 3.0, store.epoch)
    assert got(store, 4.0).state is State.FRESH
    assert store.sizes() == {"found": 1, "not_found": 0, "failed": 0}


def test_guessing_pushes_no_recipient_out() -> None:
    """Not-found entries and failures live in stores of their own."""
    store = cache(10)
    for number in range(10):
        store.put(("people", f"real{number}"), ANN, 0.0, store.epoch)
    for number in range(1000):
        store.put(("people", f"guess{number}"), (), 0.0, store.epoch)
        store.fail(("people", f"fail{number}"), "refused", 0.0, store.epoch)
    assert store.sizes() == {"found": 10, "not_found": 10, "failed": 10}
    for number in range(10):
        assert got(store, 1.0, ("people", f"real{number}")).state is State.FRESH


def test_what_was_asked_for_longest_ago_goes_first() -> None:
    """The size bounds the number of entries; those in use stay."""
    store = cache(2)
    store.put(("people", "a"), ANN, 0.0, store.epoch)
    store.put(("people", "b"), ANN, 0.0, store.epoch)
    store.get(("people", "a"), 1.0)
    store.put(("people", "c"), ANN, 1.0, store.epoch)
    assert store.get(("people", "a"), 2.0) is not None
    assert store.get(("people", "b"), 2.0) is None


def test_a_size_of_none_breaks_nothing() -> None:
    """config.md: 0 keeps none, and every answer still arrives."""
    store = cache(0)
    for number in range(5):
        store.put(("people", str(number)), ANN, 0.0, store.epoch)
        store.put(("people", str(number)), (), 0.0, store.epoch)
        store.fail(("people", str(number)), "refused", 0.0, store.epoch)
    assert all(size <= 1 for size in store.sizes().values())


def test_directories_are_kept_apart() -> None:
    """The same address in another directory is another question."""
    store = cache()
    store.put(KEY, ANN, 0.0, store.epoch)
    assert store.get(("others", KEY[1]), 1.0) is None


@pytest.mark.parametrize("how", ["purge", "purge another", "flush", "overtake"])
def test_a_search_that_was_overtaken_stores_nothing(how: str) -> None:
    """A flight that began before a purge or reload stores nothing after it."""
    store = cache()
    began = store.epoch
    if how == "flush":
        store.flush()
    elif how == "overtake":
        store.overtake()
    else:
        store.purge([KEY if how == "purge" else ("people", "other")])
    store.put(KEY, ANN, 0.0, began)
    store.fail(KEY, "refused", 0.0, began)
    assert store.get(KEY, 1.0) is None
    store.put(KEY, ANN, 0.0, store.epoch)
    assert got(store, 1.0).state is State.FRESH


def test_a_purge_forgets_all_that_is_known_of_an_address_and_nothing_else() -> None:
    """Found, stale, absent and failed; it tells how many answers were known."""
    store = cache()
    other = ("people", "bea@example.com")
    store.put(KEY, ANN, 0.0, store.epoch)
    store.fail(KEY, "refused", 0.0, store.epoch)
    store.put(other, (), 0.0, store.epoch)
    assert store.purge([KEY, ("others", KEY[1])]) == 2
    assert store.get(KEY, 1.0) is None
    assert store.stale(KEY, 1.0) is None
    assert got(store, 1.0, other).state is State.ABSENT


def test_a_flush_forgets_everything_and_overtaking_nothing() -> None:
    """A reload keeps the cache, a flush does not."""
    store = cache()
    store.put(KEY, ANN, 0.0, store.epoch)
    store.overtake()
    assert got(store, 1.0).state is State.FRESH
    assert store.flush() == 1
    assert store.sizes() == {"found": 0, "not_found": 0, "failed": 0}
