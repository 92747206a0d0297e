"""What a live Active Directory answers to a look-up, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from codomain.directory import ldif, servers
from codomain.directory.base import Kind, Recipient
from codomain.directory.record import Record
from codomain.errors import DirectoryError
from support.samba import ADMIN, BASE

if TYPE_CHECKING:
    from collections.abc import Callable

    from codomain.directory.ldap import LdapDirectory
    from support.authority import Authority
    from support.samba import Samba

    Ask = Callable[..., tuple[Recipient, ...]]

TIME = 20.0
"""Seconds for an answer: far more than one takes."""

ACCOUNT = Path(__file__).parents[3] / "contrib" / "active-directory" / "service-account.ldif"

PEOPLE = "OU=People,OU=Straße\\, Köln," + BASE

ANN = Recipient(
    dn=f"CN=Ann,{PEOPLE}",
    kind=Kind.MAILBOX,
    addresses=("ann@example.com", "a.smith@example.com"),
    primary="Ann@example.com",
)
BOB = Recipient(
    dn=f"CN=Bob,{PEOPLE}",
    kind=Kind.CONTACT,
    addresses=("bob@unix.example.net", "bob@example.com"),
    primary="bob@unix.example.net",
    target="bob@unix.example.net",
)
STAFF = Recipient(
    dn=f"CN=Staff,{PEOPLE}",
    kind=Kind.GROUP,
    addresses=("staff@example.com",),
    primary="staff@example.com",
    restricted=True,
)
OFF = Recipient(
    dn=f"CN=Off,{PEOPLE}",
    kind=Kind.MAILBOX,
    addresses=("off@example.com",),
    primary="off@example.com",
)


@pytest.fixture(scope="module")
def people(samba: Samba) -> Samba:
    """Give a controller with some people in a unit of an awkward name."""
    samba.unit("People", samba.unit("Straße\\, Köln"))
    samba.add(
        ANN.dn,
        {
            "objectClass": ["user"],
            "sAMAccountName": ["ann"],
            "userAccountControl": ["544"],
            "mail": ["Ann@example.com"],
            "proxyAddresses": [
                "SMTP:Ann@example.com",
                "smtp:A.Smith@Example.com",
                "X400:c=us;a= ;p=corp;o=one;s=smith;",
                "sip:ann@example.com",
            ],
        },
    )
    samba.add(
        BOB.dn,
        {
            "objectClass": ["contact"],
            "mailNickname": ["bob"],
            "targetAddress": ["SMTP:bob@unix.example.net"],
            "proxyAddresses": ["SMTP:bob@unix.example.net", "smtp:bob@example.com"],
        },
    )
    samba.add(
        STAFF.dn,
        {
            "objectClass": ["group"],
            "sAMAccountName": ["staff"],
            "proxyAddresses": ["SMTP:staff@example.com"],
            "msExchRequireAuthToSendTo": ["TRUE"],
            "member": [ANN.dn],
        },
    )
    samba.add(
        OFF.dn,
        {
            "objectClass": ["user"],
            "sAMAccountName": ["off"],
            "userAccountControl": ["546"],  # disabled, and no password set
            "proxyAddresses": ["SMTP:off@example.com"],
        },
    )
    return samba


@pytest.fixture
def ask(people: Samba, new_directory: Callable[..., LdapDirectory], password_file: str) -> Ask:
    """Give a way to look an address up, as the administrator over ldaps."""

    def find(key: str, uri: str = "", **keys: object) -> tuple[Recipient, ...]:
        options: dict[str, object] = {
            "base": BASE,
            "bind_dn": ADMIN,
            "bind_password_file": password_file,
            "ca_file": str(people.authority),
            "timeout": TIME,
            **keys,
        }
        return new_directory(uri or people.ldaps, **options).find(key, TIME)

    return find


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("ann@example.com", ANN),
        ("a.smith@example.com", ANN),  # written in other letters there
        ("bob@example.com", BOB),
        ("bob@unix.example.net", BOB),
        ("staff@example.com", STAFF),
        ("off@example.com", OFF),  # a disabled account still takes mail
    ],
)
def test_users_contacts_and_groups_are_found(ask: Ask, key: str, expected: Recipient) -> None:
    """Every address of proxyAddresses and mail finds its entry, below the domain's base."""
    (found,) = ask(key)
    assert set(found.addresses) == set(expected.addresses)
    assert (found.dn, found.kind, found.primary, found.target, found.restricted) == (
        expected.dn,
        expected.kind,
        expected.primary,
        expected.target,
        expected.restricted,
    )


