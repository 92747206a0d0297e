"""The page that Prometheus reads: the metrics as text, for one scrape after the other.

In flow the metrics and the ``Accept`` of a request; out flows the page in the format that
it asks for: Prometheus' text format 0.0.4, or OpenMetrics 1.0.  The two families whose
series grow with the number of domains are written here, each series with the name and the
labels of the scrape before: through prometheus_client a thousand of them took 15 ms of the
thread that answers the MTA, and so they take one.  All else is written by prometheus_client.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.exposition import choose_encoder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from codomain.metrics import Family, Metrics

OPENMETRICS = "application/openmetrics-text"
"""The media type of OpenMetrics; its page ends with :data:`EOF`, and begins with a counter's
name without ``_total`` (OpenMetrics 1.0, "Text Format")."""

EOF = b"# EOF\n"


class Exposition:
    """Writes the page of one process's metrics."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._series: dict[tuple[str, tuple[str, ...]], str] = {}

    def page(self, accept: str) -> tuple[bytes, str]:
        """Return a page and its media type; ``accept``: the header, or nothing."""
        encoder, kind = choose_encoder(accept)
        page = encoder(self._metrics.few)
        is_openmetrics = kind.startswith(OPENMETRICS)
        many = "".join(self._lines(is_openmetrics=is_openmetrics)).encode()
        if is_openmetrics:
            return page.removesuffix(EOF) + many + EOF, kind
        return page + many, kind

    def _lines(self, *, is_openmetrics: bool) -> Iterator[str]:
        for family in self._metrics.by_domain():
            total = f"{family.name}_total"
            name = family.name if is_openmetrics else total
            yield f"# HELP {name} {family.text}\n# TYPE {name} counter\n"
            for labels, count in family.counts:
                series = self._series.get((total, labels))
                if series is None:
                    series = self._series[total, labels] = _series(total, family, labels)
                yield f"{series} {count}.0\n"


def _series(name: str, family: Family, labels: tuple[str, ...]) -> str:
    pairs = sorted(zip(family.labels, labels, strict=True))
    inner = ",".join(f'{label}="{_escaped(value)}"' for label, value in pairs)
    return f"{name}{{{inner}}}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
