"""Log lines: an event and its fields, as logfmt or JSON, one line each.

Whatever a client or a directory wrote is quoted, so that it can look like no other line
and no other field, and cut where it is longer than any address, so that the journal keeps
it in one piece.  Under journald each line carries its priority (sd-daemon(3)).

Lines that clients can cause at will are limited (:class:`Limit`); what is left out is
counted, and the count is logged.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import threading
import time
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

PRIORITIES = {
    logging.DEBUG: 7,
    logging.INFO: 6,
    logging.WARNING: 4,
    logging.ERROR: 3,
    logging.CRITICAL: 2,
}
"""syslog(3)'s priorities."""

VALUE_CHARACTERS = 1024
"""The longest value: three of the longest addresses (RFC 5321 section 4.5.3.1)."""

TRACEBACK_CHARACTERS = 6000
"""The longest traceback: with it a line stays well below the 48 KiB at which journald parts
one into several (LineMax= of journald.conf(5))."""

LIMITED = frozenset({"refused", "deferred", "redirected", "accepted", "harvest brake", "asked"})
"""The events of which a client can cause as many as it likes."""

LINES = 300
"""So many lines of one event may come at once: a message to many recipients, a few of them."""

LINES_PER_SECOND = 10.0
"""And so many go on: some 250 MB a day at the very most.  journald's own limit
(RateLimitBurst=10000 in 30s) would drop every line, whatever it says."""

_PLAIN = re.compile(r"[\w.@:/+\[\]=*,%-]+", re.ASCII)


def event(logger: logging.Logger, level: int, name: str, /, **values: object) -> None:
    """Log an event with its fields; those that are None or empty are left out."""
    if logger.isEnabledFor(level):
        fields = {key: value for key, value in values.items() if value is not None and value != ""}
        logger.log(level, name, extra={"fields": fields})


def set_up(level: str, form: str, stream: TextIO | None = None) -> None:
    """Send every log line to standard error, or to ``stream``.

    ``level`` and ``form`` are ``[codomain] log_level`` and ``log_format``.  Refusals are
    events at every level, because the status page shows them, too
    (:mod:`codomain_cli.page.recent`); the level decides about lines.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    formatter = Json if form == "json" else Logfmt
    handler.setFormatter(formatter(journal=stream is None and _is_journal(sys.stderr)))
    handler.setLevel(level.upper())
    root = logging.getLogger()
    handler.addFilter(next(_limits(root.handlers), None) or Limit())
    # Others that listen stay: they are no lines.
    others = [other for other in root.handlers if not isinstance(other, logging.StreamHandler)]
    root.handlers[:] = [handler, *others]
    root.setLevel(logging.WARNING)
    logging.getLogger("codomain").setLevel(min(handler.level, logging.INFO))


def left_out() -> dict[str, int]:
    """Return how many lines of each event were left out since this was asked last."""
    counts: dict[str, int] = {}
    for limit in _limits(logging.getLogger().handlers):
        counts.update(limit.take())
    return counts


class Limit(logging.Filter):
    """Lets the lines of each limited event through as long as its bucket has tokens.

    A bucket holds :data:`LINES`, and gets :data:`LINES_PER_SECOND`.  Any thread.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Take the clock, in seconds."""
        super().__init__()
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: dict[str, tuple[float, float]] = {}
        self._left_out: dict[str, int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a line is written."""
        name = record.msg
        if name not in LIMITED or not hasattr(record, "fields"):
            return True
        with self._lock:
            now = self._clock()
            tokens, then = self._buckets.get(name, (float(LINES), now))
            tokens = min(float(LINES), tokens + (now - then) * LINES_PER_SECOND)
            passes = tokens >= 1
            self._buckets[name] = (tokens - 1 if passes else tokens, now)
            if not passes:
                self._left_out[name] = self._left_out.get(name, 0) + 1
        return passes

    def take(self) -> dict[str, int]:
        """Return how many lines of each event were left out, and begin anew."""
        with self._lock:
            counts, self._left_out = self._left_out, {}
        return counts


def _limits(handlers: Iterable[logging.Handler]) -> Iterator[Limit]:
    return (f for handler in handlers for f in handler.filters if isinstance(f, Limit))


def _is_journal(stream: TextIO) -> bool:
    """Tell whether a stream is the journal's.

    ``$JOURNAL_STREAM`` is handed on to every child, and says which file it means by device
    and inode (systemd.exec(5)).
    """
    named = os.environ.get("JOURNAL_STREAM", "")
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return named == f"{status.st_dev}:{status.st_ino}"


class _Lines(logging.Formatter):
    """What both forms have in common."""

    def __init__(self, *, journal: bool) -> None:
        super().__init__()
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        """Write one record as one line."""
        values: dict[str, object] = {}
        if not self._journal:
            stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(record.created))
            values["time"] = f"{stamp}.{int(record.msecs):03d}"
        values["level"] = record.levelname.lower()
        fields = getattr(record, "fields", None)
        if fields is None:
            values |= {"logger": record.name, "msg": _cut(record.getMessage())}
        else:
            values |= {"event": record.getMessage()}
            values |= {key: _cut(value) for key, value in fields.items()}
        if record.exc_info:
            text = self.formatException(record.exc_info)
            values["traceback"] = _cut(text, TRACEBACK_CHARACTERS)
        priority = f"<{PRIORITIES.get(record.levelno, 5)}>" if self._journal else ""
        return priority + self.write(values)

    def write(self, values: Mapping[str, object]) -> str:
        """Write the fields."""
        raise NotImplementedError


class Logfmt(_Lines):
    """``key=value`` pairs; a value that is not plain is quoted as in JSON."""

    def write(self, values: Mapping[str, object]) -> str:
        """Write the fields as logfmt."""
        return " ".join(f"{key}={quote(str(value))}" for key, value in values.items())


class Json(_Lines):
    """One object a line."""

    def write(self, values: Mapping[str, object]) -> str:
        """Write the fields as one JSON object, in printable ASCII."""
        return json.dumps(values, default=str)


def quote(text: str) -> str:
    """Return a value as it stands in a line: plain, or quoted with everything odd escaped."""
    return text if _PLAIN.fullmatch(text) else json.dumps(text)


def _cut(value: object, longest: int = VALUE_CHARACTERS) -> object:
    """Return a value as it is, or the start and the end of a long text."""
    if isinstance(value, int | float):
        return value
    text = str(value)
    if len(text) <= longest:
        return text
    half = longest // 2
    return f"{text[:half]} ... {text[-half:]}"
