"""One transaction of changes to an index, and whether it takes too much away.

In flow entries by their ids, or the ids of those that are gone; out flow the records that
follow from them: each address leads to its entry, one that several entries have leads to
all of them, and each domain counts its addresses.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from codomain.directory.packing import (
    CLAIMED,
    copied,
    fold,
    intact,
    key_of,
    pack_address,
    pack_recipient,
    sealed,
    unpack_recipient,
)
from codomain.errors import IndexDamagedError, ShrinkError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from codomain.directory.base import Recipient
    from codomain.directory.store import Store

SHRINK_FLOOR = 5
"""Fewer losses than this never stop a change: of four people two may leave in a day.
Of two or more entries all together always do."""

MAX_NAMED = 5
"""Domains that the text of a ShrinkError names; the rest are counted."""

_NUMBER = 4


class Batch:
    """The changes of one write transaction; the caller commits or aborts it."""

    def __init__(self, store: Store, txn: Any, following: int) -> None:  # noqa: ANN401 - untyped
        """Take the transaction, and the number that the next new entry gets."""
        self._store = store
        self._txn = txn
        self.next = following
        self.changed = False
        """Whether any answer is another one now."""
        self.entries = 0
        """Entries more than before, or fewer."""
        self.addresses = 0
        """Addresses more than before, or fewer."""
        self.domains: Counter[str] = Counter()
        """Addresses more than before, or fewer, by domain."""
        self.removed: set[bytes] = set()
        """The keys of the addresses that led to an entry before and do not now."""

    def put(self, name: bytes, recipient: Recipient) -> int:
        """Take an entry in, new or changed; returns its number."""
        number = self.number_of(name)
        if number is None:
            return self._add(name, recipient)
        key = number.to_bytes(_NUMBER, "big")
        record = pack_recipient(key, recipient)
        before = self._txn.get(key, None, self._store.entries)
        if before == record:
            return number
        old = self._unpack(key, before)
        self._txn.put(key, record, db=self._store.entries)
        self.changed = True
        had, has = set(old.addresses), set(recipient.addresses)
        copy = copied(record)
        for address in had - has:
            self._unclaim(address, key)
        for address in has - had:
            self._claim(address, key, copy)
        for address in has & had:
            self._copy(address, key, copy)
        return number

    def remove(self, name: bytes) -> bool:
        """Take an entry away; whether it was there."""
        number = self.number_of(name)
        if number is None:
            return False
        key = number.to_bytes(_NUMBER, "big")
        old = self._unpack(key, self._txn.get(key, None, self._store.entries))
        self._txn.delete(fold(name), db=self._store.ids)
        self._txn.delete(key, db=self._store.entries)
        for address in set(old.addresses):
            self._unclaim(address, key)
        self.changed = True
        self.entries -= 1
        return True

    def number_of(self, name: bytes) -> int | None:
        """Return the number of an entry, by its id."""
        key = fold(name)
        record = self._txn.get(key, None, self._store.ids)
        if record is None:
            return None
        if not intact(key, record):
            raise IndexDamagedError("the record of an id is damaged")
        return int.from_bytes(record[:_NUMBER], "big")

    def get(self, name: bytes) -> Recipient | None:
        """Return an entry by its id."""
        number = self.number_of(name)
        if number is None:
            return None
        key = number.to_bytes(_NUMBER, "big")
        return self._unpack(key, self._txn.get(key, None, self._store.entries))

    def ids(self) -> Iterator[tuple[bytes, int]]:
        """Give every id with its entry's number."""
        for key, record in self._txn.cursor(self._store.ids):
            if not intact(key, record):
                raise IndexDamagedError("the record of an id is damaged")
            # An id that was too long for a key stands in its record.
            yield record[_NUMBER:-4] or key, int.from_bytes(record[:_NUMBER], "big")

    def commit_domains(self, counts: dict[str, int]) -> None:
        """Bring the counts of the domains up to date, in the index and in memory."""
        for domain, more in self.domains.items():
            if not more:
                continue
            count = counts.get(domain, 0) + more
            key = key_of(domain)
            if count > 0:
                counts[domain] = count
                body = count.to_bytes(8, "big") + domain.encode("utf-8", "surrogatepass")
                self._txn.put(key, sealed(key, body), db=self._store.domains)
            else:
                counts.pop(domain, None)
                self._txn.delete(key, db=self._store.domains)

    def _add(self, name: bytes, recipient: Recipient) -> int:
        number = self.next
        self.next += 1
        key = number.to_bytes(_NUMBER, "big")
        folded = fold(name)
        whole = b"" if folded == name else name
        self._txn.put(folded, sealed(folded, key + whole), db=self._store.ids)
        record = pack_recipient(key, recipient)
        self._txn.put(key, record, db=self._store.entries, append=True)
        copy = copied(record)
        for address in dict.fromkeys(recipient.addresses):
            self._claim(address, key, copy)
        self.changed = True
        self.entries += 1
        return number

    def _unpack(self, key: bytes, record: bytes | None) -> Recipient:
        if record is None:
            raise IndexDamagedError("an entry is missing")
        try:
            return unpack_recipient(key, record)
        except (ValueError, LookupError) as error:
            raise IndexDamagedError(str(error)) from error

    def _claim(self, address: str, number: bytes, copy: bytes) -> None:
        key = key_of(address)
        addresses, claims = self._store.addresses, self._store.claims
        record = pack_address(key, number, 1, copy)
        if self._txn.put(key, record, overwrite=False, db=addresses):
            self.addresses += 1
            self.domains[domain_of(address)] += 1
            if self.removed:
                self.removed.discard(key)
            return
        record = self._address(key)
        if len(record) != CLAIMED:
            self._txn.put(key, record[:_NUMBER], db=claims)
        self._txn.put(key, number, db=claims)
        self._write_claims(key)

    def _unclaim(self, address: str, number: bytes) -> None:
        key = key_of(address)
        record = self._address(key)
        if len(record) != CLAIMED:
            self._txn.delete(key, db=self._store.addresses)
            self.addresses -= 1
            self.domains[domain_of(address)] -= 1
            self.removed.add(key)
            return
        self._txn.delete(key, number, db=self._store.claims)
        self._write_claims(key)

    def _copy(self, address: str, number: bytes, copy: bytes) -> None:
        """Bring the copy of an entry at one of its addresses up to date."""
        key = key_of(address)
        if len(self._address(key)) != CLAIMED:
            record = pack_address(key, number, 1, copy)
            self._txn.put(key, record, db=self._store.addresses)

    def _write_claims(self, key: bytes) -> None:
        """Write down who has an address, from the list of its claims."""
        with self._txn.cursor(self._store.claims) as cursor:
            if not cursor.set_key(key):
                raise IndexDamagedError("the claims of an address are missing")
            count = cursor.count()
            first = cursor.value()
        copy = b""
        if count == 1:
            copy = copied(self._txn.get(first, b"\0", self._store.entries))
            self._txn.delete(key, db=self._store.claims)
        self._txn.put(key, pack_address(key, first, count, copy), db=self._store.addresses)

    def _address(self, key: bytes) -> bytes:
        record: bytes | None = self._txn.get(key, None, self._store.addresses)
        if record is None or not intact(key, record):
            raise IndexDamagedError("the record of an address is missing or damaged")
        return record


