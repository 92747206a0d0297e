"""A domain controller without a socket: a list of objects, and what a search makes of it.

It speaks to :class:`codomain.directory.usn.UsnSource` in place of a
:class:`codomain.directory.wire.Wire`, and does what no real one does on demand: it keeps
values back, turns into another controller, hides tombstones, or fails in mid-search.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from codomain.directory.controller import SHOW_DELETED
from codomain.directory.follow import Copy, Extent, Terms
from codomain.directory.index import IndexStatus
from codomain.directory.link import ResultError
from codomain.directory.messages import Done, Entry, Reference

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable, Iterator
    from typing import Self

    from codomain.directory.base import Recipient
    from codomain.directory.messages import Control, Message, Search

CONTEXT = "DC=corp,DC=local"
PEOPLE = f"OU=People,{CONTEXT}"
SERVICE = f"CN=NTDS Settings,CN=DC1,CN=Configuration,{CONTEXT}"


@dataclass
class Thing:
    """One object of the domain."""

    guid: bytes
    dn: str
    raw: dict[str, list[bytes]]
    usn: int = 0
    created: int = 0
    deleted: bool = False


@dataclass
class FakeController:
    """The controller, as a connection to it."""

    counter: int = 100
    invocation: bytes = b"first invocation"
    service: str = SERVICE
    contexts: tuple[str, ...] = (f"CN=Configuration,{CONTEXT}", CONTEXT)
    shows_deleted: bool = True
    most_values: int = 1500
    things: dict[bytes, Thing] = field(default_factory=dict)
    searches: list[Search] = field(default_factory=list)
    fails: Callable[[Search], bool] = lambda _: False
    server: Any = field(default_factory=lambda: SimpleNamespace(uri="ldaps://dc1.corp.local"))

    def put(self, name: str, *addresses: str, unit: str = PEOPLE, kind: str = "contact") -> Thing:
        """Add an object, or change the one of that name, wherever it is."""
        self.counter += 1
        guid = name.encode().ljust(16, b"\0")
        letters = "CN" if kind in {"contact", "user"} else "OU"
        thing = self.things.setdefault(guid, Thing(guid, "", {}, created=self.counter))
        thing.dn = f"{letters}={name},{unit}"
        thing.raw = {
            "objectClass": [b"top", kind.encode()],
            "proxyAddresses": [f"smtp:{address}".encode() for address in addresses],
        }
        thing.usn, thing.deleted = self.counter, False
        return thing

    def delete(self, name: str) -> None:
        """Turn an object into a tombstone."""
        self.counter += 1
        thing = self.things[name.encode().ljust(16, b"\0")]
        thing.dn = f"CN={name}\\0ADEL:1,CN=Deleted Objects,{CONTEXT}"
        thing.usn, thing.deleted = self.counter, True
        thing.raw = {"objectClass": thing.raw["objectClass"], "isDeleted": [b"TRUE"]}

    def move(self, name: str, unit: str) -> None:
        """Move a unit: all below it has another name, and no other change number."""
        self.counter += 1
        thing = self.things[name.encode().ljust(16, b"\0")]
        before, thing.dn, thing.usn = thing.dn, f"OU={name},{unit}", self.counter
        for other in self.things.values():
            if other.dn.endswith(f",{before}"):
                other.dn = other.dn.removesuffix(before) + thing.dn

    def send(self, search: Search, controls: tuple[Control, ...] = ()) -> int:
        """Take a search."""
        self.searches.append(search)
        self._pending = list(self._answer(search, controls))
        return len(self.searches)

    def answers(self, identity: int) -> Iterator[Message]:
        """Answer the last search; an Active Directory refers to its other domains each time."""
        yield from self._pending
        yield Reference(identity, ("ldap://corp.local/CN=Configuration",), ())
        yield Done(identity, 0, "", (), ())

    def find(
        self, search: Search, controls: tuple[Control, ...] = (), *, references: bool = False
    ) -> Iterator[Entry]:
        """Search."""
        assert references
        self.searches.append(search)
        yield from self._answer(search, controls)

    def expect(self, done: Done) -> None:
        """Take a success."""
        assert not done.code

    def _answer(self, search: Search, controls: tuple[Control, ...]) -> Iterator[Entry]:
        if self.fails(search):
            raise ResultError("ldaps://dc1.corp.local: unavailable (52)", 52)
        if search.scope == "base":
            yield from self._one(search)
            return
        deleted = SHOW_DELETED in [control.oid for control in controls]
        for thing in self.things.values():
            below = f",{thing.dn}".lower().endswith(f",{search.base}".lower())
            shown = below and (not thing.deleted or (deleted and self.shows_deleted))
            if shown and self._matches(thing, str(search.filter)):
                yield self._entry(thing, search.attributes)

    def _one(self, search: Search) -> Iterator[Entry]:
        guid = re.fullmatch(r"<GUID=(.*)>", search.base)
        if guid is not None:
            thing = self.things.get(bytes.fromhex(guid[1]))
            if thing is not None:
                yield self._entry(thing, search.attributes)
            return
        raw = {
            "": {
                "dsServiceName": [self.service.encode()],
                "highestCommittedUSN": [str(self.counter).encode()],
                "namingContexts": [context.encode() for context in self.contexts],
            },
            self.service: {"invocationId": [self.invocation] if self.invocation else []},
            f"CN=Deleted Objects,{CONTEXT}": {"isDeleted": [b"TRUE"] * self.shows_deleted},
        }[search.base]
        wanted = {name: raw[name] for name in search.attributes if raw.get(name)}
        yield Entry(0, search.base, wanted, ())

    def _matches(self, thing: Thing, text: str) -> bool:
        since = re.search(r"uSNChanged>=(\d+)", text)
        if since is not None and thing.usn < int(since[1]):
            return False
        if "proxyAddresses=*" in text and not thing.raw.get("proxyAddresses"):
            return False
        classes = {f"(objectClass={name.decode()})".lower() for name in thing.raw["objectClass"]}
        return "objectClass=" not in text or any(name in text.lower() for name in classes)

    def _entry(self, thing: Thing, wanted: Iterable[str]) -> Entry:
        raw: dict[str, list[bytes]] = {}
        known = {
            **thing.raw,
            "objectGUID": [thing.guid] if thing.guid else [],
            "uSNCreated": [str(thing.created).encode()],
        }
        for name in wanted:
            plain, _, bounds = name.partition(";range=")
            values = next((v for n, v in known.items() if n.lower() == plain.lower()), [])
            first = int(bounds.partition("-")[0] or 0)
            part = values[first : first + self.most_values]
            last = "*" if first + len(part) >= len(values) else str(first + len(part) - 1)
            if bounds or last != "*":
                raw[f"{plain};range={first}-{last}"] = part
                raw.setdefault(plain, [])
            elif part:
                raw[plain] = part
        return Entry(0, thing.dn, raw, ())


class Kept:
    """An index without a file (:class:`codomain.directory.index.IndexWriter`)."""

    def __init__(self) -> None:
        self.entries: dict[bytes, Recipient] = {}
        self.status = IndexStatus(
            entries=0, addresses=0, complete=False, synced=0.0, revision=0, cookie=b"", next=0
        )
        self.loads = 0
        self.writes: list[dict[bytes, Recipient | None]] = []
        self.confirmed: list[float] = []

    def get(self, identity: bytes) -> Recipient | None:
        """Return an entry."""
        return self.entries.get(identity)

    def ids(self) -> Iterator[bytes]:
        """Return all ids."""
        return iter(list(self.entries))

    def change(
        self, changes: Iterable[tuple[bytes, Recipient | None]], *, cookie: bytes, **_: object
    ) -> None:
        """Change entries."""
        self.writes.append(dict(changes))
        for identity, recipient in self.writes[-1].items():
            if recipient is None:
                del self.entries[identity]  # a source takes away what is there, and no more
            else:
                self.entries[identity] = recipient
        self._store(cookie)

    def confirm(self, synced: float) -> None:
        """Note that it is in step."""
        self.confirmed.append(synced)

    def load(self) -> Self:
        """Begin a load."""
        self._loading: dict[bytes, Recipient] = {}
        return self

    def put(self, identity: bytes, recipient: Recipient) -> None:
        """Take an entry in."""
        self._loading[identity] = recipient

    def commit(self, *, cookie: bytes, **_: object) -> Any:  # noqa: ANN401 - a LoadReport
        """Let it take the place of everything."""
        self.loads += 1
        self.entries = self._loading
        self._store(cookie)
        return SimpleNamespace(duplicates={})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Forget what was not committed."""

    def _store(self, cookie: bytes) -> None:
        self.status = IndexStatus(
            entries=len(self.entries), addresses=0, complete=True, synced=0.0,
            revision=0, cookie=cookie, next=0,
        )  # fmt: skip


class Steps(Copy):
    """A copy that does a step of the test between two rounds, and ends after the last one."""

    def __init__(
        self, kept: Kept, extent: Extent, stop: threading.Event, steps: Iterable[Callable[[], Any]]
    ) -> None:
        writer: Any = kept
        super().__init__(writer, extent, stop, Terms(max_shrink=1.0))
        self._steps = list(steps)

    def pause(self, seconds: float) -> bool:
        """Do a step."""
        del seconds
        if not self._steps:
            return False
        self._steps.pop(0)()
        return True
