"""``codomain postfix``: prints what main.cf and master.cf need, or writes it by postconf(1).

It reads the INI, and the Postfix that ``[codomain] postfix`` names, if there is one: its
queue directory, its services, and what its main.cf says now under the names that we set.
Without ``--apply`` nothing is changed anywhere.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import textwrap
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

import click

from codomain.errors import ConfigError
from codomain_cli.exits import UnavailableError
from codomain_cli.loading import config_option, load
from codomain_cli.maincf import SBIN, SECONDS
from codomain_cli.mainlines import LMTP, QUEUE, ROUTING, Setting, settings, shape
from codomain_cli.masterlines import REWRITE, Service, is_submission, parse, services
from codomain_cli.tuninglines import CLASSES, still_named, tuning

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from codomain.config import Config

WIDTH = 78
"""Columns of a comment."""

STOCK = (
    Service("smtp", "inet", ("n", "-", "y", "-", "-"), "smtpd"),
    Service("pickup", "unix", ("n", "-", "y", "60", "1"), "pickup"),
)
"""The services of a Postfix that cannot be read: Debian's, as it is installed."""

_UNRECORDED = frozenset({"smtp", "virtual"})
"""The default of virtual_transport, which is no choice of anybody's."""


@dataclass(frozen=True, slots=True)
class Host:
    """What is known of the Postfix."""

    queue_directory: str = QUEUE
    """Its queue."""

    mailboxes: str = LMTP
    """Its virtual_transport."""

    services: Sequence[Service] = STOCK
    """Its services."""

    written: Mapping[str, str] = field(default_factory=dict)
    """What its main.cf says itself, by name."""


@click.command()
@config_option
@click.option("--main-cf", "part", flag_value="main", help="Print the lines of main.cf only.")
@click.option("--master-cf", "part", flag_value="master", help="Print those of master.cf only.")
@click.option("--milter", is_flag=True, help="The milter judges, and not the policy server.")
@click.option("--apply", is_flag=True, help="Write them into main.cf and master.cf (postconf -e).")
def postfix(files: Sequence[Path], part: str | None, *, milter: bool, apply: bool) -> None:
    """Print the lines of main.cf and master.cf for this configuration."""
    config = load(files)
    where = config.codomain.postfix
    host = read(where)
    if apply:
        write(where, config, host, milter=milter)
        return
    if part != "master":
        click.echo(main_text(config, host, milter=milter), nl=False)
    if part is None:
        click.echo()
    if part != "main":
        click.echo(master_text(config, host, milter=milter), nl=False)


def read(where: str) -> Host:
    """Return what postconf says; ``where`` is auto, off, or the folder of a main.cf.

    What it does not say is as Debian installs it.
    """
    queue = _lines(where, "-xh", "queue_directory")
    if not queue:
        return Host()
    transport = _lines(where, "-xh", "virtual_transport")
    pairs = (line.partition("=") for line in _lines(where, "-n"))
    return Host(
        queue_directory=queue[0],
        mailboxes=transport[0] if transport and transport[0] not in _UNRECORDED else LMTP,
        services=parse(_lines(where, "-M")),
        written={name.strip(): value.strip() for name, _, value in pairs},
    )


def main_text(config: Config, host: Host, *, milter: bool = False) -> str:
    """Return the lines of main.cf, each with its reason above it."""
    lines = [
        *_comment(
            "main.cf, for codomain. Put these lines at its end and remove earlier ones of the"
            f" same names, or run codomain postfix {'--milter ' * milter}--apply, which has"
            " postconf do it. Then check by postconf -n, start codomain, and run postfix reload."
        ),
        *_folder(config, host),
    ]
    for setting in _wanted(config, host, milter=milter):
        if setting.why:
            lines += ["", *_comment(setting.why)]
        lines += _now(setting, host)
        lines.append(_line(setting))
    return "\n".join([*lines, "", *_hints(config), "", *_tuning(config, milter=milter), ""])


def master_text(config: Config, host: Host, *, milter: bool = False) -> str:
    """Return the entries of master.cf that are new or changed."""
    kind = shape(config, milter=milter)
    lines = _comment(
        "master.cf, for codomain. Each entry takes the place of the one of its name and type,"
        " if there is one."
    )
    if kind in ROUTING:
        lines += _comment(
            "smtpd remembers addresses that could not be resolved for as long as it lives. It"
            f" resolves by {REWRITE}, which asks no transport map, so that it answers 451 while"
            " a directory is down, and the next connection after that is well again. Run postfix"
            " reload after codomain itself was down, and after a domain was added: smtpd"
            " remembers of a domain, too, whether it is ours."
        )
    if kind == "milter":
        lines += _comment(
            "What local programs submit passes no milter: a cleanup of its own turns contacts"
            " into their targets."
        )
    for service in services(host.services, kind):
        lines += ["", *service.lines()]
    if not any(is_submission(service) for service in host.services):
        lines += ["", *_submission(kind)] if kind != "judge" else []
    return "\n".join([*lines, ""])


