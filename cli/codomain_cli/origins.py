"""Where each value of the configuration comes from, as ``codomain explain --config`` shows it.

In flows a configuration; out flow its values as one would write them, each with FILE:LINE,
the parameter of main.cf, or ``default``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from codomain.settings.kinds import MODE, PERCENT, PERCENTAGE, SHARE, UNITS
from codomain.settings.provenance import provenance
from codomain.settings.whole import NAMED, SINGLE, keys_of

if TYPE_CHECKING:
    from codomain.config import Config
    from codomain.settings.kinds import Spec
    from codomain.settings.provenance import Origin

VERSION = 1
"""The version of what ``--json`` prints (docs/explain-json.md)."""


def as_object(config: Config) -> dict[str, Any]:
    """Return every value with its origin, section by section, as ``--json`` prints it."""
    return {
        "version": VERSION,
        "files": [str(path) for path in config.files],
        "settings": [
            {
                "section": f"{origin.kind} {origin.name}".rstrip(),
                "key": origin.key,
                "value": written(origin),
                "source": origin.source,
            }
            for origin in provenance(config)
        ],
        "replies": {
            reason: f"{reply.code or ''} {reply.enhanced} {reply.text}".strip()
            for reason, reply in config.replies.items()
        },
    }


def lines(found: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the rows for a terminal: ``[section] key``, and the value with its origin."""
    made: list[tuple[str, str]] = []
    section = ""
    for one in found["settings"]:
        if one["section"] != section:
            section = one["section"]
            made.append((f"[{section}]", ""))
        made.append((f"  {one['key']}", f"{one['value']}  ({one['source']})".strip()))
    made += [("[replies]", "")] if found["replies"] else []
    made += [(f"  {reason}", reply) for reason, reply in found["replies"].items()]
    return made


def written(origin: Origin) -> str:
    """Return a value as one would write it."""
    spec = _spec(origin)
    if origin.place is None and origin.value == spec.default:
        return spec.written
    return _text(origin.value, spec)


def _spec(origin: Origin) -> Spec[Any]:
    return keys_of({**SINGLE, **NAMED}[origin.kind])[origin.key]


def _text(value: object, spec: Spec[Any]) -> str:  # noqa: PLR0911  # one for each type
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case tuple():
            return ", ".join(_text(item, spec) for item in value)
        case float() if spec.kind is PERCENTAGE:
            return f"{value * PERCENT:g}%"
        case float() if spec.kind is not SHARE:
            return _duration(value)
        case int() if spec.kind is MODE:
            return f"{value:04o}"
        case _:
            return str(value)


def _duration(seconds: float) -> str:
    for unit, length in sorted(UNITS.items(), key=lambda item: -item[1]):
        count = seconds / length
        if seconds and count >= 1 and count == int(count):
            return f"{int(count)}{unit}"
    return f"{seconds:g}s"
