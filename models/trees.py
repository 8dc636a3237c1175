"""Score rows with compiled trees, to the same bits whatever the rows' company, and say why.

References
----------
Saabas (2014), Interpreting random forests: what a question adds is the mean of where it leads less the mean of
where it was asked, so that base and contributions add up to the score.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from schemas.serving import KIND, OFFER, ONE_HOT, TreesModel

Array = NDArray[np.float64]
Places = NDArray[np.int64]
MISSING: Final = -1e6
"""Of an attribute's value: below every other."""


class Prepared(Struct):
    """A compiled model as arrays: shapes (t, depth) and (t, leaves), and the mean of each node by level."""

    columns: Places
    thresholds: Array
    leaves: Array
    means: list[Array]
    places: dict[int, list[int]]
    known: frozenset[int]
    offers: list[int]


@lru_cache(maxsize=32)
def prepared(model: TreesModel) -> Prepared:
    """Arrays of a model, made once."""
    leaves = np.array(model.leaves).reshape(-1, 2**model.depth)
    shares, means = np.array(model.shares).reshape(leaves.shape), [leaves]
    while means[0].shape[1] > 1:
        pairs, weights = means[0].reshape(len(leaves), -1, 2), shares.reshape(len(leaves), -1, 2)
        shares = weights.sum(axis=2)
        weighted = (pairs * weights).sum(axis=2) / np.maximum(shares, 1e-300)
        means.insert(0, np.where(shares > 0.0, weighted, pairs.mean(axis=2)))
    places: dict[int, list[int]] = {}
    for place, key in enumerate(model.keys, len(model.features)):
        places.setdefault(key, []).append(place)
    shape = (-1, model.depth)
    offers = [place for key, some in places.items() if key & OFFER for place in some]
    columns, thresholds = np.array(model.columns, dtype=np.int64), np.array(model.thresholds)
    return Prepared(
        columns.reshape(shape), thresholds.reshape(shape), leaves, means, places, frozenset(model.known), offers
    )


def columns_of(
    model: TreesModel,
    x: Array,
    rows: Sequence[int],
    keys: Sequence[int],
    values: Sequence[float],
    without: Places | None,
) -> tuple[Array, list[list[int]]]:
    """Columns as the trees ask for them, shape (n, c), and which of them each attribute filled.

    `x` has the model's `features`; `rows`, `keys` and `values` are attributes, one each; rows in `without` have no
    offer at all.
    """
    ready = prepared(model)
    blank = [0.0 if flag else MISSING for flag in model.flags]
    matrix = np.concatenate([x, np.broadcast_to(blank, (len(x), len(blank)))], axis=1)
    if without is not None and len(without) and ready.offers:
        usual = np.array(model.usual)[np.array(ready.offers) - len(model.features)]
        matrix[without[:, None], np.array(ready.offers)] = usual
    filled = []
    for row, key, value in zip(rows, keys, values, strict=True):
        rare = key not in ready.known and key & ONE_HOT
        places = ready.places.get(key & KIND if rare else key, [])
        for place in places:
            matrix[row, place] = 1.0 if model.flags[place - len(model.features)] else value
        filled.append(places)
    return matrix, filled


def score_trees(model: TreesModel, matrix: Array) -> tuple[Array, Array]:
    """Linear predictors, shape (n,), and what each column adds to the base, shape (n, c)."""
    ready, n = prepared(model), len(matrix)
    trees = np.arange(len(ready.leaves))
    node = np.zeros((n, len(trees)), dtype=np.int64)
    parts = np.zeros((n, matrix.shape[1]))
    row = np.broadcast_to(np.arange(n)[:, None] * matrix.shape[1], node.shape)
    for level in range(model.depth):
        column = ready.columns[:, level]
        below = 2 * node + (matrix[:, column] > ready.thresholds[:, level])
        steps = ready.means[level + 1][trees, below] - ready.means[level][trees, node]
        parts += np.bincount((row + column).ravel(), weights=steps.ravel(), minlength=parts.size).reshape(parts.shape)
        node = below
    z = model.offset + model.slope * (model.intercept + ready.leaves[trees, node].sum(axis=1))
    return z, model.slope * parts


def base_of(model: TreesModel) -> float:
    """Return the linear predictor of the average training example: where contributions start."""
    return model.offset + model.slope * (model.intercept + float(prepared(model).means[0].sum()))
