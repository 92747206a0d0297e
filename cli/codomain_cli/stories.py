"""What the demo sends, and what must become of it: written by hand, from the rules.

The people are those of contrib/demo, the configuration is its codomain.ini.
"""

from __future__ import annotations

from dataclasses import dataclass

STRANGER = "198.51.100.7"
"""A host of the Internet (RFC 5737)."""

TRUSTED = "10.1.2.3"
"""A host of the site, in mynetworks."""

OTHER = "192.0.2.10"
"""The other system, whose mailboxes share the domain: a peer of the connector unix."""

WHO = {STRANGER: "stranger", TRUSTED: "our client", OTHER: "other system"}
"""How the table calls the clients."""

EXCHANGE, UNIX, INTERNET = "exchange", "unix", "the Internet"

OK = "250 2.1.5"
UNKNOWN = "550 5.1.1"
RELAYING = "554 5.7.1"
LOOP = "554 5.4.6"
RESTRICTED = "550 5.7.1"


@dataclass(frozen=True, slots=True)
class Fate:
    """One recipient of a message, and what must become of it."""

    recipient: str
    """As the client writes it."""

    reply: str
    """How the reply to RCPT begins."""

    system: str = ""
    """Where the message arrives; empty: nowhere."""

    address: str = ""
    """The recipient that this system gets."""

    why: str = ""
    """The rule, in a few words."""


@dataclass(frozen=True, slots=True)
class Story:
    """One message of one client."""

    client: str
    """Its address."""

    fates: tuple[Fate, ...]
    """Its recipients."""


def _one(client: str, *fate: str) -> Story:
    return Story(client, (Fate(*fate),))


FOUR = Story(
    STRANGER,
    (
        Fate("carl@example.com", OK, EXCHANGE, "carl@example.com", "a mailbox"),
        Fate("bob@example.com", OK, UNIX, "bob@unix.example.net", "a contact"),
        Fate("dora@example.com", OK, UNIX, "dora@example.com", "not here: the other system"),
        Fate("dora@corp.local", UNKNOWN, why="nobody has it"),
    ),
)
"""One message to four recipients with four fates."""

STORIES = (
    _one(STRANGER, "ann@example.com", OK, EXCHANGE, "ann@example.com", "a mailbox"),
    _one(STRANGER, "A.Smith@EXAMPLE.com", OK, EXCHANGE, "A.Smith@EXAMPLE.com", "its other name"),
    _one(STRANGER, "ann+list@example.com", OK, EXCHANGE, "ann+list@example.com", "an extension"),
    _one(STRANGER, "bob@example.com", OK, UNIX, "bob@unix.example.net", "a contact"),
    _one(STRANGER, "nobody@example.com", OK, UNIX, "nobody@example.com", "shared: not here"),
    _one(STRANGER, "postmaster@example.com", OK, EXCHANGE, "ann@corp.local", "never refused"),
    _one(STRANGER, "nobody@corp.local", UNKNOWN, "", "", "authoritative: unknown"),
    _one(STRANGER, "someone@elsewhere.test", RELAYING, "", "", "not ours"),
    _one(STRANGER, "eve@example.com", RELAYING, "", "", "a target that is not allowed"),
    _one(STRANGER, "x1@example.com", LOOP, "", "", "contacts in a circle"),
    _one(STRANGER, "everyone@example.com", RESTRICTED, "", "", "for the house alone"),
    _one(TRUSTED, "everyone@example.com", OK, EXCHANGE, "everyone@example.com", "from the house"),
    _one(TRUSTED, "someone@elsewhere.test", OK, INTERNET, "someone@elsewhere.test", "outbound"),
    _one(OTHER, "ann@example.com", OK, EXCHANGE, "ann@example.com", "its users write to ours"),
    _one(OTHER, "nobody@example.com", LOOP, "", "", "unknown here and there"),
    FOUR,
)
"""Every message of the demo, in its order."""
