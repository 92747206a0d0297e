"""What ``codomain sync --status`` shows: each index, and how it is followed.

How a directory is followed stands beside its index as ``NAME.follow``, written by the
follower whenever that changes; how old the index is, the index says itself.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from codomain.directory.index import duplicates, index_path, status_of
from codomain.errors import IndexUnusableError
from codomain_cli.exits import Exit

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from codomain.config import Config, DirectorySection

SHOWN_DUPLICATES = 100
"""Addresses of several entries that are shown."""

UNITS = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))
"""Seconds of each unit in which an age is shown."""


@dataclass(frozen=True, slots=True)
class State:
    """How one directory is followed."""

    how: str = ""
    """The way: syncrepl, paged, usn; empty: not at all."""

    server: str = ""
    """The server's URI."""

    since: float = 0.0
    """Since when, in Unix seconds."""

    error: str = ""
    """What was wrong last."""

    error_at: float = 0.0
    """When that was, in Unix seconds."""


def write_state(path: Path, state: State) -> None:
    """Note how the index at ``path`` is followed; a disk that is full is no reason to stop."""
    file = _state_file(path)
    new = file.with_name(f"{file.name}.new")
    with suppress(OSError):
        new.write_text(json.dumps(asdict(state)))
        new.replace(file)


def read_state(path: Path) -> State:
    """Return what was noted; nothing where nothing can be read."""
    try:
        return State(**json.loads(_state_file(path).read_text()))
    except (OSError, ValueError, TypeError):
        return State()


def show(config: Config, sections: Sequence[DirectorySection], *, as_json: bool) -> Exit:
    """Print the state of each index; 1 where one cannot be used or is older than ``max_age``."""
    found = [_facts(config, section) for section in sections]
    if as_json:
        import sys

        sys.stdout.write(json.dumps(found, indent=2) + "\n")
    else:
        _table(found)
    fine = all(facts["usable"] and facts["age"] <= facts["max_age"] for facts in found)
    return Exit.OK if fine else Exit.NEGATIVE


def _facts(config: Config, section: DirectorySection) -> dict[str, Any]:
    path = index_path(config.codomain.state_directory, section.name)
    facts: dict[str, Any] = {
        "directory": section.name,
        "index": str(path),
        "usable": False,
        "entries": 0,
        "addresses": 0,
        "age": None,
        "max_age": section.max_age,
        **asdict(read_state(path)),
        "duplicates": {},
    }
    try:
        status = status_of(path)
        if status.complete:
            facts["duplicates"] = dict(islice(duplicates(path), SHOWN_DUPLICATES))
    except IndexUnusableError as error:
        facts["error"] = facts["error"] or str(error)
        return facts
    facts |= {
        "usable": status.complete,
        "entries": status.entries,
        "addresses": status.addresses,
        "age": max(0.0, round(time.time() - status.synced, 1)),
    }
    return facts


def _table(found: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    for facts in found:
        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in _lines(facts):
            table.add_row(Text(name), Text(value))
        console.print(table)


def _lines(facts: dict[str, Any]) -> list[tuple[str, str]]:
    late = facts["usable"] and facts["age"] > facts["max_age"]
    lines = [
        ("directory", facts["directory"]),
        ("index", facts["index"] if facts["usable"] else f"{facts['index']} (not usable)"),
        ("entries", f"{facts['entries']}, with {facts['addresses']} addresses"),
        ("in step", f"{_ago(facts['age'])}{' (older than max_age)' if late else ''}"),
        ("followed", f"{facts['how']}, {facts['server']}" if facts["how"] else "no"),
    ]
    if facts["error"]:
        when = f" ({_ago(time.time() - facts['error_at'])})" if facts["error_at"] else ""
        lines.append(("last error", facts["error"] + when))
    lines += [
        ("duplicate", f"{address}: {' and '.join(names)}")
        for address, names in facts["duplicates"].items()
    ]
    return lines


def _ago(seconds: float | None) -> str:
    if seconds is None:
        return "never"
    for size, unit in UNITS:
        if seconds >= size:
            return f"{seconds / size:.0f} {unit} ago"
    return "now"


def _state_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.follow")
