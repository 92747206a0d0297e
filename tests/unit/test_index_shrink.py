"""What a change of an index may take away (issue: a wrong filter is not "unknown user")."""

from __future__ import annotations

import pytest

from codomain.directory.batch import SHRINK_FLOOR, check_shrink, removed_of
from codomain.errors import ShrinkError


@pytest.mark.parametrize(
    ("before", "after", "limit"),
    [
        (100, 80, 0.2),  # exactly a fifth
        (100, 120, 0.0),
        (10, 6, 0.2),  # four of ten: below the floor of five
        (3, 2, 0.2),
        (1, 0, 0.2),  # the only one
        (100, 0, None),  # accepted
        (100, 0, 1.0),  # all of it is no more than all of it
        (0, 0, 0.0),
    ],
)
def test_a_loss_within_the_limit_or_below_the_floor_passes(
    before: int, after: int, limit: float | None
) -> None:
    """Up to max_shrink may go, and fewer than SHRINK_FLOOR entries always."""
    check_shrink((before, after), {}, {}, limit)


@pytest.mark.parametrize(
    ("before", "after", "limit", "said"),
    [
        (100, 79, 0.2, "21 of 100 entries"),
        (10, 5, 0.2, "5 of 10 entries"),
        (2, 0, 0.2, "2 of 2 entries"),  # all of several, however few
        (100, 95, 0.0, "5 of 100 entries"),
    ],
)
def test_a_larger_loss_of_entries_is_refused(
    before: int, after: int, limit: float, said: str
) -> None:
    """More than max_shrink of all entries stops, with how many of how many."""
    with pytest.raises(ShrinkError, match=said):
        check_shrink((before, after), {}, {}, limit)


def test_the_loss_of_one_domain_is_refused_by_name() -> None:
    """A small domain may vanish in a large directory: its own share counts."""
    domains = {"example.com": 10_000, "corp.local": 30}
    check_shrink((5000, 4990), domains, {"corp.local": 6, "example.com": 2000}, 0.2)
    with pytest.raises(ShrinkError, match=r"7 of 30 addresses in corp\.local"):
        check_shrink((5000, 4990), domains, {"corp.local": 7}, 0.2)
    few = {"corp.local": SHRINK_FLOOR - 1}
    check_shrink((5000, 4990), few, few, 0.2)


def test_of_many_domains_the_largest_losses_are_named() -> None:
    """The text stays short: five domains, and the number of the others."""
    domains = {f"d{n:02}.example": 10 + n for n in range(20)}
    with pytest.raises(ShrinkError) as error:
        check_shrink((1000, 1000), domains, domains, 0.2)
    assert "29 of 29 addresses in d19.example" in str(error.value)
    assert "and of 14 more domains" in str(error.value)
    assert "d00.example" not in str(error.value)


def test_removed_addresses_are_counted_by_domain() -> None:
    """The domain is what follows the last @."""
    keys = [b"a@example.com", b"b@c@example.com", b"a@corp.local"]
    assert removed_of(keys) == {"example.com": 2, "corp.local": 1}
