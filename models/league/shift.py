"""Whether features have moved: a two-sided CUSUM for each, against its own first examples.

A feature's mean and spread are taken from 500 examples; from then on deviations beyond a quarter of the spread add up,
and an alarm is raised where they have added up to 30 spreads, at once by a large move or slowly by a small one. The
feature then begins anew from where it is. False alarms are rare (none in 240,000 independent values of the tests), but
what only grows, such as tenure or orders in a young shop, does move, and is told each time. The features of an example
take
some 4 % of what its league takes to learn it.

An alarm is told and counted; nothing is learned otherwise because of it: that is for the alarms of loss and rate.

References
----------
Page (1954), Continuous inspection schemes, Biometrika 41, 100-115. Siegmund (1985), Sequential Analysis, Springer, 27.
"""

from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from models.league.contract import Features

WARM: Final = 500
SLACK: Final = 0.25
LIMIT: Final = 30.0
CUT: Final = 3.0
"""Spreads that one example counts at most."""
RECENT: Final = 1.0 / 200
STILL: Final = 1e-12
Array = NDArray[np.float64]


class Shift:
    """Features of one task, by the names of its first example."""

    def __init__(self) -> None:
        self.names: tuple[str, ...] = ()
        self.seen = 0
        self.count, self.mean, self.squares, self.up, self.down, self.recent = (np.zeros(0) for _ in range(6))
        self.moved: dict[str, dict[str, float]] = {}

    def update(self, x: Features) -> None:
        """Take one example in. Names that the first example did not have are not looked at."""
        if not self.names:
            self.names = tuple(x)
            self.count, self.mean, self.squares, self.up, self.down = (np.zeros(len(x)) for _ in range(5))
            self.recent = np.array([*x.values()], dtype=np.float64)
        values = np.array([x.get(name, 0.0) for name in self.names], dtype=np.float64)
        if not np.isfinite(values).all():
            return
        self.seen += 1
        self.recent += RECENT * (values - self.recent)
        warm = (self.count < WARM) | (self.squares <= STILL)
        self.count += warm
        off = values - self.mean
        self.mean += np.where(warm, off / np.maximum(self.count, 1.0), 0.0)
        self.squares += np.where(warm, off * (values - self.mean), 0.0)
        spread = np.sqrt(np.maximum(self.squares, STILL) / np.maximum(self.count, 1.0))
        z = np.where(warm, 0.0, np.clip((values - self.mean) / spread, -CUT, CUT))
        self.up = np.where(warm, 0.0, np.maximum(self.up + z - SLACK, 0.0))
        self.down = np.where(warm, 0.0, np.maximum(self.down - z - SLACK, 0.0))
        alarmed = np.maximum(self.up, self.down) > LIMIT
        if alarmed.any():
            for place in np.flatnonzero(alarmed):
                self._alarm(int(place))

    def _alarm(self, place: int) -> None:
        told = self.moved.setdefault(self.names[place], {"alarms": 0})
        told |= {"alarms": told["alarms"] + 1, "examples": self.seen}
        told |= {"before": float(self.mean[place]), "after": float(self.recent[place])}
        for one in (self.count, self.mean, self.squares, self.up, self.down):
            one[place] = 0.0

    def report(self) -> dict[str, dict[str, float]]:
        """Return who has moved: `alarms`, after how many `examples` the last one, means `before` and `after`."""
        return {name: dict(self.moved[name]) for name in sorted(self.moved)}

    def state(self) -> dict[str, Any]:
        """Plain data and arrays."""
        return dict(vars(self))

    @classmethod
    def restore(cls, state: dict[str, Any]) -> Self:
        """Return what the state was of."""
        made = cls()
        vars(made).update(state)
        return made
