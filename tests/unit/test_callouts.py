"""Rules of call-outs under way: one for each recipient, bounds, deadlines, suspension."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from typing import TYPE_CHECKING, Self

import pytest

from codomain.callout import callouts as module
from codomain.callout.answer import Outcome
from codomain.callout.callouts import CONNECTIONS, MAX_WAITING, Callouts
from codomain.callout.results import Lifetimes, Results
from codomain.callout.session import Said
from codomain.callout.state import FAILURES
from codomain.errors import NextSystemError
from codomain.finding import Inquiry
from codomain.question import Door
from codomain.resolver import Resolver
from support.decisions import question, rules_of, told
from support.searching import BOUND, Searched
from support.searching import House as Searching

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from codomain.resolver import Answer

INI = """
[domain example.com]
type = shared

[connector unix]
smart_hosts = [192.0.2.10]
address_spaces = example.com
allow_relay = yes
verify = callout
verify_control = known@example.com

[directory people]
type = ldap
servers = ldaps://dc1.corp.local
base = dc=corp,dc=local
"""
ANN, NOBODY = "ann@example.com", "nobody@example.com"


class Asked:
    """A system under a test's hand; it knows ann."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.judged: list[bool] = []
        self.error: Exception | None = None
        self.said: dict[str, Said] = {ANN: Said(Outcome.KNOWN, "250 Ok", choosy=True)}
        self.gate = threading.Event()
        self.gate.set()
        self.arrived = threading.Semaphore(0)
        self.at_once = 0
        self.most_at_once = 0
        self.closed = False
        self._lock = threading.Lock()

    def ask(self, address: str, seconds: float, *, judged: bool) -> Said:
        """Answer, when the gate opens."""
        del seconds
        with self._lock:
            self.asked.append(address)
            self.judged.append(judged)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        self.arrived.release()
        assert self.gate.wait(BOUND)
        with self._lock:
            self.at_once -= 1
        if self.error is not None:
            raise self.error
        return self.said.get(address, Said(Outcome.UNKNOWN, "550 5.1.1"))

    def tidy(self) -> bool:
        """End nothing."""
        return False

    def close(self) -> None:
        """Take note."""
        self.closed = True


class House:
    """A resolver with one next system."""

    def __init__(
        self,
        *,
        ini: str = INI,
        lifetimes: Lifetimes | None = None,
        seconds: float = 10.0,
    ) -> None:
        self.system = Asked()
        self.counted: list[tuple[str, str]] = []
        self.callouts = Callouts(
            {"unix": self.system},
            Results(1000, lifetimes or Lifetimes()),
            seconds,
            lambda name, result, _seconds: self.counted.append((name, result)),
        )
        self._inner = Searching(Searched())
        inner = self._inner
        self.resolver = Resolver(
            rules_of(ini), {"people": inner.directory}, inner.cache, inner.flights, inner.metrics,
            self.callouts,
        )  # fmt: skip

    async def ask(self, recipient: str = NOBODY, seconds: float = BOUND) -> str:
        """Tell the verdict on a recipient."""
        return told((await self.answer(recipient, seconds)).verdict)

    async def answer(self, recipient: str = NOBODY, seconds: float = BOUND) -> Answer:
        """Resolve a recipient under a deadline."""
        return await self.resolver.resolve(question(recipient), time.monotonic() + seconds)

    def peek(self, recipient: str) -> str | None:
        """Tell the verdict from memory."""
        answer = self.resolver.peek(question(recipient))
        return None if answer is None else told(answer.verdict)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.system.gate.set()
        self.callouts.close()
        self._inner.__exit__()


def inquiry(address: str) -> Inquiry:
    """Ask unix for a recipient."""
    return Inquiry("unix", address, address)


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a test in a loop, with a bound."""
    asyncio.run(asyncio.wait_for(test(), BOUND))


def test_what_was_asked_once_is_answered_from_memory() -> None:
    """Cached results answer on the hot path."""

    async def test() -> None:
        with House() as house:
            assert house.peek(ANN) is None
            assert await house.ask(ANN) == "Relay unix"
            assert await house.ask(NOBODY) == "Refuse unknown"
            assert (house.peek(ANN), house.peek(NOBODY)) == ("Relay unix", "Refuse unknown")
            assert house.system.asked == [ANN, NOBODY]
            assert house.counted == [("unix", "known"), ("unix", "unknown")]

    run(test)


def test_a_verdict_holds_as_long_as_the_answer() -> None:
    """A door keeps it no longer than the next system's word is believed."""

    async def test() -> None:
        with House(lifetimes=Lifetimes(found=100.0, not_found=10.0, refresh_ahead=0.5)) as house:
            now = time.monotonic()
            # the directory's own "not there" holds for a minute, less a tenth at most by chance,
            # and is asked for again at 0.8 of that
            assert now + 43 < (await house.answer(ANN)).expires <= now + 51 + BOUND
            assert now + 4 < (await house.answer(NOBODY)).expires <= now + 6 + BOUND
            peeked = house.resolver.peek(question(NOBODY))
            assert peeked is not None
            assert now + 4 < peeked.expires <= now + 6 + BOUND

    run(test)


