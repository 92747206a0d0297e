"""Rules of following: which entries, what a copy lets happen to itself, and which way is taken."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import pytest

from codomain.directory import follow
from codomain.directory.base import Kind, Recipient
from codomain.directory.dirsync import DIRSYNC
from codomain.directory.filters import encode_filter
from codomain.directory.follow import Copy, Extent, Terms
from codomain.directory.follower import ACTIVE_DIRECTORY, ways
from codomain.directory.index import IndexStatus, LoadReport
from codomain.errors import DirectoryError, ShrinkError
from support.ldapsection import Section

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SYNC = b"1.3.6.1.4.1.4203.1.9.1.1"


def recipient(number: int) -> Recipient:
    """Give an entry."""
    return Recipient(f"cn={number}", Kind.MAILBOX, (f"p{number}@example.com",))


class Writer:
    """An index in memory, with the methods that a copy uses."""

    def __init__(self, count: int = 100) -> None:
        self.entries = {b"%d" % number: recipient(number) for number in range(count)}
        self.status = IndexStatus(entries=count, complete=True, cookie=b"old", revision=1)
        self.confirmed: list[float] = []
        self.limits: list[float | None] = []

    def get(self, identity: bytes) -> Recipient | None:
        """Return an entry."""
        return self.entries.get(identity)

    def ids(self) -> Iterator[bytes]:
        """Return all ids."""
        return iter(self.entries)

    def change(
        self,
        changes: Iterable[tuple[bytes, Recipient | None]],
        *,
        cookie: bytes,
        synced: float,
        max_shrink: float | None,
    ) -> None:
        """Change entries."""
        for identity, found in changes:
            if found is None:
                self.entries.pop(identity, None)
            else:
                self.entries[identity] = found
        self.limits.append(max_shrink)
        self.status = replace(
            self.status,
            entries=len(self.entries),
            cookie=cookie,
            synced=synced,
            revision=self.status.revision + 1,
        )

    def confirm(self, synced: float) -> None:
        """Note a time."""
        self.confirmed.append(synced)

    def load(self) -> FakeLoad:
        """Begin a load."""
        return FakeLoad(self)


@dataclass
class FakeLoad:
    """A load into the index in memory."""

    writer: Writer

    def __enter__(self) -> Self:
        """Begin."""
        self.new: dict[bytes, Recipient] = {}
        return self

    def __exit__(self, *_: object) -> None:
        """End."""

    def put(self, identity: bytes, found: Recipient) -> None:
        """Take an entry."""
        self.new[identity] = found

    def commit(self, *, cookie: bytes, synced: float, max_shrink: float | None) -> LoadReport:
        """Put them in place."""
        before = len(self.writer.entries)
        gone = [(identity, None) for identity in self.writer.entries if identity not in self.new]
        changes: list[tuple[bytes, Recipient | None]] = [*gone, *self.new.items()]
        self.writer.change(changes, cookie=cookie, synced=synced, max_shrink=max_shrink)
        return LoadReport(before, len(self.new), {}, {})


def copied(writer: Any, **terms: Any) -> Copy:  # noqa: ANN401 - the fake, and the fields of Terms
    """Make a copy around a writer."""
    extent = Extent.of(Section(()))
    return Copy(writer, extent, threading.Event(), Terms(**{"max_shrink": 0.2, **terms}))


def gone(*numbers: int) -> dict[bytes, Recipient | None]:
    """Give changes that take entries away."""
    return dict.fromkeys(b"%d" % number for number in numbers)


@pytest.mark.parametrize(
    ("schema", "custom", "expected"),
    [
        ("active-directory", "", "(|(proxyAddresses=*)(mail=*))"),
        ("inetlocalmail", "", "(mailLocalAddress=*)"),
        ("inetorgperson", "", "(|(mail=*)(mailAlternateAddress=*))"),
        ("inetlocalmail", "(o=x)", "(&(o=x)(mailLocalAddress=*))"),
        ("inetorgperson", " o=x", "(&(o=x)(|(mail=*)(mailAlternateAddress=*)))"),
    ],
)
def test_filter_finds_every_entry_with_an_address(schema: str, custom: str, expected: str) -> None:
    """Any of the schema's address attributes is there, and the section's own filter matches."""
    extent = Extent.of(Section((), schema=schema, filter=custom))
    assert extent.filter == expected
    assert encode_filter(extent.filter)


def test_filter_with_a_place_for_the_address_is_refused() -> None:
    """What (mail=%s) finds is not known ahead: another attribute might hold the address too."""
    with pytest.raises(DirectoryError, match="%s stands for one address"):
        Extent.of(Section((), filter="(mail=%s)"))


def test_entry_is_read_as_a_live_search_reads_it() -> None:
    """The schema reads it; where no mail address is in it, it is no recipient."""
    extent = Extent.of(Section(()))
    found = extent.recipient("cn=a", {"proxyAddresses": [b"SMTP:A@Example.com", b"x400:c=us"]})
    assert found == Recipient("cn=a", Kind.MAILBOX, ("a@example.com",), primary="A@Example.com")
    assert extent.recipient("cn=a", {"proxyAddresses": [b"x400:c=us"]}) is None
    assert extent.recipient("cn=a", {}) is None


@pytest.mark.parametrize(
    "keys", [{"base": "dc=y"}, {"scope": "base"}, {"filter": "(o=x)"}, {"schema": "inetlocalmail"}]
)
def test_mark_is_another_for_another_extent(keys: dict[str, str]) -> None:
    """A cookie says nothing of another base, scope, filter or schema."""
    one, other = Extent.of(Section(())), Extent.of(Section((), **keys))  # type: ignore[arg-type]
    assert one.mark() != other.mark()
    assert one.mark() == Extent.of(Section(("ldap://other",))).mark()


def test_cookie_of_an_incomplete_index_is_none() -> None:
    """What was begun and not completed is begun again."""
    writer = Writer()
    assert copied(writer).cookie == b"old"
    writer.status = replace(writer.status, complete=False)
    assert copied(writer).cookie == b""


def test_nothing_is_written_where_nothing_changed() -> None:
    """A transaction for nothing would bring a new revision, and empty the daemons' caches."""
    writer = Writer()
    copy = copied(writer)
    copy.change({}, b"old")
    assert writer.limits == []
    copy.change({}, b"new")
    assert writer.status.cookie == b"new"


