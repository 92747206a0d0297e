"""The question: what a door knows of one recipient when the MTA asks about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

    from codomain.address import Address


class Door(Enum):
    """The kind of door that asks; it decides what a verdict can be made of."""

    POLICY = "policy"
    """Postfix's policy delegation protocol (SMTPD_POLICY_README)."""

    MAP = "map"
    """The socketmap protocol (socketmap_table(5)); it knows no client."""

    MILTER = "milter"
    """libmilter."""


@dataclass(frozen=True, slots=True)
class Question:
    """One recipient of one message, and who sends it."""

    recipient: Address
    """The recipient as the door parsed it."""

    door: Door = Door.POLICY
    """The door that asks."""

    client: IPv4Address | IPv6Address | None = None
    """The client's address, IPv4-mapped ones as IPv4; None: missing or unknown, a stranger."""

    authenticated: bool = False
    """The client logged in (SASL)."""

    fingerprint: str = ""
    """The fingerprint of the client's certificate, as Postfix writes it; empty: none."""

    smtputf8: bool | None = None
    """The message was announced with SMTPUTF8; None: the door does not tell."""

    context: str = ""
    """The ``policy_context`` of main.cf, which chooses a ``[context …]`` section."""

    sender: str = ""
    """The envelope sender, for logs and the explanation; no verdict reads it."""

    queue_id: str = ""
    """The message's queue id, where the MTA has given it one; for logs alone."""

    instance: str = ""
    """What Postfix calls the message before that (``instance``); for logs alone."""

    probe: bool = False
    """It has the sign of a call-out (:mod:`codomain.callout.sign`); only a peer's counts."""
