"""The local index on a real file system: loads, changes, and what never gets in."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from codomain.directory.base import Kind, Recipient
from codomain.directory.index import (
    IndexReader,
    IndexWriter,
    duplicates,
    index_path,
    source_of,
    status_of,
)
from codomain.errors import IndexBusyError, IndexUnusableError, IndexWriteError, ShrinkError
from support.indexes import SOURCE, found, load, people, person

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ANN = person("ann", "ann@example.com", "a.smith@example.com")
BOB = person("bob", target="bob@unix.example.net")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the index of a test is."""
    return index_path(tmp_path, "ad")


@pytest.fixture
def writer(path: Path) -> Iterator[IndexWriter]:
    """Hold the one right to write it."""
    made = IndexWriter(path, SOURCE)
    yield made
    made.close()


def loaded(writer: IndexWriter, entries: dict[bytes, Recipient], **how: float | None) -> None:
    """Load entries whole into an open index."""
    with writer.load() as whole:
        for name, recipient in entries.items():
            whole.put(name, recipient)
        whole.commit(cookie=b"1", synced=time.time(), max_shrink=how.get("max_shrink"))


def test_what_was_loaded_is_found_and_nothing_else(writer: IndexWriter, path: Path) -> None:
    """Every address leads to its whole entry; an address that nobody has leads nowhere."""
    loaded(writer, {b"1": ANN, b"2": BOB})
    reader = IndexReader(path, SOURCE)
    assert reader.find("ann@example.com") == (ANN,)
    assert reader.find("a.smith@example.com") == (ANN,)
    assert reader.find("bob@example.com") == (BOB,)
    assert reader.find("eve@example.com") == ()
    assert reader.find("") == ()
    reader.close()
    assert writer.get(b"1") == ANN
    assert writer.get(b"3") is None
    assert sorted(writer.ids()) == [b"1", b"2"]


def test_keys_that_lmdb_cannot_hold_are_found(writer: IndexWriter, path: Path) -> None:
    """Ids and addresses of more than 511 octets, and letters beyond ASCII."""
    long = "x" * 600 + "@example.com"
    odd = person("odd", long, "jürgen@xn--mller-kva.example", "a\0b@example.com")
    dn = b"cn=" + b"y" * 700
    loaded(writer, {dn: odd})
    assert found(path, [*odd.addresses, "x" * 601 + "@example.com"]) == {
        **{key: ["cn=odd"] for key in odd.addresses},
        "x" * 601 + "@example.com": [],
    }
    assert list(writer.ids()) == [dn]
    writer.change([(dn, None)], cookie=b"2", synced=1.0)
    assert found(path, odd.addresses) == {key: [] for key in odd.addresses}


def test_a_load_takes_away_what_it_does_not_name(writer: IndexWriter, path: Path) -> None:
    """A whole load is the whole directory: who is missing is gone."""
    loaded(writer, {b"1": ANN, b"2": BOB})
    with writer.load() as whole:
        whole.put(b"1", person("ann"))
        report = whole.commit(cookie=b"2", synced=2.0, max_shrink=0.2)
    assert (report.before, report.after) == (2, 1)
    assert report.removed == {"example.com": 2}
    assert found(path, ["ann@example.com", "a.smith@example.com", "bob@example.com"]) == {
        "ann@example.com": ["cn=ann"],
        "a.smith@example.com": [],
        "bob@example.com": [],
    }


def test_a_load_that_is_not_committed_changes_nothing(writer: IndexWriter, path: Path) -> None:
    """A load that is broken off, by an error too, leaves the index as it was."""
    loaded(writer, {b"1": ANN})
    before = writer.status
    with writer.load() as whole:
        whole.put(b"2", BOB)
    with pytest.raises(AttributeError), writer.load() as whole:
        whole.put(b"2", None)  # type: ignore[arg-type]
    assert writer.status == before
    assert found(path, ["ann@example.com", "bob@example.com"]) == {
        "ann@example.com": ["cn=ann"],
        "bob@example.com": [],
    }


