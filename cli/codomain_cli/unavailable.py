"""What the INI can say and cannot be done here: refused, so that nobody relies on it.

That is what this version does not have yet, and the milter where pymilter is missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from codomain.config import Config


def unavailable(config: Config) -> list[str]:
    """Return a line for every key that asks for what is not there yet."""
    where = config.files[0] if config.files else "codomain.ini"
    return [f"{where}: {fault}" for fault in _faults(config)]


def _faults(config: Config) -> Iterator[str]:
    if config.milter.listen is not None:
        from codomain_milter.server import missing

        if fault := missing():
            yield fault
    if config.cache.shared:
        yield "[cache] shared: sharing is not in this version; leave it empty"
    if config.harvest.limit:
        yield "[harvest] limit: the brake is not in this version; write limit = 0"
    for connector in config.connectors:
        if connector.verify != "none":
            yield (
                f"[connector {connector.name}] verify: call-out is not in this version; "
                "write verify = none"
            )
    for directory in config.directories:
        if directory.mode != "live":
            yield (
                f"[directory {directory.name}] mode: the local index is not in this version; "
                "write mode = live"
            )
