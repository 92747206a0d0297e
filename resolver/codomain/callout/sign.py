"""The sign by which a codomain knows another one's call-out: ``SIZE=1`` behind MAIL FROM.

A message of one octet does not exist: its Date and From fields alone are longer (RFC 5322
section 3.6).  The declared size (RFC 1870) reaches a policy server and a milter as the
client wrote it, behind every MTA, and needs no name of a host that DNS would have to know.

A stranger gains nothing by it: only a peer's counts, and what it gets is the answer of the
directories alone, which a stranger gets anyway.
"""

from __future__ import annotations

OCTETS = 1
"""The size that a call-out declares."""

PARAMETER = f"SIZE={OCTETS}"
"""The parameter of MAIL FROM (RFC 1870 section 4)."""

_VALUE = str(OCTETS).encode()


def declared(size: bytes) -> bool:
    """Tell whether a declared size is the sign; as digits, the policy protocol's ``size``."""
    return size == _VALUE


def among(parameters: tuple[bytes, ...]) -> bool:
    """Tell whether the sign is among the parameters of MAIL FROM, as a milter gets them."""
    return any(parameter.upper() == PARAMETER.encode() for parameter in parameters)
