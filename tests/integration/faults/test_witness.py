"""A server that answers "success" and shows nobody, without a canary: who was seen is missed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from codomain.errors import DirectoryError
from support.fakeldap import SEARCH, listening, requests
from support.slapd import BASE

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from codomain.directory.ldap import LdapDirectory
    from support.slapd import Slapd

    Maker = Callable[..., LdapDirectory]

TIME = 10.0
SEEN = ("ann@example.com", "bob@example.com", "staff@example.com")
NAMES = ("Ann Smith", "Bob", "Staff")


def see_all(directory: LdapDirectory) -> None:
    """Find three entries."""
    for key in SEEN:
        assert len(directory.find(key, TIME)) == 1


def test_who_is_deleted_is_unknown_at_once_while_others_are_shown(
    new_slapd: Callable[..., Slapd], new_directory: Maker
) -> None:
    """A guard against lost rights must not keep the deleted alive."""
    server = new_slapd()
    directory = new_directory(server.ldap)
    see_all(directory)
    server.delete(f"cn=Staff,ou=people,{BASE}")
    assert directory.find("staff@example.com", TIME) == ()
    server.delete(f"cn=Ann Smith,ou=people,{BASE}")
    assert directory.find("ann@example.com", TIME) == ()
    assert directory.find("nobody@example.com", TIME) == ()


def test_where_all_who_were_seen_are_gone_nobody_is_unknown(
    new_slapd: Callable[..., Slapd], new_directory: Maker
) -> None:
    """It looks the same as lost rights; who is shown next proves the rights."""
    server = new_slapd()
    directory = new_directory(server.ldap)
    see_all(directory)
    for name in NAMES:
        server.delete(f"cn={name},ou=people,{BASE}")
    for key in (*SEEN, "nobody@example.com"):
        with pytest.raises(DirectoryError, match="none of those whom it showed lately"):
            directory.find(key, TIME)
    assert directory.servers() == [(server.ldap, True)]  # what it shows is still believed
    assert len(directory.find("jürgen@example.com", TIME)) == 1
    assert directory.find("nobody@example.com", TIME) == ()


def test_two_who_were_seen_may_be_deleted(
    new_slapd: Callable[..., Slapd], new_directory: Maker
) -> None:
    """Fewer than three prove nothing: somebody is trying things out."""
    server = new_slapd()
    directory = new_directory(server.ldap)
    for key, name in list(zip(SEEN, NAMES, strict=True))[:2]:
        assert len(directory.find(key, TIME)) == 1
        server.delete(f"cn={name},ou=people,{BASE}")
    assert directory.find("nobody@example.com", TIME) == ()


def test_a_replica_without_entries_is_passed_over_for_the_next_server(
    new_slapd: Callable[..., Slapd], new_directory: Maker, slapd: Slapd
) -> None:
    """What one server showed, another must show, too: they hold the same."""
    first = new_slapd()
    directory = new_directory(first.ldap, slapd.ldap)
    see_all(directory)
    for name in NAMES:
        first.delete(f"cn={name},ou=people,{BASE}")
    assert directory.trace("nobody@example.com", TIME).server == slapd.ldap


def test_a_miss_costs_one_search(new_directory: Maker) -> None:
    """The witness is asked for in the same search, and only where it is missing again."""
    seen: list[bytes] = []
    three = [f"{name}@example.com".encode() for name in "abc"]

    def serve(client: socket.socket) -> None:
        for request in requests(client):
            if request.operation == SEARCH:
                seen.append(request.body)
                shown = [mail for mail in three if mail in request.body]
                entries = [request.entry(f"cn={m.decode()}", {"mail": [m]}) for m in shown]
                client.sendall(b"".join(entries))
            client.sendall(request.done())

    with listening(serve) as uri:
        directory = new_directory(uri, schema="inetorgperson")
        for mail in three:
            assert len(directory.find(mail.decode(), TIME)) == 1
        assert len(seen) == 3
        assert directory.find("nobody@example.com", TIME) == ()
        assert len(seen) == 4
        del three[2]
        assert directory.find("nobody@example.com", TIME) == ()  # c is missed, and a is shown
        assert len(seen) == 6
        assert directory.find("c@example.com", TIME) == ()
        assert len(seen) == 7  # two are left, which prove nothing
