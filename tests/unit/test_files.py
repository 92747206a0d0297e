"""Rules of a directory of files: what is served, and what refuses to be."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from codomain.directory import text
from codomain.directory.base import Kind
from codomain.directory.files import MAX_CLAIMS, MAX_FAULTS, FilesDirectory
from codomain.errors import RecordError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

    from codomain.directory.base import Directory

PROJECT = Path(__file__).resolve().parents[2]
HEADER = "dn,proxyAddresses,targetAddress,mailNickname\n"
ANN = "dn: cn=ann,dc=x\nmail: ann@x.test\n"
BOB = "dn: cn=bob,dc=x\nmail: bob@x.test\n"
BAD = "dn: cn=bad,dc=x\nmail: nobody\n"


@dataclass(frozen=True)
class Section:
    """A section of the configuration."""

    path: tuple[str, ...]
    name: str = "people"
    encoding: str = "utf-8"
    skip_bad_records: bool = False


def write(folder: Path, **files: str | bytes) -> Path:
    """Write files: people_ldif becomes people.ldif."""
    for name, content in files.items():
        data = content if isinstance(content, bytes) else content.encode()
        (folder / name.replace("_", ".")).write_bytes(data)
    return folder


def load(folder: Path, *, skip: bool = False, encoding: str = "utf-8") -> FilesDirectory:
    """Load all files of a folder."""
    patterns = (f"{folder}/*.ldif", f"{folder}/*.csv")
    used = tuple(pattern for pattern in patterns if list(folder.glob(pattern.rpartition("/")[2])))
    return FilesDirectory(Section(used, encoding=encoding, skip_bad_records=skip))


def faults(folder: Path, *, skip: bool = False, encoding: str = "utf-8") -> list[str]:
    """Return the error lines of a load, without the folder."""
    with pytest.raises(RecordError) as caught:
        load(folder, skip=skip, encoding=encoding)
    return str(caught.value).replace(f"{folder}/", "").split("\n")


def dns(directory: FilesDirectory, key: str) -> list[str]:
    """Name the entries of an address."""
    return [entry.dn for entry in directory.peek(key)]


def test_it_is_a_directory(tmp_path: Path) -> None:
    """Peek answers always: entries, or none; find and check agree; there is nothing to close."""
    directory: Directory = load(write(tmp_path, a_ldif=ANN))
    directory.check()
    assert [entry.dn for entry in directory.find("ann@x.test", 0.0)] == ["cn=ann,dc=x"]
    assert directory.peek("bob@x.test") == ()
    assert directory.find("ann@x.test", 0.0) == directory.peek("ann@x.test")
    directory.close()
    assert directory.name == "people"


def test_files_of_both_formats_are_one_directory(tmp_path: Path) -> None:
    """All files that the patterns match, each once, whatever the case of their suffix."""
    write(tmp_path, a_ldif=ANN, b_CSV=HEADER + '"cn=bob,dc=x",smtp:bob@x.test,b@y.test,bob\n')
    directory = FilesDirectory(Section((f"{tmp_path}/*", f"{tmp_path}/a.ldif")))
    assert len(directory) == 2
    assert directory.paths == (f"{tmp_path}/a.ldif", f"{tmp_path}/b.CSV")
    assert directory.peek("bob@x.test")[0].target == "b@y.test"
    assert directory.warnings == ()


def test_the_published_sample_works_as_it_stands() -> None:
    """The contact resolves by both addresses and leads to its targetAddress."""
    directory = FilesDirectory(Section((str(PROJECT / "tests/data/seed.csv"),)))
    (contact,) = directory.peek("internetuser@xo.one")
    assert contact.kind is Kind.CONTACT
    assert contact.target == "internetUser@remote.domain"
    assert directory.peek("internetuser@remote.domain") == (contact,)
    assert directory.warnings == ()


def test_the_demo_has_the_entries_of_the_examples() -> None:
    """The demo's directory serves the rows of the examples, without a warning."""
    folder = PROJECT / "contrib/demo"
    directory = FilesDirectory(Section((f"{folder}/*.ldif", f"{folder}/*.csv")))
    ann, bob, eve, x1, x2, sales = (
        directory.peek(f"{name}@example.com")[0]
        for name in ("ann", "bob", "eve", "x1", "x2", "sales")
    )
    assert directory.warnings == ()
    assert (ann.kind, ann.target) == (Kind.MAILBOX, "")
    assert directory.peek("a.smith@example.com") == directory.peek("ann@corp.local") == (ann,)
    targets = [contact.target for contact in (bob, eve, x1, x2)]
    assert targets == ["bob@unix.example.net", "eve@evil.test", "x2@example.com", "x1@example.com"]
    assert sales.kind is Kind.GROUP
    for unknown in ("nobody@example.com", "nobody@corp.local", "postmaster@example.com"):
        assert directory.peek(unknown) == ()