def test_an_index_that_was_never_loaded_answers_nothing(writer: IndexWriter, path: Path) -> None:
    """Changes alone make no whole: an empty index would make everybody unknown."""
    with pytest.raises(IndexUnusableError, match="never been loaded"):
        IndexReader(path, SOURCE)
    writer.change([(b"1", ANN)], cookie=b"", synced=time.time())
    writer.confirm(time.time())
    with pytest.raises(IndexUnusableError, match="never been loaded"):
        IndexReader(path, SOURCE)


def test_a_missing_index_cannot_be_used(path: Path) -> None:
    """There is nothing to read before the first `codomain sync`."""
    with pytest.raises(IndexUnusableError, match="no index"):
        IndexReader(path, SOURCE)


def test_changes_are_seen_by_an_open_reader(writer: IndexWriter, path: Path) -> None:
    """New, changed, renamed and gone entries, without opening anything again."""
    loaded(writer, {b"1": ANN})
    reader = IndexReader(path, SOURCE)
    revision = reader.status.revision
    renamed = person("ann smith", "ann@example.com", "as@example.com")
    writer.change([(b"1", renamed), (b"2", BOB), (b"3", None)], cookie=b"2", synced=5.0)
    assert reader.find("ann@example.com") == (renamed,)
    assert reader.find("as@example.com") == (renamed,)
    assert reader.find("a.smith@example.com") == ()
    assert reader.find("bob@example.com") == (BOB,)
    assert reader.status.revision == revision + 1
    assert (reader.status.entries, reader.status.addresses) == (2, 3)
    writer.change([(b"2", None)], cookie=b"3", synced=6.0)
    assert reader.find("bob@example.com") == ()
    reader.close()


def test_the_last_of_several_changes_of_one_entry_counts(writer: IndexWriter, path: Path) -> None:
    """An entry may be named more than once in one transaction."""
    loaded(writer, {b"1": ANN})
    writer.change([(b"1", None), (b"1", BOB), (b"2", ANN), (b"2", None)], cookie=b"", synced=1.0)
    assert found(path, ["bob@example.com", "ann@example.com"]) == {
        "bob@example.com": ["cn=bob"],
        "ann@example.com": [],
    }


def test_only_a_change_of_an_answer_is_a_new_revision(writer: IndexWriter, path: Path) -> None:
    """Heartbeats, cookies and loads that find everything as it was throw nothing away."""
    loaded(writer, {b"1": ANN})
    reader = IndexReader(path, SOURCE)
    before = reader.status
    writer.confirm(before.synced + 1.0)
    assert reader.status.synced == before.synced + 1.0
    writer.change([(b"1", ANN), (b"9", None)], cookie=b"new", synced=before.synced + 2.0)
    loaded(writer, {b"1": ANN})
    assert reader.status.revision == before.revision
    writer.change([], cookie=b"newer", synced=9.0)
    assert (reader.status.cookie, reader.status.revision) == (b"newer", before.revision)
    reader.close()


def test_cookie_and_data_are_one(path: Path) -> None:
    """What the follower wrote beside the data is there again after a restart, and as new."""
    load(path, {b"1": ANN}, cookie=b"\0csn\xff", synced=77.0)
    writer = IndexWriter(path, SOURCE)
    assert writer.status.cookie == b"\0csn\xff"
    assert (writer.status.complete, writer.status.synced) == (True, 77.0)
    assert writer.status.revision == 1
    writer.close()


def test_an_address_on_two_entries_is_never_guessed(writer: IndexWriter, path: Path) -> None:
    """Both are found, so that mail is deferred; both DNs are told; when one goes, it is over."""
    eve = person("eve", "eve@example.com", "ann@example.com")
    with writer.load() as whole:
        whole.put(b"1", ANN)
        whole.put(b"2", eve)
        report = whole.commit(cookie=b"", synced=1.0, max_shrink=None)
    assert report.duplicates == {"ann@example.com": ("cn=ann", "cn=eve")}
    assert list(duplicates(path)) == [("ann@example.com", ("cn=ann", "cn=eve"))]
    reader = IndexReader(path, SOURCE)
    assert set(reader.find("ann@example.com")) == {ANN, eve}
    assert reader.find("eve@example.com") == (eve,)
    assert reader.status.addresses == 3
    writer.change([(b"1", None)], cookie=b"", synced=2.0)
    assert reader.find("ann@example.com") == (eve,)
    assert list(duplicates(path)) == []
    reader.close()


