"""One row of the table of faults, played against ``codomain serve``, and what was measured."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from support.faults import DOWN, EITHER, RIGHT
from support.faultsite import FaultSite, Regular, directory_keys, wait_until
from support.lag import Lag
from support.proxy import Fault

if TYPE_CHECKING:
    from pathlib import Path

    from support.faults import Row, Stage
    from support.faultsite import Said

POOL = 4
"""``pool_size``: the most connections, and threads, of one directory."""


@dataclass
class Played:
    """What came of a row."""

    before: list[Said]
    """Answers before the fault."""

    said: list[Said]
    """What those got during the fault of whom nobody had heard."""

    known: Said
    """What somebody got who was known a while ago, when the fault had been noticed."""

    proof: bool
    """Whether the fault took place."""

    heals_in: float
    """Seconds from its end until somebody of whom nobody had heard was answered."""

    after: list[Said]
    """Answers when that was over."""

    regular: Regular
    """Somebody who was asked for all the time."""

    lag: Lag
    """How late the machine was."""

    threads: tuple[int, int]
    """The daemon's threads before and during the fault."""

    descriptors: int
    """The daemon's open files before the fault, but for connections to the directory."""

    @property
    def longest(self) -> float:
        """The seconds after which the last of those got a reply."""
        return max(one.seconds for one in self.said)

    def against(self, row: Row) -> list[Said]:
        """Return the answers that the row does not allow."""
        return [one for one in self.said if not _allowed(row, one)]


def start(row: Row, stage: Stage, folder: Path, authority: Path) -> FaultSite:
    """Make the daemon of a row, not started yet."""
    keys = {
        "servers": ", ".join(stage.uris(row)),
        "ca_file": str(authority),
        **row.login(folder / "password"),
        **row.more(),
    }
    return FaultSite(folder, directory_keys(keys))


def play(row: Row, stage: Stage, site: FaultSite) -> Played:
    """Bring the fault about, ask, end it, and wait until the daemon has noticed."""
    _fill_the_pool(stage, site)
    before = site.ask_all(["u0@example.com", *many("warm", 8)])
    before += site.ask_all(["u1@example.com", "u2@example.com"])
    connections = stage.first.open() + stage.second.open()
    threads, files = site.threads(), site.descriptors() - connections
    stage.mark()
    with Lag() as lag, Regular(site.policy, "u0@example.com") as regular:
        wait_until(lambda: len(regular.said) > 5)
        row.inject(stage)
        try:
            said = site.ask_all(["x1@example.com", "u3@example.com", *many("x", 2)])
            time.sleep(1.0)  # who is known is past found_ttl by now
            said += site.ask_all(["x2@example.com", "u4@example.com"])
            known = site.ask("u1@example.com")
            proof = bool(row.proof(stage))
            held = site.threads()
        finally:
            row.heal(stage)
        if row.reload:
            site.daemon.reload()
        heals_in = _healed(site)
        after = site.ask_all(["u5@example.com", "x3@example.com", "u3@example.com"])
    return Played(
        before, said, known, proof, heals_in, after, regular, lag, (threads, held), files
    )  # fmt: skip


def many(prefix: str, count: int) -> list[str]:
    """Make so many unknown addresses."""
    return [f"{prefix}-{n}@example.com" for n in range(count)]


def _allowed(row: Row, said: Said) -> bool:
    return (said.right and row.reply in {RIGHT, EITHER}) or (
        said.down and row.reply in {DOWN, EITHER}
    )


def _fill_the_pool(stage: Stage, site: FaultSite) -> None:
    """Keep so many searches under way that every thread that there may be has been started."""
    stage.first.fail(Fault(pause=0.1))
    site.ask_all(many("fill", 2 * POOL))
    stage.first.heal()


def _healed(site: FaultSite) -> float:
    """Wait until somebody of whom nobody asked before is answered; return the seconds."""
    names = itertools.count()
    began = time.monotonic()
    wait_until(lambda: not site.ask(f"healed{next(names)}@example.com").down)
    return time.monotonic() - began
