"""From what was read to typed sections: every key by its kind, with the default where it lacks.

In flow the joined sections and what Postfix says, out flow the section objects.  Values
that cannot be used become faults, and the default stands in for them, so that the checks
across keys still find theirs.
"""

from __future__ import annotations

import re
from dataclasses import fields, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from codomain.settings.faults import WrongError, nearest, shown
from codomain.settings.whole import (
    NAMED,
    REASONS,
    REPLIES,
    REPLY_PARTS,
    SINGLE,
    TEMPORARY,
    Config,
    ReplyOverride,
    keys_of,
)
from codomain.verdict import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from codomain.settings.faults import Faults
    from codomain.settings.ini import Value
    from codomain.settings.kinds import Kind
    from codomain.settings.source import Joined, Source

T = TypeVar("T")

REPLY_OCTETS = 400
"""The longest text of a reply: with code and enhanced code it fits RFC 5321's line of 512."""

_CODE = re.compile(r"([45][0-5][0-9])(?: +([0-9]\.[0-9]{1,3}\.[0-9]{1,3}))?")


def build(source: Source, faults: Faults) -> Config:
    """Make the sections; what cannot be used is a fault, and its default stands in."""
    single = {
        kind: _section(source.single(kind), section, faults) for kind, section in SINGLE.items()
    }
    several = {
        kind: tuple(_section(joined, section, faults) for joined in source.named(kind))
        for kind, section in NAMED.items()
    }
    return Config(
        **single,
        domains=several["domain"],
        connectors=several["connector"],
        directories=several["directory"],
        policies=several["policy"],
        contexts=several["context"],
        replies=_replies(source.single(REPLIES), faults),
    )


def read_value(kind: Kind[T], value: Value, default: T, faults: Faults) -> T:
    """Return what a value says; the default, and a fault, where it cannot be used."""
    if value.unusable:
        return default
    if len(value.parts) > 1 and not kind.lines:
        faults.add(value.place_of(1), "the key takes one line; begin the next key at its start")
        return default
    try:
        return kind.read(value.text)
    except WrongError as error:
        for part, text in error.all:
            faults.add(value.place_of(part), text)
        return default


def _section(joined: Joined, section: type[T], faults: Faults) -> T:
    specs = keys_of(section)
    values: dict[str, Any] = {}
    if "name" in (f.name for f in fields(section)):  # type: ignore[arg-type]
        values["name"] = joined.name
    for key, value in joined.keys.items():
        spec = specs.get(key)
        if spec is None:
            near = nearest(key, specs)
            word = joined.place.section.partition(" ")[0]
            hint = f'the nearest is "{near}"' if near else f"codomain.ini(5) lists those of {word}"
            faults.add(value.place, f"unknown key; {hint}")
        else:
            values[key] = read_value(spec.kind, value, spec.default, faults)
    return section(**values)


def _replies(joined: Joined, faults: Faults) -> Mapping[str, ReplyOverride]:
    replies: dict[str, ReplyOverride] = {}
    known = [f"{reason}.{part}" for reason in REASONS for part in REPLY_PARTS]
    for key, value in joined.keys.items():
        if key not in known:
            near = nearest(key, known)
            hint = f'the nearest is "{near}"' if near else "write REASON.code or REASON.text"
            faults.add(value.place, f"unknown key; {hint}")
            continue
        if value.unusable:
            continue
        reason, _, part = key.partition(".")
        reply = replies.get(reason, ReplyOverride())
        try:
            if len(value.parts) > 1:
                raise WrongError("a reply takes one line; join them", part=1)  # noqa: TRY301
            if part == "code":
                code, enhanced = _code(value.text, Reason(reason))
                replies[reason] = replace(reply, code=code, enhanced=enhanced)
            else:
                replies[reason] = replace(reply, text=_text(value.text))
        except WrongError as error:
            for line, what in error.all:
                faults.add(value.place_of(line), what)
    return MappingProxyType(replies)


def _code(text: str, reason: Reason) -> tuple[int, str]:
    """Read ``550`` or ``550 5.1.1``; its class is that of the reason (RFC 5321 section 4.2.1)."""
    found = _CODE.fullmatch(text)
    if found is None:
        raise WrongError(f"{shown(text)} is no 4xx or 5xx code; write one such as 550 or 550 5.1.1")
    code, enhanced = found[1], found[2] or ""
    if enhanced and enhanced[0] != code[0]:
        raise WrongError(
            f"{shown(text)}: code and enhanced code differ in class;"
            f" write {code} {code[0]}{enhanced[1:]}"
        )
    if reason in TEMPORARY and code[0] == "5":
        raise WrongError(f"{reason.value} is temporary, and {code} would be permanent; write 4xx")
    if reason not in TEMPORARY and code[0] == "4":
        raise WrongError(f"{reason.value} is permanent, and {code} would be temporary; write 5xx")
    return int(code), enhanced


def _text(text: str) -> str:
    octets = len(text.encode())
    if not text:
        raise WrongError("an empty text; write what the sender shall read, or remove the key")
    if octets > REPLY_OCTETS:
        raise WrongError(f"{octets} octets of text; write at most {REPLY_OCTETS}")
    return text
