"""What the second level calls its keys, its channel, and what is said over it.

Keys begin with ``codomain:1`` (the version of the values) and the fingerprint of what the
answers of a directory depend on: gateways whose directories differ share nothing.  Two
marks stand beside them: the *epoch*, another one after each purge, so that a search which
a purge overtook stores nothing; and the *flush*, which every value carries, so that a flush
makes all older ones worthless at once.  Marks are random: one that the server lost is never
taken for a later one.

Purges are published on a channel of our own, because a server tells nobody which keys it
was told to forget, but only which ones changed, and those change with every search.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from codomain.sharedvalue import VERSION, SurpriseError, text_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from codomain.config import DirectorySection

PREFIX = f"codomain:{VERSION}"
"""What every key begins with; an ACL may name it (``~codomain:*``)."""

EPOCH = f"{PREFIX}:epoch"
"""The key of the mark that each purge and flush sets anew."""

FLUSH = f"{PREFIX}:flush"
"""The key of the mark that each flush sets anew."""

MARK_SECONDS = 30 * 86_400
"""Marks outlive all values: no lifetime of the INI is longer (settings.sections)."""

MARK_OCTETS = 32
"""So much of a mark is read; ours have 16 octets."""

MESSAGE_OCTETS = 1_000_000
"""The longest message that is read: a thousand addresses of the longest kind."""

ADDRESSES = 1_000
"""The most addresses of one purge; more are a flush."""

PERSONAL = frozenset(
    {
        "name",
        "servers",
        "timeout",
        "connect_timeout",
        "pool_size",
        "bind_password_file",
        "ca_file",
        "max_age",
        "max_shrink",
    }
)
"""Keys of ``[directory …]`` that change no answer, and may differ between gateways; the
servers are compared without their order.  A key that is not named here keeps gateways apart."""

PUT = """\
if redis.call('GETRANGE', KEYS[1], 0, 31) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
return 1
"""
"""Stores a value, unless there was a purge since the epoch was read."""

PURGE = """\
local gone = 0
for i = 2, #KEYS do gone = gone + redis.call('DEL', KEYS[i]) end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
if ARGV[3] ~= '' then redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[2]) end
redis.call('PUBLISH', ARGV[4], ARGV[5])
return gone
"""
"""Forgets values and says so, as one step.  It deletes first: a server that is full lets a
script that has begun to write go on."""

_MARK = re.compile(r"[0-9a-f]{0,32}")


@dataclass(frozen=True, slots=True)
class Purge:
    """What one gateway tells the others."""

    by: str
    """Who says so: a mark of its own."""

    epoch: str
    """The epoch that begins with it."""

    keys: tuple[str, ...] = ()
    """The addresses that are forgotten, as :attr:`codomain.address.Address.key`."""

    everything: bool = False
    """All addresses are."""

    cleared: tuple[str, ...] = ()
    """The fingerprints under which the server's values are gone already."""


def mark() -> str:
    """Return a new mark."""
    return secrets.token_hex(8)


def fingerprint(section: DirectorySection) -> str:
    """Name what the answers of a directory depend on."""
    parts: dict[str, Any] = {
        field.name: getattr(section, field.name)
        for field in fields(section)
        if field.name not in PERSONAL
    }
    parts["servers"] = sorted(section.servers)
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def value_key(directory: str, key: str) -> str:
    """Name the value of an address, below the fingerprint of its directory."""
    return f"{PREFIX}:{directory}:{key}"


def channel(database: int) -> str:
    """Name the channel: channels know no databases (Redis, pub/sub)."""
    return f"{PREFIX}:{database}:purge"


def pack_purge(purge: Purge) -> bytes:
    """Write a message."""
    written = {
        "v": VERSION,
        "by": purge.by,
        "epoch": purge.epoch,
        "keys": purge.keys,
        "everything": purge.everything,
        "cleared": purge.cleared,
    }
    return json.dumps(written, ensure_ascii=False, separators=(",", ":")).encode()


def unpack_purge(raw: bytes) -> Purge:
    """Read a message.

    Raises:
        SurpriseError: it is none of this version's; whoever hears it believes nothing that
            it keeps.

    """
    try:
        read = json.loads(raw.decode()) if len(raw) <= MESSAGE_OCTETS else None
    except (ValueError, RecursionError) as error:
        raise SurpriseError("it is no JSON") from error
    if not isinstance(read, dict) or read.get("v") != VERSION:
        raise SurpriseError("its version is another")
    if not isinstance(read.get("everything"), bool):
        raise SurpriseError("its fields are others")
    return Purge(
        by=read_mark(read.get("by")),
        epoch=read_mark(read.get("epoch")),
        keys=_texts(read.get("keys")),
        everything=read["everything"],
        cleared=_texts(read.get("cleared")),
    )


def read_mark(read: object) -> str:
    """Return a mark as the server or a message has it.

    Raises:
        SurpriseError: it is none.

    """
    text = read.decode("latin-1") if isinstance(read, bytes) else read
    if not isinstance(text, str) or not _MARK.fullmatch(text):
        raise SurpriseError(f"a mark is none: {str(read)[:MARK_OCTETS]!r}")
    return text


def _texts(read: object) -> tuple[str, ...]:
    if not isinstance(read, list) or len(read) > ADDRESSES:
        raise SurpriseError("a list is none, or too long")
    return tuple(map(text_of, read))


def keys_of(directories: Iterable[str], keys: Iterable[str]) -> list[str]:
    """Name the values of some addresses below several fingerprints."""
    found = list(keys)
    return [value_key(directory, key) for directory in directories for key in found]
