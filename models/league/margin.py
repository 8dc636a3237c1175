"""Linear support vector machines online: hinge loss on scaled columns, or on random Fourier features.

Where one label is rare the least hinge loss is that of saying the other to everybody. So both kinds of examples weigh
the same in all (King and Zeng 2001, Political Analysis 9, 137-163, section 4.2), by their shares so far.

A margin is no probability: a logistic regression of the label on the margin, learned from each example after the
margin was asked for, makes it one (Platt 1999, online).

References
----------
Shalev-Shwartz, Singer, Srebro and Cotter (2011), Pegasos, Math. Program. 127, 3-30.
Rahimi and Recht (2007), Random features for large-scale kernel machines, NeurIPS 20.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Final

import numpy as np

from models.league.binary import COLD, Binary
from models.league.columns import WIDTH
from models.league.contract import Features
from models.league.dynamic import linear_of
from models.league.kalman import DOUBTED, Kalman, log_odds
from models.serving import sigmoid
from schemas.serving import ServingModel

RATE: Final = 0.05
"""Of AdaGrad (Duchi, Hazan and Singer 2011, JMLR 12, 2121-2159)."""
RIDGE: Final = 1e-5
HEAVIEST: Final = 10.0
"""What an example weighs at most."""
_MARGIN: Final = np.zeros(1, dtype=np.int64)


class Hinge(Binary):
    """A linear support vector machine with calibrated probabilities; compiled to a linear model."""

    kind = "hinge"
    kept = ("weights", "squares")
    parts: ClassVar[dict[str, Any]] = {"calibration": Kalman}
    width: ClassVar[int] = WIDTH

    def __init__(self, prior: float) -> None:
        super().__init__(prior)
        self.weights, self.squares = np.zeros(self.width + 1), np.full(self.width + 1, 1e-8)
        self.calibration = Kalman(log_odds(prior), 0.5, 1e-3, 0.0, prior=1.0)
        self.calibration.grow(1)

    def _row(self, x: Features) -> tuple[Any, Any]:
        return self.columns.row(x)

    def _margin(self, places: Any, values: Any) -> float:
        return float(self.weights[0] + self.weights[places + 1] @ values)

    def _chance(self, x: Features) -> float:
        return sigmoid(self.calibration.z(_MARGIN, np.array([self._margin(*self._row(x))])))

    def _learn(self, x: Features, label: bool) -> None:
        places, values = self._row(x)
        margin, side = self._margin(places, values), 1.0 if label else -1.0
        self.calibration.learn(_MARGIN, np.array([min(max(margin, -10.0), 10.0)]), label)
        at, slope = np.concatenate([[0], places + 1]), RIDGE * np.concatenate([[0.0], self.weights[places + 1]])
        if side * margin < 1.0:
            slope -= self._weight(label) * side * np.concatenate([[1.0], values])
        self.squares[at] += slope**2
        self.weights[at] -= RATE * slope / np.sqrt(self.squares[at])

    def _weight(self, label: bool) -> float:
        rate = self._rate()
        return min(0.5 / (rate if label else 1.0 - rate), HEAVIEST)

    def _forget(self, place: int) -> None:
        self.weights[place + 1], self.squares[place + 1] = 0.0, 1e-8

    def drifted(self) -> None:
        """Take longer steps again."""
        self.squares /= DOUBTED
        self.calibration.doubt(DOUBTED)

    def compiled(self, task: str, version: str, names: Sequence[str]) -> ServingModel | None:
        """Freeze margin and calibration into one linear model."""
        if self.seen < COLD:
            return None
        base, slope = self.calibration.weights[:2]
        weights = self.weights * slope
        weights[0] += base
        return linear_of(self.columns, weights, task, version, names)


class Fourier(Hinge):
    """The same on random Fourier features of a Gaussian kernel: judged and shown, not served."""

    kind = "fourier"
    width: ClassVar[int] = 128
    BANDWIDTH: ClassVar[float] = 4.0

    def __init__(self, prior: float) -> None:
        super().__init__(prior)
        draw = np.random.default_rng(8)
        self._frequencies = draw.normal(0.0, 1.0 / self.BANDWIDTH, (WIDTH, self.width))
        self._phases = draw.uniform(0.0, 2.0 * np.pi, self.width)
        self._all_places = np.arange(self.width)

    def _row(self, x: Features) -> tuple[Any, Any]:
        places, values = self.columns.row(x)
        waves = np.cos(values @ self._frequencies[places] + self._phases)
        return self._all_places, waves * np.sqrt(2.0 / self.width)

    def _forget(self, place: int) -> None:
        """A random feature mixes all columns: it is learned anew as it goes."""

    def compiled(self, task: str, version: str, names: Sequence[str]) -> None:  # noqa: ARG002 - contract
        """Return None: cosines are too dear a row."""
        return
