"""The parts of the page: every state has its words, and hides what it must."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest

from codomain.config import parse
from codomain_cli.page.live import parts_of
from codomain_cli.page.rates import MAPS, RECIPIENTS, Rate
from codomain_cli.page.recent import Refusal
from codomain_cli.page.state import State

INI = """\
[codomain]
postfix = off
[policyd]
socketmap_listen =
[http]
show_addresses = {show}
[domain example.com]
type = shared
mode = {mode}
[connector unix]
smart_hosts = [192.0.2.10]
address_spaces = example.com
verify = callout
[connector far]
smart_hosts = far.example.net
[directory ad]
servers = ldaps://dc1.corp.example
base = dc=corp
"""

REFUSAL = Refusal(
    when=1000.0,
    event="refused",
    door="policy",
    client="198.51.100.7",
    sender="<b>@elsewhere.test",
    recipient="nobody@example.com",
    reason="unknown",
    reply="550 5.1.1 User unknown",
    dn="cn=x",
    detail="nowhere",
    shadow=True,
)


def _directory(**more: object) -> dict[str, object]:
    servers = [{"uri": "ldaps://dc1.corp.example", "up": False}]
    base = {"name": "ad", "type": "ldap", "up": True, "detail": "", "servers": servers}
    return {**base, "index": None, **more}


def _parts(show: str = "no", mode: str = "enforce", **more: Any) -> dict[str, str]:  # noqa: ANN401
    config = parse(INI.format(show=show, mode=mode))
    status = {"loaded": 900.0, "generation": 3, "directories": more.pop("directories", [])}
    stats = {"size": 100_000, "entries": {"found": 12}, "lookups": {}, "shared": None}
    state = State(
        now=1000.0,
        runtime=SimpleNamespace(config=config, warnings=[]),  # type: ignore[arg-type]
        status=status,
        stats={**stats, **more.pop("stats", {})},
        rates=more.pop("rates", {}),
        course=more.pop("course", ((), ())),
        suspended=frozenset(more.pop("suspended", ())),
        refusals=more.pop("refusals", ()),
    )
    found: dict[str, str] = {}
    for part in parts_of(state):
        name = re.match(r'<section id="([a-z]+)"', part)
        assert name is not None
        found[name[1]] = part
    return found


def _words(part: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", part).split())


def test_a_daemon_that_has_done_nothing_has_a_page() -> None:
    """No division by nothing, and a word in place of every empty list."""
    parts = _parts()
    assert list(parts) == [
        "overview",
        "verdicts",
        "refusals",
        "directories",
        "connectors",
        "cache",
    ]
    assert "No recipient has been asked for yet." in parts["verdicts"]
    assert "None since the start." in parts["refusals"]
    assert "There is none." in parts["directories"]
    assert "none yet" in _words(parts["overview"])
    assert "<svg" not in parts["overview"]


def test_rates_are_added_up_by_verdict() -> None:
    """Reasons stand apart in the table, and maps apart from recipients."""
    rates = {
        (RECIPIENTS, "deliver", ""): Rate(60, 100, 1000),
        (RECIPIENTS, "refuse", "unknown"): Rate(30, 40, 50),
        (RECIPIENTS, "refuse", "relaying"): Rate(30, 30, 30),
        (RECIPIENTS, "defer", "route"): Rate(0, 0, 0),
        (MAPS, "deliver", ""): Rate(6000, 6000, 6000),
    }
    parts = _parts(rates=rates, course=((5, 10, 0), (1, 2, 0)))
    words = _words(parts["overview"])
    assert "Recipients 2.0/s 1,080 since the start" in words
    assert "Refused 50% of the last minute" in words
    assert "Map look-ups 100/s" in words
    assert 'points="87,20.0 88,0.0 89,40.0"' in parts["overview"]
    assert "Refused unknown 30/min 40 50" in _words(parts["verdicts"])
    assert "Deferred" not in _words(parts["verdicts"])


@pytest.mark.parametrize("show", ["no", "yes"])
def test_a_refusal_names_people_only_where_that_is_set(show: str) -> None:
    """Sender, entry and detail not at all; recipient and client masked."""
    part = _parts(show, refusals=[REFUSAL])["refusals"]
    hidden = ("nobody@", "198.51.100.7", "cn=x", "nowhere", "from &lt;b&gt;@elsewhere.test")
    assert [text in part for text in hidden] == [show == "yes"] * len(hidden)
    assert "shadow: passed" in part
    assert "<b>" not in part
    assert ("[http] show_addresses" in part) is (show == "no")


@pytest.mark.parametrize(
    ("directory", "said"),
    [
        (_directory(), "ad ldap answers ldaps://dc1.corp.example down"),
        (_directory(up=False, detail="of x@y.test"), "codomain status and the log say why."),
        (
            _directory(index={"usable": True, "entries": 1234, "synced": 995.0, "age": 5.0}),
            "Local index of 1,234 entries, in step 5 s ago",
        ),
        (
            _directory(index={"usable": True, "entries": 1, "synced": 0.0, "age": None}),
            "of unknown age",
        ),
        (
            _directory(index={"usable": False, "entries": 0, "synced": 0.0, "age": None}),
            "no index every address is searched for",
        ),
    ],
)
def test_every_state_of_a_directory_has_its_words(directory: object, said: str) -> None:
    """Up or down, each server, and how old the local index is."""
    part = _parts(directories=[directory])["directories"]
    assert said in _words(part)
    assert "x@y.test" not in part


def test_why_a_directory_is_down_is_shown_where_that_is_set() -> None:
    """And that it was not asked yet, where nothing is known."""
    down = _directory(up=False, detail="refused by x@y.test")
    assert "refused by x@y.test" in _parts("yes", directories=[down])["directories"]
    fresh = _directory(up=False)
    assert "not asked yet" in _parts("yes", directories=[fresh])["directories"]
    assert "No answer from directory ad" in _parts(directories=[fresh])["overview"]


def test_a_next_system_that_is_silent_is_shown() -> None:
    """With `verify = callout` alone is it asked at all."""
    assert "unix call-out" in _words(_parts()["connectors"])
    assert "unix does not answer" in _words(_parts(suspended=["unix"])["connectors"])
    assert "far no call-out" in _words(_parts(suspended=["unix"])["connectors"])


def test_shadow_mode_and_the_shared_cache_are_shown() -> None:
    """What one has to know before one believes the rest."""
    assert "Shadow mode: example.com" in _words(_parts(mode="shadow")["overview"])
    assert "Shadow mode" not in _words(_parts()["overview"])
    shared = {"server": "rediss://cache.example:6379", "up": False, "detail": "x"}
    assert "rediss://cache.example:6379 down" in _words(_parts(stats={"shared": shared})["cache"])
