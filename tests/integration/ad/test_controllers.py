"""Following through what happens to domain controllers: restarts, restores, failover, rights.

Each test has a controller of its own, and breaks it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from codomain.directory import servers, usn
from codomain.errors import ShrinkError
from support.following import Followed, Following, same
from support.ldapsection import Section
from support.samba import ADMIN, BASE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.samba import Samba

SOON = 0.02
OTHER = bytes(range(16))
"""The invocationId of another controller."""

SECRET = "Follow.Me-1 please"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at the counter more often, and at a server that is down."""
    monkeypatch.setattr(usn, "POLL_SECONDS", SOON)
    monkeypatch.setattr(servers, "COOL_DOWN", SOON)


@pytest.fixture
def dc(controllers: Callable[[], Samba]) -> Samba:
    """Give a controller of one's own, with forty contacts."""
    made = controllers()
    unit = made.unit("People")
    with made.administrator() as connection:
        for number in range(40):
            connection.add(f"CN=C {number},{unit}", attributes=entry(f"c{number}@example.com"))
    return made


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give where the index is."""
    return tmp_path / "index" / "people"


def entry(address: str) -> dict[str, list[str]]:
    """Write a contact."""
    return {
        "objectClass": ["contact"],
        "proxyAddresses": [f"smtp:{address}"],
        "targetAddress": ["SMTP:x@unix.example.net"],
    }


def section_of(
    password_file: str, *controllers: Samba, bind_dn: str = ADMIN, base: str = f"OU=People,{BASE}"
) -> Section:
    """Write a section for controllers of one domain."""
    return Section(
        tuple(controller.ldaps for controller in controllers),
        base=base,
        bind_dn=bind_dn,
        bind_password_file=password_file,
        ca_file=str(controllers[0].authority),
    )


def test_restarted_controller_is_gone_on_with(dc: Samba, password_file: str, path: Path) -> None:
    """Its counter and its id are what they were: nothing is loaded anew, nothing is missed."""
    section = section_of(password_file, dc)
    with Followed(section, path) as followed:
        assert followed.loads == [40]
        dc.stop()
        followed.wait(lambda: followed.error)
        dc.start()
        dc.delete(f"CN=C 1,OU=People,{BASE}")
        dc.add(f"CN=New,OU=People,{BASE}", entry("new@example.com"))
        followed.appears("new@example.com")
        followed.vanishes("c1@example.com")
        assert followed.loads == [40]
        assert len(followed.servers) >= 2
    assert same(dc, section, path)


def test_other_controller_means_to_load_anew(
    dc: Samba, tmp_path: Path, password_file: str, path: Path
) -> None:
    """The numbers of one controller say nothing of another's: what differs is compared."""
    with Following(section_of(password_file, dc), path) as following:
        assert following.loads == [40]
    dc.stop()
    other = dc.another(tmp_path / "dc2", OTHER)
    with other:
        other.delete(f"CN=C 1,OU=People,{BASE}")
        section = section_of(password_file, other)
        with Following(section, path) as following:
            assert following.loads == [39]
            assert not following.find("c1@example.com")
            assert following.find("c2@example.com")
        assert same(other, section, path)


def test_next_controller_takes_over(
    dc: Samba, tmp_path: Path, password_file: str, path: Path
) -> None:
    """When the pinned one dies the next is compared in full and followed; nobody is lost."""
    dc.stop()
    other = dc.another(tmp_path / "dc2", OTHER)
    dc.start()
    with other:
        section = section_of(password_file, dc, other)
        with Followed(section, path) as followed:
            assert followed.servers == [dc.ldaps]
            other.add(f"CN=New,OU=People,{BASE}", entry("new@example.com"))
            dc.stop()
            followed.appears("new@example.com")
            assert followed.servers[-1] == other.ldaps
            assert followed.find("c39@example.com")
            followed.wait(lambda: followed.loads == [40, 41])
            other.delete(f"CN=C 1,OU=People,{BASE}")
            followed.vanishes("c1@example.com")
        assert same(other, section, path)


def test_next_controller_that_lacks_many_is_not_believed(
    dc: Samba, tmp_path: Path, password_file: str, path: Path
) -> None:
    """One that has not yet got what the first has would make people unknown: it is refused."""
    dc.stop()
    other = dc.another(tmp_path / "dc2", OTHER)
    dc.start()
    with other:
        for number in range(15):
            other.delete(f"CN=C {number},OU=People,{BASE}")
        with Followed(section_of(password_file, dc, other), path) as followed:
            dc.stop()
            followed.wait(lambda: isinstance(followed.error, ShrinkError))
            assert followed.find("c1@example.com")
            assert followed.entries == 40


