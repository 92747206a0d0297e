"""A damaged index never gives a wrong answer, and never ends the daemon that verified it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from codomain.directory.index import IndexReader, IndexWriter, index_path
from codomain.directory.packing import pack_address
from codomain.directory.store import open_store
from codomain.directory.verify import verify
from codomain.errors import IndexDamagedError, IndexUnusableError
from support import indexdamage
from support.indexes import SOURCE, copied, found, load, people, person

if TYPE_CHECKING:
    from pathlib import Path

COPIES = 250
"""Damaged copies that are tried; each takes some hundredths of a second."""

PAGE = indexdamage.PAGE


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the index of a test is."""
    return index_path(tmp_path, "ad")


def test_no_damage_gives_a_wrong_answer_or_ends_who_has_verified(tmp_path: Path) -> None:
    """Cut, zeroed, swapped and overwritten pages, flipped bits: noticed, or harmless.

    The index was loaded, shrunk and loaded again, so it has free pages too, in which damage
    means nothing.
    """
    path = index_path(tmp_path, "ad")
    whole = indexdamage.entries()
    for some in (whole, dict(list(whole.items())[::3]), whole):
        load(path, some)
    done = subprocess.run(
        [sys.executable, "-m", "support.indexdamage", str(tmp_path), "0", str(COPIES)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # LMDB says which of its assertions failed
        text=True,
        check=True,
    )
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert len(lines) == COPIES
    assert [line for line in lines if line[3] not in {"right", "noticed"}] == []
    # Of every kind some were found, so that this test tests something.
    noticed = Counter(way for _, way, checked, _ in lines if checked != "sound")
    assert set(noticed) == {way.__name__ for way in indexdamage.WAYS}
    killed = [line for line in lines if line[2].startswith("killed")]
    assert killed, "no damage ended the process that verified: is it still one of its own?"


def test_every_octet_of_an_address_matters(path: Path, tmp_path: Path) -> None:
    """A letter that changed would make somebody unknown: every record is checked."""
    load(path, people(["ann"]))
    data = (path / "data.mdb").read_bytes()
    places = [at for at in range(len(data)) if data.startswith(b"ann@example.com", at)]
    assert places
    harmless = 0
    for number, at in enumerate(places):
        copy = copied(path, tmp_path / f"copy{number}" / "ad")
        with (copy / "data.mdb").open("r+b") as file:
            file.seek(at)
            file.write(b"anm@example.com")
        try:
            assert found(copy, ["ann@example.com"]) == {"ann@example.com": ["cn=ann"]}
            harmless += 1  # it stood in a page that is free, or of an older state
        except IndexDamagedError:
            pass
    assert harmless < len(places)


def test_what_a_look_up_would_not_reach_is_noticed(path: Path) -> None:
    """Whole records under a wrong signpost: read in order all is there, looked up it is not."""
    load(path, people(f"p{n:04}" for n in range(3000)))
    data = bytearray((path / "data.mdb").read_bytes())
    branches = [at for at in range(0, len(data), PAGE) if data[at + 10] & 1]  # P_BRANCH
    for at in branches:
        data[at : at + PAGE] = re.sub(rb"p[1-9]", b"p0", data[at : at + PAGE])
    (path / "data.mdb").write_bytes(data)
    with pytest.raises(IndexDamagedError, match="from the root"):
        verify(path)


@pytest.mark.parametrize("copied", [True, False], ids=["copy", "number"])
def test_an_address_that_leads_to_somebody_else_is_noticed(path: Path, *, copied: bool) -> None:
    """A record that is whole and wrong all the same: the entry must have the address."""
    load(path, people(["ann", "bob"]))
    store = open_store(path, write=True)
    with store.env.begin(write=True) as txn:
        number = txn.get(b"bob@example.com", b"", store.addresses)[:4]
        bob = txn.get(number, b"", store.entries)[:-4] if copied else b""
        key = b"ann@example.com"
        txn.put(key, pack_address(key, number, 1, bob), db=store.addresses)
    reader = IndexReader(path, SOURCE)
    with pytest.raises(IndexDamagedError, match="does not have it"):
        reader.find("ann@example.com")
    reader.close()
    store.close()


def test_a_file_that_is_cut_while_it_is_read_is_noticed(path: Path) -> None:
    """Its length is looked at before each look-up: the daemon lives, and the writer is told."""
    load(path, people(f"p{n}" for n in range(2000)))
    reader = IndexReader(path, SOURCE)
    os.truncate(path / "data.mdb", 8 * PAGE)
    with pytest.raises(IndexDamagedError, match="shorter"):
        reader.find("p1999@example.com")
    with pytest.raises(IndexDamagedError, match="shorter"):
        reader.look()
    reader.close()
    assert (path / "damaged").read_text().strip() == "the file is shorter than it was"


def test_an_entry_that_is_damaged_while_it_is_read_is_noticed(path: Path) -> None:
    """The check sum of an entry is looked at each time, and the address that led to it."""
    load(path, people(["ann", "bob"]))
    reader = IndexReader(path, SOURCE)
    assert [entry.dn for entry in reader.find("ann@example.com")] == ["cn=ann"]
    with (path / "data.mdb").open("r+b") as file:
        data = file.read()
        at = -1
        while (at := data.find(b"cn=ann", at + 1)) >= 0:
            file.seek(at)
            file.write(b"cn=eve")
    with pytest.raises(IndexDamagedError, match="check sum"):
        reader.find("ann@example.com")
    reader.close()


def test_the_writer_hears_of_damage_that_a_reader_met_and_begins_anew(path: Path) -> None:
    """Its next word is refused; made again, it sets the file aside and asks for a whole load."""
    load(path, people(["ann", "bob"]))
    writer = IndexWriter(path, SOURCE)
    (path / "damaged").write_text("the check sum of an entry is wrong\n")
    with pytest.raises(IndexDamagedError, match="check sum"):
        writer.confirm(1.0)
    with pytest.raises(IndexDamagedError), writer.load():
        pass
    writer.close()
    writer = IndexWriter(path, SOURCE)
    assert (writer.status.entries, writer.status.complete) == (0, False)
    with pytest.raises(IndexUnusableError, match="never been loaded"):
        IndexReader(path, SOURCE)
    with writer.load() as whole:
        whole.put(b"ann", person("ann"))
        whole.put(b"bob", person("bob"))
        whole.commit(cookie=b"", synced=1.0, max_shrink=0.2)
    assert found(path, ["ann@example.com"]) == {"ann@example.com": ["cn=ann"]}
    writer.close()
    [aside] = path.parent.glob("ad.bad-*")
    assert (aside / "data.mdb").exists()


def halves(path: Path) -> subprocess.CompletedProcess[str]:
    """Read a small index as a large one is read."""
    script = (
        "import sys; from codomain.directory import verify\n"
        "verify.HALVES = 0; sys.exit(verify.main([sys.argv[1], '--whole']))"
    )
    return subprocess.run(
        [sys.executable, "-c", script, str(path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )


def test_a_large_file_is_read_from_both_ends(path: Path) -> None:
    """Two processes: they must have met, and a record too many is noticed."""
    for count in (0, 1, 2, 5, 4001):
        load(path, people(f"p{n}" for n in range(count)))
        done = halves(path)
        assert done.returncode == 0, done.stdout
        stat = (path / "data.mdb").stat()
        assert done.stdout.split()[:2] == [str(stat.st_dev), str(stat.st_ino)]
    store = open_store(path, write=True)
    key = b"q@example.com"
    with store.env.begin(write=True) as txn:
        txn.put(key, pack_address(key, bytes(4), 1), db=store.addresses)
    store.close()
    done = halves(path)
    assert (done.returncode, done.stdout.strip()) == (1, "its halves do not meet")


@pytest.mark.parametrize(
    "content", [b"", b"\0" * PAGE * 4, b"not an index at all\n" * 1000], ids=["empty", "0", "text"]
)
def test_a_file_that_is_none_is_set_aside(path: Path, content: bytes) -> None:
    """An empty file, zeros after a crash, or something else under this name."""
    path.mkdir(parents=True)
    (path / "data.mdb").write_bytes(content)
    with pytest.raises(IndexUnusableError):
        IndexReader(path, SOURCE)
    with pytest.raises(IndexDamagedError):
        verify(path)
    load(path, people(["ann"]))
    assert found(path, ["ann@example.com"]) == {"ann@example.com": ["cn=ann"]}


def test_a_lost_id_is_noticed_by_the_writer(path: Path) -> None:
    """A reader needs no ids; a writer that lacks one would leave the entry there for ever."""
    load(path, {b"first-id": person("ann")})
    data = (path / "data.mdb").read_bytes()
    (path / "data.mdb").write_bytes(data.replace(b"first-id", b"other-id"))
    assert found(path, ["ann@example.com"]) == {"ann@example.com": ["cn=ann"]}
    writer = IndexWriter(path, SOURCE)
    assert not writer.status.complete
    writer.close()