def test_an_address_on_thousands_of_entries_stays_cheap(writer: IndexWriter, path: Path) -> None:
    """A placeholder that everybody has: ten claims are given, and each entry can go again."""
    crowd = {b"%d" % n: person(f"p{n}", f"p{n}@example.com", "x@example.com") for n in range(3000)}
    loaded(writer, crowd)
    reader = IndexReader(path, SOURCE)
    assert len(reader.find("x@example.com")) == 10
    writer.change([(name, None) for name in list(crowd)[1:]], cookie=b"", synced=1.0)
    assert reader.find("x@example.com") == (crowd[b"0"],)
    reader.close()


def test_too_large_a_loss_changes_nothing(writer: IndexWriter, path: Path) -> None:
    """Neither a load nor a change takes more than max_shrink; accepted, it does."""
    crowd = people(f"p{n}" for n in range(20))
    loaded(writer, crowd)
    before = writer.status
    few = dict(list(crowd.items())[:10])
    with pytest.raises(ShrinkError, match="10 of 20 entries"):
        loaded(writer, few, max_shrink=0.2)
    gone = [(name, None) for name in list(crowd)[:5]]
    with pytest.raises(ShrinkError, match=r"5 of 20 addresses in example\.com"):
        writer.change(gone, cookie=b"", synced=9.0, max_shrink=0.2)
    assert writer.status == before
    assert found(path, ["p0@example.com", "p19@example.com"]) == {
        "p0@example.com": ["cn=p0"],
        "p19@example.com": ["cn=p19"],
    }
    loaded(writer, few)
    assert writer.status.entries == 10


def test_entries_with_new_ids_are_no_loss(writer: IndexWriter, path: Path) -> None:
    """A server that was loaded anew gives new ids to the same people: nobody is gone."""
    loaded(writer, people(f"p{n}" for n in range(20)))
    renewed = {b"new" + name: person for name, person in people(f"p{n}" for n in range(20)).items()}
    loaded(writer, renewed, max_shrink=0.2)
    assert found(path, ["p7@example.com"]) == {"p7@example.com": ["cn=p7"]}


def test_another_filter_does_not_get_past_the_check_by_way_of_a_new_index(path: Path) -> None:
    """An index of another source is set aside; what it held is what the new one is measured by."""
    load(path, people(f"p{n}" for n in range(20)), source="all")
    writer = IndexWriter(path, "few")
    assert (writer.status.entries, writer.status.complete) == (0, False)
    few = people(f"p{n}" for n in range(10))
    with pytest.raises(ShrinkError, match="10 of 20 entries"):
        loaded(writer, few, max_shrink=0.2)
    writer.close()
    writer = IndexWriter(path, "fewer")  # set aside once more: the measure stays
    with pytest.raises(ShrinkError, match="10 of 20 entries"):
        loaded(writer, few, max_shrink=0.2)
    loaded(writer, few)
    assert writer.status.complete
    writer.close()
    assert len(list(path.parent.glob("ad.bad-*"))) == 2
    with pytest.raises(IndexUnusableError, match="another base"):
        IndexReader(path, "all")


def test_of_those_set_aside_only_the_last_are_kept(path: Path) -> None:
    """An index that is set aside again and again must not fill the disk."""
    for source in "abcdef":
        load(path, people(["ann"]), source=source)
    assert len(list(path.parent.glob("ad.bad-*"))) == 2


