"""Rules of what a record of a file is worth: its addresses, its target, its faults."""

from __future__ import annotations

import pytest

from codomain.directory.base import Kind, Recipient
from codomain.directory.record import Record, attribute_name, lacks_nickname, recipient_of
from codomain.errors import RecordError

CONTACT = {
    "objectclass": ["contact"],
    "proxyaddresses": ["SMTP:bob@unix.example.net", "smtp:Bob@Example.com"],
    "targetaddress": ["SMTP:bob@unix.example.net"],
}


def recipient(**attributes: list[str]) -> Recipient | None:
    """Make a recipient of attributes whose names are lower case already; ``dn`` is its DN."""
    (dn,) = attributes.pop("dn", ["cn=a"])
    record = Record(7, dn, {name: [*values] for name, values in attributes.items()})
    return recipient_of(record, "f:7")


def fault(**attributes: list[str]) -> str:
    """Return what is said of a bad record."""
    with pytest.raises(RecordError) as caught:
        recipient(**attributes)
    return str(caught.value)


def test_a_contact_resolves_by_its_proxy_addresses_and_leads_to_its_target() -> None:
    """SMTP: is primary, smtp: secondary; the target loses its prefix (KB 321721)."""
    assert recipient(**CONTACT) == Recipient(
        dn="cn=a",
        kind=Kind.CONTACT,
        addresses=("bob@unix.example.net", "bob@example.com"),
        primary="bob@unix.example.net",
        target="bob@unix.example.net",
    )


def test_an_entry_of_sendmails_schema_is_routed() -> None:
    """MailLocalAddress resolves; mailRoutingAddress and mailHost say where mail goes."""
    assert recipient(
        objectclass=["inetLocalMailRecipient"],
        maillocaladdress=["a@example.com", "b@example.com"],
        mailroutingaddress=["A@in.example.com"],
        mailhost=["mx1.example.com"],
    ) == Recipient(
        dn="cn=a",
        kind=Kind.CONTACT,
        addresses=("a@example.com", "b@example.com"),
        target="A@in.example.com",
        mail_host="mx1.example.com",
    )


def test_a_person_resolves_by_mail_and_alternate_addresses() -> None:
    """A lone mail is the primary address, as it is written."""
    assert recipient(
        objectclass=["inetOrgPerson"],
        mail=[" Ann@Example.com "],
        mailalternateaddress=["a.smith@example.com", "ann@example.com"],
    ) == Recipient(
        dn="cn=a",
        kind=Kind.MAILBOX,
        addresses=("ann@example.com", "a.smith@example.com"),
        primary="Ann@Example.com",
    )


def test_of_two_primary_addresses_none_counts() -> None:
    """Values have no order (RFC 4511 section 4.1.7): none of two is the first."""
    two = recipient(mail=["a@x.test", "b@x.test"])
    assert two is not None
    assert two.primary == ""


@pytest.mark.parametrize("name", ["group", "groupOfNames", "Group"])
def test_a_group_is_known_by_its_class(name: str) -> None:
    """The mailbox system expands it; its class ignores case."""
    group = recipient(objectclass=["top", name], mail=["sales@x.test"])
    assert group is not None
    assert group.kind is Kind.GROUP


@pytest.mark.parametrize(
    ("value", "restricted"), [("TRUE", True), ("true", True), ("FALSE", False)]
)
def test_authenticated_senders_only(value: str, *, restricted: bool) -> None:
    """MsExchRequireAuthToSendTo is a Boolean (RFC 4517 section 3.3.3)."""
    entry = recipient(mail=["a@x.test"], msexchrequireauthtosendto=[value])
    assert entry is not None
    assert entry.restricted is restricted


def test_other_address_types_are_passed_over() -> None:
    """X400, x500, sip and their like are no mail addresses, and no faults."""
    entry = recipient(
        proxyaddresses=["X400:c=us;a= ;p=One;", "x500:/o=c/cn=a", "sip:a@x.test", "sMtP: a@x.test"]
    )
    assert entry is not None
    assert entry.addresses == ("a@x.test",)


def test_without_a_dn_the_place_names_the_entry() -> None:
    """A file may have no DNs; logs still have to name the entry."""
    entry = recipient(dn=[""], mail=["a@x.test"])
    assert entry is not None
    assert entry.dn == "f:7"


@pytest.mark.parametrize("name", ["domain", "dcObject", "organizationalUnit", "container"])
def test_a_container_is_no_recipient(name: str) -> None:
    """What holds entries has no address, and that is no fault."""
    assert recipient(objectclass=["top", name], ou=["people"]) is None


def test_a_container_with_an_address_is_a_recipient() -> None:
    """An organisation may have a mailbox of its own."""
    entry = recipient(objectclass=["organization"], mail=["info@x.test"])
    assert entry is not None
    assert entry.addresses == ("info@x.test",)


