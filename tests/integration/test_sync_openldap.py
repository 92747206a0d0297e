"""Following a real slapd by syncrepl: everything that becomes of an entry reaches the index."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING

import pytest

from codomain.directory import syncrepl
from codomain.errors import DirectoryError, IndexDamagedError, ShrinkError
from support.followed import Followed, until
from support.slapd import BASE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.slapd import Slapd

    Maker = Callable[..., Slapd]

PEOPLE = f"ou=people,{BASE}"
LOG = ("olcSpSessionlog: 1000",)
"""With a log of what was deleted: a refresh names what is gone."""

NO_LOG = ("",)
"""Without one: a refresh names what is left."""

_ROOT = f"""\
dn: {BASE}
objectClass: dcObject
objectClass: organization
o: example
dc: example

dn: {PEOPLE}
objectClass: organizationalUnit
ou: people
"""


def person(name: str, *addresses: str) -> tuple[str, dict[str, list[str]]]:
    """Give a new entry: DN and attributes."""
    proxies = [f"smtp:{address}" for address in addresses]
    entry = {"objectClass": ["user"], "cn": [name], "sn": [name], "proxyAddresses": proxies}
    return f"cn={name},{PEOPLE}", entry


def many(count: int, mark: str = "p") -> str:
    """Give the LDIF of a tree with so many people."""
    return _ROOT + "".join(
        f"\ndn: cn={mark}{n},{PEOPLE}\nobjectClass: user\ncn: {mark}{n}\nsn: x\n"
        f"proxyAddresses: smtp:{mark}{n}@example.com\n"
        for n in range(count)
    )


def test_load_holds_what_a_live_search_finds(new_slapd: Maker, tmp_path: Path) -> None:
    """Entries are read by the schema; those without an address are not there (people.ldif)."""
    slapd = new_slapd(syncprov=LOG)
    followed = Followed(tmp_path, slapd.ldap)
    assert followed.once() is None
    assert followed.notes.ways == [("syncrepl", slapd.ldap)]
    assert followed.find("ann@example.com") == [f"cn=Ann Smith,{PEOPLE}"]
    assert followed.find("a.smith@example.com") == [f"cn=Ann Smith,{PEOPLE}"]
    assert followed.find("nobody@example.com") == []
    assert sorted(followed.notes.duplicates["twice@example.com"]) == [
        f"cn=Twice by mail,{PEOPLE}",
        f"cn=Twice by proxy,{PEOPLE}",
    ]


def test_every_change_is_seen_while_it_is_followed(new_slapd: Maker, tmp_path: Path) -> None:
    """RFC 4533 3.3.3: add, modify, rename and delete arrive in the persist stage."""
    slapd = new_slapd(syncprov=LOG)
    with Followed(tmp_path, slapd.ldap) as followed:
        followed.in_step()
        slapd.add(*person("New", "new@example.com"))
        until(lambda: followed.find("new@example.com") == [f"cn=New,{PEOPLE}"])
        slapd.modify(f"cn=New,{PEOPLE}", "proxyAddresses", "smtp:newer@example.com")
        until(lambda: followed.find("newer@example.com") == [f"cn=New,{PEOPLE}"])
        assert followed.find("new@example.com") == []
        slapd.rename(f"cn=New,{PEOPLE}", "cn=Old")
        until(lambda: followed.find("newer@example.com") == [f"cn=Old,{PEOPLE}"])
        slapd.delete(f"cn=Old,{PEOPLE}")
        until(lambda: followed.find("newer@example.com") == [])
    assert followed.notes.errors == []


def test_entry_that_loses_its_addresses_is_gone(new_slapd: Maker, tmp_path: Path) -> None:
    """An entry that does not match the filter any more is deleted (RFC 4533 3.3.2)."""
    slapd = new_slapd(syncprov=LOG)
    slapd.add(*person("New", "new@example.com"))
    with Followed(tmp_path, slapd.ldap) as followed:
        until(lambda: followed.find("new@example.com"))
        slapd.modify(f"cn=New,{PEOPLE}", "proxyAddresses")
        until(lambda: followed.find("new@example.com") == [])


def test_entry_whose_addresses_are_of_another_system_is_gone(
    new_slapd: Maker, tmp_path: Path
) -> None:
    """It matches the filter still, but no mail address is in it (schema.py)."""
    slapd = new_slapd(syncprov=LOG)
    slapd.add(*person("New", "new@example.com"))
    with Followed(tmp_path, slapd.ldap) as followed:
        until(lambda: followed.find("new@example.com"))
        slapd.modify(f"cn=New,{PEOPLE}", "proxyAddresses", "X400:c=us;a= ;p=x")
        until(lambda: followed.find("new@example.com") == [])


def test_move_in_and_out_of_the_base(new_slapd: Maker, tmp_path: Path) -> None:
    """What leaves the base is gone, and what comes back is there (RFC 4533 3.3.2)."""
    slapd = new_slapd(syncprov=LOG)
    slapd.add(*person("New", "new@example.com"))
    with Followed(tmp_path, slapd.ldap, base=PEOPLE) as followed:
        until(lambda: followed.find("new@example.com"))
        slapd.rename(f"cn=New,{PEOPLE}", "cn=New", f"ou=services,{BASE}")
        until(lambda: followed.find("new@example.com") == [])
        slapd.rename(f"cn=New,ou=services,{BASE}", "cn=New", PEOPLE)
        until(lambda: followed.find("new@example.com"))


@pytest.mark.parametrize("syncprov", [LOG, NO_LOG], ids=["delete phase", "present phase"])
def test_changes_while_nobody_followed(
    new_slapd: Maker, tmp_path: Path, syncprov: tuple[str, ...]
) -> None:
    """RFC 4533 3.3.1: from a cookie come the changes, and what was deleted meanwhile."""
    slapd = new_slapd(syncprov=syncprov)
    followed = Followed(tmp_path, slapd.ldap)
    for name in ("one", "two", "three"):
        slapd.add(*person(name, f"{name}@example.com"))
    assert followed.once() is None
    slapd.delete(f"cn=one,{PEOPLE}")
    slapd.modify(f"cn=two,{PEOPLE}", "proxyAddresses", "smtp:zwei@example.com")
    slapd.add(*person("four", "four@example.com"))
    assert followed.once() is None
    assert followed.notes.loads == []  # no second load
    assert followed.find("one@example.com") == []
    assert followed.find("two@example.com") == []
    assert followed.find("zwei@example.com") == [f"cn=two,{PEOPLE}"]
    assert followed.find("three@example.com") == [f"cn=three,{PEOPLE}"]
    assert followed.find("four@example.com") == [f"cn=four,{PEOPLE}"]


@pytest.mark.parametrize("syncprov", [LOG, NO_LOG], ids=["log", "no log"])
def test_resume_without_changes_loads_and_changes_nothing(
    new_slapd: Maker, tmp_path: Path, syncprov: tuple[str, ...]
) -> None:
    """A cookie of now: the server has nothing to say, and everybody is still there."""
    slapd = new_slapd(syncprov=syncprov)
    followed = Followed(tmp_path, slapd.ldap)
    assert followed.once() is None
    before = followed.contents()
    assert followed.once() is None
    assert (followed.notes.loads, followed.notes.changes) == ([], [])
    assert followed.contents() == before


def test_server_restart_is_survived(new_slapd: Maker, tmp_path: Path) -> None:
    """A connection that breaks is made anew, and goes on from the cookie."""
    slapd = new_slapd(syncprov=LOG)
    with Followed(tmp_path, slapd.ldap) as followed:
        followed.in_step()
        slapd.stop()
        until(lambda: followed.notes.errors)
        assert followed.find("ann@example.com")  # what was known serves
        slapd.start()
        slapd.add(*person("New", "new@example.com"))
        until(lambda: followed.find("new@example.com"))
        assert len(followed.notes.loads) == 1
        followed.in_step()


def test_server_that_was_wiped_and_filled_again(new_slapd: Maker, tmp_path: Path) -> None:
    """Other entries under other ids, newer than the cookie: they take the place of the old."""
    slapd = new_slapd(syncprov=NO_LOG)
    slapd.stop()
    slapd.wipe(many(30))
    slapd.start()
    followed = Followed(tmp_path, slapd.ldap)
    assert followed.once() is None
    before = followed.contents()
    slapd.stop()
    slapd.wipe(many(29))
    slapd.start()
    assert followed.once() is None
    after = followed.contents()
    assert len(after) == 29
    assert not set(before) & set(after)
    assert followed.find("p28@example.com")
    assert followed.find("p29@example.com") == []


def test_refresh_required_loads_everything(new_slapd: Maker, tmp_path: Path) -> None:
    """RFC 4533 3.3.1: e-syncRefreshRequired (4096) means to begin without a cookie."""
    slapd = new_slapd(syncprov=("olcSpReloadHint: TRUE",))
    slapd.stop()
    slapd.wipe(many(30))
    slapd.start()
    followed = Followed(tmp_path, slapd.ldap)
    assert followed.once() is None
    slapd.stop()
    second = int(time.time())  # slapd finds the cookie's CSN by its second
    until(lambda: time.time() > second + 1)
    slapd.wipe(many(29))
    slapd.start()
    assert followed.once() is None
    assert followed.notes.loads == [29]
    assert len(followed.contents()) == 29


def test_server_that_was_restored_from_a_backup(
    new_slapd: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It knows less than we do: it is given time to catch up, and then it is believed."""
    monkeypatch.setattr(syncrepl, "BEHIND_SECONDS", 0.5)
    monkeypatch.setattr(syncrepl, "BEHIND_PAUSE", 0.1)
    slapd = new_slapd(syncprov=LOG)
    slapd.stop()
    slapd.wipe(many(30))
    slapd.start()
    followed = Followed(tmp_path, slapd.ldap)
    slapd.stop()
    backup = slapd.export()
    slapd.start()
    slapd.add(*person("later", "later@example.com"))
    assert followed.once() is None
    assert followed.find("later@example.com")
    slapd.stop()
    slapd.wipe(backup)
    slapd.start()
    assert followed.once() is None
    assert followed.notes.loads == [30]
    assert followed.find("later@example.com") == []


