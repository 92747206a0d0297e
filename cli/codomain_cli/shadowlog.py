"""Reads the daemon's log for what shadow mode let through, across its restarts.

In flow lines of ``codomain serve``, in either of its forms (logfmt, JSON), with or without
what syslog or journalctl(1) put before them; out flow the same notes that the daemon keeps.
Lines that are none of these are passed over.
"""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING

from codomain.address import parse_recipient
from codomain.shadow import SHADOW, Shadowed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

EVENTS = frozenset({"refused", "deferred", "redirected"})
"""The events of a recipient that would not have gone its way."""

WHOLE_MESSAGE = "(a whole message)"
"""What stands for a line that names no recipient: a loop, which concerns all of them."""

OTHER = "other"
"""The label of every domain that is not configured (:data:`codomain.metrics.OTHER`, which would
bring Prometheus' classes)."""

LINE_CHARACTERS = 65_536
"""A longer line is none of ours: each field is bounded by what SMTP carries."""

_PAIR = re.compile(r'(?:^|(?<= ))([a-z_]+)=("(?:[^"\\]|\\.)*"|\S*)')
_ISO = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:[.,]\d+)?(Z|[+-]\d\d:?\d\d)?")
_SYSLOG = re.compile(r"([A-Z][a-z]{2}) +(\d{1,2}) (\d\d:\d\d:\d\d) ")
_DAY = 86_400.0


def read(lines: Iterable[str], now: float | None = None) -> Shadowed:
    """Return what the lines say; ``now`` tells the year of stamps that have none.

    ``since`` of what is returned is the time of the first line; 0.0: it tells none.
    """
    noted = Shadowed()
    noted.since = 0.0
    present = time.time() if now is None else now
    for when, fields in _refusals(lines, present):
        noted.since = noted.since or when
        address = parse_recipient(fields.get("recipient", "").encode("utf-8", "surrogateescape"))
        recipient = address.key or str(address) or WHOLE_MESSAGE
        # Older lines do not name the label.
        domain = fields.get("domain") or address.domain or OTHER
        noted.add(
            fields.get("reason", ""),
            domain,
            recipient,
            fields.get("client", ""),
            fields.get("sender", ""),
            fields.get("target") or fields.get("detail", ""),
            when,
        )
    return noted


def fields_of(line: str) -> dict[str, str]:
    """Return the fields of a line of the log by name; none where it is no such line."""
    brace, start = line.find("{"), line.find("level=")
    if brace >= 0 and (start < 0 or brace < start):
        try:
            read = json.loads(line[brace:])
        except (ValueError, RecursionError):
            return {}
        return {str(k): str(v) for k, v in read.items()} if isinstance(read, dict) else {}
    if start < 0:
        return {}
    stamp = line.rfind("time=", 0, start)
    text = line[stamp if stamp >= 0 else start :]
    return {name: _unquoted(value) for name, value in _PAIR.findall(text)}


def _refusals(lines: Iterable[str], now: float) -> Iterator[tuple[float, dict[str, str]]]:
    for line in lines:
        if SHADOW not in line or len(line) > LINE_CHARACTERS:
            continue
        fields = fields_of(line.rstrip("\r\n"))
        if fields.get("mode") == SHADOW and fields.get("event") in EVENTS:
            yield _when(fields.get("time", ""), line, now), fields


def _when(stamp: str, line: str, now: float) -> float:
    """Return when a line was written, in seconds of Unix time; 0.0: it does not say."""
    iso = _ISO.match(stamp) or _ISO.match(line)
    try:
        if iso is not None:
            if iso[2]:
                zone = iso[2].replace("Z", "+0000").replace(":", "")
                return _zoned(iso[1], zone)
            return time.mktime(time.strptime(iso[1], "%Y-%m-%dT%H:%M:%S"))
        syslog = _SYSLOG.match(line)
        if syslog is None:
            return 0.0
        year = time.localtime(now).tm_year
        text = f"{year} {syslog[1]} {syslog[2]} {syslog[3]}"
        when = time.mktime(time.strptime(text, "%Y %b %d %H:%M:%S"))
        if when <= now + _DAY:
            return when
        # The stamp has no year: one of December that is read in January.
        text = f"{year - 1} {syslog[1]} {syslog[2]} {syslog[3]}"
        return time.mktime(time.strptime(text, "%Y %b %d %H:%M:%S"))
    except (ValueError, OverflowError):
        return 0.0


def _zoned(stamp: str, zone: str) -> float:
    from datetime import datetime

    return datetime.strptime(f"{stamp}{zone}", "%Y-%m-%dT%H:%M:%S%z").timestamp()


def _unquoted(value: str) -> str:
    if not value.startswith('"'):
        return value
    try:
        read = json.loads(value)
    except ValueError:
        return value
    return str(read)