@pytest.mark.parametrize(
    ("attributes", "what"),
    [
        ({"objectclass": ["user"], "cn": ["a"]}, "no address in any of proxyAddresses, mail, "),
        ({"proxyaddresses": ["x500:/o=c"]}, "no address in any of "),
        ({"objectclass": ["container"], "targetaddress": ["a@x.test"]}, "no address in any of "),
        ({"proxyaddresses": ["a@x.test"]}, "proxyAddresses 'a@x.test' has no prefix"),
        ({"proxyaddresses": ["smtp:a"]}, "proxyAddresses 'a' is no address"),
        ({"proxyaddresses": ["smtp:"]}, "proxyAddresses '' is no address"),
        ({"mail": ["a@x.test, b@x.test"]}, "mail 'a@x.test, b@x.test' is no address"),
        ({"mail": ["Ann <a@x.test>"]}, "mail 'Ann <a@x.test>' is no address"),
        ({"mail": ["a\x01@x.test"]}, r"mail 'a\x01@x.test' is no address"),
        ({"maillocaladdress": ["@x.test"]}, "mailLocalAddress '@x.test' is no address"),
        ({"mailalternateaddress": ["a@-x"]}, "mailAlternateAddress 'a@-x' is no address"),
        ({"mail": ["\u212a@x.test"]}, "mail '\u212a@x.test' is no address"),
        (CONTACT | {"targetaddress": []}, "a contact without targetAddress"),
        (CONTACT | {"targetaddress": [""]}, "targetAddress is empty"),
        (CONTACT | {"targetaddress": ["X400:c=us;"]}, "the target 'X400:c=us;' is no single"),
        (CONTACT | {"targetaddress": ["a@x.test,b@x.test"]}, "the target 'a@x.test,b@x.test' is"),
        (CONTACT | {"targetaddress": ["@r:a@x.test"]}, "the target '@r:a@x.test' is no single"),
        (CONTACT | {"targetaddress": ["a%e.test@x.test"]}, "the target 'a%e.test@x.test' is no"),
        (CONTACT | {"targetaddress": ["a@x.test", "b@x.test"]}, "2 values of targetAddress"),
        (CONTACT | {"mailroutingaddress": ["a@x.test"]}, "both targetAddress and mailRouting"),
        ({"mail": ["a@x.test"], "mailhost": ["a", "b"]}, "2 values of mailHost"),
        ({"mail": ["a@x.test"], "msexchrequireauthtosendto": ["1"]}, "msExchRequireAuthToSendTo"),
        ({"mail": ["a@x.test"], "proxyaddresses;range": ["smtp:a@x"]}, "a part of the values of "),
    ],
)
def test_a_bad_record_is_told_what_is_wrong(attributes: dict[str, list[str]], what: str) -> None:
    """No address, one that cannot be read, a target that is no single mailbox: a fault."""
    assert fault(**attributes).startswith(what)


def test_bytes_are_no_address() -> None:
    """A value that is no UTF-8 is a fault where it should be an address."""
    with pytest.raises(RecordError, match="a value of mail is no UTF-8 text"):
        recipient_of(Record(1, "cn=a", {"mail": ["a@x.test", b"\xff"]}), "f:1")


def test_a_dn_needs_an_equals_sign() -> None:
    """What has no attribute type is no DN (RFC 4514 section 2)."""
    with pytest.raises(RecordError, match="'ann' is no DN"):
        recipient(dn=["ann"], mail=["a@x.test"])


def test_long_values_are_cut_in_error_lines() -> None:
    """An error stays one readable line: 79 characters of a value and an ellipsis."""
    assert fault(mail=["a" * 500]) == f"mail '{'a' * 79}…' is no address"


@pytest.mark.parametrize(
    ("attributes", "lacks"),
    [
        ({"proxyaddresses": ["smtp:a@x.test"]}, True),
        ({"targetaddress": ["a@x.test"], "mailnickname": [""]}, True),
        ({"proxyaddresses": ["smtp:a@x.test"], "mailnickname": ["a"]}, False),
        ({"mail": ["a@x.test"]}, False),
    ],
)
def test_exchange_entries_need_a_nickname(
    attributes: dict[str, list[str | bytes]], *, lacks: bool
) -> None:
    """Exchange imports no entry without mailNickname; other schemas do not have it."""
    assert lacks_nickname(Record(1, "cn=a", attributes)) is lacks


@pytest.mark.parametrize(
    ("written", "folded"),
    [
        ("Mail", "mail"),
        ("mail;lang-DE;x-1", "mail"),
        ("2.5.4.3", "2.5.4.3"),
        ("member;Range=0-1499", "member;range"),
        ("member;range=1500-*", "member;range"),
        ("", ""),
        ("ma il", ""),
        ("1mail", ""),
        ("mäil", ""),
        ("mail;", ""),
    ],
)
def test_attribute_names_are_folded(written: str, folded: str) -> None:
    """Case and options go (RFC 4512 sections 1.4 and 2.5); what is no name is empty."""
    assert attribute_name(written) == folded
