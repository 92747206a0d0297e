"""What codomain counts, and how Prometheus reads it.

The doors count in plain integers (:class:`Tally`), bound once and added to without a
lock: only the event loop's thread writes those of a door.  Prometheus' own classes
serve where a microsecond does not matter.  No label carries an address, a client or a
domain that is not configured.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from codomain.shadow import Shadowed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from prometheus_client.metrics_core import Metric

    from codomain.directory.base import Indexed

BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds; from a cached answer to Postfix's default time-out for maps."""

LOOKUPS = ("hit", "miss", "stale", "negative_hit")
"""What a look-up in the cache of entries counts as."""

OTHER = "other"
"""The label of every domain that is not configured."""


class Tally:
    """One count of one set of labels; the hot path adds to :attr:`count` directly."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


class Durations:
    """Request durations of one door; answers from a verdict cache are counted unmeasured.

    Two clock readings would cost a hit a tenth of its time, and a hit takes microseconds:
    it falls into the first bucket by itself.
    """

    __slots__ = ("buckets", "hits", "total")

    def __init__(self) -> None:
        self.buckets = [0] * (len(BUCKETS) + 1)
        self.total = 0.0
        self.hits = Tally()

    def observe(self, seconds: float) -> None:
        """Count one measured request."""
        self.buckets[bisect_left(BUCKETS, seconds)] += 1
        self.total += seconds


@dataclass(frozen=True, slots=True)
class Family:
    """A counter whose series grow with the number of domains."""

    name: str
    """Its name, without ``_total``."""

    text: str
    """Its help text."""

    labels: tuple[str, ...]
    """The names of its labels."""

    counts: list[tuple[tuple[str, ...], int]]
    """Each series: the values of its labels, and its count."""


class Metrics:
    """All metrics of one process, with the registry that shows them."""

    def __init__(self, version: str) -> None:
        self.registry = CollectorRegistry()
        self.few = CollectorRegistry()
        """All but what :meth:`by_domain` gives; the registry holds both."""
        self._requests: dict[tuple[str, str, str, str], Tally] = {}
        self._durations: dict[str, Durations] = {}
        self._in_flight: dict[str, Tally] = {}
        self._connections: dict[str, Tally] = {}
        self._shadow: dict[tuple[str, str], Tally] = {}
        self._searches: dict[tuple[str, str], tuple[Counter, Histogram]] = {}
        self._up: dict[tuple[str, str], bool] = {}
        self.shadowed = Shadowed()
        self._lookups = {kind: Tally() for kind in LOOKUPS}
        self._lookups_aside = {kind: Tally() for kind in self._lookups}
        self.cache_sizes: Callable[[], Mapping[str, int]] = dict
        self.indexes: Iterable[Indexed] = ()
        self.directories_ready: Callable[[], Mapping[str, bool]] = dict
        registry = self.few
        self._protocol_errors = Counter(
            "codomain_protocol_errors",
            "Requests or connections that broke the protocol, by kind of fault",
            ("door", "kind"),
            registry=registry,
        )
        self._directory_requests = Counter(
            "codomain_directory_requests",
            "Searches of a directory, by result",
            ("directory", "result"),
            registry=registry,
        )
        self._directory_duration = Histogram(
            "codomain_directory_duration_seconds",
            "Time that one search of a directory took",
            ("directory",),
            buckets=BUCKETS,
            registry=registry,
        )
        self._directory_up = Gauge(
            "codomain_directory_up",
            "1 while the server of the directory answers, 0 while it is in its cool-down",
            ("directory", "server"),
            registry=registry,
        )
        self._callout_requests = Counter(
            "codomain_callout_requests",
            "Recipients that a next system was asked for, by outcome",
            ("connector", "result"),
            registry=registry,
        )
        self._callout_duration = Histogram(
            "codomain_callout_duration_seconds",
            "Time that one call-out took, from its connection on",
            ("connector",),
            buckets=BUCKETS,
            registry=registry,
        )
        self._shared_requests = Counter(
            "codomain_shared_cache_requests",
            "Look-ups in the second level of the cache: hit, miss, invalid (a value that is not "
            "believed) or error, which is also a value that could not be put",
            ("result",),
            registry=registry,
        )
        self._shared_up = Gauge(
            "codomain_shared_cache_up",
            "1 while the second level of the cache is in use, 0 while its server is not there",
            ("server",),
            registry=registry,
        )
        self.reload_successful = Gauge(
            "codomain_config_last_reload_successful",
            "1 if the last (re)load of the configuration was taken into service",
            registry=registry,
        )
        self.reload_timestamp = Gauge(
            "codomain_config_last_reload_success_timestamp_seconds",
            "When the configuration in force was loaded",
            registry=registry,
        )
        Info("codomain_build", "Version of codomain", registry=registry).info({"version": version})
        registry.register(_Collected(self.families))
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self.registry.register(_Collected(self.few.collect))
        self.registry.register(_Collected(self._domain_families))

    def requests(self, door: str, verdict: str, reason: str, domain: str) -> Tally:
        """Return the count of answered requests with these labels; bind it, do not look it up."""
        return self._requests.setdefault((door, verdict, reason, domain), Tally())

    def answers(self) -> dict[tuple[str, str, str, str], int]:
        """Return the answered requests so far, by door, verdict, reason and domain."""
        return {labels: tally.count for labels, tally in list(self._requests.items())}

    def durations(self, door: str) -> Durations:
        """Return the durations of a door's requests."""
        return self._durations.setdefault(door, Durations())

    def in_flight(self, door: str) -> Tally:
        """Return the number of a door's requests that wait for an answer."""
        return self._in_flight.setdefault(door, Tally())

    def connections(self, door: str) -> Tally:
        """Return the number of a door's open connections."""
        return self._connections.setdefault(door, Tally())

    def lookups(self, result: str) -> Tally:
        """Return the count of cache look-ups: hit, miss, stale or negative_hit."""
        return self._lookups[result]

    def lookups_aside(self, result: str) -> Tally:
        """Return the same count for whoever looks up on other threads than the loop's."""
        return self._lookups_aside[result]

    def shadow(self, reason: str, domain: str) -> Tally:
        """Return the count of refusals and redirects that shadow mode did not carry out."""
        return self._shadow.setdefault((reason, domain), Tally())

    def callout_request(self, connector: str, result: str, seconds: float) -> None:
        """Count one call-out: known, unknown, anything or unsure, and its duration."""
        self._callout_requests.labels(connector, result).inc()
        self._callout_duration.labels(connector).observe(seconds)

    def shared_request(self, result: str) -> None:
        """Count one look-up in the second level: hit, miss, invalid or error; on any thread."""
        self._shared_requests.labels(result).inc()

    def shared_up(self, server: str, *, up: bool) -> None:
        """Tell whether the second level is in use."""
        self._shared_up.labels(server).set(up)

    def protocol_error(self, door: str, kind: str) -> None:
        """Count one breach of the protocol; ``kind`` is one of a door's few fixed words."""
        self._protocol_errors.labels(door, kind).inc()

    def directory_request(self, directory: str, result: str, seconds: float) -> None:
        """Count one search: found, not_found, error or timeout, and its duration."""
        bound = self._searches.get((directory, result))
        if bound is None:
            bound = self._searches[directory, result] = (
                self._directory_requests.labels(directory, result),
                self._directory_duration.labels(directory),
            )
        bound[0].inc()
        bound[1].observe(seconds)

    def directory_up(self, directory: str, server: str, *, up: bool) -> None:
        """Say whether a server of a directory answers."""
        if self._up.get((directory, server)) is not up:
            self._up[directory, server] = up
            self._directory_up.labels(directory, server).set(1 if up else 0)

    def families(self) -> Iterable[Metric]:
        """Turn the plain integers, but those by domain, into Prometheus' families."""
        yield self._duration_family()
        for name, text, tallies in (
            ("requests_in_flight", "Requests that wait for an answer", self._in_flight),
            ("connections", "Open connections", self._connections),
        ):
            gauge = GaugeMetricFamily(f"codomain_{name}", text, labels=("door",))
            for door, tally in list(tallies.items()):
                gauge.add_metric((door,), tally.count)
            yield gauge
        lookups = CounterMetricFamily(
            "codomain_cache_lookups", "Look-ups in the cache of entries", labels=("result",)
        )
        for result, tally in self._lookups.items():
            lookups.add_metric((result,), tally.count + self._lookups_aside[result].count)
        yield lookups
        entries = GaugeMetricFamily(
            "codomain_cache_entries", "Entries that the caches hold", labels=("kind",)
        )
        for kind, size in self.cache_sizes().items():
            entries.add_metric((kind,), size)
        yield entries
        ready = GaugeMetricFamily(
            "codomain_directory_ready",
            "1 while the directory answers, 0 while it does not, as /readyz has it",
            labels=("directory",),
        )
        for directory, answers in self.directories_ready().items():
            ready.add_metric((directory,), answers)
        yield ready
        yield from self._index_families()

    def by_domain(self) -> tuple[Family, ...]:
        """Return the counts that have a series for each domain and more, as they are now."""
        return (
            Family(
                "codomain_requests",
                "Requests answered, by verdict and reason",
                ("door", "verdict", "reason", "domain"),
                [(labels, tally.count) for labels, tally in list(self._requests.items())],
            ),
            Family(
                "codomain_shadow_refusals",
                "Refusals, and redirects (reason redirect), that shadow mode did not carry out",
                ("reason", "domain"),
                [(labels, tally.count) for labels, tally in list(self._shadow.items())],
            ),
        )

    def _domain_families(self) -> Iterable[Metric]:
        for family in self.by_domain():
            made = CounterMetricFamily(family.name, family.text, labels=family.labels)
            for labels, count in family.counts:
                made.add_metric(labels, count)
            yield made

    def _index_families(self) -> Iterable[Metric]:
        """Say how the local indexes stand."""
        usable = GaugeMetricFamily(
            "codomain_index_usable",
            "1 while the local index answers, 0 while every address is searched for",
            labels=("directory",),
        )
        entries = GaugeMetricFamily(
            "codomain_index_entries", "Entries that the local index holds", labels=("directory",)
        )
        synced = GaugeMetricFamily(
            "codomain_index_synced_timestamp_seconds",
            "When the local index was last known to be in step with its directory",
            labels=("directory",),
        )
        for index in self.indexes:
            usable.add_metric((index.name,), index.usable)
            entries.add_metric((index.name,), index.entries)
            synced.add_metric((index.name,), index.synced)
        return usable, entries, synced

    def _duration_family(self) -> HistogramMetricFamily:
        family = HistogramMetricFamily(
            "codomain_request_duration_seconds",
            "Time from a request to its answer; answers from the verdict cache count as the "
            "shortest",
            labels=("door",),
        )
        for door, durations in list(self._durations.items()):
            seen = durations.hits.count
            buckets = []
            for bound, count in zip((*BUCKETS, float("inf")), durations.buckets, strict=True):
                seen += count
                buckets.append(("+Inf" if bound == float("inf") else str(bound), float(seen)))
            family.add_metric((door,), buckets, durations.total)
        return family


class _Collected(Collector):
    """Lets a registry collect what a method gives."""

    def __init__(self, give: Callable[[], Iterable[Metric]]) -> None:
        self._give = give

    def collect(self) -> Iterable[Metric]:
        """Give the families."""
        return self._give()