def test_every_bad_record_is_one_line_that_names_file_and_line(tmp_path: Path) -> None:
    """A start with bad records is refused, and all of them are named at once."""
    write(tmp_path, a_ldif=f"{ANN}\n{BAD}\nbroken\n", b_csv=f"{HEADER}cn=b,smtp:b@x.test,,b,x\n")
    assert faults(tmp_path) == [
        "a.ldif:4: mail 'nobody' is no address",
        "a.ldif:7: 'broken' has no colon",
        "b.csv:2: 5 values for the 4 names of the first line",
        "b.csv: none of its records can be used",
    ]


def test_the_error_lines_are_bounded(tmp_path: Path) -> None:
    """As many lines as a person reads, and the number of the others."""
    write(tmp_path, a_ldif=ANN + f"\n{BAD}" * (MAX_FAULTS + 7))
    lines = faults(tmp_path)
    assert len(lines) == MAX_FAULTS + 1
    assert lines[-1] == "and 7 more"


def test_bad_records_can_be_skipped_with_a_warning_each(tmp_path: Path) -> None:
    """With skip_bad_records = yes the good ones load, and the bad ones are named."""
    write(tmp_path, a_ldif=f"{ANN}\n{BAD}\nbroken\n\n{BOB}")
    directory = load(tmp_path, skip=True)
    assert len(directory) == 2
    assert [line.replace(f"{tmp_path}/", "") for line in directory.warnings] == [
        "a.ldif:4: mail 'nobody' is no address",
        "a.ldif:7: 'broken' has no colon",
    ]


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("a_ldif", "", "a.ldif: it holds no record"),
        ("a_ldif", "version: 1\n\n# nothing\n", "a.ldif: it holds no record"),
        ("a_csv", HEADER, "a.csv: it holds no record"),
        ("a_ldif", "dn: dc=x\nobjectClass: domain\n", "no recipient in any of its files"),
        ("a_ldif", ANN.encode() + b"cn: \xe4\n", "a.ldif: no utf-8: invalid continuation byte"),
    ],
)
def test_a_file_without_use_is_refused(
    tmp_path: Path, name: str, content: str | bytes, what: str, *, skip: bool
) -> None:
    """No file may make all its people unknown: skip_bad_records is about records alone."""
    (line,) = faults(write(tmp_path, **{name: content}), skip=skip)
    assert what in line


@pytest.mark.parametrize(
    ("name", "content"),
    [("a_ldif", BAD), ("a_ldif", f"version: 2\n{ANN}"), ("a_csv", f"cn=a,b\n{HEADER}")],
)
def test_a_file_of_bad_records_alone_is_refused(tmp_path: Path, name: str, content: str) -> None:
    """Skipping all of a file would be the same as not having it."""
    (line,) = faults(write(tmp_path, **{name: content}), skip=True)
    assert line.endswith(": none of its records can be used")


