"""Mailbox addresses: taken apart, folded for comparison, and written out again.

In flow the bytes or the text that an MTA, an administrator or a directory wrote; out
flows an :class:`Address`.  Nothing here raises on anything that a client can send: an
address that makes no sense is an :class:`Address` that matches nothing.

Standards: RFC 5321 sections 4.1.2 and 4.1.3 (mailbox, source route, literal), RFC 6531
section 3.3 (UTF-8 local parts), RFC 5890 and 5891 (U-labels and A-labels).  What we
leave out on purpose is *mapping*: neither UTS 46 nor compatibility normalisation ever
turns somebody else's domain into one of ours.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

import idna

LABEL_OCTETS = 63
"""The longest label (RFC 1035 section 2.3.4)."""

DOMAIN_OCTETS = 255
"""The longest domain that SMTP carries (RFC 5321 section 4.5.3.1.2)."""

NFC_TURNS_ASCII = frozenset("\u037e\u1fef\u212a")
"""The non-ASCII characters that NFC itself turns into ASCII ones (; ` K).

An address that holds one is nobody's: no normalisation may turn a foreign name into
one of ours.  A test walks through all of Unicode to keep this list whole.
"""

_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_CONTROLS = r"\x00-\x1f\x7f-\x9f\u2028\u2029"  # of ASCII, C1, and Unicode's line ends
# Named by what it is not: a set up to U+10FFFF takes re 10 ms to compile, this one a tenth.
_ATEXT = rf'[^{_CONTROLS}\x20"(),.:;<>@\[\\\]\ud800-\udfff]'
_DOT_STRING = re.compile(rf"{_ATEXT}+(?:\.{_ATEXT}+)*")
_QUOTED_STRING = re.compile(rf'"(?:[^"\\{_CONTROLS}\ud800-\udfff]|\\[\x20-\x7e])*"')
_HOST = r"@(?:\[[^\]\s]*\]|[^\s@,:\"\[]+)"
_ROUTE = re.compile(rf"(?:{_HOST},)*{_HOST}:(?=.*@)", re.DOTALL)
_UNMATCHABLE = re.compile(rf"[{_CONTROLS}\u037e\u1fef\u212a\ud800-\udfff]")
_SPECIAL = re.compile(r'([\\"])')
_PAIR = re.compile(r"\\(.)", re.DOTALL)
_UPPER = str.maketrans({c: chr(c + 32) for c in range(ord("A"), ord("Z") + 1)})


@dataclass(frozen=True, slots=True)
class Address:
    """One mailbox as somebody wrote it, with what is needed to compare it.

    Two addresses name the same mailbox when their :attr:`key` is the same and not empty.
    """

    local: str
    """The local part, unquoted, in its own form (bytes that are no UTF-8: as surrogates)."""

    domain: str
    """The domain in lower-case A-labels, or a literal; empty where it can be nobody's."""

    written: str = ""
    """The domain as it was written; empty where there was none at all."""

    broken: bool = False
    """The local part cannot be read: an open quote, or nothing at all."""

    routed: bool = False
    """What looks like a source route stood before it, unquoted, and was taken away."""

    key: str = ""
    """What the directories are asked for: folded local part, ``@``, domain; empty: no entry."""

    def with_local(self, local: str) -> Address:
        """Return the address with another local part at the same domain."""
        return _address(local, self.domain, self.written)

    def extension(self, delimiters: str) -> tuple[Address, str] | None:
        """Split at the first of the ``delimiters``: the base address, and ``+ext`` as written.

        None where there is no delimiter, or nothing before it
        (``recipient_delimiter``, postconf(5)).
        """
        local = self.local
        found = [at for d in delimiters if (at := local.find(d)) >= 0]
        cut = min(found, default=0)
        if cut == 0:
            return None
        return self.with_local(local[:cut]), local[cut:]

    def text(self) -> str | None:
        """Write the address out for an MTA (RFC 5321 ``Mailbox``), quoted where it must be.

        None where no form of it would be read back as the same mailbox (control
        characters, bytes that are no UTF-8, no domain): the door then answers 451 4.3.5.
        """
        if not self.domain:
            return None
        local = self.local
        if _DOT_STRING.fullmatch(local):
            return f"{local}@{self.domain}"
        quoted = _SPECIAL.sub(r"\\\1", local)
        text = f'"{quoted}"@{self.domain}'
        again = parse_mailbox(text)
        if again is None or again.local != self.local or again.domain != self.domain:
            return None
        return text

    def __str__(self) -> str:
        """Give the address for a person: written out, or as near to it as can be."""
        return self.text() or (f"{self.local}@{self.written}" if self.written else self.local)


def fold_domain(written: str) -> str:
    """Return a domain in the one form in which domains are compared; empty: nobody's.

    NFC, lower case, IDNA 2008 without mapping, A-labels; one trailing dot is dropped.
    Address literals become ``[192.0.2.1]`` or ``[ipv6:2001:db8::1]`` in the canonical
    spelling of :mod:`ipaddress`; decimal, octal or short forms of them are nobody's.
    """
    # Longer than a domain and its dot can be: nobody's, and not worth remembering.
    return _fold_domain(written) if len(written) <= DOMAIN_OCTETS + 1 else ""


@lru_cache(maxsize=4096)
def _fold_domain(written: str) -> str:
    if written.startswith("["):
        return _fold_literal(written)
    domain = written.removesuffix(".")
    if not domain.isascii():
        if not NFC_TURNS_ASCII.isdisjoint(domain):
            return ""
        domain = unicodedata.normalize("NFC", unicodedata.normalize("NFC", domain).lower())
        labels = [label if label.isascii() else _alabel(label) for label in domain.split(".")]
    else:
        labels = domain.lower().split(".")
    if all(_LABEL.fullmatch(label) for label in labels):
        folded = ".".join(labels)
        return folded if len(folded) <= DOMAIN_OCTETS else ""
    return ""


def fold_local(local: str) -> str:
    """Return a local part in the one form in which local parts are compared.

    NFC, and ASCII letters in lower case; nothing else is folded (RFC 5321 section 2.4
    leaves case to the host, and every directory that we know ignores it).  Empty where
    no entry can have it: control characters, no UTF-8, characters that NFC turns ASCII.
    """
    if _UNMATCHABLE.search(local):
        return ""
    if local.isascii():
        return local.lower()
    return unicodedata.normalize("NFC", local).translate(_UPPER)


def parse_recipient(raw: bytes) -> Address:
    """Read a recipient of the policy protocol or of a map: unquoted, or quoted and valid.

    The policy protocol gives the unquoted form (``john doe@example.com``), so nothing in
    a local part makes it malformed; maps are asked with both forms.
    """
    whole = raw.decode("utf-8", "surrogateescape")
    text = _strip_route(whole) if whole.startswith("@") else whole
    routed = text is not whole
    local, at, written = _split(text)
    if local.startswith('"') and _QUOTED_STRING.fullmatch(local):
        local = _PAIR.sub(r"\1", local[1:-1])
    if not at:
        return _address(local, "", "", routed=routed)
    return _address(local, fold_domain(written), written, routed=routed)


def parse_path(raw: bytes) -> Address:
    """Read a recipient as SMTP and the milter give it: in angle brackets or not, quoted.

    Lenient, as MTAs are: parts in quotes (RFC 5322 obsolete form) are unquoted one by
    one, and the last ``@`` outside of quotes separates the domain.  An open quote makes
    the address :attr:`Address.broken`.
    """
    text = raw.decode("utf-8", "surrogateescape").strip(" \t")
    if text.startswith("<"):
        text = text[1:].removesuffix(">")
    if text.startswith("@"):
        text = _strip_route(text)
    local, written, broken = _unquote(text)
    if written is None:
        return _address(local, "", "", broken=broken)
    return _address(local, fold_domain(written), written, broken=broken)


def parse_mailbox(text: str) -> Address | None:
    """Read one mailbox strictly (RFC 5321 ``Mailbox``, RFC 6531); None where it is not one.

    For what directories and the configuration say: a list, a source route, a comment,
    white space around it or a domain that is none is refused.
    """
    local, at, written = _split(text)
    if not at:
        return None
    if _QUOTED_STRING.fullmatch(local):
        local = _PAIR.sub(r"\1", local[1:-1])
    elif not _DOT_STRING.fullmatch(local):
        return None
    address = _address(local, fold_domain(written), written)
    if address.broken or not address.domain or written.endswith("."):
        return None
    return address


def hides_foreign(local: str) -> bool:
    """Tell whether a local part may hide another address: ``%``, ``!`` or ``@`` in it.

    Also after NFKC, which turns full-width and small forms into those three.
    """
    if local.isascii():
        return "%" in local or "!" in local or "@" in local
    compatible = unicodedata.normalize("NFKC", local)
    return "%" in compatible or "!" in compatible or "@" in compatible


def _address(
    local: str, domain: str, written: str, *, broken: bool = False, routed: bool = False
) -> Address:
    folded = fold_local(local) if domain else ""
    key = f"{folded}@{domain}" if folded else ""
    return Address(local, domain, written, broken or not local, routed, key)


def _split(text: str) -> tuple[str, bool, str]:
    local, at, written = text.rpartition("@")
    if not at or written in {"", "."}:
        return local if at else written, False, ""
    return local, True, written


def _strip_route(text: str) -> str:
    route = _ROUTE.match(text)
    return text[route.end() :] if route else text


def _unquote(text: str) -> tuple[str, str | None, bool]:
    """Split and unquote an SMTP path: local part, domain as written, whether it is broken."""
    out: list[str] = []
    local_ends = domain_begins = -1
    quoted = False
    index = 0
    while index < len(text):
        char = text[index]
        if char == "\\" and index + 1 < len(text):
            index += 1
            out.append(text[index])
        elif char == '"':
            quoted = not quoted
        else:
            if char == "@" and not quoted:
                local_ends, domain_begins = len(out), index + 1
            out.append(char)
        index += 1
    if local_ends < 0:
        return "".join(out), None, quoted
    # As it is: a domain in quotes or with a backslash is no LDH name, and nobody's.
    written = text[domain_begins:]
    return "".join(out[:local_ends]), (None if written in {"", "."} else written), quoted


def _fold_literal(written: str) -> str:
    if not written.endswith("]"):
        return ""
    inside = written[1:-1]
    try:
        if inside[:5].lower() == "ipv6:" and "%" not in inside:
            return f"[ipv6:{ipaddress.IPv6Address(inside[5:]).compressed}]"
        return f"[{ipaddress.IPv4Address(inside)}]"
    except ValueError:
        return ""


def _alabel(label: str) -> str:
    if len(label) > LABEL_OCTETS:
        return ""
    try:
        return idna.alabel(label).decode("ascii")
    except (ValueError, IndexError):  # IDNAError is a ValueError; old releases leak both
        return ""
