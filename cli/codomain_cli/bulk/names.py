r"""Distinguished names, as files and servers write them, and whether two name one entry.

In flow the text of a DN (RFC 4514), out flows a :class:`Name`, of which the key is the
same for every spelling: case, blanks around and within values, ``\,`` or ``\2C``.
Compared as caseIgnoreMatch does (RFC 4518): compatibility forms, case and white space
mean nothing.  Attribute types that are written as numbers are taken as they stand.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from codomain.directory.record import shown
from codomain.errors import RecordError

RDNS_KEPT = 4096
"""Parts of names that are remembered: the units of a directory come again and again."""

_ALIASES = {"commonname": "cn", "organizationalunitname": "ou", "domaincomponent": "dc"}
_TYPE = re.compile(r"[a-z][a-z0-9-]*|[0-9]+(?:\.[0-9]+)*")
_ESCAPED = re.compile(rb"\\(?:([0-9A-Fa-f]{2})|(.))", re.DOTALL)

Pairs = tuple[tuple[str, str], ...]
"""One part of a name: type and value of each of its pairs, of which there is mostly one."""


@dataclass(frozen=True, slots=True)
class Name:
    """The name of an entry."""

    texts: tuple[str, ...]
    """Its parts as they were written, the entry's own first."""

    key: tuple[Pairs, ...]
    """Its parts in the one form in which names are compared."""

    def __str__(self) -> str:
        """Give it as it was written."""
        return ",".join(self.texts)

    @property
    def parent(self) -> Name:
        """The name of the entry above it."""
        return Name(self.texts[1:], self.key[1:])

    def below(self, base: Name) -> bool:
        """Tell whether it is the name of an entry below another one."""
        size = len(base.key)
        return len(self.key) > size and self.key[len(self.key) - size :] == base.key

    def own(self) -> tuple[str, str]:
        """Return the type, in lower case, and the value of its first part; both may be empty.

        They are where the part has several pairs: then none of them is the name.
        """
        pairs = _pairs(self.texts[0]) if self.texts else ()
        return pairs[0] if len(pairs) == 1 else ("", "")


def parse(text: str) -> Name:
    """Read a DN.

    Raises:
        RecordError: it is none.

    """
    texts = tuple(map(_trimmed, _split(text, ","))) if text.strip() else ()
    return Name(texts, tuple(map(_folded, texts)))


def name_of(dn: str) -> Name:
    """Read a name of a server's; what cannot be read is an entry that no record can name."""
    try:
        return parse(dn)
    except RecordError:
        return Name((dn,), ((("", dn),),))


def fold(value: str) -> str:
    """Fold a value for comparison (RFC 4518, as far as it matters here)."""
    return " ".join(unicodedata.normalize("NFKC", value).casefold().split())


@lru_cache(maxsize=RDNS_KEPT)
def _folded(text: str) -> Pairs:
    return tuple(sorted((kind, fold(value)) for kind, value in _pairs(text)))


def _pairs(text: str) -> Pairs:
    """Split one part of a name into its pairs."""
    pairs = []
    for part in _split(text, "+"):
        written, equals, value = part.partition("=")
        kind = written.strip().lower()
        if not equals or not _TYPE.fullmatch(kind):
            raise RecordError(f"{shown(text)} is no part of a DN")
        pairs.append((_ALIASES.get(kind, kind), _unescaped(value, text)))
    return tuple(pairs)


def _split(text: str, at: str) -> list[str]:
    """Split where a character stands that no backslash protects."""
    if "\\" not in text:
        return text.split(at)
    parts, begin, index = [], 0, 0
    while index < len(text):
        if text[index] == "\\":
            index += 1
        elif text[index] == at:
            parts.append(text[begin:index])
            begin = index + 1
        index += 1
    return [*parts, text[begin:]]


def _trimmed(part: str) -> str:
    """Take the blanks around a part away, but one that a backslash protects."""
    bare = part.strip(" ")
    slashes = len(bare) - len(bare.rstrip("\\"))
    return bare + " " if slashes % 2 and part.endswith(" ") else bare


def _unescaped(value: str, text: str) -> str:
    """Return a value without its escapes."""
    bare = _trimmed(value)
    if not bare or bare[0] in '"#':
        raise RecordError(f"{shown(text)} has no value, or one in quotes or as #hex, not read here")
    if (len(bare) - len(bare.rstrip("\\"))) % 2:
        raise RecordError(f"{shown(text)} ends in an escape")
    try:
        raw = bare.encode()
        return _ESCAPED.sub(lambda m: bytes.fromhex(m[1].decode()) if m[1] else m[2], raw).decode()
    except UnicodeError:
        raise RecordError(f"{shown(text)} is no UTF-8 text") from None
