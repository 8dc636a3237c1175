"""Leagues, versions and entrants as tables for people."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from models.customers.catalogue import Feature
from streams.operator import Standing

METRICS: Final = (
    "auc", "log_loss", "brier", "ece", "lift_10", "accuracy", "macro_f1", "mae", "rmse", "spearman", "total_ratio",
    "top_10_share", "units_log_error", "daily_share_error",
)  # fmt: skip
"""What is shown of an entrant, as far as its task has it."""
HEADLINES: Final = ("log_loss", "ece", "auc", "mae", "spearman")
LATEST: Final = 10


def number(value: Any) -> str:
    """Return a figure as text; `-` where it is not known.

    >>> number(0.12345), number(None), number(1234567.0)
    ('0.1235', '-', '1,234,567')
    """
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.4f}"


def show_list(console: Console, standings: Mapping[str, Standing], retrained: Mapping[str, Mapping[str, Any]]) -> None:
    """Print who serves each task, from what, and what can serve again."""
    table = Table("task", "serves", "champion", "examples", "newest", "published", "memory", "can serve again")
    for column in table.columns:
        column.overflow = "fold"  # a version cut short cannot be copied
    for task, one in standings.items():
        held = " (rolled back)" if one.report.get("rolled_back_to") or one.pinned else ""
        champion = one.lineage.get("champion") or one.report["champion"]
        dates = [one.lineage.get(name) or "-" for name in ("newest_example_at", "published_at")]
        known = [champion, f"{one.report['examples']:,}", *dates]
        memory = f"{one.report['bytes'] / 1e6:,.1f} MB" if "bytes" in one.report else "-"
        table.add_row(task, one.serves + held, *known, memory, ", ".join(one.kept) or "-")
    console.print(table)
    for task, one in standings.items():
        if "budget" in one.report:
            console.print(f"{task}: an example takes, by declared costs in µs, {spending(one.report)}", highlight=False)
    if retrained:
        anew = Table("learner", "offset", "made", "examples", title="Trained anew, not serving", title_justify="left")
        for name, told in retrained.items():
            total = sum(task["examples"] for task in told["report"].get("tasks", {}).values())
            anew.add_row(name, str(told["offset"]), told["made_at"], f"{total:,}")
        console.print(anew)


def show_features(console: Console, catalogue: Sequence[Feature]) -> None:
    """Print the catalogue."""
    table = Table("feature", "unit", "made of", "meaning")
    for one in catalogue:
        table.add_row(one.name, one.unit, one.owner, one.meaning)
    table.caption, table.caption_justify = f"Before a model sees it: {catalogue[0].scaling}", "left"
    console.print(table)


def spending(report: Mapping[str, Any]) -> str:
    """Say what learning takes of its budget, and who sees less for it.

    >>> budget = {"spent": 187.5, "microseconds": 200.0}
    >>> spending({"budget": budget, "shares": {"tree": 0.125, "forest": 0.0}})
    '188 of 200: tree 1 in 8, forest benched'
    """
    if "budget" not in report:
        return "-"
    shares = report.get("shares", {}).items()
    rare = ", ".join(f"{name} 1 in {1.0 / share:.0f}" if share else f"{name} benched" for name, share in shares)
    budget = report["budget"]
    return f"{budget['spent']:,.0f} of {budget['microseconds']:,.0f}" + (f": {rare}" if rare else "")


def show_task(console: Console, one: Standing) -> None:
    """Print one league: entrants, changes, versions, what moves the scores."""
    report = one.report
    console.rule(f"{one.task}: {one.serves} serves")
    show_entrants(console, report, everybody(report))
    if "budget" in report:
        console.print(f"Learning an example takes, by declared costs in µs, {spending(report)}", highlight=False)
    for change in report.get("changes", [])[-LATEST:]:
        console.print(f"after {change['examples']:,} examples: {_change(change)}", highlight=False)
    for name, told in report.get("feature_drift", {}).items():
        moved = f"{name} has moved from {told['before']:.3f} to {told['after']:.3f}"
        console.print(f"after {told['examples']:,} examples: {moved} ({told['alarms']} alarms)", highlight=False)
    if report.get("importance"):
        moved = ", ".join(f"{name} {size:.3f}" for name, size in report["importance"].items())
        scale = "the log odds" if any("log_loss" in one for one in everybody(report).values()) else "ln(1 + the amount)"
        console.print(f"What moves the scores (spread of {scale} over customers): {moved}", highlight=False)
    if report.get("importance_by_segment"):
        console.print(_segments(report["importance_by_segment"]))
    if one.by_learner:
        console.print("The learner answers, with what it has learned so far: there are no versions.")
        return
    table = Table("version", "champion", "examples", "newest example", *HEADLINES, "offset", "learner", "river")
    table.title, table.title_justify = "Versions that can serve again", "left"
    for name, told in one.kept.items():
        figures = [number(told["figures"].get(metric)) for metric in HEADLINES]
        known = [told["champion"], f"{told['examples']:,}", told["newest_example_at"]]
        table.add_row(
            name, *known, *figures, str(told["offset"]), told["learner"] or "first", told["libraries"]["river"]
        )
    console.print(table)


def _segments(told: Mapping[str, Mapping[str, Any]]) -> Table:
    """Show what moves the scores of each segment's customers, up or down, the strongest first."""
    table = Table("segment", "examples", "mean score", "what moves it (mean contribution)")
    table.title, table.title_justify = "By segment, on the latest examples", "left"
    for one in told.values():
        moved = ", ".join(f"{name} {found['mean']:+.2f}" for name, found in one["features"].items())
        table.add_row(one["name"], f"{one['examples']:,}", number(one["score"]), moved)
    return table


