"""Run the benches one after the other, and write what they say into bench/RESULTS.md.

Each is a program of its own and measures in interleaved rounds: what it compares ran at
the same time or in turns on this machine.  The report begins with the machine, the versions,
and every limit with whether it is kept; what each bench printed follows.  Nothing else
should run meanwhile.  About twenty minutes; with --quick about four, which tells whether
the benches work, and little more.  Exits 1 where a limit is missed or a bench fails.

    bench/report.py [--quick] [--only PART ...] [--to FILE]
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from figures import end_by_term, machine

HERE = Path(__file__).resolve().parent
FEW = ("--loops", "uvloop", "--rounds", "3", "--requests", "40000", "--keys", "20000")
JUDGED = re.compile(r"^(PASS|MISS)\b|\bMISS(ED)?\b")


@dataclass(frozen=True)
class Part:
    """One bench."""

    name: str
    title: str
    command: tuple[str, ...]
    quick: tuple[str, ...]
    """Its arguments when there is little time."""


PARTS = (
    Part(
        "doors",
        "A kept answer, 16 connections, against a C server that always gives the same one",
        ("run.py",),
        ("--rounds", "2", "--requests", "20000", "--keys", "10000", "--loops", "uvloop"),
    ),
    *(
        Part(
            f"doors-{count}",
            f"The same with {count} connection{'s' * (count > 1)}",
            ("run.py", "--connections", f"{count}", *FEW),
            ("--rounds", "1", "--requests", "10000", "--doors", "policy"),
        )
        for count in (1, 100)
    ),
    Part(
        "miss",
        "A recipient that nobody has asked for, over live LDAP",
        ("miss.py",),
        ("--rounds", "2", "--requests", "2000"),
    ),
    Part(
        "postfix",
        "Inside a real Postfix, against its own maps",
        ("postfix.py",),
        ("--rounds", "3"),
    ),
    Part(
        "milter",
        "The milter, against a C milter that does nothing",
        ("milter.py", "--memory", "20000"),
        ("--rounds", "2", "--messages", "100", "--memory", "0"),
    ),
    Part(
        "growth",
        "Memory and CPU by entries and connections, sync mode",
        ("growth.py",),
        ("--entries", "10000", "100000"),
    ),
    Part(
        "index",
        "The local index",
        ("index.py",),
        ("--addresses", "50000", "--flood", "5000"),
    ),
    Part(
        "start",
        "From the start to the first answer, and reloads under load",
        ("start.py",),
        ("--starts", "3", "--rounds", "1", "--people", "1000"),
    ),
    Part(
        "workers",
        "Two processes on a shared listener",
        ("workers.py",),
        ("--rounds", "2", "--requests", "40000"),
    ),
    Part(
        "metrics",
        "What the metrics cost",
        ("metrics.py",),
        ("--seconds", "10", "--scrapes", "20"),
    ),
    Part(
        "peers",
        "Other servers of the same protocols",
        ("peers.py",),
        ("--rounds", "1", "--requests", "1000"),
    ),
)


@dataclass(frozen=True)
class Outcome:
    """What a bench said."""

    part: Part
    status: int
    seconds: float
    text: str

    @property
    def judged(self) -> list[str]:
        """Its lines about limits."""
        return [line.strip() for line in self.text.splitlines() if JUDGED.search(line)]


def run(part: Part, *, quick: bool) -> Outcome:
    """Run a bench, and show what it says as it comes."""
    print(f"\n== {part.name}: {part.title}", flush=True)
    script, *arguments = part.command
    began = time.monotonic()
    if not (HERE / script).exists():
        return Outcome(part, 0, 0.0, "This bench is not there.")
    command = [sys.executable, "-u", str(HERE / script), *arguments]
    process = subprocess.Popen(
        [*command, *(part.quick if quick else ())],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    assert process.stdout is not None
    text = ""
    try:
        for line in process.stdout:
            print(line, end="", flush=True)
            text += line
    finally:
        # Also after Ctrl-C: the bench ends what it has started itself.
        process.terminate()
        process.stdout.close()
        process.wait()
    return Outcome(part, process.returncode, time.monotonic() - began, text.rstrip())


def document(outcomes: list[Outcome], about: list[str], *, quick: bool) -> str:
    """Return the report."""
    now = datetime.now(tz=UTC).strftime("%Y-%m-%d")
    head = (
        f"Written by `make bench` on {now}{', quickly, so these are rough' if quick else ''}."
        " Ratios are medians of rounds that were interleaved in one run; times and CPU are this"
        " machine's."
    )
    lines = [
        "# Results",
        "",
        head,
        "",
        *(f"- {line}" for line in about),
        "",
        "| bench | seconds | limits |",
        "|---|---|---|",
    ]
    for outcome in outcomes:
        missed = sum("MISS" in line for line in outcome.judged)
        says = f"{missed} missed" if missed else "kept" if outcome.judged else "-"
        if outcome.status and not missed:
            says = "missed" if outcome.status == 1 else f"failed, status {outcome.status}"
        name = outcome.part.name
        lines.append(f"| [{name}](#{name}) | {outcome.seconds:.0f} | {says} |")
    for outcome in outcomes:
        part = outcome.part
        lines += ["", f"## {part.name}", "", f"{part.title} (`bench/{part.command[0]}`)."]
        lines += ["", "```", *_plain(outcome.text), "```"]
    return "\n".join([*lines, ""])


def _plain(text: str) -> list[str]:
    """Return the lines without what is this machine's alone: folders, and blanks at the ends."""
    home = f"{HERE.parent}{os.sep}"
    return [line.replace(home, "").rstrip() for line in text.splitlines()]


def main() -> None:
    """Run them."""
    end_by_term()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [part.name for part in PARTS]
    parser.add_argument("--quick", action="store_true", help="a few minutes; rough")
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="PART")
    parser.add_argument("--to", type=Path, default=HERE / "RESULTS.md")
    options = parser.parse_args()
    about = machine()
    print("\n".join(about))
    outcomes = []
    for part in PARTS:
        if part.name in options.only:
            outcomes.append(run(part, quick=options.quick))
            options.to.write_text(document(outcomes, about, quick=options.quick))
    bad = [outcome.part.name for outcome in outcomes if outcome.status]
    print(f"\nwritten: {options.to}" + (f"; missed or failed: {', '.join(bad)}" if bad else ""))
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
