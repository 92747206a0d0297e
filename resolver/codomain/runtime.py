"""One configuration in force, with all that hangs on it; it is swapped whole.

A request reads :attr:`InForce.runtime` once and finishes with what it read.
"""

from __future__ import annotations

import gc
import itertools
import time
from typing import TYPE_CHECKING

from codomain.brake import brake_from
from codomain.cache import Cache, Lifetimes
from codomain.callout.opening import open_callouts
from codomain.directory.base import Indexed
from codomain.directory.files import FilesDirectory
from codomain.directory.opening import open_directory
from codomain.flights import Flights
from codomain.replies import Replies
from codomain.resolver import Resolver
from codomain.rules import rules_from
from codomain.shadow import SHADOW, mode_of
from codomain.sharing import open_sharing

if TYPE_CHECKING:
    from collections.abc import Callable

    from codomain.brake import Brake
    from codomain.callout.callouts import Callouts
    from codomain.config import Config, DirectorySection
    from codomain.connectors import Lookup
    from codomain.directory.base import Directory
    from codomain.metrics import Metrics
    from codomain.question import Question
    from codomain.shared import Shared
    from codomain.sharedkeys import Purge
    from codomain.sharing import Sharing

_generations = itertools.count(1)

CACHE_KEYS = ("cache", "directories")
"""The sections of the INI on which the kept entries depend."""


