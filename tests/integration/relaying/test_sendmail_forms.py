"""Every form of the relay testers, asked of a real Sendmail: milter, maps, each state."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from support.relayforms import forms, plausible
from support.relaying import ask_all
from support.sendmail import STRANGER, UNIX, SendmailLab, sendmail_lab

if TYPE_CHECKING:
    from collections.abc import Iterator

ODD = set("!%@<>(),;:\\/|*#&{}~$'=")
"""What Sendmail itself parts, refuses or takes for a program or file in a local part."""


@pytest.fixture(scope="module")
def up(directory: str) -> Iterator[SendmailLab]:
    """Give a gateway whose directory answers."""
    with sendmail_lab("SITE\n" + directory) as running:
        yield running


@pytest.fixture(scope="module")
def down(directory_down: str) -> Iterator[SendmailLab]:
    """Give a gateway whose directory does not answer."""
    with sendmail_lab("SITE\n" + directory_down) as running:
        yield running


@pytest.mark.parametrize("state", ["up", "down"])
@pytest.mark.parametrize("client", [STRANGER, UNIX])
def test_no_form_is_relayed(state: str, client: str, request: pytest.FixtureRequest) -> None:
    """Asked twice, with nothing remembered and then with everything: nothing leaves."""
    running: SendmailLab = request.getfixturevalue(state)
    token = uuid.uuid4().hex
    for memory in ("cold", "warm"):
        outcome = ask_all(lambda: running.sendmail.connect(client), token)
        assert outcome.taken == [], memory
        assert outcome.asked > 5 * len(forms()) - 20
    running.wait_until_empty()
    assert running.sinks.arrived(token) == []


def test_what_is_legitimate_is_taken(up: SendmailLab) -> None:
    """A sample of the plausible addresses, each of the other system: not one is refused."""
    sample = [local for local in plausible(600) if not set(local) & ODD and local[0] != "-"][:200]
    wrong = [
        (local, reply)
        for start in range(0, len(sample), 20)
        for local, reply in zip(
            sample[start : start + 20],
            up.replies(STRANGER, *(f"{name}@example.com" for name in sample[start : start + 20])),
            strict=True,
        )
        if not reply.startswith("250")
    ]
    assert wrong == []
    assert len(sample) == 200


@pytest.mark.parametrize(
    ("recipient", "arrival"),
    [
        ("ann@example.com", ("exchange", "ann@example.com")),
        ("bob@example.com", ("unix", "bob@unix.example.net")),
        ("own@example.com", ("exchange", "ann@corp.local")),
    ],
)
def test_contacts_that_may_lead_on_do(
    up: SendmailLab, recipient: str, arrival: tuple[str, str]
) -> None:
    """The same gateway takes what is ours: it does not refuse for want of anything."""
    sent = up.send(STRANGER, recipient)
    assert up.arrivals(sent.token, 1) == [arrival]
