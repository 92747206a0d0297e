"""Every form of the relay testers, asked of a real Postfix through each door and state."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from support.postfix import LATE, STRANGER, UNIX, Lab, lab
from support.relayforms import forms, plausible
from support.relaying import ask_all

if TYPE_CHECKING:
    from collections.abc import Iterator

OK = "250 2.1.5"

FILTER = "[policyd]\nredirect = filter\nsocketmap_listen =\n"


@pytest.fixture(scope="module")
def by_maps(directory: str) -> Iterator[Lab]:
    """Give a gateway with the policy server and the maps."""
    with lab(directory) as running:
        yield running


@pytest.fixture(scope="module")
def by_filter(directory: str) -> Iterator[Lab]:
    """Give a gateway with the policy server alone."""
    with lab(directory, FILTER) as running:
        yield running


@pytest.fixture(scope="module")
def by_milter(directory: str) -> Iterator[Lab]:
    """Give a gateway in which the milter judges, and the maps route."""
    with lab(directory, milter=True) as running:
        yield running


@pytest.fixture(scope="module")
def while_down(directory_down: str) -> Iterator[Lab]:
    """Give a gateway whose directory does not answer."""
    with lab(directory_down) as running:
        yield running


DOORS = ["by_maps", "by_filter", "by_milter", "while_down"]


SAMPLE = [local for local in plausible(320) if not local.startswith("-")][:300]
"""Postfix itself refuses a name that a program could take for an option (allow_min_user)."""


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("client", [STRANGER, UNIX, LATE])
def test_no_form_is_relayed(door: str, client: str, request: pytest.FixtureRequest) -> None:
    """Asked twice, with nothing remembered and then with everything: nothing leaves."""
    running: Lab = request.getfixturevalue(door)
    token = uuid.uuid4().hex
    for state in ("cold", "warm"):
        outcome = ask_all(lambda: running.gateway.postfix.connect(client), token, b" SMTPUTF8")
        assert outcome.taken == [], state
        assert outcome.asked > 5 * len(forms()) - 20
        if door == "while_down":
            assert outcome.deferred
    running.wait_until_empty()
    assert running.sinks.arrived(token) == []


@pytest.mark.parametrize("door", ["by_maps", "by_filter", "by_milter"])
def test_what_is_legitimate_is_taken(door: str, request: pytest.FixtureRequest) -> None:
    """A sample of the plausible addresses, each of the other system: not one is refused."""
    running: Lab = request.getfixturevalue(door)
    refused = []
    with running.gateway.postfix.connect(STRANGER) as session:
        for start in range(0, len(SAMPLE), 50):
            session.docmd("MAIL", "FROM:<author@elsewhere.test>")
            for local in SAMPLE[start : start + 50]:
                code, text = session.docmd("RCPT", f"TO:<{local}@example.com>")
                if code != 250:
                    refused.append((local, code, text))
            session.rset()
    assert refused == []


@pytest.mark.parametrize(
    ("recipient", "arrival"),
    [
        ("ann@example.com", ("exchange", "ann@example.com")),
        ("bob@example.com", ("unix", "bob@unix.example.net")),
        ("own@example.com", ("exchange", "ann@corp.local")),
    ],
)
def test_contacts_that_may_lead_on_do(
    by_maps: Lab, recipient: str, arrival: tuple[str, str]
) -> None:
    """The same gateway takes what is ours: it does not refuse for want of anything."""
    sent = by_maps.send(STRANGER, recipient)
    assert by_maps.arrivals(sent.token, 1) == [arrival]
