"""``codomain explain``: every step of one decision, and what each door answers, to the letter.

The address comes from the command line, or from the mail log: ``--log`` takes a line of
Postfix or Sendmail as it stands, ``-`` for one on standard input, or a queue id, whose
recipients are then found in ``--mail-log FILE``, or in the journal.  What the line says of
client, sender and login counts, unless an option says otherwise.

``--live`` asks the running daemon, with its cache as it is: nothing is searched for, unless
``--ask`` lets it.  Without ``--live`` this command asks the directories itself.  The next
systems (``verify = callout``) are asked with ``--callout`` alone.

``--config`` without a file, which is ``--settings``, shows where each value of the
configuration comes from: FILE:LINE, the parameter of main.cf, or its default.

Exit status: 0, the mail is let through; 1, it is refused; 75, it is deferred, or the daemon
would have to ask first, or is not there; 78, the configuration cannot be used.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from codomain_cli import plain
from codomain_cli.asking import Asking, question_of
from codomain_cli.exits import Exit
from codomain_cli.explainobject import VERSION, as_object
from codomain_cli.explainview import rows
from codomain_cli.explanation import Explanation, InForce, Steps, explained
from codomain_cli.loading import config_option, load
from codomain_cli.lookups import AtOnce

if TYPE_CHECKING:
    from collections.abc import Sequence

    from codomain.config import Config
    from codomain.question import Question
    from codomain_cli.logline import Logged

CONFIG = "--config"
"""The option that names the INI; without a file it is :data:`SETTINGS`."""

SETTINGS = "--settings"
"""The option that shows where each value comes from."""


class Explain(click.Command):
    """Takes ``--config`` without a file for ``--settings``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the arguments."""
        last = len(args) - 1
        args = [
            SETTINGS if arg == CONFIG and (at == last or args[at + 1].startswith("-")) else arg
            for at, arg in enumerate(args)
        ]
        return super().parse_args(ctx, args)


@dataclass(frozen=True, slots=True)
class Means:
    """How it is found out."""

    files: Sequence[Path]
    """The INI."""

    live: bool
    """The daemon is asked."""

    socket: Path | None
    """Where, if the INI does not say."""


@click.command(cls=Explain)
@click.argument("address", required=False)
@config_option
@click.option("--client", default="", metavar="IP", help="The client's address; none: unknown.")
@click.option("--sender", default="", metavar="ADDRESS", help="The envelope sender.")
@click.option("--sasl", default="", metavar="USER", help="The client logged in as USER.")
@click.option("--context", default="", metavar="NAME", help="main.cf's policy_context.")
@click.option(
    "--certificate", default="", metavar="FINGERPRINT", help="That of the client's certificate."
)
@click.option("--log", default="", metavar="LINE", help="A line of the mail log, or a queue id.")
@click.option(
    "--mail-log",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Where the lines of the queue id are; none: the journal.",
)
@click.option("--live", is_flag=True, help="Ask the running daemon, with its cache as it is.")
@click.option("--ask", is_flag=True, help="With --live: let it search what is not in its cache.")
@click.option("--callout", is_flag=True, help="Ask the next systems, too (verify = callout).")
@click.option(
    "--socket",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="The daemon's control socket, where the INI does not say or cannot be read.",
)
@click.option("--settings", is_flag=True, help="Show where each value comes from.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def explain(  # noqa: PLR0913  # one argument for each option
    address: str | None,
    files: Sequence[Path],
    *,
    log: str,
    mail_log: Path | None,
    live: bool,
    socket: Path | None,
    settings: bool,
    as_json: bool,
    **how: Any,  # noqa: ANN401 - the options of the question
) -> None:
    """Say what happens to mail for ADDRESS, and why."""
    if settings:
        _show_settings(load(files), as_json=as_json)
        return
    if (address is None) == (not log):
        raise click.UsageError("give an ADDRESS, or --log with a line of the mail log")
    if how["ask"] and not live:
        raise click.UsageError("--ask goes with --live; without it the directories are asked")
    logged = _logged(log, mail_log) if log else [None]
    askings = [_asking(address, one, how) for one in logged]
    found = _found(askings, Means(files, live, socket))
    for explanation, one in zip(found, logged, strict=True):
        if one is not None:
            explanation["log"] = asdict(one)
    _print(found, several=len(found) > 1 or bool(log and _is_id(log)), as_json=as_json)
    sys.exit(max(map(_status, found)))


def explain_now(config: Config, question: Question, *, callout: bool = False) -> Explanation:
    """Decide on a question with the directories, and the next systems, as they are now.

    Raises:
        RecordError: a files directory holds a bad record.

    """
    from codomain.replies import Replies
    from codomain.rules import rules_from

    steps = Steps()
    lookups = AtOnce(config, steps, callout=callout)
    try:
        directories = lookups.directories.values()
        in_force = InForce(config, rules_from(config), Replies(config.replies), directories)
        return explained(question, in_force, lookups, steps)
    finally:
        lookups.close()


def _asking(address: str | None, logged: Logged | None, how: dict[str, Any]) -> Asking:
    """Put the command line over what the log says."""
    asking = Asking(address or "")
    if logged is not None:
        asking = replace(
            asking,
            address=logged.recipient,
            client=logged.client,
            sender=logged.sender,
            sasl=bool(logged.sasl),
        )
    asking = replace(asking, ask=how["ask"], callout=how["callout"])
    given = {name: how[name] for name in ("client", "sender", "context", "certificate")}
    asking = replace(asking, **{name: value for name, value in given.items() if value})
    asking = replace(asking, sasl=asking.sasl or bool(how["sasl"]))
    try:
        question_of(asking)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--client") from error
    return asking


def _found(askings: Sequence[Asking], means: Means) -> list[dict[str, Any]]:
    if means.live:
        from codomain_cli.caller import call, control_path

        path = control_path(means.files, means.socket)
        return [call(path, "explain", **asdict(asking)) for asking in askings]
    config = load(means.files)
    known = {section.name for section in config.contexts}
    for context in dict.fromkeys(one.context for one in askings if one.context not in known):
        if context:
            click.echo(f"there is no [context {context}]: it changes nothing", err=True)
    made = []
    for asking in askings:
        explanation = explain_now(config, question_of(asking), callout=asking.callout)
        made.append(as_object(explanation))
    return made


def _is_id(text: str) -> bool:
    from codomain_cli.logline import is_queue_id

    return is_queue_id(text.strip())


def _logged(text: str, mail_log: Path | None) -> list[Logged]:
    """Read the line, or find those of the queue id."""
    from codomain_cli.logline import parse

    if _is_id(text):
        from codomain_cli.maillog import of_message

        return of_message(text.strip(), mail_log)
    line = sys.stdin.readline() if text == "-" else text
    logged = parse(line)
    if logged is None:
        raise click.BadParameter(
            "no line of Postfix or Sendmail that names a recipient, and no queue id",
            param_hint="--log",
        )
    return [logged]


def _status(found: dict[str, Any]) -> int:
    """Return the exit status of one explanation; the worst of several counts."""
    kind = found["verdict"]["kind"]
    if kind == "unknown":
        return Exit.TEMPORARY
    if found["mode"] == "shadow":
        return Exit.OK
    return {"refuse": Exit.NEGATIVE, "defer": Exit.TEMPORARY}.get(kind, Exit.OK)


def _print(found: list[dict[str, Any]], *, several: bool, as_json: bool) -> None:
    if as_json:
        whole = {"version": VERSION, "explanations": found} if several else found[0]
        click.echo(json.dumps(whole, indent=2))
        return
    width, bold = plain.terminal()
    for at, explanation in enumerate(found):
        if at:
            click.echo()
        for line in plain.table(rows(explanation), width, bold=bold):
            click.echo(line)


def _show_settings(config: Config, *, as_json: bool) -> None:
    from codomain_cli import origins

    found = origins.as_object(config)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    _, bold = plain.terminal()
    for line in plain.table(origins.lines(found), bold=bold):
        click.echo(line)
