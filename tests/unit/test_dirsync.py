"""Following Active Directory by DirSync, on a controller that does as it is told."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest

from codomain.directory import ber, dirsync, usn
from codomain.directory.ber import Reader
from codomain.directory.controller import Mark
from codomain.directory.dirsync import DIRSYNC, DirSyncSource, attributes
from codomain.directory.follow import Extent, RefusedError
from codomain.directory.link import BrokenError, ResultError
from codomain.directory.messages import Control, Done, Entry
from codomain.directory.usn import UsnSource
from support.fakecontroller import CONTEXT, PEOPLE, FakeController, Kept, Steps
from support.ldapsection import Section

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from codomain.directory.messages import Message, Search
    from support.fakecontroller import Thing

EXTENT = Extent.of(Section(("ldaps://dc1.corp.local",), base=PEOPLE))


@dataclass
class Replicating(FakeController):
    """A controller that knows DirSync: its cookie is its counter, and it pages."""

    at_once: int = 1000
    """Objects in one answer."""
    code: int = 0
    """How a search with DirSync ends."""
    value: bytes | None = None
    """What stands in the control of an answer instead of what should."""
    cookies: list[bytes] = field(default_factory=list)
    """What it was asked with."""

    def send(self, search: Search, controls: tuple[Control, ...] = ()) -> int:
        """Take a search."""
        mine = [control for control in controls if control.oid == DIRSYNC]
        if not mine:
            self._ended = Done(0, 0, "", (), ())
            return super().send(search, controls)
        assert mine[0].critical
        assert (search.base, search.scope) == (CONTEXT, "subtree")
        body = Reader(mine[0].value or b"").inner()
        assert body.integer() == 0  # with no flag
        body.integer()
        self.cookies.append(body.octets())
        since = int(self.cookies[-1] or 0)
        changed = sorted(
            (thing for thing in self.things.values() if thing.usn > since), key=lambda t: t.usn
        )
        if search.filter == "(!(objectClass=*))":
            changed = []
        part, more = changed[: self.at_once], len(changed) > self.at_once
        self.searches.append(search)
        self._pending = [self._told(thing, since) for thing in part]
        to = part[-1].usn if more else self.counter
        value = ber.sequence(ber.integer(int(more)), ber.integer(0), ber.octets(str(to)))
        control = Control(DIRSYNC, value if self.value is None else self.value)
        self._ended = Done(0, self.code, "no", (), () if self.code else (control,))
        return len(self.searches)

    def answers(self, identity: int) -> Iterator[Message]:
        """Answer the last search."""
        del identity
        yield from self._pending
        yield self._ended

    def expect(self, done: Done) -> None:
        """Take a success."""
        if done.code:
            raise ResultError("no", done.code)

    def _told(self, thing: Thing, since: int) -> Entry:
        """Tell what changed of an object: of an old one not its class."""
        raw = {"objectGUID": [thing.guid], "name": [thing.dn.encode()]}
        if thing.created > since:
            raw["objectClass"] = thing.raw["objectClass"]
        if thing.deleted:
            raw["isDeleted"] = [b"TRUE"]
        return Entry(0, thing.dn, raw, ())


@pytest.fixture
def controller() -> Replicating:
    """Give a controller with a unit and two people in it."""
    made = Replicating()
    made.put("People", unit=CONTEXT, kind="organizationalUnit")
    made.put("ann", "ann@example.com", kind="user")
    made.put("bob", "bob@example.com")
    return made


@pytest.fixture
def kept() -> Kept:
    """Give an empty index."""
    return Kept()


@pytest.fixture
def run(controller: Replicating, kept: Kept) -> Callable[..., None]:
    """Give a way to follow, with a step before each further round."""

    def follow(
        *steps: Callable[[], Any], source: type[DirSyncSource | UsnSource] = DirSyncSource
    ) -> None:
        wire: Any = controller
        copy = Steps(kept, EXTENT, threading.Event(), steps)
        source(EXTENT, lambda: 1_000_000.0).follow(wire, copy)

    return follow


def names(kept: Kept) -> set[str]:
    """Return the first addresses of what is in an index."""
    return {recipient.addresses[0] for recipient in kept.entries.values()}


def test_changes_are_taken_over(
    run: Callable[..., None], controller: Replicating, kept: Kept
) -> None:
    """What is new, changed and deleted, each in one transaction of its round."""
    run(
        lambda: controller.put("eve", "eve@example.com"),
        lambda: controller.put("bob", "b2@example.com"),
        lambda: controller.delete("ann"),
    )
    assert kept.loads == 1
    assert names(kept) == {"eve@example.com", "b2@example.com"}
    assert [len(write) for write in kept.writes] == [1, 1, 1]


def test_where_tombstones_are_hidden_what_is_there_is_counted(
    run: Callable[..., None],
    controller: Replicating,
    kept: Kept,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Samba does not tell of a deletion then, although the account may replicate."""
    monkeypatch.setattr(usn, "CENSUS_SECONDS", -1.0)
    controller.shows_deleted = False
    run(lambda: controller.things.pop(b"bob".ljust(16, b"\0")))
    assert kept.loads == 1
    assert names(kept) == {"ann@example.com"}


def test_answer_in_parts_is_asked_for_to_its_end(
    run: Callable[..., None], controller: Replicating, kept: Kept
) -> None:
    """MoreResults: the next part is asked for with the cookie of the last one."""
    controller.at_once = 2

    def many() -> None:
        for number in range(7):
            controller.put(f"p{number}", f"p{number}@example.com")

    run(many)
    assert len(names(kept)) == 9
    assert controller.cookies == [b"", b"103", b"105", b"107", b"109"]