def test_a_pattern_that_matches_nothing_is_refused(tmp_path: Path) -> None:
    """A missing file must not become "unknown user"."""
    write(tmp_path, a_ldif=ANN)
    with pytest.raises(RecordError) as caught:
        FilesDirectory(Section((f"{tmp_path}/*.ldif", f"{tmp_path}/*.csv"), skip_bad_records=True))
    assert str(caught.value) == f"[directory people] path: no file matches {tmp_path}/*.csv"


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    """The suffix tells the format; a guess could make people unknown."""
    with pytest.raises(RecordError, match=r"its name ends in neither \.ldif nor \.csv"):
        FilesDirectory(Section((f"{write(tmp_path, a_txt=ANN)}/*",)))


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    """A folder, a named pipe (which would block for ever) and a broken link are faults."""
    (tmp_path / "a.ldif").mkdir()
    os.mkfifo(tmp_path / "b.ldif")
    (tmp_path / "c.ldif").symlink_to(tmp_path / "gone")
    with pytest.raises(RecordError) as caught:
        FilesDirectory(Section((f"{tmp_path}/[ab].ldif", f"{tmp_path}/c.ldif")))
    assert str(caught.value).replace(f"{tmp_path}/", "").split("\n") == [
        "a.ldif: Is a directory",
        "b.ldif: it is no regular file",
        "c.ldif: No such file or directory",
    ]


def test_a_cr_alone_ends_no_line_of_ldif(tmp_path: Path) -> None:
    """SEP is LF or CR LF (RFC 2849): what stands behind a CR is no attribute of its own."""
    (line, _) = faults(write(tmp_path, a_ldif="dn: cn=a\nmail: a@x.test\rmail: b@x.test\n"))
    assert line == "a.ldif:2: a NUL or CR in the value of mail"


def test_an_open_quote_is_refused(tmp_path: Path) -> None:
    """An open quote would swallow the rest of the file, and people would become unknown."""
    rows = '"cn=a",smtp:a@x.test,,a\n"cn=b,smtp:b@x.test,,b\ncn=c,smtp:c@x.test,,c\n'
    (line,) = faults(write(tmp_path, a_csv=HEADER + rows))
    assert line.startswith("a.csv:3: no CSV (")
    assert dns(load(tmp_path, skip=True), "c@x.test") == ["cn=c"]


@pytest.mark.parametrize("other", ["cn=ANN,dc=x", "cn = ann , dc=x"])
def test_one_dn_stands_once(tmp_path: Path, other: str) -> None:
    """The same DN in two files is an error: case and blanks make no other (RFC 4518)."""
    write(tmp_path, a_ldif=ANN, b_ldif=f"dn: {other}\nmail: a@x.test\n\n{BOB}")
    assert faults(tmp_path) == [f"b.ldif:1: the DN '{other}' stands at a.ldif:1 too"]
    assert len(load(tmp_path, skip=True)) == 2


def test_an_escaped_comma_makes_another_dn(tmp_path: Path) -> None:
    r"""A blank behind ``\,`` belongs to the value (RFC 4514 section 2.4)."""
    write(tmp_path, a_ldif="dn: cn=a\\, b\nmail: a@x.test\n\ndn: cn=a\\,b\nmail: b@x.test\n")
    assert len(load(tmp_path)) == 2


def test_entries_without_dn_are_named_by_their_place(tmp_path: Path) -> None:
    """They are distinct, also in files whose names differ by case alone."""
    write(tmp_path, a_csv="mail\na@x.test\nb@x.test\n", A_csv="mail\nc@x.test\n")
    directory = load(tmp_path)
    assert dns(directory, "b@x.test") == [f"{tmp_path}/a.csv:3"]
    assert dns(directory, "c@x.test") == [f"{tmp_path}/A.csv:2"]


def test_two_entries_for_one_address_are_both_kept_and_named(tmp_path: Path) -> None:
    """Which of the two is meant is the decision's question: it defers."""
    write(tmp_path, a_ldif=ANN, b_ldif=f"{BOB}mail: ANN@x.test\n")
    directory = load(tmp_path)
    assert dns(directory, "ann@x.test") == ["cn=ann,dc=x", "cn=bob,dc=x"]
    assert dns(directory, "bob@x.test") == ["cn=bob,dc=x"]
    (line,) = directory.warnings
    assert line.replace(f"{tmp_path}/", "") == (
        "b.ldif:1: ann@x.test is an address of the entry at a.ldif:1 too; mail to it is deferred"
    )


