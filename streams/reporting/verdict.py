"""Whether a task's champion beats its trivial answers, by what the task is ranked by: one rule for all who tell it."""

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

METRICS: Final = {
    "auc": ("AUC", True), "auc_within": ("AUC within months", True), "pr_auc": ("PR AUC", True),
    "log_loss": ("log loss", False), "brier": ("Brier", False), "ece": ("ECE", False),
    "lift_10": ("lift of best 10 %", True),
    "accuracy": ("accuracy", True), "macro_f1": ("macro F1", True), "mae": ("MAE", False), "rmse": ("RMSE", False),
    "spearman": ("Spearman", True), "top_10_share": ("share of best 10 %", True),
    "total_ratio": ("predicted / actual", None),
    "units_log_error": ("log error of units", False), "daily_share_error": ("error of daily shares", False),
    "mase": ("MASE", False), "ssq_ratio": ("squared distance over batch", False), "stability": ("kept their id", True),
}  # fmt: skip
"""Name, and whether more is better; None: neither, 1 is best."""
HEADLINES: Final = ("log_loss", "mae", "auc")
"""The first of these that a champion has is its task's headline figure."""
ITSELF: Final = "a trivial answer itself"


class Compared(Struct, frozen=True):
    """A champion beside the best trivial answer, on the task's headline figure.

    `rival` is the best of the others, None where there is none. `trivial` says that the champion is a trivial answer.
    """

    champion: str
    metric: str
    value: float
    trivial: bool
    rival: str | None
    against: float | None

    @property
    def beats(self) -> bool | None:
        """Whether the champion beats the rival; None where it is a trivial answer itself."""
        if self.trivial or self.against is None:
            return None
        return self.value > self.against if METRICS[self.metric][1] else self.value < self.against


def best(metric: str, values: Mapping[str, float | None]) -> str | None:
    """Name of whoever is best by a metric; None where nobody has it.

    >>> two = {"a": 1.4, "b": 0.9}
    >>> best("auc", two), best("log_loss", two), best("total_ratio", two)
    ('a', 'b', 'b')
    """
    known = {name: value for name, value in values.items() if value is not None}
    if not known:
        return None
    more = METRICS[metric][1]
    if more is None:
        return min(known, key=lambda name: abs(known[name] - 1.0))
    return max(known, key=known.__getitem__) if more else min(known, key=known.__getitem__)


def headline(figures: Mapping[str, Any]) -> str | None:
    """Return the metric that a task is ranked by; None before anybody was judged."""
    found = _of_champion(figures)
    return next((name for name in HEADLINES if found.get(name) is not None), None)


def compared(figures: Mapping[str, Any]) -> Compared | None:
    """Return a task's champion beside its best trivial answer; None where there is nothing to compare."""
    metric, champion = headline(figures), figures["champion"]
    if metric is None:
        return None
    others = {name: found.get(metric) for name, found in figures["baselines"].items() if name != champion}
    rival, trivial = best(metric, others), champion in figures["baselines"]
    if rival is None and not trivial:
        return None
    against = None if rival is None else others[rival]
    return Compared(champion, metric, _of_champion(figures)[metric], trivial, rival, against)


def verdict(figures: Mapping[str, Any]) -> str:
    """Say whether the champion beats the best trivial answer."""
    found = compared(figures)
    if found is None:
        return "Nothing to compare yet."
    name = METRICS[found.metric][0]
    if found.trivial:
        return f"{found.champion} serves, {ITSELF}: {name} {found.value:.4f}."
    words = f"{'beats' if found.beats else 'does not beat'} the best trivial answer ({found.rival})"
    return f"{found.champion} {words}: {name} {found.value:.4f} against {found.against:.4f}."


def _of_champion(figures: Mapping[str, Any]) -> Mapping[str, Any]:
    champion = figures["champion"]
    found: Mapping[str, Any] = figures["models"].get(champion) or figures["baselines"].get(champion, {})
    return found