def test_controller_that_was_set_back_is_loaded_anew(
    dc: Samba, tmp_path: Path, password_file: str, path: Path
) -> None:
    """A snapshot that was put back has used numbers before: the counter is below ours."""
    section = section_of(password_file, dc)
    dc.stop()
    dc.keep(tmp_path / "backup")
    dc.start()
    dc.add(f"CN=Late,OU=People,{BASE}", entry("late@example.com"))
    with Following(section, path) as following:
        assert following.loads == [41]
    dc.stop()
    dc.restore(tmp_path / "backup")
    dc.start()
    with Following(section, path) as following:
        assert following.loads == [40]
        assert not following.find("late@example.com")
    assert same(dc, section, path)


def test_deletions_are_seen_without_the_right_to_see_tombstones(
    dc: Samba, tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An ordinary account is shown no tombstone: what is still there is counted through."""
    monkeypatch.setattr(usn, "CENSUS_SECONDS", 0.1)
    account = dc.account("codomain", SECRET)
    section = section_of(secret(tmp_path), dc, bind_dn=account)
    with Following(section, path) as following:
        assert following.loads == [40]
        dc.delete(f"CN=C 1,OU=People,{BASE}")
        following.vanishes("c1@example.com")
        assert following.loads == [40]
    dc.delete(f"CN=C 2,OU=People,{BASE}")
    monkeypatch.setattr(usn, "CENSUS_SECONDS", 1000.0)
    with Following(section, path) as following:
        assert not following.find("c2@example.com")  # counted once at each start
        dc.delete(f"CN=C 3,OU=People,{BASE}")
        following.wait_round()
        assert following.find("c3@example.com")  # the price of a missing right


def test_deletions_are_seen_at_once_with_the_right_to_see_tombstones(
    dc: Samba, tmp_path: Path, path: Path
) -> None:
    """List and read on the container of the deleted is all that an account needs."""
    account = dc.account("codomain", SECRET)
    dc.show_deleted_to(account)
    with Following(section_of(secret(tmp_path), dc, bind_dn=account), path) as following:
        dc.delete(f"CN=C 1,OU=People,{BASE}")
        following.vanishes("c1@example.com")
        assert following.loads == [40]


def test_account_that_may_replicate_is_followed_by_dirsync(
    dc: Samba, tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It needs that right alone; another account is refused at once, and its numbers do.

    Samba shows tombstones by DirSync only to whom they are not hidden: who is gone is
    counted, or told where that right is there, too.
    """
    account = dc.account("codomain", SECRET)
    section = section_of(secret(tmp_path), dc, bind_dn=account)
    with Followed(section, path) as followed:
        followed.wait(lambda: followed.rounds)
        assert followed.ways == ["dirsync", "usn"]
        assert followed.loads == [40]
    dc.let_replicate(account)
    monkeypatch.setattr(usn, "CENSUS_SECONDS", 0.1)
    with Followed(section, path) as followed:
        assert followed.ways == ["dirsync"]
        assert followed.loads == [40]
        dc.add(f"CN=New,OU=People,{BASE}", entry("new@example.com"))
        followed.appears("new@example.com")
        dc.delete(f"CN=C 1,OU=People,{BASE}")
        followed.vanishes("c1@example.com")
    dc.show_deleted_to(account)
    monkeypatch.setattr(usn, "CENSUS_SECONDS", 1000.0)
    with Followed(section, path) as followed:
        dc.delete(f"CN=C 2,OU=People,{BASE}")
        followed.vanishes("c2@example.com")
        assert followed.loads == []
    assert same(dc, section, path)


def test_everything_is_loaded_anew_once_a_day(
    dc: Samba, password_file: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What no change number tells of, such as a right that was lost, is found out then."""
    section = section_of(password_file, dc)
    with Following(section, path) as following:
        assert following.loads == [40]
    monkeypatch.setattr(usn, "RELOAD_SECONDS", 0.0)
    with Following(section, path) as following:
        following.wait(lambda: len(following.loads) >= 2)


def secret(folder: Path) -> str:
    """Write the account's password file."""
    path = folder / "password"
    path.write_text(SECRET)
    return str(path)
