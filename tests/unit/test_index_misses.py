"""How often a directory is asked for what its index does not have."""

from __future__ import annotations

from codomain.directory.base import Kind, Recipient
from codomain.directory.misses import ANSWER_SECONDS, DOWN_SECONDS, MISS_BURST, MISS_RATE, Misses

ANN = (Recipient("cn=ann", Kind.MAILBOX, ("ann@example.com",)),)
NOW = 1000.0


def granted(misses: Misses, now: float, tries: int, tag: str = "") -> int:
    """Ask for so many different addresses at one moment, and count the searches."""
    asked = [misses.ask(f"{tag}{n}@example.com", now, live=True) for n in range(tries)]
    return sum(known and answer is None for known, answer in asked)


def test_a_flood_of_guesses_makes_a_burst_and_then_a_trickle() -> None:
    """MISS_BURST at once, then MISS_RATE a second, however many come."""
    misses = Misses()
    assert granted(misses, NOW, 1000) == MISS_BURST
    assert granted(misses, NOW + 1.0, 1000, "b") == MISS_RATE
    assert granted(misses, NOW + 100.0, 1000, "c") == MISS_BURST


def test_the_same_address_costs_one_search_while_it_is_asked_for() -> None:
    """A door looks twice for one request; the second look is the same search."""
    misses = Misses()
    for _ in range(100):
        assert misses.ask("ann@example.com", NOW, live=True) == (True, None)
    assert granted(misses, NOW, 1000) == MISS_BURST - 1


def test_an_answer_is_taken_for_some_seconds() -> None:
    """What was found, or not, is not asked for again within ANSWER_SECONDS."""
    misses = Misses()
    misses.answered("ann@example.com", ANN, NOW)
    misses.answered("bob@example.com", (), NOW)
    assert misses.ask("ann@example.com", NOW + ANSWER_SECONDS - 1, live=True) == (True, ANN)
    assert misses.ask("bob@example.com", NOW + ANSWER_SECONDS - 1, live=True) == (True, ())
    assert misses.ask("ann@example.com", NOW + ANSWER_SECONDS + 1, live=True) == (True, None)


def test_a_directory_that_is_down_is_left_alone() -> None:
    """After a failure nothing is asked for DOWN_SECONDS, and an answer ends that."""
    misses = Misses()
    misses.failed(NOW)
    assert misses.ask("ann@example.com", NOW + DOWN_SECONDS - 0.1, live=True) == (False, ())
    assert misses.ask("ann@example.com", NOW + DOWN_SECONDS, live=True) == (True, None)
    misses.failed(NOW + 10)
    misses.answered("bob@example.com", (), NOW + 11)
    assert misses.ask("eve@example.com", NOW + 11, live=True) == (True, None)


def test_an_entry_that_was_seen_is_not_forgotten_when_the_directory_goes_down() -> None:
    """A mailbox made since the last sync stays one, until the index itself knows."""
    misses = Misses()
    misses.answered("ann@example.com", ANN, NOW)
    misses.failed(NOW + 60)
    assert misses.ask("ann@example.com", NOW + 61, live=True) == (False, ANN)
    assert misses.earlier("ann@example.com") == ANN
    misses.answered("ann@example.com", (), NOW + 70)  # it is gone, says the directory
    assert misses.earlier("ann@example.com") == ()
    misses.answered("ann@example.com", ANN, NOW + 71)
    misses.forget()
    assert misses.earlier("ann@example.com") == ()


def test_with_on_miss_none_nothing_is_asked() -> None:
    """`on_miss = none`: the directory is never searched for a miss."""
    assert Misses().ask("ann@example.com", NOW, live=False) == (False, ())
