"""Linear learners on River, each with a treatment of its own, compiled to plain numbers."""

import math
from collections.abc import Sequence
from typing import Any, Final, Self

from river import linear_model, optim, preprocessing

from models.league.contract import Features
from models.league.kalman import DOUBTED
from models.serving import amount, sigmoid
from schemas.serving import LinearModel, Link

CLIP: Final = 5.0
"""Scaled values beyond this many standard deviations are cut: one outlier must not turn the weights."""
COLD: Final = 20
"""Examples before a learner trusts its weights; until then it answers the running rate or mean."""
PRIOR_WEIGHT: Final = 10.0
"""The prior counts as much as this many examples."""
FORGETTING: Final = 1.0 / 1_000
"""Share of the smearing's memory that each example replaces."""
SHORTEST: Final = 100.0
"""Examples that the smearing's memory counts at least as."""
STEP: Final = 0.1
"""Longest step of the smearing factor's logarithm: one huge amount must not raise everybody's."""


def _standard(scaler: Any, name: str) -> tuple[float, float] | None:
    """Mean and deviation of a feature; None while it has not varied, or has overflowed."""
    mean, variance = scaler.means.get(name, 0.0), scaler.vars.get(name, 0.0)
    if not (0.0 < variance < math.inf and math.isfinite(mean)):
        return None
    return mean, math.sqrt(variance)


class _Linear:
    """What both linear learners share: scaler, weights, and the running mean of the target.

    The scaler and the regression are separate River objects, for a step of ours inside a River
    pipeline would put a class of ours into the pickle. They are never asked by River's own
    `transform_one`, which remembers names that it has not learned.
    """

    kind: str
    link: Link

    def __init__(self, scaler: Any, linear: Any, prior: float, *, seen: int = 0, total: float = 0.0) -> None:
        self._scaler = scaler
        self._linear = linear
        self._prior = prior
        self._seen = seen
        self._total = total

    def _mean(self) -> float:
        """Return the mean target so far, drawn towards the prior."""
        return (self._prior * PRIOR_WEIGHT + self._total) / (PRIOR_WEIGHT + self._seen)

    def _scaled(self, x: Features) -> dict[str, float]:
        scaled = {}
        for name, value in x.items():
            if name[-1] == "?":  # there or not: as it is
                scaled[name] = value
                continue
            standard = _standard(self._scaler, name)
            step = (value - standard[0]) / standard[1] if standard else 0.0
            scaled[name] = min(max(step, -CLIP), CLIP)
        return scaled

    def _z(self, x: Features) -> float:
        """Added up from left to right, as the compiled model does: the same bits."""
        weights, z = self._linear.weights, self._intercept()
        for name, value in self._scaled(x).items():
            z += value * weights.get(name, 0.0)
        return z

    def _intercept(self) -> float:
        return float(self._linear.intercept)

    def _cap(self) -> float:
        return 0.0

    def _learn_linear(self, x: Features, y: float) -> None:
        self._scaler.learn_one(x)
        self._linear.learn_one(self._scaled(x), y)

    def forget(self, names: Sequence[str]) -> None:
        """Weigh nothing for these, until learned anew."""
        weights = self._linear._weights  # noqa: SLF001 - River hands out a copy
        for name in names:
            if name in weights:
                weights[name] = 0.0

    def compiled(self, task: str, version: str, names: Sequence[str]) -> LinearModel | None:
        """Freeze the weights into plain numbers; what has not varied weighs nothing."""
        if self._seen < COLD:
            return None
        standards = [(0.0, 1.0) if name[-1] == "?" else _standard(self._scaler, name) for name in names]
        weights = self._linear.weights
        return LinearModel(
            task=task,
            version=version,
            features=tuple(names),
            mean=tuple(standard[0] if standard else 0.0 for standard in standards),
            scale=tuple(standard[1] if standard else 1.0 for standard in standards),
            clip=CLIP,
            weights=tuple(
                weights.get(name, 0.0) if standard else 0.0 for name, standard in zip(names, standards, strict=True)
            ),
            intercept=self._intercept(),
            link=self.link,
            cap=self._cap(),
        )

    def state(self) -> dict[str, Any]:
        """River objects and plain data."""
        return {
            "kind": self.kind,
            "scaler": self._scaler,
            "linear": self._linear,
            "prior": self._prior,
            "seen": self._seen,
            "total": self._total,
        }

    @classmethod
    def restore(cls, state: dict[str, Any]) -> Self:
        """Return the learner whose state this was."""
        return cls(**{name: value for name, value in state.items() if name != "kind"})


