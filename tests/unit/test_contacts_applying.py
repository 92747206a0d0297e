"""Rules of carrying a plan out: the order, the results, and what becomes of a failure."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from codomain.directory.link import ResultError
from codomain.directory.messages import Done
from codomain.directory.writing import Addition, Modification, WritingWire
from codomain_cli.bulk.applying import Applying
from codomain_cli.bulk.names import parse
from codomain_cli.bulk.plan import Plan, Step, What
from codomain_cli.bulk.records import Contact

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class FakeWire:
    """Carries everything out, but what it has another result code for."""

    server = SimpleNamespace(uri="ldap://fake")

    def __init__(self, **codes: int) -> None:
        self.codes = codes
        self.sent: list[list[str]] = []

    def carry_out(
        self, requests: Iterable[Addition | Modification]
    ) -> Iterator[tuple[Addition | Modification, Done]]:
        """Answer in the reverse order, as a server may."""
        listed = list(requests)
        self.sent.append([name_of(request.dn) for request in listed])
        for request in reversed(listed):
            code = self.codes.get(name_of(request.dn), 0)
            yield request, Done(1, code, "so it is" if code else "", ("ldap://other/",), ())


def name_of(dn: str) -> str:
    """Return the value of a DN's first part."""
    return parse(dn).own()[1]


def step(name: str, what: What, takes: str = "", gives_up: str = "") -> Step:
    """Make one step."""
    dn = f"cn={name},dc=xo"
    contact = Contact(len(name), parse(dn), (b"contact",), (), {})
    requests: dict[What, Addition | Modification] = {
        What.CREATE: Addition(dn, {}),
        What.CHANGE: Modification(dn, {}, {}, {}),
    }
    request = requests.get(what)
    return Step(what, contact, request, frozenset(takes.split()), frozenset(gives_up.split()))


def applied(plan: Plan, **codes: int) -> tuple[FakeWire, Applying]:
    """Carry a plan out."""
    wire = FakeWire(**codes)
    applying = Applying(cast("WritingWire", wire), plan)
    applying.run()
    return wire, applying


def test_units_come_first_then_who_gives_up_then_changes_then_new_ones() -> None:
    """So no address is of two entries at a time; what is the same is not sent."""
    plan = Plan(
        units=[parse("ou=high,dc=xo"), parse("ou=low,ou=high,dc=xo")],
        steps=[
            step("new", What.CREATE, "moved@x"),
            step("other", What.CHANGE, "o@x"),
            step("same", What.SAME, "s@x"),
            step("giver", What.CHANGE, "g@x", "moved@x"),
        ],
    )
    wire, applying = applied(plan)
    assert [sent for sent in wire.sent if sent] == [
        ["high"],
        ["low"],
        ["giver"],
        ["other"],
        ["new"],
    ]
    outcome = applying.outcome
    assert (outcome.units, outcome.created, outcome.changed, outcome.faults) == (2, 1, 2, [])
    assert outcome.addresses == {"moved@x", "o@x", "g@x"}


def test_an_address_that_was_not_given_up_is_not_given_to_another() -> None:
    """The directory refuses the one change; the other would make the address ambiguous."""
    plan = Plan(
        steps=[
            step("new", What.CREATE, "moved@x n@x"),
            step("giver", What.CHANGE, "g@x", "moved@x"),
            step("fine", What.CREATE, "f@x"),
        ]
    )
    wire, applying = applied(plan, giver=50)
    assert "new" not in [name for sent in wire.sent for name in sent]
    assert [(fault.dn, fault.why) for fault in applying.outcome.faults] == [
        (
            "cn=giver,dc=xo",
            "the directory says insufficientAccessRights (50) so it is",
        ),
        ("cn=new,dc=xo", "moved@x is still an address of cn=giver,dc=xo"),
    ]
    assert applying.outcome.created == 1
    assert applying.outcome.addresses == {"f@x"}


@pytest.mark.parametrize("code", [17, 19, 50, 53, 65, 68])
def test_what_one_record_meets_does_not_stop_the_others(code: int) -> None:
    """Undefined attribute, constraint, rights, unwilling, object class, already there."""
    plan = Plan(steps=[step("bad", What.CREATE), step("good", What.CREATE)])
    _, applying = applied(plan, bad=code)
    assert applying.outcome.created == 1
    assert [fault.line for fault in applying.outcome.faults] == [3]


@pytest.mark.parametrize("code", [16, 20])
def test_an_entry_that_was_changed_meanwhile_is_left_as_it_is(code: int) -> None:
    """noSuchAttribute, attributeOrValueExists: the plan is not of this entry; a new one will be."""
    _, applying = applied(Plan(steps=[step("bad", What.CHANGE)]), bad=code)
    assert applying.outcome.faults[0].why.startswith("it was changed meanwhile, run it again: ")


@pytest.mark.parametrize("code", [8, 10, 13, 51, 52])
def test_what_every_record_would_meet_ends_it(code: int) -> None:
    """strongerAuthRequired, referral, confidentialityRequired, busy, unavailable: exit 75."""
    plan = Plan(steps=[step("one", What.CREATE), step("two", What.CREATE)])
    with pytest.raises(ResultError, match=rf"\({code}\)"):
        applied(plan, two=code)


def test_what_was_under_way_when_it_ended_is_asked_anew_as_well() -> None:
    """It may have been done: the daemon must not go on saying that there is nobody."""
    plan = Plan(
        steps=[step("one", What.CREATE, "one@x"), step("two", What.CHANGE, "two@x", "old@x")]
    )
    applying = Applying(cast("WritingWire", FakeWire(one=51)), plan)
    with pytest.raises(ResultError):
        applying.run()
    assert applying.outcome.addresses == {"one@x", "two@x", "old@x"}


def test_a_replica_says_where_to_write() -> None:
    """referral: the text names the server that takes changes."""
    with pytest.raises(ResultError, match="so it is: this server takes no changes, write to that"):
        applied(Plan(steps=[step("one", What.CREATE)]), one=10)


def test_a_unit_that_somebody_else_made_meanwhile_is_good() -> None:
    """EntryAlreadyExists (68) of a unit is no fault; any other result is."""
    _, applying = applied(Plan(units=[parse("ou=a,dc=xo"), parse("ou=b,dc=xo")]), a=68, b=50)
    assert applying.outcome.units == 0
    assert [fault.dn for fault in applying.outcome.faults] == ["ou=b,dc=xo"]
