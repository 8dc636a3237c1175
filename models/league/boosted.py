"""Boosted trees fitted anew, now and then, to the latest examples: an entrant that is batch at heart."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from models.league.binary import Binary
from models.league.boosting import Trees, fit
from models.league.columns import LARGEST, is_flag
from models.league.contract import Features
from models.serving import sigmoid
from schemas.serving import TreesModel

REMEMBERED: Final = 16_384
"""Latest examples that a fit sees."""
COUNT: Final = 60
"""Trees of a fit."""
GROWTH: Final = 0.25
"""A fit follows once so large a share of what is remembered is new."""
SOONEST: Final = 300
"""Examples between fits, at least."""
MISSING: Final = -LARGEST
"""Below every value: who has no such attribute goes down in every tree."""
WIDTH: Final = 256


class Boosted(Binary):
    """See `boosting.py`. Between fits it stands still."""

    kind = "boosted"
    kept = ("names", "rows", "labels", "next", "fresh", "fits", "fitted")

    def __init__(self, prior: float) -> None:
        super().__init__(prior)
        self.names: dict[str, int] = {}
        self.rows, self.labels = np.zeros((0, 0), dtype=np.float32), np.zeros(0)
        self.next = self.fresh = self.fits = 0
        self.fitted: dict[str, Any] | None = None

    def learn_one(self, x: Features, y: float) -> None:
        """Remember an example; fit where enough are new."""
        for name in x:
            if name not in self.names and len(self.names) < WIDTH:
                self.names[name] = len(self.names)
        self._make_room()
        self.rows[self.next], self.labels[self.next] = self._row(x), bool(y)
        self.next = (self.next + 1) % REMEMBERED
        self.seen += 1
        self.positives += bool(y)
        self.fresh += 1
        if self.fresh >= max(SOONEST, GROWTH * min(self.seen, REMEMBERED)):
            self._fit()

    def _make_room(self) -> None:
        rows, width = self.rows.shape
        if len(self.names) > width:
            wider = min(max(2 * width, 32, len(self.names)), WIDTH)
            self.rows = np.concatenate([self.rows, np.full((rows, wider - width), MISSING, np.float32)], axis=1)
            for name, place in self.names.items():
                if place >= width and is_flag(name):
                    self.rows[:, place] = 0.0
        if self.next >= len(self.rows):
            taller = min(max(2 * rows, 512), REMEMBERED) - rows
            self.rows = np.concatenate([self.rows, np.zeros((taller, self.rows.shape[1]), np.float32)])
            self.labels = np.concatenate([self.labels, np.zeros(taller)])

    def _row(self, x: Features) -> Any:
        row = np.full(self.rows.shape[1], MISSING, dtype=np.float32)
        for name, place in self.names.items():
            value = x.get(name)
            if value is not None:
                row[place] = min(max(value, -LARGEST), LARGEST)
            elif is_flag(name):
                row[place] = 0.0
        return row

    def _fit(self) -> None:
        count = min(self.seen, REMEMBERED)
        labels, width = self.labels[:count], len(self.names)
        known = self.rows[:count, :width]
        if 10 <= labels.sum() <= count - 10 and (known != known[:1]).any():  # else nothing tells examples apart
            order = np.roll(np.arange(count), -self.next) if self.seen >= REMEMBERED else np.arange(count)
            trees = fit(self.rows[order][:, :width].astype(np.float64), labels[order], COUNT, self.fits)
            self.fitted = {name: getattr(trees, name) for name in Trees.__struct_fields__}
            self.fits += 1
        self.fresh = 0

    def drifted(self) -> None:
        """Forget the older half of what is remembered, and fit at the next example."""
        count = min(self.seen, REMEMBERED)
        order = np.roll(np.arange(count), -self.next) if self.seen >= REMEMBERED else np.arange(count)
        kept = order[count // 2 :]
        self.rows, self.labels = self.rows[kept], self.labels[kept]
        self.seen, self.positives = len(kept), int(self.labels.sum())
        self.next, self.fresh = self.seen, REMEMBERED

    def score_one(self, x: Features) -> float:
        """Probability in [0, 1]."""
        if self.fitted is None:
            return (self.prior * 10.0 + self.positives) / (10.0 + self.seen)
        return sigmoid(float(Trees(**self.fitted).predict(self._row(x)[None].astype(np.float64))[0]))

    def forget(self, names: Sequence[str]) -> None:
        """What is remembered under these names was something else: it counts as missing."""
        for name in names:
            place = self.names.get(name)
            if place is not None and place < self.rows.shape[1]:
                self.rows[:, place] = 0.0 if is_flag(name) else MISSING

    def compiled(self, task: str, version: str, names: Sequence[str]) -> TreesModel | None:  # noqa: ARG002 - contract
        """Return the trees with their columns by name."""
        if self.fitted is None:
            return None
        trees, by_place = Trees(**self.fitted), {place: name for name, place in self.names.items()}
        asked = [by_place[int(place)] for place in trees.features.ravel()]
        used = sorted(set(asked), key=lambda name: (name.startswith("@"), name))
        place = {name: number for number, name in enumerate(used)}
        remembered = self.rows[: min(self.seen, REMEMBERED)]
        return TreesModel(
            task=task,
            version=version,
            features=tuple(used),
            intercept=trees.base,
            columns=tuple(place[name] for name in asked),
            thresholds=tuple(trees.thresholds.ravel().tolist()),
            leaves=tuple(trees.leaves.ravel().tolist()),
            shares=tuple(trees.shares.ravel().tolist()),
            depth=trees.features.shape[1],
            usual=tuple(float(np.median(remembered[:, self.names[name]])) for name in used if name.startswith("@")),
        )
