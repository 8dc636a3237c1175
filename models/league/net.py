"""A small neural network, one hidden layer, learned example by example: judged and shown, not served.

References
----------
Kingma and Ba (2015), Adam, ICLR.
"""

from typing import Any, Final

import numpy as np

from models.league.binary import Binary
from models.league.columns import WIDTH
from models.league.contract import Features
from models.league.kalman import log_odds
from models.serving import sigmoid

HIDDEN: Final = 32
RATE: Final = 1e-3
FAST, SLOW, TINY = 0.9, 0.999, 1e-8


class Net(Binary):
    """Rectified units on scaled columns; of the first layer only the columns of the example are touched."""

    kind = "net"
    kept = ("into", "hidden", "out", "moments", "steps")

    def __init__(self, prior: float) -> None:
        super().__init__(prior)
        draw = np.random.default_rng(16)
        self.into = draw.normal(0.0, np.sqrt(2.0 / 40.0), (WIDTH, HIDDEN))
        self.hidden = np.zeros(HIDDEN)
        self.out = np.append(draw.normal(0.0, 0.1, HIDDEN), log_odds(prior))
        shapes = ((WIDTH, HIDDEN), (HIDDEN,), (HIDDEN + 1,))
        self.moments = [(np.zeros(shape), np.zeros(shape)) for shape in shapes]
        self.steps = 0

    def _forward(self, places: Any, values: Any) -> tuple[Any, float]:
        active = np.maximum(values @ self.into[places] + self.hidden, 0.0)
        return active, float(active @ self.out[:-1] + self.out[-1])

    def _chance(self, x: Features) -> float:
        return sigmoid(self._forward(*self.columns.row(x))[1])

    def _learn(self, x: Features, label: bool) -> None:
        places, values = self.columns.row(x)
        active, z = self._forward(places, values)
        error = sigmoid(z) - label
        back = error * self.out[:-1] * (active > 0.0)
        self.steps += 1
        everything = slice(None)
        self._step(self.into, places, np.outer(values, back), self.moments[0])
        self._step(self.hidden, everything, back, self.moments[1])
        self._step(self.out, everything, error * np.append(active, 1.0), self.moments[2])

    def _step(self, weights: Any, at: Any, slope: Any, moments: Any) -> None:
        first, second = moments
        first[at] = FAST * first[at] + (1.0 - FAST) * slope
        second[at] = SLOW * second[at] + (1.0 - SLOW) * slope**2
        size = RATE * np.sqrt(1.0 - SLOW**self.steps) / (1.0 - FAST**self.steps)
        weights[at] -= size * first[at] / (np.sqrt(second[at]) + TINY)

    def _forget(self, place: int) -> None:
        self.into[place] = 0.0
        for moment in self.moments[0]:
            moment[place] = 0.0
