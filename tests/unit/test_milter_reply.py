"""What libmilter is told of a reply (smfi_setreply, smfi_setmlreply)."""

from __future__ import annotations

import pytest

from codomain.replies import DEFAULTS, Reply
from codomain.verdict import Reason
from codomain_milter.reply import LINE_OCTETS, LINES, told


def test_every_reason_has_its_codes() -> None:
    """replies.md: the same codes as at the other doors, and text as smtpd would begin it."""
    for reason, reply in DEFAULTS.items():
        code, enhanced, lines = told(reply)
        assert (code, enhanced) == (str(reply.code), reply.enhanced), reason
        assert lines == (f"Recipient address rejected: {reply.text}",)


def test_percent_signs_are_doubled() -> None:
    """For libmilter a single one is the start of a format."""
    assert told(Reply(550, "5.1.1", "100% %s"), "")[2] == ("100%% %%s",)


@pytest.mark.parametrize("text", ["a\r\nb", "a\nb", "a\x00b", "a\u2028b", "a\x1b b"])
def test_control_characters_become_blanks(text: str) -> None:
    """A line end in a reply would be another reply."""
    assert told(Reply(550, "5.1.1", text), "")[2] == ("a b",)


def test_a_long_text_has_several_lines() -> None:
    """980 octets are the most that libmilter takes, 512 a reply line's (RFC 5321)."""
    code, enhanced, lines = told(Reply(550, "5.1.1", "word " * 300), "")
    assert (code, enhanced) == ("550", "5.1.1")
    assert len(lines) == 4
    assert all(len(line) <= LINE_OCTETS for line in lines)
    assert " ".join(lines) == ("word " * 300).strip()


@pytest.mark.parametrize("text", ["x" * 5000, "\u00fc" * 5000, "\U0001f600" * 2000, "%" * 2000])
def test_a_long_word_is_cut_in_characters(text: str) -> None:
    """No line is too long, none ends within a character, nothing is lost."""
    lines = told(Reply(550, "5.1.1", text), "")[2]
    assert all(len(line.encode()) <= LINE_OCTETS for line in lines)
    if len(lines) < LINES:
        assert "".join(lines).replace(" ", "").replace("%%", "%") == text


def test_there_are_no_more_lines_than_libmilter_takes() -> None:
    """smfi_setmlreply takes 32."""
    assert len(told(Reply(550, "5.1.1", "x" * 100_000), "")[2]) == LINES


def test_an_enhanced_code_of_another_class_is_not_given() -> None:
    """The MTA would answer 451 4.3.5 in place of a 550 with 4.1.1."""
    assert told(Reply(550, "4.1.1", "no"), "")[:2] == ("550", "5.0.0")


def test_an_empty_text_is_one_line() -> None:
    """[replies] may leave a text with blanks alone."""
    assert told(Reply(550, "5.1.1", "  "), "")[2] == ("",)


def test_a_surrogate_does_not_break_the_reply() -> None:
    """Text that is no Unicode cannot be written; it becomes a question mark."""
    assert told(Reply(550, "5.1.1", "a\udcff"), "")[2] == ("a?",)


def test_reasons_are_complete() -> None:
    """Every reason can be told."""
    assert set(DEFAULTS) == set(Reason)
