r"""Contacts as a file: csvde's CSV with the columns of KB 321721, or LDIF.

In flow entries; out flows text that csvde, ldifde and the readers of this program take as
it is.  Entries stand in the order of their names and values in an order of their own, so
that the same contacts always give the same file.  A value that CSV would not give back
as it was (a ``;`` or blanks at its ends, control characters, letters beyond ASCII) is
written as ``X'hex'``, which csvde does too; with ``unicode`` letters stay readable, in
UTF-16 as ``csvde -u`` has it.  So is one that a spreadsheet would take for a formula:
what stands in a directory may have been written by anybody.
"""

from __future__ import annotations

import base64
import csv
import io
import re
from typing import TYPE_CHECKING

from codomain_cli.bulk.merging import PROXIES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from codomain_cli.bulk.held import Known

HEADER = (
    "objectClass",
    "dn",
    "name",
    "cn",
    "sn",
    "givenName",
    "displayName",
    "proxyAddresses",
    "targetAddress",
    "mail",
    "mailnickname",
)
"""The columns, as KB 321721 writes them."""

WRITTEN = tuple(name for name in HEADER if name not in {"dn", "name"})
"""The attributes that an export asks for."""

IMPLIED = frozenset({b"top", b"person", b"organizationalperson", b"contact"})
"""Classes that contact has above it: only it is written, as csvde does."""

LDIF_WIDTH = 76
"""Columns of a line of LDIF before it is folded (RFC 2849 leaves it to the writer)."""

_BARE = re.compile(r"[^\s;\x00-\x1f\x7f](?:[^;\x00-\x1f\x7f]*[^\s;\x00-\x1f\x7f])?")
# By which a formula begins, also in full width, as some spreadsheets take it.
_FORMULA = re.compile(r"[=+\-@\uff1d\uff0b\uff0d\uff20]")
_SAFE = re.compile(
    rb"[\x01-\x09\x0b\x0c\x0e-\x1f\x21-\x39\x3b\x3d-\x7f][\x01-\x09\x0b\x0c\x0e-\x7f]*"
)


def as_csv(entries: Iterable[Known], *, unicode: bool = False) -> bytes:
    """Write the entries as CSV: ASCII, or UTF-16 with its mark."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(HEADER)
    for entry in _sorted(entries):
        writer.writerow([_cell(entry, name, unicode=unicode) for name in HEADER])
    text = out.getvalue()
    return text.encode("utf-16") if unicode else text.encode("ascii")


def as_ldif(entries: Iterable[Known]) -> bytes:
    """Write the entries as LDIF (RFC 2849)."""
    lines = [b"version: 1"]
    for entry in _sorted(entries):
        lines += [b"", *_folded("dn", str(entry.name).encode())]
        for name in WRITTEN:
            for value in _values(entry, name):
                lines += _folded(name, value)
    return b"\n".join([*lines, b""])


def _sorted(entries: Iterable[Known]) -> list[Known]:
    """Put units before what is in them, and names in order."""
    return sorted(entries, key=lambda entry: (entry.name.key[::-1], str(entry.name)))


def _values(entry: Known, name: str) -> list[bytes]:
    """Return the values of a column, in an order that does not depend on the server."""
    if name == "dn":
        return [str(entry.name).encode()]
    if name == "name":
        return [entry.name.own()[1].encode()]
    found = entry.raw.get(name.lower(), ())
    if name == "objectClass":
        return [b"contact", *sorted(v for v in found if v.lower() not in IMPLIED)]
    if name.lower() == PROXIES:  # the primary address first: capitals come before small letters
        return sorted(found, key=lambda value: (not value.startswith(b"SMTP:"), value))
    if name == "cn":  # that of the DN first, as it is written there
        own = entry.name.own()[1].encode()
        return sorted(found, key=lambda value: (value != own, value))
    return sorted(found)


def _cell(entry: Known, name: str, *, unicode: bool) -> str:
    return ";".join(_written(value, unicode=unicode) for value in _values(entry, name))


def _written(value: bytes, *, unicode: bool) -> str:
    try:
        text = value.decode("utf-8" if unicode else "ascii")
    except UnicodeDecodeError:
        text = ""
    if _BARE.fullmatch(text) and not _FORMULA.match(text) and text[:2] not in {"X'", "x'"}:
        return text
    return f"X'{value.hex()}'" if value else ""


def _folded(name: str, value: bytes) -> list[bytes]:
    """Write one value, in base64 where it is not safe (RFC 2849, SAFE-STRING)."""
    if _SAFE.fullmatch(value) and not value.endswith(b" "):
        line = name.encode() + b": " + value
    else:
        line = name.encode() + b":: " + base64.b64encode(value)
    parts = [line[:LDIF_WIDTH]]
    rest = line[LDIF_WIDTH:]
    size = LDIF_WIDTH - 1
    return parts + [b" " + rest[at : at + size] for at in range(0, len(rest), size)]
