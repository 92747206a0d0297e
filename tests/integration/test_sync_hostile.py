"""Servers that lie, fall silent or are cut off: an incomplete load is never committed."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from codomain.directory import follower, paged, syncrepl, wire
from codomain.errors import DirectoryError, ShrinkError
from support.fakesync import ADD, DELETE, MODIFY, PRESENT, Asked, server, uuid
from support.followed import Followed, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.fakesync import Script

DELETE_PHASE, PRESENT_PHASE = 0xA1, 0xA2
PEOPLE = range(30)
CUT = b""


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten what is waited for."""
    monkeypatch.setattr(wire, "SILENCE_SECONDS", 0.5)
    monkeypatch.setattr(wire.Wire.due, "__defaults__", (0.5,))
    monkeypatch.setattr(wire.Wire.answers, "__kwdefaults__", {"silence": 0.5})
    monkeypatch.setattr(syncrepl, "BEAT_SECONDS", 0.5)
    monkeypatch.setattr(syncrepl, "CONFIRM_SECONDS", 0.1)
    monkeypatch.setattr(follower, "COOL_DOWN", 0.05)


def good(asked: Asked) -> Iterator[bytes]:
    """Load thirty people, and end the refresh."""
    for number in PEOPLE:
        yield asked.entry(number)
    yield asked.over(DELETE_PHASE)


def after_good(*answers: str) -> Script:
    """Load thirty people, and answer the next search by methods of Asked, as text."""

    def script(asked: Asked) -> Iterator[bytes]:
        if asked.number == 0:
            yield from good(asked)
            return
        names = {"asked": asked, "P": PRESENT, "A": ADD, "M": MODIFY, "D": DELETE, "CUT": CUT}
        names |= {"delete": DELETE_PHASE, "present": PRESENT_PHASE}
        for answer in answers:
            yield eval(answer, names)  # noqa: S307 - a test's own text, readable in its report

    return script


def ids(followed: Followed) -> set[bytes]:
    """Return the ids that the index holds."""
    return set(followed.contents())


ALL = {uuid(number) for number in PEOPLE}


@pytest.mark.parametrize("tag", [DELETE_PHASE, PRESENT_PHASE])
def test_load_ends_with_either_phase(tmp_path: Path, tag: int) -> None:
    """RFC 4533 3.3.1: without a cookie everything is sent as added, and then a phase ends."""

    def script(asked: Asked) -> Iterator[bytes]:
        for number in PEOPLE:
            yield asked.entry(number)
        yield asked.over(tag, "c9")

    with server(script) as uri:
        followed = Followed(tmp_path, uri)
        assert followed.once() is None
    assert ids(followed) == ALL
    assert followed.cookie().endswith(b" c9")


@pytest.mark.parametrize(
    "answers",
    [
        ("asked.entry(1)", "CUT"),
        ("asked.entry(1)", "asked.done()"),
        ("asked.entry(1)", "asked.done(4)"),
        ("asked.entry(1)", "asked.done(11)"),
        ("asked.entry(1)", "asked.done(3)"),
        ("asked.entry(1)", "asked.done(52)"),
        ("asked.entry(1)", "asked.done(4096)"),
        ("asked.entry(1)", "asked.reference()", "asked.over(delete)"),
        ("asked.entry(1)",),  # silence
        ("asked.entry(1)", "asked.over(present, done=False)"),  # one phase is not all
        ("asked.entry(1, P)", "asked.over(delete)"),
        ("asked.ids([1], gone=False)", "asked.over(present)"),
        ("asked.bare(1)", "asked.over(delete)"),
        ("asked.entry(1, 7)", "asked.over(delete)"),
        ("b'HTTP/1.1 400 Bad Request'",),
        ("b'\\x30\\x84\\x7f\\xff\\xff\\xff'",),
        ("asked.entry(1)[:-1] + b'\\0'", "asked.over(delete)[1:]"),
    ],
)
def test_load_that_is_not_whole_is_not_committed(tmp_path: Path, answers: tuple[str, ...]) -> None:
    """Cut off, limited, referred, silent, contradictory or no LDAP: the index stays empty."""
    script = after_good(*answers)

    def never_good(asked: Asked) -> Iterator[bytes]:
        asked.number += 1
        # Pages, which are tried after a refusal, are refused too.
        yield from script(asked) if asked.number == 1 else (asked.done(50),)

    with server(never_good) as uri:
        followed = Followed(tmp_path, uri)
        assert isinstance(followed.once(), DirectoryError)
    assert ids(followed) == set()
    assert followed.find("p1@example.com") == []


