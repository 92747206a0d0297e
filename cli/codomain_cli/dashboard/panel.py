"""What a dashboard is made of: rows of panels, each with its queries in PromQL.

Only data.  :mod:`codomain_cli.dashboard.grafana` lays it out in Grafana's JSON, and the
tests send every query to a real Prometheus.  ``$by`` in a query stands for the selector of
job and instance; names and labels are those of :mod:`codomain.metrics`.
"""

from __future__ import annotations

from dataclasses import dataclass

SELECTOR = 'job="$job", instance=~"$instance"'
"""What every query is narrowed to; ``$by`` in the queries below."""

RATE = "$__rate_interval"
"""The window of every rate: Grafana makes it at least four scrapes long."""


@dataclass(frozen=True, slots=True)
class Query:
    """One line (or group of lines) of a panel."""

    text: str
    """PromQL, with ``$by`` for the selector and ``$rate`` for the window of a rate."""

    legend: str = ""
    """What each line is called; ``{{label}}`` is filled in by Grafana."""

    @property
    def promql(self) -> str:
        """The query as Grafana sends it, variables of the dashboard still in it."""
        return self.text.replace("$by", SELECTOR).replace("$rate", RATE)


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel."""

    title: str
    """What it shows."""

    description: str
    """What a postmaster reads out of it, and when to worry."""

    queries: tuple[Query, ...]
    """Its lines."""

    unit: str
    """Grafana's unit: reqps, s, percentunit, short, bytes, …"""

    kind: str = "timeseries"
    """timeseries, stat or state-timeline."""

    width: int = 8
    """Of the 24 columns of a row."""

    thresholds: tuple[tuple[str, float | None], ...] = (("green", None),)
    """Colour from each value on; the first has none."""

    runbook: str = ""
    """The section of docs/runbook.md that it links to; empty: none."""

    values: tuple[tuple[str, str, str], ...] = ()
    """What single values are called: value, text, colour."""

    stacked: bool = False
    """Whether the lines add up to something."""


@dataclass(frozen=True, slots=True)
class Row:
    """Panels that belong together."""

    title: str
    """What they are about."""

    panels: tuple[Panel, ...]
    """Them, in order."""


OF_DOMAIN = '$by, domain=~"$domain"'
"""The selector of what has a domain, for the dashboard's variable of that name."""
