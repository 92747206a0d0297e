"""Every query of the dashboard and of the rules, on a Prometheus that scraped a real daemon."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from codomain_cli.dashboard.behind import RELOADS
from codomain_cli.dashboard.grafana import ROWS
from support.watched import Watched

if TYPE_CHECKING:
    from collections.abc import Iterator

    from codomain_cli.dashboard.panel import Panel

CONTRIB = Path(__file__).resolve().parents[3] / "contrib/prometheus"
PANELS = [panel for row in ROWS for panel in row.panels]
WINDOW = "10s"
"""In place of $__rate_interval: ten scrapes of ours."""

NAME = re.compile(r"\b(?:codomain|process)_[a-z_0-9]+\b")
QUIET = {"up"}
SECONDS = 30.0


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Give a gateway after a workload with an outage and a reload in it."""
    rules = (CONTRIB / "rules.yml", CONTRIB / "alerts.yml")
    with Watched(tmp_path_factory.mktemp("w"), rules) as gateway:
        gateway.load(3.0, 60.0)
        gateway.break_a_request()
        gateway.outage(3.0, 60.0)
        gateway.daemon.reload()
        gateway.load(3.0, 60.0)
        _await_scrape(gateway)
        yield gateway


def _await_scrape(gateway: Watched) -> None:
    """Wait until what was done last has been scraped twice: a rate needs two."""
    done = time.time()
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        found = gateway.prometheus.query('timestamp(up{job="codomain"})')
        if found and float(found[0]["value"][1]) > done + 1:
            return
        time.sleep(0.1)
    pytest.fail("no scrape came")


def filled(promql: str) -> str:
    """Fill in the dashboard's variables, as Grafana does."""
    for variable, value in (
        ("$__rate_interval", WINDOW),
        ("$job", "codomain"),
        ("$instance", ".*"),
        ("$domain", ".*"),
    ):
        promql = promql.replace(variable, value)
    assert "$" not in promql
    return promql


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.title)
def test_every_panel_shows_something(watched: Watched, panel: Panel) -> None:
    """Each query succeeds and is not empty; no name in it is unknown."""
    names = watched.prometheus.names()
    for query in panel.queries:
        assert set(NAME.findall(query.promql)) <= names
        assert watched.prometheus.query(filled(query.promql))


def test_reloads_are_marked(watched: Watched) -> None:
    """The annotation finds the reload that was made."""
    found = watched.prometheus.query_range(filled(RELOADS.promql), watched.began, time.time(), 1.0)
    assert found


def test_the_outage_is_seen(watched: Watched) -> None:
    """The directory was down, and recipients were put off for it: both are to be seen."""
    query = watched.prometheus.query
    assert query('min_over_time(codomain_directory_up{directory="live"}[5m]) == 0')
    assert query('codomain_requests_total{verdict="defer", reason="directory"} > 0')
    assert query('codomain_cache_lookups_total{result="stale"} > 0')


def test_alerts_and_rules_name_what_is_counted(watched: Watched) -> None:
    """A misspelled name never fires, and nobody notices."""
    text = "\n".join((CONTRIB / name).read_text() for name in ("rules.yml", "alerts.yml"))
    expressions = "\n".join(
        line for line in text.splitlines() if not re.match(r"\s*(#|summary:|description:)", line)
    )
    wanted = set(re.findall(r"\b(?:codomain_\w+|process_\w+)", expressions))
    recorded = set(re.findall(r"record: \w+:(\w+):\w+", text))
    assert wanted - recorded - watched.prometheus.names() == set()


def test_rules_are_evaluated(watched: Watched) -> None:
    """No rule or alert fails in a running Prometheus."""
    groups = watched.prometheus.api("rules")["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) > 15
    assert {
        rule["name"]: rule.get("lastError", "") for rule in rules if rule.get("lastError")
    } == {}
