"""Rules of whom a directory must show beside what it does not."""

from __future__ import annotations

from codomain.directory.witness import FEWEST, KEPT, Witnesses


def found(*names: str) -> Witnesses:
    """Make witnesses of entries that were found, one after the other."""
    witnesses = Witnesses()
    for name in names:
        witnesses.seen(f"cn={name}", f"{name}@example.com")
    return witnesses


def test_a_canary_stands_beside_every_address_but_itself() -> None:
    """config.md, canary: an address that must be found; nobody else is a witness then."""
    witnesses = Witnesses("canary@example.com")
    witnesses.seen("cn=ann", "ann@example.com")
    assert witnesses.beside("x@example.com") == "canary@example.com"
    assert witnesses.beside("canary@example.com") == ""
    assert witnesses.others() == ()


def test_without_a_canary_the_one_found_last_stands_beside() -> None:
    """Somebody found a moment ago is the likeliest to be there still."""
    assert found("a", "b", "c").beside("x@example.com") == "c@example.com"
    assert found("a", "b", "c").beside("c@example.com") == "b@example.com"


def test_one_or_two_prove_nothing() -> None:
    """Who is trying things out may have deleted all two entries that he made."""
    assert FEWEST == 3
    assert found("a", "b").beside("x@example.com") == ""


def test_an_entry_counts_once_by_the_key_it_was_found_by_last() -> None:
    """Three addresses of one entry are one witness: they go together."""
    witnesses = Witnesses()
    for key in ("a1@example.com", "a2@example.com", "a3@example.com"):
        witnesses.seen("cn=a", key)
    assert witnesses.others() == ("a3@example.com",)
    assert witnesses.beside("x@example.com") == ""


def test_only_the_last_ones_are_remembered() -> None:
    """The memory is bounded, and the search for all of them too."""
    names = [f"n{number}" for number in range(KEPT + 5)]
    assert found(*names).others() == tuple(f"{name}@example.com" for name in names[5:])


def test_who_is_found_again_is_the_latest() -> None:
    """It is the one found longest ago that is forgotten."""
    assert found("a", "b", "c", "a").beside("x@example.com") == "a@example.com"


def test_who_is_gone_is_no_witness_any_more() -> None:
    """Somebody who was deleted must not cost every miss a second search."""
    witnesses = found("a", "b", "c", "d")
    assert witnesses.others("x@example.com", "d@example.com") == tuple(
        f"{name}@example.com" for name in "abc"
    )
    witnesses.gone("d@example.com")
    assert witnesses.beside("x@example.com") == "c@example.com"
    witnesses.gone("a@example.com")
    assert witnesses.beside("x@example.com") == ""
