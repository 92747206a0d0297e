"""Draws the dashboard's panels as one SVG, from what a real Prometheus answered.

``python -m support.picture docs/images/dashboard.svg`` (PYTHONPATH=tests) runs a gateway
under load for some minutes, with an outage of its directory, a reload and a burst of
guesses in it, and draws what the queries of the dashboard give.  Grafana itself draws
nothing here: the picture shows which panels there are and what they say.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codomain_cli.dashboard.grafana import ROWS
from support.watched import Watched

if TYPE_CHECKING:
    from collections.abc import Iterator

    from codomain_cli.dashboard.panel import Panel, Row
    from support.prometheus import Prometheus

COLUMN = 60
"""Pixels of one of the 24 columns."""

HEIGHT = 240
"""Pixels of a panel."""

HEAD = 44
"""Pixels of a row's title."""

MARGIN = 14

LINES = 4
"""Lines that a legend has room for."""

COLOURS = (
    *("#2e7d32", "#e0a100", "#1f77d0", "#d6452b", "#7b53c1", "#0d9ca8", "#b5651d", "#c2347f"),
    "#5d6d7e",
)

STYLE = """\
text { font: 13px 'DejaVu Sans', Verdana, sans-serif; fill: #24292f }
.page { fill: #eef0f3 } .panel { fill: #fff; stroke: #d5d9df }
.row { font-size: 19px; font-weight: 600 } .title { font-size: 14px; font-weight: 600 }
.tick { font-size: 11px; fill: #667 } .legend { font-size: 11.5px }
.grid { stroke: #e6e9ee } .line { fill: none; stroke-width: 1.6; stroke-linejoin: round }
.big { font-size: 34px; font-weight: 600 } .off { fill: #999 }
@media (prefers-color-scheme: dark) {
text { fill: #d8dbe2 } .page { fill: #111217 } .panel { fill: #1a1c22; stroke: #2c2f38 }
.tick { fill: #99a } .grid { stroke: #2a2d36 } }
"""

UNITS = {"reqps": "/s", "s": " s", "percentunit": " %", "bytes": " MB", "short": ""}
SCALES = {"percentunit": 100.0, "bytes": 1e-6}


class Series:
    """One line of a panel."""

    def __init__(self, name: str, points: list[tuple[float, float]]) -> None:
        self.name = name
        self.points = points

    @property
    def last(self) -> float:
        """Its last value."""
        return self.points[-1][1]

    @property
    def highest(self) -> float:
        """Its highest value."""
        return max(value for _, value in self.points)


class Times:
    """The time that is drawn, in Unix seconds."""

    def __init__(self, start: float, end: float) -> None:
        self.start = start
        self.end = end


def picture(prometheus: Prometheus, times: Times) -> str:
    """Return the SVG of all rows."""
    body: list[str] = []
    top = MARGIN
    for row in ROWS:
        part, top = _row(row, top, prometheus, times)
        body += part
    width = 24 * COLUMN + 2 * MARGIN
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {top}" role="img">',
            "<title>The panels of the codomain dashboard</title>",
            f"<style>{STYLE}</style>",
            f'<rect class="page" width="{width}" height="{top}"/>',
            *body,
            "</svg>\n",
        ]
    )


def _row(row: Row, top: int, prometheus: Prometheus, times: Times) -> tuple[list[str], int]:
    parts = [f'<text class="row" x="{MARGIN + 4}" y="{top + 28}">{escape(row.title)}</text>']
    top += HEAD
    left = 0
    for panel in row.panels:
        if left + panel.width > 24:
            left = 0
            top += HEIGHT
        parts.append(f'<g transform="translate({MARGIN + left * COLUMN} {top})">')
        parts += _panel(panel, panel.width * COLUMN - 8, _series(panel, prometheus, times), times)
        parts.append("</g>")
        left += panel.width
    return parts, top + HEIGHT


def _series(panel: Panel, prometheus: Prometheus, times: Times) -> list[Series]:
    found = []
    scale = SCALES.get(panel.unit, 1.0)
    for query in panel.queries:
        text = query.promql.replace("$__rate_interval", "15s").replace("$job", "codomain")
        text = text.replace("$instance", ".*").replace("$domain", ".*")
        for series in prometheus.query_range(text, times.start, times.end, 1.0):
            points = [
                (float(at), float(value) * scale)
                for at, value in series["values"]
                if value not in {"NaN", "+Inf"}
            ]
            if points:
                found.append(Series(_legend(query.legend, series["metric"]), points))
    return sorted(found, key=lambda one: -one.highest)


def _legend(pattern: str, labels: dict[str, Any]) -> str:
    for name, value in labels.items():
        pattern = pattern.replace(f"{{{{{name}}}}}", str(value))
    return pattern.replace("127.0.0.1", "gw1").split("{{", maxsplit=1)[0].strip(": ") or "none"


