"""What the page counts and remembers: rates, the last refusals, and what has no line."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from codomain.address import parse_recipient
from codomain.journal import log_refusal, log_shadow
from codomain.log import Limit, event
from codomain.metrics import Metrics
from codomain.question import Door, Question
from codomain.verdict import Defer, Reason, Refuse
from codomain_cli.leftout import SECONDS, Teller
from codomain_cli.page.rates import MAPS, MINUTE, RECIPIENTS, STEPS, Key, Rate, Rates, counts_of
from codomain_cli.page.recent import CHARACTERS, KEPT, Recent
from codomain_cli.page.words import ago, number, rate, share

if TYPE_CHECKING:
    from collections.abc import Iterator

UNKNOWN = (RECIPIENTS, "refuse", "unknown")
NOBODY = Refuse(Reason.UNKNOWN, dn="cn=x", detail="nowhere")


@pytest.fixture
def recent() -> Iterator[Recent]:
    """Give a list of refusals that hears the doors."""
    recent = Recent()
    logger = logging.getLogger("codomain")
    logger.addHandler(recent)
    level = logger.level
    logger.setLevel(logging.INFO)
    yield recent
    logger.removeHandler(recent)
    logger.setLevel(level)


def test_rates_are_of_the_last_minute_and_quarter_of_an_hour() -> None:
    """Counts only grow; what was given lately is the difference to a count of then."""
    counts = {UNKNOWN: 100}
    rates = Rates(lambda: dict(counts))
    assert rates.rates() == {UNKNOWN: Rate(0, 0, 100)}
    for _ in range(STEPS):
        counts[UNKNOWN] += 2
        rates.step()
    counts[UNKNOWN] += 1
    found = rates.rates()[UNKNOWN]
    assert found == Rate(2 * (MINUTE - 1) + 1, 2 * (STEPS - 1) + 1, 100 + 2 * STEPS + 1)
    assert rates.course("refuse") == [2] * STEPS
    assert rates.course("defer") == [0] * STEPS


def test_a_verdict_that_is_new_counts_from_nothing() -> None:
    """A label appears with its first request."""
    counts: dict[Key, int] = {}
    rates = Rates(lambda: dict(counts))
    counts[UNKNOWN] = 7
    assert rates.rates() == {UNKNOWN: Rate(7, 7, 7)}


def test_maps_are_counted_apart() -> None:
    """A recipient is asked for in several maps, and judged once."""
    metrics = Metrics("0")
    metrics.requests("policy", "refuse", "unknown", "example.com").count += 2
    metrics.requests("milter", "refuse", "unknown", "other").count += 3
    metrics.requests("map", "refuse", "unknown", "example.com").count += 4
    assert counts_of(metrics) == {UNKNOWN: 5, (MAPS, "refuse", "unknown"): 4}


def _refused(number: int) -> None:
    recipient = parse_recipient(f"n{number}@example.com".encode())
    question = Question(recipient, sender="s@elsewhere.test")
    log_refusal(logging.getLogger("codomain.policyd"), question, NOBODY, "550 5.1.1 User unknown")


def test_the_last_refusals_are_kept_the_newest_first(recent: Recent) -> None:
    """With everything that the log says of them, cut to the length of an address."""
    for number_ in range(KEPT + 5):
        _refused(number_)
    found = recent.refusals()
    assert [refusal.recipient for refusal in found][:2] == ["n54@example.com", "n53@example.com"]
    assert len(found) == KEPT
    assert recent.seen == KEPT + 5
    first = found[0]
    assert (first.event, first.door, first.client) == ("refused", "policy", "unknown")
    assert (first.reason, first.reply, first.dn) == ("unknown", "550 5.1.1 User unknown", "cn=x")
    assert (first.sender, first.detail, first.shadow) == ("s@elsewhere.test", "nowhere", False)
    event(
        logging.getLogger("codomain.x"), logging.INFO, "refused", recipient="x" * (CHARACTERS + 1)
    )
    assert len(recent.refusals()[0].recipient) == CHARACTERS


def test_other_events_are_no_refusals(recent: Recent) -> None:
    """Neither is a text of somebody else's that looks like one."""
    event(logging.getLogger("codomain.x"), logging.ERROR, "directory down", directory="ad")
    logging.getLogger("codomain.x").warning("refused")
    assert recent.refusals() == []


def test_what_shadow_mode_lets_pass_is_marked(recent: Recent) -> None:
    """It was refused on paper alone."""
    question = Question(parse_recipient(b"n@example.com"))
    log_shadow(logging.getLogger("codomain.policyd"), question, NOBODY, "550", "example.com")
    assert [refusal.shadow for refusal in recent.refusals()] == [True]


def test_what_has_no_line_is_told(recent: Recent, caplog: pytest.LogCaptureFixture) -> None:
    """Lines left out in an attack, and refusals from memory; then nothing, till there is more."""
    metrics = Metrics("0")
    tally = metrics.requests("policy", "refuse", "unknown", "example.com")
    metrics.requests("map", "refuse", "unknown", "example.com").count += 100
    metrics.requests("policy", "defer", "fault", "other").count += 100
    limit = Limit(clock=lambda: 0.0)
    handler = logging.NullHandler()
    handler.addFilter(limit)
    logging.getLogger().addHandler(handler)
    try:
        for number_ in range(400):
            _refused(number_)
            tally.count += 1
        for record in caplog.records:
            limit.filter(record)
        limit.filter(caplog.records[0])
        tally.count += 30
        caplog.clear()
        teller = Teller(metrics, recent)
        teller.tell()
        teller.tell()
        told = [(record.getMessage(), record.fields) for record in caplog.records]  # type: ignore[attr-defined]
        assert told == [
            ("left out", {"kind": "refused", "left_out": 101, "seconds": SECONDS}),
            ("refused from memory", {"count": 30, "seconds": SECONDS}),
        ]
        tally.count += 5
        teller.tell()
        assert caplog.records[-1].fields == {"count": 5, "seconds": SECONDS}  # type: ignore[attr-defined]
    finally:
        logging.getLogger().removeHandler(handler)


def test_a_deferral_by_a_fault_of_ours_has_a_traceback_and_is_not_told(recent: Recent) -> None:
    """The doors log those themselves; an entry that cannot be used counts as one, too."""
    question = Question(parse_recipient(b"n@example.com"))
    log_refusal(logging.getLogger("codomain.x"), question, Defer(Reason.FAULT), "451")
    assert recent.seen == 0
    assert len(recent.refusals()) == 1


def test_a_map_knows_no_client_and_is_not_told(recent: Recent) -> None:
    """One recipient is asked for in up to five maps, two of which have a line."""
    question = Question(parse_recipient(b"n@example.com"), Door.MAP)
    log_refusal(logging.getLogger("codomain.x"), question, NOBODY, "550")
    assert recent.seen == 0


def test_numbers_are_written_for_people() -> None:
    """Per second where it is often, per minute where it is rare."""
    assert [rate(count, 60) for count in (0, 5, 60, 90, 6000)] == [
        "0/s",
        "5/min",
        "1.0/s",
        "1.5/s",
        "100/s",
    ]
    assert [share(part, 1000) for part in (0, 5, 500, 1000)] == ["0%", "0.5%", "50%", "100%"]
    assert share(0, 0) == "none yet"
    assert number(1234567) == "1,234,567"
    assert [ago(seconds) for seconds in (-3, 7, 119, 600, 7200, 200_000)] == [
        "0 s",
        "7 s",
        "119 s",
        "10 min",
        "2 h",
        "2 d",
    ]