def test_there_is_one_call_out_for_each_recipient() -> None:
    """One flight, however many wait for it."""

    async def test() -> None:
        with House() as house:
            house.system.gate.clear()
            requests = [asyncio.ensure_future(house.ask(ANN)) for _ in range(50)]
            await asyncio.to_thread(house.system.arrived.acquire)
            house.system.gate.set()
            assert set(await asyncio.gather(*requests)) == {"Relay unix"}
            assert house.system.asked == [ANN]

    run(test)


def test_there_are_no_more_connections_than_the_bound() -> None:
    """Issue: at most 20 connections to one system."""

    async def test() -> None:
        with House() as house:
            house.system.gate.clear()
            requests = [asyncio.ensure_future(house.ask(f"n{n}@example.com")) for n in range(50)]
            for _ in range(CONNECTIONS):
                await asyncio.to_thread(house.system.arrived.acquire)
            house.system.gate.set()
            assert set(await asyncio.gather(*requests)) == {"Refuse unknown"}
            assert house.system.most_at_once == CONNECTIONS

    run(test)


@pytest.mark.parametrize(("on_failure", "verdict"), [("accept", "Relay"), ("defer", "Defer")])
def test_the_deadline_is_kept_whatever_the_system_does(on_failure: str, verdict: str) -> None:
    """Past it on_failure answers, and the call-out goes on and fills the memory."""

    async def test() -> None:
        ini = f"{INI}[callout]\non_failure = {on_failure}\n"
        with House(ini=ini) as house:
            house.system.gate.clear()
            began = time.monotonic()
            answer = await house.answer(NOBODY, 0.1)
            assert time.monotonic() - began < BOUND / 2
            assert type(answer.verdict).__name__ == verdict
            # it holds for this request alone
            assert answer.expires == 0.0
            house.system.gate.set()
            await house.callouts.fly(inquiry(NOBODY))
            assert house.peek(NOBODY) == "Refuse unknown"
            assert house.system.asked == [NOBODY]

    run(test)


def test_nobody_waits_again_for_what_took_too_long() -> None:
    """The maps ask for the recipient that the policy server has just been asked for."""

    async def test() -> None:
        with House() as house:
            house.system.gate.clear()
            assert await house.ask(NOBODY, 0.1) == "Relay unix"
            assert house.peek(NOBODY) == "Relay unix"
            house.system.gate.set()
            await house.callouts.fly(inquiry(NOBODY))
            assert house.peek(NOBODY) == "Refuse unknown"

    run(test)


@pytest.mark.parametrize("error", [NextSystemError("refused"), ValueError("a fault of ours")])
def test_a_failure_is_never_unknown(error: Exception) -> None:
    """A refusal of us, a closed connection, a time-out, a fault of ours: on_failure decides."""

    async def test() -> None:
        with House() as house:
            house.system.error = error
            assert await house.ask(NOBODY) == "Relay unix"
            # for seconds, not at every recipient anew
            assert house.peek(NOBODY) == "Relay unix"
            assert house.system.asked == [NOBODY]

    run(test)


def test_an_answer_in_use_is_asked_for_ahead_of_its_end() -> None:
    """Nobody waits for it."""

    async def test() -> None:
        with House(lifetimes=Lifetimes(found=60.0, refresh_ahead=0.0)) as house:
            await house.ask(ANN)
            house.system.gate.clear()
            assert house.peek(ANN) == "Relay unix"
            assert house.peek(ANN) == "Relay unix"
            house.system.gate.set()
            await house.callouts.fly(inquiry(ANN))
            assert house.system.asked == [ANN, ANN]

    run(test)


def test_a_domain_is_judged_once() -> None:
    """A choosy system is tried with a random name once, and not with each recipient."""

    async def test() -> None:
        with House() as house:
            await house.ask(ANN)
            await house.ask(NOBODY)
            assert house.system.judged == [False, True]

    run(test)


def test_a_system_that_takes_anything_is_not_asked_again() -> None:
    """It counts as a way out for every recipient of the domain."""

    async def test() -> None:
        with House() as house:
            house.system.said[NOBODY] = Said(Outcome.ANYTHING, choosy=False)
            assert await house.ask(NOBODY) == "Relay unix"
            await house.ask("other@example.com")
            assert house.peek("other@example.com") == "Relay unix"
            assert house.system.asked == [NOBODY]

    run(test)


def test_what_was_known_serves_while_the_system_is_down() -> None:
    """With the primary down, the gateway still accepts what it knows."""

    async def test() -> None:
        ini = INI + "[callout]\non_failure = defer\n"
        with House(ini=ini, lifetimes=Lifetimes(found=0.0)) as house:
            await house.ask(ANN)
            house.system.error = NextSystemError("refused")
            for _ in range(FAILURES + 1):
                assert await house.ask(ANN) == "Relay unix"
                house.callouts.results._unsure.clear()
            assert await house.ask(NOBODY) == "Defer callout"

    run(test)