def test_an_address_twice_in_one_entry_is_one_claim(tmp_path: Path) -> None:
    """Mail and proxyAddresses usually repeat each other."""
    write(tmp_path, a_csv="dn,mail,proxyAddresses,mailNickname\ncn=a,a@x.test,SMTP:A@x.test,a\n")
    directory = load(tmp_path)
    assert (dns(directory, "a@x.test"), directory.warnings) == (["cn=a"], ())


def test_claims_of_one_address_are_bounded(tmp_path: Path) -> None:
    """Two make it ambiguous; a thousand would cost a thousand times a thousand."""
    write(tmp_path, a_csv="mail\n" + "a@x.test\n" * (MAX_CLAIMS + 5))
    directory = load(tmp_path)
    assert len(directory.peek("a@x.test")) == MAX_CLAIMS
    assert len(directory) == MAX_CLAIMS + 5


def test_a_missing_nickname_is_a_warning(tmp_path: Path) -> None:
    """Mail resolves all the same; Exchange would not import the entry."""
    write(tmp_path, a_csv=f"{HEADER}cn=a,smtp:a@x.test,,\n")
    directory = load(tmp_path)
    assert dns(directory, "a@x.test") == ["cn=a"]
    assert directory.warnings == (
        f"{tmp_path}/a.csv:2: no mailNickname; Exchange would not import it",
    )


@pytest.mark.parametrize("coding", ["utf-8", "utf-8-sig", "utf-16", "cp932"])
@pytest.mark.parametrize("name", ["a_ldif", "a_csv"])
def test_a_mark_then_utf8_then_the_configured_encoding(
    tmp_path: Path, name: str, coding: str
) -> None:
    """A byte order mark decides, then UTF-8 where it fits, then what is configured."""
    dn = "cn=田中,dc=x"
    content = {
        "a_ldif": f"dn: {dn}\r\nmail: t@x.test\r\n",
        "a_csv": f'dn,mail\r\n"{dn}",t@x.test\r\n',
    }
    write(tmp_path, **{name: content[name].encode(coding)})
    assert dns(load(tmp_path, encoding="cp932"), "t@x.test") == [dn]


def test_utf16_of_the_other_byte_order(tmp_path: Path) -> None:
    """FE FF at the head is UTF-16, big end first."""
    write(tmp_path, a_ldif=b"\xfe\xff" + ANN.encode("utf-16-be"))
    assert dns(load(tmp_path), "ann@x.test") == ["cn=ann,dc=x"]


@pytest.mark.parametrize(
    ("content", "encoding", "line"),
    [
        (b"dn: cn=\xe4\n", "utf-8", "no utf-8: invalid continuation byte at byte 7"),
        (b"dn: cn=a\nmail: a\0\n", "utf-8", "no utf-8: NUL at byte 16"),
        (
            b"# \x81\x20\n",
            "cp932",
            (
                "no utf-8: invalid start byte at byte 2; "
                "no cp932: illegal multibyte sequence at byte 2"
            ),
        ),
        (b"# \xc3", "utf-8", "no utf-8: unexpected end of data at byte 2"),
        (b"\xff\xfed\0n", "utf-8", "no utf-16: truncated data at byte 4"),
        (
            b"\xe4",
            "klingon",
            (
                "no utf-8: unexpected end of data at byte 0; "
                "encoding = klingon: there is no such encoding"
            ),
        ),
        (
            b"\xe4",
            "hex",
            "no utf-8: unexpected end of data at byte 0; encoding = hex: there is no such encoding",
        ),
    ],
)
def test_an_encoding_that_does_not_fit_names_the_byte(
    tmp_path: Path, content: bytes, encoding: str, line: str
) -> None:
    """The first byte at fault is counted from 0, in each encoding that was tried."""
    assert faults(write(tmp_path, a_ldif=content), encoding=encoding) == [f"a.ldif: {line}"]


