"""The trace field: what it proves, and what nobody can make it prove."""

from __future__ import annotations

import pytest

from codomain_milter.trace import KEY_OCTETS, MARKS, Tracer

TRACER = Tracer(b"a" * KEY_OCTETS)
OTHER = Tracer(b"b" * KEY_OCTETS)
BOB = TRACER.mark("unix", "bob@example.com", "author@elsewhere.test")
ANN = TRACER.mark("exchange", "ann@example.com", "author@elsewhere.test")


def test_one_mark_is_a_proof() -> None:
    """A message for one recipient that comes back for it went in a circle."""
    assert TRACER.read([TRACER.value([BOB])]).proves(BOB)


def test_one_of_several_marks_is_a_hint_and_two_fields_are_a_proof() -> None:
    """A list's copy of a message to the list and to a member comes back once by right."""
    value = TRACER.value([BOB, ANN])
    assert not TRACER.read([value]).proves(BOB)
    assert TRACER.read([value, value]).proves(BOB)


@pytest.mark.parametrize(
    "mark",
    [
        TRACER.mark("exchange", "bob@example.com", "author@elsewhere.test"),
        TRACER.mark("unix", "eve@example.com", "author@elsewhere.test"),
        TRACER.mark("unix", "bob@example.com", "list-owner@elsewhere.test"),
    ],
)
def test_another_connector_recipient_or_sender_is_no_loop(mark: str) -> None:
    """Only the same way for the same recipient of the same sender is a circle."""
    assert not TRACER.read([TRACER.value([BOB])]).proves(mark)


def test_marks_of_parts_that_run_together_differ() -> None:
    """The parts are told apart: (a, bc) is not (ab, c)."""
    assert TRACER.mark("a", "bc", "") != TRACER.mark("ab", "c", "")


@pytest.mark.parametrize(
    "forged",
    [
        f"{TRACER.instance}",
        f"{TRACER.instance} {BOB}",
        f"{TRACER.instance} {BOB} AAAAAAAAAAAAAAAA",
        f"{TRACER.instance.upper()} {BOB} AAAAAAAAAAAAAAAA",
        TRACER.value([BOB]).replace(BOB, ANN),
        TRACER.value([BOB]) + " more",
        OTHER.value([BOB]).replace(OTHER.instance, TRACER.instance),
    ],
)
def test_a_field_with_our_id_that_we_did_not_write_is_forged(forged: str) -> None:
    """Build 5: removed where forged, and believed in nothing."""
    seen = TRACER.read([TRACER.value([ANN]), forged])
    assert seen.forged == [2]
    assert not seen.proves(BOB)


@pytest.mark.parametrize("value", ["", " ", "nonsense", OTHER.value([BOB]), "\ufffd"])
def test_a_field_of_another_gateway_is_left_alone(value: str) -> None:
    """Another instance's secret is its own: neither believed nor forged."""
    seen = TRACER.read([value])
    assert not seen.forged
    assert not seen.proves(BOB)


def test_a_folded_field_is_ours() -> None:
    """An MTA may fold a field between words (RFC 5322 section 2.2.3)."""
    assert TRACER.read([TRACER.value([BOB]).replace(" ", "\r\n\t")]).proves(BOB)


def test_a_field_of_a_thousand_recipients_stays_short() -> None:
    """Build 5: kept short; a line has 998 octets at most (RFC 5322 section 2.1.1)."""
    marks = [TRACER.mark("unix", f"u{n}@example.com", "") for n in range(1000)]
    value = TRACER.value(marks)
    assert len(value) < 800
    assert TRACER.read([value, value]).proves(marks[MARKS - 1])
    assert not TRACER.read([value, value]).proves(marks[MARKS])
