"""``codomain shadow``: what would have happened to mail, if shadow mode did not hold.

``report`` asks the running daemon for what it has let through since it began: the most
frequent reasons, domains and recipients.  Across restarts the log says the same:
``journalctl -u codomain -o short-iso | codomain shadow report --from-log -``.

Exit status: 0; 1, nothing would have been refused or redirected; 75, the daemon is not there.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from codomain_cli import plain
from codomain_cli.caller import call, control_path, json_option, socket_option
from codomain_cli.exits import Exit
from codomain_cli.loading import config_option
from codomain_cli.shadowreport import as_csv, as_object, rows

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

TOP = 20
"""Lines of each list of the report: what a person reads."""

EVERYTHING = 1_000_000_000
"""No list is cut: what is read from a log is all listed."""


@click.group()
def shadow() -> None:
    """Show what shadow mode has let through."""


@shadow.command()
@config_option
@socket_option
@json_option
@click.option("--csv", "in_csv", is_flag=True, help="Print CSV that is safe in a spreadsheet.")
@click.option(
    "--from-log",
    "log",
    type=click.File(encoding="utf-8", errors="surrogateescape"),
    help="Read the daemon's log, - for standard input, in place of asking it.",
)
@click.option(
    "--top",
    type=click.IntRange(1),
    default=TOP,
    show_default=True,
    metavar="N",
    help="Lines of each list for a terminal.",
)
def report(  # noqa: PLR0913  # one argument for each option
    files: Sequence[Path],
    path: Path | None,
    log: Any,  # noqa: ANN401 - a file, as click opens it
    *,
    as_json: bool,
    in_csv: bool,
    top: int,
) -> None:
    """Show what would have been refused or redirected: reasons, domains, recipients."""
    if as_json and in_csv:
        raise click.UsageError("--json and --csv: choose one")
    if log is None:
        found = call(control_path(files, path), "shadow.report")
    else:
        from codomain_cli.shadowlog import read

        found = as_object(read(log), EVERYTHING)
    if as_json:
        click.echo(json.dumps(found, indent=2))
    elif in_csv:
        click.echo(as_csv(found), nl=False)
    else:
        width, bold = plain.terminal()
        for line in plain.table(rows(found, top), width, bold=bold):
            click.echo(line)
    if not found["total"]:
        sys.exit(Exit.NEGATIVE)
