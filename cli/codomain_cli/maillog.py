"""Finds the recipients of one message in the mail log, by its queue id.

The log is the file that is named, or the journal (journalctl(1), syslog's mail facility), or
else /var/log/mail.log or /var/log/maillog.  Client, sender and login are those that smtpd,
pickup, cleanup and qmgr logged for the same id.
"""

from __future__ import annotations

import gzip
import re
import shutil
import subprocess
import zlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from codomain_cli.exits import UnavailableError
from codomain_cli.logline import LINE_CHARACTERS, parse

if TYPE_CHECKING:
    from collections.abc import Iterable

    from codomain_cli.logline import Logged

FILES = (Path("/var/log/mail.log"), Path("/var/log/maillog"))
"""Where syslog writes on Debian and on Red Hat, in this order."""

DAYS = 7
"""How far back the journal is searched: Postfix gives up on a message after five days
(maximal_queue_lifetime, postconf(5))."""

SECONDS = 60.0
"""How long journalctl may take."""

RECIPIENTS = 100
"""Recipients of one message that are explained."""

_CLIENT = re.compile(r": client=[^\s\[]*\[(?P<ip>[^\]\s]+)\]")
_SENDER = re.compile(r": from=<(?P<sender>[^>]*)>")
_SASL = re.compile(r"sasl_username=<?(?P<user>[^\s,>]+)")


class LogError(UnavailableError):
    """The mail log cannot be read, or says nothing of the message."""


def of_message(queue_id: str, file: Path | None) -> list[Logged]:
    """Return each recipient of a message once, in the order of the log.

    Raises:
        LogError: no log can be read, or it names no recipient of the message.

    """
    mark = f" {queue_id}: "
    lines = [line for line in _lines(queue_id, file) if mark in line]
    client = sender = sasl = ""
    found: dict[str, Logged] = {}
    for line in lines:
        if (match := _CLIENT.search(line)) is not None:
            client = "" if match["ip"] == "unknown" else match["ip"]
            user = _SASL.search(line)
            sasl = user["user"] if user else ""
        elif (match := _SENDER.search(line)) is not None:
            sender = match["sender"]
        logged = parse(line)
        if logged is not None and len(found) < RECIPIENTS:
            found.setdefault(logged.recipient, logged)
    if not found:
        where = file or "the mail log"
        raise LogError(f"{where} names no recipient of {queue_id}; --mail-log FILE names another")
    return [
        replace(
            logged,
            client=logged.client or client,
            sender=logged.sender or sender,
            sasl=logged.sasl or sasl,
            queue_id=queue_id,
        )
        for logged in found.values()
    ]


def _lines(queue_id: str, file: Path | None) -> Iterable[str]:
    if file is not None:
        return _of_file(queue_id, file)
    journal = _of_journal(queue_id)
    if journal:
        return journal
    there = [path for path in FILES if path.is_file()]
    return _of_file(queue_id, there[0]) if there else []


def _of_file(queue_id: str, file: Path) -> list[str]:
    """Read a file, compressed or not; a line at a time, because it may be large."""
    try:
        with (gzip.open if file.suffix == ".gz" else open)(
            file, "rt", encoding="utf-8", errors="surrogateescape"
        ) as lines:
            return [line[:LINE_CHARACTERS] for line in lines if queue_id in line]
    except (OSError, EOFError, zlib.error) as error:
        why = getattr(error, "strerror", None) or f"{error}"
        raise LogError(f"{file} cannot be read: {why}; --mail-log FILE names another") from error


def _of_journal(queue_id: str) -> list[str]:
    """Ask the journal; nothing where there is none, or where it may not be read."""
    command = shutil.which("journalctl")
    if command is None:
        return []
    try:
        done = subprocess.run(
            [
                command,
                "--quiet",
                "--no-pager",
                "--output=short",
                f"--since=-{DAYS}d",
                f"--grep={queue_id}",
                "--case-sensitive=yes",
                "SYSLOG_FACILITY=2",
            ],
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            stdin=subprocess.DEVNULL,
            timeout=SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return done.stdout.splitlines()
