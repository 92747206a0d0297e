"""The parts of the page that tell what was answered: how often each verdict, and its course."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codomain_cli.page import words
from codomain_cli.page.elements import live, pill, table
from codomain_cli.page.html import Html, join, tag
from codomain_cli.page.rates import MAPS, RECIPIENTS, STEP_SECONDS, STEPS, Key, Rate

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from codomain_cli.page.state import State

TONES = {"refuse": "bad", "defer": "warn"}
"""How a verdict looks; all others are good."""

WHAT = {
    "deliver": "Delivered",
    "redirect": "Redirected",
    "relay": "Relayed",
    "pass": "Passed",
    "refuse": "Refused",
    "defer": "Deferred",
    "domain": "Domains",
}
"""The verdicts, in words, in their order."""

CHART_HEIGHT = 40
"""Of the chart's own units; it is drawn as large as there is room."""


def overview(state: State) -> Html:
    """Return how things are, in a line and four numbers."""
    rates = state.rates
    given = _sums(rates, RECIPIENTS)
    all_minute = sum(rate.minute for rate in given.values())
    tiles = [
        tile("Recipients", words.rate(all_minute, words.MINUTE), _since(given.values())),
        tile(
            "Refused",
            words.share(_minute(given, "refuse"), all_minute),
            "of the last minute",
            "bad",
        ),
        tile(
            "Deferred",
            words.share(_minute(given, "defer"), all_minute),
            "of the last minute",
            "warn",
        ),
        tile("Map look-ups", words.rate(_maps_minute(rates), words.MINUTE), "of the last minute"),
    ]
    loaded = words.clock(state.status["loaded"], state.now)
    said = tag(
        "p",
        *_words(state),
        tag("span", f"Configuration {state.status['generation']} of ", loaded, class_="quiet"),
        class_="pills",
    )
    return live(
        "overview",
        "Now",
        said,
        tag("div", *tiles, class_="tiles"),
        _chart(*state.course),
        class_="card wide",
    )


def tile(name: str, value: str, below: str, tone: str = "") -> Html:
    """Return one number with its name."""
    return tag(
        "div",
        tag("span", name, class_="name"),
        tag("span", value, class_=f"value {tone}".rstrip()),
        tag("span", below, class_="quiet"),
        class_="tile",
    )


def verdicts(state: State) -> Html:
    """Return how often each verdict was given to a recipient, by reason."""
    rates = {
        (verdict, reason): rate
        for (what, verdict, reason), rate in state.rates.items()
        if what == RECIPIENTS and rate.total
    }
    most = max((rate.quarter for rate in rates.values()), default=0)
    order = list(WHAT)
    rows = [
        (
            _verdict(verdict, reason),
            _bar(rate.quarter, most, TONES.get(verdict, "good")),
            words.rate(rate.minute, words.MINUTE),
            words.number(rate.quarter),
            words.number(rate.total),
        )
        for (verdict, reason), rate in sorted(
            rates.items(), key=lambda item: (order.index(item[0][0]), -item[1].total)
        )
    ]
    head = ("Verdict", "Share", "Last minute", "15 minutes", "Since start")
    return live(
        "verdicts",
        "Verdicts",
        table("Verdicts", head, rows, "No recipient has been asked for yet."),
        class_="card wide",
    )


def _words(state: State) -> Iterable[Html]:
    silent = [d["name"] for d in state.status["directories"] if not d["up"]]
    if silent:
        yield pill(f"No answer from directory {', '.join(silent)}", "bad")
    else:
        yield pill("Every directory answers", "good")
    config = state.runtime.config
    domains = [d.name for d in config.domains if (d.mode or config.codomain.mode) == "shadow"]
    if domains:
        yield pill(f"Shadow mode: {', '.join(domains)}", "warn")
    if state.runtime.warnings:
        count = len(state.runtime.warnings)
        yield pill(
            f"{count} warning{'s' if count > 1 else ''} on the configuration: codomain check",
            "warn",
        )


def _sums(rates: Mapping[Key, Rate], what: str) -> dict[str, Rate]:
    """Return the rates of each verdict, whatever its reason."""
    sums: dict[str, Rate] = {}
    for (kind, verdict, _), rate in rates.items():
        if kind == what:
            old = sums.get(verdict, Rate(0, 0, 0))
            sums[verdict] = Rate(
                old.minute + rate.minute, old.quarter + rate.quarter, old.total + rate.total
            )
    return sums


def _minute(sums: Mapping[str, Rate], verdict: str) -> int:
    return sums.get(verdict, Rate(0, 0, 0)).minute


def _maps_minute(rates: Mapping[Key, Rate]) -> int:
    return sum(rate.minute for rate in _sums(rates, MAPS).values())


def _since(rates: Iterable[Rate]) -> str:
    return f"{words.number(sum(rate.total for rate in rates))} since the start"


def _verdict(verdict: str, reason: str) -> Html:
    shown = pill(WHAT[verdict], TONES.get(verdict, "good"))
    return join((shown, " ", tag("span", reason))) if reason else shown


def _bar(count: int, most: int, tone: str) -> Html:
    width = 100 * count // most if most else 0
    bar = tag("rect", width=str(max(width, 2) if count else 0), height="8", rx="2")
    return tag(
        "svg",
        bar,
        class_=f"bar {tone}",
        viewBox="0 0 100 8",
        preserveAspectRatio="none",
        aria_hidden="true",
    )


def _chart(every: Sequence[int], refused: Sequence[int]) -> Html:
    """Return the course of the last quarter of an hour: all recipients, and the refused ones."""
    most = max(every, default=0)
    if not most:
        return Html()
    lines = [
        tag("polyline", points=_points(every, most), class_="all"),
        tag("polyline", points=_points(refused, most), class_="bad"),
    ]
    peak = words.rate(most, STEP_SECONDS)
    label = (
        f"Recipients in the last 15 minutes, {peak} at the most; below, those refused or deferred"
    )
    drawn = tag(
        "svg",
        *lines,
        viewBox=f"0 -2 {STEPS - 1} {CHART_HEIGHT + 4}",
        preserveAspectRatio="none",
        role="img",
        aria_label=label,
        class_="chart",
    )
    caption = tag(
        "figcaption",
        "15 minutes, ",
        tag("span", "all recipients", class_="key all"),
        " and ",
        tag("span", "refused or deferred", class_="key bad"),
        f"; {peak} at the most",
        class_="quiet",
    )
    return tag("figure", drawn, caption)


def _points(counts: Sequence[int], most: int) -> str:
    begin = STEPS - len(counts)
    return " ".join(
        f"{begin + x},{CHART_HEIGHT * (1 - count / most):.1f}" for x, count in enumerate(counts)
    )