@pytest.mark.parametrize(
    ("answers", "gone", "new"),
    [
        (("asked.over(delete, 'c2')",), set(), set()),
        (("asked.entry(3, D)", "asked.over(delete, 'c2')"), {3}, set()),
        (("asked.ids([3, 4], gone=True)", "asked.over(delete, 'c2')"), {3, 4}, set()),
        (("asked.entry(99, A)", "asked.over(delete, 'c2')"), set(), {99}),
        (
            ("asked.ids(range(28), gone=False)", "asked.entry(28, P)", "asked.over(present, 'c2')"),
            {29},
            set(),
        ),
        (
            (
                "asked.ids(range(28), gone=False)",
                "asked.entry(28, M)",
                "asked.entry(99, A)",
                "asked.over(present, 'c2')",
            ),
            {29},
            {99},
        ),
        (  # a present phase, and a delete phase behind it (section 3.3.1)
            (
                "asked.ids(range(30), gone=False)",
                "asked.over(present, '', done=False)",
                "asked.entry(5, D)",
                "asked.over(delete, 'c2')",
            ),
            {5},
            set(),
        ),
        (("asked.new_cookie('c2')", "asked.over(delete, '')"), set(), set()),
        (("asked.entry(3, M, 'x400@')", "asked.over(delete, 'c2')"), {3}, set()),
    ],
)
def test_refresh_from_a_cookie(
    tmp_path: Path, answers: tuple[str, ...], gone: set[int], new: set[int]
) -> None:
    """RFC 4533 3.3.1: what is named as gone, or not named in a present phase, is gone."""
    with server(after_good(*answers)) as uri:
        followed = Followed(tmp_path, uri)
        assert followed.once() is None
        assert followed.once() is None
    assert followed.notes.loads == []
    expected = (ALL - {uuid(n) for n in gone}) | {uuid(n) for n in new}
    assert ids(followed) == expected
    assert followed.cookie().endswith(b" c2")


@pytest.mark.parametrize(
    "answers",
    [
        ("asked.ids(range(20), gone=True)", "CUT"),
        ("asked.ids(range(5), gone=False)", "CUT"),
        ("asked.entry(3, D)", "asked.done(52)"),
        ("asked.entry(3, D)", "asked.reference()"),
        ("asked.entry(3, D)",),  # silence
        ("asked.entry(3, 9)", "asked.over(delete, 'c2')"),
    ],
)
def test_refresh_that_is_not_whole_changes_nothing(
    tmp_path: Path, answers: tuple[str, ...]
) -> None:
    """The changes of a refresh and its cookie are one transaction, or nothing."""
    with server(after_good(*answers)) as uri:
        followed = Followed(tmp_path, uri)
        assert followed.once() is None
        assert isinstance(followed.once(), DirectoryError)
    assert ids(followed) == ALL
    assert followed.cookie().endswith(b" c1")


@pytest.mark.parametrize(
    "answers",
    [
        ("asked.over(present, 'c2')",),  # nobody is named, and everybody would be gone
        ("asked.ids(range(23), gone=False)", "asked.over(present, 'c2')"),
        ("asked.ids(range(7), gone=True)", "asked.over(delete, 'c2')"),
    ],
)
def test_refresh_that_takes_too_much_is_refused(tmp_path: Path, answers: tuple[str, ...]) -> None:
    """7 of 30 are more than a fifth: max_shrink stops it, and the cookie stays."""
    with server(after_good(*answers)) as uri:
        followed = Followed(tmp_path, uri)
        assert followed.once() is None
        assert isinstance(followed.once(), ShrinkError)
    assert ids(followed) == ALL
    assert followed.cookie().endswith(b" c1")


