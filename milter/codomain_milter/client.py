"""Who the client is, from what a milter is told: connect's arguments and macros.

Both MTAs give the address of the SMTP client with the connection; local submission comes
as 127.0.0.1 (Postfix's cleanup, with port 0; Sendmail's submission program connects from
there).  A unix socket or no address at all is a stranger: nothing proves who is behind it.

``{auth_authen}`` is there once the client has logged in.  A certificate counts by its
fingerprint (``{cert_fp}``, Sendmail 8.17, or ``{cert_md5}``), and where Sendmail tells
``{verify}``, only if that is OK.  ``{cert_subject}`` trusts nobody: any authority that the
MTA trusts could have written it.  ``{daemon_name}`` chooses the ``[context …]`` section.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from ipaddress import IPv4Address, IPv6Address

CONNECT_MACROS = "{daemon_name}"
"""What the MTA is asked to tell with the connection."""

MAIL_MACROS = "i {daemon_name} {auth_authen} {verify} {cert_fp} {cert_md5}"
"""What the MTA is asked to tell with MAIL; ``i`` is the queue id, for the log."""

VERIFIED = "OK"
"""What Sendmail says of a certificate whose authority it knows."""


@dataclass(frozen=True, slots=True)
class Client:
    """One SMTP client."""

    address: IPv4Address | IPv6Address | None = None
    """Its address, IPv4-mapped ones as IPv4; None: not known, a stranger."""

    local: bool = False
    """The mail did not come over SMTP, so nothing is known of SMTPUTF8."""


def connected(hostaddr: object) -> Client:
    """Read connect's address: ``(address, port, …)`` of inet and inet6, a path, or None."""
    match hostaddr:
        case (str(text), int(port), *_):
            return Client(_address(text), local=port == 0)
        case _:
            return Client()


def authenticated(macro: Callable[[str], str | None]) -> bool:
    """Tell whether the client logged in; the MTA sets the macro then, and only then."""
    return bool(macro("{auth_authen}"))


def fingerprint(macro: Callable[[str], str | None]) -> str:
    """Return the fingerprint of the client's certificate; empty where it proves nothing."""
    found = macro("{cert_fp}") or macro("{cert_md5}") or ""
    if found and (macro("{verify}") or VERIFIED) != VERIFIED:
        return ""
    return found


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ipaddress.ip_address(text.removeprefix("IPv6:"))
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