def test_database_without_syncprov_is_searched_by_pages(new_slapd: Maker, tmp_path: Path) -> None:
    """Where the control is not offered everything is searched again, and compared."""
    slapd = new_slapd()
    followed = Followed(tmp_path, slapd.ldap)
    slapd.add(*person("one", "one@example.com"))
    assert followed.once() is None
    assert followed.notes.ways == [("paged", slapd.ldap)]
    assert len(followed.notes.loads) == 1
    slapd.delete(f"cn=one,{PEOPLE}")
    slapd.add(*person("two", "two@example.com"))
    assert followed.once() is None
    assert followed.notes.loads == []
    assert len(followed.notes.changes) == 1
    assert followed.find("one@example.com") == []
    assert followed.find("two@example.com") == [f"cn=two,{PEOPLE}"]


def test_paged_search_goes_past_the_limit_of_a_page(new_slapd: Maker, tmp_path: Path) -> None:
    """RFC 2696: a server that gives 1,000 entries at a time gives 2,500 in three pages."""
    slapd = new_slapd(size_limit="size.soft=1000 size.hard=1000 size.prtotal=unlimited")
    slapd.stop()
    slapd.wipe(many(2500))
    slapd.start()
    followed = Followed(tmp_path, slapd.ldap)
    assert followed.once() is None
    assert followed.notes.loads == [2500]


