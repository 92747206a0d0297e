"""Values of the second level: what is written is read back, and a surprise is never an answer."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codomain.address import parse_mailbox
from codomain.directory.base import Kind, Recipient
from codomain.sharedvalue import (
    _FIELDS,
    ADDRESSES,
    ENTRIES,
    VALUE_OCTETS,
    SurpriseError,
    Value,
    pack,
    unpack,
)

KEY = "ann@example.com"
ANN = Recipient(
    dn="cn=Ann,dc=example,dc=com",
    kind=Kind.CONTACT,
    addresses=(KEY, "a.smith@example.com"),
    primary="Ann@Example.com",
    target="ann@unix.example.net",
    mail_host="mail.example.net",
    restricted=True,
)


def entry(**changes: object) -> dict[str, Any]:
    """Write Ann's entry, with some fields changed."""
    written = {
        "dn": "cn=Ann,dc=example,dc=com",
        "kind": "contact",
        "addresses": [KEY],
        "primary": "",
        "target": "ann@unix.example.net",
        "mail_host": "",
        "restricted": False,
    }
    return written | changes


def value(**changes: object) -> bytes:
    """Write the value of Ann's address by hand, with some names changed."""
    written = {"v": 1, "key": KEY, "ttl": 300.0, "flush": "", "entries": [entry()]}
    return json.dumps(written | changes).encode()


def surprise(raw: bytes) -> str:
    """Return why a value is not believed."""
    with pytest.raises(SurpriseError) as caught:
        unpack(raw, KEY)
    return str(caught.value)


def test_what_is_written_is_read_back() -> None:
    """All that a directory says of an entry crosses to the other gateways."""
    written = Value(KEY, 300.0, "0123456789abcdef", (ANN,))
    raw = pack(written)
    assert raw is not None
    assert unpack(raw, KEY) == written


def test_that_nobody_is_there_is_an_answer_too() -> None:
    """Not-found answers are shared: no entries, and no error."""
    raw = pack(Value(KEY, 60.0, "", ()))
    assert raw is not None
    assert unpack(raw, KEY).entries == ()


def test_every_field_of_a_recipient_is_written() -> None:
    """A field that is left out would be lost on the way, and a decision would miss it."""
    assert {field.name for field in fields(Recipient)} == set(_FIELDS)


def test_the_form_is_the_documented_one() -> None:
    """The module's docstring: v, key, ttl, flush, entries; another gateway relies on it."""
    raw = pack(Value(KEY, 300.0, "", (Recipient("cn=x", Kind.MAILBOX, (KEY,)),)))
    assert json.loads(raw or b"") == {
        "v": 1,
        "key": "ann@example.com",
        "ttl": 300.0,
        "flush": "",
        "entries": [
            {
                "dn": "cn=x",
                "kind": "mailbox",
                "addresses": ["ann@example.com"],
                "primary": "",
                "target": "",
                "mail_host": "",
                "restricted": False,
            }
        ],
    }


def test_a_value_that_was_written_by_hand_is_read() -> None:
    """The surprises below differ from this value in one thing each."""
    assert unpack(value(), KEY).entries[0].target == "ann@unix.example.net"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"[]",
        b"1",
        b'"x"',
        b"{}",
        b"\xff",
        b"\x80\x04K\x01.",  # a pickle
        b"[" * 50_000,  # as deep as it is long
        b'{"a":' * 9_000 + b"1" + b"}" * 9_000,
        value()[:-1],
        value() + b" x",
        value().replace(b'"v": 1', b'"v": 1, "v": 1'),
        value().replace(b'"ttl": 300.0', b'"ttl": NaN'),
        value().replace(b'"ttl": 300.0', b'"ttl": Infinity'),
        value().replace(b'"ttl": 300.0', b'"ttl": 1e999'),
        value().replace(b"300.0", b"9" * 5_000),  # more digits than Python turns into a number
        value().replace(b'"restricted": false', b'"restricted": false, "more": 1'),
        b" " * VALUE_OCTETS + value(),
    ],
)
def test_what_is_no_value_is_a_surprise(raw: bytes) -> None:
    """Octets that this version never writes are not there, whatever they are."""
    surprise(raw)


