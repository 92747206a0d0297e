"""Reads LDIF content records (RFC 2849): lines of text in, records out.

Sans-IO: the caller opens the file and decodes it.  Read are folded lines, comments
(folded ones too), base64 values, ``version: 1``, and line ends of LF and CRLF.  Two
things of the RFC are refused: values behind a URL (``:<``), because a file of recipients
must not make the gateway open others, and change records, because they say what to do
to a directory and not what is in it; but ``changetype: add``, which ldifde writes into
every record of an export, has the form of content and is read as such.  Values may hold
UTF-8 as it is, as the common tools write it, where the RFC asks for base64.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

from codomain.directory.record import LineError, Record, attribute_name, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    Line = tuple[int, str]
    """A logical line: the number of its first physical line, from 1, and its text."""

MAX_RECORD = 8 * 1024 * 1024
"""Characters in one record: the 4 MiB that slapd takes in one request (slapd.conf(5),
sockbuf_max_incoming_auth), in base64 and folded."""

CHANGES = frozenset({"changetype", "control"})
"""What stands behind the DN of a change record (RFC 2849, ldif-change-record)."""

ADDS = frozenset({"add", "Add", "ADD"})
"""Values of ``changetype`` with which a record holds what it would hold without (change-add)."""


def read(lines: Iterable[str]) -> Iterator[Record | LineError]:
    """Yield the records of a file, and a :class:`LineError` in place of each bad one.

    ``lines`` are physical lines of text, with or without their line ends.  Values are
    str where they are UTF-8, and bytes where base64 holds something else.  A version
    that is not 1 ends the reading: what follows cannot be understood.
    """
    first = True
    for block in _blocks(lines):
        try:
            rest = _without_version(block) if first else block
            if rest:
                yield _record(rest)
        except LineError as error:
            yield error
            if first and _is_version(block[0]):
                return
        first = False


def _blocks(lines: Iterable[str]) -> Iterator[list[Line]]:
    """Yield what stands between blank lines, unfolded and without comments."""
    block: list[Line] = []
    folds: list[str] = []  # what is folded to the last line of the block
    comment = False  # the last line was one, and so is what is folded to it
    size = 0
    for number, raw in enumerate(lines, 1):
        line = raw.rstrip("\r\n")
        size += len(line)
        if line[:1] == " " and (block or comment):
            if not comment:
                folds.append(line[1:])
        elif line and not line.isspace():
            _unfold(block, folds)
            comment = line[0] == "#"
            if not comment:
                block.append((number, line))
        else:
            _unfold(block, folds)
            if block:
                yield block
            block, comment, size = [], False, 0
        if size > MAX_RECORD:  # what follows is dropped; _record finds the mark
            block = [(block[0][0] if block else number, "")]
            folds.clear()
    _unfold(block, folds)
    if block:
        yield block


def _unfold(block: list[Line], folds: list[str]) -> None:
    if folds:
        number, line = block[-1]
        if line:
            block[-1] = number, line + "".join(folds)
        folds.clear()


def _is_version(line: Line) -> bool:
    return line[1][:8].lower() == "version:"


def _without_version(block: list[Line]) -> list[Line]:
    """Take ``version: 1`` off the first block of a file (RFC 2849, version-spec)."""
    if not _is_version(block[0]):
        return block
    number, text = block[0]
    if text[8:].strip(" ") != "1":
        raise LineError(number, f"{shown(text)}: this is not version 1 of LDIF (RFC 2849)")
    return block[1:]


def _record(block: list[Line]) -> Record:
    number, text = block[0]
    if not text:
        raise LineError(number, f"a record of more than {MAX_RECORD} characters")
    name, value = _attribute(number, text)
    if name != "dn":
        raise LineError(number, f"a record begins with {shown(text)} and not with dn:")
    if not value or isinstance(value, bytes):
        raise LineError(number, "the DN is " + ("no UTF-8 text" if value else "empty"))
    attributes: dict[str, list[str | bytes]] = {}
    for line, written in block[1:]:
        name, content = _attribute(line, written)
        if name in attributes:
            attributes[name].append(content)
        elif name == "dn":
            raise LineError(line, "a second dn: in one record: is a blank line missing?")
        elif name == "changetype" and content in ADDS and not attributes:
            continue
        elif name in CHANGES:
            raise LineError(line, f"{name}: makes this a change record, which is not read")
        else:
            attributes[name] = [content]
    if not attributes:
        raise LineError(number, "a record of a DN and nothing else")
    return Record(number, value, attributes)


def _attribute(number: int, line: str) -> tuple[str, str | bytes]:
    """Split a logical line (RFC 2849, attrval-spec): folded name, value."""
    written, colon, rest = line.partition(":")
    name = attribute_name(written)
    if not colon or not name:
        raise LineError(number, _no_attribute(line, colon))
    if "\0" in rest or "\r" in rest:
        raise LineError(number, f"a NUL or CR in the value of {written}")
    first = rest[:1]
    if first == ":":
        return name, _decoded(number, written, rest[1:].strip(" "))
    if first == "<":
        raise LineError(number, f"{written}:< names a URL, which is not opened")
    return name, rest.lstrip(" ")


def _no_attribute(line: str, colon: str) -> str:
    if line[0] == " ":
        return "a folded line with no line before it"
    if line == "-":
        return "a line of - belongs to a change record, which is not read"
    what = "does not begin with the name of an attribute" if colon else "has no colon"
    return f"{shown(line)} {what}"


def _decoded(number: int, name: str, text: str) -> str | bytes:
    """Decode a base64 value (RFC 2849, value-spec): str where it is UTF-8."""
    try:
        value = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):  # ValueError: characters beyond ASCII
        raise LineError(number, f"the value of {name} is no base64: {shown(text)}") from None
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value
