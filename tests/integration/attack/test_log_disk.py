"""The disk that the log goes to is full: mail is answered as if nothing were the matter."""

from __future__ import annotations

import itertools
import resource
from typing import TYPE_CHECKING

import pytest

from support.site import until

if TYPE_CHECKING:
    from support.siege import Siege

ROOM = 20_000
"""Octets that the log finds room for: some hundred lines."""

FULL = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({ROOM}, -1))\n"
"""A prelude: a file that grows no further (EFBIG; Python ignores SIGXFSZ)."""

NO_ROOM = "import os; os.dup2(os.open('/dev/full', os.O_WRONLY), 2)\n"
"""A prelude: each write to standard error is ENOSPC (full(4))."""

LINES = 300
"""More than fit, and what the limit of lines lets through at once."""


def refuse(siege: Siege, name: str) -> None:
    """Have refusals logged."""
    for number in range(LINES):
        assert siege.ask(f"{name}{number}@example.com").startswith("action=550 5.1.1 ")


@pytest.mark.parametrize("options", [(), ("--no-uvloop",)], ids=["uvloop", "asyncio"])
def test_with_a_full_log_every_door_answers(
    siege: Siege, options: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It starts, serves, reloads and stops with status 0; nothing is said, because it cannot."""
    # With it Python keeps nothing back that it could not write at the end.
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    with siege.under(NO_ROOM, *options) as daemon:
        refuse(siege, "nobody")
        siege.serves()
        assert siege.get("/readyz")[0] == 200
        assert siege.tell("version")["version"]
        daemon.reload()
        until(lambda: siege.tell("status")["generation"] == 2)
        siege.serves()
        assert daemon.stop() == 0


def test_a_log_that_fills_up_and_gets_room_again_goes_on(siege: Siege) -> None:
    """What did not fit is lost, what comes after is written, and mail was answered throughout."""
    with siege.under(FULL) as daemon:
        refuse(siege, "early")
        assert daemon.log.stat().st_size == ROOM
        refuse(siege, "lost")
        siege.serves()
        resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (-1, -1))
        # A line needs a token of the limit, of which ten come in a second; an answer that is
        # kept leaves none.
        late = (siege.ask(f"late{number}@example.com") for number in itertools.count())
        until(lambda: next(late) and "recipient=late" in daemon.logged())
        assert "lost" not in daemon.logged()
        assert daemon.stop() == 0
        assert daemon.logged().splitlines()[-1].endswith("event=stopped")
