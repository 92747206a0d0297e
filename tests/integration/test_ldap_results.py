"""Only a plain success counts: every other result of a server is no answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from codomain.directory import reading
from codomain.directory.link import SIZE_LIMIT
from codomain.errors import DirectoryError
from support.fakeldap import BIND, SEARCH, Request, disconnection, ldap, listening, requests
from support.slapd import BASE

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from codomain.directory.ldap import LdapDirectory
    from support.slapd import Slapd

    Maker = Callable[..., LdapDirectory]

TIME = 10.0
ANN = {"objectClass": [b"user"], "proxyAddresses": [b"SMTP:ann@example.com"]}

# RFC 4511, appendix A.1; 9 is LDAPv2's partialResults, which Active Directory still knows.
RESULTS = [1, 2, 3, 4, 8, 9, 10, 11, 12, 13, 32, 33, 34, 36, 48, 49, 50, 51, 52, 53, 54, 80]


@pytest.mark.parametrize("code", RESULTS)
def test_any_result_but_success_is_no_answer(new_directory: Maker, code: int) -> None:
    """Without success there is no "not there", and what came before it does not count either."""

    def nothing(request: Request) -> bytes:
        return request.done(code)

    def something(request: Request) -> bytes:
        return request.entry("cn=Ann", ANN) + request.done(code)

    for answer in (nothing, something):
        with listening(ldap(answer)) as uri:
            directory = new_directory(uri)
            for key in ("nobody@example.com", "ann@example.com"):
                with pytest.raises(DirectoryError):
                    directory.find(key, TIME)


def test_result_code_that_nobody_knows_is_no_answer(new_directory: Maker) -> None:
    """ldap3 raises KeyError at it."""
    with (
        listening(ldap(lambda request: request.done(99))) as uri,
        pytest.raises(DirectoryError),
    ):
        new_directory(uri).find("ann@example.com", TIME)


def test_referral_is_not_followed(new_directory: Maker) -> None:
    """A server must not send us, with our password, to another one."""
    asked: list[Request] = []

    def elsewhere(request: Request) -> bytes:
        asked.append(request)
        return request.entry("cn=Ann", ANN) + request.done()

    with (
        listening(ldap(elsewhere)) as other,
        listening(ldap(lambda request: request.done(10, f"{other}/{BASE}"))) as uri,
        pytest.raises(DirectoryError, match="referral"),
    ):
        new_directory(uri).find("ann@example.com", TIME)
    assert asked == []


@pytest.mark.parametrize("code", [7, 8, 13, 48, 49, 51, 52, 53])
def test_refused_bind_is_no_answer(new_directory: Maker, code: int) -> None:
    """A bind that is refused is told by its result alone: ldap3's tuple is always true."""
    with (
        listening(ldap(lambda request: request.done(), bind_code=code)) as uri,
        pytest.raises(DirectoryError, match=rf"\({code}\)"),
    ):
        new_directory(uri).find("nobody@example.com", TIME)


def test_reference_is_no_entry(new_directory: Maker) -> None:
    """Active Directory answers a miss with success and a reference: it is a miss."""

    def miss(request: Request) -> bytes:
        return request.reference("ldap://example.com/CN=Configuration,DC=example") + request.done()

    with listening(ldap(miss)) as uri:
        assert new_directory(uri).find("nobody@example.com", TIME) == ()


def test_reference_of_another_server_means_that_not_all_was_searched(
    new_directory: Maker,
) -> None:
    """Elsewhere a reference stands for a part of the tree that was not asked."""

    def miss(request: Request) -> bytes:
        return request.reference("ldap://other.example/ou=x") + request.done()

    with listening(ldap(miss)) as uri:
        for schema in ("inetlocalmail", "inetorgperson"):
            with pytest.raises(DirectoryError, match=r"ldap://other\.example/ou=x"):
                new_directory(uri, schema=schema).find("nobody@example.com", TIME)


def test_entry_beside_a_reference_is_found(new_directory: Maker) -> None:
    """What was found needs no other server."""
    entry = {"mail": [b"ann@example.com"]}

    def both(request: Request) -> bytes:
        return (
            request.reference("ldap://o.example/") + request.entry("cn=A", entry) + request.done()
        )

    with listening(ldap(both)) as uri:
        for schema in ("active-directory", "inetorgperson"):
            assert len(new_directory(uri, schema=schema).find("ann@example.com", TIME)) == 1


def test_notice_of_disconnection_is_no_answer(new_directory: Maker) -> None:
    """A server that is going down says so with message 0 (RFC 4511, section 4.4.1)."""
    with listening(ldap(lambda _: disconnection())) as uri, pytest.raises(DirectoryError):
        new_directory(uri).find("nobody@example.com", TIME)