class Classifier(_Linear):
    """Online logistic regression on scaled, clipped features."""

    kind = "classifier"
    link: Link = "logit"

    def score_one(self, x: Features) -> float:
        """Probability in [0, 1]."""
        return self._mean() if self._seen < COLD else sigmoid(self._z(x))

    def learn_one(self, x: Features, y: float) -> None:
        """Learn a label of 0 or 1."""
        self._learn_linear(x, bool(y))
        self._seen += 1
        self._total += bool(y)

    def drifted(self) -> None:
        """Take longer steps again."""
        squares = self._linear.optimizer.g2
        for name in squares:
            squares[name] /= DOUBTED


class Regressor(_Linear):
    """Linear regression of `log1p(amount)`, brought back to amounts with unbiased totals.

    `expm1` of a mean of logs is too small. Duan's smearing factor, the mean of
    `(1 + y) / exp(z)`, corrects that where errors do not depend on `z`. Spend is mostly zero and
    they do, and predictions are cut at zero and at the largest amount seen. So the factor here is
    the one that makes predicted and actual totals equal, cuts included: after each example its
    logarithm takes a Newton step, `(y - prediction) / sum(1 + prediction)`, the sum over some
    thousand recent examples, the prediction from before the label. The factor is part of the
    compiled intercept.

    References
    ----------
    Duan (1983), J. Am. Stat. Assoc. 78, 605-610.
    """

    kind = "regressor"
    link: Link = "log1p"

    def __init__(
        self,
        scaler: Any,
        linear: Any,
        prior: float,
        *,
        seen: int = 0,
        total: float = 0.0,
        factor: float = 0.0,
        slope: float = 0.0,
        largest: float = 0.0,
    ) -> None:
        super().__init__(scaler, linear, prior, seen=seen, total=total)
        self._factor = factor
        self._slope = slope
        self._largest = largest

    def score_one(self, x: Features) -> float:
        """Amount, in the target's unit, of at least 0 and at most the largest seen."""
        return self._mean() if self._seen < COLD else amount(self._z(x), self._largest)

    def learn_one(self, x: Features, y: float) -> None:
        """Learn an amount; one below 0 counts as 0."""
        y = max(float(y), 0.0)
        if self._seen >= COLD:
            self._smear(amount(self._z(x), self._largest), y)
        self._largest = max(self._largest, y)
        self._learn_linear(x, math.log1p(y))
        self._seen += 1
        self._total += y

    def _smear(self, predicted: float, y: float) -> None:
        """Move the factor towards equal totals, in steps no longer than `STEP`."""
        self._slope = (1.0 - FORGETTING) * self._slope + 1.0 + predicted
        step = (y - predicted) / max(self._slope, SHORTEST * (1.0 + self._mean()))
        self._factor += min(max(step, -STEP), STEP)

    def _intercept(self) -> float:
        return float(self._linear.intercept) + self._factor

    def _cap(self) -> float:
        return self._largest

    def state(self) -> dict[str, Any]:
        """River objects and plain data."""
        return super().state() | {"factor": self._factor, "slope": self._slope, "largest": self._largest}


def classifier(prior: float = 0.05) -> Classifier:
    """Return a new classifier that answers `prior` before it has learned, a probability in (0, 1)."""
    if not 0.0 < prior < 1.0:
        raise ValueError(f"a prior probability lies between 0 and 1, not {prior}")
    linear = linear_model.LogisticRegression(
        optimizer=optim.AdaGrad(0.1), l2=1e-5, intercept_init=math.log(prior / (1.0 - prior)), intercept_lr=0.03
    )
    return Classifier(preprocessing.StandardScaler(), linear, prior)


def regressor(prior: float = 0.0) -> Regressor:
    """Return a new regressor that answers `prior` before it has learned, an amount of at least 0."""
    if prior < 0.0:
        raise ValueError(f"a prior amount is at least 0, not {prior}")
    linear = linear_model.LinearRegression(
        optimizer=optim.AdaGrad(0.1), l2=1e-5, intercept_init=math.log1p(prior), intercept_lr=0.004
    )
    return Regressor(preprocessing.StandardScaler(), linear, prior)
