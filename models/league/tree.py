"""River's adaptive Hoeffding tree: grows with the stream, replaces branches that have become worse. Judged, not served.

References
----------
Bifet and Gavaldà (2009), Adaptive learning from evolving data streams, IDA.
"""

from typing import Any, Final, Self

from river.tree import HoeffdingAdaptiveTreeClassifier

from models.league.binary import Binary
from models.league.columns import LARGEST
from models.league.contract import Features

DEPTH: Final = 8
MEGABYTES: Final = 4.0


class Tree(Binary):
    """An attribute that an example does not have is missing to the tree, too."""

    kind = "tree"

    def __init__(self, prior: float) -> None:
        super().__init__(prior)
        self.model: Any = HoeffdingAdaptiveTreeClassifier(
            grace_period=50, delta=1e-4, max_depth=DEPTH, max_size=MEGABYTES, seed=1
        )

    @staticmethod
    def _bounded(x: Features) -> dict[str, float]:
        return {name: min(max(value, -LARGEST), LARGEST) for name, value in x.items()}

    def _chance(self, x: Features) -> float:
        chances = self.model.predict_proba_one(self._bounded(x))
        total = sum(chances.values())
        return float(chances.get(True, 0.0) / total) if total > 0.0 else self.prior

    def learn_one(self, x: Features, y: float) -> None:
        """Learn a label of 0 or 1."""
        self.model.learn_one(self._bounded(x), bool(y))
        self.seen += 1
        self.positives += bool(y)

    def state(self) -> dict[str, Any]:
        """River's tree and plain data."""
        return {
            "kind": self.kind,
            "prior": self.prior,
            "seen": self.seen,
            "positives": self.positives,
            "model": self.model,
        }

    @classmethod
    def restore(cls, state: dict[str, Any]) -> Self:
        """Return the entrant whose state this was."""
        made = cls(state["prior"])
        made.seen, made.positives, made.model = state["seen"], state["positives"], state["model"]
        return made
