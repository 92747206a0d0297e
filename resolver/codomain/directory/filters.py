"""Search filters: the text of RFC 4515 in, the BER of RFC 4511 section 4.5.1.7 out.

Sans-IO, and strict: what is no filter is an error here and not at the server, which might
take it for one that finds nothing.
"""

from __future__ import annotations

import re

from codomain.directory import ber

MAX_DEPTH = 50
"""Filters within filters; a hand-written one has five, and Python's stack is finite."""

_AND, _OR, _NOT = 0xA0, 0xA1, 0xA2
_EQUAL, _SUBSTRINGS, _AT_LEAST, _AT_MOST, _PRESENT, _APPROXIMATELY, _EXTENSIBLE = (
    0xA3,
    0xA4,
    0xA5,
    0xA6,
    0x87,
    0xA8,
    0xA9,
)
_INITIAL, _ANY, _FINAL = 0x80, 0x81, 0x82
_RULE, _TYPE, _VALUE, _WITH_DN = 0x81, 0x82, 0x83, 0x84
_SETS = {"&": _AND, "|": _OR}

_ITEM = re.compile(r"([^()=<>~:*\\\s]*)(:[^()=*\\\s]*:|[<>~])?=([^()]*)", re.DOTALL)
_DESCRIPTION = re.compile(r"(?:[A-Za-z][A-Za-z0-9_-]*|[0-9]+(?:\.[0-9]+)+)(?:;[A-Za-z0-9-]+)*")
_ESCAPED = re.compile(r"(?:\\[0-9A-Fa-f]{2})*")
_ESCAPE = re.compile(rb"\\(?:([0-9A-Fa-f]{2})|)")


def encode_filter(text: str) -> bytes:
    """Write a filter.

    Raises:
        ValueError: it is none, with what is wrong.

    """
    text = text.strip()
    encoded, at = _filter(text, 0, 0)
    if at != len(text):
        raise ValueError(f"{text}: something follows the filter")
    return encoded


def any_encoded(filters: list[bytes]) -> bytes:
    """Write a filter that finds what any of these finds."""
    return filters[0] if len(filters) == 1 else ber.element(_OR, b"".join(filters))


def all_encoded(filters: list[bytes]) -> bytes:
    """Write a filter that finds what all of these find."""
    return ber.element(_AND, b"".join(filters))


def equality(attribute: bytes, value: bytes) -> bytes:
    """Write the filter that finds entries with this value, every octet of which is data."""
    if len(attribute) + len(value) + 4 < ber.LONG:
        return b"%c%c\x04%c%b\x04%c%b" % (
            _EQUAL,
            len(attribute) + len(value) + 4,
            len(attribute),
            attribute,
            len(value),
            value,
        )
    return ber.sequence(ber.octets(attribute), ber.octets(value), tag=_EQUAL)


def _filter(text: str, at: int, depth: int) -> tuple[bytes, int]:
    """Read the filter that begins at ``at``: its BER, and where it ends."""
    if depth > MAX_DEPTH:
        raise ValueError(f"more than {MAX_DEPTH} filters within one another")
    at = _expect(text, _blanks(text, at), "(")
    sign = text[at : at + 1]
    if sign in _SETS:
        encoded, at = _filters(text, at + 1, depth)
        return ber.element(_SETS[sign], encoded), _expect(text, at, ")")
    if sign == "!":
        encoded, at = _filter(text, at + 1, depth + 1)
        return ber.element(_NOT, encoded), _expect(text, _blanks(text, at), ")")
    found = _ITEM.match(text, at)
    if found is None:
        raise ValueError(f"{text}: no comparison at {at}")
    return _item(found), _expect(text, found.end(), ")")


def _filters(text: str, at: int, depth: int) -> tuple[bytes, int]:
    parts = []
    at = _blanks(text, at)
    while text[at : at + 1] == "(":
        encoded, at = _filter(text, at, depth + 1)
        parts.append(encoded)
        at = _blanks(text, at)
    return b"".join(parts), at  # none at all is true or false: RFC 4526


def _item(found: re.Match[str]) -> bytes:
    name, sign, value = found[1], found[2] or "", found[3]
    if sign.startswith(":"):
        return _extensible(name, sign.strip(":").split(":"), value)
    if _DESCRIPTION.fullmatch(name) is None:
        raise ValueError(f"{found[0]}: {name or 'nothing'} is no attribute")
    if sign:
        tag = {">": _AT_LEAST, "<": _AT_MOST, "~": _APPROXIMATELY}[sign]
        return ber.sequence(ber.octets(name), ber.octets(_value(value)), tag=tag)
    if value == "*":
        return ber.octets(name, _PRESENT)
    if "*" in value:
        return _substrings(name, value.split("*"))
    return ber.sequence(ber.octets(name), ber.octets(_value(value)), tag=_EQUAL)


def _substrings(name: str, pieces: list[str]) -> bytes:
    first, *middle, last = map(_value, pieces)
    parts = [ber.octets(first, _INITIAL)] if first else []
    parts += [ber.octets(piece, _ANY) for piece in middle if piece]
    parts += [ber.octets(last, _FINAL)] if last else []
    if not parts:
        return ber.octets(name, _PRESENT)
    return ber.sequence(ber.octets(name), ber.sequence(*parts), tag=_SUBSTRINGS)


def _extensible(name: str, words: list[str], value: str) -> bytes:
    with_dn = words[:1] == ["dn"]
    rules = [word for word in words[with_dn:] if word]
    if len(rules) > 1 or not (name or rules):
        raise ValueError(f"{name}:{':'.join(words)}: no matching rule")
    return ber.sequence(
        ber.octets(rules[0], _RULE) if rules else b"",
        ber.octets(name, _TYPE) if name else b"",
        ber.octets(_value(value), _VALUE),
        ber.boolean(value=True, tag=_WITH_DN) if with_dn else b"",
        tag=_EXTENSIBLE,
    )


def _value(text: str) -> bytes:
    r"""Read a value: ``\xx`` is an octet, everything else stands for itself."""

    def octet(found: re.Match[bytes]) -> bytes:
        if found[1] is None:
            raise ValueError(f"{text}: a backslash without two hexadecimal digits")
        return bytes.fromhex(found[1].decode())

    plain, sign, escaped = text.partition("\\")
    if _ESCAPED.fullmatch(sign + escaped):
        # What we write ourselves has each octet of an address escaped: five times as fast.
        return plain.encode("utf-8", "surrogatepass") + bytes.fromhex(escaped.replace("\\", ""))
    return _ESCAPE.sub(octet, text.encode("utf-8", "surrogatepass"))


def _blanks(text: str, at: int) -> int:
    while text[at : at + 1].isspace():
        at += 1
    return at


def _expect(text: str, at: int, sign: str) -> int:
    if text[at : at + 1] != sign:
        raise ValueError(f"{text}: no {sign} at {at}")
    return at + 1
