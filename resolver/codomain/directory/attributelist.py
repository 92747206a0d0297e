"""The attributes of one entry, as a search gives them (RFC 4511 section 4.5.2).

Sans-IO.  A load reads a million of these lists, so this is :func:`codomain.directory.ber.header`
written out for short lengths: calls are what costs.
"""

from __future__ import annotations

from codomain.directory import ber
from codomain.directory.ber import ProtocolError

NAMES_KEPT = 1000
"""Names that are remembered as text; a schema of ours reads ten."""

NAME_OCTETS = 64
"""The longest name that is remembered: a server cannot fill the memory with them."""

_names: dict[bytes, str] = {}


def name_of(raw: bytes) -> str:
    """Return the name of an attribute, or of a control, as text."""
    name = _names.get(raw)
    if name is None:
        name = raw.decode("utf-8", "backslashreplace")
        if len(_names) < NAMES_KEPT and len(raw) <= NAME_OCTETS:
            _names[raw] = name
    return name


def attribute_list(data: bytes, at: int, end: int) -> dict[str, list[bytes]]:
    """Read a PartialAttributeList: SEQUENCEs of a name and a SET of values.

    Raises:
        ProtocolError: it is none.
        IndexError: it ends within a tag or a length at the very end of ``data``.

    """
    raw: dict[str, list[bytes]] = {}
    while at < end:
        tag, size = data[at], data[at + 1]
        at += 2
        stop = at + size
        if size >= ber.LONG:
            tag, at, stop = ber.header(data, at - 2, end)
        if tag != ber.SEQUENCE or stop > end:
            raise ProtocolError("an attribute that is none")
        tag, size = data[at], data[at + 1]
        at += 2
        middle = at + size
        if size >= ber.LONG:
            tag, at, middle = ber.header(data, at - 2, stop)
        if tag != ber.OCTETS or middle >= stop:
            raise ProtocolError("an attribute without a name")
        name = data[at:middle]
        tag, size = data[middle], data[middle + 1]
        at = middle + 2
        last = at + size
        if size >= ber.LONG:
            tag, at, last = ber.header(data, middle, stop)
        if tag != ber.SET or last != stop:
            raise ProtocolError("an attribute without values")
        only = at < last < at + ber.LONG and data[at] == ber.OCTETS
        if only and data[at + 1] == last - at - 2:
            values = [data[at + 2 : last]]  # one value, as most attributes have
        else:
            values = _values(data, at, stop)
        raw[_names.get(name) or name_of(name)] = values
        at = stop
    return raw


def _values(data: bytes, at: int, end: int) -> list[bytes]:
    """Read the values of a SET, each an OCTET STRING."""
    values = []
    while at < end:
        tag, size = data[at], data[at + 1]
        start = at + 2
        at = start + size
        if size >= ber.LONG:
            tag, start, at = ber.header(data, start - 2, end)
        if tag != ber.OCTETS or at > end:
            raise ProtocolError("a value that is none")
        values.append(data[start:at])
    return values
