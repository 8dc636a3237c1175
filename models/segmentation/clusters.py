"""Segments of customers, learned from customers drawn at random, with ids that survive drift."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np
from msgspec import Struct, field

from models.segmentation.kmeans import (
    Array,
    Ids,
    best_of,
    draw_far,
    least_missed,
    lloyd,
    nearest,
    squared_distances,
    ssq,
)
from models.segmentation.naming import name_segments
from schemas.segments import Segments

FEATURES: Final = ("recency_days", "orders", "spend", "tenure_days", "gap_mean_days")
CAPACITY: Final = 2_000
EVERY: Final = 200
"""Draws between fits, and before the first."""
RESTARTS: Final = 10
SWAPS: Final = 3
WORTH: Final = 0.97
"""A swap gives an id another meaning: it must save this much of the sum of squares."""
TINY: Final = 0.005
"""Share of customers below which a segment may be given up for any gain."""
FLOOR: Final = 0.05
"""Of a scale, on log scale: a feature that hardly varies must not decide."""


class Clusters(Struct):
    """k-means over the latest 2,000 draws, fitted again every 200 from where its centres are.

    A fit moves centre i, so segment i stays segment i. A centre that is hardly missed moves to where
    customers are far from every centre, if that is worth it; only its id changes meaning. Plain data:
    msgpack and back, it has the same future. Bounded: the draws, and k centres.
    """

    k: int = 5
    seed: int = 0
    currency: str = "GBP"
    drawn: int = 0
    fits: int = 0
    recent: list[list[float]] = field(default_factory=list)
    mean: list[float] = field(default_factory=list)
    scale: list[float] = field(default_factory=list)
    centres: list[list[float]] = field(default_factory=list)
    medians: list[float] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    kept: float | None = None

    def __post_init__(self) -> None:
        """Refuse a number of segments that the first fit could not fill."""
        if not 2 <= self.k <= EVERY // 10:
            raise ValueError(f"k is {self.k}: it must be from 2 to {EVERY // 10}")

    def learn_one(self, x: Mapping[str, float] | Sequence[float]) -> None:
        """Learn a customer drawn at random, in log1p of `FEATURES`: by name, or in their order.

        Raises
        ------
        KeyError, ValueError
            A feature is missing, or not finite. Nothing is learned then.
        """
        row = [float(x[name]) for name in FEATURES] if isinstance(x, Mapping) else [float(value) for value in x]
        if len(row) != len(FEATURES) or not np.isfinite(row).all():
            raise ValueError(f"{len(FEATURES)} finite numbers are needed, not {row}")
        self.recent.append(row)
        if len(self.recent) > CAPACITY:
            del self.recent[0]
        self.drawn += 1
        if self.drawn % EVERY == 0:
            self._fit()

    def _fit(self) -> None:
        raw = np.array(self.recent)
        mean, scale = raw.mean(axis=0), np.maximum(raw.std(axis=0), FLOOR)
        x = (raw - mean) / scale
        draw = np.random.default_rng([self.seed, self.fits])
        before = None
        if self.centres:
            before = self._ids(raw)
            centres = _improve(x, lloyd(x, self._moved(mean, scale)), draw)
        else:
            centres = best_of(x, self.k, RESTARTS, draw)
        ids = nearest(squared_distances(x, centres))
        self.kept = None if before is None else float(np.mean(before == ids))
        self.sizes = np.bincount(ids, minlength=self.k).tolist()
        self.medians = np.median(raw, axis=0).tolist()
        self.mean, self.scale, self.centres = mean.tolist(), scale.tolist(), centres.tolist()
        self.fits += 1

    def _moved(self, mean: Array, scale: Array) -> Array:
        """Present centres in the units of another mean and scale."""
        moved: Array = (self._raw_centres() - mean) / scale
        return moved

    def _raw_centres(self) -> Array:
        raw: Array = np.array(self.centres) * np.array(self.scale) + np.array(self.mean)
        return raw

    def _ids(self, raw: Array) -> Ids:
        x = (raw - np.array(self.mean)) / np.array(self.scale)
        return nearest(squared_distances(x, np.array(self.centres)))

    def compiled(self, version: str) -> Segments | None:
        """Return the segments as they stand, for assigning customers. None before the first fit."""
        if not self.centres:
            return None
        raw = [dict(zip(FEATURES, row, strict=True)) for row in self._raw_centres().tolist()]
        medians = dict(zip(FEATURES, self.medians, strict=True))
        return Segments(
            version=version,
            features=FEATURES,
            mean=tuple(self.mean),
            scale=tuple(self.scale),
            centres=tuple(map(tuple, self.centres)),
            names=name_segments(raw, medians, self.currency),
            sizes=tuple(self.sizes),
            best=max(range(self.k), key=lambda i: raw[i]["spend"]),
        )

    def ssq_ratio(self) -> float | None:
        """Sum of squared distances of the draws, over that of the best of 10 batch k-means on them.

        1 is as good; below 1 is better. None before the first fit, or where all customers are alike.
        """
        if not self.centres:
            return None
        x = (np.array(self.recent) - np.array(self.mean)) / np.array(self.scale)
        batch = ssq(x, best_of(x, self.k, RESTARTS, np.random.default_rng([self.seed, self.fits, 1])))
        return ssq(x, np.array(self.centres)) / batch if batch > 0 else None

    @property
    def stability(self) -> float | None:
        """Share of the draws that kept their segment in the last fit. None before the second."""
        return self.kept

    def quality(self) -> dict[str, Any]:
        """Return `count`, `sizes` (draws a segment), `ssq_ratio` and `stability`."""
        return {"count": self.k, "sizes": self.sizes, "ssq_ratio": self.ssq_ratio(), "stability": self.stability}

    def state(self) -> dict[str, Any]:
        """Return a copy in dicts, lists and numbers, for a snapshot."""
        copy: dict[str, Any] = msgspec.to_builtins(self)
        return copy

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> "Clusters":
        """Make what `state` was taken of.

        Raises
        ------
        msgspec.ValidationError
            It is no state of clusters.
        """
        return msgspec.convert(state, cls)


def _improve(x: Array, centres: Array, draw: np.random.Generator) -> Array:
    """Move the centre that is missed least to where customers are far from all, while that is worth it.

    References
    ----------
    Fränti (2018), Efficiency of random swap clustering, Journal of Big Data 5:13.
    """
    now = ssq(x, centres)
    for _ in range(SWAPS):
        spare, size = least_missed(x, centres)
        moved = centres.copy()
        moved[spare] = draw_far(x, centres, draw)
        moved = lloyd(x, moved)
        then = ssq(x, moved)
        if then < now * (1.0 if size < TINY * len(x) else WORTH):
            centres, now = moved, then
    return centres
