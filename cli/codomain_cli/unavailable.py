"""What the INI can say and cannot be done here: refused, so that nobody relies on it.

That is what this version does not have yet, and the milter where pymilter is missing.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from codomain.errors import DirectoryError

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
    if config.cache.shared and find_spec("redis") is None:
        yield (
            "[cache] shared: redis-py is not installed; install python3-redis"
            " (or codomain[shared]), or leave it empty"
        )
    for directory in config.directories:
        if directory.mode == "sync" and find_spec("lmdb") is None:
            yield (
                f"[directory {directory.name}] mode: py-lmdb is not installed; install"
                " python3-lmdb (or codomain[sync]), or write mode = live"
            )
        elif directory.mode == "sync":
            from codomain.directory.follow import Extent

            try:
                Extent.of(directory)
            except DirectoryError as error:
                yield str(error)