@pytest.mark.parametrize(
    "key",
    [
        "nobody@example.com",
        "ann*@example.com",
        "ann)(mail=*@example.com",
        "ann\\2a@example.com",
        "änn@example.com",
    ],
)
def test_what_is_not_there_is_not_found(ask: Ask, key: str) -> None:
    """A search from the domain's base ends with a reference, hit or miss: it is no answer."""
    assert ask(key) == ()


def test_search_from_the_domains_base_brings_a_reference(people: Samba) -> None:
    """What the test above relies on: a miss is a success with one searchResRef in it."""
    found = people.find(BASE, "(mail=nobody@example.com)")
    assert [part.kind for part in found] == ["searchResRef"]


@pytest.mark.parametrize("base", ["", BASE])
def test_global_catalogue_answers_for_the_forest(people: Samba, ask: Ask, base: str) -> None:
    """At the catalogue's port an empty base is the whole forest."""
    (found,) = ask("bob@example.com", people.global_catalogue, base=base)
    assert found.target == "bob@unix.example.net"
    assert ask("nobody@example.com", people.global_catalogue, base=base) == ()


def test_starttls_is_as_good_as_ldaps(people: Samba, ask: Ask) -> None:
    """Port 389 takes our password once the connection is encrypted."""
    assert len(ask("ann@example.com", people.ldap, starttls=True)) == 1


def test_bind_without_tls_is_refused_and_says_so(people: Samba, ask: Ask) -> None:
    """A controller takes no password in the clear: a fault of ours, never an unknown user."""
    with pytest.raises(DirectoryError, match=r"strongerAuthRequired \(8\).*encryption"):
        ask("nobody@example.com", people.ldap)


@pytest.mark.parametrize("user", [ADMIN, "nobody@ad.example.com"])
def test_wrong_login_is_no_answer(ask: Ask, tmp_path: Path, user: str) -> None:
    """Result 49 with the code of the cause (52e: user name or password) defers mail."""
    wrong = tmp_path / "password"
    wrong.write_text("wrong")
    with pytest.raises(DirectoryError, match=r"invalidCredentials \(49\).*data 52e"):
        ask("nobody@example.com", bind_dn=user, bind_password_file=str(wrong))


def test_wrong_login_is_not_tried_again_soon(
    people: Samba, new_directory: Callable[..., LdapDirectory], tmp_path: Path
) -> None:
    """Each try counts against the account's lockout threshold."""
    wrong = tmp_path / "password"
    wrong.write_text("wrong")
    directory = new_directory(
        people.ldaps,
        base=BASE,
        bind_dn="nobody@ad.example.com",
        bind_password_file=str(wrong),
        ca_file=str(people.authority),
    )
    with pytest.raises(DirectoryError):
        directory.find("nobody@example.com", TIME)
    assert directory._servers.next_try() > servers.LOCKOUT_WAIT / 2


def test_anonymous_search_is_refused(ask: Ask) -> None:
    """Active Directory takes an anonymous bind, and no search after it."""
    with pytest.raises(DirectoryError, match=r"operationsError \(1\)"):
        ask("nobody@example.com", bind_dn="", bind_password_file="")


def test_base_that_is_not_there_is_no_miss(ask: Ask) -> None:
    """A typo in base makes nobody unknown."""
    with pytest.raises(DirectoryError, match=r"noSuchObject \(32\)"):
        ask("ann@example.com", base=f"OU=Poeple,{BASE}")


def test_certificate_of_another_authority_is_refused(
    people: Samba, ask: Ask, tmp_path: Path, authority: Authority
) -> None:
    """Only who is signed by ca_file is the controller."""
    other = type(authority)(tmp_path / "other")
    with pytest.raises(DirectoryError, match="certificate verify failed"):
        ask("ann@example.com", people.ldaps, ca_file=str(other.file))


