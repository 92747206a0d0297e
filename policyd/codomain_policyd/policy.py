"""The policy delegation protocol of Postfix, sans I/O: bytes in, requests out.

A request is lines of ``name=value`` that an empty line ends; the answer is one line
``action=…`` and an empty line (SMTPD_POLICY_README).  A name stands at the start of its
line, and what we read may stand there once only: a second ``recipient=`` would let two
readers of one request see two recipients.  The order is free.  Values are bytes, and any
byte but the line feed is part of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from codomain_policyd.errors import ProtocolError

REQUEST_OCTETS = 65_536
"""The longest request: 32 attributes of a line each, as long as smtpd reads one
(line_length_limit, postconf(5): 2048)."""

ATTRIBUTES = 100
"""The most attributes of one request: Postfix 3.7 sends 29 and gains one or two a release."""

RECIPIENT_STATE = b"RCPT"
"""The protocol state in which recipients are decided."""

ORDER = (
    "request",
    "protocol_state",
    "protocol_name",
    "client_address",
    "client_name",
    "client_port",
    "reverse_client_name",
    "server_address",
    "server_port",
    "helo_name",
    "sender",
    "recipient",
    "recipient_count",
    "queue_id",
    "instance",
    "size",
    "etrn_domain",
    "stress",
)
"""What Postfix 3.2 and later send before ``sasl_method``, in their order."""

REST = (
    "sasl_method",
    "sasl_username",
    "sasl_sender",
    "ccert_subject",
    "ccert_issuer",
    "ccert_fingerprint",
    "ccert_pubkey_fingerprint",
    "encryption_protocol",
    "encryption_cipher",
    "encryption_keysize",
    "policy_context",
)
"""What Postfix 3.2 and later, built with TLS, send from there on."""

READ = frozenset(
    [
        "request",
        "protocol_state",
        "client_address",
        "sender",
        "recipient",
        "queue_id",
        "instance",
        "size",
        "sasl_username",
        "ccert_fingerprint",
        "policy_context",
    ]
)
"""The attributes that are read; each may stand in a request once."""

_READ = frozenset(name.encode() for name in READ)
_KIND = b"smtpd_access_policy"


@dataclass(frozen=True, slots=True)
class PolicyRequest:
    """What is read of one request, as raw bytes; an attribute that is missing is empty."""

    block: bytes
    """The whole request, with the empty line that ends it."""

    state: bytes
    """``protocol_state``: RCPT, DATA, END-OF-MESSAGE, VRFY, ETRN …"""

    recipient: bytes
    """The recipient, unquoted; empty at DATA where a message has several."""

    client: bytes = b""
    """The client's address, or ``unknown``."""

    sender: bytes = b""
    """The envelope sender, unquoted."""

    queue_id: bytes = b""
    """The queue id; empty until a recipient was accepted (smtpd_delay_open_until_valid_rcpt)."""

    instance: bytes = b""
    """The same for all requests of one message; empty at VRFY."""

    size: bytes = b""
    """The size that the client declared at MAIL FROM, in digits; 0: none."""

    username: bytes = b""
    """The login name of an authenticated client."""

    fingerprint: bytes = b""
    """The fingerprint of the client's certificate."""

    context: bytes = b""
    """``policy_context`` of main.cf."""


class PolicyDecoder:
    """Cuts the bytes of one connection into requests, however they were split."""

    __slots__ = ("_buffer", "_searched")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0

    @property
    def empty(self) -> bool:
        """Whether no byte of a request waits for the rest of it."""
        return not self._buffer

    def feed(self, data: bytes) -> None:
        """Take more bytes of the connection."""
        self._buffer += data

    def next(self) -> PolicyRequest | None:
        """Return the next request, or None until it is whole.

        Raises:
            ProtocolError: The request is too long, or is none; the connection must be closed.
        """
        buffer = self._buffer
        if buffer.startswith(b"\n"):
            raise ProtocolError("syntax", "a request without attributes")
        end = buffer.find(b"\n\n", self._searched) + 2
        if max(end, 0 if end > 1 else len(buffer)) > REQUEST_OCTETS:
            raise ProtocolError("size", f"a request of more than {REQUEST_OCTETS} octets")
        if end == 1:
            self._searched = max(0, len(buffer) - 1)
            return None
        block = bytes(buffer[:end])
        del buffer[:end]
        self._searched = 0
        return parse_request(block)


