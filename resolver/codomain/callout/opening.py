"""From a configuration to its call-outs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codomain.callout.callouts import Callouts
from codomain.callout.results import Lifetimes, Results
from codomain.callout.system import system_from

if TYPE_CHECKING:
    from codomain.config import Config, ConnectorSection
    from codomain.metrics import Metrics


def asked(config: Config) -> list[ConnectorSection]:
    """Return the connectors whose systems are asked."""
    return [section for section in config.connectors if section.verify == "callout"]


def open_callouts(
    config: Config, metrics: Metrics, before: tuple[Config, Callouts | None] | None = None
) -> Callouts | None:
    """Make the call-outs of a configuration; None where no system is asked.

    ``before`` is what was in force: its results are kept unless something changed that they
    hang on.
    """
    sections = asked(config)
    if not sections:
        return None
    results = None
    if before is not None and before[1] is not None and _same(before[0], config):
        results = before[1].results
    return Callouts(
        {section.name: system_from(section, config) for section in sections},
        results or Results(config.cache.size, _lifetimes(config)),
        config.callout.timeout,
        metrics.callout_request,
    )


def _same(one: Config, other: Config) -> bool:
    return (
        asked(one) == asked(other)
        and one.callout == other.callout
        and (one.cache.size, one.cache.stale_ttl) == (other.cache.size, other.cache.stale_ttl)
    )


def _lifetimes(config: Config) -> Lifetimes:
    return Lifetimes(
        found=config.callout.found_ttl,
        not_found=config.callout.not_found_ttl,
        stale=config.cache.stale_ttl,
        refresh_ahead=config.cache.refresh_ahead,
    )
