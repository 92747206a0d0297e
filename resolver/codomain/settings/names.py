"""The types of values that name something: domains, spaces, hosts, networks, sockets, files.

In flows the text of a value, out flows what the rest of the program compares with:
domains and spaces folded (:func:`codomain.address.fold_domain`), networks of
:mod:`ipaddress` (RFC 4632, RFC 4291), smart hosts and mailboxes as they were written.
"""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from codomain.address import fold_domain, hides_foreign, parse_mailbox
from codomain.directory.filters import encode_filter
from codomain.settings.faults import WrongError, shown
from codomain.settings.kinds import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
"""Where clients come from."""

SOCKET_OCTETS = 107
"""The longest path of a unix socket (unix(7): sun_path has 108 octets, the last one zero)."""

HIGHEST_PORT = 65535
"""The highest TCP port (RFC 9293 section 3.1)."""

DIGESTS = frozenset({16, 20, 32, 48, 64})
"""Octets of a fingerprint: MD5, SHA-1, SHA-256, SHA-384, SHA-512 (smtpd_tls_fingerprint_digest)."""

MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
"""IPv4 addresses as IPv6 writes them (RFC 4291 section 2.5.5.2): clients count as IPv4."""

_PORT = re.compile(r"[0-9]{1,5}")
_BRACKETED = re.compile(r"\[([^\[\]\s,]+)\](?::([0-9]{1,5}))?")
_HOST_PORT = re.compile(r"([^\[\]\s,:]+)(?::([0-9]{1,5}))?")
_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62})")
_DELIMITER = re.compile(r"[#$&'*+,./:;=?^_`{|}~-]*")
_FINGERPRINT = re.compile(r"[0-9A-F]{2}(?::?[0-9A-F]{2})*")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a door listens."""

    kind: Literal["unix", "inet"]
    """A path, or an address and a port."""

    path: str = ""
    """The socket's path."""

    host: str = ""
    """The host's name or address, IPv6 without brackets."""

    port: int = 0
    """The TCP port; 0: any that is free."""

    def __str__(self) -> str:
        if self.kind == "unix":
            return f"unix:{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"inet:{host}:{self.port}"


def parents(name: str) -> Iterator[str]:
    """Return the names above a folded domain, the nearest first."""
    _, dot, above = name.partition(".")
    while dot and not name.startswith("["):
        yield above
        _, dot, above = above.partition(".")


def is_address(text: str) -> bool:
    """Tell whether a text is an IP address without brackets."""
    return _address(text) is not None


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return None if "%" in text else ipaddress.ip_address(text)
    except ValueError:
        return None


def _port(text: str, whole: str) -> int:
    if not _PORT.fullmatch(text) or int(text) > HIGHEST_PORT:
        raise WrongError(
            f"{shown(whole)} has no valid port; write 1 to {HIGHEST_PORT} behind the colon"
        )
    return int(text)


def read_endpoint(text: str) -> Endpoint:
    """Read ``unix:PATH`` or ``inet:HOST:PORT``; an IPv6 address stands in brackets."""
    kind, _, rest = text.partition(":")
    if kind == "unix":
        if not rest.startswith("/") or len(os.fsencode(rest)) > SOCKET_OCTETS:
            raise WrongError(
                f"{shown(text)} is no absolute path of at most {SOCKET_OCTETS} octets;"
                " write unix:/PATH"
            )
        return Endpoint("unix", path=rest)
    host, colon, port = rest.rpartition(":")
    if kind != "inet" or not colon:
        raise WrongError(f"{shown(text)} is no socket; write unix:/PATH or inet:HOST:PORT")
    inner = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    address = _address(inner)
    if (":" in host and (inner == host or address is None)) or (
        address is None and not fold_domain(inner)
    ):
        raise WrongError(f"{shown(host)} is no host; write a name, 127.0.0.1 or [::1]")
    return Endpoint("inet", host=inner, port=_port(port, text))


def is_loopback(endpoint: Endpoint) -> bool:
    """Tell whether an endpoint is reached from this host alone.

    A name other than ``localhost`` counts as reached from elsewhere: what it stands for may
    change.
    """
    address = _address(endpoint.host)
    if endpoint.kind == "unix" or endpoint.host.lower() == "localhost":
        return True
    return address is not None and address.is_loopback


def _maybe_endpoint(text: str) -> Endpoint | None:
    return read_endpoint(text) if text else None


def read_domain(text: str) -> str:
    """Read a domain that may be ours: folded, no ``*``, no top-level domain."""
    if "@" in text:
        raise WrongError(f"{shown(text)} holds @; write the domain alone")
    if text.startswith("*"):
        raise WrongError(f"{shown(text)} covers many; write the domain, and subdomains = yes")
    folded = fold_domain(text)
    if not folded:
        raise WrongError(f"{shown(text)} is no domain; write one such as example.com")
    if is_top_level(folded):
        raise WrongError(f"{shown(text)} is a top-level domain; write one below it")
    return folded


