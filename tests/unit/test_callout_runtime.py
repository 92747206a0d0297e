"""Rules of a whole runtime with call-out: the doors' memory, reloads, purges, metrics, explain."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from codomain.callout.atonce import AtOnce
from codomain.callout.system import system_from
from codomain.config import parse
from codomain.errors import ConfigError
from codomain.finding import Inquiry
from codomain.metrics import Metrics
from codomain.runtime import InForce, Runtime
from codomain_cli.check import looked_at
from codomain_cli.explain import explain_now
from codomain_policyd.journal import Throttle
from codomain_policyd.policy import PolicyDecoder
from codomain_policyd.policy_door import PolicyDoor
from support.decisions import no_lookup, question, told
from support.doors import policy_request
from support.smtpscript import BOUND, Script

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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
ANN, NOBODY = "ann@example.com", "nobody@example.com"


@pytest.fixture
def script() -> Iterator[Script]:
    """Give a server that knows ann and the control address."""
    with Script() as server:
        server.taken = {ANN, "known@example.com"}
        yield server


@pytest.fixture
def make(script: Script) -> Iterator[Callable[..., Runtime]]:
    """Build runtimes, and close them at the end."""
    made: list[Runtime] = []

    def build(more: str = "", before: Runtime | None = None) -> Runtime:
        config = parse(INI.format(port=script.port) + more)
        metrics = before.metrics if before else Metrics("0")
        made.append(Runtime(config, metrics, before=before, lookup=no_lookup))
        return made[-1]

    yield build
    for runtime in made:
        runtime.close()


def ask(runtime: Runtime, *recipients: str) -> list[str]:
    """Resolve some recipients."""

    async def every() -> list[str]:
        until = time.monotonic() + BOUND
        answers = [await runtime.resolver.resolve(question(one), until) for one in recipients]
        return [told(answer.verdict) for answer in answers]

    return asyncio.run(every())


def test_the_next_system_is_asked_for_what_no_directory_has(
    make: Callable[..., Runtime], script: Script
) -> None:
    """From the INI to the wire and back."""
    assert ask(make(), ANN, NOBODY) == ["Relay unix", "Refuse unknown"]
    assert script.commands[0] == "EHLO gateway.example.com"


def test_without_verify_nobody_is_asked(make: Callable[..., Runtime], script: Script) -> None:
    """The default: none."""
    runtime = make("[domain other.example]\ntype = shared\n")
    plain = Runtime(
        parse(INI.format(port=script.port).replace("verify = callout\n", "")),
        Metrics("0"),
        lookup=no_lookup,
    )
    assert runtime.callouts is not None
    assert plain.callouts is None
    assert ask(plain, NOBODY) == ["Relay unix"]
    assert script.connections == 0
    plain.close()


def test_a_doors_memory_answers_without_a_decision(make: Callable[..., Runtime]) -> None:
    """Cached results are answered on the hot path: found by the raw bytes of a request."""
    runtime = make()
    ask(runtime, ANN, NOBODY)
    door = PolicyDoor(InForce(runtime), Throttle())
    for recipient, action in ((ANN, b"action=DUNNO\n\n"), (NOBODY, b"action=550 5.1.1")):
        decoder = PolicyDecoder()
        decoder.feed(policy_request(recipient=recipient))
        request = decoder.next()
        assert request is not None
        first = door.answer(request, time.monotonic())
        assert isinstance(first, bytes)
        assert first.startswith(action)
        (shelf,) = door.verdicts.clients.values()
        entry = shelf.look(recipient.encode())
        assert entry is not None
        assert entry[0] <= time.monotonic() + 61


def test_a_reload_keeps_what_is_known(make: Callable[..., Runtime], script: Script) -> None:
    """Unless something changed on which it hangs."""
    first = make()
    ask(first, ANN)
    second = make("[milter]\nmax_hops = 20\n", first)
    assert ask(second, ANN) == ["Relay unix"]
    assert script.asked().count(f"TO:<{ANN}>") == 1
    third = make("[callout]\nnot_found_ttl = 1m\n", second)
    assert ask(third, ANN) == ["Relay unix"]
    assert script.asked().count(f"TO:<{ANN}>") == 2


def test_a_purge_forgets_what_the_systems_said(
    make: Callable[..., Runtime], script: Script
) -> None:
    """Somebody was added there, and should not wait for ten minutes."""
    runtime = make()
    assert ask(runtime, NOBODY) == ["Refuse unknown"]
    script.taken.add(NOBODY)
    assert ask(runtime, NOBODY) == ["Refuse unknown"]
    assert runtime.purge(NOBODY) == 1
    assert ask(runtime, NOBODY) == ["Relay unix"]
    assert runtime.flush() >= 1
    assert runtime.resolver.peek(question(NOBODY)) is None


def test_results_are_counted(make: Callable[..., Runtime]) -> None:
    """In cache_entries by kind, and in callout_requests_total by connector and result."""
    runtime = make()
    ask(runtime, ANN, NOBODY)
    assert runtime.metrics.cache_sizes()["callout_known"] == 1
    assert runtime.metrics.cache_sizes()["callout_unknown"] == 1
    value = runtime.metrics.registry.get_sample_value
    for result in ("known", "unknown"):
        labels = {"connector": "unix", "result": result}
        assert value("codomain_callout_requests_total", labels) == 1
    assert value("codomain_callout_duration_seconds_count", {"connector": "unix"}) == 2


def test_the_brake_of_a_reload_is_the_same(make: Callable[..., Runtime]) -> None:
    """Its counts are not forgotten, unless [harvest] changed."""
    first = make("[harvest]\nlimit = 5\n")
    assert make("[harvest]\nlimit = 5\n", first).brake is first.brake
    assert make("[harvest]\nlimit = 6\n", first).brake is not first.brake
    assert make().brake is None


def test_addresses_of_the_ini_are_written_for_the_wire(script: Script) -> None:
    """Domains beyond ASCII as A-labels: no SMTPUTF8 is needed for them (RFC 5890)."""
    ini = INI.format(port=script.port).replace("known@example.com", "known@müller.example")
    config = parse(ini + "[callout]\nsender = probe@müller.example\n")
    system = system_from(config.connectors[0], config)
    system.ask(NOBODY, BOUND, judged=True)
    system.close()
    assert set(script.asked("MAIL")) == {"FROM:<probe@xn--mller-kva.example> SIZE=1"}
    assert script.asked()[1] == "TO:<known@xn--mller-kva.example>"


def test_explain_shows_the_systems_own_words(script: Script) -> None:
    """Every step of one decision; the system is asked once for both of its decisions."""
    config = parse(INI.format(port=script.port))
    explanation = explain_now(config, question(NOBODY), callout=True)
    assert explanation.verdict is not None
    assert told(explanation.verdict) == "Refuse unknown"
    steps = dict(explanation.steps)
    assert steps["asked"].startswith("unix: 550 5.1.1 User unknown, ")
    assert steps["call-out"] == "unix: nobody@example.com is unknown"
    assert script.asked().count(f"TO:<{NOBODY}>") == 1


def test_a_system_that_is_down_is_shown_as_such() -> None:
    """Nothing is known of the recipient."""
    config = parse(INI.format(port=1))
    steps: list[tuple[str, str]] = []
    asker = AtOnce(config, lambda step, detail: steps.append((step, detail)))
    assert asker(Inquiry("unix", ANN, ANN)).value == "unsure"
    assert "refused" in steps[0][1]
    asker.close()


@pytest.mark.parametrize(
    ("change", "says", "status"),
    [
        ("", "connector unix takes its verify_control", 0),
        ("verify_control = gone@example.com\n", "unix: it refuses its verify_control: 550", 75),
        ("smart_hosts = [127.0.0.1]:1\n", "unix: its system does not answer: 127.0.0.1", 75),
    ],
)
def test_check_asks_each_next_system_for_its_control_address(
    script: Script, change: str, says: str, status: int
) -> None:
    """With --probe: what will never be believed is said before mail comes."""
    ini = INI.format(port=script.port)
    key = change.partition(" ")[0]
    lines = [line for line in ini.splitlines() if not key or not line.startswith(f"{key} ")]
    findings, code = looked_at(parse("\n".join([*lines, change])), probe=True)
    assert any(says in found.what for found in findings), findings
    assert code == status


def test_a_socket_of_this_host_has_no_tls() -> None:
    """A key that would do nothing is worse than an error."""
    ini = INI.format(port=25).replace("[127.0.0.1]:25", "unix:/run/lmtp")
    with pytest.raises(ConfigError) as caught:
        parse(ini + "transport = lmtp\ntls = encrypt\n")
    fault = '[connector unix] tls: "unix:/run/lmtp" is a socket and has no TLS; write tls = may'
    assert caught.value.faults == [f"codomain.ini:16: {fault}"]
