"""The values that an entry is to have, from those of a record and those that it has.

What a record does not name stays: an attribute, a secondary address, an address of
another system (X400:, x500:).  A primary address of which the record has another one
becomes a secondary one, so that mail to it still arrives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from codomain.directory.schema import address_key
from codomain_cli.bulk.names import name_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PROXIES = "proxyaddresses"
"""The attribute of which single values are kept."""


def wanted(
    written: Mapping[str, tuple[bytes, ...]],
    held: Mapping[str, tuple[bytes, ...]],
    *,
    remove: bool,
    naming: frozenset[str] = frozenset(),
) -> dict[str, tuple[bytes, ...]]:
    """Return the attributes that are to change, with all the values they have afterwards.

    ``remove``: addresses go that the record does not name, of the kinds that it names;
    ``naming``: the attributes whose values are names of entries, which servers write anew.
    """
    changed = {}
    for name, values in written.items():
        before = held.get(name, ())
        if set(values) == set(before) or (name in naming and _keys(values) == _keys(before)):
            continue
        after = proxies(values, before, remove=remove) if name == PROXIES else values
        if set(after) != set(before):
            changed[name] = after
    return changed


def proxies(
    written: tuple[bytes, ...], held: tuple[bytes, ...], *, remove: bool
) -> tuple[bytes, ...]:
    """Return the proxyAddresses that an entry is to have."""
    kinds = {_kind(value) for value in written}
    known = {_same(value) for value in written}
    result = list(written)
    for value in held:
        kind = _kind(value)
        if _same(value) in known or (remove and kind in kinds):
            continue
        known.add(_same(value))
        result.append(b"smtp" + value[4:] if kind == b"smtp" else value)
    return tuple(result)


def differences(before: Iterable[bytes], after: Iterable[bytes]) -> tuple[list[str], list[str]]:
    """Return the values that go and those that come, as text, in order."""
    old, new = set(before), set(after)
    return _texts(old - new), _texts(new - old)


def _texts(values: Iterable[bytes]) -> list[str]:
    return sorted(value.decode("utf-8", "backslashreplace") for value in values)


def _keys(values: Iterable[bytes]) -> set[object]:
    return {name_of(value.decode("utf-8", "backslashreplace")).key for value in values}


def _kind(value: bytes) -> bytes:
    return value.partition(b":")[0].lower()


def _same(value: bytes) -> str:
    """Return what two values have in common that name one address."""
    text = value.decode("utf-8", "backslashreplace")
    prefix, _, rest = text.partition(":")
    key = address_key(rest.strip()) if prefix.lower() == "smtp" else ""
    return f"smtp:{key}" if key else text.casefold()
