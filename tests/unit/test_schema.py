"""Rules of the three LDAP schemas: which filter finds an address, and what an entry says."""

from __future__ import annotations

import pytest

from codomain.directory.base import Kind, Recipient
from codomain.directory.filters import encode_filter
from codomain.directory.schema import (
    ACTIVE_DIRECTORY,
    INETLOCALMAIL,
    INETORGPERSON,
    SCHEMAS,
    Attributes,
    Schema,
    address_key,
    escape,
    next_ranges,
    spellings,
)

A_AT_B = r"\61\40\62"
"""``a@b``, each byte written as RFC 4515 section 3 says."""


def read(schema: Schema, **values: list[bytes]) -> Recipient:
    """Read an entry of the DN ``cn=x``."""
    return schema.recipient("cn=x", Attributes(values))


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a", r"\61"),
        ("*", r"\2a"),
        ("(", r"\28"),
        (")", r"\29"),
        ("\\", r"\5c"),
        ("\0", r"\00"),
        (" a ", r"\20\61\20"),
        ("é", r"\c3\a9"),
        ("😀", r"\f0\9f\98\80"),
        ("", ""),
    ],
)
def test_every_byte_of_a_value_is_escaped(text: str, escaped: str) -> None:
    """An address is data: each byte of its UTF-8 is written as two hex digits (RFC 4515, 3)."""
    assert escape(text) == escaped


def test_surrogates_do_not_raise() -> None:
    """What is no character becomes bytes that are no UTF-8, which match nothing."""
    assert escape("\ud800") == r"\ed\a0\80"
    assert ACTIVE_DIRECTORY.filter("\udcff@example.com").startswith("(|(proxyAddresses=smtp:\\ed")


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ("active-directory", f"(|(proxyAddresses=smtp:{A_AT_B})(mail={A_AT_B}))"),
        ("inetlocalmail", f"(mailLocalAddress={A_AT_B})"),
        ("inetorgperson", f"(|(mail={A_AT_B})(mailAlternateAddress={A_AT_B}))"),
    ],
)
def test_filter_of_each_schema(schema: str, expected: str) -> None:
    """Each attribute that holds addresses is tested for equality, and no other."""
    assert SCHEMAS[schema].filter("a@b") == expected


@pytest.mark.parametrize(
    ("custom", "expected"),
    [
        ("(uid=%s)", f"(uid={A_AT_B})"),
        ("uid=%s", f"(uid={A_AT_B})"),
        ("(|(a=%s)(b=x%s))", f"(|(a={A_AT_B})(b=x{A_AT_B}))"),
        ("(objectClass=user)", f"(&(objectClass=user)(mailLocalAddress={A_AT_B}))"),
        ("objectClass=user", f"(&(objectClass=user)(mailLocalAddress={A_AT_B}))"),
        ("  ", f"(mailLocalAddress={A_AT_B})"),
    ],
)
def test_filter_of_the_ini(custom: str, expected: str) -> None:
    """With %s it replaces the schema's filter; without, it is one more condition."""
    assert INETLOCALMAIL.filter("a@b", custom) == expected


def test_placeholder_in_an_address_is_data() -> None:
    """An address that holds %s is not replaced once more."""
    assert INETLOCALMAIL.filter("%s@b", "(uid=%s)") == r"(uid=\25\73\40\62)"


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("ann@example.com", ("ann@example.com",)),
        ("john doe@example.com", ("john doe@example.com", '"john doe"@example.com')),
        ('a"b@example.com', ('a"b@example.com', r'"a\"b"@example.com')),
        ("a..b@example.com", ("a..b@example.com", '"a..b"@example.com')),
        (".a@example.com", (".a@example.com", '".a"@example.com')),
        ("a.@example.com", ("a.@example.com", '"a."@example.com')),
        ("x@xn--strae-oqa.de", ("x@xn--strae-oqa.de", "x@straße.de")),
        ("x@y.xn--strae-oqa.de", ("x@y.xn--strae-oqa.de", "x@y.straße.de")),
        (
            "j d@xn--strae-oqa.de",
            (
                "j d@xn--strae-oqa.de",
                '"j d"@xn--strae-oqa.de',
                "j d@straße.de",
                '"j d"@straße.de',
            ),
        ),
        ("x@xn--a.de", ("x@xn--a.de",)),  # no A-label of anything
        ("x@[192.0.2.1]", ("x@[192.0.2.1]",)),
        ("zo\u00eb@example.com", ("zo\u00eb@example.com", "zoe\u0308@example.com")),
        (
            "x@xn--mller-kva.de",
            ("x@xn--mller-kva.de", "x@m\u00fcller.de", "x@mu\u0308ller.de"),
        ),
        ("x", ("x",)),
        ("", ("",)),
    ],
)
def test_all_spellings_of_an_address_are_asked_for(key: str, expected: tuple[str, ...]) -> None:
    """U-labels or A-labels (RFC 5890), quotes or none (RFC 5321, 4.1.2), composed or not."""
    assert spellings(key) == expected


