"""The trace field: mail that this gateway sent to a connector is known again when it returns.

A field holds the instance's id, a mark for each recipient that went to a connector, and a
signature over all of it::

    X-Codomain-Trace: 1f0c9a3e sNf3…,9aQx… 7hV0…

A mark is a keyed hash of the connector, the recipient and the sender, so it tells nobody
anything, and nobody can make one.  A field with our id and a wrong signature is forged;
one with another id is another gateway's, and neither believed nor touched.

When is mail that comes back a loop?  Its mark must be there for the same recipient, by the
same connector, from the same sender.  A field with one mark is a proof.  One with several
is only a hint: of a message to a list and to a member, the list's copy names the member,
too, and comes back for it once by right; the second such field is the proof.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from binascii import b2a_base64
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

FIELD = "X-Codomain-Trace"
"""The field's name."""

KEY_OCTETS = 32
"""The secret of one instance (as long as BLAKE2s' hash, RFC 7693)."""

MARKS = 50
"""Marks in one field, the first recipients': it stays below 800 octets, within the 998 of a
line (RFC 5322 section 2.1.1).  What is left out is stopped by the count of hops."""

FIELDS = 100
"""Trace fields that are read of one message: more than the hops that a message may have."""

PROOFS = 2
"""Fields with several marks that prove a loop."""

_MARK_OCTETS = 9
_SIGNATURE_OCTETS = 12
_ID_OCTETS = 4
_URLSAFE = bytes.maketrans(b"+/", b"-_")  # RFC 4648 section 5
_FORM = re.compile(r"([0-9a-f]{8}) ([A-Za-z0-9_,-]+) ([A-Za-z0-9_-]{16})")


@dataclass(slots=True)
class Seen:
    """What the trace fields of one message say."""

    single: set[str] = field(default_factory=set)
    """Marks that stood alone."""

    several: Counter[str] = field(default_factory=Counter)
    """How many fields hold a mark among others."""

    forged: list[int] = field(default_factory=list)
    """Which trace fields bear our id and are not ours, counted from 1."""

    def proves(self, mark: str) -> bool:
        """Tell whether this recipient has been where it would go now."""
        return mark in self.single or self.several[mark] >= PROOFS


UNSEEN = Seen()
"""What no trace field says."""


class Tracer:
    """Writes and reads the trace fields of one instance."""

    def __init__(self, key: bytes) -> None:
        """Take the instance's secret, :data:`KEY_OCTETS` octets."""
        # Keyed once: what is copied is half as dear as what is made.
        self._marker = _keyed(key, b"mark", _MARK_OCTETS)
        self._signer = _keyed(key, b"field", _SIGNATURE_OCTETS)
        self.instance = _keyed(key, b"instance", _ID_OCTETS).hexdigest()

    def mark(self, connector: str, recipient: str, sender: str) -> str:
        """Return the mark of a recipient's key on its way to a connector."""
        text = f"{connector}\0{recipient}\0{sender}".encode("utf-8", "surrogateescape")
        return _hashed(self._marker, text)

    def value(self, marks: Iterable[str]) -> str:
        """Return the value of a new field; the marks are distinct, the first ones count."""
        listed = ",".join(list(marks)[:MARKS])
        return f"{self.instance} {listed} {self._signature(listed)}"

    def read(self, values: Sequence[str]) -> Seen:
        """Read the values of a message's trace fields, in their order."""
        seen = Seen()
        for number, value in enumerate(values[:FIELDS], 1):
            words = value.split()
            if not words or words[0].lower() != self.instance:
                continue
            match = _FORM.fullmatch(" ".join(words))
            if match is None or not hmac.compare_digest(match[3], self._signature(match[2])):
                seen.forged.append(number)
                continue
            marks = set(match[2].split(","))
            if len(marks) == 1:
                seen.single |= marks
            else:
                seen.several.update(marks)
        return seen

    def _signature(self, listed: str) -> str:
        return _hashed(self._signer, listed.encode())


def _keyed(key: bytes, person: bytes, octets: int) -> hashlib.blake2s:
    return hashlib.blake2s(digest_size=octets, key=key, person=person)


def _hashed(keyed: hashlib.blake2s, text: bytes) -> str:
    copy = keyed.copy()
    copy.update(text)
    return b2a_base64(copy.digest(), newline=False).translate(_URLSAFE).decode()