def test_a_suspended_system_leaves_to_the_others_what_it_did_not_know() -> None:
    """With the primary down, what the second one knows goes there, as before."""

    async def test() -> None:
        with House(lifetimes=Lifetimes(not_found=0.0)) as house:
            asked = inquiry(NOBODY)
            assert await house.callouts.fly(asked) is Outcome.UNKNOWN
            house.system.error = NextSystemError("refused")
            for number in range(FAILURES):
                await house.callouts.fly(inquiry(f"n{number}@example.com"))
            known = house.callouts.look(asked, time.monotonic(), _never)
            assert known is not None
            assert known.outcome is Outcome.DOUBTED
            other = house.callouts.look(inquiry(ANN), time.monotonic(), _never)
            assert other is not None
            assert other.outcome is Outcome.UNSURE
            # nobody is refused for what it said a while ago
            assert await house.ask(NOBODY) == "Relay unix"

    run(test)


def test_what_was_known_is_not_waited_for_until_the_deadline() -> None:
    """A tarpit must not hold recipients that were known a while ago."""

    async def test() -> None:
        with House(lifetimes=Lifetimes(found=0.0)) as house:
            await house.ask(ANN)
            house.system.gate.clear()
            began = time.monotonic()
            assert await house.ask(ANN) == "Relay unix"
            assert time.monotonic() - began < BOUND / 2

    run(test)


def test_a_system_that_failed_in_a_row_is_suspended(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Probed now and then, not hammered; and only the changes are told."""
    clock = [1000.0]
    monkeypatch.setattr(module, "time", _Clock(clock))

    async def asked(house: House, name: str) -> Outcome:
        return await house.callouts.fly(inquiry(f"{name}@example.com"))

    async def test() -> None:
        with House() as house:
            house.system.error = NextSystemError("connection refused")
            for number in range(FAILURES):
                await asked(house, f"a{number}")
            assert len(house.system.asked) == FAILURES
            for number in range(20):
                assert await asked(house, f"b{number}") is Outcome.UNSURE
            assert len(house.system.asked) == FAILURES
            assert house.callouts.look(inquiry("c@example.com"), clock[0], _never) is not None
            # one finds out after the pause, then there is another, longer one
            clock[0] += 10.1
            await asked(house, "d1")
            await asked(house, "d2")
            assert len(house.system.asked) == FAILURES + 1
            clock[0] += 10.1
            house.system.error = None
            assert await asked(house, "e") is Outcome.UNKNOWN
            assert await asked(house, "f") is Outcome.UNKNOWN

    with caplog.at_level(logging.INFO, "codomain.callout"):
        run(test)
    assert [record.message for record in caplog.records] == [
        "next system does not answer",
        "next system answers again",
    ]


class _Clock:
    """A clock that stands still until a test moves it."""

    def __init__(self, now: list[float]) -> None:
        self._now = now

    def monotonic(self) -> float:
        """Give the time."""
        return self._now[0]


def _never(_inquiry: Inquiry) -> None:
    raise AssertionError("nothing is to be asked for again")


def test_a_greylisting_system_is_not_suspended() -> None:
    """It answers; that it says nothing of a recipient is no failure of it."""

    async def test() -> None:
        with House() as house:
            for number in range(FAILURES + 2):
                address = f"n{number}@example.com"
                house.system.said[address] = Said(Outcome.UNSURE, "450 4.7.1")
                await house.ask(address)
            assert len(house.system.asked) == FAILURES + 2

    run(test)


def test_more_that_wait_than_the_bound_are_unsure_at_once() -> None:
    """What one slow system can make us hold is bounded."""

    async def test() -> None:
        with House() as house:
            house.system.gate.clear()
            for number in range(MAX_WAITING):
                house.callouts.fly(inquiry(f"n{number}@example.com"))
            one_more = house.callouts.fly(inquiry("more@example.com"))
            assert one_more.done()
            assert one_more.result() is Outcome.UNSURE
            house.callouts.close()

    run(test)


def test_a_closed_runtime_asks_nobody() -> None:
    """A request that outlived its configuration."""

    async def test() -> None:
        with House() as house:
            house.callouts.close()
            assert house.system.closed
            assert await house.ask(NOBODY) == "Relay unix"
            assert house.system.asked == []

    run(test)


def test_maps_ask_too() -> None:
    """The transport map needs the way that the call-out found."""

    async def test() -> None:
        with House() as house:
            asked = question(NOBODY, "", door=Door.MAP)
            answer = await house.resolver.resolve(asked, time.monotonic() + BOUND)
            assert told(answer.verdict) == "Refuse unknown"

    run(test)


def test_another_thread_leaves_a_refresh_to_the_loop() -> None:
    """The milter decides on threads of its own; call-outs are the loop's."""

    async def test() -> None:
        with House(lifetimes=Lifetimes(found=60.0, refresh_ahead=0.0)) as house:
            await house.ask(ANN)
            left: list[Callable[[], object]] = []
            answer = await asyncio.to_thread(house.resolver.peek_aside, question(ANN), left.append)
            assert answer is not None
            assert told(answer.verdict) == "Relay unix"
            assert house.system.asked == [ANN]
            for act in left:
                act()
            await house.callouts.fly(inquiry(ANN))
            assert house.system.asked == [ANN, ANN]

    run(test)