def test_one_writer_at_a_time(writer: IndexWriter, path: Path) -> None:
    """A second one is refused at once, in another process and in this one; then it is free."""
    with pytest.raises(IndexBusyError):
        IndexWriter(path, SOURCE)
    script = (
        "import sys; from pathlib import Path\n"
        "from codomain.directory.index import IndexWriter\n"
        "IndexWriter(Path(sys.argv[1]), 'a source')"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "IndexBusyError" in done.stderr
    writer.close()
    IndexWriter(path, SOURCE).close()


def test_a_process_that_reads_an_index_cannot_write_it(path: Path) -> None:
    """LMDB opens a file once in a process: it is refused, and the index is not set aside."""
    load(path, {b"1": ANN})
    reader = IndexReader(path, SOURCE)
    with pytest.raises(IndexBusyError, match="reads it"):
        IndexWriter(path, SOURCE)
    assert reader.find("ann@example.com") == (ANN,)
    reader.close()
    assert list(path.parent.glob("ad.bad-*")) == []
    IndexWriter(path, SOURCE).close()


def test_a_load_and_a_change_exclude_each_other(writer: IndexWriter) -> None:
    """They would wait for each other for ever."""
    with writer.load():
        with pytest.raises(IndexBusyError):
            writer.change([], cookie=b"", synced=0.0)
        with pytest.raises(IndexBusyError), writer.load():
            pass


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    """The state directory may be a file, or not ours."""
    (tmp_path / "index").write_text("")
    with pytest.raises(IndexWriteError, match=r"Not a directory|File exists"):
        IndexWriter(index_path(tmp_path, "ad"), SOURCE)


def test_the_status_can_be_read_by_anybody(path: Path) -> None:
    """`codomain sync --status` need not know what an index was made from."""
    with pytest.raises(IndexUnusableError):
        status_of(path)
    load(path, {b"1": ANN}, synced=12.0)
    assert (status_of(path).entries, status_of(path).addresses) == (1, 2)
    assert status_of(path).synced == 12.0


def test_a_beat_of_a_newer_file_does_not_make_an_older_copy_young(path: Path) -> None:
    """Whoever puts back an old copy of data.mdb must not have it taken for in step."""
    load(path, {b"1": ANN}, synced=100.0)
    old = (path / "data.mdb").read_bytes()
    load(path, {b"1": ANN, b"2": BOB}, synced=200.0)
    assert status_of(path).synced == 200.0
    (path / "data.mdb").write_bytes(old)
    assert status_of(path).synced == 100.0


def test_the_source_names_what_the_entries_depend_on() -> None:
    """Base, scope, filter and schema, and the form of the records; not the servers."""

    class Section:
        """What is read of the configuration."""

        base, scope, filter, schema = "dc=x", "subtree", "", "active-directory"
        servers = ("ldap://a",)

    made = json.loads(source_of(Section()))  # type: ignore[arg-type]
    assert made == {
        "format": "1",
        "base": "dc=x",
        "scope": "subtree",
        "filter": "",
        "schema": "active-directory",
    }


@pytest.mark.parametrize("seed", range(5))
def test_any_history_ends_in_what_a_dictionary_would_hold(
    writer: IndexWriter, path: Path, seed: int
) -> None:
    """Loads and changes at random, with shared addresses: the index equals a plain model."""
    dice = random.Random(seed)
    model: dict[bytes, Recipient] = {}
    pool = [f"a{n}@{domain}" for n in range(12) for domain in ("example.com", "corp.local")]
    loaded(writer, model)
    reader = IndexReader(path, SOURCE)
    for step in range(60):
        some = {
            b"%d" % dice.randrange(15): Recipient(
                # A large one is not copied to its addresses.
                f"cn={step}.{n}" + "x" * dice.choice((0, 0, 500)),
                Kind.MAILBOX,
                tuple(dice.sample(pool, dice.choice((0, 1, 2, 3, 10)))),
            )
            for n in range(dice.randrange(8))
        }
        if dice.random() < 0.2:
            model = some
            loaded(writer, model)
        else:
            gone = [name for name in model if dice.random() < 0.2]
            changes: list[tuple[bytes, Recipient | None]] = [(name, None) for name in gone]
            changes += some.items()
            writer.change(changes, cookie=b"", synced=1.0)
            model = {name: one for name, one in model.items() if name not in gone} | some
        for key in pool:
            holders = {one for one in model.values() if key in one.addresses}
            assert set(reader.find(key)) == holders
        held = {key for one in model.values() for key in one.addresses}
        assert (reader.status.entries, reader.status.addresses) == (len(model), len(held))
        shared = {k for k in held if sum(k in one.addresses for one in model.values()) > 1}
        assert {key for key, _ in duplicates(path)} == shared
        assert dict(writer._domains) == {
            domain: count
            for domain in ("example.com", "corp.local")
            if (count := sum(key.endswith("@" + domain) for key in held))
        }
    reader.close()