def domain_of(address: str) -> str:
    """Return the domain of an :attr:`codomain.address.Address.key`."""
    return address.rpartition("@")[2]


def removed_of(keys: Iterable[bytes]) -> dict[str, int]:
    """Count addresses by domain."""
    counts: Counter[str] = Counter()
    for key in keys:
        # Of a key that was too long the domain is not known; nobody has thousands of those.
        counts[domain_of(key.decode("utf-8", "replace"))] += 1
    return dict(counts)


def check_shrink(
    entries: tuple[int, int],
    domains: Mapping[str, int],
    lost: Mapping[str, int],
    max_shrink: float | None,
) -> None:
    """Refuse what takes too much away.

    ``entries``: before and after; ``domains``: addresses before, by domain; ``lost``: how
    many of them go.  ``max_shrink`` is the part that may go, None: anything may.

    Raises:
        ShrinkError: with what would be lost.

    """
    if max_shrink is None:
        return
    before, after = entries
    gone = before - after
    found = []
    if gone > max_shrink * before and (gone >= SHRINK_FLOOR or (not after and before > 1)):
        found.append(f"{gone} of {before} entries")
    for domain, count in sorted(lost.items(), key=lambda item: -item[1]):
        had = domains.get(domain, 0)
        if count > max_shrink * had and count >= SHRINK_FLOOR:
            found.append(f"{count} of {had} addresses in {domain}")
    if not found:
        return
    shown = ", ".join(found[: MAX_NAMED + 1])
    more = len(found) - MAX_NAMED - 1
    rest = f", and of {more} more domains" if more > 0 else ""
    raise ShrinkError(f"it would take away {shown}{rest}, more than {max_shrink:.0%}")