def test_refresh_required_loads_everything_anew(tmp_path: Path) -> None:
    """RFC 4533 3.3.1: after e-syncRefreshRequired the content is asked for without a cookie."""

    def script(asked: Asked) -> Iterator[bytes]:
        if asked.number == 1:
            yield asked.done(4096)
            return
        for number in PEOPLE if asked.number == 0 else range(1, 31):
            yield asked.entry(number)
        yield asked.over(DELETE_PHASE, f"c{asked.number}")

    with server(script) as uri:
        followed = Followed(tmp_path, uri)
        assert followed.once() is None
        assert followed.once() is None
    assert followed.notes.loads == [30]
    assert ids(followed) == {uuid(number) for number in range(1, 31)}


def test_entry_that_goes_during_the_load_is_gone(tmp_path: Path) -> None:
    """A delete may come before the refresh is over; the entry comes back only if it is sent."""

    def script(asked: Asked) -> Iterator[bytes]:
        for number in PEOPLE:
            yield asked.entry(number)
        yield asked.entry(3, DELETE)
        yield asked.entry(4, DELETE)
        yield asked.entry(4, ADD)
        yield asked.over(DELETE_PHASE)

    with server(script) as uri:
        followed = Followed(tmp_path, uri)
        assert followed.once() is None
    assert ids(followed) == ALL - {uuid(3)}


def test_changes_of_the_persist_stage_are_applied_with_their_cookies(tmp_path: Path) -> None:
    """RFC 4533 3.3.3: each message brings the copy up to date, and its cookie says so."""

    def script(asked: Asked) -> Iterator[bytes]:
        yield from good(asked)
        yield asked.entry(3, DELETE, cookie="c2")
        yield asked.entry(4, MODIFY, "new4@example.com", cookie="c3")
        yield asked.ids([5, 6], gone=True)
        yield asked.new_cookie("c4")

    with server(script) as uri, Followed(tmp_path, uri) as followed:
        until(lambda: not followed.find("p5@example.com") and followed.notes.changes)
        assert followed.find("new4@example.com") == ["cn=p4"]
        followed.in_step(3)
    assert ids(followed) == ALL - {uuid(3), uuid(5), uuid(6)}
    assert followed.cookie().endswith(b" c4")


@pytest.mark.parametrize(
    "answer",
    [
        "asked.over(present, 'c2')",
        "asked.ids([1], gone=False)",
        "asked.entry(1, P)",
        "asked.bare(1)",
        "asked.done()",
        "asked.done(4)",
        "asked.reference()",
        "CUT",
        "b'garbage'",
    ],
)
def test_persist_stage_that_contradicts_itself_ends(tmp_path: Path, answer: str) -> None:
    """What has no meaning in the persist stage ends it; nothing that it says is applied."""

    def script(asked: Asked) -> Iterator[bytes]:
        yield from good(asked)
        yield eval(answer, {"asked": asked, "present": PRESENT_PHASE, "P": PRESENT, "CUT": CUT})  # noqa: S307

    with server(script) as uri, Followed(tmp_path, uri) as followed:
        until(lambda: followed.notes.errors)
        assert isinstance(followed.notes.errors[0], DirectoryError)
    assert ids(followed) == ALL


def test_connection_without_a_sign_of_life_is_not_in_step(tmp_path: Path) -> None:
    """A peer that vanished sends nothing: without an answer to our search it is not in step."""
    with server(good, alive=False) as uri, Followed(tmp_path, uri) as followed:
        until(lambda: followed.notes.errors)
        assert "no sign of life" in str(followed.notes.errors[0])
        assert followed.notes.steps == 1  # at the end of the refresh, and never after


