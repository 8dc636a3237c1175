"""Which brand the next purchase in a category will be: a conditional logit, learned online.

After Guadagni and Little (1983), Marketing Science 2, 203-238: utility rests on the customer's own
share of the brand, on price and on promotion. Here own share is kept at three speeds, smoothed towards
the market's, prices are against the others and against the usual, and customers who have bought cheaply
or on promotion are told apart from those who have not. Each choice is one step of Newton's method for
all that came before: the curvatures of all choices are added up, and the weights move by the gradient over them.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from models.brand.situation import FEATURES, Situation, last_brand

RIDGE: Final = 4.0
START: Final = (1.0, 0.3, 0.3, 0.3, 0.3, -1.0, -0.5, 0.0, 0.8, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
"""Weights before any choice: the signs that every panel shows, at moderate sizes; `RIDGE` says how firmly."""
Array = NDArray[np.float64]


def softmax(utilities: Sequence[float]) -> list[float]:
    """Probabilities of utilities.

    >>> softmax([0.0, 0.0]), softmax([1000.0, 0.0])
    ([0.5, 0.5], [1.0, 0.0])
    """
    top = max(utilities)
    powers = [math.exp(one - top) for one in utilities]
    total = math.fsum(powers)
    return [power / total for power in powers]


def _probabilities(weights: Sequence[float], choice: Situation) -> list[float]:
    return softmax(
        [
            standing.offset + sum(map(float.__mul__, weights, row))
            for standing, row in zip(choice.standings, choice.rows, strict=True)
        ]
    )


class ConditionalLogit:
    """Weights for all categories, learned online by steps of second order."""

    kind = "conditional_logit"

    def __init__(self) -> None:
        self.weights: list[float] = list(START)
        self._curvature: Array = np.eye(len(FEATURES)) * RIDGE

    def score_one(self, choice: Situation) -> list[float]:
        """Probability of each brand, in the order of `choice.names`."""
        return _probabilities(self.weights, choice)

    def learn_one(self, choice: Situation, chosen: int) -> None:
        """Learn one choice; the brands' offsets are learned in the standings, in place."""
        p = np.array(_probabilities(self.weights, choice))
        x = np.array(choice.rows)
        mean = p @ x
        self._curvature += (x * p[:, None]).T @ x - np.outer(mean, mean)
        step = np.linalg.solve(self._curvature, x[chosen] - mean)
        self.weights = (np.array(self.weights) + step).tolist()
        for j, (standing, one) in enumerate(zip(choice.standings, p.tolist(), strict=True)):
            standing.curvature += one * (1.0 - one)
            standing.offset += (float(j == chosen) - one) / standing.curvature

    def state(self) -> dict[str, Any]:
        """Plain data."""
        return {"kind": self.kind, "weights": self.weights, "curvature": self._curvature.tolist()}

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Self:
        """Return the learner whose state this was."""
        made = cls()
        made.weights, made._curvature = list(state["weights"]), np.array(state["curvature"])
        return made


class OwnShare:
    """The trivial answer: the customer's own shares, smoothed towards the market's by two purchases."""

    kind = "own_share"

    def score_one(self, choice: Situation) -> list[float]:
        """Probability of each brand, in the order of `choice.names`."""
        total = math.fsum(standing.weight for standing in choice.standings)
        counts = [float(choice.taste.counts.get(name, 0)) for name in choice.names]
        return [
            (count + 2.0 * standing.weight / total) / (math.fsum(counts) + 2.0)
            for count, standing in zip(counts, choice.standings, strict=True)
        ]

    def learn_one(self, choice: Situation, chosen: int) -> None:
        """Nothing is learned beside the market."""

    def state(self) -> dict[str, Any]:
        """Plain data."""
        return {"kind": self.kind}

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Self:  # noqa: ARG003 - there is none
        """Return a new one."""
        return cls()


class LastBrand(OwnShare):
    """The other trivial answer: the last brand again, as often as all customers so far repeated theirs."""

    kind = "last_brand"

    def __init__(self) -> None:
        self.same, self.seen = 1.0, 2.0

    def score_one(self, choice: Situation) -> list[float]:
        """Probability of each brand; what is left goes by the market's shares."""
        last = last_brand(choice.taste)
        weights = [standing.weight for standing in choice.standings]
        if last not in choice.names:
            return [weight / math.fsum(weights) for weight in weights]
        place = choice.names.index(last)
        if len(weights) == 1:
            return [1.0]
        rest = math.fsum(weights) - weights[place]
        again = self.same / self.seen
        return [again if j == place else (1.0 - again) * weight / rest for j, weight in enumerate(weights)]

    def learn_one(self, choice: Situation, chosen: int) -> None:
        """Count whether the last brand came again."""
        last = last_brand(choice.taste)
        if last in choice.names:
            self.seen += 1.0
            self.same += choice.names[chosen] == last

    def state(self) -> dict[str, Any]:
        """Plain data."""
        return {"kind": self.kind, "same": self.same, "seen": self.seen}

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Self:
        """Return the learner whose state this was."""
        made = cls()
        made.same, made.seen = state["same"], state["seen"]
        return made