def test_answer_to_something_else_is_no_answer(new_directory: Maker) -> None:
    """A message of another number, or of another kind, ends the connection."""

    def other_number(request: Request) -> bytes:
        return Request(request.message_id + 7, request.operation, b"").done()

    def other_kind(request: Request) -> bytes:
        return Request(request.message_id, 0x60, b"").done()  # a bindResponse

    for answer in (other_number, other_kind):
        with listening(ldap(answer)) as uri, pytest.raises(DirectoryError):
            new_directory(uri).find("nobody@example.com", TIME)


def test_values_that_are_no_utf8(new_directory: Maker) -> None:
    """Bytes that are no UTF-8 match nothing, and hide no other value."""
    entry = {"proxyAddresses": [b"smtp:\xff@example.com", b"smtp:ann@example.com"]}

    with listening(ldap(lambda r: r.entry("cn=Ann", entry) + r.done())) as uri:
        directory = new_directory(uri)
        assert len(directory.find("ann@example.com", TIME)) == 1
        assert directory.find("\udcff@example.com", TIME) == ()


def test_entry_that_we_do_not_fold_alike_is_not_found(new_directory: Maker) -> None:
    """Active Directory finds é for e and ss for ß; we do not."""
    entry = {"proxyAddresses": [b"smtp:ren\xc3\xa9@example.com"]}
    with listening(ldap(lambda r: r.entry("cn=René", entry) + r.done())) as uri:
        directory = new_directory(uri)
        assert directory.find("rene@example.com", TIME) == ()
        assert len(directory.find("rené@example.com", TIME)) == 1


def ranged(parts: list[list[bytes]], asked: list[bytes]) -> Callable[[Request], bytes]:
    """Make a server that gives the values of proxyAddresses two at a time."""

    def answer(request: Request) -> bytes:
        asked.append(request.body)
        number = next(
            (n for n in range(1, len(parts)) if f"range={2 * n}-*".encode() in request.body), 0
        )
        last = "*" if number == len(parts) - 1 else str(2 * number + 1)
        name = f"proxyAddresses;range={2 * number}-{last}"
        attributes = {"proxyAddresses": [], name: parts[number]}
        return request.entry("cn=Ann,dc=x", attributes) + request.done()

    return answer


def test_values_that_the_server_keeps_back_are_fetched(new_directory: Maker) -> None:
    """Active Directory gives 1,500 values at a time: an address may be in a later part."""
    asked: list[bytes] = []
    parts = [
        [b"smtp:a@example.com", b"smtp:b@example.com"],
        [b"smtp:c@example.com", b"smtp:d@example.com"],
        [b"SMTP:e@example.com"],
    ]
    with listening(ldap(ranged(parts, asked))) as uri:
        found = new_directory(uri).find("e@example.com", TIME)
    assert [recipient.addresses for recipient in found] == [
        tuple(f"{name}@example.com" for name in "abcde")
    ]
    assert found[0].primary == "e@example.com"
    assert len(asked) == 3
    assert asked[1].startswith(b"\x04\x0bcn=Ann,dc=x\x0a\x01\x00")  # the entry alone: scope base


def test_part_that_cannot_be_fetched_is_no_answer(new_directory: Maker) -> None:
    """Where the rest of the values is refused, the address may be among them."""
    asked: list[bytes] = []
    first = ranged([[b"smtp:a@example.com"], []], asked)

    def refuse(request: Request) -> bytes:
        return request.done(50) if b"range=" in request.body else first(request)

    def vanish(request: Request) -> bytes:
        return request.done() if b"range=" in request.body else first(request)

    for answer in (refuse, vanish):
        with listening(ldap(answer)) as uri, pytest.raises(DirectoryError):
            new_directory(uri).find("z@example.com", TIME)


def test_parts_without_end_are_no_answer(new_directory: Maker) -> None:
    """A server that always has one more part does not hold us."""
    asked: list[bytes] = []
    parts = [[b"smtp:a@example.com"]] * 1000
    with (
        listening(ldap(ranged(parts, asked))) as uri,
        pytest.raises(DirectoryError, match="too many values"),
    ):
        new_directory(uri).find("z@example.com", TIME)
    assert len(asked) == 1 + reading.RANGES


def test_wrong_base_is_no_answer(slapd: Slapd, new_directory: Maker) -> None:
    """The result noSuchObject says that the search could not be made, not that nobody is there."""
    directory = new_directory(slapd.ldap, base=f"ou=nowhere,{BASE}")
    with pytest.raises(DirectoryError, match=r"noSuchObject \(32\)"):
        directory.find("nobody@example.com", TIME)
    assert directory.servers() == [(slapd.ldap, True)]  # the server is well


def test_size_limit_of_the_server_is_no_answer(
    new_slapd: Callable[..., Slapd], new_directory: Maker
) -> None:
    """Of two entries one is shown: which address is ambiguous would depend on the limit."""
    directory = new_directory(new_slapd(size_limit=1).ldap)
    with pytest.raises(DirectoryError, match=r"sizeLimitExceeded \(4\)"):
        directory.find("twice@example.com", TIME)
    assert len(directory.find("ann@example.com", TIME)) == 1


