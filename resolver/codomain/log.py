"""Log lines: an event and its fields, as logfmt or JSON, one line each.

Whatever a client or a directory wrote is quoted, so that it can look like no other line
and no other field.  Under journald each line carries its priority (sd-daemon(3)).
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import time
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Mapping

PRIORITIES = {
    logging.DEBUG: 7,
    logging.INFO: 6,
    logging.WARNING: 4,
    logging.ERROR: 3,
    logging.CRITICAL: 2,
}
"""syslog(3)'s priorities."""

_PLAIN = re.compile(r"[\w.@:/+\[\]=*,%-]+", re.ASCII)


def event(logger: logging.Logger, level: int, name: str, /, **values: object) -> None:
    """Log an event with its fields; those that are None or empty are left out."""
    if logger.isEnabledFor(level):
        fields = {key: value for key, value in values.items() if value is not None and value != ""}
        logger.log(level, name, extra={"fields": fields})


def set_up(level: str, form: str, stream: TextIO | None = None) -> None:
    """Send every log line to standard error, or to ``stream``.

    ``level`` and ``form`` are ``[codomain] log_level`` and ``log_format``.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    journal = stream is None and "JOURNAL_STREAM" in os.environ
    formatter = Json if form == "json" else Logfmt
    handler.setFormatter(formatter(journal=journal))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("codomain").setLevel(level.upper())


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
            values |= {"logger": record.name, "msg": record.getMessage()}
        else:
            values |= {"event": record.getMessage(), **fields}
        if record.exc_info:
            values["traceback"] = self.formatException(record.exc_info)
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
        """Write the fields as one JSON object, in ASCII."""
        return json.dumps(values, default=str)


def quote(text: str) -> str:
    """Return a value as it stands in a line: plain, or quoted with everything odd escaped."""
    return text if _PLAIN.fullmatch(text) else json.dumps(text)
