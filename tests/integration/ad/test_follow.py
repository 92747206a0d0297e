"""Following a real domain controller: what happens there is in the index a moment later."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from codomain.directory import usn
from codomain.directory.base import Kind
from codomain.directory.dirsync import DirSyncSource
from codomain.directory.usn import UsnSource
from codomain.errors import DirectoryError, ShrinkError
from support.following import Following, same, searched
from support.ldapsection import Section
from support.samba import ADMIN, BASE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.samba import Samba

    Follow = Callable[..., Following]

SOON = 0.02
"""Seconds between two rounds here; a test need not wait for a second each time."""


@pytest.fixture(params=[UsnSource, DirSyncSource], ids=["usn", "dirsync"], autouse=True)
def _way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Follow in each of the two ways: what comes of it must be the same."""
    monkeypatch.setattr(Following, "source", request.param)


@pytest.fixture
def base(samba: Samba, request: pytest.FixtureRequest) -> str:
    """Give a unit of one's own, with a contact and a mailbox in it."""
    name = f"{Following.source.how} {request.function.__name__.removeprefix('test_')}"[:50]
    unit = samba.unit(name)
    contact(samba, f"CN=Bob,{unit}", "bob@example.com")
    samba.add(
        f"CN=Ann,{unit}",
        {"objectClass": ["user"], "proxyAddresses": ["SMTP:ann@example.com", "smtp:a@example.com"],
         "sAMAccountName": [f"ann{abs(hash(name)) % 10**9}"]},
    )  # fmt: skip
    return unit


