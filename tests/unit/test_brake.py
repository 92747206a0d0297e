"""Rules of the harvest brake: who is counted, when it holds, what it remembers; at the doors."""

from __future__ import annotations

import logging
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from codomain.brake import Brake, brake_from
from codomain.config import HarvestSection
from codomain.connectors import Connector
from codomain.trust import NOBODY, Standing
from codomain.verdict import Deliver, Reason, Refuse, Relay
from codomain_milter.session import Outcome
from codomain_policyd.journal import Throttle
from codomain_policyd.policy_door import PolicyConnection, PolicyDoor
from support.doors import FakeInForce, FakeRuntime, policy_request
from support.milters import Fakes

if TYPE_CHECKING:
    from codomain.question import Question

STRANGER = ip_address("198.51.100.7")
OTHER = ip_address("198.51.100.8")
HELD = b"action=450 4.7.1 Try again later\n\n"
UNKNOWN = b"action=550 5.1.1 User unknown\n\n"
DUNNO = b"action=DUNNO\n\n"


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Give the time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Give a clock that stands still."""
    return Clock()


def brake(clock: Clock, limit: int = 3, window: float = 600.0, clients: int = 100) -> Brake:
    """Give a brake."""
    return Brake(limit, window, clients=clients, clock=clock)


def guess(one: Brake, times: int, client: str = f"{STRANGER}", standing: Standing = NOBODY) -> None:
    """Ask for some unknown recipients."""
    for _ in range(times):
        one.unknown(ip_address(client), standing)


def test_it_holds_for_a_client_over_the_bound(clock: Clock) -> None:
    """Over the limit, not at it; and for this client alone."""
    one = brake(clock)
    guess(one, 3)
    assert not one.holds(STRANGER, NOBODY)
    guess(one, 1)
    assert one.holds(STRANGER, NOBODY)
    assert not one.holds(OTHER, NOBODY)


def test_it_lets_go_after_a_window(clock: Clock) -> None:
    """A window after the bound was passed, and then it counts anew."""
    one = brake(clock)
    guess(one, 4)
    clock.now += 599
    assert one.holds(STRANGER, NOBODY)
    clock.now += 2
    assert not one.holds(STRANGER, NOBODY)
    guess(one, 3)
    assert not one.holds(STRANGER, NOBODY)


def test_what_is_older_than_a_window_counts_no_more(clock: Clock) -> None:
    """[harvest] window: the time in which they are counted."""
    one = brake(clock)
    guess(one, 3)
    clock.now += 601
    guess(one, 3)
    assert not one.holds(STRANGER, NOBODY)


def test_a_client_of_ipv6_counts_by_its_network(clock: Clock) -> None:
    """A /64 is one site: 2^64 addresses are no 2^64 clients; the next /64 is another one."""
    one = brake(clock)
    for number in range(4):
        guess(one, 1, f"2001:db8::{number + 1:x}")
    assert one.holds(ip_address("2001:db8::ffff"), NOBODY)
    assert not one.holds(ip_address("2001:db8:0:1::1"), NOBODY)


@pytest.mark.parametrize("standing", [Standing(trusted=True), Standing(peer_of=("unix",))])
def test_trusted_clients_and_peers_are_exempt(clock: Clock, standing: Standing) -> None:
    """Issue: trusted and peers exempt; also for what a stranger did from their address."""
    one = brake(clock)
    guess(one, 10, standing=standing)
    assert not one.holds(STRANGER, NOBODY)
    guess(one, 10)
    assert not one.holds(STRANGER, standing)


def test_a_client_without_an_address_is_not_counted(clock: Clock) -> None:
    """Nothing tells one unknown client from the other."""
    one = brake(clock)
    assert not one.unknown(None, NOBODY)
    assert not one.holds(None, NOBODY)


def test_memory_is_bounded(clock: Clock) -> None:
    """Two generations, however many clients guess; one that goes on guessing is not forgotten."""
    one = brake(clock, clients=10)
    for number in range(200):
        guess(one, 1, f"10.0.{number}.1")
        if number % 5 == 0:
            guess(one, 1)
    assert len(one) <= 20
    assert one.holds(STRANGER, NOBODY)


def test_a_braked_client_is_told_of_once(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """A change of state is logged, and not each recipient."""
    one = brake(clock)
    with caplog.at_level(logging.WARNING, "codomain.harvest"):
        guess(one, 10)
    assert [record.message for record in caplog.records] == ["harvest brake"]


def test_it_is_off_without_a_limit_and_survives_a_reload() -> None:
    """With limit = 0 it is off, the default; the counts stay where the section stays."""
    assert brake_from(HarvestSection()) is None
    first = brake_from(HarvestSection(limit=5))
    assert first is not None
    assert brake_from(HarvestSection(limit=5), first) is first
    assert brake_from(HarvestSection(limit=6), first) is not first


# --- the policy door


class Wire:
    """A connection of smtpd to a policy door, as asyncio would have it."""

    def __init__(self, door: PolicyDoor) -> None:
        self.connection = PolicyConnection(door)
        self.answers: list[bytes] = []
        before = door.on_braked

        def forget() -> None:  # as codomain_policyd.server does for all connections
            before()
            self.connection.forget()

        door.on_braked = forget
        self.connection.connection_made(self)  # type: ignore[arg-type]

    def write(self, data: bytes) -> None:
        """Take an answer."""
        self.answers.append(data)

    def is_closing(self) -> bool:
        """Tell that it is open."""
        return False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Have no buffer."""

    def pause_reading(self) -> None:
        """Do nothing."""

    def resume_reading(self) -> None:
        """Do nothing."""

    def ask(self, recipient: str, client: str = f"{STRANGER}") -> bytes:
        """Ask for a recipient."""
        self.connection.data_received(policy_request(recipient=recipient, client_address=client))
        return self.answers[-1]


