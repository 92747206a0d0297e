"""Rules of reading LDIF (RFC 2849), and of nothing else: no addresses are judged here."""

from __future__ import annotations

import pytest

from codomain.directory import ldif
from codomain.directory.record import LineError, Record

Attributes = dict[str, list[str | bytes]]


def read(text: str) -> list[Record | LineError]:
    """Read a text whose lines end as they stand."""
    return list(ldif.read(text.splitlines(keepends=True)))


def one(text: str) -> Record:
    """Read a text that holds one good record."""
    (record,) = read(text)
    assert isinstance(record, Record)
    return record


def fault(text: str) -> tuple[int, str]:
    """Read a text that holds one bad record: the line and what is said of it."""
    (error,) = read(text)
    assert isinstance(error, LineError)
    return error.line, str(error)


def test_record_has_dn_line_and_values_in_order() -> None:
    """A content record is a DN and attributes, whose names ignore case (RFC 4512 2.5)."""
    record = one("dn: cn=ann,dc=x\nMail: ann@x\nmail: a@x\nobjectClass: user\n")
    assert record == Record(1, "cn=ann,dc=x", {"mail": ["ann@x", "a@x"], "objectclass": ["user"]})


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lines_end_with_lf_or_crlf(end: str) -> None:
    """SEP is LF or CR LF (RFC 2849)."""
    record = one(end.join(["version: 1", "", "dn: cn=a", "mail: a@x", ""]))
    assert record == Record(3, "cn=a", {"mail": ["a@x"]})


def test_last_line_needs_no_end() -> None:
    """A file cut off without a last line end still holds its last line."""
    assert one("dn: cn=a\nmail: a@x").attributes == {"mail": ["a@x"]}


def test_folded_lines_are_joined_without_the_one_space() -> None:
    """A line that begins with a space goes on with the line before it (RFC 2849, note 2)."""
    record = one("dn: cn=a,dc=exam\n ple\nmail: a\n @\n x\ncn: a\n  b\n")
    assert record.dn == "cn=a,dc=example"
    assert record.attributes == {"mail": ["a@x"], "cn": ["a b"]}


def test_base64_may_be_folded() -> None:
    """Folding comes before decoding: YW5uQHg= is ann@x."""
    assert one("dn: cn=a\nmail:: YW5u\n QHg=\n").attributes == {"mail": ["ann@x"]}


def test_base64_that_is_utf8_is_text() -> None:
    """The DN and values beyond ASCII stand in base64 (RFC 2849, value-spec): ä is w6Q=."""
    record = one("dn:: Y249w6Q=\ncn:: w6Q=\n")
    assert (record.dn, record.attributes) == ("cn=ä", {"cn": ["ä"]})


def test_base64_that_is_no_utf8_stays_bytes() -> None:
    """A binary value (objectGUID) is no fault of its record: /wA= is FF 00."""
    assert one("dn: cn=a\nobjectGUID:: /wA=\n").attributes == {"objectguid": [b"\xff\x00"]}


def test_comments_are_left_out_with_the_lines_folded_to_them() -> None:
    """A comment begins with # and may be folded (RFC 2849, note 3)."""
    text = "# first\n second\nversion: 1\n# x\ndn: cn=a\n# mail: b\n  @x\nmail: a@x\n#\n"
    assert one(text) == Record(5, "cn=a", {"mail": ["a@x"]})


def test_a_comment_alone_is_no_record() -> None:
    """Between blank lines, comments are nothing; the version may follow them."""
    assert read("# only\n\n#\n\n") == []
    assert one("# head\n\nversion: 1\n\ndn: cn=a\ncn: a\n").line == 5


def test_version_may_be_left_out() -> None:
    """Programs that read LDIF take files of LDAPv2 times, which have no version."""
    assert one("\n\ndn: cn=a\ncn: a\n").line == 3


def test_another_version_ends_the_reading() -> None:
    """A later version is another language: nothing of it is believed."""
    assert fault("version: 2\n\ndn: cn=a\ncn: a\n") == (
        1,
        "'version: 2': this is not version 1 of LDIF (RFC 2849)",
    )


def test_version_is_an_attribute_elsewhere() -> None:
    """Only at the head of a file does version: belong to LDIF itself."""
    first, second = read("dn: cn=a\ncn: a\n\nversion: 1\ndn: cn=b\ncn: b\n")
    assert isinstance(first, Record)
    assert isinstance(second, LineError)
    assert str(second) == "a record begins with 'version: 1' and not with dn:"


def test_several_blank_lines_separate_records() -> None:
    """1*SEP separates records; a line of blanks alone does so as well."""
    records = read("dn: cn=a\ncn: a\n\n  \n\n\ndn: cn=b\ncn: b\n\n")
    assert records == [Record(1, "cn=a", {"cn": ["a"]}), Record(7, "cn=b", {"cn": ["b"]})]


def test_an_empty_value_is_a_value() -> None:
    """Attr-spec allows no value at all: an empty one (RFC 2849, value-spec)."""
    assert one("dn: cn=a\ndescription:\n").attributes == {"description": [""]}


