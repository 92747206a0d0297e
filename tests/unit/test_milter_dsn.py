"""DSN parameters of a recipient that is replaced (RFC 3461, RFC 6533)."""

from __future__ import annotations

import pytest

from codomain_milter.dsn import Dsn, original_recipient, read, xtext

BOB = "bob@example.com"


@pytest.mark.parametrize(
    ("text", "encoded"),
    [
        ("bob@example.com", "bob@example.com"),
        ("bob+list@example.com", "bob+2Blist@example.com"),
        ("a=b@example.com", "a+3Db@example.com"),
        ('"john doe"@example.com', '"john+20doe"@example.com'),
        ("a\r\nb", "a+0D+0Ab"),
        ("\x7f\x00", "+7F+00"),
    ],
)
def test_xtext_encodes_what_is_no_xchar(text: str, encoded: str) -> None:
    """RFC 3461 section 4: "+", "=" and all but "!" to "~" become "+" and two digits."""
    assert xtext(text) == encoded


def test_a_utf8_original_is_named_in_ascii() -> None:
    """RFC 6533 section 3: type utf-8, each such character as backslash, x and its number."""
    assert original_recipient("jürgen@example.com") == "utf-8;j\\x{FC}rgen@example.com"


def test_a_backslash_cannot_be_taken_for_an_encoded_character() -> None:
    """RFC 6533 section 3: in utf-8-addr-xtext a backslash itself is encoded."""
    assert original_recipient('"ü\\x{FC}"@example.com').count("\\x{5C}") == 1


def test_an_original_that_is_too_long_is_not_named() -> None:
    """RFC 3461 section 5.4: 500 octets at most."""
    assert len(original_recipient("a" * 493)) == 500
    assert original_recipient("a" * 494) == ""


@pytest.mark.parametrize(
    ("parameters", "written"),
    [
        ((), "ORCPT=rfc822;bob@example.com"),
        ((b"NOTIFY=NEVER",), "NOTIFY=NEVER ORCPT=rfc822;bob@example.com"),
        (
            (b"NOTIFY=delay,SUCCESS", b"ORCPT=rfc822;b+2Bx@elsewhere.test"),
            "NOTIFY=SUCCESS,DELAY ORCPT=rfc822;b+2Bx@elsewhere.test",
        ),
        ((b"notify=failure", b"orcpt=X400;c"), "NOTIFY=FAILURE ORCPT=X400;c"),
    ],
)
def test_what_the_sender_asked_for_is_kept(parameters: tuple[bytes, ...], written: str) -> None:
    """Build 3: NOTIFY and ORCPT kept; ORCPT names the original unless the sender gave one."""
    assert read(parameters, BOB).parameters() == written


@pytest.mark.parametrize(
    "parameter",
    [
        b"NOTIFY=NEVER,SUCCESS",  # RFC 3461 section 4.1: NEVER stands alone
        b"NOTIFY=",
        b"NOTIFY=SUCCESS SIZE=1",
        b"ORCPT=rfc822",
        b"ORCPT=rfc822;",
        b"ORCPT=rfc822;a@b NOTIFY=NEVER",
        b"ORCPT=rfc822;a@b\r\nRCPT TO:<x@y>",
        b"ORCPT=rfc822;a@b+0d",  # hexadecimal digits are upper case
        b"ORCPT=rfc822;" + b"a" * 500,
        b"ORCPT=rfc822;\xff",
        b"AUTH=<>",
        b"SIZE=1",
    ],
)
def test_nothing_else_becomes_an_argument(parameter: bytes) -> None:
    """Build 3: nothing that a client wrote can become a further ESMTP argument."""
    assert read((parameter,), BOB).parameters() == "ORCPT=rfc822;bob@example.com"


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        (None, None, None),
        ({"NEVER"}, {"NEVER"}, {"NEVER"}),
        ({"NEVER"}, {"SUCCESS"}, {"SUCCESS"}),
        ({"SUCCESS"}, {"DELAY"}, {"SUCCESS", "DELAY"}),
        # not said: failures are reported (RFC 3461 section 4.1)
        (None, {"SUCCESS"}, {"SUCCESS", "FAILURE", "DELAY"}),
        ({"NEVER"}, None, {"FAILURE", "DELAY"}),
    ],
)
def test_two_that_become_one_lose_no_report(
    one: set[str] | None, other: set[str] | None, both: set[str] | None
) -> None:
    """One added recipient serves both senders' wishes; the first one's ORCPT stands."""
    first, second = (Dsn(None if s is None else frozenset(s), "x;y") for s in (one, other))
    joined = first.joined(second)
    assert joined == Dsn(None if both is None else frozenset(both), "x;y")
