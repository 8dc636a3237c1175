"""The figures that `quality` shows of each data set: of who serves, beside the best trivial answer's and a bar.

What is trivial is what the report itself has under `baselines`: the best of them, figure by figure. Bars are constants.
`must` was set after what a model of the same kind reached that sees the data in batches, or after the trivial answer,
where that is the better of the two; `aim` lies beyond both.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from streams.quality_bars import row
from streams.quality_market import CATEGORIES
from streams.reporting import verdict

Report = Mapping[str, Any]
Row = dict[str, Any]


class Shown(NamedTuple):
    """A figure of a task, and its bars."""

    task: str
    metric: str
    must: str = ""
    aim: str = ""


TASKS: Final[Mapping[str, Sequence[Shown]]] = {
    "bank_marketing": (
        Shown("response", "auc", ">= .79", ".80"),
        Shown("response", "log_loss", "<= .28", ".275"),
        Shown("response", "auc_within", ">= .62", ".635"),
    ),
    "bank_marketing_late": (
        Shown("response", "auc", ">= .75", ".765"),
        Shown("response", "log_loss"),
        Shown("response", "auc_within", ">= .58", ".61"),
    ),
    "starbucks": (
        Shown("response", "auc", ">= .755", ".785"),
        Shown("response", "log_loss", "<= .575", ".545"),
    ),
    "cdnow": (
        Shown("churn", "auc", ">= .765"),
        Shown("value", "top_10_share", ">= .515"),
        Shown("purchases", "total_ratio", ".85 to 1.15"),
        Shown("purchases", "rmse", "", "< 1.73"),
        Shown("purchases", "mae", "", "< .82"),
    ),
    "online_retail": (
        Shown("churn", "auc"),
        Shown("churn", "log_loss"),
        Shown("value", "spearman"),
        Shown("value", "top_10_share"),
        Shown("value", "mae"),
        Shown("purchases", "spearman"),
        Shown("purchases", "mae"),
        Shown("purchases", "rmse"),
    ),
    "catsup": (
        Shown("brand_choice", "log_loss", "<= .765"),
        Shown("brand_choice", "accuracy", ">= .71"),
        Shown("brand_choice", "auc", ">= .83"),
    ),
    "cracker": (
        Shown("brand_choice", "log_loss", "<= .49"),
        Shown("brand_choice", "accuracy", ">= .844"),
        Shown("brand_choice", "auc", ">= .876"),
    ),
    "airline_tweets": (
        Shown("sentiment", "accuracy", ">= .785"),
        Shown("sentiment", "macro_f1", ">= .71"),
        Shown("sentiment", "auc", ">= .90"),
        Shown("sentiment", "daily_share_error", "<= .04"),
    ),
}
"""Data set -> what is shown of its tasks."""
SALES: Final[Mapping[int, tuple[tuple[str, str], tuple[str, str]]]] = {
    1: (("<= .84", ".77"), ("<= .84", ".76")),
    7: (("<= .86", ".80"), ("<= .86", ".78")),
    14: (("<= .87", ".81"), ("<= .88", ".80")),
}
"""Days ahead -> bars of MASE: of all sales, and of the mean over `CATEGORIES`."""
INTERVALS: Final = {"coverage_80": (".78 to .84", ".79 to .81"), "winkler_80": ("<= 1.45", "1.3")}
"""Of all sales, at every horizon."""
SEGMENTS: Final = {"ssq_ratio": ("<= 1.05", "1.01"), "stability": (">= .65", ".70")}
WORDS: Final = {
    "auc": "AUC", "log_loss": "log loss", "auc_within": "AUC within months", "mae": "MAE", "rmse": "RMSE",
    "accuracy": "accuracy", "macro_f1": "macro F1", "daily_share_error": "error of a day's share",
    "spearman": "Spearman",
    "top_10_share": "share in the best tenth", "total_ratio": "predicted over actual",
    "coverage_80": "inside the 80 % interval", "winkler_80": "Winkler score over mean",
    "ssq_ratio": "squared distance over batch", "stability": "share who keep their id",
}  # fmt: skip


def title(name: str, report: Report) -> str:
    """Say which data set it is, and who serves each task that is shown."""
    tasks = {task: report["tasks"][task] for task in dict.fromkeys(shown.task for shown in TASKS[name])}
    return f"{name}: " + "; ".join(
        f"{task} by {found['champion']}, {found['examples']:,} examples" for task, found in tasks.items()
    )


def figures(name: str, report: Report) -> list[Row]:
    """Return all rows of a data set, those of the market too."""
    found = [_of_task(report["tasks"][shown.task], shown) for shown in TASKS[name]]
    if name == "online_retail":
        found += [*_sales(report["sales"]), *_segments(report["segments"])]
    return [*found, *report.get("market_figures", ())]


def best(metric: str, values: Iterable[float | None]) -> float | None:
    """Return the best of some values of a metric; None where none is known.

    >>> best("auc", [0.5, None, 0.6]), best("mae", [2.0, 1.0]), best("total_ratio", [0.9, 1.3]), best("auc", [None])
    (0.6, 1.0, 0.9, None)
    """
    known = {str(place): value for place, value in enumerate(values)}
    name = verdict.best(metric, known)
    return None if name is None else known[name]


def _of_task(task: Report, shown: Shown) -> Row:
    metric, baselines = shown.metric, task["baselines"]
    served = {**baselines, **task["models"]}.get(task["champion"], {})
    trivial = best(metric, (values.get(metric) for values in baselines.values()))
    return row(f"{shown.task}: {WORDS[metric]}", served.get(metric), shown.must, shown.aim, trivial)


def _sales(sales: Mapping[str, Mapping[str, Report]]) -> list[Row]:
    """Return how good forecasts of a day's sales were, of the whole and of categories in the mean."""
    every = [sales[f"category:{name}"] for name in CATEGORIES]
    found = [_mase("sales", [sales["all"]], days, SALES[days][0]) for days in SALES]
    for metric, bars in INTERVALS.items():
        found += [
            row(f"sales, {_days(days)}: {WORDS[metric]}", sales["all"][str(days)][metric], *bars) for days in SALES
        ]
    return found + [_mase(f"mean of {len(every)} categories", every, days, SALES[days][1]) for days in SALES]


def _mase(whose: str, some: Sequence[Mapping[str, Report]], days: int, bars: tuple[str, str]) -> Row:
    """Return the mean over some series; what is trivial is one rule for all of them."""
    at = [one[str(days)] for one in some]
    trivial = (_mean(one["baselines"][rule]["mase"] for one in at) for rule in at[0]["baselines"])
    return row(f"{whose}, {_days(days)}: MASE", _mean(one["mase"] for one in at), *bars, best("mase", trivial))


def _mean(values: Iterable[float | None]) -> float | None:
    """Return the mean; None where one of them is not known."""
    some = list(values)
    known = [value for value in some if value is not None]
    return sum(known) / len(known) if len(known) == len(some) else None


def _days(days: int) -> str:
    return "1 day" if days == 1 else f"{days} days"


def _segments(segments: Report) -> list[Row]:
    baselines = segments["baselines"].values()
    return [
        row(f"segments: {WORDS[name]}", segments[name], *bars, best(name, (one.get(name) for one in baselines)))
        for name, bars in SEGMENTS.items()
    ]
