"""``codomain contacts``: persons on other systems, in bulk between files and a directory.

A file is csvde's CSV (.csv, with the columns of KB 321721 or others) or LDIF (.ldif). An
import shows what it would do, and does it with ``--apply``; it creates and changes, and
deletes nothing. Entries that are no contacts are never touched. What a record does not
name stays; a former primary address becomes a secondary one.

It can be stopped at any moment and run again: what is left is done then, and a second run
finds nothing to do. The running daemon is told which addresses are other ones now.

Exit status: 0, every record can be, or was, carried out; 1, some cannot, each named with
its line and reason; 64, the command line makes no sense; 75, the directory does not
answer, or takes no changes now: run it again; 78, the configuration or the file cannot be
used.
"""

from __future__ import annotations

import gc
import os
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from codomain.errors import RecordError
from codomain_cli.bulk import report
from codomain_cli.exits import Exit
from codomain_cli.loading import config_option, load
from codomain_cli.plain import printable
from codomain_cli.sync import progress_bars

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_F = TypeVar("_F", bound="Callable[..., object]")


@click.group()
def contacts() -> None:
    """Import, export or check persons on other systems, as contacts of a directory."""


def directory_options(function: _F) -> _F:
    """Add the options that choose a directory and a writer."""
    for option in (
        click.option(
            "--password-file",
            default="",
            metavar="FILE",
            help="Holds the password of --bind-dn; others must not be able to read it.",
        ),
        click.option(
            "--bind-dn", default="", metavar="DN", help="Who does it, in place of the INI's."
        ),
        click.option(
            "--directory", "name", default="", metavar="NAME", help="Which [directory] is meant."
        ),
        config_option,
    ):
        function = option(function)
    return function


def file_options(function: _F) -> _F:
    """Add the options that say how a file is taken, and how the report looks."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print JSON."),
        click.option("--verbose", is_flag=True, help="Show every record of the plan."),
        click.option(
            "--leave-out",
            multiple=True,
            metavar="ATTRIBUTE",
            help="Do not write this attribute; may be given more than once.",
        ),
        click.option(
            "--encoding",
            default="utf-8",
            show_default=True,
            metavar="NAME",
            help="Of a file without a byte order mark that is no UTF-8, such as cp932.",
        ),
        click.option(
            "--remove-addresses",
            is_flag=True,
            help="Take addresses away that an entry has and its record does not name.",
        ),
        click.option(
            "--create-ou", is_flag=True, help="Create the organisational units that are missing."
        ),
    ):
        function = option(function)
    return function


@contacts.command("import")
@click.argument("path", metavar="FILE")
@click.option("--apply", "apply_it", is_flag=True, help="Do it; without it the plan is shown.")
@file_options
@directory_options
def import_(**options: Any) -> None:  # noqa: ANN401 - as _run has them
    """Bring the contacts of a file into the directory: the plan, and with --apply the deed."""
    _run(**options)


@contacts.command()
@click.argument("path", metavar="FILE")
@file_options
@directory_options
def check(**options: Any) -> None:  # noqa: ANN401 - as _run has them
    """Do all that an import does, but write nothing."""
    _run(apply_it=False, **options)


@contacts.command()
@click.argument("path", metavar="FILE")
@click.option("--unicode", is_flag=True, help="Write CSV in UTF-16, as csvde -u does.")
@directory_options
def export(  # noqa: PLR0913 - one for each option
    *,
    path: str,
    files: Sequence[Path],
    name: str,
    bind_dn: str,
    password_file: str,
    unicode: bool,
) -> None:
    """Write the contacts of the directory into a file: .csv as csvde has it, or .ldif."""
    from codomain_cli.bulk import exporting
    from codomain_cli.bulk.connecting import as_writer, connect, section_of
    from codomain_cli.bulk.held import fetch

    suffix = Path(path).suffix.lower()
    if suffix not in {".csv", ".ldif"}:
        raise click.UsageError(f"{path}: its name ends in neither .csv nor .ldif")
    section = as_writer(section_of(load(files), name), bind_dn, password_file)
    with closing(connect(section)) as wire:
        held = fetch(wire, section.base, exporting.WRITTEN)
    every = [entry for entry in held.entries.values() if entry.contact]
    found = [entry for entry in every if entry.raw.get("targetaddress")]
    as_csv = suffix == ".csv"
    text = exporting.as_csv(found, unicode=unicode) if as_csv else exporting.as_ldif(found)
    _write(Path(path), text)
    click.echo(f"{len(found)} contacts")
    if len(every) > len(found):
        click.echo(f"{len(every) - len(found)} left out: no targetAddress", err=True)
    bare = sum(1 for entry in found if not entry.raw.get("mailnickname"))
    if bare:
        click.echo(f"{bare} have no mailNickname: an import refuses them", err=True)


def _run(  # noqa: PLR0913 - one for each option
    *,
    path: str,
    files: Sequence[Path],
    name: str,
    bind_dn: str,
    password_file: str,
    encoding: str,
    leave_out: Sequence[str],
    apply_it: bool,
    create_ou: bool,
    remove_addresses: bool,
    verbose: bool,
    as_json: bool,
) -> None:
    """Plan, show, and do it where that is wanted; ends with the exit status."""
    from codomain_cli.bulk.connecting import as_writer, section_of
    from codomain_cli.bulk.importing import Import, Terms

    gc.disable()  # a short life that keeps all it makes: a seventh of its time would be in vain
    config = load(files)
    section = as_writer(section_of(config, name), bind_dn, password_file)
    left_out = frozenset(map(str.lower, leave_out))
    terms = Terms(encoding, left_out, remove=remove_addresses, create_units=create_ou)
    say = _silent if as_json else _say
    job = Import(config, section, path, terms, progress_bars if sys.stderr.isatty() else None)
    job.prepare(say, verbose=verbose)
    try:
        if apply_it:
            job.apply(say)
    finally:  # what was done is said also where the rest could not be
        if as_json:
            click.echo(report.as_json(job.plan, job.outcome, job.told))
    if not apply_it and job.plan.works():
        say("nothing was changed; --apply does it")
    sys.exit(Exit.NEGATIVE if job.bad() else Exit.OK)


def _silent(_line: str) -> None:
    """Say nothing: JSON comes at the end."""


def _say(line: str) -> None:
    """Print a line; what stands in files and directories may have been written by anybody."""
    click.echo(printable(line))


def _write(path: Path, text: bytes) -> None:
    """Put a file in its place whole: who reads it meanwhile sees the old one.

    Raises:
        RecordError: it cannot be written.

    """
    try:
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=f".{path.name}.", delete=False
        ) as new:
            try:
                new.write(text)
                new.flush()
                os.fsync(new.fileno())
                Path(new.name).replace(path)
            except BaseException:
                Path(new.name).unlink()
                raise
    except OSError as error:
        raise RecordError(f"{path}: {error.strerror}") from error