def _panel(panel: Panel, width: int, series: list[Series], times: Times) -> Iterator[str]:
    yield f'<rect class="panel" width="{width}" height="{HEIGHT - 8}" rx="4"/>'
    yield f'<text class="title" x="12" y="23">{escape(panel.title)}</text>'
    if panel.kind == "stat":
        yield from _stat(panel, series)
    elif panel.kind == "state-timeline":
        yield from _states(panel, width, series, times)
    else:
        yield from _graph(panel, width, series, times)


def _stat(panel: Panel, series: list[Series]) -> Iterator[str]:
    names = {value: (name, colour) for value, name, colour in panel.values}
    last = f"{series[0].last:g}"
    name, colour = names.get(last, (series[0].name, "green"))
    fill = {"green": COLOURS[0], "red": COLOURS[3]}[colour]
    style = f"font-size:23px;font-weight:600;fill:{fill}"
    yield f'<text x="14" y="120" style="{style}">{escape(name)}</text>'


def _states(panel: Panel, width: int, series: list[Series], times: Times) -> Iterator[str]:
    colours = {value: colour for value, _, colour in panel.values}
    span = times.end - times.start
    for index, one in enumerate(sorted(series, key=lambda one: one.name)):
        top = 48 + index * 52
        yield f'<text class="legend" x="14" y="{top}">{escape(one.name)}</text>'
        for at, value in one.points:
            x = 14 + (at - times.start) / span * (width - 30)
            fill = {"green": COLOURS[0], "red": COLOURS[3]}[colours[f"{value:g}"]]
            wide = (width - 30) / span + 0.4
            yield (
                f'<rect x="{x:.1f}" y="{top + 8}" width="{wide:.1f}" height="22" fill="{fill}"/>'
            )


def _graph(panel: Panel, width: int, series: list[Series], times: Times) -> Iterator[str]:
    left, right, top, bottom = 62, width - 14, 38, HEIGHT - 92
    drawn = _stacked(series) if panel.stacked else series
    highest = _round_up(max((one.highest for one in drawn), default=1.0) or 1.0)
    unit = UNITS[panel.unit]
    for step in range(5):
        y = bottom - (bottom - top) * step / 4
        label = f"{highest * step / 4:g}{unit}"
        yield f'<line class="grid" x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text class="tick" x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{label}</text>'
    span = times.end - times.start
    for index, one in enumerate(drawn):
        colour = COLOURS[index % len(COLOURS)]
        points = [
            (
                left + (at - times.start) / span * (right - left),
                bottom - value / highest * (bottom - top),
            )
            for at, value in one.points
        ]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        if panel.stacked:
            area = f"{points[0][0]:.1f},{bottom} {path} {points[-1][0]:.1f},{bottom}"
            yield f'<polygon points="{area}" fill="{colour}" fill-opacity="0.25"/>'
        yield f'<polyline class="line" points="{path}" stroke="{colour}"/>'
    for index, one in enumerate(series[: LINES * 2]):
        x = 14 + (index // LINES) * (width - 20) / 2
        y = bottom + 22 + (index % LINES) * 17
        colour = COLOURS[index % len(COLOURS)]
        yield f'<rect x="{x:.0f}" y="{y - 9:.0f}" width="12" height="4" fill="{colour}"/>'
        said = f"{one.name}  {one.last:.3g}{unit}, max {one.highest:.3g}"
        yield f'<text class="legend" x="{x + 18:.0f}" y="{y - 2:.0f}">{escape(said)}</text>'


def _stacked(series: list[Series]) -> list[Series]:
    """Return the sums to be drawn, the highest first so that the lower ones lie over it."""
    sums: dict[float, float] = {}
    made = []
    for one in reversed(series):
        points = []
        for at, value in one.points:
            sums[at] = sums.get(at, 0.0) + value
            points.append((at, sums[at]))
        made.append(Series(one.name, points))
    return made[::-1]


def _round_up(value: float) -> float:
    """Return the next 1, 2, 4 or 8 of a power of ten."""
    power = 1.0
    while power > value:
        power /= 10
    while power * 10 <= value:
        power *= 10
    return next(power * step for step in (1, 2, 4, 8, 10) if power * step >= value)


def main() -> None:
    """Run the gateway, and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--part", type=float, default=20.0, help="seconds of one part of the load")
    chosen = parser.parse_args()
    part = chosen.part
    with (
        tempfile.TemporaryDirectory(prefix="codomain-") as folder,
        Watched(Path(folder)) as gateway,
    ):
        gateway.load(part, 60.0)
        gateway.break_a_request()
        gateway.load(part, 90.0, seed=3)
        gateway.outage(part, 60.0)
        gateway.load(part, 80.0, seed=4)
        gateway.daemon.reload()
        gateway.load(part, 60.0, seed=5)
        times = Times(gateway.began + 4.0, time.time())
        chosen.out.write_text(picture(gateway.prometheus, times), encoding="utf-8")


if __name__ == "__main__":
    main()
