"""The command ``codomain``: finds the sub-command, and turns errors into exit statuses.

Exit statuses are those of sysexits(3), and 1 for a negative answer.
"""

from __future__ import annotations

import gc
import importlib
import io
import sys
from typing import NoReturn

import click

from codomain import __version__
from codomain.errors import (
    CodomainError,
    ConfigError,
    DirectoryError,
    IndexBusyError,
    IndexWriteError,
    ListenError,
    RecordError,
)
from codomain_cli.exits import AbsentError, Exit, RequestError, UnavailableError
from codomain_cli.plain import printable

COMMANDS = {
    "serve": "codomain_cli.serve",
    "sync": "codomain_cli.sync",
    "check": "codomain_cli.check",
    "explain": "codomain_cli.explain",
    "cache": "codomain_cli.cache",
    "shadow": "codomain_cli.shadow",
    "status": "codomain_cli.status",
    "contacts": "codomain_cli.contacts",
    "postfix": "codomain_cli.postfix",
    "sendmail": "codomain_cli.sendmail",
    "policies": "codomain_cli.policies",
    "demo": "codomain_cli.demo",
}
"""The modules of the sub-commands; each is imported when it is asked for."""


STATUSES = (
    (ConfigError, Exit.CONFIG),
    (RecordError, Exit.CONFIG),
    (ListenError, Exit.OS),
    (DirectoryError, Exit.TEMPORARY),
    (IndexBusyError, Exit.TEMPORARY),
    (IndexWriteError, Exit.OS),
    (AbsentError, Exit.TEMPORARY),
    (RequestError, Exit.USAGE),
    (UnavailableError, Exit.UNAVAILABLE),
)
"""How the process ends with each of our errors."""


_NO_ARGUMENTS: tuple[type[click.ClickException], ...] = tuple(
    getattr(click.exceptions, name)
    for name in ("NoArgsIsHelpError",)
    if hasattr(click.exceptions, name)
)
"""A command without arguments shows its help; click 8.1 does so by itself, without this error."""


class Commands(click.Group):
    """A group whose commands are imported one at a time."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        """Name all commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import one command; it has its module's name."""
        module = COMMANDS.get(cmd_name)
        if module is None:
            return None
        command: click.Command = getattr(importlib.import_module(module), cmd_name)
        if not gc.isenabled():  # see main
            gc.freeze()
            gc.enable()
        return command


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="codomain")
def codomain() -> None:
    """Let several mail systems share one SMTP domain, beside Postfix or Sendmail."""


def main() -> NoReturn:
    """Run the command line, and end the process with its status."""
    gc.disable()  # what is imported stays: to look through it costs a short command a tenth
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name that the locale lacks is shown escaped
        sys.stdout.reconfigure(errors="backslashreplace")
    status = run(sys.argv[1:])
    try:
        sys.stderr.flush()
    except OSError:  # a full disk: Python would end with 120, which says nothing of the command
        sys.stderr = None
    sys.exit(status)


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit status."""
    try:
        codomain.main(arguments, prog_name="codomain", standalone_mode=False)
    except _NO_ARGUMENTS as error:
        click.echo(error.format_message())
    except click.ClickException as error:
        error.show()
        return Exit.USAGE
    except (click.Abort, KeyboardInterrupt):
        return Exit.INTERRUPTED
    except CodomainError as error:
        # It may name what a server, a file or a client wrote.
        click.echo("\n".join(map(printable, str(error).split("\n"))), err=True)
        return next((status for kind, status in STATUSES if isinstance(error, kind)), Exit.SOFTWARE)
    return Exit.OK