@pytest.fixture
def section(samba: Samba, base: str, password_file: str) -> Section:
    """Give the section that follows the unit."""
    return section_of(samba, base, password_file)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give where the index is."""
    return tmp_path / "index" / "people"


@pytest.fixture
def following(
    samba: Samba, section: Section, path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Following]:
    """Give the unit as it is followed; in the end the index holds what a full search finds."""
    monkeypatch.setattr(usn, "POLL_SECONDS", SOON)
    with Following(section, path) as following:
        assert following.error is None
        yield following
        if not following.ended:
            following.wait_round()
    if following.error is None:
        assert same(samba, section, path)


def section_of(
    samba: Samba, base: str, password_file: str, *, extra: str = "", scope: str = "subtree"
) -> Section:
    """Write a section for a controller."""
    return Section(
        (samba.ldaps,),
        base=base,
        scope=scope,
        filter=extra,
        bind_dn=ADMIN,
        bind_password_file=password_file,
        ca_file=str(samba.authority),
    )


def contact(samba: Samba, dn: str, *addresses: str, target: str = "x@unix.example.net") -> None:
    """Add a contact."""
    samba.add(
        dn,
        {
            "objectClass": ["contact"],
            "proxyAddresses": [f"smtp:{address}" for address in addresses],
            "targetAddress": [f"SMTP:{target}"],
        },
    )


def test_everything_is_loaded_first(following: Following) -> None:
    """The index finds what is there, by the rules of live look-ups."""
    assert following.loads == [2]
    (ann,) = following.find("a@example.com")
    assert (ann.kind, ann.primary) == (Kind.MAILBOX, "ann@example.com")
    (bob,) = following.find("bob@example.com")
    assert (bob.kind, bob.target) == (Kind.CONTACT, "x@unix.example.net")


def test_new_entries_come(samba: Samba, base: str, following: Following) -> None:
    """A contact, a group and a mailbox made now are found a round later."""
    contact(samba, f"CN=Eve,{base}", "eve@example.com")
    samba.add(
        f"CN=Staff,{base}",
        {"objectClass": ["group"], "sAMAccountName": [f"staff-{Following.source.how}"],
         "proxyAddresses": ["SMTP:staff@example.com"], "msExchRequireAuthToSendTo": ["TRUE"]},
    )  # fmt: skip
    assert following.appears("eve@example.com").kind is Kind.CONTACT
    staff = following.appears("staff@example.com")
    assert (staff.kind, staff.restricted) == (Kind.GROUP, True)
    assert following.loads == [2]


def test_changes_of_an_entry_come(samba: Samba, base: str, following: Following) -> None:
    """Addresses come and go, and the target moves, each by its own change."""
    bob = f"CN=Bob,{base}"
    samba.modify(bob, {"proxyAddresses": [("MODIFY_ADD", ["smtp:b2@example.com"])]})
    following.appears("b2@example.com")
    samba.modify(bob, {"proxyAddresses": [("MODIFY_DELETE", ["smtp:bob@example.com"])]})
    following.vanishes("bob@example.com")
    samba.modify(bob, {"targetAddress": [("MODIFY_REPLACE", ["SMTP:y@unix.example.net"])]})
    following.wait(lambda: following.find("b2@example.com")[0].target == "y@unix.example.net")
    samba.modify(bob, {"targetAddress": [("MODIFY_REPLACE", [])]})
    following.wait(lambda: following.find("b2@example.com")[0].target == "")
    assert following.loads == [2]


def test_entry_without_addresses_is_gone(samba: Samba, base: str, following: Following) -> None:
    """Who lost the last address is found by no search, and so by no index."""
    samba.modify(f"CN=Bob,{base}", {"proxyAddresses": [("MODIFY_REPLACE", [])]})
    following.vanishes("bob@example.com")
    assert following.entries == 1
    samba.modify(f"CN=Bob,{base}", {"mail": [("MODIFY_REPLACE", ["bob@example.com"])]})
    following.appears("bob@example.com")


def test_deleted_entry_is_gone_and_comes_back(
    samba: Samba, section: Section, base: str, following: Following
) -> None:
    """A tombstone has no address, and one that is called back has what it is given then."""
    dn = f"CN=Bob,{base}"
    guid = samba.find(dn, "(objectClass=*)", "objectGUID")[0].raw["objectGUID"][0]
    samba.delete(dn)
    following.vanishes("bob@example.com")
    samba.undelete(guid, dn, {"proxyAddresses": ["smtp:bob@example.com"]})
    assert following.appears("bob@example.com").dn == dn
    assert guid in searched(samba, section)  # and the fixture compares
    assert following.loads == [2]


def test_renamed_entry_keeps_its_addresses(samba: Samba, base: str, following: Following) -> None:
    """Only its name in logs changes, also to one with a comma, a plus and an umlaut."""
    samba.rename(f"CN=Bob,{base}", "CN=Müller\\, Jörg \\+ Co")
    following.wait(
        lambda: following.find("bob@example.com")[0].dn == f"CN=Müller\\, Jörg \\+ Co,{base}"
    )
    assert following.entries == 2


def test_entry_that_leaves_the_base_is_gone(samba: Samba, base: str, following: Following) -> None:
    """It is still in the domain, but no more ours; and back again it is."""
    other = samba.unit("Elsewhere " + base[3:30])
    samba.rename(f"CN=Bob,{base}", "CN=Bob", other)
    following.vanishes("bob@example.com")
    samba.rename(f"CN=Bob,{other}", "CN=Bob", base)
    following.appears("bob@example.com")
    assert following.loads == [2]


def test_unit_that_leaves_the_base_takes_everybody_along(
    samba: Samba, base: str, following: Following
) -> None:
    """Nobody in a unit is changed when it is moved: everything is loaded anew."""
    inner = samba.unit("Inner", base)
    contact(samba, f"CN=Eve,{inner}", "eve@example.com")
    following.appears("eve@example.com")
    other = samba.unit("Others " + base[3:30])
    following.wait_round()
    assert following.loads == [2]
    samba.rename(inner, "OU=Inner", other)
    following.vanishes("eve@example.com")
    following.wait(lambda: following.loads == [2, 2])
    samba.rename(f"OU=Inner,{other}", "OU=Inner", base)
    following.appears("eve@example.com")


def test_renamed_unit_renames_everybody_in_it(
    samba: Samba, base: str, following: Following
) -> None:
    """The names in logs follow; a change of a unit that is no new name loads nothing."""
    inner = samba.unit("Inner", base)
    contact(samba, f"CN=Eve,{inner}", "eve@example.com")
    following.appears("eve@example.com")
    samba.modify(inner, {"description": [("MODIFY_REPLACE", ["something"])]})
    following.wait_round()
    assert following.loads == [2]
    samba.rename(inner, "OU=Renamed")
    following.wait(lambda: following.find("eve@example.com")[0].dn.endswith(f"OU=Renamed,{base}"))


def test_condition_of_the_filter_that_ends_takes_the_entry_away(
    samba: Samba, base: str, password_file: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the INI's filter no longer finds is gone, though its addresses are still there."""
    monkeypatch.setattr(usn, "POLL_SECONDS", SOON)
    samba.modify(f"CN=Bob,{base}", {"mailNickname": [("MODIFY_REPLACE", ["bob"])]})
    section = section_of(samba, base, password_file, extra="(mailNickname=*)")
    with Following(section, path) as following:
        assert following.loads == [1]
        samba.modify(f"CN=Bob,{base}", {"mailNickname": [("MODIFY_REPLACE", [])]})
        following.vanishes("bob@example.com")
        samba.modify(f"CN=Ann,{base}", {"mailNickname": [("MODIFY_REPLACE", ["ann"])]})
        following.appears("ann@example.com")


