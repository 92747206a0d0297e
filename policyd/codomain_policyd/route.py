"""The one-route rule: a message whose way out is set by FILTER or REDIRECT has one way only.

Both actions act on the whole message (access(5)), so the first recipient that is accepted
fixes the message's route, and a recipient of another route is told to come again with a
message of its own (452 4.5.3, RFC 5321 section 4.5.3.1.10).  Messages are told apart by
Postfix's ``instance`` attribute, which is the same on all connections.  An empty instance
(VRFY, other clients) stands for no message in particular and shares nothing.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MESSAGES = 10_000
"""Messages of one generation: more than a gateway has under way at once (default_process_limit
of postconf(5) is 100), and a message that is forgotten only gets a route anew."""

RECIPIENTS = 1000
"""Recipients of one message whose answers are remembered: smtpd_recipient_limit, postconf(5)."""

GENERATION_SECONDS = 3600.0
"""A message is remembered for an hour or two; no SMTP transaction takes longer
(RFC 5321 section 4.5.3.2: five minutes for each command)."""


class _Message:
    """The route of one message, and what its recipients were told."""

    __slots__ = ("route", "told")

    def __init__(self, route: bytes) -> None:
        self.route = route
        self.told: dict[bytes, bytes | None] = {}


class Routes:
    """The routes of the messages under way, bounded by two generations."""

    def __init__(
        self, messages: int = MESSAGES, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Remember so many messages in each generation; ``clock`` gives seconds."""
        self._limit = messages
        self._clock = clock
        self._young: dict[bytes, _Message] = {}
        self._old: dict[bytes, _Message] = {}
        self._turned = clock()

    def __len__(self) -> int:
        """Count the messages that are remembered."""
        return len(self._young) + len(self._old)

    def settle(self, instance: bytes, recipient: bytes, route: bytes) -> bytes | None:
        """Return the route on which a recipient goes, or None where its message has another one.

        ``route`` is the action that its verdict asks for.  The same recipient of the same
        message is told the same again, even where its verdict has changed in between.
        """
        if not instance:
            return route
        message = self._message(instance, route)
        if recipient in message.told:
            return message.told[recipient]
        told = route if route == message.route else None
        if len(message.told) < RECIPIENTS:
            message.told[recipient] = told
        return told

    def _message(self, instance: bytes, route: bytes) -> _Message:
        now = self._clock()
        if len(self._young) >= self._limit or now - self._turned >= GENERATION_SECONDS:
            stale = now - self._turned >= 2 * GENERATION_SECONDS
            self._old = {} if stale else self._young
            self._young = {}
            self._turned = now
        message = self._young.get(instance)
        if message is None:
            message = self._old.pop(instance, None) or _Message(route)
            self._young[instance] = message
        return message
