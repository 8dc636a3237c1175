"""Dynamic logistic regression: weights with a covariance, updated by each label, that may wander.

One label is one step of an extended Kalman filter: what is certain moves little, what is new moves much, and no
rate of learning has to be set. The intercept wanders, so a base rate that drifts is followed; so do weights, slowly.

References
----------
West, Harrison and Migon (1985), Dynamic generalized linear models, J. Am. Stat. Assoc. 80, 73-83.
McCormick, Raftery, Madigan and Burd (2012), Dynamic logistic regression, Biometrics 68, 23-30.
"""

import math
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from models.serving import sigmoid

Array = NDArray[np.float64]
Places = NDArray[np.int64]
EVERY: Final = 16
"""Examples between steps of the weights' wandering."""
DOUBTED: Final = 10.0
"""After an alarm variances are so many times as large."""
LEAST: Final = 0.01
"""A label never says less than this: p (1 - p) of a sure score."""


class Kalman:
    """Weight 0 is the intercept; the others are added as they are met.

    Parameters
    ----------
    intercept
        Prior mean of the intercept, in log odds; its standard deviation is 1.
    spread
        Prior standard deviation of a weight.
    drift, wander
        Variance that each example adds to the intercept, and to each weight.
    """

    def __init__(self, intercept: float, spread: float, drift: float, wander: float, prior: float = 0.0) -> None:
        self.spread, self.drift, self.wander, self.prior = spread, drift, wander, prior
        self.size, self.steps = 1, 0
        self.weights, self.cov = np.zeros(16), np.zeros((16, 16))
        self.weights[0], self.cov[0, 0] = intercept, 1.0

    def grow(self, size: int) -> None:
        """Have at least `size` weights besides the intercept."""
        if size + 1 <= self.size:
            return
        while size + 1 > len(self.weights):
            width = len(self.weights)
            self.weights = np.concatenate([self.weights, np.zeros(width)])
            self.cov = np.pad(self.cov, (0, width))
        new = np.arange(self.size, size + 1)
        self.weights[new], self.cov[new, new] = self.prior, self.spread**2
        self.size = size + 1

    def z(self, places: Places, values: Array) -> float:
        """Log odds. `places` count from 0; those not met yet weigh nothing."""
        met = places < self.size - 1
        return float(self.weights[0] + self.weights[places[met] + 1] @ values[met])

    def learn(self, places: Places, values: Array, label: bool) -> None:
        """Take one label in."""
        at, v = np.concatenate([[0], places + 1]), np.concatenate([[1.0], values])
        size = self.size
        chance = sigmoid(float(self.weights[at] @ v))
        curvature = max(chance * (1.0 - chance), LEAST)
        cov = self.cov[:size, :size]
        pull = cov[:, at] @ v
        gain = pull / (1.0 + curvature * max(float(pull[at] @ v), 0.0))
        self.weights[:size] += gain * (label - chance)
        cov -= np.outer(gain * curvature, pull)
        cov[0, 0] += self.drift
        self.steps += 1
        if self.wander and self.steps % EVERY == 0:
            rest = np.arange(1, size)
            cov[rest, rest] = np.minimum(cov[rest, rest] + self.wander * EVERY, self.spread**2)

    def forget(self, place: int) -> None:
        """Know of one weight as little as at its first meeting."""
        at = place + 1
        if at < self.size:
            self.cov[at, :] = self.cov[:, at] = 0.0
            self.weights[at], self.cov[at, at] = self.prior, self.spread**2

    def doubt(self, times: float) -> None:
        """Be less sure: variances grow so many times, at most to those of a first meeting.

        West and Harrison (1989), Subjective intervention in formal models, J. Forecasting 8, 33-53.
        """
        cov = self.cov[: self.size, : self.size]
        spread = np.sqrt(np.maximum(np.diag(cov), 1e-12))
        first = np.full(self.size, self.spread)
        first[0] = 1.0
        grown = np.clip(first / spread, 1.0, math.sqrt(times))
        cov *= np.outer(grown, grown)

    def state(self) -> dict[str, Any]:
        """Plain data."""
        return dict(vars(self))

    @classmethod
    def restore(cls, state: dict[str, Any]) -> Self:
        """Return the filter whose state this was."""
        made = cls(0.0, 1.0, 0.0, 0.0)
        vars(made).update(state)
        return made


def log_odds(chance: float) -> float:
    """Log odds of a probability, within those of one in a million."""
    chance = min(max(chance, 1e-6), 1.0 - 1e-6)
    return math.log(chance / (1.0 - chance))
