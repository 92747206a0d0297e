"""Measure what mail gets while a directory fails: the table, a flood of strangers, a storm.

``table``: every fault of tests/support/faults.py, what an uncached recipient waits for, how
long it takes until all is well again, and how late cached answers are meanwhile.  ``flood``:
how late known recipients are answered while somebody asks for distinct unknown ones as fast
as the daemon answers, each of which is searched for in the directory; p99 must stay under
20 ms.  ``storm``: faults, kills, reloads and purges at random, from a seed, with a model that
judges every answer.  slapd, redis-server and gcc are needed.  Exits 1 where a target is missed.

    bench/faults.py table
    bench/faults.py flood [--seconds 20]
    bench/faults.py storm [--seconds 600] [--seed 1]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from support.authority import Authority
from support.faultplay import play, start
from support.faults import ACCESS, FAULTS, KNOWN, Servers, Stage, nobody, people
from support.faultsite import FaultSite, Regular, directory_keys
from support.lag import Lag
from support.proxy import Proxy
from support.slapd import Settings, Slapd
from support.storm import Storm

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).resolve().parent
PEOPLE = (HERE.parent / "tests" / "support" / "people.ldif").read_text()

FLOOD_P99_MS = 20.0
"""The most that one in a hundred known recipients may wait for beside a flood."""

FLOOD_CONNECTIONS = 50
"""Connections of the flood; Postfix opens a hundred at most by default
(default_process_limit)."""

REGULARS = 4
"""Connections that ask for known recipients meanwhile."""

DEFAULT_CACHE = ""
"""The flood meets the INI's own lifetimes."""


@contextmanager
def servers(folder: Path) -> Iterator[tuple[Servers, Authority]]:
    """Run the real servers."""
    authority = Authority(folder / "ca")
    here = "DNS:localhost,IP:127.0.0.1"

    def make(name: str, names: str, ldif: str, days: int = 30) -> Slapd:
        certificate = authority.sign(name, names, days=days)
        return Slapd(folder / name, ldif, Settings(certificate=certificate, access=ACCESS))

    with ExitStack() as stack:
        made = Servers(
            good=make("good", here, people(PEOPLE)),
            empty=make("empty", here, nobody(PEOPLE)),
            expired=make("expired", here, people(PEOPLE), days=-1),
            foreign=make("foreign", "DNS:other.example", people(PEOPLE)),
        )
        for server in (made.good, made.empty, made.expired, made.foreign):
            stack.enter_context(server)
        yield made, authority


def table(folder: Path) -> bool:
    """Print a line for each fault."""
    kept = True
    print(
        f"{'fault':30}{'reply':11}{'waits s':>9}{'heals s':>9}{'known ms':>9}"
        f"{'cached p50 ms':>15}{'p99':>8}{'max':>8}{'machine':>9}"
    )
    with servers(folder) as (made, authority):
        for number, row in enumerate(FAULTS):
            tls = row.scheme == "ldaps"
            server = made.good.ldaps if tls else made.good.ldap
            place = folder / f"t{number}"
            place.mkdir()
            with (
                Proxy(server, tls=tls) as first,
                Proxy(server, tls=tls) as second,
                start(row, stage := Stage(made, first, second), place, authority.file) as site,
            ):
                played = play(row, stage, site)
            wrong = not played.proof or played.against(row) or played.regular.wrong()
            kept = kept and not wrong
            times = [played.regular.quantile(part) * 1000 for part in (0.5, 0.99, 1.0)]
            print(
                f"{row.name:30}{row.reply:11}{played.longest:9.3f}{played.heals_in:9.3f}"
                f"{played.known.seconds * 1000:9.2f}{times[0]:15.2f}{times[1]:8.2f}"
                f"{times[2]:8.2f}{played.lag.worst * 1000:9.2f}{'  WRONG' if wrong else ''}",
                flush=True,
            )
    return kept


