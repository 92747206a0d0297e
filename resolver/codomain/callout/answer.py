"""What a next system's reply to RCPT says of a recipient.

In flows a reply; out flows what it proves.  Most systems wait with their refusal of a
*client* until RCPT, so a 5xx alone proves nothing: only the enhanced codes that speak of
the recipient's mailbox do (RFC 3463 sections 3.2 and 3.5), and those only where the same
session takes a recipient that is surely known.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import NamedTuple

UNKNOWN_CODES = frozenset({"5.1.0", "5.1.1", "5.1.3", "5.1.6", "5.1.10", "5.4.1"})
"""The enhanced codes that may mean that the recipient is unknown.

X.1.0 other address status; X.1.1 bad mailbox; X.1.3 bad mailbox syntax; X.1.6 moved, and
nobody knows where to; X.1.10 and 5.4.1 are what Exchange Online says.  The rest of X.1
speaks of other things: X.1.2 of the domain, X.1.4 of two mailboxes, X.1.7 and X.1.8 of
the sender, X.1.9 of the system behind.
"""

_ENHANCED = re.compile(r"#?([245]\.[0-9]{1,3}\.[0-9]{1,3})(?![0-9.])")


class Outcome(Enum):
    """What is known of a recipient at a next system; also the metric's label."""

    KNOWN = "known"
    """It takes the recipient, and refuses one that nobody can have."""

    UNKNOWN = "unknown"
    """It refuses the recipient as unknown, and takes one that is surely known."""

    ANYTHING = "anything"
    """It takes every recipient of the domain, so its word says nothing of this one."""

    UNSURE = "unsure"
    """It did not say: no connection, a refusal of something else, temporary, too late."""

    DOUBTED = "doubted"
    """It does not say now, and has refused it as unknown within ``stale_ttl``: a way out that
    others may take the place of, and no reason to refuse anybody."""


class Reply(NamedTuple):
    """One reply of a server."""

    code: int
    """The reply code (RFC 5321 section 4.2)."""

    text: str
    """Its lines, without codes, with line feeds between them."""

    @property
    def taken(self) -> bool:
        """Whether it says yes (2yz)."""
        return 200 <= self.code < 300  # noqa: PLR2004  # RFC 5321 section 4.2.1

    @property
    def enhanced(self) -> str:
        """The enhanced code at the start of its text; empty: none of the reply's own class.

        ``#`` before it is the form of some appliances.
        """
        match = _ENHANCED.match(self.text)
        return match[1] if match and match[1][0] == f"{self.code}"[0] else ""

    @property
    def says_unknown(self) -> bool:
        """Whether it may mean that the recipient is unknown.

        Not so where there is no enhanced code: a plain 550 is a policy's as often
        (RFC 5321 section 4.2.3).
        """
        return self.code >= 500 and self.enhanced in UNKNOWN_CODES  # noqa: PLR2004  # the same

    def __str__(self) -> str:
        return f"{self.code} {' '.join(self.text.split())}"
