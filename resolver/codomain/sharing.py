"""The second level of the cache with the thread that watches it, from one reload to the next.

A runtime opens it, or takes over the one of the runtime before, where cache and
directories stayed the same; the last one that uses it closes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from codomain.settings.sharedurl import parse_shared

if TYPE_CHECKING:
    from collections.abc import Callable

    from codomain.cache import Cache
    from codomain.config import Config
    from codomain.metrics import Metrics
    from codomain.shared import Shared
    from codomain.sharedkeys import Purge
    from codomain.sharedwatch import Watch


class Sharing:
    """Both, and how many runtimes use them."""

    def __init__(self, shared: Shared, watch: Watch) -> None:
        self.shared = shared
        self._watch = watch
        self._users = 1

    def lend(self) -> Sharing:
        """Give it to one more runtime."""
        self._users += 1
        return self

    def start(self, changed: Callable[[Purge | None], object]) -> None:
        """Begin (:meth:`codomain.sharedwatch.Watch.start`)."""
        self._watch.start(changed)

    def close(self) -> None:
        """Give it up; with its last runtime it ends."""
        self._users -= 1
        if self._users == 0:
            self._watch.close()


def open_sharing(
    config: Config, cache: Cache, metrics: Metrics, before: Sharing | None
) -> Sharing | None:
    """Make what ``[cache] shared`` says; None: nothing is shared.

    ``before`` is the one of the runtime before, if it served the same cache.
    """
    section = config.cache
    if not section.shared:
        return None
    if before is not None and before.shared.cache is cache:
        return before.lend()
    # redis-py takes 0.2 s to import, which a site without it need not wait for.
    from codomain.shared import Shared  # noqa: PLC0415
    from codomain.sharedkeys import fingerprint  # noqa: PLC0415
    from codomain.sharedlink import Way  # noqa: PLC0415
    from codomain.sharedwatch import Watch  # noqa: PLC0415

    server = parse_shared(section.shared)
    way = Way(server, section.shared_password_file, section.shared_ca_file)
    fingerprints = {
        directory.name: fingerprint(directory)
        for directory in config.directories
        if directory.type == "ldap"  # files answer from memory
    }
    shared = Shared(way, fingerprints, cache, metrics)
    return Sharing(shared, Watch(shared))
