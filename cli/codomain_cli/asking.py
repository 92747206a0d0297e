"""What ``codomain explain`` is asked about: a recipient, and who sends to it."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from codomain.address import parse_recipient
from codomain.question import Question


@dataclass(frozen=True, slots=True)
class Asking:
    """One recipient, and the means by which it may be found out."""

    address: str
    """The recipient, in any form that a client could write."""

    client: str = ""
    """The client's address; empty: unknown."""

    sender: str = ""
    """The envelope sender."""

    sasl: bool = False
    """The client logged in."""

    context: str = ""
    """main.cf's ``policy_context``."""

    certificate: str = ""
    """The fingerprint of the client's certificate."""

    ask: bool = False
    """The daemon may search the directories."""

    callout: bool = False
    """The next systems may be asked."""


def question_of(asking: Asking) -> Question:
    """Return the question that the policy door would make of it.

    Raises:
        ValueError: the client's address is none.

    """
    recipient = asking.address.strip()
    if recipient.startswith("<") and recipient.endswith(">"):
        recipient = recipient[1:-1]
    return Question(
        parse_recipient(recipient.encode("utf-8", "surrogateescape")),
        client=_client(asking.client),
        authenticated=asking.sasl,
        fingerprint=asking.certificate,
        sender=asking.sender,
        context=asking.context,
    )


def _client(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Read a client's address; an IPv4-mapped one counts as IPv4."""
    if not text or text == "unknown":
        return None
    ip = ipaddress.ip_address(text.strip("[]").removeprefix("IPv6:"))
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return mapped or ip
