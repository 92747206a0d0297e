"""The one-route rule of FILTER and REDIRECT."""

from __future__ import annotations

from codomain_policyd.reply import DUNNO
from codomain_policyd.route import GENERATION_SECONDS, RECIPIENTS, Routes

A = b"action=FILTER smtp:[192.0.2.10]\n\n"
B = b"action=FILTER smtp:[192.0.2.20]\n\n"


def test_the_first_recipient_fixes_the_route() -> None:
    """A recipient of another route has to come again; one of the same route goes along."""
    routes = Routes()
    assert routes.settle(b"m1", b"a@example.com", A) == A
    assert routes.settle(b"m1", b"b@example.com", B) is None
    assert routes.settle(b"m1", b"c@example.com", DUNNO) is None
    assert routes.settle(b"m1", b"d@example.com", A) == A


def test_the_maps_are_a_route_too() -> None:
    """Where the first goes by the maps, one that needs FILTER would take it along."""
    routes = Routes()
    assert routes.settle(b"m1", b"a@example.com", DUNNO) == DUNNO
    assert routes.settle(b"m1", b"b@example.com", A) is None


def test_a_recipient_asked_twice_is_told_the_same() -> None:
    """Two restrictions may ask about one RCPT, and the verdict may change in between."""
    routes = Routes()
    assert routes.settle(b"m1", b"a@example.com", A) == A
    assert routes.settle(b"m1", b"b@example.com", B) is None
    assert routes.settle(b"m1", b"a@example.com", B) == A
    assert routes.settle(b"m1", b"b@example.com", A) is None


def test_messages_do_not_share_routes() -> None:
    """Each instance has a route of its own."""
    routes = Routes()
    assert routes.settle(b"m1", b"a@example.com", A) == A
    assert routes.settle(b"m2", b"a@example.com", B) == B


def test_an_empty_instance_shares_nothing() -> None:
    """An empty instance stands for no message in particular."""
    routes = Routes()
    assert routes.settle(b"", b"a@example.com", A) == A
    assert routes.settle(b"", b"b@example.com", B) == B
    assert len(routes) == 0


def test_messages_are_bounded() -> None:
    """Two generations are kept; a message that is asked about again stays."""
    routes = Routes(messages=10)
    routes.settle(b"kept", b"a@example.com", A)
    for number in range(1000):
        routes.settle(b"m%d" % number, b"a@example.com", A)
        assert routes.settle(b"kept", b"b@example.com", B) is None
        assert len(routes) <= 20


def test_recipients_of_a_message_are_bounded() -> None:
    """Past smtpd_recipient_limit answers are not remembered, and still follow the route."""
    routes = Routes()
    for number in range(RECIPIENTS + 10):
        assert routes.settle(b"m", b"%d@example.com" % number, A) == A
    assert routes.settle(b"m", b"more@example.com", B) is None


def test_messages_are_forgotten_after_two_generations() -> None:
    """No SMTP transaction takes hours."""
    now = 0.0
    routes = Routes(clock=lambda: now)
    routes.settle(b"m", b"a@example.com", A)
    now = GENERATION_SECONDS + 1
    assert routes.settle(b"m", b"b@example.com", B) is None
    now += 2 * GENERATION_SECONDS + 1
    assert routes.settle(b"m", b"b@example.com", B) == B
