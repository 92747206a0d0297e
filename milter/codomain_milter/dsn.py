"""DSN parameters of a recipient that is replaced: what of them goes to the target.

In flow the ESMTP parameters of RCPT as the MTA gives them; out flows the one string that
libmilter adds a recipient with.  Only NOTIFY and ORCPT are known here, each is read
strictly and written anew, so nothing that a client wrote becomes another parameter.

Standards: RFC 3461 sections 4.1 (NOTIFY), 4.2 (ORCPT) and 5.2.7 (several recipients that
become one), RFC 6533 section 3 (utf-8 addresses in ORCPT).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

ORCPT_OCTETS = 500
"""The longest value of ORCPT (RFC 3461 section 5.4)."""

NEVER = frozenset({"NEVER"})
"""No report at all."""

USUAL = frozenset({"FAILURE", "DELAY"})
"""What a missing NOTIFY comes to (RFC 3461 section 4.1: a report of failure, perhaps of delay)."""

_EVENTS = ("SUCCESS", "FAILURE", "DELAY")
_XTEXT = r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})"
_ORCPT = re.compile(rf"[A-Za-z0-9-]{{1,64}};{_XTEXT}+", re.ASCII)
_PLAIN = frozenset(range(0x21, 0x7F)) - frozenset(b"+=")
_PLAIN_UTF8 = _PLAIN - frozenset(b"\\")


@dataclass(frozen=True, slots=True)
class Dsn:
    """The DSN parameters of one recipient."""

    notify: frozenset[str] | None = None
    """What the sender wants to hear of; None: it did not say."""

    orcpt: str = ""
    """``type;xtext``, the original recipient; empty: not given."""

    def parameters(self) -> str:
        """Write them for libmilter: ``NOTIFY=… ORCPT=…``; empty where there are none."""
        parts = []
        if self.notify is not None:
            events = [event for event in (*_EVENTS, "NEVER") if event in self.notify]
            parts.append(f"NOTIFY={','.join(events)}")
        if self.orcpt:
            parts.append(f"ORCPT={self.orcpt}")
        return " ".join(parts)

    def joined(self, other: Dsn) -> Dsn:
        """Return what serves two recipients that become one: every report that one asked for."""
        if self.notify == other.notify:
            return self
        mine, theirs = (USUAL if d.notify is None else d.notify for d in (self, other))
        events = (mine | theirs) - NEVER
        return Dsn(events or NEVER, self.orcpt)


def read(parameters: tuple[bytes, ...], original: str) -> Dsn:
    """Read RCPT's parameters; ``original`` is named by ORCPT where the sender named none.

    What is no valid NOTIFY or ORCPT counts as not given: the MTA has let it through, and
    a recipient is not lost for it.
    """
    notify: frozenset[str] | None = None
    orcpt = ""
    for parameter in parameters:
        name, _, value = parameter.decode("ascii", "replace").partition("=")
        if name.upper() == "NOTIFY":
            notify = _notify(value) or notify
        elif name.upper() == "ORCPT" and len(value) <= ORCPT_OCTETS and _ORCPT.fullmatch(value):
            orcpt = value
    return Dsn(notify, orcpt or original_recipient(original))


def original_recipient(address: str) -> str:
    """Write an address as ORCPT's value; empty where it is too long or cannot be written."""
    value = f"rfc822;{xtext(address)}" if address.isascii() else f"utf-8;{_utf8_xtext(address)}"
    return value if address and len(value) <= ORCPT_OCTETS else ""


def xtext(text: str) -> str:
    """Encode ASCII text (RFC 3461 section 4): ``+``, ``=`` and what is not printable as ``+XX``."""
    return "".join(c if ord(c) in _PLAIN else f"+{ord(c):02X}" for c in text)


def _utf8_xtext(text: str) -> str:
    """Encode text in ASCII alone (RFC 6533 section 3, utf-8-addr-xtext).

    Surrogates stand for bytes that are no UTF-8: no such address is replaced.
    """
    return "".join(c if ord(c) in _PLAIN_UTF8 else f"\\x{{{ord(c):X}}}" for c in text)


def _notify(value: str) -> frozenset[str] | None:
    events = frozenset(value.upper().split(","))
    return events if events == NEVER or (events and events <= set(_EVENTS)) else None
