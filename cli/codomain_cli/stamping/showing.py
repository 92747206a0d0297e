"""A plan written down: for a person, for a spreadsheet, or as LDIF to be applied by hand.

What stands in a directory may have been written by anybody, so nothing of it reaches a
terminal or a spreadsheet as a command: control characters are shown as escapes, and a cell
that a spreadsheet would take for a formula gets an apostrophe in front.  LDIF: change
records of RFC 2849, as ldapmodify(1) takes them.
"""

from __future__ import annotations

import base64
import csv
import io
import re
from typing import TYPE_CHECKING, TextIO

from codomain_cli.stamping.writing import gains, losses

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from codomain.directory.writing import Modification
    from codomain_cli.stamping.plan import Change

COLUMNS = ("directory", "dn", "policy", "primary", "new", "gone", "notes", "conflicts")
"""The first line of the CSV."""

LDIF_COLUMNS = 76
"""Characters of a line of LDIF before it is folded, as ldapsearch(1) does it."""

_FORMULA = re.compile(r"[=+\-@\t\r]")
# RFC 2849's SAFE-STRING, and of its characters those that a terminal shows.
_SAFE = re.compile(r"[!-9;=-~][ -~]*")


def printable(text: str) -> str:
    """Show what is no printable character as an escape."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def table(changes: Iterable[Change], file: TextIO | None = None) -> None:
    """Print a table: one row for an entry."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(show_edge=False, pad_edge=False)
    for title in ("entry", "policy", "primary", "new", "gone", "remarks"):
        shown.add_column(title, overflow="fold")
    for change in changes:
        remarks = Text()
        for lines, style in ((change.conflicts, "bold red"), (change.notes, "yellow")):
            for line in lines:
                remarks.append(("\n" if remarks else "") + printable(line), style)
        cells = (change.entry.dn, change.policy, change.primary)
        lists = (change.gained, change.lost)
        shown.add_row(
            *(Text(printable(cell)) for cell in cells),
            *(Text("\n".join(map(printable, cell))) for cell in lists),
            remarks,
        )
    Console(highlight=False, file=file).print(shown)


def as_csv(changes: Iterable[Change]) -> str:
    """Write CSV (RFC 4180) with several values in one cell joined by ``;``."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for change in changes:
        entry = change.entry
        cells = [entry.directory, entry.dn, change.policy, change.primary]
        lists = [change.gained, change.lost, change.notes, change.conflicts]
        writer.writerow(map(cell, [*cells, *map("; ".join, lists)]))
    return text.getvalue()


def cell(text: str) -> str:
    """Return a cell that no spreadsheet takes for a formula, on one line."""
    shown = printable(text)
    return f"'{shown}" if _FORMULA.match(shown) or _FORMULA.match(text) else shown


def as_ldif(changes: Iterable[Change]) -> str:
    """Write the changes as LDIF change records.

    Without ``version: 1``, which ldbmodify(1) does not take and no other tool needs.  What
    goes stands at the end (:mod:`codomain_cli.stamping.writing`).
    """
    changes = list(changes)
    requests = [*map(gains, changes), *map(losses, changes)]
    records = [_record(request) for request in requests if request is not None]
    return "\n".join("".join(f"{line}\n" for line in record) for record in records)


def _record(request: Modification) -> Iterator[str]:
    yield from _line("dn", request.dn)
    yield "changetype: modify"
    for operation, attributes in (
        ("delete", request.delete),
        ("add", request.add),
        ("replace", request.replace),
    ):
        for name, values in attributes.items():
            yield from _part(operation, name, values)


def _part(operation: str, name: str, values: Sequence[bytes]) -> Iterator[str]:
    yield f"{operation}: {name}"
    for value in values:
        yield from _line(name, value.decode())
    yield "-"


def _line(name: str, value: str) -> Iterator[str]:
    """Write one attribute: in base64 where it is no SAFE-STRING, and folded."""
    if _SAFE.fullmatch(value) and not value.endswith(" "):
        line = f"{name}: {value}"
    else:
        line = f"{name}:: {base64.b64encode(value.encode()).decode()}"
    yield line[:LDIF_COLUMNS]
    for at in range(LDIF_COLUMNS, len(line), LDIF_COLUMNS - 1):
        yield f" {line[at : at + LDIF_COLUMNS - 1]}"