def test_ordinary_account_may_look_addresses_up(people: Samba, ask: Ask, tmp_path: Path) -> None:
    """Every user may read the addresses: the service account needs no right of its own."""
    name = people.account("lookup", "Look.Up-1 please")
    secret = tmp_path / "password"
    secret.write_text("Look.Up-1 please")
    (found,) = ask("bob@example.com", bind_dn=name, bind_password_file=str(secret))
    assert found.target == "bob@unix.example.net"


def test_account_of_contrib_may_look_addresses_up(people: Samba, ask: Ask, tmp_path: Path) -> None:
    """The LDIF that a postmaster imports makes an account that can do what it is for."""
    text = ACCOUNT.read_text().replace("DC=corp,DC=example,DC=com", BASE)
    (record,) = ldif.read(text.replace("corp.example.com", "ad.example.com").splitlines())
    assert isinstance(record, Record)
    with people.administrator() as connection:
        connection.add(record.dn, attributes=record.attributes)
    secret = tmp_path / "password"
    secret.write_text("Change.Me-1")
    for name in (record.dn, "codomain@ad.example.com"):
        assert len(ask("bob@example.com", bind_dn=name, bind_password_file=str(secret))) == 1


def test_canary_that_is_hidden_makes_a_miss_no_answer(ask: Ask) -> None:
    """While the canary is not found, nothing that is not found is believed."""
    assert ask("nobody@example.com", canary="ann@example.com") == ()
    with pytest.raises(DirectoryError, match="canary"):
        ask("nobody@example.com", canary="gone@example.com")


def test_deleted_entry_is_not_found(people: Samba, ask: Ask) -> None:
    """A tombstone is not shown to a look-up, and has no addresses anyway."""
    dn = f"CN=Vanishing,{PEOPLE}"
    people.add(dn, {"objectClass": ["contact"], "proxyAddresses": ["SMTP:del@example.com"]})
    assert len(ask("del@example.com")) == 1
    people.delete(dn)
    assert ask("del@example.com") == ()
    text = "(&(isDeleted=TRUE)(cn=Vanishing*))"
    tombstone, _reference = people.find(BASE, text, "proxyAddresses", deleted=True)
    assert tombstone.raw["proxyAddresses"] == []


def test_entry_is_found_wherever_it_is_moved(people: Samba, ask: Ask) -> None:
    """A new name and another unit change an entry's DN, and no address."""
    people.unit("Elsewhere")
    people.add(
        f"CN=Tom,{PEOPLE}",
        {"objectClass": ["contact"], "proxyAddresses": ["SMTP:tom@example.com"]},
    )
    people.rename(f"CN=Tom,{PEOPLE}", "CN=Tom Jones", f"OU=Elsewhere,{BASE}")
    (found,) = ask("tom@example.com")
    assert found.dn == f"CN=Tom Jones,OU=Elsewhere,{BASE}"
    assert ask("tom@example.com", base=PEOPLE) == ()


@pytest.mark.parametrize(
    "name", ["Müller\\, Jörg", "a\\+b", 'say \\"hi\\"', "back\\\\slash", "\\#1", "x\\=y", "end\\ "]
)
def test_name_with_special_characters_is_an_entry_like_any_other(
    people: Samba, ask: Ask, name: str
) -> None:
    """Commas, quotes and umlauts in a DN (RFC 4514) reach a search's answer unharmed."""
    unit = f"OU=Names {name.encode().hex()},{BASE}"
    people.add(unit, {"objectClass": ["organizationalUnit"]})
    people.add(
        f"CN={name},{unit}",
        {"objectClass": ["contact"], "proxyAddresses": ["SMTP:odd@example.com"]},
    )
    (found,) = ask("odd@example.com", base=unit)
    assert found.addresses == ("odd@example.com",)
    (again,) = ask("odd@example.com", base=found.dn, scope="base")
    assert again == found


def test_address_of_two_entries_finds_both(people: Samba, ask: Ask) -> None:
    """Active Directory does not keep addresses apart; which one is meant we do not guess."""
    for name in ("One", "Two"):
        people.add(
            f"CN={name},{PEOPLE}",
            {"objectClass": ["contact"], "proxyAddresses": ["smtp:twice@example.com"]},
        )
    assert {found.dn.partition(",")[0] for found in ask("twice@example.com")} == {
        "CN=One",
        "CN=Two",
    }