def test_our_own_size_limit_is_no_answer(
    new_slapd: Callable[..., Slapd], new_directory: Maker
) -> None:
    """More entries than are asked for: there may be more, and which are missing is unknown."""
    server = new_slapd()
    for number in range(SIZE_LIMIT + 1):
        attributes = {"objectClass": ["user"], "sn": ["x"], "mail": ["many@example.com"]}
        server.add(f"cn=Many {number},ou=people,{BASE}", attributes)
    with pytest.raises(DirectoryError, match=r"sizeLimitExceeded \(4\)"):
        new_directory(server.ldap).find("many@example.com", TIME)


def test_missing_rights_are_no_answer(
    new_slapd: Callable[..., Slapd], new_directory: Maker
) -> None:
    """Where the base may be seen and nothing below it, the result says so."""
    server = new_slapd(access=(f'to dn.subtree="{BASE}" by * disclose',))
    with pytest.raises(DirectoryError, match=r"insufficientAccessRights \(50\)"):
        new_directory(server.ldap).find("nobody@example.com", TIME)


def test_alias_is_not_followed(new_slapd: Callable[..., Slapd], new_directory: Maker) -> None:
    """An alias leads out of the base: what lies there is not what was to be searched."""
    server = new_slapd()
    server.add(
        f"cn=Alias,ou=services,{BASE}",
        {
            "objectClass": ["alias", "extensibleObject"],
            "cn": ["Alias"],
            "aliasedObjectName": [f"cn=Ann Smith,ou=people,{BASE}"],
        },
    )
    directory = new_directory(server.ldap, base=f"ou=services,{BASE}")
    assert directory.find("ann@example.com", TIME) == ()


def test_nothing_is_asked_but_what_is_needed(new_directory: Maker) -> None:
    """One bind and one search: ldap3 would also read the server's schema."""
    seen: list[int] = []

    def count(client: socket.socket) -> None:
        for request in requests(client):
            seen.append(request.operation)
            client.sendall(request.done())

    with listening(count) as uri:
        new_directory(uri).find("nobody@example.com", TIME)
    assert seen == [BIND, SEARCH]


def test_filter_that_is_none_is_no_answer(slapd: Slapd, new_directory: Maker) -> None:
    """A filter that ldap3 cannot read defers mail, and does not end the thread."""
    directory = new_directory(slapd.ldap, filter="(mail=%s")
    with pytest.raises(DirectoryError):
        directory.find("nobody@example.com", TIME)


BLIND = (
    "to attrs=entry,children,objectClass by * read",
    "to * by * none",
)


def test_canary_guards_against_a_success_that_shows_nothing(
    new_slapd: Callable[..., Slapd], new_directory: Maker
) -> None:
    """Without rights to an attribute OpenLDAP answers success and no entry, to any question."""
    server = new_slapd(access=BLIND)
    assert new_directory(server.ldap).find("ann@example.com", TIME) == ()
    with pytest.raises(DirectoryError, match=r"canary ann@example\.com is not found"):
        new_directory(server.ldap, canary="ann@example.com").find("bob@example.com", TIME)


def test_found_entry_needs_no_canary(slapd: Slapd, new_directory: Maker) -> None:
    """A canary that is missing makes no entry doubtful, only what is not found."""
    directory = new_directory(slapd.ldap, canary="gone@example.com")
    for _ in range(3):
        with pytest.raises(DirectoryError, match="canary"):
            directory.find("nobody@example.com", TIME)
        assert len(directory.find("ann@example.com", TIME)) == 1
    with pytest.raises(DirectoryError, match="canary"):
        directory.find("gone@example.com", TIME)
    with pytest.raises(DirectoryError, match="canary"):
        directory.check()
    assert directory.servers() == [(slapd.ldap, True)]


def test_canary_is_asked_for_beside_every_address(
    new_slapd: Callable[..., Slapd], new_directory: Maker
) -> None:
    """Rights that are lost between two searches make nobody unknown, not for a moment."""
    server = new_slapd()
    directory = new_directory(server.ldap, canary="ann@example.com")
    assert directory.find("nobody@example.com", TIME) == ()
    server.delete(f"cn=Ann Smith,ou=people,{BASE}")
    with pytest.raises(DirectoryError, match="canary"):
        directory.find("nobody@example.com", TIME)


def test_server_that_shows_no_canary_is_not_the_last_word(
    new_slapd: Callable[..., Slapd], new_directory: Maker, slapd: Slapd
) -> None:
    """A replica that lost its rights or its data is passed over for the next server."""
    blind = new_slapd(access=BLIND)
    directory = new_directory(blind.ldap, slapd.ldap, canary="ann@example.com")
    assert directory.trace("nobody@example.com", TIME).server == slapd.ldap
