"""Customers drawn at random, and the models fitted on them now and then."""

from array import array
from collections.abc import Mapping
from typing import Any, Final, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.lifetimes.fit import fit
from schemas.lifetimes import Family, Lifetimes

FAMILIES: Final[tuple[Family, ...]] = ("pareto_nbd", "bg_nbd")
CAPACITY: Final = 16_000
WIDTH: Final = 4
FIRST: Final = 200
"""Draws before the first fit."""
GROWTH: Final = 1.3
EVERY: Final = 2_000
"""A fit comes when the draws have grown by `GROWTH`, and after so many at the latest."""


class Draws:
    """Histories of the latest 16,000 customers drawn at random, and what was fitted on them.

    Bounded: four 32-bit floats a draw, 256 KB. Plain data in `state`, and back, it has the same future.
    """

    def __init__(self) -> None:
        self.drawn = 0
        self.fits = 0
        self.due = FIRST
        self.rows = array("f")
        self.fitted: dict[Family, Lifetimes] = {}

    def learn_one(self, recency_days: float, orders: float, spend: float, tenure_days: float) -> bool:
        """Take in a customer drawn at random; return whether the models were fitted anew.

        Who never ordered is left out. Days, and currency units.
        """
        if orders < 1:
            return False
        row = array("f", (recency_days, orders, spend, tenure_days))
        place = self.drawn % CAPACITY * WIDTH
        self.rows[place : place + WIDTH] = row
        self.drawn += 1
        if self.drawn < self.due:
            return False
        self.due = self.drawn + min(int(self.drawn * (GROWTH - 1.0)) + 1, EVERY)
        self._fit()
        return True

    def _fit(self) -> None:
        columns = np.array(self.rows, dtype=np.float64).reshape(-1, WIDTH).T
        self.fits += 1
        for family in FAMILIES:
            before = self.fitted.get(family)
            self.fitted[family] = fit(family, columns[0], columns[1], columns[2], columns[3], before, str(self.fits))

    def latest(self, count: int) -> NDArray[np.float64]:
        """Return log1p of recency, orders, spend and tenure of some latest draws, shape (n, 4)."""
        newest = self.drawn % CAPACITY if self.drawn > CAPACITY else self.drawn
        rows = np.roll(np.array(self.rows, dtype=np.float64).reshape(-1, WIDTH), -newest, axis=0)[-count:]
        return np.log1p(np.maximum(rows, 0.0))

    def state(self) -> dict[str, Any]:
        """Return a copy in dicts, numbers and bytes, for a snapshot."""
        fitted = {family: msgspec.to_builtins(model) for family, model in self.fitted.items()}
        rows = np.array(self.rows, dtype="<f4").tobytes()
        return {"drawn": self.drawn, "fits": self.fits, "due": self.due, "rows": rows, "fitted": fitted}

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Self:
        """Make what `state` was taken of. Raises `KeyError`, `msgspec.ValidationError`."""
        made = cls()
        made.drawn, made.fits, made.due = state["drawn"], state["fits"], state["due"]
        made.rows = array("f", np.frombuffer(state["rows"], dtype="<f4").tolist())
        made.fitted = msgspec.convert(state["fitted"], dict[Family, Lifetimes])
        return made
