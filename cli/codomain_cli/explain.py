"""``codomain explain``: every step of one decision, and what each door answers, to the letter.

Exit status: 0, the mail is let through; 1, it is refused; 75, it is deferred; 78, the
configuration cannot be used.
"""

from __future__ import annotations

import ipaddress
import json
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click

from codomain.address import parse_recipient
from codomain.decision import decide
from codomain.directory.opening import open_directory
from codomain.errors import DirectoryError
from codomain.finding import Need, Outage
from codomain.question import Door, Question
from codomain.replies import Replies
from codomain.rules import rules_from
from codomain.verdict import Defer, Deliver, Pass, Redirect, Refuse, Relay, Verdict
from codomain_cli.exits import Exit
from codomain_cli.loading import config_option, load
from codomain_policyd.reply import map_answer, policy_action

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from codomain.config import Config
    from codomain.directory.base import Directory, Recipient

MAPS = ("recipient", "alias", "transport", "access")
"""The maps whose answers are shown."""


@dataclass(slots=True)
class Explanation:
    """One decision, as it came about."""

    question: Question
    """What was asked."""

    standing: str
    """Who the client is to us, in words."""

    verdict: Verdict
    """What was decided."""

    steps: list[tuple[str, str]] = field(default_factory=list)
    """Every step: its name and what it found."""

    doors: dict[str, str] = field(default_factory=dict)
    """What each door answers, letter for letter."""


class _Peek:
    """Asks the directories at once, and writes down how they answered."""

    def __init__(self, config: Config) -> None:
        self._directories: dict[str, Directory] = {
            section.name: open_directory(section) for section in config.directories
        }
        self._seconds = {section.name: section.timeout for section in config.directories}
        self._known: dict[tuple[str, str], tuple[Recipient, ...] | Outage] = {}
        self.steps: list[tuple[str, str]] = []

    def __call__(self, directory: str, key: str) -> tuple[Recipient, ...] | Outage:
        """Look an address up (:class:`codomain.finding.Peek`)."""
        if (directory, key) not in self._known:
            began = time.monotonic()
            try:
                answer = self._ask(directory, key)
            except DirectoryError as error:
                self._known[directory, key] = Outage(str(error))
            else:
                self._known[directory, key] = answer
            spent = (time.monotonic() - began) * 1000
            self.steps.append(("search", f"{directory}: {key}, {spent:.1f} ms"))
        return self._known[directory, key]

    def _ask(self, name: str, key: str) -> tuple[Recipient, ...]:
        directory = self._directories[name]
        trace = getattr(directory, "trace", None)
        if trace is None:
            return directory.find(key, self._seconds[name])
        found = trace(key, self._seconds[name])
        self.steps.append(("filter", f"{found.filter} below {found.base} at {found.server}"))
        entries: tuple[Recipient, ...] = found.recipients
        return entries

    def close(self) -> None:
        """Close all directories."""
        for directory in self._directories.values():
            directory.close()


@click.command()
@click.argument("address")
@config_option
@click.option("--client", default="", metavar="IP", help="The client's address; none: unknown.")
@click.option("--sender", default="", metavar="ADDRESS", help="The envelope sender.")
@click.option("--sasl", default="", metavar="USER", help="The client logged in as USER.")
@click.option("--context", default="", metavar="NAME", help="main.cf's policy_context.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def explain(  # noqa: PLR0913, PLR0917  # one argument for each option
    address: str,
    files: Sequence[Path],
    client: str,
    sender: str,
    sasl: str,
    context: str,
    *,
    as_json: bool,
) -> None:
    """Say what happens to mail for ADDRESS, and why."""
    try:
        ip = ipaddress.ip_address(client) if client else None
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--client") from error
    question = Question(
        parse_recipient(address.encode("utf-8", "surrogateescape")),
        client=_unmapped(ip),
        authenticated=bool(sasl),
        sender=sender,
        context=context,
    )
    explanation = explained(load(files), question)
    if as_json:
        click.echo(json.dumps(as_object(explanation), indent=2))
    else:
        _show(explanation)
    if isinstance(explanation.verdict, Refuse):
        sys.exit(Exit.NEGATIVE)
    if isinstance(explanation.verdict, Defer):
        sys.exit(Exit.TEMPORARY)


