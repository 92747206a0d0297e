"""What the directories hold, walked from end to end: where each contact's chain ends.

In flow the entries of files and local indexes (and of live servers with ``--probe``); out
flow findings that name the first few entries of many.  A chain is decided on by the same
code that answers the MTA (:func:`codomain.decision.decide`), as a map would ask.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING

from codomain.address import parse_mailbox
from codomain.decision import decide
from codomain.directory.base import Kind
from codomain.finding import Outage
from codomain.question import Door, Question
from codomain.rules import rules_from
from codomain.verdict import Defer, Reason, Redirect, Refuse, Relay
from codomain_cli.checks.connectors import found
from codomain_cli.checks.findings import EXAMPLES, Finding, Severity, named

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from codomain.address import Address
    from codomain.config import Config
    from codomain.directory.base import Recipient
    from codomain.finding import Need
    from codomain.rules import Rules
    from codomain.verdict import Verdict

MOST_ENTRIES = 1_000_000
"""Entries of one directory that are walked; a decision takes ten microseconds."""

UNKNOWN = Outage("it was not walked")
"""Stands for a directory whose entries are not known here."""


@dataclass(slots=True)
class Contents:
    """The entries of the directories, as far as they could be read."""

    entries: dict[str, list[Recipient]] = field(default_factory=dict)
    """By directory."""

    whole: set[str] = field(default_factory=set)
    """The directories that were read to their end."""

    by_key: dict[str, dict[str, list[Recipient]]] = field(default_factory=dict)
    """By directory and address."""

    def take(self, directory: str, recipients: Iterable[Recipient]) -> None:
        """Take a directory's entries in."""
        taken = self.entries[directory] = []
        index = self.by_key[directory] = {}
        for recipient in recipients:
            if len(taken) == MOST_ENTRIES:
                return
            taken.append(recipient)
            for key in recipient.addresses:
                index.setdefault(key, []).append(recipient)
        self.whole.add(directory)

    def peek(self, directory: str, key: str) -> tuple[Recipient, ...] | Outage:
        """Look an address up (:class:`codomain.finding.Peek`)."""
        if directory not in self.whole:
            return UNKNOWN
        return tuple(self.by_key[directory].get(key, ()))


@dataclass(slots=True)
class _Many:
    """Entries with the same fault, the first few by name."""

    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, example: str) -> None:
        self.count += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append(example)


_FAULTS = {
    "loop": (
        Severity.ERROR,
        "contacts lead in a circle, and their mail is refused (554 5.4.6)",
        "give one of them another target",
    ),
    "unknown": (
        Severity.ERROR,
        "contacts have a target that nobody has, and their mail is refused (550 5.1.1)",
        "correct the target, or remove the contact",
    ),
    "no_route": (
        Severity.ERROR,
        "contacts have a target that no route covers, and their mail is refused",
        "allowed_targets = the domain, in [redirect], or a connector with allow_relay = yes",
    ),
    "shared": (
        Severity.WARNING,
        "contacts have a target in a domain of several systems, and the next one may send it back",
        "give it a target in a domain that one system has alone",
    ),
    "unusable": (
        Severity.ERROR,
        "entries cannot be used, and their mail waits (451 4.3.5) until it comes back",
        "correct the target or mailHost of each",
    ),
    "shared_only": (
        Severity.WARNING,
        "mailboxes have addresses in shared domains alone: no other system can lead mail to them",
        "give each an address in an authoritative domain",
    ),
}
"""By fault: how bad it is, what happens to mail, and what mends it."""


def findings(config: Config, contents: Contents) -> Iterator[Finding]:
    """Return what is wrong with the entries."""
    rules = rules_from(config, lambda _name: [])
    yield from _postmaster(config, rules, contents)
    keys = {d.name: "path" if d.type == "files" else "servers" for d in config.directories}
    for directory, entries in contents.entries.items():
        faults: dict[str, _Many] = {}
        for entry in entries:
            for fault, example in _entry(rules, contents, entry):
                faults.setdefault(fault, _Many()).add(example)
        for fault, many in faults.items():
            severity, what, remedy = _FAULTS[fault]
            yield found(
                config,
                f"entry.{fault}",
                severity,
                f"{what}: {named(many.examples, many.count)}",
                remedy,
                directory,
                keys[directory],
                "directory",
            )


def _entry(rules: Rules, contents: Contents, entry: Recipient) -> Iterator[tuple[str, str]]:
    addresses = [a for a in map(parse_mailbox, entry.addresses) if a is not None]
    if entry.target or entry.mail_host:
        # In a domain of type relay no directory is asked: there it is the target itself.
        asked = ((a, rules.domains.match(a.domain)) for a in addresses)
        first = next((a for a, d in asked if d is not None and not d.relay), None)
        if first is not None and (fault := _chain(rules, contents, first)):
            yield fault
    elif entry.kind is Kind.MAILBOX:
        ours = [d for d in (rules.domains.match(a.domain) for a in addresses) if d is not None]
        exists = any(d.authoritative for d in rules.domains.by_name.values())
        if exists and ours and not any(d.authoritative or d.relay for d in ours):
            yield "shared_only", entry.dn


def _chain(rules: Rules, contents: Contents, address: Address) -> tuple[str, str] | None:
    """Follow one contact; return the fault and the whole path."""
    path = [f"{address}"]

    def trace(step: str, detail: str, /) -> None:
        if step in {"target", "connector"}:
            path.append(detail)

    verdict = decide(rules, Question(address, door=Door.MAP), contents.peek, trace)
    fault = _fault(rules, contents, verdict)
    return (fault, " → ".join(step for step, _ in groupby(path))) if fault else None


def _fault(rules: Rules, contents: Contents, verdict: Verdict | Need) -> str:
    if isinstance(verdict, Refuse):
        return {
            Reason.LOOP: "loop",
            Reason.UNKNOWN: "unknown",
            Reason.RELAYING: "no_route",
            Reason.NO_ROUTE: "no_route",
        }.get(verdict.reason, "")
    if isinstance(verdict, Defer):
        return "unusable" if verdict.reason is Reason.FAULT else ""
    if isinstance(verdict, Relay):
        return "shared"
    final = parse_mailbox(verdict.target) if isinstance(verdict, Redirect) else None
    domain = rules.domains.match(final.domain) if final else None
    if final is None or domain is None or domain.type != "shared":
        return ""
    known = any(contents.peek(name, final.key) for name in domain.directories)
    return "" if known else "shared"


def _postmaster(config: Config, rules: Rules, contents: Contents) -> Iterator[Finding]:
    address = rules.postmaster
    domain = rules.domains.match(address.domain) if address else None
    if address is None or domain is None or domain.relay:
        return
    answers = [contents.peek(name, address.key) for name in domain.directories]
    if any(isinstance(answer, Outage) or answer for answer in answers) or domain.catch_all:
        return
    place = config.origins.get(("codomain", "", "postmaster"))
    refused = domain.authoritative
    yield Finding(
        "codomain.postmaster.unknown",
        Severity.ERROR if refused else Severity.WARNING,
        f"no directory has {address}: postmaster's mail of every domain that has no entry for it"
        + (
            " is refused, and it must be taken (RFC 5321 section 4.5.1)"
            if refused
            else " goes to the other system, unchecked"
        ),
        "postmaster = an address that is there",
        place.file if place else "",
        place.line if place else 0,
        "codomain",
        "postmaster",
    )
