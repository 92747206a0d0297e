"""Rules of addresses: what is one mailbox, what is nobody's, and what is written out."""

from __future__ import annotations

import sys
import unicodedata

import pytest

from codomain.address import (
    DOMAIN_OCTETS,
    NFC_TURNS_ASCII,
    Address,
    fold_domain,
    fold_local,
    hides_foreign,
    parse_mailbox,
    parse_path,
    parse_recipient,
)

LONG_DOMAIN = ".".join(["d" * 63] * 3 + ["e" * 63])
EVERY_CHARACTER = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]


def mailbox(text: str) -> Address:
    """Read a mailbox that is one."""
    address = parse_mailbox(text)
    assert address is not None, text
    return address


def test_the_policy_form_is_split_at_the_last_at() -> None:
    """Step 1: the policy protocol gives the unquoted address; split at the last @."""
    address = parse_recipient(b"a@b@Example.COM")
    assert (address.local, address.domain, address.written) == ("a@b", "example.com", "Example.COM")
    assert not address.broken


@pytest.mark.parametrize(
    "local", ["john doe", 'a"b', "a\\b", "a..b", ".a", "a.", '"', "<a>", "(c)"]
)
def test_no_character_makes_the_policy_form_malformed(local: str) -> None:
    """Step 1: whatever stands before the last @ is the local part."""
    address = parse_recipient(f"{local}@example.com".encode())
    assert (address.local, address.broken) == (local, False)
    assert address.key == f"{local}@example.com"


@pytest.mark.parametrize(
    ("written", "local"),
    [
        ('"john doe"@example.com', "john doe"),
        ('"a\\"b"@example.com', 'a"b'),
        ('"ann"@example.com', "ann"),
        ('"a@b"@example.com', "a@b"),
        ('"a\\\\b"@example.com', "a\\b"),
    ],
)
def test_a_quoted_form_that_parses_is_taken_too(written: str, local: str) -> None:
    """Step 1: maps are asked with both forms; both name the same mailbox."""
    quoted, plain = (
        parse_recipient(written.encode()),
        parse_recipient(f"{local}@example.com".encode()),
    )
    assert quoted.local == local
    assert quoted.key == plain.key != ""
    assert parse_path(b"<" + written.encode() + b">").key == plain.key


@pytest.mark.parametrize("parse", [parse_recipient, parse_path])
@pytest.mark.parametrize(
    "route",
    [
        b"@a.test:",
        b"@a.test,@b.test:",
        b"@[192.0.2.9]:",
        b"@a.test,@[IPv6:2001:db8::1]:",
        b"@[IPv6:2001:db8::1],@a.test:",
    ],
)
def test_a_source_route_is_stripped(parse: object, route: bytes) -> None:
    """Step 1: the mailbox behind a route counts (RFC 5321 section 4.1.1.3)."""
    assert callable(parse)
    address = parse(route + b"ann@example.com")
    assert (address.local, address.domain) == ("ann", "example.com")


def test_a_route_without_a_mailbox_behind_it_is_none() -> None:
    """Nothing of ours may come out of half a route."""
    assert parse_recipient(b"@a.test:ann").domain == ""
    assert parse_recipient(b"@a.test:").local == ""


@pytest.mark.parametrize("raw", [b"", b"ann", b"ann@", b"ann@.", b"<>", b"<ann>", b"<ann@>"])
def test_without_a_domain_nothing_is_written(raw: bytes) -> None:
    """Step 2 tells "no domain at all" from a domain that is nobody's by `written`."""
    assert parse_path(raw).written == ""
    assert parse_path(raw).key == ""


@pytest.mark.parametrize("raw", [b"@example.com", b'<""@example.com>', b'<"ann@example.com>'])
def test_an_empty_or_open_local_part_is_broken(raw: bytes) -> None:
    """Step 2: an empty or impossible local part."""
    assert parse_path(raw).broken


@pytest.mark.parametrize(
    "raw",
    [
        b'<ann@"example.com">',
        b"<ann@exa\\mple.com>",
        b"<ann@example.com >",
        b"<ann@(x)example.com>",
    ],
)
def test_a_domain_in_quotes_is_nobodys(raw: bytes) -> None:
    """Step 1: what is not a valid LDH name belongs to nobody."""
    address = parse_path(raw)
    assert (address.domain, address.key) == ("", "")
    assert address.written != ""


