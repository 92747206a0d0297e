"""The verdict: what happens to one recipient, in terms that no door has to know.

Doors only translate (see :mod:`codomain.replies` and the doors' own ``reply`` modules).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from codomain.connectors import Connector


class Reason(Enum):
    """Why a recipient is refused or deferred; names the reply and the metric's label."""

    UNKNOWN = "unknown"
    """Asked, and it is not there: 550 5.1.1 (RFC 3463, X.1.1)."""

    RELAYING = "relaying"
    """Nobody may send it here from there: 554 5.7.1 (RFC 5321 section 3.6.2)."""

    MALFORMED = "malformed"
    """An address that cannot be one: 501 5.1.3 (RFC 3463, X.1.3)."""

    LOOP = "loop"
    """It would come back to where it was: 554 5.4.6 (RFC 3463, X.4.6)."""

    NO_ROUTE = "no_route"
    """A trusted client's recipient that no connector takes: 550 5.4.4 (RFC 3463, X.4.4)."""

    RESTRICTED = "restricted"
    """It takes mail of authenticated senders only: 550 5.7.1 (RFC 3463, X.7.1)."""

    SMTPUTF8 = "smtputf8"
    """A non-ASCII recipient without SMTPUTF8: 553 5.6.7 (RFC 6531 section 3.5)."""

    DIRECTORY = "directory"
    """The directory did not answer: 451 4.4.3 (RFC 3463, X.4.3)."""

    AMBIGUOUS = "ambiguous"
    """Two entries claim the address, and we never guess: 451 4.3.5 (RFC 3463, X.3.5)."""

    FAULT = "fault"
    """Our own fault, or an entry that cannot be used: 451 4.3.5 (RFC 3463, X.3.5)."""

    ROUTE = "route"
    """Another way out than the message's first: 452 4.5.3 (RFC 5321 section 4.5.3.1.10)."""

    CALLOUT = "callout"
    """The next system did not say whether it knows it: 451 4.4.1 (RFC 3463, X.4.1)."""

    HARVEST = "harvest"
    """The client asked for too many that are unknown: 450 4.7.1 (RFC 3463, X.7.1)."""


@dataclass(frozen=True, slots=True)
class Pass:
    """Not ours to judge: the MTA does what it would do without us."""

    ours: bool = False
    """The domain is one of ours (``fallback = mx``)."""

    connector: Connector | None = None
    """The connector that covers a foreign domain, for the transport map."""


@dataclass(frozen=True, slots=True)
class Deliver:
    """A mailbox, here or behind the domain's ``deliver_to``."""

    address: str
    """The address that the mailbox system gets."""

    connector: Connector | None = None
    """The way to the mailbox system; None: this host delivers."""

    changed: bool = False
    """:attr:`address` is another than the one given (``deliver_as = primary``)."""

    dn: str = ""
    """The entry, for the log."""


@dataclass(frozen=True, slots=True)
class Redirect:
    """A contact, a routing address or a catch-all: the mail goes to the target instead."""

    target: str
    """The one mailbox that replaces the recipient, authorised and written out."""

    connector: Connector | None = None
    """The way to the target; None: the MTA finds it."""

    dn: str = ""
    """The entry, for the log."""


@dataclass(frozen=True, slots=True)
class Relay:
    """Nobody here knows it: it goes to the other system that shares the domain."""

    connector: Connector
    """The way out."""

    diverted: bool = False
    """Another way out than the one that the transport map names for anybody else."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Permanently no."""

    reason: Reason
    """Why."""

    dn: str = ""
    """The entry that led to it, for the log only."""

    detail: str = ""
    """What happened, for the log only; it may name hosts and entries."""


@dataclass(frozen=True, slots=True)
class Defer:
    """Not now: we do not know, or we are broken."""

    reason: Reason
    """Why."""

    dn: str = ""
    """The entry that led to it, for the log only."""

    detail: str = ""
    """What happened, for the log only."""


Verdict = Pass | Deliver | Redirect | Relay | Refuse | Defer
"""What :func:`codomain.decision.decide` returns when it needs nothing more."""
