"""Rules of LDAP's messages (RFC 4511), each side checked against ldap3's own codec."""

from __future__ import annotations

import pytest
from ldap3.protocol import rfc4511
from pyasn1.codec.ber import decoder

from codomain.directory import messages
from codomain.directory.ber import ProtocolError
from codomain.directory.messages import (
    Control,
    Done,
    Entry,
    Intermediate,
    Message,
    Reference,
    Search,
    decode,
    size,
)
from support.ldap3codec import entry, message, result, search_request

CONTROL = Control("1.2.3", b"\x30\x00", critical=True)


@pytest.mark.parametrize("scope", ["base", "onelevel", "subtree"])
@pytest.mark.parametrize("control", [None, CONTROL, Control("1.2.3"), Control("1", b"\0" * 300)])
@pytest.mark.parametrize("identity", [1, 127, 128, 65535, 2**31 - 1])
def test_search_is_written_as_ldap3_writes_it(
    scope: str, control: Control | None, identity: int
) -> None:
    """RFC 4511 4.5.1: the octets of a request are those of another implementation."""
    search = Search("dc=exämple", scope, "(&(mail=a*b)(!(cn=x)))", ("mail", "1.1"), 20, 300)
    controls = (control,) if control else ()
    expected = message(identity, "searchRequest", search_request(search), *controls)
    assert search.encode(identity, controls) == expected


@pytest.mark.parametrize("number", [0, 1, 127, 128, 255, 256, 32767, 32768, 2**31 - 1])
def test_numbers_take_the_fewest_octets(number: int) -> None:
    """RFC 4511 4.5.1, sizeLimit: a positive number never begins with a set sign bit."""
    search = Search("", "base", "(a=b)", size_limit=number)
    assert search.encode(1) == message(1, "searchRequest", search_request(search))


def test_abandon_names_the_other_request() -> None:
    """RFC 4511 4.11: the messageID of the request that is abandoned."""
    expected = message(300, "abandonRequest", rfc4511.AbandonRequest(299))
    assert messages.abandon(300, 299) == expected


def test_unbind_is_empty() -> None:
    """RFC 4511 4.3: UnbindRequest ::= [APPLICATION 2] NULL."""
    assert messages.unbind(5) == message(5, "unbindRequest", rfc4511.UnbindRequest(""))


@pytest.mark.parametrize("control", [None, CONTROL])
@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"mail": [b"ann@example.com"], "cn": [b"Ann", b"A", b""]},
        {"mail": []},
        {"jpegPhoto": [b"\xff" * 200, b"\x00" * 70_000]},
        {"proxyAddresses;range=0-1499": [b"smtp:%d@x" % number for number in range(1500)]},
    ],
)
def test_entry_is_read_with_names_values_and_controls(
    attributes: dict[str, list[bytes]], control: Control | None
) -> None:
    """RFC 4511 4.5.2: an entry's DN and each attribute's values, in order, as octets."""
    controls = (control,) if control else ()
    data = message(7, "searchResEntry", entry("cn=Änn,dc=x", attributes), *controls)
    assert decode(data) == Entry(7, "cn=Änn,dc=x", attributes, controls)
    assert size(data) == len(data)


def test_dn_that_is_no_utf8_is_readable() -> None:
    """RFC 4511 4.1.2 says UTF-8; what is none must not end a load: it is for logs alone."""
    data = message(7, "searchResEntry", entry("cn=x", {})).replace(b"cn=x", b"cn=\xff")
    found = decode(data)
    assert isinstance(found, Entry)
    assert found.dn == "cn=\\xff"


@pytest.mark.parametrize("code", [0, 4, 10, 32, 53])
def test_end_of_a_search_has_code_and_text(code: int) -> None:
    """RFC 4511 4.1.9: the resultCode, and the diagnosticMessage for the log."""
    done = result(rfc4511.SearchResultDone, code, "said so")
    data = message(9, "searchResDone", done, CONTROL)
    assert decode(data) == Done(9, code, "said so", (), (CONTROL,))


def test_result_code_of_syncrepl_has_two_octets() -> None:
    """RFC 4533 2.6: e-syncRefreshRequired is 4096."""
    data = bytes.fromhex("300d 020103 6508 0a021000 0400 0400".replace(" ", ""))
    assert decode(data) == Done(3, 4096, "", (), ())


def test_referral_is_read() -> None:
    """RFC 4511 4.1.10: the servers to ask instead."""
    done = result(rfc4511.SearchResultDone, 10, uris=("ldap://other/dc=x",))
    found = decode(message(9, "searchResDone", done))
    assert isinstance(found, Done)
    assert found.referral == ("ldap://other/dc=x",)
    assert found.describe() == "referral (10) ldap://other/dc=x"


def test_reference_names_all_urls() -> None:
    """RFC 4511 4.5.3: SearchResultReference is a sequence of URIs."""
    reference = rfc4511.SearchResultReference()
    reference[0] = rfc4511.URI("ldap://a/")
    reference[1] = rfc4511.URI("ldap://b/")
    data = message(2, "searchResRef", reference)
    assert decode(data) == Reference(2, ("ldap://a/", "ldap://b/"), ())


def test_intermediate_answer_has_name_and_value() -> None:
    """RFC 4511 4.13: responseName [0] and responseValue [1]."""
    said = rfc4511.IntermediateResponse()
    said["responseName"] = rfc4511.IntermediateResponseName("1.2.3")
    said["responseValue"] = rfc4511.IntermediateResponseValue(b"\x80\x01x")
    data = message(2, "intermediateResponse", said)
    assert decode(data) == Intermediate(2, "1.2.3", b"\x80\x01x", ())


