"""The values of the second level: what a directory answered, as JSON that is believed little.

In flows what was found for an address, out flow octets, and back again.  Whoever may write
to the server may write anything, so reading is strict: a value that is not exactly what
this version writes for this very address is none at all, and the directory is asked.  What
is read here decides nothing: whether an entry's target may be mailed to is decided as for
every entry (:mod:`codomain.decision`), whatever a value says.

One object: ``v`` (the version), ``key`` (the address), ``ttl`` (its whole lifetime in
seconds), ``flush`` (the mark of the last flush before it was put), ``entries`` (each with
the fields of :class:`codomain.directory.base.Recipient`).  JSON is RFC 8259's, without
names given twice and without NaN.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from codomain.address import parse_mailbox
from codomain.directory.base import Kind, Recipient

if TYPE_CHECKING:
    from collections.abc import Iterable

VERSION = 1
"""The form of the values; another one is another key, and neither reads the other's."""

VALUE_OCTETS = 65_536
"""The longest value: an entry with a thousand addresses; longer ones are not shared."""

ENTRIES = 16
"""The most entries of one address: two are already one too many for a decision."""

ADDRESSES = 1_000
"""The most addresses of one entry; Exchange warns from some hundreds on."""

TEXT_LENGTH = 2_048
"""The longest text: a DN in depth; an address has 320 octets (RFC 5321 section 4.5.3.1)."""

_NAMES = ("v", "key", "ttl", "flush", "entries")
_FIELDS = ("dn", "kind", "addresses", "primary", "target", "mail_host", "restricted")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Value:
    """What one gateway tells the others about an address."""

    key: str
    """The address, as :attr:`codomain.address.Address.key`."""

    lifetime: float
    """Its whole lifetime in seconds, where it was put."""

    flush: str
    """The mark of the last flush before it was put; empty: there was none."""

    entries: tuple[Recipient, ...]
    """The entries; none: it is not there."""


class SurpriseError(ValueError):
    """A value is not what this version writes for this address; its text is fit for a log."""


def pack(value: Value) -> bytes | None:
    """Write a value; None where no reader would take it, as an entry whose target is none."""
    entries = [{name: _plain(getattr(entry, name)) for name in _FIELDS} for entry in value.entries]
    parts = (VERSION, value.key, value.lifetime, value.flush, entries)
    written = dict(zip(_NAMES, parts, strict=True))
    try:
        raw = json.dumps(written, ensure_ascii=False, separators=(",", ":")).encode()
        unpack(raw, value.key)
    except (UnicodeEncodeError, SurpriseError):
        return None
    return raw


def unpack(raw: bytes, key: str) -> Value:
    """Read the value of an address.

    Raises:
        SurpriseError: it is none; the directory is asked instead.

    """
    if len(raw) > VALUE_OCTETS:
        raise SurpriseError("it is too long")
    try:
        read = json.loads(raw.decode(), object_pairs_hook=_once, parse_constant=_constant)
    except SurpriseError:
        raise
    except (ValueError, RecursionError) as error:
        raise SurpriseError("it is no JSON") from error
    _object(read, _NAMES)
    if type(read["v"]) is not int or read["v"] != VERSION:
        raise SurpriseError("its version is another")
    if read["key"] != key:
        raise SurpriseError("it belongs to another address")
    lifetime = read["ttl"]
    if type(lifetime) not in {int, float} or not 0 < lifetime < float("inf"):
        raise SurpriseError("its lifetime is none")
    entries = read["entries"]
    if not isinstance(entries, list) or len(entries) > ENTRIES:
        raise SurpriseError("its entries are no list")
    recipients = tuple(_recipient(entry, key) for entry in entries)
    if len({recipient.dn for recipient in recipients}) != len(recipients):
        raise SurpriseError("an entry stands twice")
    return Value(key, float(lifetime), text_of(read["flush"]), recipients)


def _plain(value: object) -> object:
    if isinstance(value, Kind):
        return value.value
    return list(value) if isinstance(value, tuple) else value


def _recipient(read: Any, key: str) -> Recipient:  # noqa: ANN401 - whatever JSON can hold
    _object(read, _FIELDS)
    addresses = read["addresses"]
    if not isinstance(addresses, list) or not 0 < len(addresses) <= ADDRESSES:
        raise SurpriseError("the addresses of an entry are no list")
    for address in addresses:
        # What a directory gives is a key: folded, so that folding changes nothing.
        if (parsed := parse_mailbox(text_of(address))) is not None and parsed.key == address:
            continue
        if (parsed := parse_mailbox(_quoted(address))) is None or parsed.key != address:
            raise SurpriseError("an address of an entry is none")
    if key not in addresses:
        raise SurpriseError("an entry has another address")
    kinds = [kind for kind in Kind if kind.value == read["kind"]]
    if not kinds or not isinstance(read["kind"], str):
        raise SurpriseError("the kind of an entry is unknown")
    if not isinstance(read["restricted"], bool):
        raise SurpriseError("a flag of an entry is neither true nor false")
    return Recipient(
        dn=text_of(read["dn"], least=1),
        kind=kinds[0],
        addresses=tuple(addresses),
        primary=_mailbox(read["primary"]),
        target=_mailbox(read["target"]),
        mail_host=text_of(read["mail_host"]),
        restricted=read["restricted"],
    )


def _object(read: object, names: tuple[str, ...]) -> None:
    if not isinstance(read, dict) or len(read) != len(names) or not all(n in read for n in names):
        raise SurpriseError("its fields are others")


def text_of(read: object, least: int = 0) -> str:
    """Return a text of bounded length without control characters.

    Raises:
        SurpriseError: it is none.

    """
    if not isinstance(read, str) or not least <= len(read) <= TEXT_LENGTH:
        raise SurpriseError("a text is none, or too long")
    if _CONTROL.search(read):
        raise SurpriseError("a text holds a control character")
    return read


def _mailbox(read: object) -> str:
    """Return an address as a directory may write it: one mailbox, or none at all."""
    text = text_of(read)
    if text and parse_mailbox(text) is None:
        raise SurpriseError("a target or primary address is no mailbox")
    return text


def _quoted(key: str) -> str:
    """Write a key whose local part stands unquoted in it as a mailbox."""
    local, _, domain = key.rpartition("@")
    escaped = local.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"@{domain}'


def _once(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise SurpriseError("a name stands twice")
        found[name] = value
    return found


def _constant(name: str) -> NoReturn:
    raise SurpriseError(f"{name} is no JSON")
