"""Following Active Directory by uSNChanged, on one domain controller.

Every object carries the number of its last change on the controller that is asked
(uSNChanged, MS-ADTS 3.1.1.1.9).  A round of :class:`UsnSource` reads the controller's
counter; where it went on, two searches tell what became of it: which objects of the whole
naming context changed, deleted ones too, and which of these are recipients now, below our
base and by our filter.  What is among the first and not among the second is gone,
whatever took it away: it was deleted, moved out of the base, or lost its addresses.

Three things change without a trace in an object's own uSNChanged, and are looked after:

* a container is moved or renamed, and everything below it with it: everything is loaded
  anew.  The containers of the domain and their names are kept in memory for that.
* our account may not see tombstones: what is still there is counted through every
  :data:`CENSUS_SECONDS`.
* our account may see an object no more (or again): everything is loaded anew once a day,
  which mends that and whatever else was missed.

A copy is in step with one controller.  With another one, with the same one after it was
restored, everything is loaded anew, and compared by the index.
"""

from __future__ import annotations

import logging
import math
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from codomain.directory.controller import WITH_DELETED, Controller, Mark, fold_dn, folded, number
from codomain.directory.follow import CONFIRM_SECONDS, MANY_CHANGES
from codomain.directory.link import BrokenError
from codomain.directory.messages import Search
from codomain.directory.paged import pages
from codomain.directory.record import CONTAINERS
from codomain.directory.schema import next_ranges
from codomain.errors import DirectoryError
from codomain.log import event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from codomain.directory.base import Recipient
    from codomain.directory.follow import Copy, Extent
    from codomain.directory.messages import Control
    from codomain.directory.wire import Wire

POLL_SECONDS = CONFIRM_SECONDS
"""Between two looks at the controller's counter: one small search of the rootDSE."""

CENSUS_SECONDS = 300.0
"""Between two counts of what is still there, where tombstones are hidden from us."""

RELOAD_SECONDS = 86_400.0
"""After so long everything is loaded anew.  A copy that was left alone is never older when
it is gone on with, so that no tombstone is missed: they are kept for 60 days where nobody
changed tombstoneLifetime (MS-ADTS 3.1.1.5.5)."""

STORE_SECONDS = 60.0
"""How often the counter is stored while nothing of ours changes: in a large domain it goes
on every second, and each transaction is written to the disk."""

RANGES = 20
"""The most parts of one attribute that are fetched: 30,000 values of Active Directory."""

GUID = "objectGUID"

log = logging.getLogger("codomain.usn")
_CONTAINERS = f"(|{''.join(f'(objectClass={name})' for name in sorted(CONTAINERS))})"


class UsnSource:
    """Follows one domain controller (:class:`codomain.directory.follow.Source`)."""

    how = "usn"

    def __init__(self, extent: Extent, clock: Callable[[], float] = time.time) -> None:
        """Follow the entries of an extent; ``clock`` gives Unix seconds."""
        self._extent = extent
        self._clock = clock

    def follow(self, wire: Wire, copy: Copy) -> None:
        """Bring the copy in step and keep it so; ends where it is told to.

        Raises:
            RefusedError: the server is no domain controller.
            DirectoryError: it failed, or gave a part of the entries only.
            ShrinkError: too much would be lost.

        """
        Round(wire, copy, self._extent, self._clock).go_on()


