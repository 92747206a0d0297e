"""Mailbox addresses for the model: parsed from RFC 5321 and 5891 alone, not by codomain.

In flow the bytes of a door or the text of an entry, out flows a :class:`Box`.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

import idna

_ATOM = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-\u0080-\U0010ffff]+")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_LDH = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
_HOP = r"@(?:\[[^\]@,]*\]|[^\s@:,\"\[\]]+)"
_ROUTE = re.compile(rf"{_HOP}(?:,{_HOP})*:")
_WORDS = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\\?\Z)|\\.|[^"]', re.DOTALL)
_NAME = 255
_LABEL = 63


def lower(text: str) -> str:
    """Fold the letters of ASCII, and nothing else."""
    return "".join(chr(ord(c) + 32) if "A" <= c <= "Z" else c for c in text)


def fold_local(local: str) -> str:
    """Bring a local part into the form in which it is compared."""
    return lower(unicodedata.normalize("NFC", local))


def makes_ascii(text: str) -> bool:
    """Tell whether NFC turns a character beyond ASCII into one of ASCII."""
    return any(c > "\x7f" and min(unicodedata.normalize("NFC", c)) <= "\x7f" for c in text)


def has_controls(text: str) -> bool:
    """Tell whether a text has what ends a line, is no character, or controls a terminal."""
    return any(unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"} for c in text)


def fold_domain(text: str) -> str:
    """Return a domain in A-labels or a literal in its one form; empty: it is nobody's."""
    if text.startswith("["):
        return fold_literal(text)
    text = text.removesuffix(".")
    if makes_ascii(text):
        return ""
    labels = []
    for label in unicodedata.normalize("NFC", text).lower().split("."):
        name = label
        if not label.isascii():
            try:
                name = idna.alabel(label).decode()
            except (idna.IDNAError, UnicodeError):
                return ""
        if len(name) > _LABEL or not _LDH.fullmatch(name):
            return ""
        labels.append(name)
    name = ".".join(labels)
    return name if len(name) <= _NAME else ""


def fold_literal(text: str) -> str:
    """Return an address literal (RFC 5321 section 4.1.3) in its one form."""
    inner = text[1:-1]
    if not text.endswith("]") or not text.isascii():
        return ""
    try:
        if inner.lower().startswith("ipv6:"):
            return "" if "%" in inner else f"[ipv6:{IPv6Address(inner[5:])}]"
        return f"[{IPv4Address(inner)}]"
    except ValueError:
        return ""


def quote(local: str) -> str:
    """Quote a local part where RFC 5321 asks for it."""
    if local and all(_ATOM.fullmatch(part) for part in local.split(".")):
        return local
    return '"' + re.sub(r'(["\\])', r"\\\1", local) + '"'


def unquote(text: str) -> str:
    """Take the quotes and backslashes off."""
    return re.sub(r"\\(.)", r"\1", text[1:].removesuffix('"'), flags=re.DOTALL)


def read_policy(raw: bytes) -> Box:
    """Read a recipient as the policy protocol and the maps give it: unquoted."""
    text = raw.decode("utf-8", "surrogateescape")
    rest = strip_route(text)
    local, at, domain = rest.rpartition("@")
    if not at:
        local, domain = domain, ""
    if _QUOTED.fullmatch(local) and not has_controls(local):
        local = unquote(local)
    return Box(local, domain_of(domain), plain=text.isascii(), routed=rest != text)


def read_path(raw: bytes) -> Box:
    """Read a recipient as SMTP writes it (RFC 5321 section 4.1.2), in angle brackets.

    Words in quotes may stand beside others (RFC 5322 section 4.4, obs-local-part); the
    last ``@`` outside of quotes begins the domain; an open quote makes it impossible.
    """
    text = raw.decode("utf-8", "surrogateescape").strip(" \t")
    if text.startswith("<"):
        text = text[1:].removesuffix(">")
    text = strip_route(text)
    words = _WORDS.findall(text)
    signs = [at for at, word in enumerate(words) if word == "@"]
    ends = signs[-1] if signs else len(words)
    local = "".join(unquote(w) if w[0] == '"' else w[-1] for w in words[:ends])
    domain = "".join(words[ends + 1 :])
    impossible = any(w[0] == '"' and not _QUOTED.fullmatch(w) for w in words)
    return Box(local, domain_of(domain), plain=text.isascii(), impossible=impossible)


def strip_route(text: str) -> str:
    """Take a source route off (RFC 5321 section 4.1.1.3)."""
    route = _ROUTE.match(text)
    return text[route.end() :] if route and "@" in text[route.end() :] else text


def domain_of(written: str) -> str | None:
    """Fold a domain; None where there is none at all."""
    return None if written in {"", "."} else fold_domain(written)


def read_mailbox(text: str) -> Box | None:
    """Read what an entry or the configuration names: one mailbox, strictly, or None."""
    local, at, written = text.rpartition("@")
    domain = "" if written.endswith(".") else fold_domain(written)
    if _QUOTED.fullmatch(local):
        local = unquote(local)
    elif not all(_ATOM.fullmatch(part) for part in local.split(".")):
        return None
    if not at or not local or not domain or has_controls(local) or makes_ascii(local):
        return None
    return Box(local, domain)


def hides(local: str) -> bool:
    """Step 4: tell whether a local part hides another address."""
    return any(c in "%!@" for c in local + unicodedata.normalize("NFKC", local))


def cut(local: str, delimiters: str) -> tuple[str, str]:
    """Cut a local part at the first delimiter: the base, which is never empty, and the rest."""
    for index, c in enumerate(local):
        if c in delimiters:
            return (local[:index], local[index:]) if index else (local, "")
    return local, ""


@dataclass(frozen=True)
class Box:
    """A mailbox; ``domain`` is None where there is none, and empty where it is nobody's."""

    local: str
    domain: str | None
    plain: bool = True
    impossible: bool = False
    routed: bool = False

    @property
    def key(self) -> tuple[str, str]:
        """What is compared: NFC and ASCII letters folded."""
        return fold_local(self.local), self.domain or ""

    @property
    def text(self) -> str:
        """As it is written for an MTA."""
        return f"{quote(self.local)}@{self.domain}"


def fold_space(space: str) -> str:
    """Fold the domain of an address space."""
    below = "*." if space.startswith("*.") else ""
    return below + fold_domain(space.removeprefix("*."))


def bare(host: str) -> str:
    """Take brackets and port off a host."""
    found = re.fullmatch(r"\[?([^\[\]]*?)\]?(?::[0-9]+)?", host.strip())
    return (found[1] if found else host).removesuffix(".")


def spaces_over(name: str) -> list[str]:
    """List the spaces that would cover a domain, the most specific first."""
    if name.startswith("["):
        return [name]
    labels = name.split(".")
    return [name] + ["*." + ".".join(labels[at:]) for at in range(1, len(labels))]