@pytest.mark.parametrize(
    "changes",
    [
        {"v": 2},
        {"v": True},
        {"v": "1"},
        {"v": 1.0},
        {"key": "bob@example.com"},
        {"key": None},
        {"key": "ANN@example.com"},
        {"ttl": 0},
        {"ttl": -5},
        {"ttl": "300"},
        {"ttl": True},
        {"ttl": None},
        {"flush": None},
        {"flush": "a\nb"},
        {"entries": None},
        {"entries": {}},
        {"entries": "x"},
        {"entries": [None]},
        {"entries": [[]]},
        {"entries": [{}]},
        {"entries": [entry(), entry()]},
        {"entries": [entry(dn=f"cn={n}") for n in range(ENTRIES + 1)]},
        {"more": 1},
    ],
    ids=str,
)
def test_a_value_that_differs_in_one_thing_is_a_surprise(changes: dict[str, object]) -> None:
    """Names, types and bounds of the value itself."""
    surprise(value(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"dn": ""},
        {"dn": 1},
        {"dn": "cn=a\nb"},
        {"dn": "x" * 3_000},
        {"dn": "\ud800"},
        {"kind": "owner"},
        {"kind": None},
        {"kind": ["mailbox"]},
        {"addresses": []},
        {"addresses": KEY},
        {"addresses": ["bob@example.com"]},
        {"addresses": [KEY, "BOB@example.com"]},
        {"addresses": [KEY, "no address"]},
        {"addresses": [KEY, 1]},
        {"addresses": [KEY] + [f"a{n}@example.com" for n in range(ADDRESSES)]},
        {"primary": "no address"},
        {"primary": None},
        {"target": "a@x.test, b@y.test"},
        {"target": "a@x.test\n"},
        {"target": "@relay.test:a@x.test"},
        {"target": "a@x.test> NOTIFY=NEVER"},
        {"target": 7},
        {"mail_host": "a\x00b"},
        {"mail_host": "a\u2028b"},
        {"mail_host": None},
        {"restricted": 0},
        {"restricted": "no"},
        {"restricted": None},
        {"extra": ""},
    ],
    ids=str,
)
def test_an_entry_that_differs_in_one_thing_is_a_surprise(changes: dict[str, object]) -> None:
    """Names, types, control characters and bounds of an entry."""
    surprise(value(entries=[entry(**changes)]))


@pytest.mark.parametrize("name", _FIELDS)
def test_an_entry_without_a_field_is_a_surprise(name: str) -> None:
    """A default would be a guess: a restricted entry would open itself."""
    lacking = entry()
    del lacking[name]
    assert surprise(value(entries=[lacking])) == "its fields are others"


@pytest.mark.parametrize(
    "strange",
    [
        Recipient("cn=x", Kind.CONTACT, (KEY,), target="x400:c=de;a=x"),
        Recipient("cn=x", Kind.MAILBOX, (KEY,), mail_host="a\nb"),
        Recipient("cn=x", Kind.MAILBOX, (KEY,), mail_host="\udcff"),
        Recipient("cn=x", Kind.MAILBOX, ("bob@example.com",)),
        Recipient("c" * 3_000, Kind.MAILBOX, (KEY,)),
    ],
)
def test_what_nobody_would_read_is_not_written(strange: Recipient) -> None:
    """An entry that the strict reader refuses is asked for everywhere, and costs no memory."""
    assert pack(Value(KEY, 300.0, "", (strange,))) is None


def test_a_value_that_is_too_long_is_not_written() -> None:
    """VALUE_OCTETS bounds what a look-up reads."""
    long = tuple(f"{'a' * 60}{n}@example.com" for n in range(900))
    assert pack(Value(KEY, 300.0, "", (Recipient("cn=x", Kind.GROUP, (KEY, *long)),))) is None


@pytest.mark.parametrize("local", ["john doe", 'a"b', "a\\b", "jörg", "a..b", "."])
def test_an_address_that_needs_quotes_is_shared(local: str) -> None:
    """Keys stand unquoted: john doe@example.com is the key of "john doe"@example.com."""
    quoted = local.replace("\\", "\\\\").replace('"', '\\"')
    parsed = parse_mailbox(f'"{quoted}"@example.com')
    assert parsed is not None
    raw = pack(Value(parsed.key, 300.0, "", (Recipient("cn=x", Kind.MAILBOX, (parsed.key,)),)))
    assert raw is not None
    assert unpack(raw, parsed.key).entries[0].addresses == (parsed.key,)


@given(st.binary(max_size=400) | st.text(max_size=300).map(str.encode))
def test_no_octets_do_harm(raw: bytes) -> None:
    """Whatever stands there: a value, or SurpriseError, and no other error."""
    try:
        unpack(raw, KEY)
    except SurpriseError:
        return


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*_FIELDS, "v", "key", "x"]), inner, max_size=4)
    ),
    max_leaves=8,
)


@given(st.sampled_from([*_FIELDS]), _json)
def test_no_json_in_a_field_does_harm(name: str, inner: object) -> None:
    """A field of any type: an entry whose fields have their types, or SurpriseError."""
    try:
        read = unpack(value(entries=[entry(**{name: inner})]), KEY)
    except SurpriseError:
        return
    recipient = read.entries[0]
    assert isinstance(recipient.kind, Kind)
    assert isinstance(recipient.restricted, bool)
    assert recipient.target == "" or parse_mailbox(recipient.target) is not None
    assert KEY in recipient.addresses
