"""What of a report the page shows, in what order, and how numbers are written."""

from collections.abc import Mapping
from typing import Any, Final

from streams.reporting.page import charts
from streams.reporting.summary import CONTROLS, meaning
from streams.reporting.verdict import METRICS, best, verdict

CHANGES: Final = 12


def brief(value: Any) -> str:
    """Return a value as people read it.

    >>> brief(None), brief(0.123456), brief(1234567), brief(12345.6), brief(True), brief("x")
    ('-', '0.123', '1,234,567', '12,346', 'yes', 'x')
    """
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3f}"
    return str(value)


def task_of(task: str, figures: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the page shows of a task: a table of all entrants, charts, changes."""
    everybody = {**figures["models"], **figures["baselines"]}
    metrics = [name for name in METRICS if any(found.get(name) is not None for found in everybody.values())]
    shares = figures.get("shares", {})  # who was asked of few examples has other figures: not comparable
    rivals = {name: found for name, found in everybody.items() if shares.get(name, 1.0) == 1.0}
    winners = {metric: best(metric, {name: found.get(metric) for name, found in rivals.items()}) for metric in metrics}
    champion, others = figures["champion"], figures.get("judged")
    scale = "the log odds" if "log_loss" in metrics else "ln(1 + the amount)"
    rows = [
        {
            "name": name,
            "kind": "champion" if name == champion else "baseline" if name in figures["baselines"] else "entrant",
            "cells": [(found.get(metric), winners[metric] == name) for metric in metrics],
            "share": shares.get(name, 1.0),
            "took": None if found.get("microseconds_per_example") is None else round(found["microseconds_per_example"]),
        }
        for name, found in everybody.items()
    ]
    rows.sort(key=lambda row: ("champion", "entrant", "baseline").index(row["kind"]))
    rows += [
        {
            "name": f"{name}: {CONTROLS.get(name, name)}", "kind": "control", "share": 1.0, "took": None,
            "cells": [(found.get(metric), False) for metric in metrics],
        }
        for name, found in figures.get("controls", {}).items()
    ]  # fmt: skip
    months = {name: {month: value for month, value in some.items() if value is not None}
              for name, some in figures.get("by_month", {}).items()}  # fmt: skip
    return {
        "name": task, "meaning": meaning(task, figures.get("window_days")), "examples": figures["examples"],
        "positives": figures.get("positives"), "champion": champion, "verdict": verdict(figures),
        "metrics": [METRICS[metric][0] for metric in metrics], "rows": rows,
        "binary": "log_loss" in metrics, "others": others.get("others", "") if isinstance(others, dict) else "",
        "months": charts.months(_shown(months, champion, figures["baselines"])) if _several(months) else "",
        "reliability": charts.reliability(figures["reliability"]) if figures.get("reliability") else "",
        "importance": charts.bars(figures["importance"], f"spread of {scale}") if figures.get("importance") else "",
        "scale": scale,
        "by_segment": list(figures.get("importance_by_segment", {}).values()),
        "pending": figures.get("pending"), "unopened": figures.get("unopened"), "bytes": figures.get("bytes"),
        "changes": figures.get("changes", [])[-CHANGES:],
        "drift": figures.get("drift", {}),
        "feature_drift": figures.get("feature_drift", {}),
        "by_delay": figures.get("by_delay", []),
    }  # fmt: skip


def _several(months: Mapping[str, Mapping[str, float]]) -> bool:
    return max((len(some) for some in months.values()), default=0) >= 2


def _shown(
    months: Mapping[str, Mapping[str, float]], champion: str, baselines: Mapping[str, Any]
) -> dict[str, Mapping[str, float]]:
    """Champion first, then the entrants, then baselines: colours go by this order, and there are not many."""
    ranked = sorted(months, key=lambda name: (name != champion, name in baselines))
    return {name: months[name] for name in ranked[: charts.COLOURS] if months[name]}