def runtime(clock: Clock, limit: int = 3) -> FakeRuntime:
    """Give a runtime with a brake, which knows ann and relays nobody knows whom."""
    made = FakeRuntime()
    made.brake = Brake(limit, 600.0, clock=clock)
    made.resolver.verdicts = {"ann@example.com": Deliver("ann@example.com")}
    made.resolver.verdicts |= {
        f"n{number}@example.com": Refuse(Reason.UNKNOWN) for number in range(50)
    }
    made.resolver.verdicts["far@example.com"] = Relay(Connector("unix", "smtp:[192.0.2.10]"))
    return made


def door(made: FakeRuntime) -> PolicyDoor:
    """Give its policy door."""
    return PolicyDoor(FakeInForce(made), Throttle())  # type: ignore[arg-type]


def test_a_braked_client_is_told_the_same_of_every_recipient(clock: Clock) -> None:
    """Issue: 450 4.7.1 for every recipient, known ones too, so that nothing is told."""
    made = runtime(clock)
    wire = Wire(door(made))
    assert wire.ask("ann@example.com") == DUNNO
    for number in range(4):
        assert wire.ask(f"n{number}@example.com") == UNKNOWN
    for recipient in ("ann@example.com", "n0@example.com", "n40@example.com", "far@example.com"):
        assert wire.ask(recipient) == HELD
    assert wire.ask("ann@example.com", f"{OTHER}") == DUNNO
    clock.now += 601
    assert wire.ask("ann@example.com") == DUNNO


def test_it_holds_on_every_connection_of_the_client(clock: Clock) -> None:
    """The hot path of the others must not go on answering."""
    made = runtime(clock)
    one_door = door(made)
    wires = [Wire(one_door), Wire(one_door)]
    for wire in wires:
        assert wire.ask("ann@example.com") == DUNNO
        assert wire.ask("ann@example.com") == DUNNO  # from memory
    for number in range(4):
        wires[0].ask(f"n{number}@example.com")
    assert wires[1].ask("ann@example.com") == HELD


def test_an_unknown_recipient_that_others_asked_for_counts_too(clock: Clock) -> None:
    """What one client has been told must not let the next one guess for nothing."""
    made = runtime(clock)
    wire = Wire(door(made))
    for number in range(3):
        wire.ask(f"n{number}@example.com", f"{OTHER}")
    for number in range(3):
        assert wire.ask(f"n{number}@example.com") == UNKNOWN
    assert wire.ask("n3@example.com") == UNKNOWN
    assert wire.ask("n3@example.com") == HELD
    assert wire.ask("n4@example.com", f"{OTHER}") == UNKNOWN


def test_without_a_brake_refusals_are_kept(clock: Clock) -> None:
    """The hot path stays as it is where the brake is off."""
    made = runtime(clock)
    made.brake = None
    wire = Wire(door(made))
    for _ in range(5):
        assert wire.ask("n1@example.com") == UNKNOWN
    assert made.resolver.peeked == ["n1@example.com"]


def test_with_a_brake_known_recipients_are_kept(clock: Clock) -> None:
    """And answered on the hot path."""
    made = runtime(clock)
    wire = Wire(door(made))
    for _ in range(5):
        assert wire.ask("ann@example.com") == DUNNO
    assert made.resolver.peeked == ["ann@example.com"]


def test_what_is_held_is_counted_by_its_reason(clock: Clock) -> None:
    """In requests_total, by verdict="defer" and reason="harvest"."""
    made = runtime(clock, limit=1)
    wire = Wire(door(made))
    for number in range(4):
        wire.ask(f"n{number}@example.com")
    counted = made.metrics.requests("policy", "defer", "harvest", "example.com").count
    assert counted == 2


def test_shadow_mode_holds_nobody(clock: Clock) -> None:
    """Every decision is counted, and the mail passes."""
    made = runtime(clock)
    made.shadowed = True
    wire = Wire(door(made))
    for number in range(10):
        assert wire.ask(f"n{number}@example.com") == DUNNO


# --- the milter


def test_the_milter_holds_a_client_too(clock: Clock) -> None:
    """Both doors; one count for both of them."""
    made = Fakes(connect=False)
    made.runtime.brake = Brake(2, 600.0, clock=clock)
    made.resolver.verdicts = {
        "ann@example.com": Deliver("ann@example.com"),
        **{f"n{number}@example.com": Refuse(Reason.UNKNOWN) for number in range(5)},
    }
    made.session.connect((f"{STRANGER}", 40114))
    made.session.mail(b"<a@b.test>")
    assert made.session.rcpt(b"<ann@example.com>") is Outcome.CONTINUE
    for number in range(3):
        assert made.session.rcpt(b"<n%d@example.com>" % number) is Outcome.REJECT
    for recipient in (b"<n3@example.com>", b"<ann@example.com>"):
        assert made.session.rcpt(recipient) is Outcome.TEMPFAIL
        assert made.context.replies[-1][:2] == ("450", "4.7.1")
    assert made.runtime.brake.holds(STRANGER, NOBODY)


def test_the_milter_exempts_the_trusted(clock: Clock) -> None:
    """As the policy server does."""

    def trusted(question: Question) -> Standing:
        del question
        return Standing(trusted=True)

    made = Fakes(connect=False)
    made.runtime.brake = Brake(1, 600.0, clock=clock)
    made.runtime.standing = trusted
    made.resolver.verdicts = {f"n{n}@example.com": Refuse(Reason.UNKNOWN) for n in range(5)}
    made.session.connect((f"{STRANGER}", 40114))
    made.session.mail(b"<a@b.test>")
    for number in range(5):
        assert made.session.rcpt(b"<n%d@example.com>" % number) is Outcome.REJECT
