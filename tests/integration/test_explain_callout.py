"""``codomain explain`` and call-outs: shown from memory, made only where they are asked for."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from codomain.config import parse
from codomain.metrics import Metrics
from codomain.runtime import InForce, Runtime
from codomain_cli.asking import Asking, question_of
from codomain_cli.control import Peer
from codomain_cli.exits import RequestError
from codomain_cli.explain import explain_now
from codomain_cli.explainobject import as_object
from codomain_cli.livehandlers import LiveHandlers
from support.decisions import no_lookup
from support.smtpscript import Script

if TYPE_CHECKING:
    from collections.abc import Iterator

    from codomain.config import Config

INI = """
[codomain]
hostname = gateway.example.com
postfix = off

[domain example.com]
type = shared

[connector unix]
smart_hosts = [127.0.0.1]:{port}
address_spaces = example.com
allow_relay = yes
verify = callout
verify_control = known@example.com
"""
NOBODY = "nobody@example.com"
STRANGER = "198.51.100.7"


@pytest.fixture
def script() -> Iterator[Script]:
    """Give a system that knows nobody but its control address."""
    with Script() as server:
        server.taken = {"known@example.com"}
        yield server


@pytest.fixture
def config(script: Script) -> Config:
    """Give a configuration that asks it."""
    return parse(INI.format(port=script.port))


def now(config: Config, *, callout: bool) -> dict[str, Any]:
    """Explain without a daemon."""
    question = question_of(Asking(NOBODY, STRANGER))
    return as_object(explain_now(config, question, callout=callout))


def test_a_next_system_is_asked_with_callout_alone(script: Script, config: Config) -> None:
    """Without it nobody knows, and on_failure = accept relays; with it it is refused."""
    found = now(config, callout=False)
    assert found["verdict"]["kind"] == "relay"
    (callout,) = found["callouts"]
    assert (callout["source"], callout["outcome"]) == ("none", "unsure")
    assert script.asked() == []
    found = now(config, callout=True)
    assert (found["verdict"]["kind"], found["verdict"]["reason"]) == ("refuse", "unknown")
    (callout,) = found["callouts"]
    assert (callout["source"], callout["outcome"]) == ("asked", "unknown")
    assert callout["reply"] == "550 5.1.1 User unknown"
    assert [way["why"] for way in found["connectors"]] == ["the recipient is unknown there"]


def test_the_daemon_shows_what_it_knows_and_asks_if_told_to(script: Script, config: Config) -> None:
    """Nothing is known at first; after a call-out its result is in memory, with its lifetime."""

    async def explain(**arguments: object) -> dict[str, Any]:
        handler = LiveHandlers(InForce(runtime)).table()["explain"]
        made = await handler({"address": NOBODY, "client": STRANGER, **arguments}, Peer(0, 0, 0))
        loaded: dict[str, Any] = json.loads(json.dumps(made))
        return loaded

    async def story() -> list[dict[str, Any]]:
        return [
            await explain(),
            await explain(ask=True),
            await explain(callout=True),
            await explain(),
        ]

    runtime = Runtime(config, Metrics("0"), lookup=no_lookup)
    try:
        before, without, made, after = asyncio.run(story())
    finally:
        runtime.close()
    for found in (before, without):
        assert found["verdict"]["kind"] == "unknown"
        assert [one["source"] for one in found["callouts"]] == ["none"]
    assert made["verdict"]["reason"] == "unknown"
    assert [(one["source"], one["outcome"]) for one in made["callouts"]] == [("asked", "unknown")]
    (callout,) = after["callouts"]
    assert (callout["source"], callout["outcome"]) == ("cache", "unknown")
    assert 500 < callout["left"] <= 600
    assert script.asked().count(f"TO:<{NOBODY}>") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"address": 7},
        {"address": NOBODY, "client": "x"},
        {"address": NOBODY, "ask": "yes"},
        {"address": NOBODY, "colour": "red"},
    ],
)
def test_arguments_that_make_no_sense_are_refused(
    config: Config, arguments: dict[str, object]
) -> None:
    """The command is told so, and the daemon goes on."""
    runtime = Runtime(config, Metrics("0"), lookup=no_lookup)
    handler = LiveHandlers(InForce(runtime)).table()["explain"]
    try:
        with pytest.raises(RequestError) as refused:
            asyncio.run(handler(arguments, Peer(0, 0, 0)))  # type: ignore[arg-type]
    finally:
        runtime.close()
    assert refused.value.kind == "arguments"
