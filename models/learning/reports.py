"""What is told of the leagues: figures of every entrant, who serves, and what moves the scores."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from models.league.by_segment import by_segment, overall
from models.league.importance import importance
from models.league.labels import LabelLeague
from models.league.league import League
from models.learning.leagues import Leagues
from schemas.segments import Segments
from schemas.serving import ServingModel

TRIVIAL: Final = frozenset({"running_mean", "persistence"})
EXAMPLES_OF: Final = {"purchases": "churn"}
"""Tasks whose examples are those of another one."""
LOOKED_AT: Final = 1_000
"""Latest draws that importance is judged on."""


def tasks(leagues: Leagues, segments: Segments | None, labels: Mapping[int, str]) -> dict[str, Any]:
    """Return each league's part of the report, by task.

    Parameters
    ----------
    segments
        Those for which importance is told apart.
    labels
        Names of attributes in words, by key.
    """
    return {task: _task(leagues, league, segments, labels) for task, league in leagues.items()}


def _task(leagues: Leagues, league: League, segments: Segments | None, labels: Mapping[int, str]) -> dict[str, Any]:
    task, care = league.task, leagues.care
    report = league.report()
    report["changes"] = _changes(leagues, league, report.get("changes", []))
    report["rolled_back_to"] = care.held.get(task)
    if task != "response":  # its windows are the offers' own
        report["window_days"] = leagues.window_days
    own = leagues.compiled(task)
    model, latest = care.serving(task) or own, leagues.latest[EXAMPLES_OF.get(task, task)]
    report["importance_by_segment"] = by_segment(model, latest, segments, labels)
    if isinstance(league, LabelLeague):
        return _labels(leagues, league, report, own, labels)
    report["importance"] = overall(model, latest, labels)
    served = report.pop("served")
    name, fresh = leagues.champion(task), report["models"]
    others: dict[str, Any] = {}
    if league.kind == "amount":
        report["promotions"] = leagues.contests[task].log if task in leagues.contests else []
        everybody = fresh | report["baselines"]
        others = {other: figures for other, figures in everybody.items() if other not in TRIVIAL}
        report["baselines"] = {other: figures for other, figures in everybody.items() if other in TRIVIAL}
        if served["mae"] is None:
            served = everybody[name]
    return report | {
        "champion": name,
        "models": others | {name: served | {"microseconds_per_example": None}},
        "just_before_learning": fresh,
    }


def _changes(leagues: Leagues, league: League, own: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what changed who serves, in the order it came."""
    by_hand = [msgspec.to_builtins(change) for change in leagues.care.changes.get(league.task, ())]
    fought = leagues.contests[league.task].log if league.task in leagues.contests else []
    amounts = [
        {"examples": one["examples"], "what": "promotion", "model": one["to"], "before": one["from"]}
        | {"reason": one.get("reason", "its losses are lower")}
        for one in fought
    ]
    return sorted(own + amounts + by_hand, key=lambda change: change["examples"])


def _labels(
    leagues: Leagues, league: LabelLeague, report: dict[str, Any], own: ServingModel | None, labels: Mapping[int, str]
) -> dict[str, Any]:
    """In a backtest all were asked at the decision; live only who served, the others just before learning."""
    champion = league.champion_name
    if not leagues.asks and champion in report["models"]:
        report["models"][champion] |= report["served"]
    histories = leagues.draws.latest(LOOKED_AT)
    report["importance"] = importance(own, league.vocabulary, labels, histories)
    others = "at the decision" if leagues.asks else "just before learning"
    return report | {"judged": {champion: "at the decision", "others": others}}
