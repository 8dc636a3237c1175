"""Features by name as numbers in columns, scaled by what was seen: what learners on arrays share."""

from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from models.league.contract import Features

Array = NDArray[np.float64]
Places = NDArray[np.int64]
WIDTH: Final = 768
"""Columns at most; names beyond them are not seen."""
CLIP: Final = 4.0
"""Scaled values beyond this many standard deviations are cut."""
MET: Final = 1_024
"""Sets of names remembered with their columns; then they are looked up anew."""
LARGEST: Final = 1e6
"""Features are logarithms or flags: nothing larger means anything."""


def is_flag(name: str) -> bool:
    """Whether a feature says that an attribute is there: it stays 0 or 1."""
    return name.endswith("?")


class Columns:
    """Names to columns, with mean and variance of each (Welford 1962, Technometrics 4, 419-420)."""

    def __init__(self) -> None:
        self.places: dict[str, int] = {}
        self.count, self.mean, self.squares = (np.zeros(64) for _ in range(3))
        self.flags = np.zeros(64, dtype=bool)
        self.met: dict[tuple[str, ...], Places] = {}

    def _places(self, x: Features) -> Places:
        """Columns by name, -1 where there is none. Examples with the same names are many: they are looked up once."""
        names = tuple(x)
        places = self.met.get(names)
        if places is None:
            if len(self.met) >= MET:
                self.met.clear()
            places = self.met[names] = np.array([self.places.get(name, -1) for name in names], dtype=np.int64)
        return places

    def known(self, x: Features) -> tuple[Places, Array]:
        """Columns and raw values of an example's known features."""
        places = self._places(x)
        values = np.array(list(x.values()), dtype=np.float64)
        np.minimum(np.maximum(values, -LARGEST, out=values), LARGEST, out=values)
        if len(places) and places.min() < 0:
            known = places >= 0
            places, values = places[known], values[known]
        return places, values

    def row(self, x: Features) -> tuple[Places, Array]:
        """Columns and scaled values. Learns nothing; what has not varied is 0."""
        places, values = self.known(x)
        scaled = (values - self.mean[places]) / self.scale(places)
        np.minimum(np.maximum(scaled, -CLIP, out=scaled), CLIP, out=scaled)
        return places, np.where(self.flags[places], values, scaled)

    def scale(self, places: Places) -> Array:
        """Standard deviations; infinite where a feature has not varied."""
        variance = self.squares[places] / np.maximum(self.count[places], 1.0)
        return np.sqrt(np.where(variance > 1e-12, variance, np.inf))

    def learn(self, x: Features) -> None:
        """Make room for new names, and learn means and variances."""
        if len(self.places) < WIDTH and not self.places.keys() >= x.keys():
            for name in x:
                if name not in self.places and len(self.places) < WIDTH:
                    self._add(name)
            self.met.clear()
        places, values = self.known(x)
        self.count[places] += 1.0
        off = values - self.mean[places]
        self.mean[places] += off / self.count[places]
        self.squares[places] += off * (values - self.mean[places])

    def _add(self, name: str) -> None:
        place = self.places[name] = len(self.places)
        if place >= len(self.count):
            self.count, self.mean, self.squares = (doubled(one) for one in (self.count, self.mean, self.squares))
            self.flags = np.concatenate([self.flags, np.zeros_like(self.flags)])
        self.flags[place] = is_flag(name)

    def forget(self, name: str) -> int | None:
        """Learn a column's scale anew; return the column."""
        place = self.places.get(name)
        if place is not None:
            self.count[place] = self.mean[place] = self.squares[place] = 0.0
        return place

    def standard(self, name: str) -> tuple[float, float] | None:
        """Mean and scale of a compiled column; None while it adds nothing."""
        place = self.places.get(name)
        if place is None:
            return None
        if self.flags[place]:
            return 0.0, 1.0
        scale = float(self.scale(np.array([place]))[0])
        return (float(self.mean[place]), scale) if np.isfinite(scale) else None

    def state(self) -> dict[str, Any]:
        """Plain data."""
        return {name: kept for name, kept in vars(self).items() if name != "met"}

    @classmethod
    def restore(cls, state: dict[str, Any]) -> Self:
        """Return the columns whose state this was."""
        made = cls()
        vars(made).update(state)
        return made


def doubled(array: Array) -> Array:
    """An array with as many zeros behind it."""
    return np.concatenate([array, np.zeros_like(array)])