def test_two_spellings_make_one_filter() -> None:
    """The spellings are alternatives of one search, with the filter of the INI as well."""
    own = INETLOCALMAIL.filter("x@xn--strae-oqa.de")
    assert own == (
        r"(|(mailLocalAddress=\78\40\78\6e\2d\2d\73\74\72\61\65\2d\6f\71\61\2e\64\65)"
        r"(mailLocalAddress=\78\40\73\74\72\61\c3\9f\65\2e\64\65))"
    )
    assert INETLOCALMAIL.filter("x@xn--strae-oqa.de", "(mailLocalAddress=%s)") == own


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("Ann@Example.COM", "ann@example.com"),
        ('"john doe"@example.com', "john doe@example.com"),
        ("john doe@example.com", "john doe@example.com"),
        ("x@straße.de", "x@xn--strae-oqa.de"),
        ("@a.example:x@example.com", ""),
        ("@example.com", ""),
        ("ann", ""),
        ("", ""),
        ("\ud800@example.com", ""),
    ],
)
def test_addresses_of_a_directory_are_folded_as_those_of_mail(text: str, key: str) -> None:
    """What is compared is our own fold of both sides, not the server's matching rule."""
    assert address_key(text) == key


def test_active_directory_mailbox() -> None:
    """smtp: in any case gives an address, SMTP: the primary one, mail one more; X400: none."""
    found = read(
        ACTIVE_DIRECTORY,
        objectClass=[b"top", b"user"],
        proxyAddresses=[b"SMTP:Ann@example.com", b"smtp:a.smith@example.com", b"X400:c=us;a= ;"],
        mail=[b"ann@corp.local"],
    )
    assert found == Recipient(
        dn="cn=x",
        kind=Kind.MAILBOX,
        addresses=("ann@example.com", "a.smith@example.com", "ann@corp.local"),
        primary="Ann@example.com",
    )


def test_active_directory_contact() -> None:
    """A contact's mail goes to targetAddress without its prefix (KB 321721, method 2)."""
    found = read(
        ACTIVE_DIRECTORY,
        objectClass=[b"top", b"contact"],
        proxyAddresses=[b"SMTP:internetUser@remote.domain", b"smtp:internetuser@xo.one"],
        targetAddress=[b"SMTP:internetUser@remote.domain"],
    )
    assert found.kind is Kind.CONTACT
    assert found.target == "internetUser@remote.domain"
    assert found.addresses == ("internetuser@remote.domain", "internetuser@xo.one")


@pytest.mark.parametrize(
    ("values", "target"),
    [
        ([b"SMTP:a@b.example"], "a@b.example"),
        ([b"smtp:a@b.example"], "a@b.example"),
        ([b"Smtp: a@b.example"], "a@b.example"),
        ([b"a@b.example"], "a@b.example"),
        ([b"X400:c=us;a= ;p=x;s=y"], "X400:c=us;a= ;p=x;s=y"),
        ([b"smtp:"], "smtp:"),
        ([b"SMTP:\xff@b.example"], r"\xff@b.example"),
        ([b"SMTP:a@b.example", b"SMTP:c@d.example"], "a@b.example, SMTP:c@d.example"),
        ([], ""),
    ],
)
def test_targets_that_cannot_be_used_are_kept(values: list[bytes], target: str) -> None:
    """A target that is no mailbox must defer mail; without it the entry would be a mailbox."""
    assert read(ACTIVE_DIRECTORY, targetAddress=values).target == target


def test_any_entry_with_a_target_is_a_contact() -> None:
    """A mail user (class user, with targetAddress) leads elsewhere as a contact does."""
    user = read(ACTIVE_DIRECTORY, objectClass=[b"user"], targetAddress=[b"SMTP:a@b.example"])
    assert user.kind is Kind.CONTACT


@pytest.mark.parametrize("name", [b"group", b"Group", b"groupOfNames", b"groupOfUniqueNames"])
def test_groups_are_told_by_their_class(name: bytes) -> None:
    """A list is a group in every schema (Active Directory's class, RFC 4519's two)."""
    for schema in SCHEMAS.values():
        assert read(schema, objectClass=[b"top", name]).kind is Kind.GROUP


@pytest.mark.parametrize(
    ("values", "restricted"),
    [([b"TRUE"], True), ([b"true"], True), ([b"FALSE"], False), ([], False)],
)
def test_restricted_is_what_exchange_says(values: list[bytes], *, restricted: bool) -> None:
    """The value of msExchRequireAuthToSendTo is a Boolean of RFC 4517: TRUE or FALSE."""
    assert read(ACTIVE_DIRECTORY, msExchRequireAuthToSendTo=values).restricted is restricted


@pytest.mark.parametrize(
    ("proxies", "mail", "primary"),
    [
        ([b"smtp:b@x.example"], [b"a@x.example"], "a@x.example"),
        ([b"SMTP:a@x.example", b"SMTP:b@x.example"], [], ""),
        ([b"SMTP:a@x.example", b"SMTP:b@x.example"], [b"b@x.example"], "b@x.example"),
        ([b"smtp:a@x.example"], [], ""),
        ([], [b"a@x.example", b"b@x.example"], ""),
    ],
)
def test_primary_is_never_guessed(proxies: list[bytes], mail: list[bytes], primary: str) -> None:
    """Values of LDAP have no order: of two primary addresses none is the first."""
    assert read(ACTIVE_DIRECTORY, proxyAddresses=proxies, mail=mail).primary == primary


