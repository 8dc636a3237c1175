"""A Grafana dashboard as Python: sections of panels, laid out from left to right."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

WIDTH: Final = 24
"""Columns of Grafana's grid."""
SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
Kind = Literal["timeseries", "stat", "bargauge", "heatmap", "table"]


@dataclass(frozen=True)
class Query:
    """What a panel asks Prometheus; `legend` names a line, with labels in double braces."""

    expr: str
    legend: str = ""


@dataclass(frozen=True)
class Panel:
    """One picture. `unit` is one of Grafana's; `steps` are colours from a value on, the first from the lowest.

    `dashed` is a regular expression of the lines that are only there to compare with.
    """

    title: str
    description: str
    unit: str
    queries: Sequence[Query]
    kind: Kind = "timeseries"
    width: int = 8
    height: int = 8
    low: float | None = 0
    high: float | None = None
    steps: Sequence[tuple[float | None, str]] = ()
    stacked: bool = False
    dashed: str = ""
    decimals: int | None = None


@dataclass(frozen=True)
class Section:
    """A row with its panels."""

    title: str
    panels: Sequence[Panel] = field(default_factory=list)


def variable(name: str, label: str, expr: str) -> dict[str, Any]:
    """Return a choice above the dashboard whose values are asked of Prometheus."""
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": SOURCE,
        "query": {"qryType": 1, "query": expr, "refId": "variable"},
        "definition": expr,
        "refresh": 2,
        "sort": 1,
        "includeAll": False,
        "multi": False,
    }


def dashboard(uid: str, title: str, sections: Sequence[Section], variables: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return Grafana's JSON."""
    source = {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "refresh": 1}
    return {
        "uid": uid,
        "title": title,
        "tags": [uid],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": [source, *variables]},
        "annotations": {"list": []},
        "links": [],
        "panels": list(_placed(sections)),
    }


def _placed(sections: Sequence[Section]) -> Iterator[dict[str, Any]]:
    number, y = 0, 0
    for section in sections:
        number += 1
        at = {"x": 0, "y": y, "w": WIDTH, "h": 1}
        yield {"id": number, "type": "row", "title": section.title, "collapsed": False, "gridPos": at, "panels": []}
        x, y, tallest = 0, y + 1, 0
        for panel in section.panels:
            if x + panel.width > WIDTH:
                x, y, tallest = 0, y + tallest, 0
            number += 1
            yield _panel(panel, number, {"x": x, "y": y, "w": panel.width, "h": panel.height})
            x, tallest = x + panel.width, max(tallest, panel.height)
        y += tallest


def _panel(panel: Panel, number: int, at: dict[str, int]) -> dict[str, Any]:
    instant = panel.kind in ("bargauge", "table")
    style = {"heatmap": "heatmap", "table": "table"}.get(panel.kind, "time_series")
    targets = [
        {
            "refId": chr(ord("A") + place),
            "datasource": SOURCE,
            "expr": query.expr,
            "legendFormat": query.legend or "__auto",
            "range": not instant,
            "instant": instant,
            "format": style,
        }
        for place, query in enumerate(panel.queries)
    ]
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": SOURCE,
        "gridPos": at,
        "targets": targets,
        "fieldConfig": {"defaults": _defaults(panel), "overrides": _overrides(panel)},
        "options": _options(panel),
    }


def _defaults(panel: Panel) -> dict[str, Any]:
    steps = panel.steps or [(None, "blue" if panel.kind in ("stat", "bargauge") else "green")]
    thresholds = {"mode": "absolute", "steps": [{"value": value, "color": colour} for value, colour in steps]}
    defaults: dict[str, Any] = {"unit": panel.unit, "noValue": "nothing yet", "thresholds": thresholds}
    defaults["color"] = {"mode": "palette-classic" if panel.kind == "timeseries" else "thresholds"}
    bounds = {"min": panel.low, "max": panel.high, "decimals": panel.decimals}
    defaults |= {name: value for name, value in bounds.items() if value is not None}
    if panel.kind == "timeseries":
        defaults["custom"] = {
            "lineWidth": 1,
            "fillOpacity": 25 if panel.stacked else 5,
            "showPoints": "never",
            "spanNulls": 60_000,
            "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
            "thresholdsStyle": {"mode": "line" if panel.steps else "off"},
        }
    return defaults


def _overrides(panel: Panel) -> list[dict[str, Any]]:
    if not panel.dashed:
        return []
    style = {"id": "custom.lineStyle", "value": {"fill": "dash", "dash": [8, 6]}}
    return [{"matcher": {"id": "byRegexp", "options": panel.dashed}, "properties": [style]}]


def _options(panel: Panel) -> dict[str, Any]:
    last = {"calcs": ["lastNotNull"], "fields": "", "values": False}
    match panel.kind:
        case "timeseries":
            legend = {"displayMode": "table", "placement": "bottom", "showLegend": True, "calcs": ["lastNotNull"]}
            return {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}
        case "stat":
            return {"reduceOptions": last, "colorMode": "value", "graphMode": "area", "textMode": "auto"}
        case "bargauge":
            return {"reduceOptions": last, "orientation": "horizontal", "displayMode": "basic", "showUnfilled": True}
        case "heatmap":
            return {
                "calculate": False,
                "cellGap": 1,
                "color": {"mode": "scheme", "scheme": "Blues", "steps": 64},
                "yAxis": {"unit": panel.unit, "axisPlacement": "left"},
                "tooltip": {"mode": "single", "yHistogram": False},
            }
        case "table":
            return {"showHeader": True, "cellHeight": "sm"}
