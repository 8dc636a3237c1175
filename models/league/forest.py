"""River's adaptive random forest: trees on bootstrapped examples and few features, replaced where they drift.

Five trees of bounded depth, each of the same weight. Judged, not served: its leaves hold models of their own.

References
----------
Gomes et al. (2017), Adaptive random forests for evolving data stream classification, Machine Learning 106, 1469-1495.
"""

from typing import Any, Final

from river.forest import ARFClassifier
from river.metrics import LogLoss

from models.league.contract import Features
from models.league.tree import Tree

TREES: Final = 5
DEPTH: Final = 5
MEGABYTES: Final = 2.0
"""Of one tree, hardly reached at this depth; beyond it leaves without promise stop learning."""
LOOKED_AT: Final = 500
"""Examples between looks at a tree's size."""


class Forest(Tree):
    """An attribute that an example does not have is missing to its trees, too."""

    kind = "forest"

    def __init__(self, prior: float) -> None:
        super().__init__(prior)
        self.model: Any = ARFClassifier(
            n_models=TREES,
            grace_period=50,
            max_depth=DEPTH,
            max_size=MEGABYTES,
            memory_estimate_period=LOOKED_AT,
            disable_weighted_vote=True,
            metric=LogLoss(),  # the default brings a table of classes that no snapshot may name
            seed=1,
        )

    def _chance(self, x: Features) -> float:
        chances = self.model.predict_proba_one(self._bounded(x))
        return float(chances.get(True, 0.0)) if chances else self.prior
