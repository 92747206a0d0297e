"""``codomain check``: what is wrong with the configuration, and what that does to mail.

It reads the INI, the directories' files and indexes, and the MTA's own files; with
``--probe`` it asks directories and next systems, too.  Nothing is changed anywhere.

Exit status: 0, nothing, or advice; 1, warnings: some mail does not fare as meant; 78,
errors: it cannot be used, or mail is refused or lost; 75, with ``--probe``, a directory or
a next system does not answer now.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from codomain.directory.opening import open_directory
from codomain.errors import CodomainError, ConfigError, DirectoryError, IndexUnusableError
from codomain_cli.checks import (
    canary,
    connectors,
    contents,
    instance,
    postfix_checks,
    postfix_main,
    postfix_services,
    sendmail_cf,
    tuning,
    walk,
)
from codomain_cli.checks import (
    probe as probing,
)
from codomain_cli.checks.asked import is_joined
from codomain_cli.checks.findings import Finding, Severity, from_line, ordered
from codomain_cli.checks.hosts import this_host
from codomain_cli.exits import Exit
from codomain_cli.loading import config_option, load
from codomain_cli.stamping.spaces import described

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from codomain.config import Config
    from codomain_cli.checks.instance import Instance
    from codomain_cli.checks.sendmail_cf import Cf

STYLES = {"error": "bold red", "warning": "yellow", "advice": "cyan", "ok": "green"}
"""How each severity looks on a terminal."""

MINOR = (
    "means nothing",
    "no domain uses it",
    "no domain is authoritative",
    "forged senders",
    "postmaster's mail",
)
"""Warnings about the INI that are advice: mail fares as the INI says."""


RECORDS = {
    "mailNickname": ("nickname", "give it a mailNickname"),
    "no index": ("no_index", "run codomain sync, and let it run"),
}
"""By what a directory's warning holds: the kind of finding, and what mends it."""

UNUSABLE = "correct the record, or write skip_bad_records = yes and lose its people"
"""What mends a record that says nothing of it itself."""


@click.command()
@config_option
@click.option("--probe", is_flag=True, help="Ask directories and next systems now.")
@click.option(
    "--postfix",
    "where",
    default="",
    metavar="DIR",
    help="The folder of main.cf and master.cf, in place of [codomain] postfix; or off.",
)
@click.option(
    "--sendmail",
    "cf",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Sendmail's configuration; /etc/mail/sendmail.cf where there is no Postfix.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def check(
    files: Sequence[Path], where: str, cf: Path | None, *, probe: bool, as_json: bool
) -> None:
    """Say what is wrong with the configuration, and what that does to mail."""
    findings, status = checked(files, where=where, cf=cf, probe=probe)
    if as_json:
        listed = [found.as_object() for found in findings]
        click.echo(json.dumps({"status": int(status), "findings": listed}, indent=2))
    else:
        _show(findings)
    sys.exit(status)


def checked(
    files: Sequence[Path], *, where: str = "", cf: Path | None = None, probe: bool = False
) -> tuple[list[Finding], Exit]:
    """Check a configuration and the MTA beside it; return the findings and the exit status."""
    try:
        config = load(files, where)
    except CodomainError as error:
        found = [from_line(line, Severity.ERROR) for line in f"{error}".splitlines()]
        return ordered(_placed(found, files, where)), Exit.CONFIG
    return looked_at(config, where=where, cf=cf, probe=probe)


def looked_at(
    config: Config, *, where: str = "", cf: Path | None = None, probe: bool = False
) -> tuple[list[Finding], Exit]:
    """Check a configuration that can be read."""
    found: list[Finding] = [_warning(line) for line in config.warnings]
    try:
        postfix = instance.read(where or config.codomain.postfix) if cf is None else None
    except ConfigError as error:
        found += [from_line(line, Severity.ERROR) for line in error.faults]
        postfix = None
    sendmail = _sendmail(cf, postfix, found)
    found += _mta(config, postfix, sendmail)
    host = this_host(config, postfix, sendmail_cf.ports(sendmail) if sendmail else (25,))
    found += connectors.findings(config, host)
    found += _spaces(config)
    found += canary.findings(config)
    found += _directories(config, probe=probe)
    if probe:
        queue = {"queue": postfix.queue} if postfix is not None else {}
        found += probing.systems(config, host, **queue)
    found = [_main_cf(one, postfix) for one in found]
    status = _status(found)
    if status is not Exit.CONFIG:
        found.append(Finding("usable", Severity.OK, "the configuration can be used"))
    return ordered(found), status