def write(where: str, config: Config, host: Host, *, milter: bool = False) -> None:
    """Write the lines into main.cf and master.cf by postconf, and say what they replace.

    Raises:
        ConfigError: the INI says that there is no Postfix.
        UnavailableError: postconf cannot do it; what it did before stays.

    """
    wanted = _wanted(config, host, milter=milter)
    for setting in wanted:
        for line in _now(setting, host):
            click.echo(line.removeprefix("# "))
    _change(where, "-e", *(f"{setting.name}={setting.value}" for setting in wanted))
    for service in services(host.services, shape(config, milter=milter)):
        _change(where, "-Me", f"{service.key}={service.line()}")
    click.echo("written; now start codomain and run postfix reload")


def _wanted(config: Config, host: Host, *, milter: bool) -> list[Setting]:
    found = settings(
        config,
        queue_directory=host.queue_directory,
        mailboxes=host.mailboxes,
        milter=milter,
    )
    now = host.written.get(CLASSES, "")
    return [still_named(config, now, one) if one.name == CLASSES else one for one in found]


def _folder(config: Config, host: Host) -> Iterator[str]:
    policyd = config.policyd
    milter = (config.milter.listen,) if config.milter.listen else ()
    listeners = (*policyd.listen, *policyd.socketmap_listen, *milter)
    paths = [listener.path for listener in listeners if listener.kind == "unix"]
    for folder in dict.fromkeys(os.path.dirname(path) for path in paths):  # noqa: PTH120
        inside = folder.startswith(f"{host.queue_directory}/")
        yield from _comment(
            f"The folder of the sockets, {folder}, must be there, and codomain must be able to"
            " write into it."
            + ("" if inside else " A smtpd that is chrooted, as Debian's is, cannot reach it.")
        )


def _now(setting: Setting, host: Host) -> list[str]:
    value = host.written.get(setting.name, setting.value)
    same = value.split() == setting.value.split()
    return [] if same else [f"# In main.cf now: {setting.name} = {value}"]


def _hints(config: Config) -> Iterator[str]:
    yield from _comment("Yours to decide, and therefore not set here:")
    origin = next((d.name for d in config.domains if d.type == "authoritative"), "")
    if origin:
        yield from _comment(
            "Mail for postmaster without a domain goes to postmaster@$myorigin. On a host"
            " without mailboxes of its own let that be a domain of yours:"
        )
        yield f"#myorigin = {origin}"
    yield from _comment("Against smuggled messages, in Postfix 3.5.23, 3.6.13, 3.7.9 and newer:")
    yield "#smtpd_forbid_bare_newline = yes"


def _tuning(config: Config, *, milter: bool) -> Iterator[str]:
    yield from _comment(
        "Any key of the INI may be set here, too, and goes before the INI: codomain_SECTION_KEY,"
        " or codomain_SECTION_NAME_KEY where the section has a name. Postfix shows such a"
        " parameter only where one of its own names it; ${...?} names it and adds nothing."
        " codomain reads it at its start and at a reload. As they stand these change nothing:"
    )
    yield from (f"#{line}" for line in tuning(config, milter=milter))


def _submission(kind: str) -> list[str]:
    lines = ["# Where your own users submit mail (submission, submissions), add to the entry:"]
    if kind in ROUTING:
        lines.append(f"#  -o rewrite_service_name={REWRITE}")
    if kind == "milter":
        return lines
    value = "codomain_check,permit_sasl_authenticated,reject"
    name = "smtpd_recipient_restrictions" if kind == "filter" else "smtpd_relay_restrictions"
    return [*lines, f"#  -o {name}={value}"]


def _line(setting: Setting) -> str:
    return f"{setting.name} = {setting.value}".rstrip()


def _comment(text: str) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent="# ",
        subsequent_indent="# ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _lines(where: str, *arguments: str) -> list[str]:
    """Return the lines of postconf's output; none where there is no Postfix to ask."""
    if where == "off":
        return []
    try:
        done = _postconf(where, *arguments)
    except OSError:
        return []
    return done.stdout.splitlines() if done.returncode == 0 else []


def _change(where: str, *arguments: str) -> None:
    if where == "off":
        raise ConfigError(["[codomain] postfix is off, and says nothing of a main.cf to write to"])
    try:
        done = _postconf(where, *arguments)
    except OSError as error:
        _refuse(f"postconf: {error.strerror}")
    if done.returncode:
        _refuse(done.stderr.strip() or f"postconf: status {done.returncode}")


def _refuse(text: str) -> NoReturn:
    raise UnavailableError(text)


def _postconf(where: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *SBIN])
    folder = [] if where == "auto" else ["-c", where]
    return subprocess.run(
        [shutil.which("postconf", path=path) or "postconf", *folder, *arguments],
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",
        stdin=subprocess.DEVNULL,
        timeout=SECONDS,
        check=False,
    )
