r"""Reads the CSV files of Microsoft's csvde: lines of text in, records out.

Sans-IO: the caller opens the file (without translating line ends) and decodes it.  The
first line names the attributes, in any case.  Quoting is Excel's (RFC 4180): a value
with a comma, a quote or a line end stands in quotes, and a quote in it is doubled.
Several values of one attribute share a cell, joined by ``;`` with or without blanks;
those of proxyAddresses are split only where a prefix follows, so that
``X400:c=us;a= ;p=One;`` stays whole, with the ``;`` at its end.  Binary values, which
csvde also uses for letters beyond ASCII, stand as ``X'hex'``.

A quote that is opened and never closed would swallow the records behind it.  So a bad
record takes its own first line with it and nothing else: reading goes on in the next.
"""

from __future__ import annotations

import csv
import re
from collections import deque
from typing import TYPE_CHECKING

from codomain.directory.record import LineError, Record, attribute_name, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_RECORD = 1024 * 1024
"""Characters in one record: eight times what the csv module grants one field; a group
of ten thousand members fits, and an open quote does not eat the machine's memory."""

_HEX = re.compile(r"[Xx]'((?:[0-9A-Fa-f]{2})*)'")
_PROXIES = re.compile(r";\s*(?=[A-Za-z0-9]+:|[Xx]')")
_TAIL = "; \t\r\n"
_OPEN = ": is a quote not closed?"


class _Lines:
    """The physical lines of one record at a time, to which one can go back."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        self._again: deque[str] = deque()
        self._taken: list[str] = []
        self._size = 0
        self.number = 1
        """The number of the record's first line."""

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._lines)
        self._taken.append(line)
        self._size += len(line)
        if self._size > MAX_RECORD:
            raise LineError(self.number, f"a record of more than {MAX_RECORD} characters{_OPEN}")
        return line

    def begin(self) -> None:
        """Let the next record begin at the line that comes next."""
        self.number += len(self._taken)
        self._taken.clear()
        self._size = 0

    def go_back(self) -> None:
        """Give back all lines of the record but its first."""
        self._again.extendleft(reversed(self._taken[1:]))
        del self._taken[1:]


def read(lines: Iterable[str]) -> Iterator[Record | LineError]:
    """Yield the records of a file, and a :class:`LineError` in place of each bad one.

    ``lines`` are physical lines of text with their line ends.  Values are str where they
    are text, and bytes where ``X'hex'`` holds something else.  A first line that names
    no attributes ends the reading: nothing behind it can be understood.
    """
    # The limit is one per process, and its default is too small for a group's members.
    csv.field_size_limit(max(csv.field_size_limit(), MAX_RECORD))
    rows = _rows(lines)
    header: list[str] = []
    for number, row in rows:
        try:
            if isinstance(row, LineError):
                raise row
            if header:
                yield _record(number, header, row)
            else:
                header = _header(number, row)
        except LineError as error:
            yield error
            if not header:
                return


def _rows(lines: Iterable[str]) -> Iterator[tuple[int, list[str] | LineError]]:
    """Yield every row that is not empty, with the number of its first line."""
    source = _Lines(lines)
    reader = csv.reader(source, strict=True)
    while True:
        source.begin()
        row: list[str] | LineError
        try:
            row = next(reader)
        except StopIteration:
            return
        except (csv.Error, LineError) as error:
            source.go_back()
            row = _fault(source.number, error)
            reader = csv.reader(source, strict=True)  # the old one stands within the bad record
        if isinstance(row, LineError) or any(map(str.strip, row)):
            yield source.number, row


def _fault(number: int, error: csv.Error | LineError) -> LineError:
    if isinstance(error, LineError):
        return error
    return LineError(number, f"no CSV ({error}){_OPEN}")


def _header(number: int, row: list[str]) -> list[str]:
    names: dict[str, None] = {}
    for cell in row:
        written = cell.strip()
        name = attribute_name(written)
        if not name or (";" in written and len(row) == 1):
            raise LineError(
                number,
                "the first line names the attributes, separated by commas:"
                f" {shown(written)} is no such name",
            )
        if name in names:
            raise LineError(number, f"the first line names {written} twice")
        names[name] = None
    return list(names)


def _record(number: int, header: list[str], row: list[str]) -> Record:
    if len(row) != len(header):
        raise LineError(number, f"{len(row)} values for the {len(header)} names of the first line")
    dn: str | bytes = ""
    attributes: dict[str, list[str | bytes]] = {}
    for name, cell in zip(header, row, strict=True):
        if name == "dn":
            dn = _value(cell.strip())
        elif cell:
            values = _values(name, cell)
            if values:
                attributes[name] = values
    if isinstance(dn, bytes):
        raise LineError(number, "the DN is no UTF-8 text")
    return Record(number, dn, attributes)


def _values(name: str, cell: str) -> list[str | bytes]:
    """Split a cell at ``;``, proxyAddresses only where a prefix follows."""
    if ";" not in cell:
        text = cell.strip()
        return [_value(text)] if text else []
    parts = _PROXIES.split(cell) if name == "proxyaddresses" else cell.split(";")
    return [_value(_whole(text)) for part in parts if (text := part.strip(_TAIL))]


def _whole(text: str) -> str:
    """Give an X400 address the ``;`` back that ends it: it is no separator there."""
    return f"{text};" if text[:5].lower() == "x400:" else text


def _value(text: str) -> str | bytes:
    if text[:2] not in {"X'", "x'"}:
        return text
    found = _HEX.fullmatch(text)
    if found is None:
        return text
    value = bytes.fromhex(found[1])
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value