def is_top_level(space: str) -> bool:
    """Tell whether a folded space is a whole top-level domain, or all below one."""
    name = space.removeprefix("*.")
    return "." not in name and not name.startswith("[")


def read_space(text: str) -> str:
    """Read an address space: a domain, or ``*.`` and a domain for all below it."""
    if "@" in text:
        raise WrongError(f"{shown(text)} holds @; write the domain alone")
    if text.strip("*.") == "":
        raise WrongError(f"{shown(text)} is everything; write the domains, such as *.example.com")
    folded = fold_domain(text.removeprefix("*."))
    if not folded or (text.startswith("*.") and folded.startswith("[")):
        raise WrongError(f"{shown(text)} is no address space; write example.com or *.example.com")
    return f"*.{folded}" if text.startswith("*.") else folded


def _target(text: str) -> str:
    space = read_space(text)
    if is_top_level(space):
        raise WrongError(f"{shown(text)} is a top-level domain; write one below it")
    return space


def _http_host(text: str) -> str:
    inner = text.removeprefix("[").removesuffix("]") if text.startswith("[") else text
    if not is_address(inner) and not fold_domain(text):
        raise WrongError(f"{shown(text)} is no host; write a name without a port")
    return f"[{inner}]".lower() if ":" in inner else fold_domain(inner) or inner


def _host_name(text: str) -> str:
    if text and not fold_domain(text):
        raise WrongError(f"{shown(text)} is no host name; write one such as mx.example.com")
    return text


def read_smart_host(text: str) -> str:
    """Read a smart host, and give it back as written.

    ``[address]``, ``[name]`` or ``name``, each with ``:port`` or without it, or
    ``unix:PATH`` for a transport that speaks LMTP.
    """
    if text.startswith("unix:") and len(text.split()) == 1 and text != "unix:":
        return text
    bare = text.rpartition(":")[0] if text.count(":") == 1 else text
    if is_address(text) or is_address(bare):
        right = f"[{text}]" if is_address(text) else f"[{bare}]:{text.rpartition(':')[2]}"
        raise WrongError(f"{shown(text)} is an address without brackets; write {right}")
    found = _BRACKETED.fullmatch(text) or _HOST_PORT.fullmatch(text)
    if found is None or not _is_host(found[1], bracketed=text.startswith("[")):
        raise WrongError(
            f"{shown(text)} is no smart host; write [192.0.2.10], [192.0.2.10]:25 or a name"
        )
    if found[2] is not None and not _port(found[2], text) > 0:
        raise WrongError(f"{shown(text)} has port 0; write 1 to {HIGHEST_PORT}")
    return text


def _is_host(text: str, *, bracketed: bool) -> bool:
    if bracketed and is_address(re.sub(r"(?i)^ipv6:", "", text)):
        return True
    return bool(fold_domain(text)) and not re.fullmatch(r"[0-9.]+", text)


def read_network(text: str) -> Network:
    """Read a network, or one address; IPv6 also in brackets, as main.cf has it."""
    bare = re.sub(r"^\[([^\[\]]*)\]", r"\1", text)
    try:
        network: Network = ipaddress.ip_network(bare)
    except ValueError:
        raise WrongError(_network_hint(text, bare)) from None
    if isinstance(network, ipaddress.IPv6Network):
        if "%" in bare:
            raise WrongError(f"{shown(text)} has a zone; write the network without it")
        if network.subnet_of(MAPPED):
            shift = int(network.network_address) & 0xFFFFFFFF
            network = ipaddress.IPv4Network((shift, network.prefixlen - MAPPED.prefixlen))
    if network.prefixlen == 0:
        raise WrongError(f"{shown(text)} is every address; write the networks of your own")
    return network


def _network_hint(text: str, bare: str) -> str:
    try:
        wide = ipaddress.ip_network(bare, strict=False)
    except ValueError:
        return f"{shown(text)} is no network; write one such as 192.0.2.0/24 or 2001:db8::/32"
    return f"{shown(text)} has bits behind its mask; write {wide} or a longer mask"


def _peer(text: str) -> str:
    if _address(text.partition("/")[0].strip("[]")) is not None or "/" in text:
        read_network(text)
        return text
    if not _is_host(text, bracketed=False):
        raise WrongError(f"{shown(text)} is neither network nor host; write 192.0.2.0/24 or a name")
    return text


