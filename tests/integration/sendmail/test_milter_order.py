"""Another milter before ours, behind a real Sendmail: the same as behind Postfix.

Sendmail asks its filters in the order of InputMailFilters (Sendmail Installation and
Operation Guide, section 5.11); what one changes at the end of a message no other is told.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support import othermilter
from support.sendmail import STRANGER, sendmail_lab

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.sendmail import SendmailLab

PEOPLE = Path(__file__).with_name("people.ldif")
DIRECTORY = f"SITE\n[directory people]\ntype = files\npath = {PEOPLE}\n"

OTHER = "INPUT_MAIL_FILTER(`other', `S=inet:{port}@127.0.0.1, F=T')dnl\n"


@pytest.fixture(scope="module")
def last() -> Iterator[SendmailLab]:
    """Give a gateway whose last filter is ours, as `codomain sendmail` has it."""
    with (
        othermilter.running() as port,
        sendmail_lab(DIRECTORY, OTHER.format(port=port)) as lab,
    ):
        yield lab


@pytest.mark.parametrize(
    ("recipient", "reply", "arrive"),
    [
        # refused at RCPT: ours is not asked, and adds nothing
        ("bob+refuse@example.com", "550 5.7.1", []),
        # deleted at the end: a mailbox is gone, a contact's target is another recipient
        ("ann+delete@example.com", "250 2.1.5", []),
        ("bob+delete@example.com", "250 2.1.5", [("unix", "bob+delete@unix.example.net")]),
        # added at the end: nobody rewrites it, the map routes it
        (
            "ann+add-bob@example.com",
            "250 2.1.5",
            [("exchange", "ann+add-bob@example.com"), ("unix", "bob@example.com")],
        ),
    ],
)
def test_what_another_milter_does(
    last: SendmailLab, recipient: str, reply: str, arrive: list[tuple[str, str]]
) -> None:
    """docs/howto/sendmail.md, Other milters: row by row, beside a mailbox that stays."""
    sent = last.send(STRANGER, recipient, "lena@lmtp.example.org")
    assert [text[:9] for text in sent.replies] == [reply, "250 2.1.5"]
    wanted = sorted([*arrive, ("lmtp", "lena@lmtp.example.org")])
    assert last.arrivals(sent.token, len(wanted)) == wanted
    last.wait_until_empty()
    assert last.arrivals(sent.token, len(wanted)) == wanted
