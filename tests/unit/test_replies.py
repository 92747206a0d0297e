"""Rules of replies: every reason's code (RFC 3463), and what the INI may change."""

from __future__ import annotations

import re

import pytest

from codomain.config import parse
from codomain.replies import DEFAULTS, Replies
from codomain.verdict import Reason

CODES = {
    "unknown": "550 5.1.1",
    "relaying": "554 5.7.1",
    "malformed": "501 5.1.3",
    "loop": "554 5.4.6",
    "no_route": "550 5.4.4",
    "restricted": "550 5.7.1",
    "smtputf8": "553 5.6.7",
    "directory": "451 4.4.3",
    "ambiguous": "451 4.3.5",
    "fault": "451 4.3.5",
    "route": "452 4.5.3",
    "callout": "451 4.4.1",
    "harvest": "450 4.7.1",
}


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_its_code(reason: Reason) -> None:
    """What each situation answers: one table for all doors."""
    reply = Replies({})[reason]
    assert f"{reply.code} {reply.enhanced}" == CODES[reason.value]


@pytest.mark.parametrize("reason", list(Reason))
def test_a_reply_is_one_line_of_ascii_whose_classes_agree(reason: Reason) -> None:
    """RFC 5321 section 4.2, RFC 3463 section 2; at most 512 octets with its line end."""
    reply = DEFAULTS[reason]
    assert re.fullmatch(r"([45])[0-9]{2} \1\.[0-9]{1,3}\.[0-9]{1,3} [ -~]+", reply.line)
    assert len(reply.line) <= 510
    assert reply.line == f"{reply.code} {reply.enhanced} {reply.text}"


def test_only_what_we_do_not_know_or_cannot_do_is_temporary() -> None:
    """Whatever is down, ambiguous, our own fault, another route, the brake: 4xx; else 5xx."""
    temporary = {reason.value for reason in Reason if DEFAULTS[reason].temporary}
    assert temporary == {"directory", "ambiguous", "fault", "route", "callout", "harvest"}


@pytest.mark.parametrize("reason", list(Reason))
def test_texts_are_generic(reason: Reason) -> None:
    """The text never names a back-end host, a DN or an address of ours."""
    assert not re.search(r"[@=\[\]%]|dc1|[0-9]\.[0-9]", DEFAULTS[reason].text)


def test_the_loop_text_says_both_things_that_it_may_be() -> None:
    """Step 6: unknown here and where it came from, or a routing loop."""
    text = DEFAULTS[Reason.LOOP].text
    assert "Unknown here and where it came from" in text
    assert "routing loop" in text


@pytest.mark.parametrize(
    ("lines", "reply"),
    [
        ("relaying.code = 550", "550 5.7.1 Relay access denied"),
        (
            "relaying.code = 550 5.7.50",
            "550 5.7.50 Relay access denied",
        ),
        ("relaying.text = No", "554 5.7.1 No"),
        ("relaying.text = Nö\nrelaying.code = 551", "551 5.7.1 Nö"),
    ],
)
def test_code_and_text_can_be_set_each_for_itself(lines: str, reply: str) -> None:
    """replies: every text and code of a refusal can be set; what is not set stays."""
    replies = Replies(parse(f"[replies]\n{lines}\n[domain example.com]\n").replies)
    assert replies[Reason.RELAYING].line == reply
    assert replies[Reason.UNKNOWN] == DEFAULTS[Reason.UNKNOWN]