def read_mailbox(text: str) -> str:
    """Read one mailbox, and give it back as written; empty: none."""
    address = parse_mailbox(text) if text else None
    if text and (address is None or hides_foreign(address.local)):
        raise WrongError(f"{shown(text)} is not one mailbox; write one such as ann@example.com")
    return text


def _sender(text: str) -> str:
    return "" if text == "<>" else read_mailbox(text)


def read_label(text: str) -> str:
    """Read the name of a section: it stands in metrics and logs as it is."""
    if not _LABEL.fullmatch(text):
        raise WrongError(f"{shown(text)} is no name; write letters, digits, - and _, up to 63")
    return text


def _maybe_label(text: str) -> str:
    return read_label(text) if text else text


def read_delimiter(text: str) -> str:
    """Read recipient_delimiter (postconf(5)): one or more characters, or none."""
    if not _DELIMITER.fullmatch(text):
        raise WrongError(f"{shown(text)} cannot part an address; write + or - or nothing")
    return text


def _path(text: str) -> str:
    if text and not text.startswith("/"):
        raise WrongError(f"{shown(text)} is no absolute path; begin it with /")
    return text


def _socket_path(text: str) -> str:
    # A socket is made under another name (.new) and moved into place.
    longest = SOCKET_OCTETS - len(".new")
    if text and len(os.fsencode(_path(text))) > longest:
        raise WrongError(f"{shown(text)} is longer than a socket's path; write {longest} octets")
    return text


def _postfix(text: str) -> str:
    if text not in {"auto", "off"} and not text.startswith("/"):
        raise WrongError(f"{shown(text)} is not auto, off or a folder; write auto")
    return text


def _fingerprint(text: str) -> str:
    upper = text.upper()
    digits = upper.replace(":", "")
    if not _FINGERPRINT.fullmatch(upper) or len(digits) // 2 not in DIGESTS:
        raise WrongError(
            f"{shown(text)} is no fingerprint; write the digest's octets, such as AB:CD:…"
        )
    return ":".join(digits[i : i + 2] for i in range(0, len(digits), 2))


def _url(text: str, schemes: tuple[str, ...], *, host: bool) -> str:
    try:
        parts = urlsplit(text)
        fits = parts.scheme in schemes and (bool(parts.hostname) or not host)
        _ = parts.port if host else None
    except ValueError:
        fits = False
    if not fits or "://" not in text or " " in text:
        listed = ", ".join(f"{scheme}://" for scheme in schemes)
        raise WrongError(f"{shown(text)} is no such address; write one that begins with {listed}")
    return text


def _ldap_server(text: str) -> str:
    return _url(text, ("ldaps", "ldap", "ldapi"), host=not text.startswith("ldapi:"))


def _ldap_filter(text: str) -> str:
    try:
        if text:
            encode_filter(text.replace("%s", "x"))
    except ValueError:
        raise WrongError(
            f"{shown(text)} is no filter; write one such as (mail=%s) or (department=sales)"
        ) from None
    return text


def _encoding(text: str) -> str:
    try:
        "".encode(text)
    except (LookupError, ValueError):
        raise WrongError(f"{shown(text)} is no encoding; write utf-8, utf-16 or cp1252") from None
    return text


# The types by which keys are declared; MAYBE_ ones may be empty.
ENDPOINT = Kind("socket, unix:PATH or inet:HOST:PORT", read_endpoint)
MAYBE_ENDPOINT = Kind("socket, unix:PATH or inet:HOST:PORT", _maybe_endpoint)
SPACE = Kind("address space", read_space)
TARGET = Kind("address space", _target)
HOST_NAME = Kind("host name", _host_name)
HTTP_HOST = Kind("host name", _http_host)
HOST = Kind("host name or [address]", read_smart_host)
SMART_HOST = Kind("smart host", read_smart_host)
NETWORK = Kind("network", read_network)
PEER = Kind("network or host name", _peer)
MAILBOX = Kind("address", read_mailbox)
SENDER = Kind("address", _sender)
LABEL = Kind("name", read_label)
MAYBE_LABEL = Kind("name", _maybe_label)
DELIMITER = Kind("characters", read_delimiter)
PATH = Kind("path", _path)
SOCKET_PATH = Kind("path of a socket", _socket_path)
SECRET = Kind("path of a file that others cannot read", lambda text: text)
POSTFIX = Kind("auto | off | folder", _postfix)
FINGERPRINT = Kind("fingerprint", _fingerprint)
LDAP_SERVER = Kind("server, ldaps://HOST, ldap://HOST or ldapi://PATH", _ldap_server)
LDAP_FILTER = Kind("LDAP filter (RFC 4515)", _ldap_filter)
ENCODING = Kind("encoding", _encoding)
