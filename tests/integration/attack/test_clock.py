"""The wall clock jumps back by an hour, and forward by a day: lifetimes do not know it."""

from __future__ import annotations

import ast
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import codomain
import codomain_cli
import codomain_milter
import codomain_policyd
from support.siege import PEOPLE
from support.site import until

if TYPE_CHECKING:
    from support.siege import Siege

CLOCK = """\
import time
_time, _ns = time.time, time.time_ns
def _off():
    with open({file!r}) as file:
        return float(file.read() or 0)
time.time = lambda: _time() + _off()
time.time_ns = lambda: _ns() + int(_off() * 1e9)
"""
"""A prelude: a wall clock that is wrong by what stands in a file."""

HOUR = 3600.0

READERS = {
    "codomain/runtime.py": "when the configuration was loaded, for the metric",
    "codomain/shadow.py": "since when refusals are counted, for the report",
    "codomain/directory/synced.py": "the index's age; young or old: test_index_synced.py",
    "codomain/callout/state.py": "when a next system failed last, for status",
    "codomain/directory/dirsync.py": "synced, for its age",
    "codomain/directory/usn.py": "when all is loaded anew: at worst once too often",
    "codomain/directory/paged.py": "synced, for its age",
    "codomain/directory/syncrepl.py": "synced, for its age",
    "codomain/directory/follow.py": "synced, for its age",
}
"""The modules below the commands that read the wall clock, and what for."""


@pytest.mark.parametrize("jump", [-HOUR, 24 * HOUR])
def test_a_wrong_clock_changes_no_answer_and_no_lifetime(siege: Siege, jump: float) -> None:
    """What is known is answered, what expires expires in its time, and nothing hangs."""
    file = siege.folder / "offset"
    file.write_text("0")
    siege.set("cache", "not_found_ttl = 2s", "found_ttl = 2s")
    siege.set("policyd", f"socketmap_listen = unix:{siege.map}", "idle_timeout = 2s")
    with siege.under(CLOCK.format(file=str(file))) as daemon, siege.connect(siege.policy) as idle:
        siege.serves()
        assert siege.ask("new@example.com").startswith("action=550 5.1.1 ")
        began = time.monotonic()
        file.write_text(str(jump))
        siege.serves()
        assert siege.ask("newer@example.com").startswith("action=550 5.1.1 ")
        # The line before and the line after are an hour, or a day, apart: the lie is believed.
        stamps = [line[5:28] for line in daemon.logged().splitlines() if "event=refused" in line]
        assert stamps[0][:13] != stamps[-1][:13]
        assert siege.get("/readyz")[0] == 200
        new = PEOPLE.replace("cn=Ann", "cn=New").replace("ann", "new")
        siege.people.write_text(f"{PEOPLE}\n{new}")
        idle.settimeout(10)
        assert idle.recv(1) == b""  # closed after idle_timeout, neither at once nor never
        assert 1 < time.monotonic() - began < 10
        daemon.reload()
        until(lambda: siege.tell("status")["generation"] == 2)
        siege.serves()
        assert siege.ask("new@example.com") == "action=DUNNO"
        assert siege.tell("status")["loaded"] == pytest.approx(time.time() + jump, abs=60)
        assert daemon.stop() == 0


def test_no_more_modules_than_these_read_the_wall_clock() -> None:
    """Lifetimes, deadlines and limits go by time.monotonic(), which does not jump (PEP 418)."""
    found = set()
    for package in (codomain, codomain_policyd, codomain_milter):
        root = Path(next(iter(package.__path__)))
        for file in root.rglob("*.py"):
            if reads_wall_clock(file.read_text()):
                found.add(f"{package.__name__}/{file.relative_to(root)}")
    assert found == set(READERS)
    assert reads_wall_clock((Path(codomain_cli.__path__[0]) / "handlers.py").read_text())


def reads_wall_clock(source: str) -> bool:
    """Tell whether a module calls ``time.time`` or asks a datetime for the time."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and node.attr in {"time", "time_ns", "utcnow", "now"}:
            owner = node.value
            if isinstance(owner, ast.Name) and owner.id in {"time", "datetime", "date"}:
                return True
    return False
