"""What of an address the status page shows, where ``show_addresses`` is not set.

Everybody with an account on the host can read the page.  So people stay unnamed: of a
local part the first letter stands, of a client its network, of an entry nothing.  Domains
and reasons stay, because one needs them to see what goes on.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

DOTS = "•••"
"""What stands in place of what is not shown."""

SHORT = 3
"""Of a local part no longer than this even the first letter would tell too much."""

IPV4_BITS = 24
"""So much of a client's IPv4 address is shown: its network, as routing has it at least."""

IPV6_BITS = 48
"""So much of its IPv6 address: a site's (RFC 6177)."""

_ADDRESS = re.compile(r'("(?:[^"\\]|\\.)*"|[^\s"<>@,;:()\[\]\']+)@([^\s"<>@,;:()\']+)')


def mask_address(address: str) -> str:
    """Mask the local part of an address; of a text without ``@`` nothing is left."""
    local, at, domain = address.rpartition("@")
    if not at:
        return DOTS if address else ""
    shown = local[:1] if len(local) > SHORT and local[:1].isalnum() else ""
    return f"{shown}{DOTS}@{domain}"


def mask_client(client: str) -> str:
    """Return a client's network in place of its address; ``unknown`` stays."""
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return client if client == "unknown" else DOTS
    bits = IPV4_BITS if address.version == 4 else IPV6_BITS  # noqa: PLR2004  # the protocol's number
    return str(ipaddress.ip_network((address, bits), strict=False))


def mask_text(text: str, names: Iterable[str] = (), *, keep: str = "") -> str:
    """Mask every address in a text but one, and some names of entries."""
    for name in sorted(filter(None, names), key=len, reverse=True):
        text = text.replace(name, DOTS)

    def masked(found: re.Match[str]) -> str:
        whole = found[0]
        return whole if keep and whole.lower() == keep.lower() else mask_address(whole)

    return _ADDRESS.sub(masked, text)
