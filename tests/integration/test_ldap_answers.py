"""What a real slapd finds for an address, in each schema and over each kind of connection."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from codomain.directory.base import Kind, Recipient
from support.slapd import BASE

if TYPE_CHECKING:
    from collections.abc import Callable

    from codomain.directory.ldap import LdapDirectory
    from support.authority import Authority
    from support.slapd import Slapd

    Maker = Callable[..., LdapDirectory]

TIME = 10.0
"""Seconds for an answer: far more than one takes."""

ANN = Recipient(
    dn=f"cn=Ann Smith,ou=people,{BASE}",
    kind=Kind.MAILBOX,
    addresses=("ann@example.com", "a.smith@example.com"),
    primary="Ann@example.com",
)
BOB = Recipient(
    dn=f"cn=Bob,ou=people,{BASE}",
    kind=Kind.CONTACT,
    addresses=("bob@unix.example.net", "bob@example.com"),
    primary="bob@unix.example.net",
    target="bob@unix.example.net",
)
STAFF = Recipient(
    dn=f"cn=Staff,ou=people,{BASE}",
    kind=Kind.GROUP,
    addresses=("staff@example.com",),
    primary="staff@example.com",
    restricted=True,
)
LEA = Recipient(
    dn=f"cn=Lea,ou=people,{BASE}",
    kind=Kind.CONTACT,
    addresses=("lea@example.com", "l.lea@example.com"),
    primary="lea@example.com",
    target="lea@unix.example.net",
    mail_host="mail.unix.example.net",
)
IDA = Recipient(
    dn=f"cn=Ida,ou=people,{BASE}",
    kind=Kind.MAILBOX,
    addresses=("ida@example.com", "ida.b@example.com"),
    primary="Ida@example.com",
)


def dns(recipients: tuple[Recipient, ...]) -> set[str]:
    """Return the first parts of the entries' names."""
    return {recipient.dn.partition(",")[0] for recipient in recipients}


@pytest.mark.parametrize(
    ("schema", "key", "expected"),
    [
        ("active-directory", "ann@example.com", ANN),
        ("active-directory", "a.smith@example.com", ANN),  # userAccountControl 514: disabled
        ("active-directory", "bob@example.com", BOB),
        ("active-directory", "bob@unix.example.net", BOB),
        ("active-directory", "staff@example.com", STAFF),
        ("inetlocalmail", "lea@example.com", LEA),
        ("inetlocalmail", "l.lea@example.com", LEA),
        ("inetorgperson", "ida@example.com", None),
        ("inetorgperson", "ida.b@example.com", None),
    ],
)
def test_address_is_found(
    slapd: Slapd, new_directory: Maker, schema: str, key: str, expected: Recipient | None
) -> None:
    """Each address of an entry resolves to it, whatever the case in which it is kept."""
    found = new_directory(slapd.ldap, schema=schema).find(key, TIME)
    if expected is None:
        assert dns(found) == {"cn=Ida"}
    else:
        # Values of LDAP have no order.
        assert [sorted(r.addresses) for r in found] == [sorted(expected.addresses)]
        assert [r.dn for r in found] == [expected.dn]
        assert (found[0].kind, found[0].primary) == (expected.kind, expected.primary)
        assert (found[0].target, found[0].mail_host) == (expected.target, expected.mail_host)
        assert found[0].restricted is expected.restricted


@pytest.mark.parametrize("schema", ["active-directory", "inetlocalmail", "inetorgperson"])
@pytest.mark.parametrize(
    "key",
    ["nobody@example.com", "*@example.com", "ann*@example.com", "@example.com", "ann", "x)(mail=*"],
)
def test_address_that_nobody_has_is_not_found(
    slapd: Slapd, new_directory: Maker, schema: str, key: str
) -> None:
    """A plain success without an entry means that it is not there; wildcards are data."""
    assert new_directory(slapd.ldap, schema=schema).find(key, TIME) == ()


@pytest.mark.parametrize(
    ("schema", "key", "claim"),
    [
        ("active-directory", "twice@example.com", {"cn=Twice by proxy", "cn=Twice by mail"}),
        ("inetlocalmail", "same@example.com", {"cn=Tom", "cn=Tim"}),
        ("inetorgperson", "shared@example.com", {"cn=Ida", "cn=Ira"}),
    ],
)
def test_all_entries_that_claim_an_address_are_returned(
    slapd: Slapd, new_directory: Maker, schema: str, key: str, claim: set[str]
) -> None:
    """Which of two entries is meant is not for the directory to say."""
    assert dns(new_directory(slapd.ldap, schema=schema).find(key, TIME)) == claim


