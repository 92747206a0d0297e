"""Any bytes as LDIF: entries or a RecordError, nothing else; what is written is read back."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codomain.directory import ldif
from codomain.directory.files import FilesDirectory
from codomain.directory.record import LineError, Record
from codomain.errors import RecordError

if TYPE_CHECKING:
    from pathlib import Path

PIECES = (
    *("\n", "\r\n", "\n ", "\n\n", " ", "#", ":", "::", ":<", ": ", "-", "\0", "\r", "\ufeff", "ä"),
    *("version: 1\n", "version: 2\n", "dn: cn=a\n", "dn:: Y249YQ==\n", "mail: a@x.test\n"),
    *("proxyAddresses: SMTP:a@x.test\n", "targetAddress: smtp:b@x.test\n", "changetype: add\n"),
    *("objectClass: contact\n", "objectClass: domain\n", "mail;range=0-1: a\n", "cn:: w6Q=\n"),
)

texts = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=30).map("".join)
files = st.binary(max_size=200) | texts.map(lambda text: text.encode("utf-8", "surrogatepass"))

names = st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,8}", fullmatch=True).filter(
    lambda name: name.lower() not in {"dn", "version", "changetype", "control"}
)
values = st.text(st.characters(exclude_categories=["Cs"]), max_size=60) | st.binary(max_size=60)
dns = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)
entries = st.tuples(dns, st.lists(st.tuples(names, values), min_size=1, max_size=5))


@dataclass(frozen=True)
class Section:
    """A section of the configuration."""

    path: tuple[str, ...]
    name: str = "fuzz"
    encoding: str = "cp932"
    skip_bad_records: bool = False


def written(name: str, value: str | bytes, width: int) -> str:
    """Write one attribute as RFC 2849 has it: in base64 where it must, folded at a width."""
    data = value.encode() if isinstance(value, str) else value
    safe = all(0 < byte < 128 and byte not in b"\r\n" for byte in data)
    if safe and data[:1] not in {b" ", b":", b"<"} and not data.endswith(b" "):
        line = f"{name}: {data.decode('ascii')}"
    else:
        line = f"{name}:: {base64.b64encode(data).decode('ascii')}"
    head, rest = line[: width + 1], line[width + 1 :]
    return "\n ".join([head, *(rest[at : at + width] for at in range(0, len(rest), width))]) + "\n"


def text_or_bytes(value: str | bytes) -> str | bytes:
    """Give a value as a reader gives it: text, where it is UTF-8."""
    if isinstance(value, str):
        return value
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value


@given(st.lists(entries, max_size=4), st.integers(1, 80))
def test_what_is_written_is_read_back(
    made: list[tuple[str, list[tuple[str, str | bytes]]]], width: int
) -> None:
    """A writer of RFC 2849 and the reader agree, wherever lines are folded."""
    out = ["version: 1\n"]
    expected = []
    for dn, pairs in made:
        out += ["\n", written("dn", dn, width), *(written(*pair, width) for pair in pairs)]
        attributes: dict[str, list[str | bytes]] = {}
        for name, value in pairs:
            attributes.setdefault(name.lower(), []).append(text_or_bytes(value))
        expected.append((dn, attributes))
    read = list(ldif.read("".join(out).split("\n")))
    assert [
        (item.dn, item.attributes) if isinstance(item, Record) else item for item in read
    ] == expected


@given(texts)
def test_any_text_gives_records_or_errors_at_its_lines(text: str) -> None:
    """The reader never raises, and each result names a line that is there, in order."""
    lines = text.split("\n")
    found = list(ldif.read(lines))
    assert all(isinstance(item, Record | LineError) for item in found)
    numbers = [item.line for item in found]
    assert numbers == sorted(set(numbers))
    assert all(1 <= number <= len(lines) for number in numbers)


@pytest.mark.parametrize("skip", [False, True])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=files)
def test_any_file_gives_entries_or_a_record_error(
    tmp_path: Path, data: bytes, *, skip: bool
) -> None:
    """Whatever a file holds, it is loaded, or refused with at least one line that names it."""
    path = tmp_path / "a.ldif"
    path.write_bytes(data)
    try:
        told = f"{len(FilesDirectory(Section((str(path),), skip_bad_records=skip)))} entries"
    except RecordError as error:
        told = str(error)
    assert told not in {"", "0 entries"}
