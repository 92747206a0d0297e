"""One configuration in force, with all that hangs on it; it is swapped whole.

A request reads :attr:`InForce.runtime` once and finishes with what it read.
"""

from __future__ import annotations

import gc
import itertools
import time
from typing import TYPE_CHECKING

from codomain.cache import Cache, Lifetimes
from codomain.directory.files import FilesDirectory
from codomain.directory.opening import open_directory
from codomain.flights import Flights
from codomain.replies import Replies
from codomain.resolver import Resolver
from codomain.rules import rules_from

if TYPE_CHECKING:
    from codomain.config import Config, DirectorySection
    from codomain.connectors import Lookup
    from codomain.directory.base import Directory
    from codomain.metrics import Metrics
    from codomain.question import Question

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
            section.name: _directory(section, metrics, same.get(section.name))
            for section in config.directories
        }
        self.cache = self._cache(before)
        self.flights = Flights(
            self.directories,
            {section.name: section.pool_size for section in config.directories},
            {section.name: section.timeout for section in config.directories},
            self.cache,
        )
        self.resolver = Resolver(self.rules, self.directories, self.cache, self.flights, metrics)
        self._contexts = {context.name: context.mode for context in config.contexts}
        metrics.cache_sizes = self.cache.sizes
        gc.unfreeze()
        gc.collect()
        gc.freeze()

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

    def purge(self, address: str) -> int:
        """Forget an address (its key) in every directory; returns how many answers were known."""
        return self.cache.purge((directory, address) for directory in self.directories)

    def shadow(self, question: Question) -> bool:
        """Tell whether the verdict is only counted and logged, and the mail let through."""
        mode: str = self._contexts.get(question.context, "") if question.context else ""
        if not mode:
            domain = self.rules.domains.match(question.recipient.domain)
            mode = domain.mode if domain is not None else ""
        return (mode or self.config.codomain.mode) == "shadow"

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
        for directory in self.directories.values():
            directory.close()

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


def _directory(section: DirectorySection, metrics: Metrics, before: Directory | None) -> Directory:
    def observe(server: str, result: str, seconds: float) -> None:
        metrics.directory_request(section.name, result, seconds)
        if server:
            metrics.directory_up(section.name, server, up=result in {"found", "not_found"})

    return open_directory(section, observe, before)
