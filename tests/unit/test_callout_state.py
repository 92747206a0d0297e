"""Rules of a next system's state: when it is suspended, asked again, and shown."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from codomain.callout.answer import Outcome
from codomain.callout.callouts import Callouts
from codomain.callout.results import Lifetimes, Results
from codomain.callout.session import Said
from codomain.callout.state import FAILURES, LONGEST_PAUSE, PAUSE_SECONDS, State
from codomain.finding import Inquiry
from codomain_cli import nextsystems
from codomain_cli.health import Health
from codomain_cli.nextsystems import next_systems, written

if TYPE_CHECKING:
    import pytest

    from codomain.callout.callouts import Askable
    from codomain.runtime import InForce, Runtime

NOW = 1000.0


def suspended() -> State:
    """Let a system fail often enough."""
    state = State()
    told = [state.fail("refused", NOW) for _ in range(FAILURES + 2)]
    # Said once, however often it fails.
    assert told == [False, False, True, False, False]
    return state


def test_the_third_failure_in_a_row_suspends() -> None:
    """Any answer in between begins the count anew."""
    state = State()
    for _ in range(FAILURES - 1):
        state.fail("refused", NOW)
    assert not state.answer()
    assert not state.fail("refused", NOW)
    assert not state.suspended
    assert not state.refuses(NOW)


def test_a_suspended_system_is_asked_once_for_each_pause_and_each_is_longer() -> None:
    """Ten seconds, twice as long each time, and no longer than a minute."""
    state, now, pauses = suspended(), NOW, []
    for _ in range(5):
        pauses.append(state.again - now)
        assert state.refuses(state.again - 0.1)
        now = state.again
        assert not state.refuses(now)
        state.try_again(now)
        assert state.refuses(now)
    assert pauses == [PAUSE_SECONDS, 10.0, 20.0, 40.0, LONGEST_PAUSE]
    assert state.answer()
    assert not state.suspended
    state.fail("refused", now)
    assert (state.failures, state.pause) == (1, PAUSE_SECONDS)


def runtime(*names: str) -> Runtime:
    """Make a runtime that asks these connectors' systems."""
    systems = dict.fromkeys(names, cast("Askable", None))  # none is asked here
    callouts = Callouts(systems, Results(10, Lifetimes()), 1.0)
    directories: dict[str, object] = {}
    flights = SimpleNamespace(down={})
    made = SimpleNamespace(
        callouts=callouts, directories=directories, flights=flights, generation=0
    )
    return cast("Runtime", made)


def test_status_says_how_each_next_system_fares() -> None:
    """Up or suspended and until when, what was wrong, what takes anything, what is kept."""
    made = runtime("good", "bad")
    callouts = made.callouts
    assert callouts is not None
    for domain in ("b.example", "a.example"):
        asked = Inquiry("good", f"x@{domain}", f"x@{domain}")
        callouts.results.put(asked, Said(Outcome.ANYTHING, choosy=False), NOW, 0)
    known = Inquiry("good", "ann@c.example", "ann@c.example")
    callouts.results.put(known, Said(Outcome.KNOWN, choosy=True), NOW, 0)
    bad = callouts.states["bad"]
    bad.waiting = 2
    for _ in range(FAILURES):
        bad.fail("192.0.2.1: refused", NOW - 4.0)
    bad.failed = 0.5
    found = next_systems(made, NOW)
    assert found is not None
    assert found["remembered"] == {"known": 1, "unknown": 0, "unsure": 0}
    first, second = found["connectors"]
    assert first == {
        "name": "good",
        "up": True,
        "asking": 0,
        "failures": 0,
        "again": None,
        "failed": None,
        "detail": "",
        "anything": ["a.example", "b.example"],
        "anything_domains": 2,
    }
    assert (second["up"], second["asking"], second["again"]) == (False, 2, 6.0)
    lines = list(written(found))
    assert lines[0] == "next system good is up"
    assert lines[1] == "  takes anything in a.example, b.example"
    assert lines[2] == (
        "next system bad is suspended after 3 failures: asked again in 6 s, 2 call-outs under way"
    )
    assert lines[3].startswith("  failed last at 19")
    assert lines[3].endswith(": 192.0.2.1: refused")
    assert lines[4] == "call-outs remembered: 1 known, 0 unknown, 0 unsure"
    bad.again = NOW - 1.0
    assert "asked again with the next recipient" in "".join(written(next_systems(made, NOW)))


def test_of_many_domains_the_first_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer of the control socket has a bound."""
    monkeypatch.setattr(nextsystems, "MOST_DOMAINS", 1)
    made = runtime("good")
    callouts = made.callouts
    assert callouts is not None
    for domain in ("a.example", "b.example", "c.example"):
        asked = Inquiry("good", f"x@{domain}", f"x@{domain}")
        callouts.results.put(asked, Said(Outcome.ANYTHING, choosy=False), NOW, 0)
    assert "  takes anything in a.example and 2 more" in list(written(next_systems(made, NOW)))


def test_without_call_outs_there_is_nothing_to_tell() -> None:
    """Null, as for the shared cache."""
    assert next_systems(cast("Runtime", SimpleNamespace(callouts=None)), NOW) is None


def test_a_suspended_system_is_shown_and_leaves_the_gateway_ready() -> None:
    """Readiness is that recipients are answered, and they are: [callout] on_failure."""
    made = runtime("good", "bad")
    callouts = made.callouts
    assert callouts is not None
    for _ in range(FAILURES):
        callouts.states["bad"].fail("refused", NOW)
    watch = Health(cast("InForce", SimpleNamespace(runtime=made)))
    assert watch.states() == [("next system good", True), ("next system bad", False)]
    assert watch.silent() == set()
