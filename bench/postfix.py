"""Measure codomain inside a real Postfix: the CPU that a check adds to a recipient.

Eight sessions name fifty recipients in each message, to a Postfix that checks them in one
of several ways: by a file, by Postfix's own ldap: maps, direct and through proxymap, by
codomain's policy server, its maps or its milter.  All ask the same slapd.  Rounds go from
one way to the next, and what is compared are neighbours in one round.  What counts is the
CPU of all of Postfix's processes and of codomain's; slapd's stands beside it, and would
only speak for what remembers.  Added is what is more than without a check.

Known recipients come from a pool that was asked for once, just before; ``first time`` has
new ones always.  An unknown recipient is added to a Postfix that refuses without looking,
because the refusal and its line in the log cost the same in every way.

Must reach (medians of the rounds' ratios): policy alone 0.40 of ldap:; recipients and
transport by maps 0.45 of the same by ldap:; unknown recipients 0.25; with delivery 0.45.
Exits 1 where one is missed.  It needs root, because master(8) does.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

# To the end: this folder has a milter.py, which must not pass for pymilter's extension.
sys.path.append(sys.path.pop(0))
sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))

from figures import Limits, end_by_term
from postfixes import NEXT_HOP, RECIPIENTS, SESSIONS, Case, Cost, Lab, Load, ldap_map
from support.slapd import BASE, Settings, Slapd

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ENTRIES = 20_000
POOL = 2_000
"""Recipients of the warm loads."""

NONE, REFUSING, LDAP, BOTH = "no check", "refused unseen", "ldap:", "ldap: + ldap: transport"
PROXY, PROXY_BOTH = "proxy:ldap:", "proxy:ldap: + transport"
POLICY, MAPS, PRINTED = "policy", "maps", "policy + maps, as printed"
POLICY_SYNC, MAPS_SYNC, MILTER = "policy, sync", "maps, sync", "milter"

OURS = (POLICY, POLICY_SYNC, MAPS, MAPS_SYNC, PRINTED, MILTER)

COLUMNS = ("postfix", "ours", "slapd", "rate")
"""The fields of a cost."""

WARM_SECONDS = 30.0
"""A verdict is kept for a minute at most."""

SETTINGS = Settings(syncprov=(), size_limit="size.soft=1000 size.hard=unlimited")
"""Whoever syncs reads everything."""


@dataclass(frozen=True, slots=True)
class Table:
    """One kind of load, and the cases that it is put on."""

    title: str
    load: Load
    base: str
    cases: tuple[tuple[str, str], ...]
    """Each case, and that which it is compared with."""

    warm: bool = True
    """Whether the pool is asked for before each measurement; else its keys are always new."""

    share: float = 1.0
    """Of the rounds."""


TABLES = (
    Table(
        "known recipients",
        Load(),
        NONE,
        (
            *(("hash:", LDAP), (LDAP, LDAP), (PROXY, LDAP), (POLICY, LDAP), (POLICY_SYNC, LDAP)),
            *((MILTER, LDAP), (BOTH, BOTH), (PROXY_BOTH, BOTH), (MAPS, BOTH), (MAPS_SYNC, BOTH)),
            (PRINTED, BOTH),
        ),
    ),
    Table(
        "known recipients, each for the first time",
        Load(first=POOL, count=ENTRIES - POOL, draw="each"),
        NONE,
        ((LDAP, LDAP), (POLICY, LDAP), (POLICY_SYNC, LDAP), (BOTH, BOTH), (MAPS, BOTH)),
        warm=False,
        share=0.4,
    ),
    Table(
        "unknown recipients",
        Load(prefix="guess"),
        REFUSING,
        (
            *(("hash:", LDAP), (LDAP, LDAP), ("ldap: with domain =", LDAP), (PROXY, LDAP)),
            *((POLICY, LDAP), (POLICY_SYNC, LDAP), (MAPS, LDAP), (MILTER, LDAP)),
        ),
    ),
    Table(
        "unknown recipients, each for the first time",
        Load(prefix="guess", first=POOL, count=90_000, draw="each"),
        REFUSING,
        ((LDAP, LDAP), (POLICY, LDAP), (POLICY_SYNC, LDAP)),
        warm=False,
        share=0.4,
    ),
    Table(
        "known recipients, and the mail delivered to discard(8)",
        Load(send=True),
        NONE,
        ((BOTH, BOTH), (PROXY_BOTH, BOTH), (MAPS, BOTH), (MAPS_SYNC, BOTH), (PRINTED, BOTH)),
    ),
)

TARGETS = (
    (0, POLICY, "policy alone, known recipients, of ldap:", 0.40),
    (0, MAPS, "recipients and transport by maps, known, of ldap: for both", 0.45),
    (2, POLICY, "policy, unknown recipients, of ldap:", 0.25),
    (4, MAPS, "maps, with delivery, of ldap: for both", 0.45),
    (4, PRINTED, "policy and maps as printed, with delivery, of ldap: for both", 0.45),
)
"""Table, case, words, and the most."""


def ldif() -> Iterator[str]:
    """Give the tree."""
    yield (
        f"dn: {BASE}\nobjectClass: dcObject\nobjectClass: organization\no: example\n"
        f"dc: example\n\ndn: ou=people,{BASE}\nobjectClass: organizationalUnit\nou: people\n\n"
    )
    for n in range(ENTRIES):
        yield (
            f"dn: uid=user{n:05},ou=people,{BASE}\nobjectClass: inetOrgPerson\nuid: user{n:05}\n"
            f"cn: User {n}\nsn: {n}\nmail: user{n:05}@example.com\n\n"
        )


def cases(folder: Path, slapd: Slapd) -> list[Case]:
    """Return every way to check."""
    recipients = ldap_map(folder, "recipients", slapd.ldap)
    domain = ldap_map(folder, "domain", slapd.ldap, "domain = example.com")
    transport = ldap_map(folder, "transport", slapd.ldap, f"result_format = {NEXT_HOP}")
    table = folder / "recipients"
    table.write_text("".join(f"user{n:05}@example.com x\n" for n in range(ENTRIES)))
    subprocess.run(["postmap", "-c", folder, f"hash:{table}"], check=True)
    unseen = "check_recipient_access static:{550 5.1.1 User unknown}"

    def by_maps(mode: str) -> dict[str, str]:
        where = f"socketmap:unix:{folder}/{mode}/map"
        return {
            "relay_recipient_maps": f"{where}:recipient",
            "transport_maps": f"{where}:transport",
        }

    def by_policy(mode: str) -> dict[str, str]:
        server = f"check_policy_service {{ unix:{folder}/{mode}/policy, timeout=10s }}"
        return {"smtpd_recipient_restrictions": server}

    def by(maps: str, routes: str = "") -> dict[str, str]:
        return {"relay_recipient_maps": maps, "transport_maps": routes}

    return [
        Case(NONE),
        Case(REFUSING, {"smtpd_recipient_restrictions": unseen}),
        Case("hash:", by(f"hash:{table}")),
        Case(LDAP, by(recipients)),
        Case("ldap: with domain =", by(domain)),
        Case(PROXY, by(f"proxy:{recipients}")),
        Case(POLICY, by_policy("live")),
        Case(POLICY_SYNC, by_policy("sync")),
        Case(MILTER, {"smtpd_milters": f"unix:{folder}/live/milter"}),
        Case(BOTH, by(recipients, transport)),
        Case(PROXY_BOTH, by(f"proxy:{recipients}", f"proxy:{transport}")),
        Case(MAPS, by_maps("live")),
        Case(MAPS_SYNC, by_maps("sync")),
        Case(PRINTED, printed=f"{folder}/live/codomain.ini"),
    ]


class Bench:
    """A run."""

    def __init__(self, lab: Lab, rounds: int, messages: int) -> None:
        self.lab = lab
        self.rounds = rounds
        self.messages = messages
        self.fresh = dict.fromkeys(("user", "guess"), POOL)
        self.warmed: dict[tuple[Load, str], float] = {}
        self.targets: list[tuple[str, float, float]] = []
        self.limits = Limits()

    def one(self, table: Table, name: str) -> Cost:
        """Measure one case of one table."""
        load = table.load
        if table.warm:
            self.warm(load, name)
            return self.lab.measure(name, load, self.messages)
        if name not in OURS:  # which remembers nothing
            return self.lab.measure(name, replace(load, draw="uniform"), self.messages)
        first, count = self.fresh[load.prefix], self.messages * SESSIONS * RECIPIENTS
        if first + count > load.first + load.count:
            sys.exit(f"{table.title}: there are too few; fewer rounds, please")
        self.fresh[load.prefix] = first + count
        return self.lab.measure(name, replace(load, first=first, count=count), self.messages)

    def warm(self, load: Load, name: str) -> None:
        """Ask for the whole pool, where that is so long ago that answers begin to expire."""
        last = self.warmed.get((load, name), 0.0)
        if time.monotonic() - last > WARM_SECONDS:
            self.warmed[load, name] = time.monotonic()
            every = replace(load, draw="each", send=False)
            self.lab.instances[name].drive(every, POOL // SESSIONS // RECIPIENTS)
            if load.send:
                self.lab.instances[name].drive(load, 1)

    def round(self, table: Table, turn: int) -> dict[str, Cost]:
        """Measure all cases of a table once; the base at both ends."""
        names = [name for name, _ in table.cases][:: 1 if turn % 2 else -1]
        before = self.one(table, table.base)
        costs = {name: self.one(table, name) for name in names}
        after = self.one(table, table.base)
        middle = ((getattr(before, one) + getattr(after, one)) / 2 for one in COLUMNS)
        return {table.base: Cost(*middle), **costs}

    def table(self, number: int, table: Table) -> None:
        """Measure one table, and print it."""
        rounds = [self.round(table, turn) for turn in range(round(self.rounds * table.share))]
        print(
            f"\n{table.title}: µs of CPU of one, medians of {len(rounds)} rounds\n"
            f"{'':27}{'postfix':>9}{'ours':>7}{'slapd':>7}{'added':>8}{'ratio':>7}"
            f"{'range':>13}{'with slapd':>12}{'a second':>10}"
        )
        for name in (table.base, *(name for name, _ in table.cases)):
            row(name, [each[name] for each in rounds], "")
            reference = dict(table.cases).get(name)
            if reference is None:
                print()
                continue
            ratios = sorted(ratio(each, table.base, name, reference) for each in rounds)
            whole = statistics.median(
                ratio(each, table.base, name, reference, slapd=True) for each in rounds
            )
            added = statistics.median(each[name].sum - each[table.base].sum for each in rounds)
            middle = statistics.median(ratios)
            against = "" if reference == LDAP else "  of both"
            print(
                f"{added:8.1f}{middle:7.2f}{f'{ratios[0]:.2f}-{ratios[-1]:.2f}':>13}"
                f"{whole:12.2f}{statistics.median(each[name].rate for each in rounds):10.0f}"
                f"{against}",
                flush=True,
            )
            for at, target, words, most in TARGETS:
                if (at, target) == (number, name):
                    self.targets.append((words, middle, most))

    def run(self, tables: Sequence[int]) -> bool:
        """Measure; whether all targets are reached."""
        for number in tables:
            self.table(number, TABLES[number])
        print()
        for words, value, most in self.targets:
            self.limits.most(f"added CPU of {words}", value, most)
        return self.limits.kept


def row(name: str, costs: list[Cost], end: str) -> None:
    """Begin a line."""
    middle = [statistics.median(getattr(cost, one) for cost in costs) for one in COLUMNS]
    print(f"{name:27}{middle[0]:9.1f}{middle[1]:7.1f}{middle[2]:7.1f}", end=end)


def ratio(
    costs: dict[str, Cost], base: str, name: str, reference: str, *, slapd: bool = False
) -> float:
    """Return what a case adds, as a multiple of what another one adds."""

    def added(case: str) -> float:
        more = costs[case].sum - costs[base].sum
        return more + (costs[case].slapd - costs[base].slapd if slapd else 0)

    return added(name) / added(reference)


def main() -> None:
    """Run it."""
    end_by_term()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument(
        "--messages", type=int, default=2, help=f"of each of the {SESSIONS} sessions, in a round"
    )
    parser.add_argument("--tables", type=int, nargs="*", default=range(len(TABLES)))
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="pb-"))
    folder.chmod(0o755)
    (folder / "main.cf").write_text("compatibility_level = 3.6\n")
    try:
        with Slapd(folder / "slapd", "".join(ldif()), SETTINGS) as slapd:
            lab = Lab(folder, slapd)
            try:
                lab.start(cases(folder, slapd))
                kept = Bench(lab, options.rounds, options.messages).run(options.tables)
            finally:
                lab.stop()
    finally:
        shutil.rmtree(folder)
    sys.exit(0 if kept else 1)


if __name__ == "__main__":
    main()
