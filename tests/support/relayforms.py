"""The forms of tests/data/relay_forms.tsv, and 10,000 addresses of people that are none.

The forms are what a relay tester asks for; the plausible addresses have the shapes that
real ones have, among them those that look odd to a careless filter.
"""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import NamedTuple

FILE = Path(__file__).parents[1] / "data" / "relay_forms.tsv"

PLACES = {
    b"{T}": b"relaytest",
    b"{E}": b"elsewhere.test",
    b"{H}": b"example.com",
    b"{A}": b"corp.local",
    b"{R}": b"unix.example.net",
    b"{M}": b"gateway.test",
    b"{I}": b"127.0.0.1",
}
SENDERS = (b"", b"antispam@elsewhere.test", b"antispam", b"ann@example.com", b"a@[127.0.0.1]")
"""No sender, a foreign one, a bare one, and forged ones."""

CONTACTS = {
    "bob@example.com": "bob@unix.example.net",
    "own@example.com": "ann@corp.local",
    "eve@example.com eve@corp.local": "relaytest@elsewhere.test",
    "list@example.com": "ann@corp.local,relaytest@elsewhere.test",
    "args@example.com": "ann@corp.local> NOTIFY=NEVER",
    "hides@example.com": "relaytest%elsewhere.test@unix.example.net",
    "routed@example.com": "@unix.example.net:relaytest@elsewhere.test",
    "x1@example.com": "x2@example.com",
    "x2@example.com": "x1@example.com",
    "astray@corp.local": "eve@example.com",
}
"""Addresses and target of each contact; the first two lead where they may."""


BASE = """\
dn: dc=example,dc=com
objectClass: dcObject
objectClass: organization
o: example
dc: example
"""
ANN = """\
dn: cn=ann,dc=example,dc=com
objectClass: user
cn: ann
sn: Ann
mail: ann@corp.local
proxyAddresses: SMTP:ann@corp.local
proxyAddresses: smtp:ann@example.com
"""


def people() -> str:
    """Write the contacts, and a mailbox ann, as LDIF for a server."""
    entries = [BASE, ANN]
    for addresses, target in CONTACTS.items():
        name = addresses.partition("@")[0]
        entries.append(
            f"dn: cn={name},dc=example,dc=com\nobjectClass: contact\ncn: {name}\nsn: {name}\n"
            + "".join(f"proxyAddresses: smtp:{address}\n" for address in addresses.split())
            + f"targetAddress: SMTP:{target}\n"
        )
    return "\n".join(entries)


_REPEATED = re.compile(rb"\\N\{(\d+)\}(.)")
_ESCAPED = re.compile(rb"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|(\\))")


class Form(NamedTuple):
    """One line of the file, as octets."""

    family: str
    sender: bytes | None
    recipient: bytes
    form: str


def octets(text: str) -> bytes:
    """Turn a cell of the file into what a client sends."""
    raw = text.encode()
    for place, value in PLACES.items():
        raw = raw.replace(place, value)
    raw = _REPEATED.sub(lambda m: m[2] * int(m[1]), raw)
    return _ESCAPED.sub(
        lambda m: bytes.fromhex(m[1].decode()) if m[1] else chr(int(m[2], 16)).encode() if m[2]
        else b"\\",
        raw,
    )  # fmt: skip


def forms() -> list[Form]:
    """Read the file."""
    found = []
    for line in FILE.read_text(encoding="utf-8").splitlines():
        if line.startswith(("#", "family\t")):
            continue
        family, sender, recipient, form = line.split("\t")
        given = {"-": b"", "*": None}.get(sender, octets(sender))
        found.append(Form(family, given, octets(recipient), form))
    return found


FIRST = ("anna", "jean-luc", "maria", "o'brien", "jose", "li", "x", "mc")
LAST = ("smith", "van.der.berg", "o'neil", "mueller", "garcia-lopez", "wu", "y")
ROLES = ("info", "no-reply", "abuse", "root", "mailer-daemon", "hostmaster", "sales_eu", "4711")
TAGS = ("news", "2026", "a-b", "a_b", "x.y", "shop=1", "#7", "~", "{guid}", "$list", "&co", "'q'")


def local_part(draw: random.Random) -> str:
    """Draw a local part of a shape that real addresses have, as SMTP writes it."""
    first, last = draw.choice(FIRST), draw.choice(LAST)
    number = draw.randrange(10_000)
    token = f"{draw.getrandbits(128):032x}"
    word = draw.choice(TAGS)
    return draw.choice(
        (
            f"{first}.{last}",
            f"{first[0]}.{last}",
            f"{first}_{last}{number}",
            f"{first.title()}.{last.upper()}",
            f"{first}-{number}",
            f"{number}",
            f"{draw.choice(ROLES)}{number}",
            f"{first}{number}+{word}",
            f"{first}.{last}+{word}+{number}",
            f"bounce-{number}-{first}=elsewhere.test",
            f"bounces+{number}-{token[:4]}-{first}=elsewhere.test",
            f"srs0={token[:4]}={token[4:6]}=elsewhere.test={first}{number}",
            f"srs1={token[:4]}=other.test==hhh=tt=elsewhere.test={first}",
            f"prvs={number}{token[:6]}={first}",
            f"msprvs1={token}=bounces-{number}",
            f"owner-{first}-{number}",
            f"{first}-request{number}",
            f"/g={first}/s={last.replace('.', '')}/ou={number}/",
            f"{token}{token}",
            f"unsub_{token}-{token[:20]}.{number}",
            f"{first}#{number}",
            f"{first}*{number}",
            f"{first}&{number}",
            f"{{{token[:8]}-{token[8:12]}}}",
            f"_{first}{number}_",
            f"-{first}{number}",
            f'"{first} {number}"',
            f'"{first}.{number}."',
            f'"{first}..{number}"',
            f'"{first}({number})"',
            f'"{last}, {first} {number}"',
            f'"{first}:{number};"',
            f'"<{first}{number}>"',
            f'"{first}\\"{number}\\""',
        )
    )


def plausible(number: int, seed: int = 1) -> list[str]:
    """Draw that many local parts of legitimate addresses, all different."""
    draw = random.Random(seed)
    found: dict[str, str] = {}
    while len(found) < number:
        local = local_part(draw)
        found.setdefault(local.lower(), local)
    return list(found.values())
