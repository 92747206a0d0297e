"""Address templates of recipient policies: read, and filled in for one entry.

In flow the text of a template (``%g.%s@example.com``) and the values of an entry; out flows
a local part, or why there is none.  The replacement strings are those that Exchange 2000
and 2003 document (KB 285136, KB 822447): ``%m`` alias, ``%g`` given name, ``%s`` surname,
``%d`` display name, ``%i`` middle initial, a number before the letter for so many
characters, ``%rxy`` to put y for every x in what follows (x twice: to drop it), and
``%%``.  What a local part may hold is RFC 5321's ``Dot-string``.

Letters beyond ASCII are never guessed at: which letters stand for them is said by the
policy, and where it does not say so there is no address.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

from codomain.address import NFC_TURNS_ASCII
from codomain.settings import names
from codomain.settings.faults import WrongError, shown
from codomain.settings.kinds import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

FIELDS = {
    "m": "mailNickname",
    "g": "givenName",
    "s": "sn",
    "d": "displayName",
    "i": "initials",
}
"""The attribute behind each letter."""

LOCAL_OCTETS = 64
"""The longest local part (RFC 5321 section 4.5.3.1.1)."""

ANY_MARK = "*"
"""In ``transliterate``: every letter that is an ASCII one with marks loses the marks."""

DEFAULT = "%m"
"""The local part of a template that has none."""

_PART = re.compile(r"%(?:(?P<sign>%)|r(?P<x>.)(?P<y>.)|(?P<count>[0-9]{1,2})?(?P<field>[mgsdi]))")
_LITERAL = re.compile(r"[A-Za-z0-9#$&'*+/=?^_`{|}~.-]+")
# % and ! may stand for another address behind them, and what holds one is refused.
_UNFIT = re.compile(r"[^A-Za-z0-9#$&'*+/=?^_`{|}~.-]")
_DOTS = re.compile(r"\.{2,}")


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a template's local part; one of the three."""

    text: str = ""
    """What stands there as it is."""

    field: str = ""
    """A letter of :data:`FIELDS`."""

    count: int = 0
    """So many characters of the field; 0: all."""

    swap: tuple[str, str] = ("", "")
    """A character, and what it becomes in the fields that follow."""


@dataclass(frozen=True, slots=True)
class Template:
    """One address that a policy gives to each of its entries."""

    text: str
    """As it was written."""

    parts: tuple[Part, ...]
    """The local part."""

    domain: str
    """The domain, folded."""


class NoAddressError(ValueError):
    """A template makes no address of an entry; the text says why."""


def read_template(text: str) -> Template:
    """Read a template; without a local part it is ``%m``, as Exchange has it.

    Raises:
        WrongError: it is none.

    """
    local, at, domain = text.rpartition("@")
    if not at:
        raise WrongError(f"{shown(text)} has no domain; write one such as %m@example.com")
    parts = tuple(_parts(local or DEFAULT, text))
    if not any(part.field for part in parts):
        raise WrongError(f"{shown(text)} is one address for everybody; write %m, %g, %s, %d or %i")
    return Template(text, parts, names.read_domain(domain))


def _parts(local: str, whole: str) -> list[Part]:
    found: list[Part] = []
    at = 0
    while at < len(local):
        literal = _LITERAL.match(local, at)
        part = literal or _PART.match(local, at)
        if part is None:
            wrong = local[at : at + 2] if local[at] == "%" else local[at]
            raise WrongError(
                f"{shown(whole)}: {shown(wrong)} means nothing;"
                " write %m, %g, %s, %d, %i, %1g, %rxy or %%"
            )
        at = part.end()
        if literal:
            found.append(Part(text=literal[0]))
        elif part["sign"]:
            found.append(Part(text="%"))
        elif part["field"]:
            found.append(_field(part["field"], part["count"], whole))
        else:
            x, y = part["x"], part["y"]
            found.append(Part(swap=(x, "" if x == y else y)))
    return found


def _field(letter: str, count: str | None, whole: str) -> Part:
    if count and not int(count):
        raise WrongError(f"{shown(whole)}: no characters of %{letter}; write %1{letter}")
    return Part(field=letter, count=int(count or 0))


