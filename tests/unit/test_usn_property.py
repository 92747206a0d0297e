"""Whatever happens in a domain, and whenever it is looked at: the copy is what there is."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codomain.directory import usn
from codomain.directory.follow import Extent
from codomain.directory.usn import UsnSource
from support.fakecontroller import CONTEXT, PEOPLE, FakeController, Kept, Steps
from support.ldapsection import Section

if TYPE_CHECKING:
    from collections.abc import Callable

EXTENT = Extent.of(Section(("ldaps://dc1.corp.local",), base=PEOPLE))
NAMES = ("ann", "bob", "eve", "max")
INNER = "Inner"

CHANGES = st.one_of(
    st.tuples(
        st.just("put"),
        st.sampled_from(NAMES),
        st.lists(st.sampled_from(("1", "2", "3")), unique=True),
        st.sampled_from(("People", "Inner", "outside")),
    ),
    st.tuples(st.just("delete"), st.sampled_from(NAMES)),
    st.tuples(st.just("move"), st.sampled_from(("People", "outside"))),
    st.tuples(st.just("noise")),
)
ROUNDS = st.lists(st.lists(CHANGES, max_size=5), max_size=5)
AWAY = st.lists(CHANGES, max_size=4)
LIVES = st.lists(st.tuples(AWAY, ROUNDS, st.sampled_from(("", "other", "back"))), max_size=4)


def change(controller: FakeController, what: tuple[Any, ...]) -> None:
    """Let something happen in the domain."""
    inner = controller.things[INNER.encode().ljust(16, b"\0")].dn
    units = {"People": PEOPLE, "Inner": inner, "outside": CONTEXT}
    match what:
        case ("put", name, addresses, unit):
            keys = [f"{name}{number}@example.com" for number in addresses]
            controller.put(name, *keys, unit=units[unit])
        case ("delete", name):
            if name.encode().ljust(16, b"\0") in controller.things:
                controller.delete(name)
        case ("move", unit):
            controller.move(INNER, units[unit])
        case _:
            controller.put("printer", unit=CONTEXT)


def expected(controller: FakeController) -> dict[bytes, tuple[str, ...]]:
    """Return who is below the base and has an address, with the name."""
    return {
        thing.guid: (thing.dn, *(v.decode()[5:] for v in thing.raw["proxyAddresses"]))
        for thing in controller.things.values()
        if thing.dn.endswith(f",{PEOPLE}") and thing.raw.get("proxyAddresses")
    }


@settings(max_examples=80, deadline=None)
@given(lives=LIVES, shows_deleted=st.booleans(), many=st.sampled_from((3, 50_000)))
def test_copy_is_what_there_is(
    lives: list[tuple[list[Any], list[list[Any]], str]], *, shows_deleted: bool, many: int
) -> None:
    """At the end of each life of the follower, after any changes in any rounds."""
    controller = FakeController(shows_deleted=shows_deleted)
    controller.put("People", unit=CONTEXT, kind="organizationalUnit")
    controller.put(INNER, unit=PEOPLE, kind="organizationalUnit")
    controller.put("always", "always@example.com")
    controller.put("inside", "inside@example.com", unit=f"OU={INNER},{PEOPLE}")
    kept = Kept()
    wire: Any = controller
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(usn, "MANY_CHANGES", many)
        patch.setattr(usn, "CENSUS_SECONDS", -1.0)  # counted through in every round
        for away, rounds, fate in lives:
            if fate:  # its numbers are used a second time; by far, or nobody could know
                controller.counter -= 20
                for thing in controller.things.values():
                    thing.usn = min(thing.usn, controller.counter)
                    thing.created = min(thing.created, controller.counter)
            if fate == "other":
                controller.invocation += b"'"
            step(controller, away)()
            copy = Steps(kept, EXTENT, threading.Event(), [step(controller, r) for r in rounds])
            UsnSource(EXTENT, lambda: 1_000_000.0).follow(wire, copy)
            found = {guid: (r.dn, *r.addresses) for guid, r in kept.entries.items()}
            assert found == expected(controller)


def step(controller: FakeController, changes: list[tuple[Any, ...]]) -> Callable[[], None]:
    """Return what happens between two rounds."""

    def happen() -> None:
        for what in changes:
            change(controller, what)

    return happen
