"""Rules of telling the daemon: in parts that one request takes, and never as a fault."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from codomain_cli.bulk import telling
from codomain_cli.handlers import ADDRESSES
from codomain_cli.wire import AnswerError

WHERE = Path("/nowhere/control")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Stand in for a daemon, and give the addresses of each request."""
    requests: list[list[str]] = []

    def call(path: Path, command: str, *, addresses: list[str]) -> Any:  # noqa: ANN401 - as call has it
        assert (path, command) == (WHERE, "cache.purge")
        requests.append(addresses)
        return {"addresses": [], "shared": None}

    monkeypatch.setattr(telling, "call", call)
    return requests


def test_all_addresses_are_told_in_parts(asked: list[list[str]]) -> None:
    """A request takes two hundred; nothing is flushed, so nobody else is asked anew."""
    every = {f"a{n:04}@xo.one" for n in range(2 * ADDRESSES + 1)}
    said = telling.purge(WHERE, every)
    assert list(map(len, asked)) == [ADDRESSES, ADDRESSES, 1]
    assert {address for part in asked for address in part} == every
    assert said == f"the daemon asks for {2 * ADDRESSES + 1} addresses anew"


def test_nothing_is_told_where_nothing_changed(asked: list[list[str]]) -> None:
    """No request, and no word."""
    assert telling.purge(WHERE, []) == ""
    assert asked == []


def test_a_daemon_that_is_not_there_is_said_and_no_error() -> None:
    """Nobody listens: it will ask when it starts."""
    said = telling.purge(WHERE, ["a@xo.one"])
    assert said.startswith("the daemon was not told: nobody listens on /nowhere/control")


def test_a_daemon_that_fails_is_said_with_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answers expire by themselves."""

    def fail(*_: object, **__: object) -> None:
        raise AnswerError("the daemon says: it took too long")

    monkeypatch.setattr(telling, "call", fail)
    assert telling.purge(WHERE, ["a@xo.one"]) == (
        "1 addresses may be answered as before until they expire: the daemon says: it took too long"
    )


def test_other_gateways_that_hear_later_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shared cache that cannot be reached."""
    shared = {"server": "redis://cache", "up": False, "detail": ""}
    monkeypatch.setattr(telling, "call", lambda *_, **__: {"addresses": [], "shared": shared})
    assert telling.purge(WHERE, ["a@xo.one"]).endswith(
        "; redis://cache cannot be reached, the other gateways hear later"
    )
