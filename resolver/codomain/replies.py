"""Reasons and what an SMTP client reads: one table for all doors.

Texts are generic and never name a back-end host, an entry or an address of ours; the
details go to the log.  Codes are those of RFC 5321 section 4.2 and RFC 3463; codes and
texts can be set in the INI's ``[replies]`` section, but temporary stays temporary.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from codomain.verdict import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Reply:
    """One SMTP reply."""

    code: int
    """The reply code, 4xx or 5xx (RFC 5321 section 4.2)."""

    enhanced: str
    """The enhanced status code (RFC 3463), of the same class."""

    text: str
    """One line for whoever wrote the mail."""

    @property
    def line(self) -> str:
        """The whole reply, ``550 5.1.1 text``."""
        return f"{self.code} {self.enhanced} {self.text}"

    @property
    def temporary(self) -> bool:
        """Whether the sender comes again (4xx)."""
        return self.code < 500  # noqa: PLR2004  # RFC 5321 section 4.2.1: 5yz is permanent


class Override(Protocol):
    """What ``[replies]`` says of one reason (see :mod:`codomain.config`)."""

    @property
    def code(self) -> int:
        """Another reply code; 0: ours."""

    @property
    def enhanced(self) -> str:
        """Another enhanced status code; empty: ours."""

    @property
    def text(self) -> str:
        """Another text; empty: ours."""


DEFAULTS: Mapping[Reason, Reply] = {
    Reason.UNKNOWN: Reply(550, "5.1.1", "User unknown"),
    Reason.RELAYING: Reply(554, "5.7.1", "Relay access denied"),
    Reason.MALFORMED: Reply(501, "5.1.3", "Bad address syntax"),
    Reason.LOOP: Reply(
        554,
        "5.4.6",
        "Unknown here and where it came from, or a routing loop",
    ),
    Reason.NO_ROUTE: Reply(550, "5.4.4", "No route to its domain"),
    Reason.RESTRICTED: Reply(550, "5.7.1", "It takes mail of authenticated senders only"),
    Reason.SMTPUTF8: Reply(553, "5.6.7", "It needs SMTPUTF8"),
    Reason.DIRECTORY: Reply(
        451, "4.4.3", "Recipient cannot be checked now: directory unavailable, try again later"
    ),
    Reason.AMBIGUOUS: Reply(
        451, "4.3.5", "Recipient cannot be checked now: ambiguous address, try again later"
    ),
    Reason.FAULT: Reply(
        451, "4.3.5", "Recipient cannot be checked now: server configuration, try again later"
    ),
    Reason.ROUTE: Reply(452, "4.5.3", "Too many recipients: send this one in a message of its own"),
    Reason.CALLOUT: Reply(
        451, "4.4.1", "Recipient cannot be checked now: next system unavailable, try again later"
    ),
    Reason.HARVEST: Reply(450, "4.7.1", "Try again later"),
}
"""What each reason answers where the INI says nothing.

smtpd puts "Recipient address rejected:" before a text, so ours begins after that.
"""


class Replies:
    """The replies in force."""

    def __init__(self, overrides: Mapping[str, Override]) -> None:
        """Lay the INI's ``[replies]``, by reason, over :data:`DEFAULTS`."""
        table = dict(DEFAULTS)
        for name, override in overrides.items():
            reason = Reason(name)
            reply = table[reason]
            table[reason] = replace(
                reply,
                code=override.code or reply.code,
                enhanced=override.enhanced or reply.enhanced,
                text=override.text or reply.text,
            )
        self._table = table

    def __getitem__(self, reason: Reason) -> Reply:
        """Return the reply of a reason."""
        return self._table[reason]
