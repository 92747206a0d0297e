"""Rules of the servers of a directory: how they are written, and which one is asked."""

from __future__ import annotations

import pytest

from codomain.directory.servers import (
    COOL_DOWN,
    LDAPI_PATH,
    LOCKOUT_WAIT,
    Server,
    Servers,
    parse_server,
)

ONE = parse_server("ldap://one.example")
TWO = parse_server("ldap://two.example")


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


@pytest.mark.parametrize(
    ("uri", "scheme", "host", "port"),
    [
        ("ldap://dc1.example", "ldap", "dc1.example", 389),
        ("LDAPS://dc1.example/", "ldaps", "dc1.example", 636),
        ("ldaps://192.0.2.1:3269", "ldaps", "192.0.2.1", 3269),
        ("ldap://[2001:db8::1]:3268/", "ldap", "2001:db8::1", 3268),
        ("ldapi://%2Frun%2Fslapd%2Fldapi", "ldapi", "/run/slapd/ldapi", 0),
        ("ldapi:///run/slapd/ldapi", "ldapi", "/run/slapd/ldapi", 0),
        ("ldapi:///", "ldapi", LDAPI_PATH, 0),
        ("ldapi://", "ldapi", LDAPI_PATH, 0),
    ],
)
def test_servers_are_ldap_urls(uri: str, scheme: str, host: str, port: int) -> None:
    """A server is the part of an LDAP URL before the DN (RFC 4516, section 2)."""
    assert parse_server(uri) == Server(uri, scheme, host, port)


@pytest.mark.parametrize(
    "uri",
    [
        "dc1.example",
        "http://dc1.example",
        "ldap://",
        "ldap://dc1.example:0",
        "ldap://dc1.example:99999",
        "ldap://dc1.example:ldap",
        "ldap://dc1.example/dc=example",
        "ldap://ann:secret@dc1.example",
        "ldap://dc1.example?mail",
        "ldapi://run/slapd",
    ],
)
def test_what_is_more_or_less_than_a_server_is_refused(uri: str) -> None:
    """A DN, a password or an attribute in a server's URL would be ignored, so it is an error."""
    with pytest.raises(ValueError, match=r"."):
        parse_server(uri)


def test_servers_are_asked_in_their_order() -> None:
    """The first is asked while it is up, and the next one only beside it."""
    servers = Servers([ONE, TWO], Clock())
    assert servers.choose() == ONE
    assert servers.choose() == ONE
    assert servers.choose([ONE]) == TWO
    assert servers.choose([ONE, TWO]) is None


def test_failed_server_is_left_alone_for_its_cool_down() -> None:
    """A dead server costs its time-out once, and comes back by itself."""
    clock = Clock()
    servers = Servers([ONE, TWO], clock)
    servers.failed(ONE)
    assert servers.choose() == TWO
    assert servers.status() == [(ONE.uri, False), (TWO.uri, True)]
    clock.now += COOL_DOWN
    assert servers.choose() == ONE
    servers.answered(ONE)
    assert servers.choose() == ONE
    assert servers.status() == [(ONE.uri, True), (TWO.uri, True)]


def test_one_caller_tries_a_server_whose_cool_down_is_over() -> None:
    """The others do not wait for its time-out as well."""
    clock = Clock()
    servers = Servers([ONE, TWO], clock)
    servers.failed(ONE)
    clock.now += COOL_DOWN
    assert servers.choose() == ONE
    assert servers.choose() == TWO


def test_cool_down_doubles_up_to_its_end() -> None:
    """Each failure in a row doubles it: 1, 2, 4, then 5 seconds."""
    clock = Clock()
    servers = Servers([ONE], clock)
    waits = []
    for _ in range(5):
        servers.failed(ONE)
        waits.append(servers.next_try())
        clock.now += servers.next_try()
        assert servers.choose() == ONE
    assert waits == [1.0, 2.0, 4.0, 5.0, 5.0]


def test_searches_that_fail_together_count_once() -> None:
    """Four threads whose server dies under them do not make it wait eight times as long."""
    servers = Servers([ONE], Clock())
    for _ in range(4):
        servers.failed(ONE)
    assert servers.next_try() == COOL_DOWN


def test_server_that_refuses_our_password_waits_longest() -> None:
    """It would lock the account to try again soon."""
    servers = Servers([ONE], Clock())
    servers.failed(ONE, at_once=True)
    assert servers.next_try() == LOCKOUT_WAIT


def test_another_server_is_one_that_is_up() -> None:
    """Time is kept for a second server only where there is one."""
    servers = Servers([ONE, TWO], Clock())
    assert servers.another([ONE])
    assert not servers.another([ONE, TWO])
    servers.failed(TWO)
    assert not servers.another([ONE])


def test_nothing_is_waited_for_while_all_are_up() -> None:
    """Without a failure there is no next try."""
    assert Servers([ONE, TWO], Clock()).next_try() == 0.0


def test_the_loop_asks_the_first_server_only_while_it_is_up() -> None:
    """One that cools down is passed over; one that may be tried again is for a thread to try."""
    clock = Clock()
    servers = Servers([ONE, TWO], clock)
    assert servers.first_up() == ONE
    servers.failed(ONE)
    assert servers.first_up() == TWO
    clock.now += COOL_DOWN
    assert servers.first_up() is None
    assert servers.choose() == ONE
    assert servers.first_up() == TWO  # until the trial has ended
    servers.answered(ONE)
    assert servers.first_up() == ONE


def test_the_loop_asks_no_server_while_all_cool_down() -> None:
    """A thread says so, and when the next try is."""
    servers = Servers([ONE], Clock())
    servers.failed(ONE)
    assert servers.first_up() is None
