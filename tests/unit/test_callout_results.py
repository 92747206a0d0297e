"""Rules of what is remembered of next systems: lifetimes, kinds, bounds, purges."""

from __future__ import annotations

import pytest

from codomain.callout.answer import Outcome
from codomain.callout.results import UNSURE_SECONDS, Lifetimes, Results
from codomain.callout.session import Said
from codomain.finding import Inquiry

NOW = 1000.0
ANN = Inquiry("unix", "ann@example.com", "ann@example.com")
BEN = Inquiry("unix", "ben@example.com", "ben@example.com")
LIFETIMES = Lifetimes(found=100.0, not_found=50.0, stale=1000.0, refresh_ahead=0.5)


@pytest.fixture
def results() -> Results:
    """Give an empty store."""
    return Results(100, LIFETIMES)


def put(
    results: Results, inquiry: Inquiry, outcome: Outcome, *, choosy: bool | None = None
) -> None:
    """Keep an answer of now."""
    results.put(inquiry, Said(outcome, choosy=choosy), NOW, results.epoch)


def told(results: Results, inquiry: Inquiry, after: float = 0.0) -> Outcome | None:
    """Tell what is known some seconds later."""
    known = results.get(inquiry, NOW + after)
    return known.outcome if known else None


@pytest.mark.parametrize(
    ("outcome", "least", "most"),
    [
        # up to a tenth shorter, so that they do not all end at once
        (Outcome.KNOWN, 90.0, 100.0),
        (Outcome.UNKNOWN, 45.0, 50.0),
        (Outcome.UNSURE, UNSURE_SECONDS, UNSURE_SECONDS),
    ],
)
def test_each_outcome_has_a_lifetime_of_its_own(
    results: Results, outcome: Outcome, least: float, most: float
) -> None:
    """[callout] found_ttl, not_found_ttl; what is unsure is remembered for seconds."""
    put(results, ANN, outcome)
    assert told(results, ANN, least - 0.01) is outcome
    assert told(results, ANN, most) is None


def test_what_was_known_stays_known_while_the_system_says_nothing(results: Results) -> None:
    """Kept while the system is down, for [cache] stale_ttl at most; never "unknown": doubted."""
    put(results, ANN, Outcome.KNOWN)
    put(results, BEN, Outcome.UNKNOWN)
    later = NOW + 200
    for one in (ANN, BEN):
        results.put(one, Said(Outcome.UNSURE), later, results.epoch)
    assert told(results, ANN, 201) is Outcome.KNOWN
    assert told(results, BEN, 201) is Outcome.DOUBTED
    assert results.unsure(BEN, NOW + 1000) is Outcome.DOUBTED
    assert results.unsure(BEN, NOW + 1051) is Outcome.UNSURE
    assert results.unsure(ANN, later) is Outcome.UNSURE
    assert results.stale(ANN, NOW + 1000) is not None
    assert results.stale(ANN, NOW + 1101) is None
    assert results.stale(BEN, later) is None


def test_an_answer_in_use_is_due_ahead_of_its_end(results: Results) -> None:
    """Refreshed ahead, and not again and again while the system says nothing."""
    put(results, ANN, Outcome.KNOWN)
    known = results.get(ANN, NOW)
    assert known is not None
    assert NOW + 45 <= known.refresh <= NOW + 50
    results.put(ANN, Said(Outcome.UNSURE), NOW + 60, results.epoch)
    known = results.get(ANN, NOW + 61)
    assert known is not None
    assert (known.outcome, known.refresh) == (Outcome.KNOWN, NOW + 60 + UNSURE_SECONDS)


def test_a_system_that_takes_anything_is_remembered_by_its_domain(results: Results) -> None:
    """No probe per recipient; another domain and another system are apart."""
    put(results, ANN, Outcome.ANYTHING, choosy=False)
    assert told(results, BEN) is Outcome.ANYTHING
    assert told(results, Inquiry("unix", "a@example.org", "a@example.org")) is None
    assert told(results, BEN._replace(connector="other")) is None
    assert told(results, BEN, 100) is None
    assert results.stale(BEN, NOW + 200) is not None


def test_a_system_that_refuses_again_takes_anything_no_longer(results: Results) -> None:
    """What it says of a recipient is newer than what was found out of its domain."""
    put(results, ANN, Outcome.ANYTHING, choosy=False)
    put(results, BEN, Outcome.UNKNOWN)
    assert told(results, BEN) is Outcome.UNKNOWN
    assert told(results, ANN) is None


def test_a_choosy_system_need_not_be_tried_again(results: Results) -> None:
    """The random name is asked for once in a lifetime, not with each recipient."""
    assert not results.choosy(ANN, NOW)
    put(results, ANN, Outcome.KNOWN, choosy=True)
    assert results.choosy(BEN, NOW + 44)
    assert not results.choosy(BEN, NOW + 51)


def test_a_new_answer_takes_the_place_of_the_old_one(results: Results) -> None:
    """Somebody was added, or left."""
    put(results, ANN, Outcome.UNKNOWN)
    put(results, ANN, Outcome.KNOWN)
    assert told(results, ANN) is Outcome.KNOWN
    put(results, ANN, Outcome.UNKNOWN)
    assert told(results, ANN) is Outcome.UNKNOWN


def test_case_in_a_local_part_is_the_next_systems_affair(results: Results) -> None:
    """RFC 5321 section 2.4: Ann's answer is not ann's."""
    put(results, ANN._replace(address="ANN@example.com"), Outcome.UNKNOWN)
    assert told(results, ANN) is None


def test_guesses_push_no_known_recipient_out(results: Results) -> None:
    """Bounded, with a store for each kind."""
    put(results, ANN, Outcome.KNOWN)
    for number in range(500):
        guess = f"g{number}@example.com"
        put(results, Inquiry("unix", guess, guess), Outcome.UNKNOWN)
    assert told(results, ANN) is Outcome.KNOWN
    assert results.sizes()["callout_unknown"] == 100


def test_a_purge_forgets_an_address_however_it_was_written(results: Results) -> None:
    """And lets call-outs that had begun before store nothing."""
    put(results, ANN._replace(address="Ann@example.com"), Outcome.KNOWN)
    put(results, ANN._replace(connector="other"), Outcome.UNKNOWN)
    put(results, BEN, Outcome.KNOWN)
    epoch = results.epoch
    assert results.purge("ann@example.com") == 2
    results.put(ANN, Said(Outcome.KNOWN), NOW, epoch)
    assert told(results, ANN) is None
    assert told(results, BEN) is Outcome.KNOWN


def test_a_flush_forgets_everything(results: Results) -> None:
    """Also what was found out of domains."""
    put(results, ANN, Outcome.KNOWN, choosy=True)
    put(results, BEN, Outcome.UNKNOWN)
    assert results.flush() >= 2
    assert told(results, ANN) is None
    assert not results.choosy(ANN, NOW)