def _mta(config: Config, postfix: Instance | None, sendmail: Cf | None) -> Iterator[Finding]:
    if postfix is not None and not is_joined(config, postfix):
        yield Finding(
            "postfix.absent",
            Severity.ADVICE,
            "nothing in main.cf asks codomain: mail goes as if it were not there",
            "codomain postfix prints the lines",
            postfix.main.path,
        )
    elif postfix is not None:
        yield from postfix_main.findings(config, postfix)
        yield from postfix_checks.findings(config, postfix)
        yield from postfix_services.findings(config, postfix)
        yield from postfix_services.unreached(config, postfix)
        yield from tuning.findings(config, postfix)
    if sendmail is not None and not sendmail_cf.is_joined(sendmail):
        yield Finding(
            "sendmail.absent",
            Severity.ADVICE,
            "nothing in sendmail.cf asks codomain: mail goes as if it were not there",
            "codomain sendmail prints the lines",
            sendmail.text.path,
        )
    elif sendmail is not None:
        yield from sendmail_cf.findings(config, sendmail)


def _sendmail(cf: Path | None, postfix: Instance | None, found: list[Finding]) -> Cf | None:
    if cf is None and (postfix is not None or not sendmail_cf.DEFAULT.exists()):
        return None
    read = sendmail_cf.read(cf or sendmail_cf.DEFAULT)
    if read is None:
        found.append(
            Finding(
                "sendmail.cf",
                Severity.ERROR,
                "sendmail.cf cannot be read, and nothing is known of Sendmail",
                "--sendmail FILE",
                f"{cf or sendmail_cf.DEFAULT}",
            )
        )
    return read


def _directories(config: Config, *, probe: bool) -> Iterator[Finding]:
    """Open every directory, walk those that can be walked, and look at their entries."""
    known = contents.Contents()
    for section in config.directories:
        try:
            opened = open_directory(section, state_directory=config.codomain.state_directory)
        except CodomainError as error:
            for line in f"{error}".splitlines():
                found = from_line(line, Severity.ERROR, "directory.unusable")
                yield replace(found, remedy=found.remedy or UNUSABLE)
            continue
        try:
            for line in getattr(opened, "warnings", ()):
                yield _said(config, section.name, line)
            answers = probing.directory(config, opened) if probe else iter(())
            silent = False
            for finding in answers:
                silent = silent or finding.severity is not Severity.OK
                yield finding
            walked = walk.recipients(config, section, opened, probe=probe and not silent)
            if walked is not None:
                known.take(section.name, walked)
        except DirectoryError as error:
            yield from_line(f"{error}", Severity.WARNING, "directory.unread")
        except IndexUnusableError:
            pass  # its warnings have said so
        finally:
            opened.close()
    yield from contents.findings(config, known)


def _spaces(config: Config) -> Iterator[Finding]:
    """Say which addresses the recipient policies give in each domain of ours."""
    for line in described(config):
        yield Finding("policy.spaces", Severity.OK, line)


def _said(config: Config, directory: str, line: str) -> Finding:
    """Return what a directory says of one of its records, or of its index."""
    kind = next((kind for text, (kind, _) in RECORDS.items() if text in line), "duplicate")
    remedy = dict(RECORDS.values()).get(kind, "take the address from all but one of them")
    own = f"directory {directory}: "
    if line.startswith(own):
        what = line.removeprefix(own)
        return connectors.found(
            config,
            f"directory.{kind}",
            Severity.WARNING,
            what,
            remedy,
            directory,
            "mode",
            "directory",
        )
    found = from_line(line, Severity.WARNING, f"directory.{kind}")
    return replace(found, what=f"{found.what}; {found.remedy}".rstrip("; "), remedy=remedy)


def _warning(line: str) -> Finding:
    minor = any(text in line for text in MINOR)
    return from_line(line, Severity.ADVICE if minor else Severity.WARNING)


def _placed(found: list[Finding], files: Sequence[Path], where: str) -> list[Finding]:
    """Give faults of main.cf their line, where main.cf can be found."""
    from codomain import config as configuration

    try:
        postfix = instance.read(where or configuration.postfix_setting(files))
    except ConfigError:
        return found
    return [_main_cf(one, postfix) for one in found]


def _main_cf(found: Finding, postfix: Instance | None) -> Finding:
    """Give a finding about main.cf, which postconf shows without lines, its file and line."""
    if found.file != "main.cf" or postfix is None:
        return found
    from dataclasses import replace

    file, line = postfix.at(found.key)
    return replace(found, id=f"postfix.{found.key}", file=file, line=line)


def _status(found: list[Finding]) -> Exit:
    errors = [one for one in found if one.severity is Severity.ERROR]
    if any(one.id not in probing.SILENT for one in errors):
        return Exit.CONFIG
    if errors:
        return Exit.TEMPORARY
    return Exit.NEGATIVE if any(one.severity is Severity.WARNING for one in found) else Exit.OK


def _show(findings: list[Finding]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for found in findings:
        kind = found.severity.value
        lines = [found.where, found.what, f"→ {found.remedy}" * bool(found.remedy)]
        table.add_row(Text(kind, style=STYLES[kind]), Text("\n".join(filter(None, lines))))
    Console(highlight=False).print(table)
