"""Rules of a record on its own: what makes it a contact that can be written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from codomain.directory.record import Record
from codomain.errors import RecordError
from codomain_cli.bulk.names import parse
from codomain_cli.bulk.records import Contact, contact_of, read

if TYPE_CHECKING:
    from pathlib import Path

BASE = parse("dc=xo,dc=one")
GOOD: dict[str, list[str | bytes]] = {
    "objectclass": ["contact"],
    "cn": ["Ann"],
    "proxyaddresses": ["smtp:ann@xo.one", "SMTP:ann@remote.test"],
    "targetaddress": ["SMTP:ann@remote.test"],
    "mailnickname": ["ann"],
}


def contact(
    dn: str = "cn=Ann,dc=xo,dc=one", *left_out: str, **changes: list[str | bytes]
) -> Contact:
    """Make a contact of a good record with some changes; an empty list takes a value away."""
    attributes = {name: values for name, values in {**GOOD, **changes}.items() if values}
    made = contact_of(Record(7, dn, attributes), BASE, frozenset(left_out))
    assert made is not None
    return made


def test_a_good_record_becomes_what_is_sent() -> None:
    """The class and cn apart; neither dn nor name, which the DN gives, is an attribute."""
    made = contact(name=["ann"], sn=["Smith"], objectcategory=["CN=Person"], whencreated=["2001"])
    assert made.line == 7
    assert made.classes == (b"contact",)
    assert made.cn == (b"Ann",)
    assert made.attributes == {
        "proxyaddresses": (b"SMTP:ann@remote.test", b"smtp:ann@xo.one"),
        "targetaddress": (b"SMTP:ann@remote.test",),
        "mailnickname": (b"ann",),
        "sn": (b"Smith",),
    }


def test_the_common_name_of_the_dn_is_always_sent_and_comes_first() -> None:
    """OpenLDAP wants the naming attribute in the entry; a DN of another type names no cn."""
    assert contact(cn=[]).cn == (b"Ann",)
    assert contact(cn=["Annie", "ANN"]).cn == (b"Ann", b"Annie")
    assert contact("ou=unit,dc=xo,dc=one", cn=["Annie"]).cn == (b"Annie",)
    assert contact("ou=unit,dc=xo,dc=one", cn=[]).cn == ()


@pytest.mark.parametrize(
    ("dn", "changes", "why"),
    [
        ("", {}, "no DN"),
        ("Ann", {}, "'Ann' is no part of a DN"),
        ("cn=Ann,dc=one", {}, "its DN is not below the base dc=xo,dc=one"),
        ("dc=xo,dc=one", {}, "its DN is not below the base dc=xo,dc=one"),
        ("", {"objectclass": ["user"]}, "no DN"),
        ("cn=A,dc=xo,dc=one", {"objectclass": ["User"]}, "its objectClass is user: only contacts"),
        ("cn=A,dc=xo,dc=one", {"objectclass": []}, "its objectClass is missing: only contacts"),
        ("cn=Ann,dc=xo,dc=one", {"mailnickname": []}, "no mailNickname: Exchange does not take it"),
        ("cn=Ann,dc=xo,dc=one", {"mailnickname": [" "]}, "no mailNickname: Exchange does not take"),
        ("cn=Ann,dc=xo,dc=one", {"targetaddress": []}, "no targetAddress: its mail would lead now"),
        ("cn=Ann,dc=xo,dc=one", {"targetaddress": ["a@b.test"]}, "targetAddress 'a@b.test' has no"),
        ("cn=Ann,dc=xo,dc=one", {"targetaddress": ["X400:c=us"]}, "the target 'X400:c=us' is no"),
        ("cn=Ann,dc=xo,dc=one", {"proxyaddresses": ["smtp:a@b.test"]}, "proxyAddresses has one p"),
        ("cn=Ann,dc=xo,dc=one", {"proxyaddresses": []}, "proxyAddresses has one primary address"),
        (
            "cn=Ann,dc=xo,dc=one",
            {"proxyaddresses": ["SMTP:a@b.test", "SMTP:b@b.test"]},
            "proxyAddresses has one primary address, with SMTP: in capitals; here: 'SMTP:a@b.test'",
        ),
        ("cn=Ann,dc=xo,dc=one", {"proxyaddresses": ["SMTP:a b"]}, "proxyAddresses 'a b' is no add"),
        ("cn=Bob,dc=xo,dc=one", {}, "cn is 'Ann', and its DN begins with 'Bob'"),
        ("cn=Ann,dc=xo,dc=one", {"name": ["Bob"]}, "name is 'Bob', and its DN begins with 'Ann'"),
    ],
)
def test_a_bad_record_is_refused_with_its_reason(
    dn: str, changes: dict[str, list[str | bytes]], why: str
) -> None:
    """One sentence each, which the report repeats beside file and line."""
    with pytest.raises(RecordError) as caught:
        contact(dn, **changes)
    assert str(caught.value).startswith(why)


def test_what_is_left_out_is_neither_sent_nor_missed() -> None:
    """A directory without mailNickname: --leave-out mailNickname."""
    made = contact("cn=Ann,dc=xo,dc=one", "mailnickname", mailnickname=[])
    assert "mailnickname" not in made.attributes
    assert "mailnickname" not in contact("cn=Ann,dc=xo,dc=one", "mailnickname").attributes


def test_one_address_in_two_cases_is_sent_once_as_the_primary_one() -> None:
    """A server takes SMTP:a and smtp:A for one value, and refuses both together (RFC 4511 4.7)."""
    made = contact(proxyaddresses=["smtp:Ann@remote.test", "SMTP:ann@remote.test"])
    assert made.attributes["proxyaddresses"] == (b"SMTP:ann@remote.test",)


def test_units_are_no_fault_and_no_contact() -> None:
    """An export of a whole branch holds them."""
    record = Record(1, "ou=a,dc=xo,dc=one", {"objectclass": ["top", "organizationalUnit"]})
    assert contact_of(record, BASE, frozenset()) is None


def test_a_file_gives_every_good_record_and_every_fault_with_its_line(tmp_path: Path) -> None:
    """One bad record hides no other."""
    path = tmp_path / "x.csv"
    path.write_text(
        "objectClass,dn,proxyAddresses,targetAddress,mailnickname\n"
        'contact,"cn=A,dc=xo,dc=one",SMTP:a@b.test,SMTP:a@b.test,a\n'
        "contact,too,few\n"
        'contact,"cn=B,dc=xo,dc=one",SMTP:b@b.test,,b\n'
        'organizationalUnit,"ou=C,dc=xo,dc=one",,,\n'
        'contact,"cn=D,dc=xo,dc=one",SMTP:d@b.test,SMTP:d@b.test,d\n'
    )
    reading = read(str(path), "utf-8", BASE)
    assert [(c.line, str(c.name)) for c in reading.contacts] == [
        (2, "cn=A,dc=xo,dc=one"),
        (6, "cn=D,dc=xo,dc=one"),
    ]
    assert [(fault.line, fault.dn) for fault in reading.faults] == [
        (3, ""),
        (4, "cn=B,dc=xo,dc=one"),
    ]
    assert reading.skipped == 1
    assert reading.attributes == {"proxyaddresses", "targetaddress", "mailnickname"}


@pytest.mark.parametrize(
    ("name", "why"),
    [("x.txt", "its name ends in neither .csv nor .ldif"), ("missing.csv", "No such file")],
)
def test_a_file_that_cannot_be_read_is_refused_whole(tmp_path: Path, name: str, why: str) -> None:
    """With its path and the system's reason; exit status 78."""
    with pytest.raises(RecordError) as caught:
        read(str(tmp_path / name), "utf-8", BASE)
    assert str(caught.value).startswith(f"{tmp_path / name}: {why}")


def test_another_encoding_is_read_where_it_is_named(tmp_path: Path) -> None:
    """cp932 is common in Japan; UTF-16 with its mark, as csvde -u writes it, needs no word."""
    text = (
        "objectClass,dn,displayName,proxyAddresses,targetAddress,mailnickname\n"
        'contact,"cn=A,dc=xo,dc=one",山田,SMTP:a@b.test,SMTP:a@b.test,a\n'
    )
    for encoding in ("cp932", "utf-16"):
        path = tmp_path / f"{encoding}.csv"
        path.write_bytes(text.encode(encoding))
        (made,) = read(str(path), "cp932", BASE).contacts
        assert made.attributes["displayname"] == ("山田".encode(),)
