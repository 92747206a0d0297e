"""Rules of distinguished names: which texts name one entry, and which lies below which."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codomain.errors import RecordError
from codomain_cli.bulk.names import fold, parse


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("cn=Ann Smith,dc=xo", "CN=ann smith, DC=XO"),
        ("cn=Ann  Smith,dc=xo", "cn= Ann Smith ,dc=xo"),
        ("cn=Smith\\, Ann,dc=xo", "cn=Smith\\2C Ann,dc=xo"),
        ("cn=Müller,dc=xo", "cn=M\\C3\\BCller,dc=xo"),
        ("cn=Mu\u0308ller,dc=xo", "cn=MÜLLER,dc=xo"),
        ("cn=a+sn=b,dc=xo", "sn=B + cn=A,dc=xo"),
        ("commonName=a,organizationalUnitName=b", "cn=a,ou=b"),
        ("cn=a\\ ,dc=xo", "cn=a\\20,dc=xo"),
        ("cn=a\\\\,dc=xo", "cn=a\\5C,dc=xo"),
    ],
)
def test_spellings_of_one_name_have_one_key(one: str, other: str) -> None:
    """RFC 4514 section 2.4 (escapes), RFC 4518 (case, blanks, compatibility forms)."""
    assert parse(one).key == parse(other).key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("cn=a,ou=b,dc=xo", "cn=a,dc=xo"),
        ("cn=a,dc=xo", "ou=a,dc=xo"),
        ("cn=a\\,b,dc=xo", "cn=a,cn=b,dc=xo"),
        ("cn=Muller,dc=xo", "cn=Müller,dc=xo"),
    ],
)
def test_other_names_have_other_keys(one: str, other: str) -> None:
    """What is told apart by any server is told apart here, so that no entry is mixed up."""
    assert parse(one).key != parse(other).key


@pytest.mark.parametrize(
    "text",
    [
        *("cn", "cn=a,,dc=xo", "cn=", 'cn="a",dc=xo', "cn=a,dc=xo\\", "c n=a", "cn=\\ff"),
        *("cn=#0401", "cn= #04"),
    ],
)
def test_what_is_no_name_is_refused(text: str) -> None:
    """RFC 4514: type, =, value; quotes were LDAPv2's, and #hex is BER that only a server reads."""
    with pytest.raises(RecordError):
        parse(text)


@pytest.mark.parametrize(
    ("text", "below"),
    [
        ("cn=a,DC=XO,dc=one", True),
        ("cn=a,ou=b,dc=xo,dc=one", True),
        ("dc=xo,dc=one", False),
        ("cn=a,dc=one", False),
        ("cn=a,dc=axo,dc=one", False),
        ("cn=a\\,dc=xo,dc=one", False),
        ("cn=dc=xo\\,dc=one", False),
    ],
)
def test_below_the_base_is_what_ends_in_all_its_parts(text: str, below: bool) -> None:  # noqa: FBT001 - a column of the table
    """Whole parts count, not letters: nothing is written outside the base."""
    assert parse(text).below(parse("dc=xo,dc=one")) is below


def test_a_name_knows_its_parent_and_its_own_part() -> None:
    """The DN decides the organisational unit; the value is without its escapes."""
    name = parse("CN=Smith\\, Ann , OU=People,dc=xo")
    assert str(name.parent) == "OU=People,dc=xo"
    assert name.own() == ("cn", "Smith, Ann")
    assert parse("cn=a+sn=b,dc=xo").own() == ("", "")


@given(st.text(st.characters(blacklist_categories=["Cs"]), min_size=1, max_size=20))
def test_any_value_written_byte_by_byte_is_read_back(value: str) -> None:
    r"""RFC 4514 section 2.4: every character may stand as \XX of its UTF-8."""
    escaped = "".join(f"\\{octet:02x}" for octet in value.encode())
    assert parse(f"cn={escaped},dc=xo").own() == ("cn", value)
    assert parse(f"cn={escaped},dc=xo").key[0] == (("cn", fold(value)),)


@given(st.text(max_size=30))
def test_no_text_ends_in_another_error(text: str) -> None:
    """A file is written by hand: whatever stands there is a name, or a fault of its record."""
    try:
        parse(text)
    except RecordError:
        return