def test_more_changes_than_memory_allows_are_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refresh of more than MANY_CHANGES goes by way of the disk: everything is loaded."""
    monkeypatch.setattr(syncrepl, "MANY_CHANGES", 10)

    def script(asked: Asked) -> Iterator[bytes]:
        for number in PEOPLE:
            yield asked.entry(number)
        yield asked.over(DELETE_PHASE, f"c{asked.number}")

    with server(script) as uri:
        followed = Followed(tmp_path, uri)
        assert followed.once() is None
        assert followed.once() is None
    assert followed.notes.loads == [30]
    assert followed.cookie().endswith(b" c2")


def test_everything_is_loaded_once_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A subtree that is moved out of the base is told by nobody: a day later it is gone."""
    monkeypatch.setattr(syncrepl, "FULL_SECONDS", 0.3)

    def script(asked: Asked) -> Iterator[bytes]:
        for number in PEOPLE if asked.number == 0 else range(29):
            yield asked.entry(number)
        yield asked.over(DELETE_PHASE)

    with server(script) as uri, Followed(tmp_path, uri) as followed:
        until(lambda: len(followed.notes.loads) > 1)
        assert followed.notes.errors == []
    assert ids(followed) == ALL - {uuid(29)}


def page(asked: Asked, numbers: range, cookie: str) -> Iterator[bytes]:
    """Give one page of entries."""
    for number in numbers:
        yield asked.bare(number)
    yield asked.page(cookie)


@pytest.mark.parametrize(
    "last",
    [
        lambda asked: [asked.bare(29), asked.done(4)],
        lambda asked: [asked.bare(29), asked.done(11)],
        lambda asked: [asked.bare(29), asked.done(3)],
        lambda asked: [asked.bare(29), CUT],
        lambda asked: [asked.bare(29), asked.reference(), asked.done()],
        lambda asked: [asked.bare(29)],
        lambda asked: [asked.bare(3), asked.page("")],  # an entry that was given already
        lambda asked: page(asked, range(20), "again"),  # the first page for ever
    ],
)
def test_pages_that_are_not_whole_are_not_committed(tmp_path: Path, last: Script) -> None:
    """Limits, a cut, silence, references, repetitions: a load by pages is whole or nothing."""

    def script(asked: Asked) -> Iterator[bytes]:
        yield from page(asked, range(20), "more") if asked.number == 0 else last(asked)

    schema = {"schema": "inetorgperson"}  # with Active Directory references are usual
    with server(script, offered=()) as uri:
        followed = Followed(tmp_path, uri, **schema)
        assert isinstance(followed.once(), DirectoryError)
    assert followed.contents() == {}


def test_pages_without_entries_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that gives empty pages for ever is not asked for ever."""
    monkeypatch.setattr(paged, "EMPTY_PAGES", 20)
    with server(lambda asked: [asked.page("more")], offered=()) as uri:
        followed = Followed(tmp_path, uri)
        assert isinstance(followed.once(), DirectoryError)


def test_server_without_pages_gives_everything_at_once(tmp_path: Path) -> None:
    """RFC 2696: the control is not critical; who does not know it answers as to any search."""

    def script(asked: Asked) -> Iterator[bytes]:
        for number in range(2500):
            yield asked.bare(number)
        yield asked.done()

    with server(script, offered=()) as uri:
        followed = Followed(tmp_path, uri)
        assert followed.once() is None
    assert len(followed.contents()) == 2500


def test_refused_synchronization_is_followed_by_pages(tmp_path: Path) -> None:
    """UnavailableCriticalExtension (12): this database of the server has no syncprov."""

    def script(asked: Asked) -> Iterator[bytes]:
        yield from (asked.done(12),) if asked.number == 0 else page(asked, range(30), "")

    with server(script) as uri:
        followed = Followed(tmp_path, uri)
        assert followed.once() is None
    assert [how for how, _ in followed.notes.ways] == ["syncrepl", "paged"]
    assert len(followed.contents()) == 30


def test_end_is_heard_while_a_server_is_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stop does not wait for a server: the connection is shut down under it."""
    monkeypatch.setattr(wire.Wire.due, "__defaults__", (60.0,))
    asked_for = threading.Event()

    def script(asked: Asked) -> Iterator[bytes]:
        asked_for.set()
        yield asked.entry(1)

    with server(script) as uri, Followed(tmp_path, uri):
        assert asked_for.wait(10)
