"""Rules of an export: csvde's form, in an order of its own, and nothing lost on the way."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codomain.directory import csvde, ldif
from codomain.directory.messages import Entry
from codomain.directory.record import Record
from codomain_cli.bulk.exporting import HEADER, as_csv, as_ldif
from codomain_cli.bulk.held import Known, known_of

SEED_HEADER = (
    "objectClass,dn,name,cn,sn,givenName,displayName,proxyAddresses,targetAddress,mail,mailnickname"
)
VALUE = st.text(
    st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), min_size=1, max_size=12
)


def known(name: str, **values: list[bytes]) -> Known:
    """Make an entry of the directory."""
    raw = {"objectClass": [b"contact"], "cn": [name.encode()], **values}
    return known_of(Entry(1, f"cn={name},dc=xo,dc=one", raw, ()))


def lines(*entries: Known, unicode: bool = False) -> list[str]:
    """Return the lines of an export."""
    raw = as_csv(entries, unicode=unicode)
    return raw.decode("utf-16" if unicode else "ascii").split("\r\n")


def test_the_header_is_the_one_of_the_article() -> None:
    """KB 321721, letter for letter; lines end in CR LF, as csvde's do."""
    assert lines() == [SEED_HEADER, ""]


def test_a_contact_is_one_line_of_its_values() -> None:
    """Of the classes only contact, the primary address first, values joined by ;."""
    ann = known(
        "Ann",
        objectClass=[b"top", b"person", b"organizationalPerson", b"contact"],
        proxyAddresses=[b"smtp:b@xo.one", b"smtp:a@xo.one", b"SMTP:ann@remote.test"],
        targetAddress=[b"SMTP:ann@remote.test"],
        mailNickname=[b"ann"],
        sn=[b"Smith"],
    )
    assert lines(ann)[1] == (
        'contact,"cn=Ann,dc=xo,dc=one",Ann,Ann,Smith,,,'
        "SMTP:ann@remote.test;smtp:a@xo.one;smtp:b@xo.one,SMTP:ann@remote.test,,ann"
    )


def test_what_csv_would_not_give_back_is_written_as_hex() -> None:
    """; and blanks at the ends, what looks like hex, control characters, letters beyond ASCII."""
    hard = known("a", displayName=[b"a;b"], sn=[b" a"], givenName=[b"X'41'"], mail=[b"a\nb"])
    assert lines(hard)[1] == (
        "contact,\"cn=a,dc=xo,dc=one\",a,a,X'2061',X'5827343127',X'613b62',,,X'610a62',"
    )
    umlaut = known("Zoë")
    assert lines(umlaut)[1].startswith("contact,X'636e3d5a6fc3ab2c64633d786f2c64633d6f6e65',")
    assert lines(umlaut, unicode=True)[1].startswith('contact,"cn=Zoë,dc=xo,dc=one",Zoë,Zoë,')


@pytest.mark.parametrize("value", ["=1+1", "+1", "-1", "@SUM(A1)", "\uff1d1", "=cmd|'/c calc'!A1"])
@pytest.mark.parametrize("unicode", [False, True])
def test_no_value_is_a_formula_to_a_spreadsheet(value: str, unicode: bool) -> None:  # noqa: FBT001 - a column of the table
    """Whoever may change a displayName must not run a program where the file is opened."""
    row = lines(
        known("a", displayName=[value.encode()], sn=[b"a", value.encode()]), unicode=unicode
    )
    cells = next(csv.reader(row[1:2]))
    assert cells[6] == f"X'{value.encode().hex()}'"
    assert not any(part.startswith(value) for cell in cells for part in cell.split(";"))


def test_the_order_is_that_of_the_names_whatever_the_server_does() -> None:
    """The same contacts always give the same file: entries, and values of one cell."""
    one = known("b", proxyAddresses=[b"smtp:1@xo.one", b"SMTP:2@xo.one"])
    two = known("A", proxyAddresses=[b"SMTP:3@xo.one"])
    turned = known("b", proxyAddresses=[b"SMTP:2@xo.one", b"smtp:1@xo.one"])
    assert as_csv([one, two]) == as_csv([two, turned])
    assert as_ldif([one, two]) == as_ldif([two, turned])
    assert [row[1][:4] for row in csv.reader(lines(one, two)[1:3])] == ["cn=A", "cn=b"]


@settings(deadline=None)
@given(
    st.lists(VALUE, min_size=1, max_size=3, unique=True),
    VALUE,
    st.booleans(),
)
def test_every_value_comes_back_from_csv(many: list[str], one: str, unicode: bool) -> None:  # noqa: FBT001 - given by hypothesis
    """Whatever a directory holds: read by our reader it is what it was."""
    raw = {"sn": [value.encode() for value in many], "displayName": [one.encode()]}
    text = as_csv([known("x", **raw)], unicode=unicode).decode("utf-16" if unicode else "ascii")
    (record,) = csvde.read(io.StringIO(text, newline=""))
    assert isinstance(record, Record)
    assert sorted(map(str, record.attributes["sn"])) == sorted(many)
    assert record.attributes["displayname"] == [one]


@settings(deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=60), min_size=1, max_size=3, unique=True))
def test_every_octet_comes_back_from_ldif_and_csv(many: list[bytes]) -> None:
    """Values that are no text too; LDIF is folded (RFC 2849)."""
    entry = known("x", sn=many)
    for record in (
        *ldif.read(as_ldif([entry]).decode("ascii").split("\n")),
        *csvde.read(io.StringIO(as_csv([entry]).decode("ascii"), newline="")),
    ):
        assert isinstance(record, Record)
        found = record.attributes["sn"]
        assert sorted(v.encode() if isinstance(v, str) else v for v in found) == sorted(many)


def test_ldif_lines_are_folded_and_names_beyond_ascii_are_base64() -> None:
    """RFC 2849: a folded line begins with one blank; a DN that is not safe stands in base64."""
    text = as_ldif([known("Zoë", displayName=[b"x" * 200])]).decode("ascii")
    assert text.startswith("version: 1\n\ndn:: ")
    assert max(map(len, text.splitlines())) <= 76
    assert f"{HEADER[0]}: contact\n" in text
