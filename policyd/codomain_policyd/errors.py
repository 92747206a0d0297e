"""The other side's faults, apart from ours: what a codec says of bytes that break its protocol."""

from __future__ import annotations

from codomain.errors import CodomainError


class ProtocolError(CodomainError):
    """The bytes of a connection are not the protocol of its door; the connection is closed.

    Postfix takes a closed connection for a temporary error: it tries once more, and then
    answers 451 4.3.5 for a policy server (SMTPD_POLICY_README) and 451 4.3.0 for a map.
    """

    def __init__(self, kind: str, text: str) -> None:
        """Name the kind of fault, one of a codec's few fixed words, and describe it for the log."""
        super().__init__(text)
        self.kind = kind
