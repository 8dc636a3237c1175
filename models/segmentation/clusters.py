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
from models.segmentation.rfm import quintile_groups, within
from schemas.segments import Segments

FEATURES: Final = ("recency_days", "orders", "spend", "tenure_days", "gap_mean_days")
CLUSTERED: Final = FEATURES[:3]
"""What distances are taken in; the others describe."""
CAPACITY: Final = 2_000
EVERY: Final = 200
"""Draws between fits, and before the first."""
RESTARTS: Final = 10
SWAPS: Final = 3
WORTH: Final = 0.97
"""A swap gives an id another meaning: it must save this much of the sum of squares."""
TINY: Final = 0.005
"""Share of customers below which a segment may be given up for any gain."""
HOLD: Final = 1.2
"""A customer changes segment when another is this many times closer, in squared distance."""
DRIFT: Final = 0.5
"""A centre that has moved this far since it was last noted, in standard deviations, is noted again."""
LOG: Final = 50
"""Changes kept."""
FLOOR: Final = 0.05
"""Of a scale, on log scale: a feature that hardly varies must not decide."""


class Clusters(Struct):
    """k-means over the latest 2,000 draws, fitted again every 200 from where its centres are.

    Distances are in recency, orders and spend, on log scale. A fit moves centre i, so its segment stays
    what it was. A centre that is hardly missed moves to where customers are far from every centre, if
    that is worth it: its segment ends, joined to the one that was next, and another begins, split from the
    one whose customers it takes, under an id that was never used. `log` has the latest 50 changes, each
    with its reason. Plain data: msgpack and back, it has the same future. Bounded: the draws, k
    centres, the log.
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
    ids: list[int] = field(default_factory=list)
    next_id: int = 0
    described: list[list[float]] = field(default_factory=list)
    noted: list[list[float]] = field(default_factory=list)
    log: list[dict[str, Any]] = field(default_factory=list)

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
        space = raw[:, : len(CLUSTERED)]
        mean, scale = space.mean(axis=0), np.maximum(space.std(axis=0), FLOOR)
        x = (space - mean) / scale
        draw = np.random.default_rng([self.seed, self.fits])
        before = None
        if self.centres:
            before = np.array(self.ids)[self._places(space)]
            centres, changes = improve(x, lloyd(x, self._moved(mean, scale)), draw)
            self._follow(changes)
        else:
            centres = best_of(x, self.k, RESTARTS, draw)
            self.ids, self.next_id = list(range(self.k)), self.k
        places = nearest(squared_distances(x, centres))
        self.kept = None if before is None else float(np.mean(before == np.array(self.ids)[places]))
        self.sizes = np.bincount(places, minlength=self.k).tolist()
        self.medians = np.median(raw, axis=0).tolist()
        self.mean, self.scale, self.centres = mean.tolist(), scale.tolist(), centres.tolist()
        whole = np.hstack([self._raw_centres(), np.repeat([self.medians[len(CLUSTERED) :]], self.k, axis=0)])
        for place in range(self.k):
            if self.sizes[place]:
                whole[place, len(CLUSTERED) :] = raw[places == place, len(CLUSTERED) :].mean(axis=0)
        self.described = whole.tolist()
        self.fits += 1
        self._note_drift()

    def _follow(self, changes: "list[Change]") -> None:
        """Give every centre that was moved elsewhere an id of its own, and say what ended and what began."""
        for change in changes:
            ended, began = self.ids[change.place], self.next_id
            reason = f"the squared distance falls by {change.saved:.1%}"
            self._note(
                "merge", ended, f"{change.rows} of {len(self.recent)} draws were left in it", self.ids[change.into]
            )
            self._note("split", began, reason, self.ids[change.out_of])
            self.ids[change.place], self.next_id = began, self.next_id + 1
            if self.noted:
                self.noted[change.place] = []

    def _note(self, kind: str, segment: int, reason: str, other: int | None = None) -> None:
        self.log.append({"fit": self.fits, "kind": kind, "segment": segment, "other": other, "reason": reason})
        del self.log[:-LOG]

    def _note_drift(self) -> None:
        """Note centres that are far from where they were noted last."""
        now = [row[: len(CLUSTERED)] for row in self.described]
        if not self.noted:
            self.noted = [list(row) for row in now]
        for place, (then, here) in enumerate(zip(self.noted, now, strict=True)):
            if not then:
                self.noted[place] = list(here)
                continue
            steps = [(b - a) / scale for a, b, scale in zip(then, here, self.scale, strict=True)]
            if sum(step * step for step in steps) > DRIFT**2:
                j = max(range(len(steps)), key=lambda j: abs(steps[j]))
                old, new = np.expm1(then[j]), np.expm1(here[j])
                self._note("drift", self.ids[place], f"{CLUSTERED[j]} went from {old:.3g} to {new:.3g}")
                self.noted[place] = list(here)

    def _moved(self, mean: Array, scale: Array) -> Array:
        """Present centres in the units of another mean and scale."""
        moved: Array = (self._raw_centres() - mean) / scale
        return moved

    def _raw_centres(self) -> Array:
        raw: Array = np.array(self.centres) * np.array(self.scale) + np.array(self.mean)
        return raw

    def _places(self, space: Array) -> Ids:
        x = (space - np.array(self.mean)) / np.array(self.scale)
        return nearest(squared_distances(x, np.array(self.centres)))

    def compiled(self, version: str) -> Segments | None:
        """Return the segments as they stand, for assigning customers. None before the first fit."""
        if not self.centres:
            return None
        typical = [dict(zip(FEATURES, row, strict=True)) for row in self.described]
        medians = dict(zip(FEATURES, self.medians, strict=True))
        return Segments(
            version=version,
            features=CLUSTERED,
            mean=tuple(self.mean),
            scale=tuple(self.scale),
            centres=tuple(map(tuple, self.centres)),
            names=name_segments(typical, medians, self.currency),
            sizes=tuple(self.sizes),
            best=self.ids[max(range(self.k), key=lambda i: typical[i]["spend"])],
            ids=tuple(self.ids),
            hold=HOLD,
        )

    def ssq_ratio(self) -> float | None:
        """Sum of squared distances of the draws, over that of the best of 10 batch k-means on them.

        1 is as good; below 1 is better. None before the first fit, or where all customers are alike.
        """
        if not self.centres:
            return None
        x = self._standardised()
        batch = self._batch(x)
        return ssq(x, np.array(self.centres)) / batch if batch > 0 else None

    def _standardised(self) -> Array:
        space = np.array(self.recent)[:, : len(CLUSTERED)]
        x: Array = (space - np.array(self.mean)) / np.array(self.scale)
        return x

    def _batch(self, x: Array) -> float:
        return ssq(x, best_of(x, self.k, RESTARTS, np.random.default_rng([self.seed, self.fits, 1])))

    def quintiles_ratio(self) -> float | None:
        """Return the same of k groups by RFM quintiles, the usual way without learning; see `rfm.py`."""
        if not self.centres:
            return None
        x = self._standardised()
        batch = self._batch(x)
        return within(x, quintile_groups(np.array(self.recent), self.k), self.k) / batch if batch > 0 else None

    @property
    def stability(self) -> float | None:
        """Share of the draws that kept their segment in the last fit. None before the second."""
        return self.kept

    def quality(self) -> dict[str, Any]:
        """Return `count`, `sizes` (draws a segment), `ssq_ratio`, `stability`, the `log`, and the baseline."""
        return {
            "count": self.k,
            "sizes": self.sizes,
            "ssq_ratio": self.ssq_ratio(),
            "stability": self.stability,
            "log": self.log,
            "baselines": {"rfm_quintiles": {"ssq_ratio": self.quintiles_ratio()}},
        }

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


class Change(Struct, frozen=True):
    """A centre that was given up and set elsewhere.

    Its `rows` go to the centre at `into`; it takes its new ones from `out_of`, and `saved` is the share of
    the squared distance.
    """

    place: int
    rows: int
    into: int
    out_of: int
    saved: float


def improve(x: Array, centres: Array, draw: np.random.Generator) -> tuple[Array, list[Change]]:
    """Move the centre that is missed least to where customers are far from all, while that is worth it.

    References
    ----------
    Fränti (2018), Efficiency of random swap clustering, Journal of Big Data 5:13.
    """
    now, changes = ssq(x, centres), []
    for _ in range(SWAPS):
        spare, size = least_missed(x, centres)
        moved = centres.copy()
        moved[spare] = draw_far(x, centres, draw)
        moved = lloyd(x, moved)
        then = ssq(x, moved)
        if then < now * (1.0 if size < TINY * len(x) else WORTH):
            changes.append(_change(x, centres, moved, spare, 1.0 - then / now))
            centres, now = moved, then
    return centres, changes


def _change(x: Array, centres: Array, moved: Array, spare: int, saved: float) -> Change:
    """Say where the rows of the centre that was moved went, and whose rows it has now."""
    before, after = nearest(squared_distances(x, centres)), nearest(squared_distances(x, moved))
    left, taken = after[(before == spare) & (after != spare)], before[(after == spare) & (before != spare)]
    most = [np.bincount(ids, minlength=len(centres)) for ids in (left, taken)]
    into, out_of = (int(np.argmax(counts)) for counts in most)
    return Change(spare, int((before == spare).sum()), into, out_of, saved)
