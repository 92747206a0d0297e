"""DSN parameters (RFC 3461) through Sendmail, where the milter changes recipients."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.dsnsink import DsnSink
from support.sendmail import STRANGER, sendmail_lab

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.sendmail import SendmailLab

PEOPLE = Path(__file__).with_name("people.ldif")


@pytest.fixture(scope="module")
def sink() -> Iterator[DsnSink]:
    """Give a system that is told of DSN parameters."""
    with DsnSink() as running:
        yield running


@pytest.fixture(scope="module")
def gateway(sink: DsnSink) -> Iterator[SendmailLab]:
    """Give a gateway in front of it."""
    directory = f"SITE\n[directory people]\ntype = files\npath = {PEOPLE}\n"
    with sendmail_lab(directory, unix=sink.port) as running:
        yield running


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (" NOTIFY=SUCCESS,FAILURE", {"NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;bob@example.com"}),
        # one that the sender gave stays
        (
            " NOTIFY=NEVER ORCPT=rfc822;first@example.org",
            {"NOTIFY=NEVER", "ORCPT=rfc822;first@example.org"},
        ),
        ("", {"ORCPT=rfc822;bob@example.com"}),
    ],
)
def test_a_redirect_keeps_dsn_parameters(
    gateway: SendmailLab, sink: DsnSink, given: str, kept: set[str]
) -> None:
    """The target has NOTIFY as it was given, and ORCPT names the original address."""
    sent = gateway.send(STRANGER, "bob@example.com", rcpt=given)
    ((recipient, parameters),) = sink.wait(sent.token)[0]
    assert recipient == "bob@unix.example.net"
    assert kept <= set(parameters.split())