@pytest.mark.parametrize(("once", "goes_on"), [(True, False), (False, True)])
def test_confirm_tells_whether_to_go_on(*, once: bool, goes_on: bool) -> None:
    """With once it is over when the copy is in step; else when it is told to end."""
    writer = Writer()
    copy = copied(writer, once=once)
    assert copy.confirm(17.0) is goes_on
    assert writer.confirmed == [17.0]
    copy._stop.set()
    assert copy.confirm() is False
    assert copy.pause(60.0) is False
    assert time.time() - writer.confirmed[1] < 10


def test_losses_add_up_over_several_changes() -> None:
    """Twenty of a hundred may go within an hour, the next one may not."""
    writer = Writer()
    copy = copied(writer)
    for number in range(20):
        copy.change(gone(number), b"c%d" % number)
    with pytest.raises(ShrinkError, match="21 of 100"):
        copy.change(gone(20), b"c20")
    assert writer.status.cookie == b"c19"
    assert len(writer.entries) == 80


def test_losses_that_are_made_good_do_not_count() -> None:
    """Who leaves and comes back, or another in his place, is no loss."""
    writer = Writer()
    copy = copied(writer)
    for number in range(60):
        new: dict[bytes, Recipient | None] = {b"new%d" % number: recipient(number)}
        copy.change(gone(number) | new, b"c%d" % number)
    assert len(writer.entries) == 100


def test_losses_of_another_hour_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fifth each hour is what the postmaster has allowed."""
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    writer = Writer()
    copy = copied(writer)
    copy.change(gone(*range(15)), b"c1")
    now += follow.WINDOW_SECONDS + 1
    copy.change(gone(*range(15, 30)), b"c2")
    with pytest.raises(ShrinkError):
        copy.change(gone(*range(30, 45)), b"c3")


def test_few_losses_never_stop_it() -> None:
    """Of twelve people nine may leave: FLOOR."""
    writer = Writer(12)
    copied(writer).change(gone(*range(follow.FLOOR - 1)), b"c")
    assert len(writer.entries) == 12 - follow.FLOOR + 1


def test_losses_count_over_a_reconnect() -> None:
    """The same index, opened again after a failure: what was lost before still counts."""
    writer = Writer()
    copy = copied(writer)
    copy.change(gone(*range(15)), b"c1")
    copy.use(writer)  # type: ignore[arg-type]
    with pytest.raises(ShrinkError):
        copy.change(gone(*range(15, 25)), b"c2")


def test_losses_that_somebody_accepted_do_not_count() -> None:
    """Another process changed the index meanwhile: its loss was looked at."""
    writer = Writer()
    copy = copied(writer)
    copy.change(gone(*range(15)), b"c1")
    writer.change(gone(*range(50)).items(), cookie=b"c2", synced=0.0, max_shrink=None)
    copy.use(writer)  # type: ignore[arg-type]
    copy.change(gone(50), b"c3")
    assert len(writer.entries) == 49


def test_what_is_accepted_is_accepted_until_it_is_in_step() -> None:
    """--accept-shrink is for what is lost at first, and not for ever."""
    writer = Writer()
    copy = copied(writer, accept_shrink=True)
    copy.change(gone(*range(60)), b"c1")
    copy.confirm()
    with pytest.raises(ShrinkError):
        copy.change(gone(*range(60, 80)), b"c2")
    assert writer.limits == [None]


def test_load_has_the_limit_of_the_terms() -> None:
    """The index itself refuses a load that would take too much: it is told how much."""
    writer = Writer()
    with copied(writer).load() as load:
        load.put(b"1", recipient(1))
        load.commit(b"c")
    with copied(writer, accept_shrink=True).load() as load:
        load.commit(b"c")
    assert writer.limits == [0.2, None]


@pytest.mark.parametrize(
    ("root", "expected"),
    [
        ({}, ["paged"]),
        ({"supportedcontrol": [b"1.2", SYNC]}, ["syncrepl", "paged"]),
        ({"supportedcapabilities": [ACTIVE_DIRECTORY]}, ["usn", "paged"]),
        (
            {"supportedcapabilities": [ACTIVE_DIRECTORY], "supportedcontrol": [DIRSYNC.encode()]},
            ["dirsync", "usn", "paged"],
        ),
        ({"supportedcontrol": [DIRSYNC.encode()]}, ["paged"]),
    ],
)
def test_way_is_what_the_server_offers(root: dict[str, list[bytes]], expected: list[str]) -> None:
    """RootDSE: RFC 4533's control, Active Directory's capability, or neither."""
    assert [source.how for source in ways(root, Extent.of(Section(())))] == expected
