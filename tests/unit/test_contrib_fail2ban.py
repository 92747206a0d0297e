"""The filter for fail2ban, on lines that codomain writes: whom it shuts out, and whom never.

fail2ban itself is not needed: the few of its words that the filter uses are put in here,
as its manual jail.conf(5) describes them.
"""

from __future__ import annotations

import configparser
import io
import logging
import re
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from codomain import journal, log
from codomain.address import parse_path
from codomain.brake import Brake
from codomain.question import Door, Question
from codomain.trust import Standing
from codomain.verdict import Defer, Reason, Refuse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from codomain.verdict import Verdict

CONTRIB = Path(__file__).parents[2] / "contrib/fail2ban"
ADDRESS = r"(?P<addr>[0-9a-fA-F.:]+)"
UNKNOWN = Refuse(Reason.UNKNOWN)
JOURNAL = "gateway codomain[4711]: "
"""What stands before a line of the journal."""


def patterns() -> list[re.Pattern[str]]:
    """Return the filter's expressions, as fail2ban makes them."""
    reader = configparser.ConfigParser()
    reader.read(CONTRIB / "filter.d/codomain.conf")
    text = reader["Definition"]["failregex"]
    return [re.compile(line.replace("<ADDR>", ADDRESS)) for line in text.splitlines() if line]


def without_date(line: str) -> str:
    """Cut off what the filter's datepattern matches, as fail2ban does with a file."""
    return re.sub(r"^time=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?\s", "", line)


def banned(line: str) -> str | None:
    """Return the address that a line counts against; None: against nobody."""
    for pattern in patterns():
        match = pattern.search(without_date(line.rstrip("\n")))
        if match:
            return match["addr"]
    return None


@pytest.fixture
def written() -> Iterator[Callable[..., str]]:
    """Give a function that has codomain log one verdict, and returns the line."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    stream = io.StringIO()
    log.set_up("info", "logfmt", stream)

    def write(
        recipient: str,
        client: str = "198.51.100.7",
        verdict: Verdict = UNKNOWN,
        sender: str = "author@elsewhere.test",
        *,
        shadow: bool = False,
        door: Door = Door.POLICY,
    ) -> str:
        stream.seek(0)
        stream.truncate()
        question = Question(
            recipient=parse_path(f"<{recipient}>".encode()),
            door=door,
            client=ip_address(client),
            sender=sender,
        )
        told = "550 5.1.1 User unknown"
        if shadow:
            journal.log_shadow(
                logging.getLogger("codomain"), question, verdict, told, "example.com"
            )
        else:
            journal.log_refusal(logging.getLogger("codomain"), question, verdict, told)
        line = stream.getvalue()
        assert line.count("\n") == 1
        return line

    yield write
    root.handlers[:] = before[0]
    root.setLevel(before[1])


@pytest.mark.parametrize("client", ["198.51.100.7", "2001:db8::7"])
@pytest.mark.parametrize("door", [Door.POLICY, Door.MILTER])
def test_an_unknown_recipient_counts(written: Callable[..., str], client: str, door: Door) -> None:
    """From a file, with its time, and from the journal, with its host and program."""
    line = written("nobody@example.com", client, door=door)
    assert banned(line) == client
    assert banned(JOURNAL + without_date(line)) == client
    assert banned(written("nobody@example.com", client, sender="", door=door)) == client


def test_the_brake_counts(written: Callable[..., str]) -> None:
    """[harvest]: what is answered 450, whoever is asked for."""
    line = written("ann@example.com", verdict=Defer(Reason.HARVEST))
    assert banned(line) == "198.51.100.7"


@pytest.mark.parametrize("reason", [r for r in Reason if r is not Reason.UNKNOWN])
def test_no_other_refusal_counts(written: Callable[..., str], reason: Reason) -> None:
    """A relay that is refused or a loop is no guess at an address."""
    assert banned(written("nobody@example.com", verdict=Refuse(reason))) is None


def test_what_shadow_mode_let_through_does_not_count(written: Callable[..., str]) -> None:
    """It was not refused: the client is a sender like others."""
    assert banned(written("nobody@example.com", shadow=True)) is None


@pytest.mark.parametrize(
    "forged",
    [
        "x client=192.0.2.99 sender=a recipient=b reason=unknown",
        'x" client=192.0.2.99 recipient="b" reason=unknown reply="',
        "x\\",
        "x reason=unknown mode=shadow",
        "x\nlevel=info event=refused door=policy client=192.0.2.99 recipient=b reason=unknown",
    ],
)
def test_nobody_is_made_to_look_like_somebody_else(
    written: Callable[..., str], forged: str
) -> None:
    """What a client writes into a sender or recipient bans no other, and saves nobody."""
    local = forged.replace("\\", "\\\\").replace('"', '\\"')
    for line in (
        written("nobody@example.com", sender=forged),
        written(f'"{local}"@example.com'),
    ):
        assert banned(line) == "198.51.100.7", line
    harmless = written("nobody@example.com", verdict=Refuse(Reason.RELAYING), sender=forged)
    assert banned(harmless) is None


def test_the_brakes_own_line_counts() -> None:
    """One line says when the brake begins for a client (docs/howto/callout.md)."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(log.Logfmt(journal=False))
    logger = logging.getLogger("codomain.harvest")
    logger.addHandler(handler)
    try:
        brake = Brake(1, 600.0)
        for _ in range(3):
            brake.unknown(ip_address("198.51.100.7"), Standing())
    finally:
        logger.removeHandler(handler)
    assert banned(stream.getvalue()) == "198.51.100.7"


def test_the_jail_uses_the_filter_and_spares_this_host() -> None:
    """A jail that names no filter of ours, or bans 127.0.0.1, would be worse than none."""
    reader = configparser.ConfigParser()
    reader.read(CONTRIB / "jail.d/codomain.conf")
    assert reader["codomain"]["filter"] == "codomain"
    assert {"127.0.0.0/8", "::1"} <= set(reader["codomain"]["ignoreip"].split())
