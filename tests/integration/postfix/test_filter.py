"""``redirect = filter``: a site without maps; FILTER and REDIRECT act on the whole message."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.postfix import STRANGER, UNIX, Lab, lab

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.slapd import Slapd

OK = "250 2.1.5"
OTHER_ROUTE = "452 4.5.3"


@pytest.fixture(scope="module")
def filtering(directory_server: Slapd) -> Iterator[Lab]:
    """Give a gateway that has no maps at all."""
    directory = f"[directory ad]\ntype = ldap\nservers = {directory_server.ldap}\n"
    policyd = "[policyd]\nredirect = filter\nsocketmap_listen =\n"
    with lab(directory + "base = dc=example,dc=com\n", policyd) as running:
        yield running


def codes(replies: tuple[str, ...]) -> list[str]:
    """Return code and enhanced code of each reply."""
    return [reply[:9] for reply in replies]


def test_the_first_recipient_fixes_the_route(filtering: Lab) -> None:
    """Those of its route go along; others hear 452 4.5.3 (RFC 5321 section 4.5.3.1.10)."""
    sent = filtering.send(
        STRANGER, "ann@example.com", "bob@example.com", "a.smith@example.com", "dora@example.com"
    )
    assert codes(sent.replies) == [OK, OTHER_ROUTE, OK, OTHER_ROUTE]
    assert filtering.arrivals(sent.token, 2) == [
        ("exchange", "a.smith@example.com"),
        ("exchange", "ann@example.com"),
    ]


def test_the_others_come_again_and_arrive(filtering: Lab) -> None:
    """Each in a message of its own: the contact's target, and the other system."""
    contact = filtering.send(STRANGER, "bob@example.com", "dora@example.com")
    assert codes(contact.replies) == [OK, OTHER_ROUTE]
    assert filtering.arrivals(contact.token, 1) == [("unix", "bob@unix.example.net")]
    other = filtering.send(STRANGER, "dora@example.com")
    assert codes(other.replies) == [OK]
    assert filtering.arrivals(other.token, 1) == [("unix", "dora@example.com")]


def test_a_refused_recipient_fixes_nothing(filtering: Lab) -> None:
    """A refusal is no route: the next recipient is free."""
    sent = filtering.send(STRANGER, "nobody@corp.local", "eve@example.com", "dora@example.com")
    assert codes(sent.replies) == ["550 5.1.1", "554 5.7.1", OK]
    assert filtering.arrivals(sent.token, 1) == [("unix", "dora@example.com")]


def test_a_recipient_asked_twice_is_told_the_same(filtering: Lab) -> None:
    """The answer to a recipient of another route does not change within the message."""
    sent = filtering.send(STRANGER, "ann@example.com", "bob@example.com", "bob@example.com")
    assert codes(sent.replies) == [OK, OTHER_ROUTE, OTHER_ROUTE]


def test_many_of_another_route_do_not_end_the_session(filtering: Lab) -> None:
    """Postfix counts each 452 as an error: smtpd_hard_error_limit is above all recipients."""
    others = [f"user{number}@example.com" for number in range(25)]
    sent = filtering.send(STRANGER, "ann@example.com", *others)
    assert codes(sent.replies) == [OK, *[OTHER_ROUTE] * 25]
    assert filtering.arrivals(sent.token, 1) == [("exchange", "ann@example.com")]


def test_a_peer_hears_of_the_loop(filtering: Lab) -> None:
    """The decision is the same one; only the way to lead mail differs."""
    assert filtering.reply(UNIX, "nobody@example.com")[:9] == "554 5.4.6"


def test_postconf_has_nothing_to_say(filtering: Lab) -> None:
    """The lines of this shape leave no parameter unused either."""
    postfix = filtering.gateway.postfix
    assert "warning" not in postfix.run("postconf", "-c", f"{postfix.config}", "-n")
