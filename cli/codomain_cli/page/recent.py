"""The last refusals, for the status page.

In flow the events of the doors (:mod:`codomain.journal`), by a handler beside the log's
own, on any thread; out flow the last few, as texts, and how many there were at all.
"""

from __future__ import annotations

import logging
from collections import deque
from contextlib import nullcontext
from dataclasses import dataclass

KEPT = 50
"""Refusals that are shown: as many as one looks through."""

CHARACTERS = 320
"""The longest address (RFC 5321 section 4.5.3.1: 64 + 1 + 255); more of a text is cut off."""

EVENTS = frozenset({"refused", "deferred"})
"""The events that are kept."""

KNOWS_CLIENT = frozenset({"policy", "milter"})
"""The doors that are asked about a recipient once, and log each refusal that is not from memory."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """One recipient that was refused or deferred."""

    when: float
    """When, in seconds of Unix time."""

    event: str
    """``refused`` or ``deferred``."""

    door: str
    """The door that was asked."""

    client: str
    """The client's address, or ``unknown``."""

    sender: str
    """The envelope sender."""

    recipient: str
    """The recipient, as it was given."""

    reason: str
    """Why, as the metrics have it."""

    reply: str
    """What the client was told."""

    dn: str
    """The entry that led to it."""

    detail: str
    """What happened."""

    shadow: bool
    """It was only counted, and the mail passed."""


class Recent(logging.Handler):
    """Keeps the last refusals, the newest first."""

    def __init__(self, kept: int = KEPT) -> None:
        super().__init__(logging.INFO)
        self._refusals: deque[Refusal] = deque(maxlen=kept)
        self.seen = 0
        """Refusals of a policy server or milter until now, but for faults of our own."""

    def refusals(self) -> list[Refusal]:
        """Return the last ones, the newest first."""
        with self.lock or nullcontext():
            return list(reversed(self._refusals))

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a refusal; called under the handler's lock."""
        fields = getattr(record, "fields", None)
        if record.msg not in EVENTS or not isinstance(fields, dict):
            return
        texts = {key: str(value)[:CHARACTERS] for key, value in fields.items()}
        if texts.get("door") in KNOWS_CLIENT and texts.get("reason") != "fault":
            self.seen += 1
        self._refusals.append(
            Refusal(
                when=record.created,
                event=record.msg,
                shadow="mode" in texts,
                **{name: texts.get(name, "") for name in _TEXTS},
            )
        )


_TEXTS = ("door", "client", "sender", "recipient", "reason", "reply", "dn", "detail")
