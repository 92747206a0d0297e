"""One message under way: the recipients that were taken, and how the envelope changes at its end.

In flow recipients as the MTA gave them, each with the mailbox that replaces it; out flow
the recipients to add and those to delete.  Pure: it talks to no MTA.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from codomain.address import parse_mailbox

if TYPE_CHECKING:
    from codomain_milter.dsn import Dsn


@dataclass(frozen=True, slots=True)
class Taken:
    """One recipient that was not refused."""

    given: str
    """As the MTA gave it, to the letter: it is deleted by that."""

    key: str
    """What it is compared by; the given form where it has no key."""

    target: str = ""
    """The mailbox that replaces it; empty: it stays."""

    dsn: Dsn | None = None
    """Its DSN parameters, where it is replaced."""

    connector: str = ""
    """The connector by which it leaves; empty: none, or the MTA finds its way."""

    shadow: bool = False
    """Nothing is carried out for it: the decision is only counted."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What happens to the envelope; additions come first."""

    add: tuple[tuple[str, str], ...] = ()
    """Mailboxes to add, with their ESMTP parameters."""

    delete: tuple[str, ...] = ()
    """Recipients to delete, as they were given."""


_NONE = Changes()


@dataclass(slots=True)
class Envelope:
    """What is known of one message."""

    sender: str = ""
    """MAIL FROM without brackets."""

    smtputf8: bool | None = None
    """The message was announced with SMTPUTF8; None: it did not come over SMTP."""

    authenticated: bool = False
    """The client logged in."""

    fingerprint: str = ""
    """The client's certificate."""

    context: str = ""
    """The listener's name (``{daemon_name}``)."""

    probe: bool = False
    """It has the sign of a call-out (:mod:`codomain.callout.sign`)."""

    taken: list[Taken] = field(default_factory=list)
    """The recipients so far."""

    hops: int = 0
    """Received fields so far (RFC 5321 section 6.3)."""

    traces: list[str] = field(default_factory=list)
    """The values of trace fields, in their order."""

    @property
    def asker(self) -> tuple[object, ...]:
        """Everything of it that a verdict reads."""
        return (
            self.authenticated,
            self.fingerprint,
            self.smtputf8,
            self.context,
            self.probe,
        )

    def changes(self) -> Changes:
        """Return how the recipients change.

        Two that lead to one target give one addition.  A target that is a recipient
        already is not added; where that recipient would be deleted itself, it stays, so
        that no order of additions and deletions loses mail.
        """
        if not any(taken.target for taken in self.taken):
            return _NONE
        stay = {taken.key for taken in self.taken if not taken.target}
        leave = {taken.key for taken in self.taken if taken.target}
        add: dict[str, tuple[str, Dsn | None]] = {}
        for taken in self.taken:
            if not taken.target:
                continue
            mailbox = parse_mailbox(taken.target)
            key = mailbox.key if mailbox is not None else taken.target
            if key in leave:
                stay.add(key)
            elif key not in stay:
                add[key] = (taken.target, _joined(add.get(key), taken.dsn))
        delete = [t.given for t in self.taken if t.target and t.key not in stay]
        return Changes(
            tuple((target, dsn.parameters() if dsn else "") for target, dsn in add.values()),
            tuple(dict.fromkeys(delete)),
        )


def _joined(before: tuple[str, Dsn | None] | None, dsn: Dsn | None) -> Dsn | None:
    if before is None or before[1] is None or dsn is None:
        return dsn if before is None else before[1]
    return before[1].joined(dsn)
