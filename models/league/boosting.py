"""Boosting of oblivious trees on binned features: small, exact to repeat, and quick to score in plain arrays.

A tree asks the same `DEPTH` questions of everybody, so that its leaf is a number of that many bits. Leaf
values are whole multiples of `UNIT`: their sums are exact in whatever order they are added.

References
----------
Friedman (2001), Greedy function approximation, Ann. Stat. 29, 1189-1232; Friedman (2002), Stochastic
gradient boosting, Comput. Stat. Data Anal. 38, 367-378; Prokhorenkova et al. (2018), CatBoost, NeurIPS 31
(oblivious trees).
"""

from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

Array = NDArray[np.float64]
DEPTH: Final = 4
LEAVES: Final = 2**DEPTH
BINS: Final = 32
UNIT: Final = 2.0**-20
SHRINKAGE: Final = 0.1
RIDGE: Final = 5.0
"""Added to the curvature of a leaf: few examples say little."""
ROW_SHARE: Final = 0.5
COLUMN_SHARE: Final = 0.5
SMALLEST_CURVATURE: Final = 1e-6


class Trees(Struct):
    """Fitted trees. `features` and `thresholds` have shape (t, DEPTH), `leaves` (t, LEAVES).

    `shares` are the training examples in each leaf, shape (t, LEAVES). The bit of a question is 1 where the
    value is above the threshold; the first question is the highest bit.
    """

    base: float
    features: NDArray[np.int64]
    thresholds: Array
    leaves: Array
    shares: Array

    def predict(self, x: Array) -> Array:
        """Log odds of rows, shape (n,). The same bits whatever other rows there are."""
        bits = x[:, self.features.ravel()] > self.thresholds.ravel()
        places = bits.reshape(len(x), -1, DEPTH) @ (1 << np.arange(DEPTH)[::-1])
        found: Array = self.leaves[np.arange(len(self.leaves)), places].sum(axis=1)
        return self.base + found


def borders(x: Array) -> list[Array]:
    """Thresholds of each column, ascending: midpoints between values where there are few, else quantiles."""
    found = []
    for column in x.T:
        values = np.unique(column)
        if len(values) > BINS:
            values = np.unique(np.quantile(column, np.linspace(0.0, 1.0, BINS), method="nearest"))
        found.append((values[1:] + values[:-1]) / 2.0)
    return found


def fit(x: Array, y: Array, trees: int, seed: int) -> Trees:
    """Fit trees to labels.

    Parameters
    ----------
    x
        Finite numbers, shape (n, d); missing is a value below all others. One column varies at least.
    y
        0 or 1, shape (n,), both present.
    seed
        Draws rows and columns; the same arguments give the same trees to the bit.
    """
    draw = np.random.default_rng(seed)
    cuts = borders(x)
    useful = np.array([column for column, cut in enumerate(cuts) if len(cut)], dtype=np.int64)
    binned = np.stack([np.searchsorted(cuts[column], x[:, column], side="left") for column in useful], axis=1)
    rate = float(y.mean())
    base = round(np.log(rate / (1.0 - rate)) / UNIT) * UNIT
    score = np.full(len(y), base)
    grown = [_grow(binned, useful, cuts, y, score, draw) for _ in range(trees)]
    features, thresholds, leaves, shares = (np.stack(parts) for parts in zip(*grown, strict=True))
    return Trees(base, features, thresholds, leaves, shares)


def _grow(
    binned: NDArray[np.int64],
    useful: NDArray[np.int64],
    cuts: list[Array],
    y: Array,
    score: Array,
    draw: np.random.Generator,
) -> tuple[NDArray[np.int64], Array, Array, Array]:
    """Grow one tree and add it to `score`, in place."""
    chance = 1.0 / (1.0 + np.exp(-score))
    gradient, curvature = y - chance, np.maximum(chance * (1.0 - chance), SMALLEST_CURVATURE)
    rows = np.flatnonzero(draw.random(len(y)) < ROW_SHARE)
    columns = np.flatnonzero(draw.random(len(useful)) < COLUMN_SHARE)
    columns = columns if len(columns) else np.arange(len(useful))
    sample = binned[np.ix_(rows, columns)]
    code = sample + np.arange(len(columns)) * BINS
    pulls, weights = np.repeat(gradient[rows], len(columns)), np.repeat(curvature[rows], len(columns))
    limits = np.array([len(cuts[column]) for column in useful])
    node = np.zeros(len(rows), dtype=np.int64)
    features, places = [], []
    for level in range(DEPTH):
        coded = (code + (node * len(columns) * BINS)[:, None]).ravel()
        column, place = _best(coded, pulls, weights, 2**level, limits[columns])
        node = 2 * node + (sample[:, column] > place)
        features.append(columns[column])
        places.append(place)
    leaf = np.zeros(len(y), dtype=np.int64)
    for column, place in zip(features, places, strict=True):
        leaf = 2 * leaf + (binned[:, column] > place)
    up = np.bincount(node, weights=gradient[rows], minlength=LEAVES)
    steps = SHRINKAGE * up / (np.bincount(node, weights=curvature[rows], minlength=LEAVES) + RIDGE)
    values = np.round(steps / UNIT) * UNIT
    score += values[leaf]
    thresholds = [cuts[useful[column]][place] for column, place in zip(features, places, strict=True)]
    shares = np.bincount(leaf, minlength=LEAVES).astype(np.float64)
    return useful[features], np.array(thresholds), values, shares


def _best(
    code: NDArray[np.int64], pulls: Array, weights: Array, nodes: int, limits: NDArray[np.int64]
) -> tuple[int, int]:
    """Return the question that lowers the loss most, over all nodes: a column, and the last bin on its lower side."""
    shape, size = (nodes, len(limits), BINS), nodes * len(limits) * BINS
    up = np.bincount(code, weights=pulls, minlength=size).reshape(shape).cumsum(axis=2)
    mass = np.bincount(code, weights=weights, minlength=size).reshape(shape).cumsum(axis=2)
    rest_up, rest_mass = up[:, :, -1:] - up, mass[:, :, -1:] - mass
    gain = (up**2 / (mass + RIDGE) + rest_up**2 / (rest_mass + RIDGE)).sum(axis=0)
    gain[np.arange(BINS) >= limits[:, None]] = -np.inf  # nothing lies above the last bin
    # rounded, so that the last bits of a sum never choose between two questions
    column, place = np.unravel_index(int(np.argmax(np.round(gain, 9))), gain.shape)
    return int(column), int(place)
