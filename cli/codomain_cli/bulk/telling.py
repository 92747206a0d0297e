"""Telling the running daemon which addresses it must ask anew, after a change.

Without it a contact that was just made stays unknown for ``not_found_ttl``, and one that
was changed leads where it led for ``found_ttl``.  A daemon that is not there is no fault:
it will ask when it starts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from codomain.errors import CodomainError
from codomain_cli.caller import call
from codomain_cli.exits import AbsentError
from codomain_cli.handlers import ADDRESSES

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def purge(path: Path, addresses: Iterable[str]) -> str:
    """Make the daemon forget some addresses; return what a postmaster should know of it."""
    left = sorted(addresses)
    if not left:
        return ""
    count = len(left)
    unreached = ""
    try:
        while left:
            found = call(path, "cache.purge", addresses=left[:ADDRESSES])
            left = left[ADDRESSES:]
            shared = found["shared"]
            if shared is not None and not shared["up"]:
                unreached = f"; {shared['server']} cannot be reached, the other gateways hear later"
    except AbsentError as error:
        return f"the daemon was not told: {error}"
    except CodomainError as error:
        return f"{len(left)} addresses may be answered as before until they expire: {error}"
    return f"the daemon asks for {count} addresses anew{unreached}"