def test_notice_of_disconnection_is_an_end_of_messageid_zero() -> None:
    """RFC 4511 4.4.1: an ExtendedResponse with messageID 0 and the reason."""
    response = result(rfc4511.ExtendedResponse, 52, "shutting down")
    response["responseName"] = rfc4511.ResponseName("1.3.6.1.4.1.1466.20036")
    data = message(0, "extendedResp", response)
    assert decode(data) == Done(0, 52, "shutting down", (), ())


def test_long_lengths_are_read() -> None:
    """Active Directory writes each length with four octets (X.690 8.1.3.5 allows it)."""
    body = bytes.fromhex("0a0100 0400 0400".replace(" ", ""))
    data = b"\x30\x84\x00\x00\x00\x10" + b"\x02\x01\x07" + b"\x65\x84\x00\x00\x00\x07" + body
    assert decode(data) == Done(7, 0, "", (), ())


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", 0),
        (b"\x30", 0),
        (b"\x30\x82\x01", 0),
        (b"\x30\x05", 7),
        (b"\x30\x82\x01\x00", 260),
        (b"\x30\x84\x00\x9f\xff\xfa", messages.MAX_MESSAGE),
    ],
)
def test_size_is_known_from_the_first_octets(data: bytes, expected: int) -> None:
    """X.690 8.1.3: tag, length, and so many octets; nothing is said while it is cut off."""
    assert size(data) == expected
    assert size(b"xx" + data, 2) == expected


@pytest.mark.parametrize(
    "data",
    [
        b"\x31\x00",  # no SEQUENCE
        b"HTTP/1.1 400 Bad Request",
        b"\x30\x80",  # RFC 4511 5.1: only the definite form of length
        b"\x30\x85\x00\x00\x00\x00\x01",
        b"\x30\x84\x7f\xff\xff\xff",  # two gigabytes to come
        b"\x30\x84\x00\x9f\xff\xfb",  # one octet more than MAX_MESSAGE
    ],
)
def test_what_is_no_message_or_too_long_is_an_error(data: bytes) -> None:
    """RFC 4511 5.1, and a bound: no length makes us wait for, or take, gigabytes."""
    with pytest.raises(ProtocolError):
        size(data)


def whole() -> bytes:
    """Give an entry with everything in it."""
    attributes = {"mail": [b"ann@example.com", b"b"], "photo": [b"x" * 200]}
    return message(7, "searchResEntry", entry("cn=x", attributes), CONTROL)


def test_every_truncation_is_an_error() -> None:
    """X.690: an element that ends before its length says is none; nothing is guessed."""
    data = whole()
    for end in range(len(data)):
        with pytest.raises(ProtocolError):
            decode(data[:end])


def test_every_inner_length_that_lies_is_an_error_or_another_message() -> None:
    """A length that reaches beyond what holds it is found, wherever it stands."""
    data = whole()
    good = decode(data)
    for at in range(2, len(data)):
        if data[at] in {0x7F, 0xFF}:  # itself, and TRUE, which is anything but 00
            continue
        changed = data[:at] + b"\x7f" + data[at + 1 :]
        found: Message | None
        try:
            found = decode(changed)
        except ProtocolError:
            found = None
        assert found != good, at


def tlv(tag: int, value: bytes, length: bytes = b"") -> bytes:
    """Write an element, with another length if one is given."""
    return bytes([tag]) + (length or bytes([len(value)])) + value


@pytest.mark.parametrize(
    "length", [b"", b"\x05", b"\x0b", b"\x7f", b"\x81\x05", b"\x84\x7f\xff\xff\xff"]
)
@pytest.mark.parametrize("part", ["name", "value"])
def test_names_and_values_end_where_what_holds_them_ends(part: str, length: bytes) -> None:
    """A length that takes in what follows in the same message is none."""
    name = tlv(4, b"mail", length if part == "name" else b"")
    value = tlv(4, b"anna", length if part == "value" else b"")
    other = tlv(0x30, tlv(4, b"cn") + tlv(0x31, tlv(4, b"")))
    attributes = tlv(0x30, name + tlv(0x31, value)) + other
    data = tlv(0x30, tlv(2, b"\x01") + tlv(0x64, tlv(4, b"") + tlv(0x30, attributes)))
    if not length:
        assert decode(data) == Entry(1, "", {"mail": [b"anna"], "cn": [b""]}, ())
        return
    with pytest.raises(ProtocolError):
        decode(data)


@pytest.mark.parametrize(
    "data",
    [
        b"\x30\x03\x02\x01\x05",  # nothing but a messageID
        b"\x30\x06\x02\x01\x05\x67\x01\x00",  # an addRequest
        b"\x30\x05\x02\x01\xff\x65\x00",  # a negative messageID
        b"\x30\x06\x02\x00\x65\x02\x0a\x00",  # a messageID of no octets
        b"\x30\x0c\x02\x01\x05\x65\x07\x0a\x01\x00\x04\x00\x04\x00\x00",  # octets left over
    ],
)
def test_messages_that_are_none_are_errors(data: bytes) -> None:
    """RFC 4511 4.1.1, 4.1.9: what does not parse is never taken for an answer."""
    with pytest.raises(ProtocolError):
        decode(data)


def test_ldap3_reads_a_search_back() -> None:
    """The octets decode to what was asked, with another implementation's decoder."""
    search = Search("dc=x", "subtree", r"(mail=\61nn@x)", ("mail",))
    read, rest = decoder.decode(search.encode(3, (CONTROL,)), asn1Spec=rfc4511.LDAPMessage())
    assert not rest
    request = read["protocolOp"].getComponent()
    assert bytes(request["filter"].getComponent()["assertionValue"]) == b"ann@x"
    assert bytes(read["controls"][0]["controlValue"]) == CONTROL.value
