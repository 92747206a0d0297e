"""Lays the dashboard out as Grafana's JSON (schema version 39, Grafana 10 and newer).

``python -m codomain_cli.dashboard`` tells whether contrib/grafana/codomain.json is what the
code says; with ``--write`` it writes the file.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from codomain_cli.dashboard.behind import CACHE, CALLOUT, DIRECTORY, INDEX, PROCESS, RELOADS
from codomain_cli.dashboard.mail import TRAFFIC, VERDICTS

if TYPE_CHECKING:
    from codomain_cli.dashboard.panel import Panel, Query

    Json = dict[str, Any]

ROWS = (TRAFFIC, VERDICTS, CACHE, DIRECTORY, CALLOUT, INDEX, PROCESS)
"""The dashboard, from top to bottom."""

SCHEMA_VERSION = 39
"""Of Grafana 10.4; newer ones migrate it by themselves."""

PANEL_HEIGHT = 8
"""In Grafana's grid; a row's header is one high."""

SOURCE = {"type": "prometheus", "uid": "${datasource}"}

RUNBOOK = "file:///usr/share/doc/codomain/runbook.html"
"""Where the package puts it; the dashboard's variable ``runbook`` takes another place."""


def dashboard() -> Json:
    """Return the whole dashboard, as it is imported or provisioned."""
    panels: list[Json] = []
    top = 0
    for row in ROWS:
        panels.append(_header(row.title, len(panels) + 1, top))
        top += 1
        left = 0
        for panel in row.panels:
            if left + panel.width > 24:  # noqa: PLR2004  # Grafana's grid has 24 columns
                left = 0
                top += PANEL_HEIGHT
            panels.append(_panel(panel, len(panels) + 1, left, top))
            left += panel.width
        top += PANEL_HEIGHT
    return {
        "annotations": {"list": [_reloads()]},
        "description": "Mail systems that share one SMTP domain: who is asked, what is answered.",
        "editable": True,
        "fiscalYearStartMonth": 0,
        "graphTooltip": 1,
        "links": [_link("Runbook", "")],
        "panels": panels,
        "refresh": "30s",
        "schemaVersion": SCHEMA_VERSION,
        "tags": ["codomain", "mail"],
        "templating": {"list": _variables()},
        "time": {"from": "now-6h", "to": "now"},
        "timepicker": {},
        "timezone": "browser",
        "title": "codomain",
        "uid": "codomain",
        "version": 1,
    }


def text() -> str:
    """Return the file's text."""
    return json.dumps(dashboard(), indent=2, ensure_ascii=False) + "\n"


def _header(title: str, number: int, top: int) -> Json:
    return {
        "collapsed": False,
        "gridPos": {"h": 1, "w": 24, "x": 0, "y": top},
        "id": number,
        "panels": [],
        "title": title,
        "type": "row",
    }


def _panel(panel: Panel, number: int, left: int, top: int) -> Json:
    return {
        "datasource": SOURCE,
        "description": panel.description,
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "gridPos": {"h": PANEL_HEIGHT, "w": panel.width, "x": left, "y": top},
        "id": number,
        "links": [_link("What to do", panel.runbook)] if panel.runbook else [],
        "options": _options(panel),
        "targets": [_target(query, index) for index, query in enumerate(panel.queries)],
        "title": panel.title,
        "type": panel.kind,
    }


def _defaults(panel: Panel) -> Json:
    custom: Json = {}
    if panel.kind == "timeseries":
        custom = {
            "drawStyle": "line",
            "fillOpacity": 30 if panel.stacked else 8,
            "lineWidth": 1,
            "showPoints": "never",
            "spanNulls": False,
            "stacking": {"group": "A", "mode": "normal" if panel.stacked else "none"},
            "thresholdsStyle": {"mode": "line" if len(panel.thresholds) > 1 else "off"},
        }
    mappings = [
        {
            "options": {
                value: {"color": colour, "index": index, "text": name}
                for index, (value, name, colour) in enumerate(panel.values)
            },
            "type": "value",
        }
    ]
    return {
        "color": {"mode": "palette-classic" if panel.kind == "timeseries" else "thresholds"},
        "custom": custom,
        "mappings": mappings if panel.values else [],
        "min": 0,
        "thresholds": {
            "mode": "absolute",
            "steps": [{"color": colour, "value": value} for colour, value in panel.thresholds],
        },
        "unit": panel.unit,
    }


def _options(panel: Panel) -> Json:
    legend = {"calcs": ["lastNotNull", "max"], "displayMode": "table", "placement": "bottom"}
    if panel.kind == "stat":
        return {
            "colorMode": "background",
            "graphMode": "none",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "textMode": "name" if panel.title == "Version" else "auto",
        }
    if panel.kind == "state-timeline":
        return {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": False},
            "mergeValues": True,
            "rowHeight": 0.8,
            "showValue": "never",
        }
    return {
        "legend": legend | {"showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }


def _target(query: Query, index: int) -> Json:
    return {
        "datasource": SOURCE,
        "editorMode": "code",
        "expr": query.promql,
        "legendFormat": query.legend,
        "range": True,
        "refId": chr(ord("A") + index),
    }


def _link(title: str, section: str) -> Json:
    url = f"${{runbook}}#{section}" if section else "${runbook}"
    return {"targetBlank": True, "title": title, "type": "link", "url": url}


def _reloads() -> Json:
    return {
        "datasource": SOURCE,
        "enable": True,
        "expr": RELOADS.promql,
        "hide": False,
        "iconColor": "blue",
        "name": "Reloads",
        "step": "30s",
        "titleFormat": "Configuration in force",
    }


def _variables() -> list[Json]:
    return [
        {
            "current": {},
            "hide": 0,
            "includeAll": False,
            "label": "Data source",
            "name": "datasource",
            "options": [],
            "query": "prometheus",
            "refresh": 1,
            "type": "datasource",
        },
        _values_of("job", "Job", "label_values(codomain_build_info, job)", many=False),
        _values_of(
            "instance",
            "Gateway",
            'label_values(codomain_build_info{job="$job"}, instance)',
            many=True,
        ),
        _values_of(
            "domain",
            "Domain",
            'label_values(codomain_requests_total{job="$job"}, domain)',
            many=True,
        ),
        {
            "current": {"selected": False, "text": RUNBOOK, "value": RUNBOOK},
            "hide": 2,
            "label": "Where the runbook is published",
            "name": "runbook",
            "options": [{"selected": True, "text": RUNBOOK, "value": RUNBOOK}],
            "query": RUNBOOK,
            "type": "textbox",
        },
    ]


def _values_of(name: str, label: str, query: str, *, many: bool) -> Json:
    everything = {"selected": True, "text": ["All"], "value": ["$__all"]}
    return {
        "allValue": ".*" if many else None,
        "current": everything if many else {},
        "datasource": SOURCE,
        "definition": query,
        "hide": 0,
        "includeAll": many,
        "label": label,
        "multi": many,
        "name": name,
        "options": [],
        "query": {"qryType": 1, "query": query, "refId": "Prometheus"},
        "refresh": 2,
        "sort": 1,
        "type": "query",
    }