def test_size_limit_of_a_synchronization_leads_to_pages(new_slapd: Maker, tmp_path: Path) -> None:
    """SizeLimitExceeded at the refresh: pages may be allowed where one answer is not."""
    slapd = new_slapd(syncprov=LOG, size_limit="size.soft=100 size.hard=100 size.prtotal=unlimited")
    slapd.stop()
    slapd.wipe(many(250))
    slapd.start()
    followed = Followed(tmp_path, slapd.ldap)
    assert followed.once() is None
    assert [how for how, _ in followed.notes.ways] == ["syncrepl", "paged"]
    assert len(followed.contents()) == 250


def test_soft_limit_holds_for_who_asks_for_no_more(new_slapd: Maker, tmp_path: Path) -> None:
    """See slapd.conf(5), limits: its soft limit is for searches that name none; ours does."""
    slapd = new_slapd(syncprov=LOG, size_limit="size.soft=10 size.hard=unlimited")
    slapd.stop()
    slapd.wipe(many(30))
    slapd.start()
    followed = Followed(tmp_path, slapd.ldap)
    assert followed.once() is None
    assert followed.notes.ways == [("syncrepl", slapd.ldap)]
    assert followed.notes.loads == [30]


def test_part_of_the_entries_is_never_taken_for_all(new_slapd: Maker, tmp_path: Path) -> None:
    """SizeLimitExceeded (4) in pages too: nothing is committed, and the reason is told."""
    slapd = new_slapd(size_limit="size.soft=100 size.hard=100 size.prtotal=150")
    slapd.stop()
    slapd.wipe(many(250))
    slapd.start()
    followed = Followed(tmp_path, slapd.ldap)
    error = followed.once()
    assert isinstance(error, DirectoryError)
    assert "sizeLimitExceeded (4)" in str(error)
    assert followed.contents() == {}
    assert followed.find("p1@example.com") == []


@pytest.mark.parametrize("keys", [{"base": f"ou=services,{BASE}"}, {"filter": "(cn=p1)"}])
@pytest.mark.parametrize("syncprov", [LOG, None], ids=["syncrepl", "paged"])
def test_wrong_base_or_filter_stops(
    new_slapd: Maker, tmp_path: Path, keys: dict[str, str], syncprov: tuple[str, ...] | None
) -> None:
    """A loss above max_shrink is applied only where it is accepted."""
    slapd = new_slapd(syncprov=syncprov)
    slapd.stop()
    slapd.wipe(many(30) + f"\ndn: ou=services,{BASE}\nobjectClass: organizationalUnit\n")
    slapd.start()
    assert Followed(tmp_path, slapd.ldap).once() is None
    wrong = Followed(tmp_path, slapd.ldap, **keys)
    assert isinstance(wrong.once(), ShrinkError)
    assert wrong.find("p1@example.com") == []
    assert wrong.once(accept=True) is None
    assert len(wrong.contents()) == (1 if "filter" in keys else 0)