def explained(config: Config, question: Question) -> Explanation:
    """Decide on a question with the directories as they are now.

    Raises:
        RecordError: a files directory holds a bad record.

    """
    rules = rules_from(config)
    replies = Replies(config.replies)
    peek = _Peek(config)
    try:
        verdict = _decided(decide(rules, question, peek, _into(peek.steps)))
        asked = Question(question.recipient, door=Door.MAP)
        for_maps = _decided(decide(rules, asked, peek))
    finally:
        peek.close()
    by_filter = config.policyd.redirect == "filter"
    action = policy_action(verdict, replies, by_filter=by_filter)
    ours = rules.domains.match(question.recipient.domain) is not None
    doors = {"policy": action.decode("utf-8", "replace").strip()}
    for name in MAPS:
        answer = map_answer(name, for_maps, replies, ours=ours)
        doors[f"map {name}"] = answer.decode("utf-8", "replace").strip()
    standing = rules.trust.standing(question)
    words = ["trusted"] if standing.trusted else []
    words += [f"peer of {name}" for name in standing.peer_of]
    return Explanation(question, ", ".join(words) or "a stranger", verdict, peek.steps, doors)


def as_object(explanation: Explanation) -> dict[str, object]:
    """Return the explanation as ``--json`` prints it; keys are only ever added."""
    question = explanation.question
    verdict = explanation.verdict
    return {
        "recipient": str(question.recipient),
        "key": question.recipient.key,
        "client": str(question.client or "unknown"),
        "standing": explanation.standing,
        "verdict": type(verdict).__name__.lower(),
        "reason": verdict.reason.value if isinstance(verdict, Refuse | Defer) else None,
        "summary": summary(verdict),
        "steps": [{"step": step, "detail": detail} for step, detail in explanation.steps],
        "doors": explanation.doors,
    }


def summary(verdict: Verdict) -> str:  # noqa: PLR0911  # one for each verdict
    """Say in one sentence what happens to the mail."""
    match verdict:
        case Pass(ours=True):
            return "let through: the MTA finds the way by MX"
        case Pass():
            return "not ours to judge: the MTA does what it would do without us"
        case Deliver(address=address, connector=way):
            return f"delivered to {address}, {'through ' + way.name if way else 'on this host'}"
        case Redirect(target=target, connector=way):
            return f"redirected to {target}, {'through ' + way.name if way else 'by its MX'}"
        case Relay(connector=way):
            return f"unknown here: relayed through {way.name} ({way.next_hop})"
        case Refuse(reason=reason, detail=detail):
            return f"refused: {reason.value}" + (f" ({detail})" if detail else "")
        case Defer(reason=reason, detail=detail):
            return f"deferred: {reason.value}" + (f" ({detail})" if detail else "")


def _show(explanation: Explanation) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    question = explanation.question
    console = Console(highlight=False)
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    rows = [
        ("recipient", _printable(str(question.recipient))),
        ("looked up as", question.recipient.key or "nothing: no entry can have this address"),
        ("client", f"{question.client or 'unknown'}, {explanation.standing}"),
        *((step, _printable(detail)) for step, detail in explanation.steps),
        ("verdict", _printable(summary(explanation.verdict))),
        *((door, _printable(answer)) for door, answer in explanation.doors.items()),
    ]
    for name, value in rows:
        table.add_row(name, Text(value))
    console.print(table)


def _into(steps: list[tuple[str, str]]) -> _Append:
    return _Append(steps)


class _Append:
    """Writes the steps of a decision down."""

    def __init__(self, steps: list[tuple[str, str]]) -> None:
        self._steps = steps

    def __call__(self, step: str, detail: str, /) -> None:
        """Take one step (:class:`codomain.finding.Trace`)."""
        self._steps.append((step, detail))


def _decided(verdict: Verdict | Need) -> Verdict:
    assert not isinstance(verdict, Need)  # noqa: S101  # _Peek always knows
    return verdict


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _unmapped(
    ip: ipaddress.IPv4Address | ipaddress.IPv6Address | None,
) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Count an IPv4-mapped address as IPv4."""
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return mapped or ip
