"""What the daemon does when it is asked over the control socket.

``version``: ``{"version"}``.

``status``: ``{"version", "generation", "loaded", "files", "directories", "callouts",
"shared"}``; of each directory ``{"name", "type", "up", "detail", "servers": [{"uri", "up"}],
"index"}``, and of a local index ``{"usable", "entries", "synced", "age"}``, else null; age is
null where it is not known.  ``callouts`` is null where no next system is asked, else
``{"connectors", "remembered": {"known", "unknown", "unsure"}}``; of each connector ``{"name",
"up", "asking", "failures", "again", "failed", "detail", "anything", "anything_domains"}``
(:mod:`codomain_cli.nextsystems`).

``cache.stats``: ``{"size", "entries", "lookups", "shared"}``.

``cache.purge``: of ``{"addresses": [...]}``, each in any form that a client could write, the
answers that are kept are forgotten, here and at the gateways that share the cache:
``{"addresses": [{"address", "keys", "known"}], "shared"}``.

``cache.flush``: all are forgotten, those that would serve through an outage, too:
``{"known", "shared"}``.

``explain`` and ``shadow.report`` stand in :mod:`codomain_cli.livehandlers`.

``shared`` is null where no cache is shared, else ``{"server", "up", "detail"}``; after a
purge ``up`` says whether the other gateways were told.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any

from codomain import __version__
from codomain.address import parse_path, parse_recipient
from codomain.errors import CodomainError
from codomain.log import event
from codomain.metrics import LOOKUPS
from codomain_cli.exits import RequestError
from codomain_cli.health import servers_of
from codomain_cli.livehandlers import LiveHandlers
from codomain_cli.nextsystems import next_systems

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from codomain.config import DirectorySection
    from codomain.domains import Domains
    from codomain.runtime import InForce, Runtime
    from codomain_cli.control import Handler, Peer
    from codomain_cli.health import Health

ADDRESSES = 200
"""The most addresses of one purge; as many of the longest kind fit a request."""

log = logging.getLogger("codomain.control")


class Handlers:
    """The commands that concern the runtime in force."""

    def __init__(self, in_force: InForce, health: Health, refresh: Callable[[], object]) -> None:
        """Take what to call on the loop when verdicts that doors keep must go."""
        self._in_force = in_force
        self._health = health
        self._refresh = refresh

    def table(self) -> dict[str, Handler]:
        """Return the handlers by the names of their commands."""
        return {
            "version": self.version,
            "status": self.status,
            "cache.stats": self.cache_stats,
            "cache.purge": self.cache_purge,
            "cache.flush": self.cache_flush,
            **LiveHandlers(self._in_force).table(),
        }

    async def version(self, _arguments: Mapping[str, Any], _peer: Peer) -> object:
        """Tell which version runs."""
        return {"version": __version__}

    async def status(self, _arguments: Mapping[str, Any], _peer: Peer) -> object:
        """Tell what is in force, and what answers."""
        runtime = self._in_force.runtime
        silent = self._health.silent()
        return {
            "version": __version__,
            "generation": runtime.generation,
            "loaded": runtime.loaded,
            "files": [str(path) for path in runtime.config.files],
            "directories": [
                self._directory(section, runtime, up=section.name not in silent)
                for section in runtime.config.directories
            ],
            "callouts": next_systems(runtime, time.monotonic()),
            "shared": _shared(runtime),
        }

    def _directory(self, section: DirectorySection, runtime: Runtime, *, up: bool) -> object:
        directory = runtime.directories[section.name]
        detail = "" if up else self._health.detail(section.name)
        return {
            "name": section.name,
            "type": section.type,
            "up": up,
            "detail": detail,
            "servers": [{"uri": uri, "up": answers} for uri, answers in servers_of(directory)],
            "index": _index(directory, time.time()),
        }

    async def cache_stats(self, _arguments: Mapping[str, Any], _peer: Peer) -> object:
        """Tell what is kept, and how often that was of use."""
        runtime = self._in_force.runtime
        metrics = runtime.metrics
        return {
            "size": runtime.config.cache.size,
            "entries": dict(metrics.cache_sizes()),
            "lookups": {
                kind: metrics.lookups(kind).count + metrics.lookups_aside(kind).count
                for kind in LOOKUPS
            },
            "shared": _shared(runtime),
        }

    async def cache_purge(self, arguments: Mapping[str, Any], peer: Peer) -> object:
        """Forget some addresses."""
        runtime = self._in_force.runtime
        forms = {
            address: forms_of(address, runtime.rules.domains) for address in _addresses(arguments)
        }
        keys = list(dict.fromkeys(key for found in forms.values() for key in found))
        values, shared = 0, None
        if runtime.shared is not None:
            values, shared = await _told(runtime, keys)
        runtime = self._in_force.runtime
        known = {
            # In a thread: every answer of a call-out is looked at, for each address.
            address: await asyncio.to_thread(runtime.purge, *found)
            for address, found in forms.items()
        }
        self._refresh()
        names = ",".join(forms)
        self._log("cache purged", peer, addresses=names, known=sum(known.values()), shared=values)
        return {
            "addresses": [
                {"address": address, "keys": list(found), "known": known[address]}
                for address, found in forms.items()
            ],
            "shared": shared,
        }

    async def cache_flush(self, _arguments: Mapping[str, Any], peer: Peer) -> object:
        """Forget everything."""
        runtime = self._in_force.runtime
        shared = None if runtime.shared is None else (await _told(runtime, None))[1]
        known = await asyncio.to_thread(self._in_force.runtime.flush)
        self._refresh()
        self._log("cache flushed", peer, known=known)
        return {"known": known, "shared": shared}

    def _log(self, name: str, peer: Peer, **values: object) -> None:
        event(log, logging.INFO, name, **values, uid=peer.uid, gid=peer.gid, pid=peer.pid)


def forms_of(address: str, domains: Domains) -> tuple[str, ...]:
    """Return the keys under which an address may be kept, in any form that a client writes it.

    The address itself, and without its extension; folding makes case, quotes, angle
    brackets, a source route and the two spellings of an IDN the same.

    Raises:
        RequestError: no entry can have such an address.

    """
    raw = address.encode("utf-8", "surrogatepass")
    keys: dict[str, None] = {}
    for parsed in (parse_recipient(raw), parse_path(raw)):
        if not parsed.key:
            continue
        keys[parsed.key] = None
        domain = domains.match(parsed.domain)
        parts = parsed.extension(domain.delimiters) if domain is not None else None
        if parts is not None and parts[0].key:
            keys[parts[0].key] = None
    if not keys:
        raise RequestError("arguments", f"{address!r} is no address")
    return tuple(keys)


def _addresses(arguments: Mapping[str, Any]) -> list[str]:
    addresses = arguments.get("addresses")
    if not isinstance(addresses, list) or not 0 < len(addresses) <= ADDRESSES:
        raise RequestError("arguments", f"addresses must be a list of 1 to {ADDRESSES}")
    if not all(isinstance(address, str) for address in addresses):
        raise RequestError("arguments", "an address must be a text")
    return list(dict.fromkeys(addresses))


async def _told(runtime: Runtime, keys: list[str] | None) -> tuple[int, object]:
    """Tell the other gateways; how many values the server had, and whether it was reached."""
    shared = runtime.shared
    if shared is None:
        return 0, None
    try:
        if keys is None:
            await asyncio.to_thread(shared.purges.flush)
            values = 0
        else:
            values = await asyncio.to_thread(shared.purges.purge, keys)
    except CodomainError as error:
        return 0, {"server": shared.name, "up": False, "detail": str(error)}
    return values, {"server": shared.name, "up": True, "detail": ""}


def _shared(runtime: Runtime) -> object:
    shared = runtime.shared
    if shared is None:
        return None
    return {"server": shared.name, "up": shared.up, "detail": shared.detail}


def _index(directory: object, now: float) -> object:
    """Tell how old a directory's local index is; None where it has none."""
    usable = getattr(directory, "usable", None)
    if usable is None:
        return None
    synced = float(getattr(directory, "synced", 0.0))
    return {
        "usable": usable,
        "entries": getattr(directory, "entries", 0),
        "synced": synced,
        "age": max(0.0, now - synced) if synced else None,
    }
