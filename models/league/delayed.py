"""Quality by how long the outcome was waited for, at the decision and just before learning.

A model that is asked when the label arrives has learned meanwhile: the difference is what waiting costs.
"""

import math
from typing import Any, Final

from msgspec import Struct, field

from models.league.prequential import auc_of, logit_bin

BOUNDS: Final = (86_400.0, 3 * 86_400.0, 8 * 86_400.0, 15 * 86_400.0, 31 * 86_400.0, 92 * 86_400.0)
"""Upper ends of the classes, in seconds; the last class has none."""
NAMES: Final = (
    "up to 1 day",
    "up to 3 days",
    "up to 8 days",
    "up to 15 days",
    "up to 31 days",
    "up to 92 days",
    "longer",
)
BINS: Final = 96


class Figures(Struct):
    """AUC and log loss from histograms of the log odds: scores in one of 96 bins count as equal."""

    negatives: list[int] = field(default_factory=lambda: [0] * BINS)
    positives: list[int] = field(default_factory=lambda: [0] * BINS)
    log_loss: float = 0.0

    def add(self, label: bool, score: float) -> None:
        """Judge one probability in [0, 1]."""
        (self.positives if label else self.negatives)[logit_bin(score, BINS)] += 1
        self.log_loss -= math.log(max(score if label else 1.0 - score, 1e-6))

    def report(self) -> dict[str, float | None]:
        """Return `auc` and `log_loss`; None where there is nothing to tell."""
        n = sum(self.negatives) + sum(self.positives)
        return {"auc": auc_of(self.negatives, self.positives), "log_loss": self.log_loss / n if n else None}


class Delayed(Struct):
    """One class of delays."""

    count: int = 0
    seconds: float = 0.0
    decided: Figures = field(default_factory=Figures)
    fresh: Figures = field(default_factory=Figures)


class ByDelay(Struct):
    """Who serves, by delay. At most seven classes."""

    classes: dict[int, Delayed] = field(default_factory=dict)

    def add(self, label: bool, seconds: float, decided: float, fresh: float) -> None:
        """Judge the score of the decision and the one just before learning. `seconds` are of event time."""
        if not (math.isfinite(decided) and math.isfinite(fresh) and math.isfinite(seconds)):
            return
        place = next((place for place, bound in enumerate(BOUNDS) if seconds <= bound), len(BOUNDS))
        found = self.classes.setdefault(place, Delayed())
        found.count += 1
        found.seconds += seconds
        found.decided.add(label, min(max(decided, 0.0), 1.0))
        found.fresh.add(label, min(max(fresh, 0.0), 1.0))

    def report(self) -> list[dict[str, Any]]:
        """Return a row a class, the shortest delay first."""
        return [
            {
                "delay": NAMES[place],
                "examples": found.count,
                "mean_seconds": found.seconds / found.count,
                "at_the_decision": found.decided.report(),
                "just_before_learning": found.fresh.report(),
            }
            for place, found in sorted(self.classes.items())
        ]