class Runtime:
    """Everything that follows from one configuration."""

    def __init__(
        self,
        config: Config,
        metrics: Metrics,
        *,
        before: Runtime | None = None,
        lookup: Lookup | None = None,
    ) -> None:
        """Build it; the cache of the one ``before`` is kept unless a directory changed.

        Raises:
            RecordError: a files directory holds a bad record; every one is named.
            DirectoryError: a directory's section cannot be used.

        A directory that is down now is no error: it is asked again when it is needed.

        """
        self.config = config
        self.metrics = metrics
        self.generation = next(_generations)
        self.loaded = time.time()
        self.rules = rules_from(config) if lookup is None else rules_from(config, lookup)
        self.trust = self.rules.trust
        self.replies = Replies(config.replies)
        self.divertible = self.rules.divertible
        same = _unchanged(before, config)
        self.directories = {
            section.name: _directory(config, section, metrics, same.get(section.name))
            for section in config.directories
        }
        self.indexed = tuple(d for d in self.directories.values() if isinstance(d, Indexed))
        self.cache = self._cache(before)
        self.sharing: Sharing | None = open_sharing(
            config, self.cache, metrics, None if before is None else before.sharing
        )
        self.flights = Flights(
            self.directories,
            {section.name: section.pool_size for section in config.directories},
            {section.name: section.timeout for section in config.directories},
            self.cache,
            self.shared,
        )
        for name in same:
            if before is not None and before.flights.is_down(name):
                self.flights.unanswered(name)
        kept = None if before is None else (before.config, before.callouts)
        self.callouts: Callouts | None = open_callouts(config, metrics, kept)
        self.brake: Brake | None = brake_from(
            config.harvest, None if before is None else before.brake
        )
        self.resolver = Resolver(
            self.rules, self.directories, self.cache, self.flights, metrics, self.callouts
        )
        self._contexts = {context.name: context.mode for context in config.contexts}
        metrics.cache_sizes = self._sizes
        metrics.indexes = self.indexed
        _freeze(anew=before is None)

    def label(self, domain: str) -> str:
        """Return the metrics' label of a folded domain: one of ours, or ``other``."""
        match = self.rules.domains.match(domain)
        return "other" if match is None else match.name

    @property
    def warnings(self) -> list[str]:
        """What an administrator should know, one line each: of the INI, and of the files."""
        found = list(self.config.warnings)
        for directory in self.directories.values():
            if isinstance(directory, FilesDirectory):
                found += directory.warnings
        return found

    @property
    def shared(self) -> Shared | None:
        """The second level of the cache, if there is one."""
        return None if self.sharing is None else self.sharing.shared

    def purge(self, *keys: str) -> int:
        """Forget addresses (their keys) in every directory; returns how many answers were known.

        Verdicts that doors keep are the caller's matter, and so is the second level of the
        cache, before this (:meth:`codomain.shared.Shared.purge`, which waits for a server).
        """
        dropped = self.cache.purge((name, key) for name in self.directories for key in keys)
        if self.callouts is not None:
            dropped += self.callouts.results.purge(*keys)
        return dropped

    def flush(self) -> int:
        """Forget everything, as :meth:`purge` forgets some addresses."""
        dropped = self.cache.flush()
        if self.callouts is not None:
            dropped += self.callouts.results.flush()
        return dropped

    def start(self, changed: Callable[[Purge | None], object]) -> None:
        """Use the second level of the cache, once this runtime is in force.

        ``changed`` is called on a thread of its own when kept verdicts must go, with what
        another gateway purged, if it was that.
        """
        if self.sharing is not None:
            self.sharing.start(changed)

    def look(self) -> bool:
        """Look at the local indexes; whether verdicts that doors keep must go."""
        return any([directory.look() for directory in self.indexed])  # noqa: C419 - at each of them

    def shadow(self, question: Question) -> bool:
        """Tell whether the verdict is only counted and logged, and the mail let through."""
        default = self.config.codomain.mode
        return mode_of(question, self._contexts, self.rules.domains, default) == SHADOW

    def domain_kind(self, domain: str) -> str | None:
        """Return ``relay`` or ``mailbox`` for a domain of ours (the maps of domains), else None.

        ``relay``: its mailboxes are elsewhere (type relay, or it has a ``deliver_to``);
        ``mailbox``: this host delivers them.
        """
        match = self.rules.domains.match(domain)
        if match is None:
            return None
        return "relay" if match.relay or match.deliver_to is not None else "mailbox"

    def close(self) -> None:
        """Let go of the directories, once no request reads this runtime any more."""
        self.flights.close()
        if self.callouts is not None:
            self.callouts.close()
        if self.sharing is not None:
            self.sharing.close()
        for directory in self.directories.values():
            directory.close()

    def _sizes(self) -> dict[str, int]:
        """Return what the caches hold, by kind."""
        callouts = {} if self.callouts is None else self.callouts.results.sizes()
        return self.cache.sizes() | callouts

    def _cache(self, before: Runtime | None) -> Cache:
        section = self.config.cache
        if before is not None and _same_directories(before.config, self.config):
            # Searches that began under the old configuration must store nothing any more.
            before.cache.overtake()
            return before.cache
        return Cache(
            section.size,
            Lifetimes(
                found=section.found_ttl,
                not_found=section.not_found_ttl,
                failed=section.failed_ttl,
                stale=section.stale_ttl,
                refresh_ahead=section.refresh_ahead,
            ),
        )


class InForce:
    """Holds the one reference that a reload swaps."""

    __slots__ = ("runtime",)

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime


def _same_directories(one: Config, other: Config) -> bool:
    return all(getattr(one, key) == getattr(other, key) for key in CACHE_KEYS)


def _unchanged(before: Runtime | None, config: Config) -> dict[str, Directory]:
    """Return the directories in service whose section is the same in the new configuration."""
    if before is None:
        return {}
    sections = [section for section in config.directories if section in before.config.directories]
    return {section.name: before.directories[section.name] for section in sections}


def _directory(
    config: Config, section: DirectorySection, metrics: Metrics, before: Directory | None
) -> Directory:
    def observe(server: str, result: str, seconds: float) -> None:
        metrics.directory_request(section.name, result, seconds)
        if server:
            metrics.directory_up(section.name, server, up=result in {"found", "not_found"})

    state = config.codomain.state_directory
    return open_directory(section, observe, before, state_directory=state)


def _freeze(*, anew: bool) -> None:
    """Spare the collector what stays: a full collection of it all would stop every request.

    It takes 30 ms with what a daemon has imported alone.  So a reload collects what is young;
    the runtime that it replaces is in no cycle, and goes with its last reference.
    """
    gc.collect(2 if anew else 1)
    gc.freeze()
