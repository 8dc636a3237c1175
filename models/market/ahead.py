"""How much more the next six trading days sell than the last thirty: a regression of the amount, not of the label."""

import math
from collections.abc import Mapping
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from models.league.contract import Features

NAMES: Final = ("week", "last_day", "median", "week_of_share", "trend")
"""What `features` of the outlook returns."""
RIDGE: Final = 50.0
SCALE: Final = 5.0
"""Features are logarithms of ratios, mostly within a fifth of 0."""
Vector = NDArray[np.float64]


class Growth:
    """How much more the next six days sell than the last thirty, by Bayesian linear regression of the logarithm.

    Learning the amount, not the label alone, is worth more than any treatment of the label.
    """

    def __init__(self) -> None:
        self.weights: Vector = np.zeros(len(NAMES) + 1)
        self.covariance: Vector = np.eye(len(NAMES) + 1) / RIDGE
        self.squares, self.n = 0.0, 0

    @staticmethod
    def _vector(x: Features) -> Vector:
        return np.array([1.0, *(SCALE * x[name] for name in NAMES)])

    def growth(self, x: Features) -> float:
        """Logarithm of the next six days' mean over the last thirty days'."""
        return float(self._vector(x) @ self.weights)

    def spread(self) -> float:
        """Standard deviation of what was wrong so far."""
        return math.sqrt((0.09 * 10 + self.squares) / (10 + self.n))

    def score_one(self, x: Features) -> float:
        """Probability that it is above 0."""
        return 0.5 * math.erfc(-self.growth(x) / self.spread() / math.sqrt(2.0))

    def learn_one(self, x: Features, growth: float) -> None:
        """Learn an amount; more than a factor of e counts as that."""
        v, growth = self._vector(x), min(max(growth, -1.0), 1.0)
        error = growth - float(v @ self.weights)
        gain = self.covariance @ v
        self.squares, self.n = self.squares + error * error, self.n + 1
        divisor = 1.0 + float(v @ gain)
        self.weights = self.weights + gain * (error / divisor)
        self.covariance = self.covariance - np.outer(gain, gain) / divisor

    def state(self) -> dict[str, Any]:
        """Plain data."""
        return {"weights": self.weights, "covariance": self.covariance, "squares": self.squares, "n": self.n}

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Self:
        """Return the one whose state this was."""
        made = cls()
        made.weights, made.covariance = state["weights"].copy(), state["covariance"].copy()
        made.squares, made.n = state["squares"], state["n"]
        return made