class Round:
    """One connection's time with a copy, round by round."""

    def __init__(self, wire: Wire, copy: Copy, extent: Extent, clock: Callable[[], float]) -> None:
        """Ask the controller who it is, and what it shows us."""
        self._wire = wire
        self._copy = copy
        self._extent = extent
        self._clock = clock
        self._controller = Controller(wire, extent.base)
        self._shows_deleted = self._controller.shows_deleted()
        self._containers: dict[bytes, str] = {}
        self._counted = -math.inf  # when what is there was last looked through
        self._stored = -math.inf  # when the mark was last stored with the copy
        self._mark = Mark(
            extent.mark(), self._controller.service, self._controller.invocation, 0, 0
        )

    def go_on(self) -> None:
        """Follow until the copy is to end."""
        if not self._shows_deleted:
            event(
                log,
                logging.WARNING,
                "deleted entries are hidden from our account",
                server=self._wire.server.uri,
                may_not_read=self._controller.deleted,
                noticed_after=f"{CENSUS_SECONDS:.0f}s",
            )
        synced = self._begin()
        while self._copy.confirm(synced) and self._copy.pause(POLL_SECONDS):
            synced = self._once()

    def _begin(self) -> float:
        """Go on from the copy's mark, where that is one of this controller."""
        mark = Mark.read(self._copy.cookie)
        if mark is None:
            return self._load("there is no copy yet that could be gone on with")
        if replace(mark, usn=0, loaded=0, dirsync="") != self._mark:
            return self._load("the copy is of another controller, base, scope or filter")
        if not self._takes_up(mark):
            return self._load("the copy was followed in another way")
        self._mark = mark
        self._name_containers()
        return self._once(away=True)

    def _once(self, *, away: bool = False) -> float:
        """Do one round; returns the time of which the copy now is."""
        now = self._clock()
        counter = self._controller.counter()
        if counter < self._mark.usn:
            return self._load(f"the controller was set back from change {self._mark.usn}")
        if not 0 <= now - self._mark.loaded < RELOAD_SECONDS:
            return self._load("the last whole load was a day ago")
        if counter > self._mark.usn and not self._change(counter, now, away=away):
            return self._load("too much changed, or a unit may have been moved or renamed")
        if not self._shows_deleted and now - self._counted > CENSUS_SECONDS:
            self._count(now)
        return now

    def _load(self, why: str) -> float:
        """Load everything."""
        event(log, logging.INFO, "loading all entries", server=self._wire.server.uri, reason=why)
        now = self._clock()
        counter = self._controller.counter()  # first: what changes meanwhile is read again
        self._mark = replace(self._mark, dirsync=self._beginning())
        self._name_containers()
        with self._copy.load() as load:
            for guid, recipient in self._recipients(""):
                load.put(guid, recipient)
            if not load.count:
                raise DirectoryError(
                    f"{self._wire.server.uri} shows no entry with an address below "
                    f"{self._extent.base}: is it the right base, and may we read?"
                )
            self._mark = replace(self._mark, usn=counter, loaded=math.floor(now))
            load.commit(self._mark.cookie(), now)
        self._counted = self._stored = now
        return now

    def _change(self, counter: int, now: float, *, away: bool) -> bool:
        """Take over what changed up to ``counter``; False: load everything instead."""
        touched = self._touched(away=away)
        if touched is None:
            return False
        there = self._there(touched)
        changes = {
            guid: there.get(guid) for guid in touched if self._copy.get(guid) != there.get(guid)
        }
        self._mark = replace(self._mark, usn=counter)
        if changes or now - self._stored > STORE_SECONDS:
            self._copy.change(changes, self._mark.cookie(), now)
            self._stored = now
        return True

    def _takes_up(self, mark: Mark) -> bool:
        """Tell whether a mark of this controller and extent can be gone on with."""
        return bool(mark)

    def _beginning(self) -> str:
        """Return the mark's ``dirsync`` for the state of now, before a load."""
        return ""

    def _touched(self, *, away: bool) -> set[bytes] | None:
        """Return the ids of all that changed since the mark; None: load everything."""
        names = (GUID, "objectClass", "isDeleted", "uSNCreated")
        search = Search(self._controller.context, "subtree", self._since, names)
        touched: set[bytes] = set()
        for guid, dn, raw in self._search(search, WITH_DELETED):
            touched.add(guid)
            if len(touched) > MANY_CHANGES or self._moved(guid, dn, raw, away=away):
                return None
        return touched

    def _there(self, touched: set[bytes]) -> dict[bytes, Recipient]:
        """Return those of the ids, at least, that are recipients now."""
        del touched  # what changed is found by the same condition as they were
        return dict(self._recipients(self._since))

    @property
    def _since(self) -> str:
        return f"(uSNChanged>={self._mark.usn + 1})"

    def _moved(self, guid: bytes, dn: str, raw: dict[str, list[bytes]], *, away: bool) -> bool:
        """Tell whether a container has another name than before, and so has all below it.

        After we were away the names of before are not known: a container that changed at
        all, and is older, may have been moved.
        """
        name, before = fold_dn(dn), self._containers.get(guid)
        if before is None:
            classes = {
                value.decode("ascii", "replace").lower() for value in raw.get("objectclass", ())
            }
            if classes.isdisjoint(CONTAINERS):
                return False
        if "isdeleted" in raw:  # whatever was in it has been deleted, too, or moved before
            self._containers.pop(guid, None)
            return False
        self._containers[guid] = name
        if away:
            return (number(raw, "uSNCreated") or 0) <= self._mark.usn
        return before is not None and before != name

    def _name_containers(self) -> None:
        search = Search(self._controller.context, "subtree", _CONTAINERS, (GUID,))
        self._containers = {guid: fold_dn(dn) for guid, dn, _ in self._search(search)}

    def _count(self, now: float) -> None:
        """Let go what is not there any more."""
        extent = self._extent
        search = Search(extent.base, extent.scope, extent.filter, (GUID,))
        there = {guid for guid, _, _ in self._search(search)}
        gone = dict.fromkeys(guid for guid in self._copy.ids() if guid not in there)
        if gone:
            self._copy.change(gone, self._mark.cookie(), now)
        self._counted = now

    def _recipients(self, condition: str) -> Iterator[tuple[bytes, Recipient]]:
        """Yield the recipients to which one more condition applies, with their ids."""
        extent = self._extent
        text = f"(&{condition}{extent.filter})" if condition else extent.filter
        search = Search(extent.base, extent.scope, text, (*extent.schema.attributes, GUID))
        cut = []
        for guid, dn, raw in self._search(search):
            if next_ranges(raw):
                cut.append((guid, dn, raw))  # the next page is under way on this connection
                continue
            recipient = extent.recipient(dn, raw)
            if recipient is not None:
                yield guid, recipient
        for guid, dn, raw in cut:
            recipient = extent.recipient(dn, self._complete(guid, dn, raw))
            if recipient is not None:
                yield guid, recipient

    def _complete(
        self, guid: bytes, dn: str, raw: dict[str, list[bytes]]
    ) -> dict[str, list[bytes]]:
        """Return an entry's attributes with the values that the controller kept back."""
        raw, wanted = dict(raw), next_ranges(raw)
        for _ in range(RANGES):
            if not wanted:
                return raw
            # By its id: the name may be another one by now.
            search = Search(f"<GUID={guid.hex()}>", "base", "(objectClass=*)", tuple(wanted))
            found = [folded(entry) for entry in self._wire.find(search, references=True)]
            if len(found) != 1:
                raise BrokenError(f"{self._wire.server.uri}: {dn} is gone", timed_out=False)
            raw |= found[0]
            wanted = next_ranges(found[0])
        raise DirectoryError(f"{self._wire.server.uri}: {dn} has too many values")

    def _search(
        self, search: Search, controls: tuple[Control, ...] = ()
    ) -> Iterator[tuple[bytes, str, dict[str, list[bytes]]]]:
        """Yield id, name and attributes of all that is found.

        References are to other domains: Active Directory sends them with every search
        from a domain's base.
        """
        for entry in pages(self._wire, search, controls, references=True):
            raw = folded(entry)
            guid = raw.pop(GUID.lower(), None)
            if not guid:
                raise DirectoryError(
                    f"{self._wire.server.uri} does not show the objectGUID of {entry.dn}"
                )
            yield guid[0], entry.dn, raw