def test_a_byte_at_fault_is_counted_from_the_files_start(tmp_path: Path) -> None:
    """Also behind the first piece, and where a character is cut in two by its end."""
    start = b"# " + b"a" * (text.CHUNK - 3)
    write(tmp_path, a_ldif=start + b"\xc3\xff")
    (line,) = faults(tmp_path)
    assert line.endswith(f"at byte {text.CHUNK - 1}")


def test_a_line_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file without line ends must not be read into memory as one line."""
    monkeypatch.setattr(text, "MAX_LINE", 100_000)
    write(tmp_path, a_ldif=b"# " + b"a" * 200_000 + b"\n" + ANN.encode())
    assert faults(tmp_path) == ["a.ldif: a line of more than 100000 bytes"]


def test_a_file_is_read_in_large_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each read lets go of the interpreter, and whoever waits for it then begins anew."""
    reads = 0

    class Counting(io.FileIO):
        def readinto(self, buffer: WriteableBuffer, /) -> int | None:
            nonlocal reads
            reads += 1
            return super().readinto(buffer)

    monkeypatch.setattr(io, "FileIO", Counting)
    entry = "dn: cn={0}\nobjectClass: user\nmailNickname: {0}\nmail: {0}@example.com\ncn: {1}\n\n"
    many = "".join(entry.format(f"u{number}", "x" * 1000) for number in range(2000))
    assert len(load(write(tmp_path, a_ldif=many))) == 2000
    passes, pieces = 4, len(many) // text.BUFFER + 2  # three buffers, and the end
    assert reads <= passes * pieces


def test_a_reload_serves_what_the_files_say_now(tmp_path: Path) -> None:
    """Entries that are gone from a file are unknown, new files and entries are found."""
    directory = load(write(tmp_path, a_ldif=ANN))
    write(tmp_path, a_ldif=BOB, b_ldif="dn: cn=c\nmail: c@x.test\n")
    directory.reload()
    assert dns(directory, "ann@x.test") == []
    assert dns(directory, "bob@x.test") == ["cn=bob,dc=x"]
    assert dns(directory, "c@x.test") == ["cn=c"]


@pytest.mark.parametrize("content", [f"{BOB}\n{BAD}", "", BOB.encode("utf-16-le"), b"\xff"])
def test_a_bad_reload_keeps_the_data_it_had(tmp_path: Path, content: str | bytes) -> None:
    """Nobody becomes unknown by a file that cannot be used, and the fault is told."""
    directory = load(write(tmp_path, a_ldif=ANN))
    write(tmp_path, a_ldif=content)
    with pytest.raises(RecordError, match=r"a\.ldif"):
        directory.reload()
    assert dns(directory, "ann@x.test") == ["cn=ann,dc=x"]
    assert dns(directory, "bob@x.test") == []
    directory.check()
    write(tmp_path, a_ldif=BOB)
    directory.reload()
    assert dns(directory, "bob@x.test") == ["cn=bob,dc=x"]


def test_a_file_that_is_gone_at_a_reload_keeps_the_data(tmp_path: Path) -> None:
    """Also where the pattern still matches others: its people must not become unknown."""
    write(tmp_path, a_ldif=ANN, b_ldif=BOB)
    directory = load(tmp_path)
    (tmp_path / "b.ldif").unlink()
    with pytest.raises(RecordError, match=r"b\.ldif: it is gone"):
        directory.reload()
    assert dns(directory, "bob@x.test") == ["cn=bob,dc=x"]


def test_a_reload_forgets_old_warnings(tmp_path: Path) -> None:
    """The warnings are those of the data in service."""
    directory = load(write(tmp_path, a_csv=f"{HEADER}cn=a,smtp:a@x.test,,\n"))
    assert len(directory.warnings) == 1
    write(tmp_path, a_csv=f"{HEADER}cn=a,smtp:a@x.test,,a\n")
    directory.reload()
    assert list(directory.warnings) == []
