"""Rules of reading csvde's CSV, and of nothing else: no addresses are judged here."""

from __future__ import annotations

import pytest

from codomain.directory import csvde
from codomain.directory.record import LineError, Record

SEED_HEADER = (
    "objectClass,dn,name,cn,sn,givenName,displayName,proxyAddresses,targetAddress,mail,mailnickname"
)
NO_HEADER = "the first line names the attributes, separated by commas:"
SEED_LINE = (
    'contact,"cn=Internet User,ou=internet users,dc=xo,dc=one",Internet User,Internet User,'
    "User,Internet,Internet User,SMTP:internetUser@remote.domain; smtp:internetuser@xo.one,"
    "SMTP:internetUser@remote.domain,internetUser@remote.domain,internetuser"
)


def read(text: str) -> list[Record | LineError]:
    """Read a text whose lines end as they stand."""
    return list(csvde.read(text.splitlines(keepends=True)))


def values(name: str, cell: str) -> list[str | bytes]:
    """Return the values that a cell gives."""
    (record,) = read(f"dn,{name}\r\ncn=a,{cell}\r\n")
    assert isinstance(record, Record)
    return record.attributes.get(name.lower(), [])


def fault(text: str) -> tuple[int, str]:
    """Read a text that holds one bad record: the line and what is said of it."""
    (error,) = read(text)
    assert isinstance(error, LineError)
    return error.line, str(error)


@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
def test_the_sample_line_of_the_format_is_read(end: str) -> None:
    """The published sample: quoted DN, two proxy addresses joined by a ; and a space."""
    (record,) = read(f"{SEED_HEADER}\r\n{SEED_LINE}{end}")
    assert record == Record(
        2,
        "cn=Internet User,ou=internet users,dc=xo,dc=one",
        {
            "objectclass": ["contact"],
            "name": ["Internet User"],
            "cn": ["Internet User"],
            "sn": ["User"],
            "givenname": ["Internet"],
            "displayname": ["Internet User"],
            "proxyaddresses": ["SMTP:internetUser@remote.domain", "smtp:internetuser@xo.one"],
            "targetaddress": ["SMTP:internetUser@remote.domain"],
            "mail": ["internetUser@remote.domain"],
            "mailnickname": ["internetuser"],
        },
    )


def test_the_header_ignores_case_and_blanks() -> None:
    """The first line names the attributes in any case."""
    (record,) = read("DN, MAIL ,ObjectClass\ncn=a,a@x,user\n")
    assert record == Record(2, "cn=a", {"mail": ["a@x"], "objectclass": ["user"]})


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("SMTP:a@x;smtp:b@x", ["SMTP:a@x", "smtp:b@x"]),
        ("SMTP:a@x; smtp:b@x;   x500:/o=c", ["SMTP:a@x", "smtp:b@x", "x500:/o=c"]),
        (
            "SMTP:a@x;X400:c=us;a= ;p=One;;smtp:b@x",
            ["SMTP:a@x", "X400:c=us;a= ;p=One;", "smtp:b@x"],
        ),
        ("x400:c=us;a= ;p=One;", ["x400:c=us;a= ;p=One;"]),
        ("SMTP:a@x; ", ["SMTP:a@x"]),
        ("SMTP:a@x;b@x", ["SMTP:a@x;b@x"]),
        ("X'736d74703a614078';X'736d74703a624078'", ["smtp:a@x", "smtp:b@x"]),
        ("", []),
        (" ; ", []),
    ],
)
def test_proxy_addresses_are_split_where_a_prefix_follows(cell: str, expected: list[str]) -> None:
    """An X400 address holds ; itself and ends in one; only ; before a prefix (or X') separates."""
    assert values("proxyAddresses", cell) == expected


@pytest.mark.parametrize(
    ("cell", "expected"),
    [("a@x;b@x", ["a@x", "b@x"]), (" a@x ; b@x ", ["a@x", "b@x"]), ("a@x;;", ["a@x"])],
)
def test_other_cells_are_split_at_every_semicolon(cell: str, expected: list[str]) -> None:
    """Several values of one attribute are joined by ; with or without blanks."""
    assert values("mail", cell) == expected


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("X'414e4e'", ["ANN"]),
        ("X'C3A4'", ["ä"]),
        ("X'ff00'", [b"\xff\x00"]),
        ("X'avier'", ["X'avier'"]),
        ("X'4'", ["X'4'"]),
    ],
)
def test_hex_values_are_decoded(cell: str, expected: list[str | bytes]) -> None:
    """X'hex' is binary, and text where it is UTF-8; what only looks like it is text."""
    assert values("cn", cell) == expected


