"""Rules of the metrics: the names and labels that dashboards rely on, and what they count."""

from __future__ import annotations

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from codomain.metrics import BUCKETS, Metrics

LABELS = {
    "codomain_requests_total": {"door", "verdict", "reason", "domain"},
    "codomain_request_duration_seconds_bucket": {"door", "le"},
    "codomain_request_duration_seconds_count": {"door"},
    "codomain_request_duration_seconds_sum": {"door"},
    "codomain_requests_in_flight": {"door"},
    "codomain_connections": {"door"},
    "codomain_protocol_errors_total": {"door", "kind"},
    "codomain_cache_lookups_total": {"result"},
    "codomain_cache_entries": {"kind"},
    "codomain_directory_requests_total": {"directory", "result"},
    "codomain_directory_duration_seconds_bucket": {"directory", "le"},
    "codomain_directory_up": {"directory", "server"},
    "codomain_config_last_reload_successful": set(),
    "codomain_config_last_reload_success_timestamp_seconds": set(),
    "codomain_shadow_refusals_total": {"reason", "domain"},
    "codomain_build_info": {"version"},
}
"""As the architecture names them."""


def used() -> Metrics:
    """Return metrics with something in each of them."""
    metrics = Metrics("1.2.3")
    metrics.requests("policy", "refuse", "unknown", "example.com").count += 3
    metrics.requests("policy", "deliver", "", "other").count += 1
    durations = metrics.durations("policy")
    durations.observe(0.003)
    durations.observe(100.0)
    durations.hits.count += 5
    metrics.in_flight("policy").count += 2
    metrics.connections("map").count += 4
    metrics.protocol_error("map", "netstring")
    metrics.lookups("negative_hit").count += 6
    metrics.directory_request("ad", "found", 0.02)
    metrics.directory_up("ad", "ldaps://dc1", up=True)
    metrics.directory_up("ad", "ldaps://dc2", up=False)
    metrics.shadow("unknown", "example.com").count += 7
    metrics.cache_sizes = lambda: {"found": 8, "not_found": 9}
    return metrics


def samples(metrics: Metrics) -> dict[str, list[tuple[dict[str, str], float]]]:
    """Scrape the metrics as Prometheus does."""
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(generate_latest(metrics.registry).decode()):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def value(metrics: Metrics, name: str, **labels: str) -> float:
    """Return one value of a scrape."""
    [found] = [number for has, number in samples(metrics)[name] if has == labels]
    return found


@pytest.mark.parametrize("name", sorted(LABELS))
def test_names_and_labels_are_those_of_the_architecture(name: str) -> None:
    """Dashboards and alarms are built on them."""
    found = samples(used())
    assert name in found
    assert all(set(labels) == LABELS[name] for labels, _ in found[name])


def test_counts_are_shown_as_they_were_counted() -> None:
    """Each tally under its own labels."""
    metrics = used()
    labels = {"door": "policy", "verdict": "refuse", "reason": "unknown", "domain": "example.com"}
    assert value(metrics, "codomain_requests_total", **labels) == 3
    assert value(metrics, "codomain_requests_in_flight", door="policy") == 2
    assert value(metrics, "codomain_connections", door="map") == 4
    assert value(metrics, "codomain_protocol_errors_total", door="map", kind="netstring") == 1
    assert value(metrics, "codomain_cache_lookups_total", result="negative_hit") == 6
    assert value(metrics, "codomain_cache_entries", kind="not_found") == 9
    assert value(metrics, "codomain_directory_up", directory="ad", server="ldaps://dc1") == 1
    assert value(metrics, "codomain_directory_up", directory="ad", server="ldaps://dc2") == 0
    assert (
        value(metrics, "codomain_shadow_refusals_total", reason="unknown", domain="example.com")
        == 7
    )
    assert value(metrics, "codomain_build_info", version="1.2.3") == 1


def test_all_kinds_of_look_ups_are_there_from_the_start() -> None:
    """A rate over a series that does not exist yet is no rate."""
    kinds = {
        labels["result"] for labels, _ in samples(Metrics("0"))["codomain_cache_lookups_total"]
    }
    assert kinds == {"hit", "miss", "stale", "negative_hit"}


def test_a_tally_is_the_same_one_for_the_same_labels() -> None:
    """It is bound once, and added to without a look-up."""
    metrics = Metrics("0")
    one = metrics.requests("policy", "pass", "", "other")
    assert metrics.requests("policy", "pass", "", "other") is one
    assert metrics.requests("map", "pass", "", "other") is not one
    assert metrics.durations("policy") is metrics.durations("policy")
    assert metrics.in_flight("policy") is metrics.in_flight("policy")
    assert metrics.connections("policy") is metrics.connections("policy")
    assert metrics.shadow("unknown", "a") is metrics.shadow("unknown", "a")


def test_a_histogram_is_cumulative_and_its_count_is_the_last_bucket() -> None:
    """Prometheus' exposition format; hits of the verdict cache count as the shortest."""
    metrics = used()
    name = "codomain_request_duration_seconds"
    buckets = [number for _, number in samples(metrics)[f"{name}_bucket"]]
    assert buckets == sorted(buckets)
    assert len(buckets) == len(BUCKETS) + 1
    assert value(metrics, f"{name}_bucket", door="policy", le="0.0005") == 5
    assert value(metrics, f"{name}_bucket", door="policy", le="0.005") == 6
    assert value(metrics, f"{name}_bucket", door="policy", le="10.0") == 6
    assert value(metrics, f"{name}_bucket", door="policy", le="+Inf") == 7
    assert value(metrics, f"{name}_count", door="policy") == 7
    assert value(metrics, f"{name}_sum", door="policy") == pytest.approx(100.003)


def test_a_duration_on_a_bound_is_within_it() -> None:
    """A bucket counts what is less than or equal to its bound."""
    metrics = Metrics("0")
    metrics.durations("policy").observe(0.01)
    name = "codomain_request_duration_seconds_bucket"
    assert value(metrics, name, door="policy", le="0.01") == 1
    assert value(metrics, name, door="policy", le="0.005") == 0


def test_two_processes_worth_of_metrics_do_not_meet() -> None:
    """There is no registry at module level."""
    one, other = used(), Metrics("0")
    assert "codomain_requests_total" in samples(one)
    assert "codomain_requests_total" not in samples(other)
