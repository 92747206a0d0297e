"""The verdict cache of the hot path: raw bytes of a request to the bytes of its answer.

A request's client and the rest of it give a *shelf*, through a bounded memo; the shelf
gives, by the raw bytes of the recipient, an entry: when it expires, the answer, and the
count to add to.  All requests of one shelf would get the same verdict for the same
recipient: a shelf stands for everything else that a verdict reads (:func:`shelf_key`).

Never kept are temporary verdicts, those for peers (they depend on the connector that the
mail came from), those for strangers where some connector does not relay for them, and all
of them where the answer depends on the rest of the message (``redirect = filter``).  With
the harvest brake unknown recipients are not kept either, because each has to be counted,
and a client under the brake has no shelf.

What strangers can make at will (refusals, relays, passes) lies apart from what directories
hold, so that guessing pushes no real recipient out.  Each store is bounded by two
generations: when the young one is full it becomes the old one, and an old entry that is
asked for moves to the young one again.  Only the event loop's thread writes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable

    from codomain.metrics import Tally
    from codomain.question import Question
    from codomain.trust import Standing

LIFETIME = 60.0
"""Seconds that an entry lives at most, whatever it was made from."""

FOUND = 100_000
"""Entries of one generation that directories vouch for: ``[cache] size``'s default."""

GUESSED = 25_000
"""Entries of one generation that strangers can make; their verdicts are cheap to take again."""

CLIENTS = 8192
"""Clients of one generation of the memo, some 300 octets each."""

SHARED_ENTRIES = 8192
"""Different entries; the same answer until the same second is one entry for all recipients."""

BURIED_AT_ONCE = 16
"""Entries of a dropped generation that are freed at each new entry: 100,000 at once would
hold the loop for ten milliseconds."""

Entry = tuple[float, bytes, "Tally"]
"""When it expires (``time.monotonic()``, a whole second), the answer, and its count."""


class Shelf:
    """The entries of all requests that differ in nothing but the recipient."""

    __slots__ = ("found", "found_before", "guessed", "guessed_before")

    def __init__(self) -> None:
        self.found: dict[bytes, Entry] = {}
        self.guessed: dict[bytes, Entry] = {}
        self.found_before: dict[bytes, Entry] = {}
        self.guessed_before: dict[bytes, Entry] = {}

    def look(self, recipient: bytes) -> Entry | None:
        """Return the entry of a recipient in any generation, expired or not."""
        return (
            self.found.get(recipient)
            or self.guessed.get(recipient)
            or self.found_before.get(recipient)
            or self.guessed_before.get(recipient)
        )


class Verdicts:
    """All shelves of one runtime; a new runtime, a purge or a reload brings a new object."""

    def __init__(self, found: int = FOUND, guessed: int = GUESSED, clients: int = CLIENTS) -> None:
        """Bound each generation of both stores, and of the memo of clients."""
        self.clients: dict[tuple[bytes, bytes], Shelf] = {}
        """The memo's young generation, by the client's address and the rest of its request."""
        self._clients_before: dict[tuple[bytes, bytes], Shelf] = {}
        self._shelves: dict[Hashable, Shelf] = {}
        self._shared: dict[tuple[float, bytes, int], Entry] = {}
        self._buried: list[dict[bytes, Entry]] = []
        self._sizes = {True: found, False: guessed}
        self._counts = {True: 0, False: 0}
        self._client_limit = clients

    def __len__(self) -> int:
        """Count the entries of both generations."""
        return sum(
            len(shelf.found)
            + len(shelf.guessed)
            + len(shelf.found_before)
            + len(shelf.guessed_before)
            for shelf in self._shelves.values()
        )

    def shelf_of(self, client: bytes, rest: bytes) -> Shelf | None:
        """Return the shelf of a client that is in the memo."""
        key = (client, rest)
        shelf = self.clients.get(key)
        if shelf is None:
            shelf = self._clients_before.get(key)
            if shelf is not None:
                self._remember(key, shelf)
        return shelf

    def shelf(self, key: Hashable) -> Shelf:
        """Return the shelf of a key (:func:`shelf_key`), a new one where there is none."""
        shelf = self._shelves.get(key)
        if shelf is None:
            shelf = self._shelves[key] = Shelf()
        return shelf

    def assign(self, client: bytes, rest: bytes, key: Hashable) -> Shelf:
        """Remember which shelf the requests of a client belong to."""
        shelf = self.shelf(key)
        self._remember((client, rest), shelf)
        return shelf

    def forget_clients(self) -> None:
        """Forget which shelf belongs to whom: some client gets nothing from memory any more."""
        self.clients = {}
        self._clients_before = {}

    def _remember(self, client: tuple[bytes, bytes], shelf: Shelf) -> None:
        if len(self.clients) >= self._client_limit:
            self._clients_before = self.clients
            self.clients = {}
        self.clients[client] = shelf

    def keep(
        self, shelf: Shelf, recipient: bytes, entry: tuple[float, bytes, Tally], *, found: bool
    ) -> None:
        """Keep an answer until it expires; ``found``: a directory vouches for the recipient.

        The time of expiry is rounded down to a second: so all recipients that get the same
        answer until then share one entry, which saves both their memory and the garbage
        collector's time.
        """
        self._bury()
        expires = float(int(entry[0]))
        name = (expires, entry[1], id(entry[2]))
        shared = self._shared.get(name)
        if shared is None:
            if len(self._shared) >= SHARED_ENTRIES:
                self._shared.clear()
            shared = self._shared[name] = (expires, entry[1], entry[2])
        young, other = (shelf.found, shelf.guessed) if found else (shelf.guessed, shelf.found)
        # What was a guess may have become an entry of a directory, and the other way round.
        other.pop(recipient, None)
        if recipient not in young:
            if self._counts[found] >= self._sizes[found]:
                self._turn(found=found)
                young = shelf.found if found else shelf.guessed
            self._counts[found] += 1
        young[recipient] = shared

    def promote(self, shelf: Shelf, recipient: bytes, entry: Entry) -> None:
        """Move an entry that was asked for from the old generation to the young one."""
        if shelf.found_before.pop(recipient, None) is not None:
            self.keep(shelf, recipient, entry, found=True)
        elif shelf.guessed_before.pop(recipient, None) is not None:
            self.keep(shelf, recipient, entry, found=False)

    def _turn(self, *, found: bool) -> None:
        """Make the young generation of a store the old one, and drop the old one."""
        self._counts[found] = 0
        for shelf in self._shelves.values():
            if found:
                self._buried.append(shelf.found_before)
                shelf.found_before, shelf.found = shelf.found, {}
            else:
                self._buried.append(shelf.guessed_before)
                shelf.guessed_before, shelf.guessed = shelf.guessed, {}

    def _bury(self) -> None:
        """Free a few entries of a dropped generation."""
        if not self._buried:
            return
        last = self._buried[-1]
        for _ in range(min(len(last), BURIED_AT_ONCE)):
            last.popitem()
        if not last:
            self._buried.pop()


def shelf_key(question: Question, standing: Standing) -> Hashable:
    """Name everything but the recipient that a verdict reads of a question.

    A fingerprint counts only where it is trusted: a stranger may show as many
    certificates as it likes, and they change nothing.
    """
    return (
        question.door,
        standing,
        question.authenticated,
        question.fingerprint if standing.trusted else "",
        question.smtputf8,
        question.context,
        # A peer's shelf would be another one for each; no verdict for a peer is kept, though.
        bool(standing.peer_of) and question.probe,
    )
