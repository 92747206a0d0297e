"""Rules that hold for any bytes: the codecs of LDAP never fail in another way than theirs."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st
from pyasn1.codec.ber import decoder

from codomain.directory import messages, syncinfo
from codomain.directory.ber import ProtocolError
from codomain.directory.filters import encode_filter
from codomain.directory.messages import Control, Done, Entry, Search, decode, size
from codomain.directory.schema import escape
from support.ldap3codec import entry, filter_octets, message

NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,20}(;[a-z0-9-]{1,10})?", fullmatch=True)
VALUES = st.lists(st.binary(max_size=300), max_size=5)
CONTROLS = st.builds(
    Control,
    st.from_regex(r"[0-9]\.[0-9]{1,5}", fullmatch=True),
    st.none() | st.binary(max_size=300),
    st.booleans(),
)


@given(
    st.integers(0, messages.MAX_ID),
    st.text(max_size=50),
    st.dictionaries(NAMES, VALUES, max_size=5),
    st.lists(CONTROLS, max_size=3),
)
@example(0x6C010101, "", {}, [])
def test_entries_of_another_encoder_are_read_whole(
    identity: int, dn: str, attributes: dict[str, list[bytes]], controls: list[Control]
) -> None:
    """What pyasn1 writes is read back: id, DN, every value, every control."""
    data = message(identity, "searchResEntry", entry(dn, attributes), *controls)
    found = decode(data)
    assert isinstance(found, Entry)
    assert found[:3] == (identity, dn, attributes)
    assert [c[:2] for c in found.controls] == [c[:2] for c in controls]
    assert size(data + b"more") == len(data)


@given(st.binary(max_size=200))
@example(b"\x30\x84\xff\xff\xff\xff")
@example(b"\x30\x06\x02\x01\x01\x64\x01\x04")
def test_any_bytes_are_a_message_or_a_protocol_error(data: bytes) -> None:
    """A server may send what it wants: a bounded size, and one kind of error."""
    try:
        assert 0 <= size(data) <= messages.MAX_MESSAGE
        decode(data)
    except ProtocolError:
        pass


@given(st.dictionaries(NAMES, VALUES, min_size=1, max_size=3), st.data(), st.binary(max_size=4))
def test_changed_messages_are_read_or_refused(
    attributes: dict[str, list[bytes]], data: st.DataObject, other: bytes
) -> None:
    """A good message with some octets changed never raises anything else."""
    good = message(5, "searchResEntry", entry("cn=x", attributes), Control("1.2", b"x"))
    at = data.draw(st.integers(0, len(good)))
    changed = good[:at] + other + good[at + data.draw(st.integers(0, 4)) :]
    try:
        found = decode(changed)
    except ProtocolError:
        return
    assert isinstance(found, messages.Message)


@given(st.binary(max_size=100))
def test_any_bytes_are_a_sync_info_or_a_protocol_error(value: bytes) -> None:
    """RFC 4533 values come from the server as well."""
    for read in (syncinfo.info, lambda v: syncinfo.entry_state((Control(syncinfo.STATE, v),))):
        try:
            read(value)
        except ProtocolError:
            continue


@given(st.integers(0, 3), st.binary(min_size=16, max_size=16), st.none() | st.binary(max_size=40))
def test_entry_states_are_read(state: int, uuid: bytes, cookie: bytes | None) -> None:
    """RFC 4533 2.3: state, entryUUID and an optional cookie, with and without the short way."""
    extra = b"" if cookie is None else bytes([4, len(cookie)]) + cookie
    body = bytes([10, 1, state, 4, 16]) + uuid + extra
    value = bytes([0x30, len(body)]) + body
    found = syncinfo.entry_state((Control("1.1"), Control(syncinfo.STATE, value)))
    assert (found.state.value, found.uuid, found.cookie) == (state, uuid, cookie)


@given(NAMES, st.text(max_size=30))
def test_escaped_values_reach_the_server_as_they_are(name: str, value: str) -> None:
    """No character of an address is syntax of a filter (RFC 4515 section 3)."""
    written = f"({name}={escape(value)})"
    raw = value.encode("utf-8", "surrogatepass")
    assert encode_filter(written).endswith(raw)
    if value:
        assert encode_filter(written) == filter_octets(written)


@given(st.text(alphabet="()&|!=*<>~:\\a1. ;", max_size=30))
@example("(|)")  # always false (RFC 4526)
def test_any_text_is_a_filter_or_a_value_error(text: str) -> None:
    """An INI may hold anything: what is taken for a filter is one to another decoder."""
    try:
        data = encode_filter(text)
    except ValueError:
        return
    if b"\xa0\0" in data[2:] or b"\xa1\0" in data[2:]:
        return  # an empty set within another filter (RFC 4526), which pyasn1 cannot read
    search = Search("dc=x", "subtree", text).encode(1)
    assert data in search
    read, rest = decoder.decode(search, asn1Spec=messages_spec())
    assert not rest
    assert read["protocolOp"].getName() == "searchRequest"


def messages_spec() -> object:
    """Return ldap3's LDAPMessage."""
    from ldap3.protocol.rfc4511 import LDAPMessage  # noqa: PLC0415 - slow, and for one test

    return LDAPMessage()


@given(st.integers(0, 5000), st.text(max_size=20))
def test_results_have_any_code(code: int, text: str) -> None:
    """Servers use codes that no RFC lists."""
    number = code.to_bytes(code.bit_length() // 8 + 1, "big")
    said = text.encode()
    body = bytes([10, len(number)]) + number + b"\x04\0" + bytes([4, len(said)]) + said
    inner = b"\x02\x01\x07" + bytes([0x65, len(body)]) + body
    found = decode(bytes([0x30, len(inner)]) + inner)
    assert found == Done(7, code, text, (), ())
