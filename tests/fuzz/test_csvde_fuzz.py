"""Any bytes as csvde CSV: entries or a RecordError, nothing else; what is written is read back."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codomain.directory import csvde
from codomain.directory.files import FilesDirectory
from codomain.directory.record import LineError, Record
from codomain.errors import RecordError

if TYPE_CHECKING:
    from pathlib import Path

PIECES = (
    *('"', '""', ",", ";", "; ", "\n", "\r\n", "\r", "\0", " ", "\ufeff", "ä", "X'", "X'6161'"),
    *("dn,mail\n", "dn,proxyAddresses,targetAddress,objectClass\n", '"cn=a,dc=x",', "cn=b,"),
    *("a@x.test", "SMTP:a@x.test", "smtp:b@x.test;", "X400:c=us;a= ;", "contact\n", "domain\n"),
)

texts = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=30).map("".join)
headed = st.tuples(st.sampled_from(["dn,mail\n", "mail\n", "DN,proxyAddresses\r\n"]), texts)
contents = (texts | headed.map("".join)).map(lambda text: text.encode("utf-8", "surrogatepass"))
files = st.binary(max_size=200) | contents

# No ; and no blank at an end: those are the format's own, which no quoting protects.
words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters=";\0"), max_size=20)
cells = words.map(str.strip).filter(lambda word: word[:2] not in {"X'", "x'"})
rows = st.lists(
    st.tuples(cells, st.lists(cells.filter(bool), max_size=3), cells).filter(
        lambda row: any([row[0], row[1], row[2]])
    ),
    max_size=5,
)


@dataclass(frozen=True)
class Section:
    """A section of the configuration."""

    path: tuple[str, ...]
    name: str = "fuzz"
    encoding: str = "cp932"
    skip_bad_records: bool = False


def lines_of(text: str) -> list[str]:
    """Split as a text file does that is opened without translation of line ends."""
    return list(io.StringIO(text, newline=""))


@given(rows, st.sampled_from(["\n", "\r\n", "\r"]), st.sampled_from([";", "; ", " ;"]))
def test_what_is_written_is_read_back(
    made: list[tuple[str, list[str], str]], end: str, joint: str
) -> None:
    """A writer of Excel's quoting and the reader agree, whatever stands in the cells."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerow(["DN", "Mail", "cn"])
    writer.writerows([dn, joint.join(mails), name] for dn, mails, name in made)
    expected = [
        (dn, {key: found for key, found in (("mail", mails), ("cn", [name])) if any(found)})
        for dn, mails, name in made
    ]
    read = list(csvde.read(lines_of(out.getvalue())))
    assert [
        (item.dn, item.attributes) if isinstance(item, Record) else item for item in read
    ] == expected


@given(texts)
def test_any_text_gives_records_or_errors_at_its_lines(text: str) -> None:
    """The reader never raises, and each result names a line that is there, in order."""
    lines = lines_of(text)
    found = list(csvde.read(lines))
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
    path = tmp_path / "a.csv"
    path.write_bytes(data)
    try:
        told = f"{len(FilesDirectory(Section((str(path),), skip_bad_records=skip)))} entries"
    except RecordError as error:
        told = str(error)
    assert told not in {"", "0 entries"}
