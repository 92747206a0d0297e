"""``codomain sync``: keeps the local index of every directory with ``mode = sync`` in step.

It follows each directory on a thread of its own until SIGTERM, or with ``--once`` until
its index is in step.  SIGHUP reads the configuration anew: a bad one is logged and the old
one stays.  It tells systemd that it is ready when every index can be used.

Diagnostics: exit status 0, after SIGTERM, or all is in step; 1, with ``--once`` a loss was
too large (look at base and filter, then say ``--accept-shrink``), or with ``--status`` an
index cannot be used or is too old; 75, a directory does not answer, or another process
writes the index; 71, the index cannot be written; 78, the configuration cannot be used.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

from codomain.errors import ConfigError
from codomain.log import set_up
from codomain_cli.loading import config_option, load

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.progress import Progress

    from codomain.config import Config, DirectorySection


@click.command()
@config_option
@click.option("--once", is_flag=True, help="End when every index is in step.")
@click.option("--accept-shrink", is_flag=True, help="Whatever is lost at first is meant.")
@click.option("--status", is_flag=True, help="Show what there is, and follow nothing.")
@click.option("--json", "as_json", is_flag=True, help="With --status: as JSON.")
@click.argument("names", nargs=-1, metavar="[NAME]...")
def sync(  # noqa: PLR0913 - one for each option
    files: Sequence[Path],
    names: Sequence[str],
    *,
    once: bool,
    accept_shrink: bool,
    status: bool,
    as_json: bool,
) -> None:
    """Follow the directories with mode = sync, or the ones named, and keep their indexes."""
    if as_json and not status:
        raise click.UsageError("--json goes with --status")
    config = load(files)
    sections = followed(config, names)
    if status:
        from codomain_cli.syncstatus import show

        sys.exit(show(config, sections, as_json=as_json))
    from codomain.directory.follow import Terms
    from codomain_cli.following import Following

    with ExitStack() as stack:
        bars = stack.enter_context(progress_bars()) if sys.stderr.isatty() else None
        set_up(config.codomain.log_level, config.codomain.log_format)
        following = Following(files, names, bars)
        result = following.run(
            config, Terms(max_shrink=0.0, accept_shrink=accept_shrink, once=once)
        )
    sys.exit(result)


def followed(config: Config, names: Sequence[str]) -> list[DirectorySection]:
    """Return the sections to follow: those named, or all with ``mode = sync``.

    Raises:
        ConfigError: there is none, or a name is not among them.

    """
    sections = {section.name: section for section in config.directories if section.mode == "sync"}
    where = config.files[0] if config.files else "codomain.ini"
    if not sections:
        raise ConfigError([f"{where}: no [directory] has mode = sync: there is nothing to follow"])
    unknown = [name for name in names if name not in sections]
    if unknown:
        known = ", ".join(sections)
        raise ConfigError(
            [
                f"{where}: [directory {name}] is not there or has not mode = sync; there is {known}"
                for name in unknown
            ]
        )
    return [sections[name] for name in names or sections]


def progress_bars() -> Progress:
    """Return the bars that show on a terminal how far each load is."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )
