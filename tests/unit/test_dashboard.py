"""The dashboard and the alerts: complete, from the code, and with somewhere to go."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from codomain.replies import DEFAULTS
from codomain_cli.dashboard.__main__ import FILE
from codomain_cli.dashboard.grafana import ROWS, dashboard, text

if TYPE_CHECKING:
    from codomain.verdict import Reason
    from codomain_cli.dashboard.panel import Panel

PROJECT = Path(__file__).resolve().parents[2]
RUNBOOK = (PROJECT / "docs/runbook.md").read_text(encoding="utf-8")
ALERTS = (PROJECT / "contrib/prometheus/alerts.yml").read_text(encoding="utf-8")
CASES = (PROJECT / "contrib/prometheus/tests/alerts.yml").read_text(encoding="utf-8")

PANELS = [panel for row in ROWS for panel in row.panels]


def anchors() -> set[str]:
    """Return the sections that the runbook can be opened at."""
    return set(re.findall(r'<a id="([a-z0-9-]+)"></a>', RUNBOOK))


def test_file_is_what_the_code_says() -> None:
    """A drifted file would show what is no longer counted (python -m codomain_cli.dashboard)."""
    assert (PROJECT / FILE).read_text(encoding="utf-8") == text()


def test_rows_are_those_that_an_administrator_looks_for() -> None:
    """One row for each part of a recipient's way, in order."""
    assert [row.title for row in ROWS] == [
        "Traffic by door",
        "Verdicts and reasons",
        "Cache",
        "Directory",
        "Connectors and call-out",
        "Index",
        "Process",
    ]


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.title)
def test_every_panel_explains_itself(panel: Panel) -> None:
    """A title, a sentence, a unit; and each query is narrowed to the chosen gateway."""
    assert panel.title
    assert panel.description.endswith(".")
    assert panel.unit
    for query in panel.queries:
        assert 'job="$job", instance=~"$instance"' in query.promql
        assert "rate(" not in query.promql or "[$__rate_interval]" in query.promql
    assert not panel.runbook or panel.runbook in anchors()


def test_titles_are_unique() -> None:
    """Two panels of one name cannot be told apart in a link."""
    titles = [panel.title for panel in PANELS]
    assert len(set(titles)) == len(titles)


def test_panels_do_not_overlap() -> None:
    """Grafana's grid has 24 columns, and each panel a place of its own."""
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(text())["panels"]:
        grid = panel["gridPos"]
        assert grid["x"] + grid["w"] <= 24
        cells = {
            (x, y)
            for x in range(grid["x"], grid["x"] + grid["w"])
            for y in range(grid["y"], grid["y"] + grid["h"])
        }
        assert not cells & taken
        taken |= cells


def test_variables_are_offered() -> None:
    """Data source, job, instance and domain can be chosen."""
    names = [variable["name"] for variable in dashboard()["templating"]["list"]]
    assert names[:4] == ["datasource", "job", "instance", "domain"]


@pytest.mark.parametrize("alert", re.findall(r"- alert: (\w+)", ALERTS))
def test_every_alert_has_a_section_and_both_cases(alert: str) -> None:
    """Whoever is woken finds what to do; the rule was seen to fire and to stay quiet."""
    block = ALERTS.split(f"- alert: {alert}\n")[1].split("- alert:")[0]
    section = re.search(r'runbook: "docs/runbook\.md#([a-z-]+)"', block)
    assert section is not None
    assert section[1] in anchors()
    assert re.search(r"severity: (page|ticket)", block)
    assert f"## {alert}\n" in RUNBOOK
    assert re.search(rf"alertname: {alert}, exp_alerts: \[\]", CASES)
    assert re.search(rf"alertname: {alert}\n\s+exp_alerts:\n\s+- exp_labels", CASES)


@pytest.mark.parametrize("reason", list(DEFAULTS), ids=lambda reason: reason.value)
def test_every_reply_has_a_section(reason: Reason) -> None:
    """Whoever has a code in hand finds its section, with the code in the heading."""
    reply = DEFAULTS[reason]
    anchor = f'<a id="reply-{reason.value.replace("_", "-")}"></a>\n'
    assert anchor in RUNBOOK
    heading = RUNBOOK.split(anchor)[1].splitlines()[0]
    assert heading.startswith(f"## {reply.code} {reply.enhanced} ")
    assert heading.endswith(f"(`{reason.value}`)")