def parse_request(block: bytes) -> PolicyRequest:
    """Read one request, with its empty line.

    Raises:
        ProtocolError: A line without a name, an attribute that is read twice, too many of
            them, another request than ``smtpd_access_policy``, or no recipient at RCPT.
    """
    match = _in_order(block)
    if match is None:
        return line_by_line(block)
    client, sender, recipient, queue_id, instance, size, *rest = match.groups()
    return PolicyRequest(
        block, RECIPIENT_STATE, recipient, client, sender, queue_id, instance, size, *rest
    )


def line_by_line(block: bytes) -> PolicyRequest:
    """Read one request, whatever the order of its attributes: see :func:`parse_request`."""
    lines = block[:-2].split(b"\n")
    if len(lines) > ATTRIBUTES:
        raise ProtocolError("attributes", f"a request of more than {ATTRIBUTES} attributes")
    found: dict[bytes, bytes] = {}
    for line in lines:
        name, equals, value = line.partition(b"=")
        if not equals or not name:
            raise ProtocolError("syntax", "a line that is no name=value")
        if name in _READ:
            if name in found:
                raise ProtocolError("duplicate", f"a second {name.decode()}=")
            found[name] = value
    return _request(block, found)


def _request(block: bytes, found: dict[bytes, bytes]) -> PolicyRequest:
    if found.get(b"request") != _KIND:
        raise ProtocolError("request", "no request=smtpd_access_policy")
    state = found.get(b"protocol_state", b"")
    if not state:
        raise ProtocolError("state", "no protocol_state=")
    if state == RECIPIENT_STATE and b"recipient" not in found:
        raise ProtocolError("recipient", "no recipient= at RCPT")
    return PolicyRequest(
        block=block,
        state=state,
        recipient=found.get(b"recipient", b""),
        client=found.get(b"client_address", b""),
        sender=found.get(b"sender", b""),
        queue_id=found.get(b"queue_id", b""),
        instance=found.get(b"instance", b""),
        size=found.get(b"size", b""),
        username=found.get(b"sasl_username", b""),
        fingerprint=found.get(b"ccert_fingerprint", b""),
        context=found.get(b"policy_context", b""),
    )


def _shortest(name: str) -> str:
    """Return the shortest start of an attribute's name with which none that is read starts."""
    size = next(n for n in range(1, len(name) + 2) if not any(r[:n] == name[:n] for r in READ))
    return name[:size]


def _whole_pattern() -> bytes:
    """Build the pattern of a whole request at RCPT in Postfix's own order.

    As for :data:`quick`, a line that is not read begins as none of those that are; it has a
    name and an equals sign, as each line must.
    """
    lines = [f"request={_KIND.decode()}\nprotocol_state={RECIPIENT_STATE.decode()}\n"]
    for name in (*ORDER[2:], *REST):
        start = name if name in READ else f"{_shortest(name)}[^=\n]*+"
        lines.append(f"{start}=(.*+)\n" if name in READ else f"{start}=.*+\n")
    return "".join([*lines, "\n"]).encode()


_in_order = re.compile(_whole_pattern()).fullmatch


def _quick_pattern() -> bytes:
    """Build the pattern of a request at RCPT in Postfix's own order.

    A line that is not read is matched by the start of its name, which is enough to know
    that it is none of those that are read: so each of them stands once, and in one place.
    What follows ``sasl_method=`` hardly differs between a client's requests: it is taken
    whole and has to be known already from a request that was read with care.
    """
    start = f"request={_KIND.decode()}\nprotocol_state={RECIPIENT_STATE.decode()}\n"
    lines = []
    for name in ORDER[2:]:
        if name in {"client_address", "recipient"}:
            lines.append(f"{name}=(.*+)\n")
        else:
            lines.append(f"{name}=.*+\n" if name in READ else f"{_shortest(name)}.*+\n")
    return (start + "".join(lines) + "sasl_method=((?s:.*))").encode()


quick = re.compile(_quick_pattern()).fullmatch
"""Match a chunk that starts with a request at RCPT in Postfix's order.

The groups are the client's address, the recipient, and all that follows ``sasl_method=``.
The last is unread: it may be short, or hold a second request.  It is safe to go on with
it only where the same bytes have come out of :func:`parse_request` before.
"""
