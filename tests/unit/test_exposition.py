"""Rules of the page that Prometheus reads: in both of its formats, whole, and parsed again."""

from __future__ import annotations

import pytest
from prometheus_client.exposition import choose_encoder
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain

from codomain.exposition import EOF, Exposition
from codomain.metrics import Metrics

PLAIN = ""
OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
PARSERS = {PLAIN: plain, OPENMETRICS: openmetrics}

HOSTILE = 'a"b\\c\nd'
"""No domain is so; a label that is would end the page for Prometheus."""

MANY = 100


def used() -> Metrics:
    """Return metrics with two counts by domain and one of the others."""
    metrics = Metrics("1.2.3")
    metrics.requests("policy", "refuse", "unknown", "example.com").count += 1234567
    metrics.requests("map", "deliver", "", HOSTILE).count += 1
    metrics.shadow("unknown", "example.com").count += 7
    metrics.lookups("hit").count += 3
    metrics.protocol_error("map", "netstring")
    return metrics


def read(page: bytes, accept: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Read a page as Prometheus does."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in PARSERS[accept](page.decode())  # type: ignore[no-untyped-call]
        for sample in family.samples
        if not sample.name.startswith("process_") and not sample.name.endswith("_created")
    }


@pytest.mark.parametrize("accept", [PLAIN, OPENMETRICS])
def test_the_page_says_what_the_registry_holds(accept: str) -> None:
    """What is written here is what prometheus_client would write of the same counts."""
    metrics = used()
    page, kind = Exposition(metrics).page(accept)
    encoder, expected = choose_encoder(accept)
    assert kind == expected
    assert read(page, accept) == read(encoder(metrics.registry), accept)
    labels = (("domain", "example.com"), ("door", "policy"), ("reason", "unknown"))
    assert (
        read(page, accept)["codomain_requests_total", (*labels, ("verdict", "refuse"))] == 1234567
    )


@pytest.mark.parametrize("accept", [PLAIN, OPENMETRICS])
def test_a_later_page_has_later_counts(accept: str) -> None:
    """The names of the series are kept from one scrape to the next, and nothing else."""
    metrics = used()
    exposition = Exposition(metrics)
    first, _ = exposition.page(accept)
    metrics.shadow("unknown", "example.com").count += 1
    metrics.shadow("relaying", "other").count += 1
    second, _ = exposition.page(accept)
    shadow = "codomain_shadow_refusals_total"
    known = (shadow, (("domain", "example.com"), ("reason", "unknown")))
    new = (shadow, (("domain", "other"), ("reason", "relaying")))
    assert (read(first, accept)[known], read(second, accept)[known]) == (7, 8)
    assert new not in read(first, accept)
    assert read(second, accept)[new] == 1


def test_openmetrics_ends_once() -> None:
    """OpenMetrics 1.0: exactly one `# EOF`, at the end; the other format has none."""
    page, _ = Exposition(used()).page(OPENMETRICS)
    assert page.count(EOF) == 1
    assert page.endswith(EOF)
    assert EOF not in Exposition(used()).page(PLAIN)[0]


def test_each_family_is_told_of_once() -> None:
    """A second HELP or TYPE of one name makes Prometheus drop the scrape."""
    for accept in (PLAIN, OPENMETRICS):
        lines = Exposition(used()).page(accept)[0].decode().splitlines()
        told = [line.split()[1:3] for line in lines if line.startswith(("# HELP", "# TYPE"))]
        assert len(told) == len({tuple(one) for one in told})


def test_nothing_is_written_through_the_slow_way_that_grows_with_the_domains() -> None:
    """Issue 9: a scrape takes at most 10 ms with 100 domains (bench/metrics.py measures it)."""
    metrics = Metrics("1.2.3")
    before = len(list(metrics.few.collect()))
    for number in range(MANY):
        metrics.requests("policy", "deliver", "", f"d{number}.example.com")
        metrics.shadow("unknown", f"d{number}.example.com")
    families = list(metrics.few.collect())
    assert len(families) == before
    assert not [s for family in families for s in family.samples if "domain" in s.labels]