def flood(folder: Path, seconds: float) -> bool:
    """Print how late known recipients are answered without and with the flood."""
    load = folder / "load"
    subprocess.run(["gcc", "-O2", "-o", load, HERE / "load.c", "-lm"], check=True)
    with Slapd(folder / "d", people(PEOPLE), Settings(access=ACCESS)) as server:
        keys = directory_keys({"servers": server.ldap})
        with FaultSite(folder, keys, cache=DEFAULT_CACHE, timeout=3.0) as site:
            site.ask_all(f"u{n}@example.com" for n in range(KNOWN))
            quiet = _regulars("alone", site, seconds / 2)
            command = [str(load), "policy", "unix", str(site.policy), str(FLOOD_CONNECTIONS)]
            command += ["10000000", "each", "1", "10000000"]
            before, cpu = _searches(site), site.cpu()
            strangers = subprocess.Popen(command, stdout=subprocess.DEVNULL)
            try:
                loud = _regulars("beside the flood", site, seconds)
            finally:
                strangers.terminate()
                strangers.wait()
            searches, cpu = _searches(site) - before, site.cpu() - cpu
    each = cpu / searches * 1e6
    print(
        f"the flood: {searches / seconds:.0f} searches a second, {each:.0f} µs of the daemon's "
        f"CPU each, with {REGULARS} connections that ask for the known beside it"
    )
    return quiet < FLOOD_P99_MS and loud < FLOOD_P99_MS


def _regulars(name: str, site: FaultSite, seconds: float) -> float:
    """Ask for known recipients for so long; print how late they were, and return p99 in ms.

    A right answer that is missing counts as one that never came.
    """
    with ExitStack() as stack:
        lag = stack.enter_context(Lag())
        asked = [
            stack.enter_context(Regular(site.policy, f"u{n}@example.com")) for n in range(REGULARS)
        ]
        time.sleep(seconds)
    times = sorted(said.seconds * 1000 for one in asked for said in one.said)
    p50, p99, most = (times[min(len(times) - 1, int(len(times) * p))] for p in (0.5, 0.99, 1.0))
    print(
        f"known recipients {name:18}{len(times):7} answers: p50 {p50:6.2f} ms, p99 {p99:6.2f}, "
        f"max {most:6.2f}; the machine itself was late by {lag.quantile(0.99) * 1000:.2f} (p99)"
    )
    return float("inf") if any(one.wrong() for one in asked) else p99


def _searches(site: FaultSite) -> float:
    return site.metric('codomain_directory_requests_total{directory="people",result="not_found"}')


def storm(folder: Path, seconds: float, seed: int) -> bool:
    """Print what came of a storm."""
    with (
        servers(folder) as (made, _),
        Slapd(folder / "second", people(PEOPLE), Settings(access=ACCESS)) as second,
    ):
        report = Storm(folder, made, second, seed).run(seconds)
    print(f"seed {report.seed}, {seconds:.0f} s")
    for name, count in sorted(report.done.items()):
        print(f"  {name:30}{count:6}")
    print(f"answers in the storm: {dict(report.answers)}, the slowest {report.slowest:.2f} s")
    print(f"answers when it was over: {dict(report.after)}")
    for name in ("threads", "descriptors", "memory"):
        before, after = getattr(report, name)
        print(f"{name}: {before} before, {after} after")
    for line in report.wrong[:20]:
        print(f"WRONG {line}")
    return not report.wrong and not report.after["temporary"]


def main() -> None:
    """Parse the options and run."""
    parser = argparse.ArgumentParser(description="Measure what mail gets while a directory fails.")
    parser.add_argument("what", choices=("table", "flood", "storm"))
    parser.add_argument("--seconds", type=float, help="of the flood (20) or the storm (600)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="codomain-faults-") as made:
        folder = Path(made)
        if options.what == "table":
            kept = table(folder)
        elif options.what == "flood":
            kept = flood(folder, options.seconds or 20.0)
        else:
            kept = storm(folder, options.seconds or 600.0, options.seed)
    sys.exit(0 if kept else 1)


if __name__ == "__main__":
    main()
