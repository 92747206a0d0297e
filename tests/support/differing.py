"""Ask the decision and the model the same questions, and tell where they differ.

As a command, for as many questions as wanted (CONTRIBUTING.md)::

    PYTHONPATH=tests python -m support.differing --questions 1000000 --seed 1

Exit status 0: no difference; 1: each difference has been printed, with its seed.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING

from codomain.address import parse_mailbox, parse_path, parse_recipient
from codomain.callout.answer import Outcome
from codomain.config import parse
from codomain.decision import decide
from codomain.directory.base import Kind, Recipient
from codomain.finding import Need, Outage
from codomain.question import Door, Question
from codomain.rules import rules_from
from support.decisions import no_lookup, told
from support.model import Model
from support.nextsystems import says
from support.questions import ini, questions, world

if TYPE_CHECKING:
    from collections.abc import Iterator
    from ipaddress import IPv4Address

    from codomain.finding import Inquiry
    from codomain.rules import Rules
    from codomain.verdict import Verdict
    from support.world import Asked, Entry, World

QUESTIONS_A_WORLD = 250
"""A configuration costs as much to build as some hundred decisions."""

DOWN = Outage("connection refused")


@dataclass(frozen=True)
class Difference:
    """One question that has two answers."""

    seed: int
    asked: Asked
    model: str
    decision: str

    def __str__(self) -> str:
        """Say it in one line."""
        return f"world {self.seed}: {self.asked}: model {self.model!r}, decision {self.decision!r}"


class Directories:
    """The world's entries, as the decision peeks at them; each key is unknown at first."""

    def __init__(self, asked_of: World) -> None:
        self._known: dict[tuple[str, str], tuple[Recipient, ...]] = {}
        self._down = asked_of.down
        self._fetched: set[tuple[str, str]] = set()
        for name, entries in asked_of.entries.items():
            for one in map(recipient, entries):
                for key in one.addresses:
                    self._known[name, key] = (*self._known.get((name, key), ()), one)

    def __call__(self, directory: str, key: str) -> tuple[Recipient, ...] | Outage | None:
        """Answer what has been fetched."""
        if (directory, key) not in self._fetched:
            return None
        found = self._known.get((directory, key), ())
        return DOWN if not found and directory in self._down else found

    def fetch(self, need: Need) -> None:
        """Bring what a decision needs."""
        asked = (need.directory, need.key)
        assert asked not in self._fetched, f"{need} was there"
        self._fetched.add(asked)


def recipient(entry: Entry) -> Recipient:
    """Write an entry of the model as a directory of codomain gives it."""
    boxes = [parse_mailbox(address) for address in entry.addresses]
    return Recipient(
        dn=entry.dn,
        kind=Kind.CONTACT if entry.contact else Kind.MAILBOX,
        addresses=tuple(dict.fromkeys(box.key for box in boxes if box)),
        primary=entry.primary,
        target=entry.target,
        mail_host=entry.host,
        restricted=entry.restricted,
    )


def client_address(text: str) -> IPv4Address | IPv6Address | None:
    """Read a client's address as the doors do: an IPv4-mapped one counts as IPv4."""
    address = ip_address(text) if text else None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def question(asked: Asked) -> Question:
    """Make a question of codomain of the model's."""
    door = Door(asked.door)
    parsed = parse_path if door is Door.MILTER else parse_recipient
    return Question(
        recipient=parsed(asked.recipient),
        door=door,
        client=client_address(asked.client),
        authenticated=asked.sasl,
        fingerprint=asked.certificate,
        smtputf8=asked.smtputf8,
        context=asked.context,
        probe=asked.probe,
    )


class Systems:
    """What the next systems say, as the decision asks; each answer is missing at first."""

    def __init__(self, asked_of: World) -> None:
        self._seed = asked_of.answers
        self._told: set[Inquiry] = set()

    def __call__(self, inquiry: Inquiry) -> Outcome | None:
        """Answer what has been asked."""
        if inquiry not in self._told:
            return None
        return Outcome(says(self._seed, inquiry.connector, inquiry.address))

    def fetch(self, inquiry: Inquiry) -> None:
        """Ask."""
        assert inquiry not in self._told, f"{inquiry} was there"
        self._told.add(inquiry)


def answer(rules: Rules, peek: Directories, systems: Systems, asked: Asked) -> Verdict:
    """Decide, and fetch as often as the decision needs something."""
    parsed = question(asked)
    while isinstance(verdict := decide(rules, parsed, peek, ask=systems), Need):
        if verdict.inquiry is not None:
            systems.fetch(verdict.inquiry)
        else:
            peek.fetch(verdict)
    return verdict


def in_world(seed: int, number: int = QUESTIONS_A_WORLD) -> Iterator[tuple[World, Asked, Verdict]]:
    """Draw a world and its questions, and let the decision answer."""
    draw = random.Random(seed)
    drawn = world(draw)
    rules = rules_from(parse(ini(drawn)), no_lookup)
    peek, systems = Directories(drawn), Systems(drawn)
    for asked in questions(draw, drawn, number):
        yield drawn, asked, answer(rules, peek, systems, asked)


def differences(seed: int, number: int = QUESTIONS_A_WORLD) -> Iterator[Difference]:
    """Compare all answers of one world."""
    model: Model | None = None
    for drawn, asked, verdict in in_world(seed, number):
        model = model or Model(drawn)
        expected, got = model.decide(asked), told(verdict)
        if expected != got:
            yield Difference(seed, asked, expected, got)


def main() -> int:
    """Compare as many questions as the command line says."""
    parser = argparse.ArgumentParser(description="compare the decision with the model")
    parser.add_argument("--questions", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=1, help="the first world's")
    parser.add_argument("--first", action="store_true", help="stop at the first difference")
    wanted = parser.parse_args()
    started, found, worlds = time.monotonic(), 0, 0
    for seed in range(wanted.seed, wanted.seed - (-wanted.questions // QUESTIONS_A_WORLD)):
        worlds += 1
        for difference in differences(seed):
            found += 1
            sys.stdout.write(f"{difference}\n")
        if found and wanted.first:
            break
    spent = time.monotonic() - started
    asked = worlds * QUESTIONS_A_WORLD
    sys.stdout.write(f"{asked} questions in {worlds} worlds, {found} differences, {spent:.0f} s\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