def test_attribute_names_are_of_any_case_and_options_are_subtypes() -> None:
    """Names ignore case and an option makes a subtype (RFC 4512, 2.5), ranges included."""
    raw = {
        "PROXYADDRESSES": [],
        "proxyAddresses;range=0-1": [b"smtp:a@x.example", b"smtp:b@x.example"],
        "mail;lang-de": [b"c@x.example"],
    }
    found = ACTIVE_DIRECTORY.recipient("cn=x", Attributes(raw))
    assert found.addresses == ("a@x.example", "b@x.example", "c@x.example")


def test_values_that_are_no_utf8_are_no_addresses() -> None:
    """Bytes that are no UTF-8 are skipped, the other values stay."""
    found = read(INETORGPERSON, mail=[b"\xff@x.example", b"a@x.example"])
    assert found.addresses == ("a@x.example",)


def test_white_space_around_a_value_is_not_part_of_it() -> None:
    """LDAP's matching rules ignore it (RFC 4518, 2.6.1), and so do we; within, it counts."""
    found = read(INETORGPERSON, mail=[b" a@x.example "], mailAlternateAddress=[b"a  b@x.example"])
    assert found.addresses == ("a@x.example", "a  b@x.example")


def test_inetlocalmail_entry() -> None:
    """Its mailLocalAddress resolves, mailRoutingAddress and mailHost lead (ldap_routing)."""
    found = read(
        INETLOCALMAIL,
        mailLocalAddress=[b"lea@example.com", b"@example.org"],
        mailRoutingAddress=[b"lea@unix.example.net"],
        mailHost=[b"mail.unix.example.net"],
        mail=[b"lea.l@elsewhere.example"],
    )
    assert found == Recipient(
        dn="cn=x",
        kind=Kind.CONTACT,
        addresses=("lea@example.com",),
        primary="",  # mail does not resolve to the entry
        target="lea@unix.example.net",
        mail_host="mail.unix.example.net",
    )


def test_inetlocalmail_primary_is_mail_where_it_resolves() -> None:
    """The schema names no primary address; mail is one where it also brings mail here."""
    found = read(
        INETLOCALMAIL, mailLocalAddress=[b"a@x.example", b"b@x.example"], mail=[b"B@x.example"]
    )
    assert found.primary == "B@x.example"


def test_inetorgperson_entry() -> None:
    """Mail (RFC 2798) is the primary address, mailAlternateAddress another one."""
    found = read(INETORGPERSON, mail=[b"Ida@x.example"], mailAlternateAddress=[b"i@x.example"])
    assert found == Recipient(
        dn="cn=x",
        kind=Kind.MAILBOX,
        addresses=("ida@x.example", "i@x.example"),
        primary="Ida@x.example",
    )


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (["proxyAddresses", "mail"], []),
        (["proxyAddresses", "proxyAddresses;range=0-1499"], ["proxyaddresses;range=1500-*"]),
        (["proxyAddresses;Range=1500-2999"], ["proxyaddresses;range=3000-*"]),
        (["proxyAddresses;range=3000-*"], []),
        (["mail;lang-de"], []),
        (["mail;range=x"], []),
    ],
)
def test_ranges_go_on_where_the_last_one_ended(names: list[str], wanted: list[str]) -> None:
    """A range that does not end with * is one of several (MS-ADTS 3.1.1.3.1.3.3)."""
    assert next_ranges({name: [] for name in names}) == wanted


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=lambda schema: schema.name)
@pytest.mark.parametrize(
    "key",
    [
        "a@b.example",
        "o'hara+x@b.example",
        "a..b@b.example",
        ".a@b.example",
        "a.@b.example",
        'a "b"\\@b.example',
        "*()\\@b.example",
        "\u00e9@b.example",
        "\udcff@b.example",
        "a@xn--bcher-kva.example",
        "a@b.xn--p1ai",
        "a@[192.0.2.1]",
        f"{'x' * 150}@{'y' * 60}.example",
    ],
)
@pytest.mark.parametrize(
    "custom",
    [
        "",
        " ",
        "(objectClass=user)",
        " objectClass=user",
        "(&(a=b)(!(c=*)))",
        "(mail=%s)",
        "mail=%s",
    ],
)
def test_the_short_way_to_a_filter_ends_where_the_long_one_does(
    schema: Schema, key: str, custom: str
) -> None:
    """What is sent is the filter that ``explain`` shows, octet for octet."""
    assert schema.encoded(key, custom) == encode_filter(schema.filter(key, custom))


def test_a_condition_that_is_no_filter_is_told() -> None:
    """It is a fault of the INI, and no search is made with half of it."""
    with pytest.raises(ValueError, match="no"):
        INETORGPERSON.encoded("a@b.example", "(objectClass")
