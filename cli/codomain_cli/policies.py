"""``codomain policies``: which addresses the recipient policies give, and stamping them.

A policy is a ``[policy NAME]`` of codomain.ini(5).  ``preview`` changes nothing; its LDIF is
what ``apply`` would write.  Nothing else ever applies a policy, also not a changed one.

Exit status: 0; 1, somebody does not get all that the policies say, and each is named; 64,
the command line makes no sense; 75, a directory does not answer, and nothing more was
written; 78, the configuration cannot be used, or has no policy.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from codomain.address import fold_domain
from codomain.errors import ConfigError
from codomain.settings.policies import has_entries
from codomain_cli.exits import Exit
from codomain_cli.loading import config_option, load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from codomain.config import Config
    from codomain_cli.stamping.plan import Change
    from codomain_cli.stamping.writing import Outcome

remove_option = click.option(
    "--remove",
    multiple=True,
    metavar="DOMAIN",
    help="Take away the secondary addresses in this domain that no policy gives; repeatable.",
)


@click.group()
def policies() -> None:
    """Show the addresses that recipient policies give, or stamp them."""


@policies.command()
@config_option
@remove_option
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "ldif"]),
    default="table",
    show_default=True,
    help="For a person, for a spreadsheet, or for ldapmodify(1).",
)
@click.option("--all", "every", is_flag=True, help="Show also who stays as he is.")
def preview(
    files: Sequence[Path],
    remove: Sequence[str],
    form: Literal["table", "csv", "ldif"],
    *,
    every: bool,
) -> None:
    """Show which entries would get which addresses; nothing is changed."""
    from codomain_cli.stamping import showing
    from codomain_cli.stamping.reading import planned

    config = load(files)
    changes = planned(config, _removable(config, remove))
    shown = [c for c in changes if every or c.changes or c.conflicts]
    if form == "csv":
        click.echo(showing.as_csv(shown), nl=False)
    elif form == "ldif":
        click.echo(showing.as_ldif(shown), nl=False)
        _say_conflicts(changes)
    else:
        if shown:
            showing.table(shown)
        click.echo(_summary(config, changes))
    sys.exit(_status(changes))


@policies.command()
@config_option
@remove_option
@click.option("--bind-dn", default="", metavar="DN", help="Who writes; else the INI's bind_dn.")
@click.option(
    "--password-file",
    default="",
    metavar="FILE",
    help="Holds the password of --bind-dn; others must not be able to read it.",
)
def apply(files: Sequence[Path], remove: Sequence[str], bind_dn: str, password_file: str) -> None:
    """Write what preview shows; a run that was ended is made again."""
    from codomain_cli.bulk.connecting import as_writer
    from codomain_cli.bulk.telling import purge
    from codomain_cli.stamping.reading import planned, stamped
    from codomain_cli.stamping.showing import printable
    from codomain_cli.stamping.writing import write

    config = load(files)
    sections = [as_writer(section, bind_dn, password_file) for section in stamped(config)]
    changes = planned(config, _removable(config, remove))
    wanted = [change for change in changes if change.changes]
    outcomes: list[Outcome] = []
    try:
        with _progress(len(wanted)) as done:  # nothing is printed within the bar
            for outcome in write(sections, wanted):
                outcomes.append(outcome)
                done()
    finally:
        for outcome in filter(lambda one: one.fault, outcomes):
            dn = outcome.change.entry.dn
            click.echo(printable(f"{dn}: the directory says {outcome.fault}"), err=True)
        refused = len(wanted) - sum(not outcome.fault for outcome in outcomes)
        click.echo(f"{len(wanted) - refused} entries changed, {refused} not")
        socket = config.codomain.control_socket
        # All of them: what was under way when a connection failed may have been done.
        if socket and (told := purge(Path(socket), _keys(wanted))):
            click.echo(told)
    _say_conflicts(changes)
    sys.exit(Exit.NEGATIVE if refused else _status(changes))


def _keys(changes: Iterable[Change]) -> set[str]:
    """Return every address of which the daemon's answer may be another one now."""
    from codomain.directory.schema import address_key

    return {
        key
        for change in changes
        for text in (*change.gained, *change.lost, *change.entry.addresses)
        if (key := address_key(text))
    }


def _removable(config: Config, remove: Iterable[str]) -> list[str]:
    """Return the domains of ``--remove``, folded: those in which policies give addresses.

    Raises:
        UsageError: one is none of them; nobody's addresses elsewhere are ours to take away.
        ConfigError: there is no policy.

    """
    if not config.policies:
        where = config.files[0] if config.files else "codomain.ini"
        raise ConfigError([f"{where}: no [policy] says which addresses to give; write one"])
    known = {s for policy in config.policies if has_entries(policy) for s in policy.address_spaces}
    for name in remove:
        if fold_domain(name) not in known:
            raise click.UsageError(f"--remove {name}: no policy gives addresses there")
    return [fold_domain(name) for name in remove]


def _summary(config: Config, changes: list[Change]) -> str:
    from codomain.settings.checks import Owners

    changed = sum(change.changes for change in changes)
    conflicts = sum(bool(change.conflicts) for change in changes)
    text = f"{len(changes)} entries, {changed} would change, {conflicts} with conflicts"
    owners = Owners(config.domains)
    shared = {
        domain.name
        for change in changes
        for address in change.gained
        if (domain := owners.of(fold_domain(address.rpartition("@")[2]))) is not None
        and domain.type != "authoritative"
    }
    if shared:
        text += (
            f"\nNew addresses in {', '.join(sorted(shared))}: whoever has one of them on another"
            " system, and is no contact here, would lose his mail to the entry that gets it."
        )
    return text


def _say_conflicts(changes: Iterable[Change]) -> None:
    from codomain_cli.stamping.showing import printable

    for change in changes:
        for conflict in change.conflicts:
            click.echo(printable(f"{change.entry.dn}: {conflict}"), err=True)


def _status(changes: Iterable[Change]) -> Exit:
    return Exit.NEGATIVE if any(change.conflicts for change in changes) else Exit.OK


class _progress:  # noqa: N801 - used as a function is
    """A bar on a terminal, and nothing elsewhere; gives what to call after each step."""

    def __init__(self, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

        columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        console = Console(stderr=True)
        self._bar = Progress(*columns, console=console, disable=not console.is_terminal)
        self._task = self._bar.add_task("", total=total)

    def __enter__(self) -> Callable[[], None]:
        self._bar.start()
        return lambda: self._bar.advance(self._task)

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