def _change(change: Mapping[str, Any]) -> str:
    words = {"promotion": "{model} took over from {before}", "drift": "drift seen while {model} served"}
    words |= {"lead": "{model} leads within the mixture, not {before}", "budget": "{model} µs an example, not {before}"}
    words |= {"rollback": "version {model} serves again, not {before}", "release": "the league's own champion serves"}
    said: str = words.get(change["what"], change["what"])
    return f"{said.format(**change)}: {change['reason']}"


def everybody(report: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return figures of all entrants, baselines and controls of a task."""
    return {**report["models"], **report["baselines"], **report.get("controls", {})}


def show_entrants(console: Console, report: Mapping[str, Any], some: Mapping[str, Mapping[str, Any]]) -> None:
    """Print figures of entrants side by side."""
    metrics = [name for name in METRICS if any(figures.get(name) is not None for figures in some.values())]
    table = Table("entrant", *metrics, "sees", "evidence against the champion", "µs an example")
    for name, figures in some.items():
        mark = "champion: " if name == report["champion"] else "baseline: " if name in report["baselines"] else ""
        mark = "control: " if name in report.get("controls", {}) else mark
        shares, evidence = report.get("shares", {}).get(name, 1.0), report.get("evidence", {}).get(name)
        took = figures.get("microseconds_per_example")
        table.add_row(
            mark + name, *(number(figures.get(metric)) for metric in metrics), f"{shares:.0%}",
            "-" if evidence is None else f"{evidence:,.1f}", "-" if took is None else f"{took:,.0f}",
        )  # fmt: skip
    console.print(table)


def show_two(console: Console, names: tuple[str, str], figures: tuple[Mapping[str, Any], Mapping[str, Any]]) -> None:
    """Print two models' figures, and the difference."""
    table = Table("figure", *names, "second less first")
    for metric in METRICS:
        one, other = (some.get(metric) for some in figures)
        if one is not None or other is not None:
            both = None if one is None or other is None else other - one
            table.add_row(metric, number(one), number(other), "-" if both is None else f"{both:+.4f}")
    console.print(table)