def test_quiet_round_asks_for_no_changes(
    run: Callable[..., None], controller: Replicating, kept: Kept
) -> None:
    """While the counter stands still one small search tells that it is in step."""
    run(lambda: None, lambda: None)
    assert controller.cookies == [b""]
    assert len(kept.confirmed) == 3


def test_cookie_is_gone_on_with_at_the_next_start(
    run: Callable[..., None], controller: Replicating, kept: Kept
) -> None:
    """It is stored with the copy; what changed meanwhile is caught up with, and no more."""
    run()
    controller.delete("bob")
    run()
    assert kept.loads == 1
    assert names(kept) == {"ann@example.com"}
    assert controller.cookies == [b"", b"103"]


@pytest.mark.parametrize("cookie", ["", "%%%", "ä"])
def test_mark_without_a_cookie_means_to_load(
    run: Callable[..., None], kept: Kept, cookie: str
) -> None:
    """A copy that was followed by uSNChanged says nothing of DirSync's state."""
    run()
    mark = Mark.read(kept.status.cookie)
    assert mark is not None
    kept._store(replace(mark, dirsync=cookie).cookie())
    run()
    assert kept.loads == 2


def test_copy_can_be_gone_on_with_by_usn(
    run: Callable[..., None], controller: Replicating, kept: Kept
) -> None:
    """The right to replicate is taken away: the numbers in the mark are the controller's own."""
    run()
    controller.put("eve", "eve@example.com")
    run(source=UsnSource)
    assert kept.loads == 1
    assert "eve@example.com" in names(kept)


@pytest.mark.parametrize("code", [12, 50, 53])
def test_account_that_may_not_is_refused(
    run: Callable[..., None], controller: Replicating, kept: Kept, code: int
) -> None:
    """Before anything is loaded: uSNChanged takes its place at once."""
    controller.code = code
    with pytest.raises(RefusedError, match="DirSync"):
        run()
    assert kept.loads == 0


def test_other_failure_is_the_controllers(
    run: Callable[..., None], controller: Replicating
) -> None:
    """One that is busy (51) is tried again, or another one is."""
    controller.code = 51
    with pytest.raises(ResultError):
        run()


def test_answer_that_is_none_breaks_the_connection(
    run: Callable[..., None], controller: Replicating
) -> None:
    """A control whose value is no sequence of two numbers and a cookie."""
    controller.value = b"\x30\x01"
    with pytest.raises(BrokenError):
        run()


def test_parts_without_an_end_break_the_connection(
    run: Callable[..., None], controller: Replicating
) -> None:
    """More is promised, nothing comes, and the cookie is what it was."""
    controller.value = ber.sequence(ber.integer(1), ber.integer(0), ber.octets(b""))
    with pytest.raises(BrokenError, match="without an end"):
        run()


def test_unit_that_was_moved_means_to_load(
    run: Callable[..., None], controller: Replicating, kept: Kept
) -> None:
    """Also while nobody followed; a new unit, or a deleted one, is no reason."""
    controller.put("Inner", unit=PEOPLE, kind="organizationalUnit")
    controller.put("eve", "eve@example.com", unit=f"OU=Inner,{PEOPLE}")
    run(
        lambda: controller.put("New", unit=PEOPLE, kind="organizationalUnit"),
        lambda: controller.delete("New"),
    )
    assert kept.loads == 1
    controller.move("Inner", CONTEXT)
    run()
    assert kept.loads == 2
    assert "eve@example.com" not in names(kept)
    run(lambda: controller.move("Inner", PEOPLE))
    assert kept.loads == 3
    assert "eve@example.com" in names(kept)


def test_too_many_changes_mean_to_load(
    run: Callable[..., None],
    controller: Replicating,
    kept: Kept,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They would not fit into memory."""
    monkeypatch.setattr(dirsync, "MANY_CHANGES", 2)

    def many() -> None:
        for number in range(3):
            controller.put(f"p{number}", f"p{number}@example.com")

    run(many)
    assert kept.loads == 2
    assert len(names(kept)) == 5


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("", set()),
        ("(mailNickname=*)", {"mailNickname"}),
        ("department=sales", {"department"}),
        ("(&(!(st=x))(|(l>=a)(ou~=b)))", {"st", "l", "ou"}),
        ("(userAccountControl:1.2.840.113556.1.4.803:=2)", {"userAccountControl"}),
        ("(co=\\28x\\29)", {"co"}),
    ],
)
def test_what_the_filter_asks_for_is_watched(condition: str, expected: set[str]) -> None:
    """Only a change of what is asked for is told: a condition that ends must be seen."""
    extent = Extent.of(Section(("ldaps://dc1.corp.local",), base=PEOPLE, filter=condition))
    own = {"name", "objectClass", "isDeleted", "objectGUID", *extent.schema.attributes}
    assert {name.lower() for name in attributes(extent)} == {n.lower() for n in own | expected}


def test_condition_on_no_attribute_watches_everything() -> None:
    """RFC 4515: an extensible match may name a rule alone."""
    extent = Extent.of(Section(("ldaps://dc1.corp.local",), base=PEOPLE, filter="(:1.2.3:=x)"))
    assert attributes(extent)[0] == "*"
