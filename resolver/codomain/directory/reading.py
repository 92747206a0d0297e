"""From addresses to the filter of a search, and from its answer to recipients.

What a server finds is compared again by our own fold, because its matching rules are not
ours; the values that it kept back are fetched.  Which server that is, and what a miss is
worth, is the matter of :mod:`codomain.directory.ldap`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from codomain.directory.filters import any_encoded
from codomain.directory.link import NO_SUCH_OBJECT, ResultError
from codomain.directory.schema import Attributes, next_ranges
from codomain.errors import DirectoryError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from codomain.directory.base import Recipient
    from codomain.directory.exchange import Answer
    from codomain.directory.link import Link
    from codomain.directory.messages import Entry
    from codomain.directory.schema import Schema
    from codomain.directory.section import Section

WITNESSES_ENCODED = 64
"""Filters that are kept encoded: enough that strangers' addresses do not push out the witnesses."""

READ_KEPT = 64
"""Entries that are kept as they were read last: the witness of the next search is among them."""

RANGES = 20
"""The most parts of one attribute that are fetched: 30,000 values of Active Directory."""


class Reading:
    """How one directory's section asks, and reads what comes; for any number of threads."""

    def __init__(self, section: Section, schema: Schema) -> None:
        """Take the section, and its schema."""
        self._section = section
        self._schema = schema
        # A witness stands beside a great many addresses.
        self._encoded = lru_cache(WITNESSES_ENCODED)(
            lambda key: schema.encoded(key, section.filter)
        )
        self._read: dict[str, tuple[dict[str, list[bytes]], Recipient]] = {}

    def search(
        self, link: Link, keys: Sequence[str], until: float
    ) -> dict[str, tuple[Recipient, ...]]:
        """Search some addresses, and keep the entries that have one by our own fold."""
        section, sought = self._section, self.sought(keys)
        attributes = self._schema.attributes
        answer = link.search(section.base, section.scope, sought, attributes, until)
        return self.found(link, keys, answer, until)

    def sought(self, keys: Sequence[str]) -> bytes:
        """Write the filter of some addresses."""
        try:
            return any_encoded([self._encoded(key) for key in keys])
        except ValueError as error:
            raise DirectoryError(f"filter: {error}") from error

    def found(
        self, link: Link, keys: Sequence[str], answer: Answer, until: float
    ) -> dict[str, tuple[Recipient, ...]]:
        """Return the entries of an answer that have one of the addresses by our own fold."""
        entries = {}
        for entry in answer.entries:
            raw = self._complete(link, entry, until)
            entries[entry.dn] = self._recipient(entry.dn, raw)
        found = {
            key: tuple(entry for entry in entries.values() if key in entry.addresses)
            for key in keys
        }
        if answer.references and not found[keys[0]] and not self._schema.references_are_usual:
            raise ResultError(
                f"{link.server.uri}: a part of {self._section.base or 'the tree'} is held by "
                f"{', '.join(answer.references)}, which is not asked",
                code=0,
            )
        return found

    def _recipient(self, dn: str, raw: dict[str, list[bytes]]) -> Recipient:
        """Read an entry, unless it is just as it was the last time, as a witness is."""
        before = self._read.get(dn)
        if before is not None and before[0] == raw:
            return before[1]
        recipient = self._schema.recipient(dn, Attributes(raw))
        if len(self._read) >= READ_KEPT:
            self._read.clear()
        self._read[dn] = raw, recipient
        return recipient

    def _complete(self, link: Link, entry: Entry, until: float) -> dict[str, list[bytes]]:
        """Return an entry's attributes with the values that the server kept back."""
        raw = dict(entry.raw)
        wanted = next_ranges(raw)
        for _ in range(RANGES):
            if not wanted:
                return raw
            answer = link.search(entry.dn, "base", "(objectClass=*)", tuple(wanted), until)
            if len(answer.entries) != 1:
                raise ResultError(f"{link.server.uri}: {entry.dn} is gone", NO_SUCH_OBJECT)
            part = answer.entries[0].raw
            raw |= part
            wanted = next_ranges(part)
        raise ResultError(f"{link.server.uri}: {entry.dn} has too many values", code=0)
