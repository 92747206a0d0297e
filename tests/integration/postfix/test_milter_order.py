"""Another milter beside ours, before it and after it, behind a real Postfix.

Postfix asks its milters in their order, and asks those that follow no more where one has
refused a recipient; what one of them adds or deletes at the end of a message no other one
is told (https://www.postfix.org/MILTER_README.html).  So ours belongs at the end of the
list (``postfix.milter_not_last`` of `codomain check`).
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from support import othermilter
from support.milterlab import MilterLab, milter_lab
from support.postfix import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

OURS = "unix:codomain/milter"


@contextmanager
def _lab(order: str) -> Iterator[MilterLab]:
    with othermilter.running() as port:
        milters = order.replace("ours", OURS).replace("other", f"inet:127.0.0.1:{port}")
        with milter_lab(main={"smtpd_milters": milters}) as lab:
            yield lab


@pytest.fixture(scope="module")
def last() -> Iterator[MilterLab]:
    """Give a gateway whose last milter is ours."""
    with _lab("other, ours") as lab:
        yield lab


@pytest.fixture(scope="module")
def first() -> Iterator[MilterLab]:
    """Give a gateway where another milter follows ours."""
    with _lab("ours, other") as lab:
        yield lab


def _arrived(lab: MilterLab, token: str) -> list[str]:
    """Return who got a message, once the queue is empty."""
    config = f"{lab.postfix.config}"
    wait_until(lambda: "is empty" in lab.postfix.run("postqueue", "-c", config, "-p"))
    return sorted(
        recipient
        for sink in (lab.exchange, lab.unix)
        for recipients, content in sink.messages
        if token.encode() in content
        for recipient, _ in recipients
    )


def test_where_ours_is_last_a_refusal_of_another_holds(last: MilterLab) -> None:
    """A recipient that the other refused never reaches ours, and nothing is added for it."""
    token, replies, _ = last.send("bob+refuse@example.com", "ann@example.com")
    assert [reply[:9] for reply in replies] == ["550 5.7.1", "250 2.1.5"]
    assert _arrived(last, token) == ["ann@example.com"]


def test_where_another_follows_its_refusal_does_not_hold(first: MilterLab) -> None:
    """Nobody tells ours: the sender hears 550, and the contact's target gets the mail."""
    token, replies, _ = first.send("bob+refuse@example.com", "ann@example.com")
    assert [reply[:9] for reply in replies] == ["550 5.7.1", "250 2.1.5"]
    assert _arrived(first, token) == ["ann@example.com", "bob+refuse@unix.example.net"]


@pytest.mark.parametrize("place", ["last", "first"])
def test_a_contact_that_another_deletes_at_the_end_gets_its_mail(
    place: str, request: pytest.FixtureRequest
) -> None:
    """Its target is another recipient to the other milter, wherever ours stands."""
    lab: MilterLab = request.getfixturevalue(place)
    token, replies, _ = lab.send("bob+delete@example.com", "ann+delete@example.com")
    assert [reply[:3] for reply in replies] == ["250", "250"]
    assert _arrived(lab, token) == ["bob+delete@unix.example.net"]


@pytest.mark.parametrize("place", ["last", "first"])
def test_a_recipient_that_another_adds_is_not_rewritten(
    place: str, request: pytest.FixtureRequest
) -> None:
    """It comes after RCPT, so ours has no word in it; the transport map still routes it."""
    lab: MilterLab = request.getfixturevalue(place)
    token, replies, _ = lab.send("ann+add-bob@example.com")
    assert replies[0][:3] == "250"
    assert _arrived(lab, token) == ["ann+add-bob@example.com", "bob@example.com"]


@pytest.mark.parametrize("place", ["last", "first"])
def test_a_message_that_another_refuses_at_the_end_reaches_nobody(
    place: str, request: pytest.FixtureRequest
) -> None:
    """Whatever ours has changed until then is dropped with it."""
    lab: MilterLab = request.getfixturevalue(place)
    token, _, last = lab.send("bob+veto@example.com", "ann@example.com")
    assert last.startswith("5")
    assert _arrived(lab, token) == []