def test_the_dn_may_be_hexadecimal_and_is_never_split() -> None:
    """Csvde writes a DN beyond ASCII as X'hex': 636e3dc3a4 is cn=ä; a ; may stand in a DN."""
    first, second = read("dn,cn\nX'636e3dc3a4',a\ncn=a;b,b\n")
    assert isinstance(first, Record)
    assert isinstance(second, Record)
    assert (first.dn, second.dn) == ("cn=ä", "cn=a;b")


def test_quotes_hold_commas_quotes_and_line_ends() -> None:
    """Excel's quoting (RFC 4180 section 2, rules 6 and 7); lines are counted all the same."""
    first, second = read('dn,cn\n"cn=a,dc=x","say ""hi""\r\nthere"\ncn=b,b\n')
    assert first == Record(2, "cn=a,dc=x", {"cn": ['say "hi"\r\nthere']})
    assert second == Record(4, "cn=b", {"cn": ["b"]})


def test_empty_lines_are_no_records() -> None:
    """Spreadsheets leave lines behind that hold nothing but commas."""
    records = read("\ndn,cn\n\n,\n , \ncn=a,a\n")
    assert records == [Record(6, "cn=a", {"cn": ["a"]})]


def test_a_file_may_have_no_dn() -> None:
    """Without a DN column an entry has no DN; it is named by its place then."""
    assert read("mail\na@x\n") == [Record(2, "", {"mail": ["a@x"]})]


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("dn,mail\ncn=a\n", 2, "1 values for the 2 names of the first line"),
        ("dn,mail\ncn=a,dc=x,a@x\n", 2, "3 values for the 2 names of the first line"),
        ("dn,mail\nX'ff',a@x\n", 2, "the DN is no UTF-8 text"),
        ('dn,mail\n"cn=a"b,a@x\n', 2, "no CSV ("),
        (SEED_LINE, 1, f"{NO_HEADER} 'cn=Internet User,ou="),
        ("dn,,mail\ncn=a,b,a@x\n", 1, f"{NO_HEADER} '' is no such name"),
        ("dn;mail\ncn=a;a@x\n", 1, f"{NO_HEADER} 'dn;mail' is no such name"),
        ("dn,mail,Mail\ncn=a,a@x,b@x\n", 1, "the first line names Mail twice"),
        ('"dn,mail\ncn=a,a@x\n', 1, "no CSV ("),
    ],
)
def test_a_bad_record_names_line_and_fault(text: str, line: int, what: str) -> None:
    """Each record that is none gives one error; a bad first line ends the reading."""
    at, said = fault(text)
    assert at == line
    assert said.startswith(what)


def test_an_open_quote_takes_its_own_line_alone() -> None:
    """A quote that is never closed is one fault; the records behind it are read."""
    first, error, last = read('dn,cn\ncn=a,a\n"cn=b,b\ncn=c,c\n')
    assert first == Record(2, "cn=a", {"cn": ["a"]})
    assert isinstance(error, LineError)
    assert error.line == 3
    assert str(error).endswith(": is a quote not closed?")
    assert last == Record(4, "cn=c", {"cn": ["c"]})


def test_an_open_quote_that_meets_the_next_one_takes_its_own_line_alone() -> None:
    """The quote that opens the next record's DN seems to close it: still one fault."""
    first, error, last = read('dn,cn\ncn=a,a\n"cn=b,b\n"cn=c,dc=x",c\n')
    assert isinstance(first, Record)
    assert isinstance(error, LineError)
    assert error.line == 3
    assert last == Record(4, "cn=c,dc=x", {"cn": ["c"]})


def test_an_open_quote_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """No record grows past the limit, so that an open quote does not read the whole file."""
    monkeypatch.setattr(csvde, "MAX_RECORD", 50)
    taken = 0

    def lines() -> list[str]:
        return ["dn,cn\n", '"cn=b,b\n', *(f"cn={n:04},{n:04}\n" for n in range(100))]

    def counted() -> object:
        nonlocal taken
        for line in lines():
            taken += 1
            yield line

    reading = csvde.read(counted())  # type: ignore[arg-type]
    error = next(reading)
    assert str(error) == "a record of more than 50 characters: is a quote not closed?"
    assert taken < 10
    assert sum(isinstance(record, Record) for record in reading) == 100


def test_a_long_cell_is_no_fault() -> None:
    """The members of a large group pass the csv module's own limit of 131,072 characters."""
    (record,) = read(f"dn,member\ncn=a,{'cn=m;' * 40_000}\n")
    assert isinstance(record, Record)
    assert len(record.attributes["member"]) == 40_000