def read_letters(text: str) -> str:
    """Read an item of ``transliterate``: ``ü=ue``, or ``*``; it is given back as written.

    Raises:
        WrongError: it is none.

    """
    letter, equals, stands = text.partition("=")
    fits = len(unicodedata.normalize("NFC", letter)) == 1 and not letter.isascii()
    if text != ANY_MARK and not (equals and fits and re.fullmatch(r"[A-Za-z0-9]*", stands)):
        raise WrongError(f"{shown(text)} is no letter and what stands for it; write ü=ue, or *")
    return text


def letters_of(items: tuple[str, ...]) -> dict[str, str]:
    """Return ``transliterate`` as a mapping; :data:`ANY_MARK` is in it where it was written."""
    pairs = (item.partition("=") for item in items)
    return {unicodedata.normalize("NFC", letter): stands for letter, _, stands in pairs}


def fill(
    template: Template,
    values: Mapping[str, str],
    letters: Mapping[str, str] | None = None,
    unwanted: str = "",
) -> str:
    """Return the local part that a template makes of an entry, with upper case kept.

    ``values``: by the letters of :data:`FIELDS`, absent or empty where the entry has none;
    ``letters``: see :func:`letters_of`; ``unwanted``: characters that no value may bring in
    (the domain's ``recipient_delimiter``: the address would be somebody's extension).

    Raises:
        NoAddressError: there is none.

    """
    swaps: dict[str, str] = {}
    made: list[str] = []
    filled = False
    for part in template.parts:
        if part.field:
            value = _composed(values.get(part.field, ""), part.field)
            text = _plain("".join(swaps.get(c, c) for c in value), letters or {}, part.field)
            text = "".join(c for c in _UNFIT.sub("", text) if c not in unwanted)
            text = text[: part.count] if part.count else text
            filled = filled or bool(text)
            made.append(text)
        elif part.swap[0]:
            swaps[part.swap[0]] = part.swap[1]
        else:
            made.append(part.text)
    # smtpd refuses what begins with a hyphen (allow_min_user of postconf(5)).
    local = _DOTS.sub(".", "".join(made)).lstrip(".-").rstrip(".")
    if not filled or not local:
        raise NoAddressError(f"{template.text}: {_fields(template)} nothing that an address holds")
    if len(local) > LOCAL_OCTETS:
        raise NoAddressError(f"{template.text}: {len(local)} octets, {LOCAL_OCTETS} are allowed")
    return local


def _fields(template: Template) -> str:
    named = dict.fromkeys(FIELDS[part.field] for part in template.parts if part.field)
    return f"{' and '.join(named)} {'have' if len(named) > 1 else 'has'}"


def _composed(value: str, field: str) -> str:
    """Return a value in NFC, which must not turn into ASCII what is not (U+212A: K)."""
    disguised = NFC_TURNS_ASCII.intersection(value)
    if disguised:
        raise NoAddressError(f"{FIELDS[field]} holds U+{ord(min(disguised)):04X}")
    return unicodedata.normalize("NFC", value)


def _plain(value: str, letters: Mapping[str, str], field: str) -> str:
    return "".join(c if c.isascii() else _ascii(c, letters, field) for c in value)


def _ascii(character: str, letters: Mapping[str, str], field: str) -> str:
    """Return what stands for a character beyond ASCII; signs and blanks fall away."""
    if character in letters:
        return letters[character]
    small = character.lower()
    if small in letters:
        stands = letters[small]
        return stands[:1].upper() + stands[1:]
    if ANY_MARK in letters:
        decomposed = unicodedata.normalize("NFD", character)
        first, marks = decomposed[0], decomposed[1:]
        # Without marks it is another letter, however alike.
        if first.isascii() and all(map(unicodedata.combining, marks)):
            return first
    if unicodedata.category(character)[0] not in "LNM":
        return ""
    raise NoAddressError(
        f"{FIELDS[field]} holds {shown(character)}, and transliterate does not say what"
        " stands for it"
    )


DOMAIN = Kind("domain", names.read_domain)
MAYBE_DOMAIN = Kind("domain", lambda text: names.read_domain(text) if text else text)
TEMPLATE = Kind("address template", lambda text: read_template(text).text)
LETTERS = Kind("letter and what stands for it, or *", read_letters)