def test_rights_that_are_lost_stop_it(new_slapd: Maker, tmp_path: Path) -> None:
    """A server that shows us nobody any more answers success: nobody becomes unknown."""
    slapd = new_slapd(syncprov=NO_LOG)
    slapd.stop()
    slapd.wipe(many(30))
    slapd.start()
    followed = Followed(tmp_path, slapd.ldap)
    assert followed.once() is None
    slapd.stop()
    slapd.wipe(_ROOT)
    slapd.start()
    assert isinstance(followed.once(), ShrinkError)
    assert followed.find("p1@example.com")
    with followed:
        until(lambda: followed.notes.errors)
        assert isinstance(followed.notes.errors[0], ShrinkError)
        assert followed.find("p1@example.com")
        # Its lock is free, so that the loss can be accepted without stopping the service.
        assert Followed(tmp_path, slapd.ldap).once(accept=True) is None


def test_deletes_one_after_the_other_add_up(new_slapd: Maker, tmp_path: Path) -> None:
    """max_shrink holds for what is lost within an hour: a script deletes one at a time."""
    slapd = new_slapd(syncprov=LOG)
    slapd.stop()
    slapd.wipe(many(100))
    slapd.start()
    with Followed(tmp_path, slapd.ldap) as followed:
        followed.in_step()
        for number in itertools.count():
            slapd.delete(f"cn=p{number},{PEOPLE}")
            if followed.notes.errors or number == 40:
                break
        until(lambda: followed.notes.errors)
        assert isinstance(followed.notes.errors[0], ShrinkError)
    assert 80 <= len(followed.contents()) <= 100


def test_damaged_index_is_made_anew(new_slapd: Maker, tmp_path: Path) -> None:
    """A reader that met damage has marked it: the follower sets it aside and loads again."""
    slapd = new_slapd(syncprov=LOG)
    with Followed(tmp_path, slapd.ldap) as followed:
        followed.in_step()
        (followed.path / "damaged").write_text("a sum is wrong")
        until(lambda: len(followed.notes.loads) > 1)
        assert isinstance(followed.notes.errors[0], IndexDamagedError)
        until(lambda: followed.find("ann@example.com"))
    assert list(followed.path.parent.glob("people.bad-*"))


def test_next_server_is_followed_when_one_is_down(new_slapd: Maker, tmp_path: Path) -> None:
    """Servers are taken in the INI's order; with the first one gone the second one serves."""
    one, two = new_slapd(syncprov=LOG), new_slapd(syncprov=LOG)
    with Followed(tmp_path, one.ldap, two.ldap) as followed:
        followed.in_step()
        one.stop()
        until(lambda: followed.notes.ways[-1] == ("syncrepl", two.ldap))
        followed.in_step()
        two.add(*person("New", "new@example.com"))
        until(lambda: followed.find("new@example.com"))


def test_all_servers_down_is_told_and_nothing_is_lost(new_slapd: Maker, tmp_path: Path) -> None:
    """Down is no answer: once ends with a DirectoryError, and the index stays."""
    slapd = new_slapd(syncprov=LOG)
    followed = Followed(tmp_path, slapd.ldap, "ldap://127.0.0.1:1")
    assert followed.once() is None
    slapd.stop()
    assert isinstance(followed.once(), DirectoryError)
    assert len(followed.notes.errors) == 2
    assert followed.find("ann@example.com")


@pytest.mark.parametrize("scheme", ["ldaps", "ldapi", "starttls"])
def test_tls_and_local_sockets_are_followed(
    new_slapd: Maker, tmp_path: Path, authority: object, scheme: str
) -> None:
    """The connection is that of live look-ups: verified TLS, StartTLS, or a unix socket."""
    certificate = authority.sign("sync", "DNS:localhost,IP:127.0.0.1")  # type: ignore[attr-defined]
    slapd = new_slapd(syncprov=LOG, certificate=certificate)
    uri = {"ldaps": slapd.ldaps, "ldapi": slapd.ldapi, "starttls": slapd.ldap}[scheme]
    keys = {"ca_file": str(certificate.authority), "starttls": scheme == "starttls"}
    with Followed(tmp_path, uri, **keys) as followed:
        followed.in_step(3)
        slapd.add(*person("New", "new@example.com"))
        until(lambda: followed.find("new@example.com"))
    assert followed.notes.errors == []
