"""Dynamic logistic regression as an entrant; compiled to a linear model."""

from collections.abc import Sequence
from typing import Any, ClassVar, Final

from models.league.binary import COLD, Binary
from models.league.columns import CLIP
from models.league.contract import Features
from models.league.kalman import DOUBTED, Kalman, log_odds
from models.serving import sigmoid
from schemas.serving import LinearModel

SPREAD: Final = 0.3
DRIFT: Final = 1e-3
WANDER: Final = 1e-7


class Dynamic(Binary):
    """See `kalman.py`."""

    kind = "dynamic"
    parts: ClassVar[dict[str, Any]] = {"filter": Kalman}

    def __init__(self, prior: float) -> None:
        super().__init__(prior)
        self.filter = Kalman(log_odds(prior), SPREAD, DRIFT, WANDER)

    def _chance(self, x: Features) -> float:
        return sigmoid(self.filter.z(*self.columns.row(x)))

    def _learn(self, x: Features, label: bool) -> None:
        self.filter.grow(len(self.columns.places))
        self.filter.learn(*self.columns.row(x), label)

    def _forget(self, place: int) -> None:
        self.filter.forget(place)

    def drifted(self) -> None:
        """Be less sure of every weight."""
        self.filter.doubt(DOUBTED)

    def compiled(self, task: str, version: str, names: Sequence[str]) -> LinearModel | None:
        """Freeze the weights into plain numbers."""
        if self.seen < COLD:
            return None
        return linear_of(self.columns, self.filter.weights, task, version, names)


def linear_of(columns: Any, weights: Any, task: str, version: str, names: Sequence[str]) -> LinearModel:
    """Return a linear model of scaled columns; `weights` begin with the intercept."""
    standards = [columns.standard(name) for name in names]
    return LinearModel(
        task=task,
        version=version,
        features=tuple(names),
        mean=tuple(standard[0] if standard else 0.0 for standard in standards),
        scale=tuple(standard[1] if standard else 1.0 for standard in standards),
        clip=CLIP,
        weights=tuple(
            float(weights[columns.places[name] + 1]) if standard else 0.0
            for name, standard in zip(names, standards, strict=True)
        ),
        intercept=float(weights[0]),
        link="logit",
    )
