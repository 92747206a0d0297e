"""Following Active Directory by its change numbers, on a controller that does as it is told."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pytest

from codomain.directory import usn
from codomain.directory.controller import Mark, fold_dn
from codomain.directory.follow import Extent, RefusedError
from codomain.directory.usn import UsnSource
from codomain.errors import DirectoryError
from support.fakecontroller import CONTEXT, PEOPLE, FakeController, Kept, Steps
from support.ldapsection import Section

if TYPE_CHECKING:
    from collections.abc import Callable

EXTENT = Extent.of(Section(("ldaps://dc1.corp.local",), base=PEOPLE))


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        """Tell it."""
        return self.now

    def forward(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    """Give a clock."""
    return Clock()


@pytest.fixture
def controller() -> FakeController:
    """Give a controller with a unit and two people in it."""
    made = FakeController()
    made.put("People", unit=CONTEXT, kind="organizationalUnit")
    made.put("ann", "ann@example.com", "a@example.com", kind="user")
    made.put("bob", "bob@example.com")
    return made


@pytest.fixture
def kept() -> Kept:
    """Give an empty index."""
    return Kept()


@pytest.fixture
def run(controller: FakeController, kept: Kept, clock: Clock) -> Callable[..., None]:
    """Give a way to follow, with a step before each further round."""

    def follow(*steps: Callable[[], Any], extent: Extent = EXTENT) -> None:
        wire: Any = controller
        copy = Steps(kept, extent, threading.Event(), steps)
        UsnSource(extent, clock).follow(wire, copy)

    return follow


def names(kept: Kept) -> set[str]:
    """Return the first addresses of what is in an index."""
    return {recipient.addresses[0] for recipient in kept.entries.values()}


def test_first_round_loads_everything(run: Callable[..., None], kept: Kept) -> None:
    """Without a mark there is nothing to go on from."""
    run()
    assert (kept.loads, names(kept)) == (1, {"ann@example.com", "bob@example.com"})
    assert kept.confirmed == [1_000_000.0]


def test_changes_are_taken_over(
    run: Callable[..., None], controller: FakeController, kept: Kept
) -> None:
    """What is new, what is changed and what is gone: each in one transaction of its round."""
    run(
        lambda: controller.put("eve", "eve@example.com"),
        lambda: controller.put("bob", "b2@example.com"),
        lambda: controller.delete("ann"),
    )
    assert kept.loads == 1
    assert names(kept) == {"eve@example.com", "b2@example.com"}
    assert [len(write) for write in kept.writes] == [1, 1, 1]


def test_quiet_round_is_one_small_search(
    run: Callable[..., None], controller: FakeController, kept: Kept
) -> None:
    """While the counter stands still nothing else is asked, and it is in step."""
    marks: list[int] = []
    run(lambda: marks.append(len(controller.searches)), lambda: None)
    assert len(controller.searches) - marks[0] == 2
    assert {search.base for search in controller.searches[marks[0] :]} == {""}
    assert len(kept.confirmed) == 3
    assert kept.writes == []


def test_in_step_is_the_time_at_which_the_counter_was_read(
    run: Callable[..., None], controller: FakeController, kept: Kept, clock: Clock
) -> None:
    """What changes while the searches run belongs to the next round."""

    def slow(_: object) -> bool:
        clock.forward(7)
        return False

    controller.fails = slow
    run()
    # Three looks at who it is, one at the counter, the containers, the people.
    assert kept.confirmed == [1_000_000.0 + 3 * 7]
    kept.confirmed.clear()
    controller.fails = lambda _: False
    before = clock.now
    run(lambda: clock.forward(5))
    assert kept.confirmed == [before, before + 5]


@pytest.mark.parametrize(
    "changed",
    [
        {"invocation": b"another"},
        {"service": f"CN=NTDS Settings,CN=DC2,CN=Configuration,{CONTEXT}"},
        {"counter": 90},
    ],
)
def test_other_or_set_back_controller_is_loaded_anew(
    run: Callable[..., None], controller: FakeController, kept: Kept, changed: dict[str, Any]
) -> None:
    """A mark belongs to one controller, in one life, that never goes back."""
    run()
    for name, value in changed.items():
        setattr(controller, name, value)
    run()
    assert kept.loads == 2


def test_controller_that_goes_back_while_it_is_followed_is_loaded_anew(
    run: Callable[..., None], controller: FakeController, kept: Kept
) -> None:
    """The counter is looked at each time."""
    run(lambda: setattr(controller, "counter", 90))
    assert kept.loads == 2


def test_controller_that_turns_into_another_ends_it(
    run: Callable[..., None], controller: FakeController
) -> None:
    """Behind a load balancer there may be several; a connection is to one."""
    with pytest.raises(DirectoryError, match="not the same controller"):
        run(lambda: setattr(controller, "service", "CN=NTDS Settings,CN=DC2"))


@pytest.mark.parametrize(
    "cookie", [b"", b"{}", b"[]", b"null", b"\xff", b'{"version": 2}', b"paged 1 abc", b"1"]
)
def test_mark_that_cannot_be_read_means_to_load(
    run: Callable[..., None], kept: Kept, cookie: bytes
) -> None:
    """Another way of following, another version, or garbage."""
    run()
    kept._store(cookie)
    run()
    assert kept.loads == 2


@pytest.mark.parametrize("field", ["usn", "loaded", "extent", "service", "invocation", "dirsync"])
def test_mark_with_a_field_of_another_kind_is_none(field: str) -> None:
    """Numbers are numbers and texts are texts."""
    mark = Mark("e", "s", "i", 7, 8)
    assert Mark.read(mark.cookie()) == mark
    fields = json.loads(mark.cookie())
    others: tuple[object, ...] = (None, [1], {}, 1.5, True)
    for wrong in others:
        assert Mark.read(json.dumps(fields | {field: wrong}).encode()) is None
    fields.pop(field)
    missing = Mark.read(json.dumps(fields).encode())
    assert missing == (mark if field == "dirsync" else None)  # it is not always there


def test_other_extent_means_to_load(run: Callable[..., None], kept: Kept) -> None:
    """Another base or filter makes another copy."""
    run()
    run(extent=Extent.of(Section(("ldaps://dc1.corp.local",), base=CONTEXT)))
    assert kept.loads == 2


def test_what_happened_meanwhile_is_caught_up_with(
    run: Callable[..., None], controller: FakeController, kept: Kept
) -> None:
    """The next start goes on from the mark."""
    run()
    controller.put("eve", "eve@example.com")
    controller.delete("bob")
    run()
    assert (kept.loads, names(kept)) == (1, {"ann@example.com", "eve@example.com"})


def test_mark_is_stored_with_the_changes(
    run: Callable[..., None], controller: FakeController, kept: Kept
) -> None:
    """A change that was stored is not asked for again, and one that was not is."""
    run(lambda: controller.put("eve", "eve@example.com"))
    mark = Mark.read(kept.status.cookie)
    assert mark is not None
    assert mark.usn == controller.counter


def test_noise_of_the_domain_is_stored_once_a_minute(
    run: Callable[..., None], controller: FakeController, kept: Kept, clock: Clock
) -> None:
    """A counter that goes on each second is no reason to write each second."""

    def noise(seconds: float) -> Callable[[], None]:
        def step() -> None:
            clock.forward(seconds)
            controller.put("printer", unit=CONTEXT)

        return step

    run(noise(1), noise(1), noise(1), noise(60), noise(1))
    assert kept.writes == [{}]


def test_unit_that_is_moved_means_to_load(
    run: Callable[..., None], controller: FakeController, kept: Kept
) -> None:
    """Whoever is in it keeps the number of the last change, wherever it goes."""
    inner = controller.put("Inner", unit=PEOPLE, kind="organizationalUnit")
    eve = controller.put("eve", "eve@example.com", unit=f"OU=Inner,{PEOPLE}")

    def move() -> None:
        controller.put("Inner", unit=CONTEXT, kind="organizationalUnit")
        eve.dn = f"CN=eve,OU=Inner,{CONTEXT}"

    run(move)
    assert (kept.loads, names(kept)) == (2, {"ann@example.com", "bob@example.com"})
    assert inner.dn == f"OU=Inner,{CONTEXT}"


def test_unit_that_is_new_changed_or_deleted_loads_nothing(
    run: Callable[..., None], controller: FakeController, kept: Kept
) -> None:
    """Only another name does; letters and blanks of a DN make none."""

    def new() -> None:
        controller.put("Inner", unit=PEOPLE, kind="organizationalUnit")

    def written_otherwise() -> None:
        controller.put("INNER", unit=PEOPLE.replace(",", ", "), kind="organizationalUnit")
        controller.things[b"Inner".ljust(16, b"\0")].dn = f"ou=INNER , {PEOPLE}"

    run(new, new, written_otherwise, lambda: controller.delete("Inner"), new)
    assert kept.loads == 1


@pytest.mark.parametrize(("older", "loads"), [(True, 2), (False, 1)])
def test_unit_that_changed_while_nobody_followed_may_have_been_moved(
    run: Callable[..., None], controller: FakeController, kept: Kept, *, older: bool, loads: int
) -> None:
    """Its name of before is not known then; a unit that is new had none."""
    if older:
        controller.put("Inner", unit=PEOPLE, kind="organizationalUnit")
    run()
    controller.put("Inner", unit=CONTEXT, kind="organizationalUnit")
    run()
    assert kept.loads == loads


def test_deletions_that_are_hidden_are_counted_through(
    run: Callable[..., None], controller: FakeController, kept: Kept, clock: Clock
) -> None:
    """Without tombstones: at the start, and every five minutes."""
    controller.shows_deleted = False
    seen: list[set[str]] = []

    def later(seconds: float) -> None:
        seen.append(names(kept))
        clock.forward(seconds)

    run()
    controller.delete("bob")
    controller.put("eve", "eve@example.com")
    run(
        lambda: controller.delete("eve"),
        lambda: later(usn.CENSUS_SECONDS / 2),
        lambda: later(usn.CENSUS_SECONDS),
        lambda: later(0),
    )
    both = {"ann@example.com", "eve@example.com"}
    assert seen == [both, both, {"ann@example.com"}]
    assert kept.loads == 1


@pytest.mark.parametrize("hidden", [True, False])
def test_deletions_that_are_hidden_are_told(
    run: Callable[..., None], controller: FakeController, caplog: pytest.LogCaptureFixture,
    *, hidden: bool,
) -> None:  # fmt: skip
    """The log names the container that our account may not read, once for a connection."""
    controller.shows_deleted = not hidden
    run(lambda: None)
    lines = [r for r in caplog.records if "hidden" in r.message]
    assert len(lines) == hidden
    if hidden:
        assert lines[0].__dict__["fields"]["may_not_read"] == f"CN=Deleted Objects,{CONTEXT}"


def test_everything_is_loaded_anew_after_a_day(
    run: Callable[..., None], kept: Kept, clock: Clock
) -> None:
    """Also where a day passed while nobody followed, or the clock was set back."""
    run(lambda: clock.forward(86_300), lambda: clock.forward(200))
    assert kept.loads == 2
    clock.forward(90_000)
    run()
    assert kept.loads == 3
    clock.forward(-90_000)
    run()
    assert kept.loads == 4


def test_more_changes_than_fit_are_loaded(
    run: Callable[..., None], controller: FakeController, kept: Kept,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """A load takes no memory for what it brings."""
    monkeypatch.setattr(usn, "MANY_CHANGES", 5)

    def many(count: int) -> Callable[[], None]:
        def step() -> None:
            for number in range(count):
                controller.put(f"m{number}", f"m{number}@example.com")

        return step

    run(many(5))
    assert (kept.loads, len(kept.entries)) == (1, 7)
    run(many(6))
    assert (kept.loads, len(kept.entries)) == (2, 8)


@pytest.mark.parametrize("most", [1, 2, 3, 7])
def test_values_that_are_kept_back_are_fetched(
    run: Callable[..., None], controller: FakeController, kept: Kept, most: int
) -> None:
    """More than 1,500 values come in parts (MS-ADTS 3.1.1.3.1.3.3), in a load and in a change."""
    controller.most_values = most
    controller.put("many", *(f"n{number}@example.com" for number in range(7)))
    run(lambda: controller.put("more", *(f"o{number}@example.com" for number in range(7))))
    for letter, name in (("n", b"many"), ("o", b"more")):
        found = kept.entries[name.ljust(16, b"\0")]
        assert found.addresses == tuple(f"{letter}{number}@example.com" for number in range(7))


def test_entry_that_goes_away_between_two_parts_ends_the_round(
    run: Callable[..., None], controller: FakeController, kept: Kept
) -> None:
    """Half an entry is none: the connection is given up, and the index is as it was."""
    controller.most_values = 2
    controller.put("many", *(f"n{number}@example.com" for number in range(7)))

    def vanish(search: Any) -> bool:  # noqa: ANN401 - a Search
        if search.base.startswith("<GUID="):
            controller.things.clear()
        return False

    controller.fails = vanish
    with pytest.raises(DirectoryError, match="is gone"):
        run()
    assert kept.loads == 0


def test_values_without_an_end_are_refused(
    run: Callable[..., None], controller: FakeController, kept: Kept
) -> None:
    """Twenty parts are 30,000 addresses."""
    controller.most_values = 1
    controller.put("many", *(f"n{number}@example.com" for number in range(30)))
    with pytest.raises(DirectoryError, match="too many values"):
        run()
    assert kept.loads == 0


@pytest.mark.parametrize("nth", range(1, 10))
def test_failure_at_any_search_changes_nothing(
    run: Callable[..., None], controller: FakeController, kept: Kept, nth: int
) -> None:
    """An answer that is cut off is none: the next connection does it all again."""
    run()
    before, cookie = dict(kept.entries), kept.status.cookie
    controller.delete("bob")
    controller.put("eve", "eve@example.com")
    done = len(controller.searches)
    controller.fails = lambda _: len(controller.searches) == done + nth
    try:
        run()
    except DirectoryError:
        assert kept.entries == before
        assert kept.status.cookie == cookie
    controller.fails = lambda _: False
    run()
    assert names(kept) == {"ann@example.com", "eve@example.com"}


def test_load_that_fails_is_not_taken(
    run: Callable[..., None], controller: FakeController, kept: Kept
) -> None:
    """What was loaded so far is forgotten."""
    controller.fails = lambda search: "proxyAddresses=*" in str(search.filter)
    with pytest.raises(DirectoryError):
        run()
    assert kept.loads == 0


def test_load_without_anybody_is_no_load(
    run: Callable[..., None], controller: FakeController, kept: Kept
) -> None:
    """Nobody below the base: it is the wrong one, or our account reads no addresses."""
    controller.things.clear()
    with pytest.raises(DirectoryError, match="no entry with an address"):
        run()
    assert kept.loads == 0


@pytest.mark.parametrize(("field", "value"), [("service", ""), ("invocation", b"")])
def test_server_that_is_no_controller_is_refused(
    run: Callable[..., None],
    controller: FakeController,
    field: str,
    value: Any,  # noqa: ANN401
) -> None:
    """Another way of following is taken then."""
    setattr(controller, field, value)
    with pytest.raises(RefusedError):
        run()


def test_base_must_be_in_a_naming_context(
    run: Callable[..., None], controller: FakeController
) -> None:
    """Changes are numbered for a domain; an empty base is a forest."""
    controller.contexts = ("DC=other,DC=local",)
    with pytest.raises(DirectoryError, match="no naming context"):
        run()


def test_innermost_naming_context_is_searched(
    run: Callable[..., None], controller: FakeController
) -> None:
    """A child domain lies in its parent's name, and not in its parent's context."""
    controller.contexts = ("DC=local", CONTEXT, "DC=t,DC=local")
    run(lambda: controller.put("eve", "eve@example.com"))
    bases = {s.base for s in controller.searches if str(s.filter).startswith("(uSNChanged")}
    assert bases == {CONTEXT}


def test_id_that_is_hidden_is_a_fault(run: Callable[..., None], controller: FakeController) -> None:
    """Without objectGUID nothing could be told to be gone."""
    for thing in controller.things.values():
        thing.guid = b""
    with pytest.raises(DirectoryError, match="objectGUID"):
        run()


def test_names_are_compared_as_active_directory_does() -> None:
    """Letters and blanks around commas and equal signs make no difference."""
    assert fold_dn("OU=People , DC = Corp,dc=local ") == "ou=people,dc=corp,dc=local"