def test_spaces_behind_the_colon_are_no_part_of_the_value() -> None:
    """FILL is any number of spaces; spaces at the end belong to the value."""
    assert one("dn: cn=a\ncn:    a b \nsn:a:b\n").attributes == {"cn": ["a b "], "sn": ["a:b"]}


def test_options_name_subtypes_of_the_attribute() -> None:
    """Values of mail;lang-de are values of mail too (RFC 4512 section 2.5.2)."""
    record = one("dn: cn=a\nmail;lang-de: a@x\nmail: b@x\n0.9.2342;x-y: c\n")
    assert record.attributes == {"mail": ["a@x", "b@x"], "0.9.2342": ["c"]}


def test_a_range_of_values_is_kept_apart() -> None:
    """Active Directory's ;range= is a part of the values: it must not pass for all."""
    record = one("dn: cn=a\nproxyAddresses;range=0-1499: smtp:a@x\nmember;range=1500-*: cn=b\n")
    assert set(record.attributes) == {"proxyaddresses;range", "member;range"}


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("cn: a\ndn: cn=a\n", 1, "a record begins with 'cn: a' and not with dn:"),
        ("dn: cn=a\n", 1, "a record of a DN and nothing else"),
        ("dn:\ncn: a\n", 1, "the DN is empty"),
        ("dn:: /w==\ncn: a\n", 1, "the DN is no UTF-8 text"),
        ("dn: cn=a\ncn: a\ndn: cn=b\ncn: b\n", 3, "a second dn: in one record"),
        ("dn: cn=a\nmail a@x\n", 2, "'mail a@x' has no colon"),
        ("dn: cn=a\nma il: a@x\n", 2, "'ma il: a@x' does not begin with the name of an attribute"),
        ("dn: cn=a\n: a@x\n", 2, "': a@x' does not begin with the name of an attribute"),
        ("dn: cn=a\nmail:: YW5u!\n", 2, "the value of mail is no base64: 'YW5u!'"),
        ("dn: cn=a\nmail:: ä\n", 2, "the value of mail is no base64: 'ä'"),
        ("dn: cn=a\nmail: a\0@x\n", 2, "a NUL or CR in the value of mail"),
        ("dn: cn=a\njpegPhoto:< file:///etc/passwd\n", 2, "jpegPhoto:< names a URL"),
        ("dn: cn=a\nchangetype: modify\nmail: a@x\n", 2, "changetype: makes this a change"),
        ("dn: cn=a\nchangetype: delete\n", 2, "changetype: makes this a change record"),
        ("dn: cn=a\nmail: a@x\nchangetype: add\n", 3, "changetype: makes this a change record"),
        ("dn: cn=a\nchangetype: add\n", 1, "a record of a DN and nothing else"),
        ("dn: cn=a\ncontrol: 1.2 true\nmail: a@x\n", 2, "control: makes this a change record"),
        ("dn: cn=a\nmail: a@x\n-\n", 3, "a line of - belongs to a change record"),
        (" dn: cn=a\nmail: a@x\n", 1, "a folded line with no line before it"),
    ],
)
def test_a_bad_record_names_line_and_fault(text: str, line: int, what: str) -> None:
    """Each record that is no content record gives one error, at the line at fault."""
    assert fault(text)[0] == line
    assert fault(text)[1].startswith(what)


@pytest.mark.parametrize("line", ["changetype: add", "changeType:add", "changetype:: YWRk"])
def test_what_ldifde_exports_is_read(line: str) -> None:
    """It writes changetype: add into every record, of which the rest is content (change-add)."""
    record = one(f"dn: cn=a\n{line}\nobjectClass: contact\ncn: a\n")
    assert record.attributes == {"objectclass": ["contact"], "cn": ["a"]}


def test_cr_within_a_line_is_refused() -> None:
    """A CR is no SAFE-CHAR; only LF ends the lines that the caller gives."""
    (error,) = ldif.read(["dn: cn=a\n", "mail: a@x\rmail: b@x\n"])
    assert str(error) == "a NUL or CR in the value of mail"


def test_a_bad_record_hides_no_other() -> None:
    """Reading goes on behind the next blank line."""
    first, second, third = read("dn: cn=a\ncn: a\n\nbad\ncn: x\n\ndn: cn=c\ncn: c\n")
    assert isinstance(first, Record)
    assert isinstance(second, LineError)
    assert second.line == 4
    assert isinstance(third, Record)
    assert third.line == 7


@pytest.mark.parametrize("filler", ["cn: aaaaaaaa\n", " aaaaaaaaaaaa\n", "# aaaaaaaaaa\n"])
def test_a_record_is_bounded(monkeypatch: pytest.MonkeyPatch, filler: str) -> None:
    """However a record grows past the limit, it is one fault, and the next one is read."""
    monkeypatch.setattr(ldif, "MAX_RECORD", 100)
    text = "dn: cn=z\ncn: z\n\ndn: cn=a\n" + filler * 20 + "\ndn: cn=b\ncn: b\n"
    _, error, after = read(text)
    assert isinstance(error, LineError)
    assert (error.line, str(error)) == (4, "a record of more than 100 characters")
    assert isinstance(after, Record)
    assert after.dn == "cn=b"