def test_scope_is_kept(
    samba: Samba, base: str, password_file: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With scope = onelevel a unit below the base is none of ours."""
    monkeypatch.setattr(usn, "POLL_SECONDS", SOON)
    inner = samba.unit("Inner", base)
    with Following(section_of(samba, base, password_file, scope="onelevel"), path) as following:
        samba.rename(f"CN=Bob,{base}", "CN=Bob", inner)
        following.vanishes("bob@example.com")


def test_two_hundred_new_entries_at_once_all_come(
    samba: Samba, base: str, following: Following
) -> None:
    """No change falls between two rounds."""
    with samba.administrator() as connection:
        for number in range(200):
            connection.add(
                f"CN=Many {number},{base}",
                attributes={"objectClass": "contact", "mail": f"many{number}@example.com"},
            )
    following.wait_round()
    assert following.entries == 202
    assert following.loads == [2]


def test_what_is_not_ours_changes_nothing(samba: Samba, following: Following) -> None:
    """The rest of the domain goes on all the time: the daemons' answers stay valid."""
    before = following.revision
    other = samba.unit(f"Noise {Following.source.how}")
    contact(samba, f"CN=Else,{other}", "else@example.com")
    samba.modify(other, {"description": [("MODIFY_REPLACE", ["noise"])]})
    following.wait_round()
    assert following.revision == before
    assert not following.find("else@example.com")


def test_change_of_an_entry_that_mail_does_not_see_changes_nothing(
    samba: Samba, base: str, following: Following
) -> None:
    """A telephone number, or a logon, is no reason to forget all verdicts."""
    before = following.revision
    samba.modify(f"CN=Bob,{base}", {"telephoneNumber": [("MODIFY_REPLACE", ["+49 1"])]})
    following.wait_round()
    assert following.revision == before


def test_change_is_visible_within_two_seconds(
    samba: Samba, base: str, section: Section, path: Path
) -> None:
    """At the interval that is in force: a round a second."""
    with Following(section, path) as following:
        contact(samba, f"CN=Eve,{base}", "eve@example.com")
        began = time.monotonic()
        following.appears("eve@example.com")
        assert time.monotonic() - began < 2.0


def test_copy_is_gone_on_with_at_the_next_start(
    samba: Samba, base: str, section: Section, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What changed while nobody followed is caught up with, deletions too, without a load."""
    monkeypatch.setattr(usn, "POLL_SECONDS", SOON)
    with Following(section, path) as following:
        assert following.loads == [2]
    contact(samba, f"CN=Eve,{base}", "eve@example.com")
    samba.delete(f"CN=Bob,{base}")
    with Following(section, path) as following:
        assert following.loads == []
        following.wait_round()
    assert same(samba, section, path)


def test_unit_that_was_moved_while_nobody_followed_is_noticed(
    samba: Samba, base: str, section: Section, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its name of before is not known then: everything is loaded anew."""
    monkeypatch.setattr(usn, "POLL_SECONDS", SOON)
    inner = samba.unit("Inner", base)
    contact(samba, f"CN=Eve,{inner}", "eve@example.com")
    other = samba.unit("Away " + base[3:30])
    with Following(section, path) as following:
        following.appears("eve@example.com")
    samba.rename(inner, "OU=Inner", other)
    with Following(section, path) as following:
        assert following.loads == [2]
    assert same(samba, section, path)


def test_unit_that_is_new_is_no_reason_to_load(
    samba: Samba, base: str, section: Section, path: Path
) -> None:
    """All that is in a new unit is new or moved itself."""
    with Following(section, path):
        pass
    inner = samba.unit("Inner", base)
    samba.rename(f"CN=Bob,{base}", "CN=Bob", inner)
    with Following(section, path) as following:
        assert following.loads == []
        following.wait_round()
    assert same(samba, section, path)


def test_base_that_is_renamed_ends_following_and_loses_nobody(
    samba: Samba, base: str, following: Following
) -> None:
    """A base that is not there is a fault, not a company without people."""
    samba.rename(base, "OU=Another name " + base[3:30])
    following.wait(lambda: following.ended)
    assert isinstance(following.error, DirectoryError)
    assert "noSuchObject" in str(following.error)
    assert following.find("bob@example.com")


def test_loss_that_is_too_large_is_refused(
    samba: Samba, base: str, section: Section, path: Path
) -> None:
    """Half of the people moved away at once: nothing is changed until somebody has looked."""
    for number in range(28):
        contact(samba, f"CN=C {number},{base}", f"c{number}@example.com")
    inner = samba.unit("Inner " + base[3:30])
    with Following(section, path) as following:
        assert following.loads == [30]
    with samba.administrator() as connection:
        for number in range(15):
            connection.modify_dn(f"CN=C {number},{base}", f"CN=C {number}", new_superior=inner)
    with Following(section, path) as following:
        assert isinstance(following.error, ShrinkError)
        assert following.entries == 30
        assert following.find("c0@example.com")
    with Following(section, path, accept_shrink=True) as following:
        following.wait_round()
    assert same(samba, section, path)


def test_addresses_of_two_entries_are_told(
    samba: Samba, base: str, section: Section, path: Path
) -> None:
    """An address on two entries is reported with both names."""
    contact(samba, f"CN=Other,{base}", "bob@example.com")
    with Following(section, path) as following:
        (names,) = following.duplicates.values()
        assert set(names) == {f"CN=Bob,{base}", f"CN=Other,{base}"}
        assert len(following.find("bob@example.com")) == 2


@pytest.mark.parametrize("_way", [UsnSource], indirect=True)  # the load of both is the same
def test_more_than_a_page_is_loaded_and_changed(
    samba: Samba, base: str, section: Section, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Results come page by page, 1,000 at a time."""
    monkeypatch.setattr(usn, "POLL_SECONDS", SOON)
    with samba.administrator() as connection:
        for number in range(1100):
            connection.add(
                f"CN=P {number},{base}",
                attributes={"objectClass": "contact", "mail": f"p{number}@example.com"},
            )
    with Following(section, path) as following:
        assert following.loads == [1102]
        assert following.find("p1099@example.com")


def test_empty_answer_to_a_load_is_no_directory(
    samba: Samba, password_file: str, path: Path
) -> None:
    """A base without any address is the wrong base, or one that we may not read."""
    empty = samba.unit(f"Empty {Following.source.how}")
    with Following(section_of(samba, empty, password_file), path) as following:
        assert following.loads == []
        assert "no entry with an address" in str(following.error)


@pytest.mark.parametrize("base", ["", "DC=other,DC=example"])
def test_base_in_no_naming_context_is_refused(
    samba: Samba, password_file: str, path: Path, base: str
) -> None:
    """A forest cannot be followed at the global catalogue: its numbers are of no one domain."""
    with Following(section_of(samba, base, password_file), path) as following:
        assert "no naming context" in str(following.error)


def test_whole_domain_is_followed(
    samba: Samba, password_file: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A search from the domain's base brings references, which are no fault."""
    monkeypatch.setattr(usn, "POLL_SECONDS", SOON)
    unit = samba.unit(f"Whole {Following.source.how}")
    contact(samba, f"CN=Zoe,{unit}", "zoe-whole@example.com")
    with Following(section_of(samba, BASE, password_file), path) as following:
        assert following.find("zoe-whole@example.com")
        samba.delete(f"CN=Zoe,{unit}")
        following.vanishes("zoe-whole@example.com")