def test_a_path_is_read_with_and_without_brackets_and_blanks() -> None:
    """The milter gives what stood in RCPT TO:, some MTAs without the brackets."""
    for raw in (b"<ann@example.com>", b"ann@example.com", b" <ann@example.com>\t"):
        assert parse_path(raw).key == "ann@example.com"


def test_obsolete_quoting_in_parts_names_the_same_mailbox() -> None:
    """RFC 5322 section 4.4, obs-local-part: "a"."b" is a.b."""
    assert parse_path(b'<"a"."b"@example.com>').local == "a.b"
    assert parse_path(b'<"a.b"@example.com>').local == "a.b"


@pytest.mark.parametrize(
    ("written", "folded"),
    [
        ("Example.COM", "example.com"),
        ("example.com.", "example.com"),
        ("müller.example", "xn--mller-kva.example"),
        ("MÜLLER.example", "xn--mller-kva.example"),
        ("mu\u0308ller.example", "xn--mller-kva.example"),
        ("XN--MLLER-KVA.example", "xn--mller-kva.example"),
        ("straße.example", "xn--strae-oqa.example"),
        ("例え.テスト", "xn--r8jz45g.xn--zckzah"),
        ("[192.0.2.1]", "[192.0.2.1]"),
        ("[IPv6:2001:DB8:0::1]", "[ipv6:2001:db8::1]"),
        ("192.0.2.1", "192.0.2.1"),
        ("a-b.c--d.example", "a-b.c--d.example"),
        ("9.example", "9.example"),
    ],
)
def test_domains_have_one_form(written: str, folded: str) -> None:
    """Step 1: NFC, lower case, IDNA 2008 without mapping, A-labels; literals in one spelling."""
    assert fold_domain(written) == folded


@pytest.mark.parametrize(
    "written",
    [
        "",
        ".",
        "example..com",
        ".example.com",
        "example.com..",
        "-a.example",
        "a-.example",
        "a_b.example",
        "a b.example",
        "a\tb.example",
        "example.com\0",
        "exam\u200bple.com",
        "exam\u200dple.com",
        "exam\u00adple.com",
        "ex\uff41mple.com",
        "example\u3002com",
        "example\uff0ecom",
        "example\uff61com",
        "\u212aelvin.example",
        "a;b.example",
        "a\u037eb.example",
        "a\u1fefb.example",
        "ſtrasse.example",
        "☃.example",
        "xn--ü.example",
        "d" * 64 + ".example",
        "ü" * 64 + ".example",
        LONG_DOMAIN + "x",
        "ü" * 300,
        "[192.0.2.1",
        "[192.0.2.01]",
        "[192.0.2]",
        "[0xc0.0.2.1]",
        "[2001:db8::1]",
        "[IPv6:2001:db8::1%eth0]",
        "[IPv6:]",
        "[192.0.2.1].",
        "[]",
        "[１９２.0.2.1]",
        "\udcff.example",
    ],
)
def test_what_is_no_ldh_name_is_nobodys(written: str) -> None:
    """Step 1: what is not a valid LDH name then belongs to nobody; nothing is mapped."""
    assert fold_domain(written) == ""
    assert parse_recipient(b"ann@" + written.encode("utf-8", "surrogateescape")).key == ""


def test_nfc_turns_ascii_is_complete() -> None:
    """Step 1: every character that NFC turns into one with ASCII in it is on the list."""
    turned = {
        c
        for c in EVERY_CHARACTER
        if not c.isascii() and any(d.isascii() for d in unicodedata.normalize("NFC", c))
    }
    assert turned == NFC_TURNS_ASCII


def test_no_other_character_becomes_an_ascii_letter_of_a_domain() -> None:
    """Step 1: a look-alike is never folded into a domain of ours, for all of Unicode.

    Asked are all characters that any case or normalisation turns into ASCII somewhere.
    """
    for char in EVERY_CHARACTER:
        if char.isascii():
            continue
        forms = {unicodedata.normalize("NFKC", char), char.lower(), char.upper(), char.casefold()}
        if any(c.isascii() for form in forms for c in form):
            folded = fold_domain(f"a{char}b.example")
            assert folded == "" or folded.startswith("xn--"), repr(char)


def test_no_character_becomes_an_ascii_one_in_a_local_part() -> None:
    """Step 1: NFC and ASCII letters, nothing else; for all of Unicode."""
    others = [c for c in EVERY_CHARACTER if not c.isascii()]
    assert [c for c in others if fold_local(c).isascii() and fold_local(c) != ""] == []
    becoming = {c for c in others if unicodedata.normalize("NFC", c).isascii()}
    assert becoming == NFC_TURNS_ASCII
    assert {fold_local(c) for c in becoming} == {""}


@pytest.mark.parametrize(
    ("one", "other"),
    [("Ann", "aNN"), ("jürgen", "ju\u0308rgen"), ("JüRGEN", "jürgen"), ("Å", "\u212b")],
)
def test_local_parts_that_are_the_same(one: str, other: str) -> None:
    """Step 1: NFC with ASCII letters folded."""
    assert fold_local(one) == fold_local(other) != ""


@pytest.mark.parametrize(
    ("one", "other"),
    [("Ü", "ü"), ("straße", "strasse"), ("ｋarl", "karl"), ("ı", "i"), ("ſ", "s"), ("ﬁ", "fi")],
)
def test_local_parts_that_differ(one: str, other: str) -> None:
    """Step 1: nothing else is folded."""
    assert fold_local(one) != fold_local(other)


@pytest.mark.parametrize(
    "local",
    [
        *("a\0", "a\n", "\x7f", "\udcff", "\u212a", "a\u037e", "\u1fef"),
        *("a+\x80x", "a+\x85x", "a\x9f", "a+\u2028x", "\u2029"),
    ],
)
def test_local_parts_that_match_no_entry(local: str) -> None:
    """Step 1: control characters, bytes that are no UTF-8, and what NFC turns into ASCII."""
    assert fold_local(local) == ""


@pytest.mark.parametrize("char", ["\x80", "\x85", "\x9f", "\u2028", "\u2029"])
def test_an_address_with_a_control_character_is_never_written_out(char: str) -> None:
    """Step 1: a door would write a blank for it, and Postfix would read two addresses."""
    assert parse_mailbox(f"bob+{char}x@example.com") is None
    assert parse_mailbox(f'"bob+{char}x"@example.com') is None
    assert parse_recipient(f"bob+{char}x@example.com".encode()).text() is None


def test_an_address_of_64_and_255_octets_is_read_and_written() -> None:
    """Step 2: never malformed for length alone; RFC 5321 section 4.5.3.1."""
    assert len(LONG_DOMAIN) == DOMAIN_OCTETS
    text = "l" * 64 + "@" + LONG_DOMAIN
    for address in (
        parse_recipient(text.encode()),
        parse_path(f"<{text}>".encode()),
        mailbox(text),
    ):
        assert (address.key, address.text(), address.broken) == (text, text, False)


def test_a_local_part_of_more_than_64_octets_is_no_fault() -> None:
    """Step 2: never for length alone."""
    address = parse_recipient(b"l" * 1000 + b"@example.com")
    assert not address.broken
    assert address.text() == "l" * 1000 + "@example.com"


@pytest.mark.parametrize(
    "text",
    [
        "ann@example.com",
        "a.b@example.com",
        "o'hara+x@example.com",
        '"a b"@example.com',
        '"a\\"b"@example.com',
        '"a@b"@example.com',
        "ann@[192.0.2.1]",
        "ann@[IPv6:2001:db8::1]",
        "jürgen@müller.example",
    ],
)
def test_a_mailbox_is_read(text: str) -> None:
    """RFC 5321 Mailbox, with UTF-8 as in RFC 6531 section 3.3."""
    assert mailbox(text).key != ""


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ann",
        "ann@",
        "@example.com",
        '""@example.com',
        " ann@example.com",
        "ann@example.com ",
        "ann @example.com",
        "ann@example.com\n",
        "a@example.com,b@example.com",
        "a@example.com, b@example.com",
        "a@example.com;b@example.com",
        "a@example.com b@example.com",
        "@relay.test:ann@example.com",
        "<ann@example.com>",
        "Ann <ann@example.com>",
        "ann@example.com (Ann)",
        "(Ann) ann@example.com",
        "smtp:ann@example.com",
        "a@b@example.com",
        "a..b@example.com",
        ".a@example.com",
        "a.@example.com",
        '"a"b@example.com',
        '"a@example.com',
        '"a\nb"@example.com',
        '"a\0b"@example.com',
        "a b@example.com",
        "ann@example.com.",
        "ann@exa_mple.com",
        "ann@example..com",
        "ann@[192.0.2.1",
        "ann@[192.0.2.300]",
        "ann@\u212aelvin.example",
        "ann\udcff@example.com",
        "X400:c=us;a= ;p=corp",
    ],
)
def test_what_is_not_one_mailbox_is_refused(text: str) -> None:
    """Step 5: one mailbox, parsed strictly: no list, no route, no comment, nothing around it."""
    assert parse_mailbox(text) is None


