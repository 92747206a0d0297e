"""``codomain check``: whether the configuration can be used, and what it will do to mail.

Exit status: 0, it can be used (advice may be given); 78, it cannot, and every fault is
named; 75, with ``--probe``, a directory does not answer now.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from codomain.directory.opening import open_directory
from codomain.errors import CodomainError, DirectoryError
from codomain_cli.exits import Exit
from codomain_cli.loading import config_option, load

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from codomain.config import Config

STYLES = {"error": "bold red", "advice": "yellow", "ok": "green"}
"""How each kind of finding looks on a terminal."""


@click.command()
@config_option
@click.option("--probe", is_flag=True, help="Ask each directory whether it answers now.")
def check(files: Sequence[Path], *, probe: bool) -> None:
    """Read the configuration and the files it names, and report what is wrong."""
    try:
        config = load(files)
        findings, status = looked_at(config, probe=probe)
    except CodomainError as error:
        findings = [("error", line) for line in str(error).splitlines()]
        status = Exit.CONFIG
    _show(findings)
    sys.exit(status)


def looked_at(config: Config, *, probe: bool) -> tuple[list[tuple[str, str]], Exit]:
    """Return the findings, most severe first, and the exit status."""
    errors: list[str] = []
    advice = list(config.warnings)
    fine: list[str] = []
    status = Exit.OK
    for section in config.directories:
        try:
            directory = open_directory(section)
        except CodomainError as error:
            errors += str(error).splitlines()
            status = Exit.CONFIG
            continue
        advice += getattr(directory, "warnings", ())
        if probe:
            try:
                directory.check()
                fine.append(f"directory {section.name} answers")
            except DirectoryError as error:
                errors.append(f"directory {section.name} does not answer: {error}")
                status = status or Exit.TEMPORARY
        directory.close()
    findings = [("error", line) for line in errors] + [("advice", line) for line in advice]
    if not errors:
        fine.append("the configuration can be used")
    return findings + [("ok", line) for line in fine], status


def _show(findings: list[tuple[str, str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for kind, line in findings:
        table.add_row(Text(kind, style=STYLES[kind]), Text(line))
    Console(highlight=False).print(table)