@pytest.mark.parametrize(
    ("key", "found"),
    [
        ("a*b@example.com", {"cn=Signs"}),
        ("axb@example.com", set()),
        ("(paren)@example.com", {"cn=Signs"}),
        ("back\\slash@example.com", {"cn=Signs"}),
        ("john doe@example.com", {"cn=Signs"}),  # kept as "john doe"@
        ("two  spaces@example.com", {"cn=Two spaces"}),
        ("two spaces@example.com", set()),  # slapd squeezes white space, we do not
        ("jürgen@example.com", {"cn=German"}),
        ("max@xn--strae-oqa.example", {"cn=German"}),  # kept with U-labels
        ("max@strasse.example", set()),
        ("erika@xn--bcher-kva.example", {"cn=German"}),  # kept with A-labels
        ("ann@example.com ", set()),
        (" ann@example.com", set()),
        ("ann\0@example.com", set()),
        ("\udcff@example.com", set()),
        ("\ud800x@example.com", set()),
        ("x" * 1000 + "@example.com", set()),
    ],
)
def test_address_is_data_and_is_compared_by_our_fold(
    slapd: Slapd, new_directory: Maker, key: str, found: set[str]
) -> None:
    """No character of an address is syntax, and the server's matching rule has no last word."""
    assert dns(new_directory(slapd.ldap).find(key, TIME)) == found


def test_every_kind_of_connection_gives_the_same_answer(
    slapd: Slapd, authority: Authority, new_directory: Maker
) -> None:
    """ldap, StartTLS, ldaps and ldapi differ in nothing but the way."""
    ca_file = str(authority.file)
    for uri, keys in (
        (slapd.ldap, {}),
        (slapd.ldap, {"starttls": True, "ca_file": ca_file}),
        (slapd.ldaps, {"ca_file": ca_file}),
        (slapd.ldapi, {}),
        (slapd.ldapi, {"starttls": True}),  # there is nothing to encrypt on this host's socket
    ):
        directory = new_directory(uri, **keys)
        assert dns(directory.find("ann@example.com", TIME)) == {"cn=Ann Smith"}
        assert directory.find("nobody@example.com", TIME) == ()


@pytest.mark.parametrize(
    ("custom", "found"),
    [
        ("(&(objectClass=contact)(proxyAddresses=smtp:%s))", {"cn=Bob"}),
        ("(objectClass=contact)", {"cn=Bob"}),
        ("(objectClass=group)", set()),
        ("objectClass=contact", {"cn=Bob"}),
    ],
)
def test_filter_of_the_ini_is_used(
    slapd: Slapd, new_directory: Maker, custom: str, found: set[str]
) -> None:
    """With %s it is the search, without it narrows the schema's."""
    directory = new_directory(slapd.ldap, filter=custom)
    assert dns(directory.find("bob@example.com", TIME)) == found


@pytest.mark.parametrize(
    ("scope", "base", "found"),
    [
        ("subtree", BASE, True),
        ("onelevel", BASE, False),
        ("onelevel", f"ou=people,{BASE}", True),
        ("base", f"ou=people,{BASE}", False),
        ("base", f"cn=Bob,ou=people,{BASE}", True),
    ],
)
def test_scope_is_kept(
    slapd: Slapd, new_directory: Maker, scope: str, base: str, *, found: bool
) -> None:
    """Only entries within the scope are searched (RFC 4511, section 4.5.1.2)."""
    directory = new_directory(slapd.ldap, scope=scope, base=base)
    assert bool(directory.find("bob@example.com", TIME)) is found


def test_trace_tells_how_the_answer_came_about(slapd: Slapd, new_directory: Maker) -> None:
    """Explain shows the filter as sent, the base, the server and the entries."""
    directory = new_directory(slapd.ldap, schema="inetlocalmail")
    trace = directory.trace("lea@example.com", TIME)
    assert trace.filter == directory.filter("lea@example.com")
    assert (trace.base, trace.server) == (BASE, slapd.ldap)
    assert 0 < trace.seconds < TIME
    assert dns(trace.recipients) == {"cn=Lea"}


def test_each_search_is_observed(slapd: Slapd, new_directory: Maker) -> None:
    """Metrics are told server, result and seconds of each search."""
    seen: list[tuple[str, str, float]] = []
    directory = new_directory(slapd.ldap, observe=lambda *what: seen.append(what))
    directory.find("ann@example.com", TIME)
    directory.find("nobody@example.com", TIME)
    assert [(server, result) for server, result, _ in seen] == [
        (slapd.ldap, "found"),
        (slapd.ldap, "not_found"),
    ]
    assert all(0 < seconds < TIME for _, _, seconds in seen)


def test_nothing_is_known_without_asking(slapd: Slapd, new_directory: Maker) -> None:
    """A live directory has nothing to peek at."""
    assert new_directory(slapd.ldap).peek("ann@example.com") is None


def test_many_threads_share_few_connections(slapd: Slapd, new_directory: Maker) -> None:
    """Sixteen threads get the right answers over two connections."""
    directory = new_directory(slapd.ldap, pool_size=2)
    wrong: list[str] = []

    def search(number: int) -> None:
        for _ in range(5):
            name = ("ann", "bob", "nobody")[number % 3]
            found = dns(directory.find(f"{name}@example.com", TIME))
            if found != {"ann": {"cn=Ann Smith"}, "bob": {"cn=Bob"}, "nobody": set()}[name]:
                wrong.append(f"{name}: {found}")

    threads = [threading.Thread(target=search, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(directory._pool._idle) <= 2


def test_check_passes_while_the_directory_answers(slapd: Slapd, new_directory: Maker) -> None:
    """/readyz asks for the canary, or for an address that nobody can have."""
    new_directory(slapd.ldap).check()
    new_directory(slapd.ldap, canary="Ann@example.com").check()