@pytest.mark.parametrize(
    ("local", "text"),
    [
        ("ann", "ann@example.com"),
        ("a.b", "a.b@example.com"),
        ("john doe", '"john doe"@example.com'),
        ('a"b', '"a\\"b"@example.com'),
        ("a\\b", '"a\\\\b"@example.com'),
        ("a..b", '"a..b"@example.com'),
        ("a@b", '"a@b"@example.com'),
        ("a,b", '"a,b"@example.com'),
        ("a%b", "a%b@example.com"),
        ("Jürgen", "Jürgen@example.com"),
        ("<a>", '"<a>"@example.com'),
    ],
)
def test_what_is_written_out_is_quoted_again(local: str, text: str) -> None:
    """Step 1: whatever a door emits is quoted again (RFC 5321 section 4.1.2)."""
    assert parse_recipient(f"{local}@example.com".encode()).text() == text


@pytest.mark.parametrize(
    "raw",
    [b"a\0@example.com", b"a\n@example.com", b"a\xff@example.com", b"ann", b"ann@a_b.example"],
)
def test_what_cannot_be_written_out_is_none(raw: bytes) -> None:
    """Step 1: and must parse back to the same mailbox, else Defer(fault)."""
    assert parse_recipient(raw).text() is None


@pytest.mark.parametrize(
    ("local", "delimiters", "base", "extension"),
    [
        ("ann+x", "+", "ann", "+x"),
        ("ann+x+y", "+", "ann", "+x+y"),
        ("ann+", "+", "ann", "+"),
        ("Ann-x+y", "+-", "Ann", "-x+y"),
        ("ann+x-y", "-+", "ann", "+x-y"),
    ],
)
def test_an_extension_is_cut_at_the_first_delimiter(
    local: str, delimiters: str, base: str, extension: str
) -> None:
    """Step 3: recipient_delimiter, cut at the first one."""
    parts = mailbox(f"{local}@example.com").extension(delimiters)
    assert parts is not None
    assert (parts[0].local, parts[0].key, parts[1]) == (
        base,
        f"{base.lower()}@example.com",
        extension,
    )


@pytest.mark.parametrize(
    ("local", "delimiters"), [("ann", "+"), ("+ann", "+"), ("ann+x", ""), ("+", "+"), ("+a+b", "+")]
)
def test_no_extension(local: str, delimiters: str) -> None:
    """Step 3: the base is not empty."""
    assert mailbox(f"{local}@example.com").extension(delimiters) is None


@pytest.mark.parametrize("char", list("%!@") + list("％！＠﹪﹗﹫‼⁉⁈"))
def test_a_local_part_hides_a_foreign_address(char: str) -> None:
    """Step 4: %, ! or @, also after NFKC: full-width and small forms."""
    assert hides_foreign(f"a{char}b")


def test_every_character_that_nfkc_turns_into_a_separator_hides() -> None:
    """Step 4, for all of Unicode."""
    turned = [
        c for c in EVERY_CHARACTER if not set("%!@").isdisjoint(unicodedata.normalize("NFKC", c))
    ]
    assert len(turned) > 9
    assert all(hides_foreign(f"x{c}y") for c in turned)


@pytest.mark.parametrize("local", ["ann", "a.b+c", "jürgen", "a#b", "a:b"])
def test_an_ordinary_local_part_hides_nothing(local: str) -> None:
    """Step 4 refuses nobody else."""
    assert not hides_foreign(local)


def test_an_address_for_a_person_shows_what_was_written() -> None:
    """Logs and the explanation show an address that cannot be written out, too."""
    assert str(parse_recipient(b"a b@Example.com")) == '"a b"@example.com'
    assert str(parse_recipient(b"ann@ex_ample.com")) == "ann@ex_ample.com"
    assert str(parse_recipient(b"ann")) == "ann"
