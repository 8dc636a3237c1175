"""Score rows with compiled trees, to the same bits whatever the rows' company, and say why.

References
----------
Saabas (2014), Interpreting random forests: what a question adds is the mean of where it leads less the mean of
where it was asked, so that base and contributions add up to the score.
"""

from functools import lru_cache
from itertools import pairwise
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from schemas.serving import KIND, OFFER, ONE_HOT, TreesModel

Array = NDArray[np.float64]
Places = NDArray[np.int64]
FEW: Final = 8
"""Rows up to which all trees are looked up at once, in the same order."""
MISSING: Final = -1e6
"""Of an attribute's value: below every other."""


class Prepared(Struct):
    """A compiled model as arrays. `steps` is what each leaf adds by column, shape (t * leaves, c)."""

    columns: Places
    thresholds: Array
    leaves: Array
    means: list[Array]
    steps: Array
    flags: tuple[Places, Places]
    values: tuple[Places, Places]
    known: Places
    offers: Places
    blank: Array
    usual: Array
    base: float


@lru_cache(maxsize=32)
def prepared(model: TreesModel) -> Prepared:
    """Arrays of a model, made once."""
    depth, count = model.depth, 2**model.depth
    leaves = np.array(model.leaves).reshape(-1, count)
    shares, means = np.array(model.shares).reshape(leaves.shape), [leaves]
    while means[0].shape[1] > 1:
        pairs, weights = means[0].reshape(len(leaves), -1, 2), shares.reshape(len(leaves), -1, 2)
        shares = weights.sum(axis=2)
        weighted = (pairs * weights).sum(axis=2) / np.maximum(shares, 1e-300)
        means.insert(0, np.where(shares > 0.0, weighted, pairs.mean(axis=2)))
    columns = np.array(model.columns, dtype=np.int64)
    wide = [np.repeat(mean, count // mean.shape[1], axis=1) for mean in means]
    steps = np.zeros((len(leaves), count, len(model.features) + len(model.keys)))
    for level, (before, after) in enumerate(pairwise(wide)):
        np.add.at(
            steps, (np.arange(len(leaves))[:, None], np.arange(count), columns[level::depth, None]), after - before
        )
    keys, flags = np.array(model.keys, dtype=np.int64), np.array(model.flags, dtype=bool)
    places = np.arange(len(keys)) + len(model.features)
    return Prepared(
        columns=columns,
        thresholds=np.array(model.thresholds),
        leaves=leaves,
        means=means,
        steps=steps.reshape(-1, steps.shape[2]),
        flags=_by_key(keys[flags], places[flags]),
        values=_by_key(keys[~flags], places[~flags]),
        known=np.array(model.known, dtype=np.int64),
        offers=places[(keys & OFFER) > 0],
        blank=np.where(flags, 0.0, MISSING),
        usual=np.array(model.usual),
        base=model.offset + model.slope * (model.intercept + float(means[0].sum())),
    )


def _by_key(keys: Places, places: Places) -> tuple[Places, Places]:
    order = np.argsort(keys)
    return keys[order], places[order]


def columns_of(
    model: TreesModel, x: Array, rows: Places, keys: Places, values: Array, without: Places | None
) -> tuple[Array, Places]:
    """Columns as the trees ask for them, shape (n, c), and those that each attribute filled, shape (2, m), else -1.

    `x` has the model's `features`; `rows`, `keys` and `values` are attributes, one each; rows in `without` have no
    offer at all.
    """
    ready = prepared(model)
    width = len(model.features)
    matrix = np.empty((len(x), width + len(ready.blank)))
    matrix[:, :width], matrix[:, width:] = x, ready.blank
    if without is not None and len(without) and len(ready.offers):
        matrix[without[:, None], ready.offers] = ready.usual[ready.offers - width]
    rare = (keys & ONE_HOT > 0) & (_looked_up(keys, ready.known, ready.known) < 0)
    asked = np.where(rare, keys & KIND, keys)
    filled = np.stack([_looked_up(asked, *ready.flags), _looked_up(asked, *ready.values)])
    for place, told in zip(filled, (np.ones(len(keys)), values), strict=True):
        there = place >= 0
        matrix[rows[there], place[there]] = told[there]
    return matrix, filled


def _looked_up(asked: Places, keys: Places, places: Places) -> Places:
    """Return the place of each key that is asked for, -1 where it is not among `keys`, which ascend."""
    if not len(keys):
        return np.full(len(asked), -1)
    at = np.minimum(np.searchsorted(keys, asked), len(keys) - 1)
    return np.where(keys[at] == asked, places[at], -1)


def score_trees(model: TreesModel, matrix: Array, asked: Places) -> tuple[Array, Array]:
    """Linear predictors, shape (n,), and what each column adds to the base, shape (k, c), of the `asked` rows."""
    ready = prepared(model)
    columns = np.ascontiguousarray(matrix.T)
    leaf = np.repeat(np.arange(len(ready.leaves))[:, None], len(matrix), axis=1)  # numbered tree after tree
    for level in range(model.depth):
        asks = slice(level, None, model.depth)
        leaf *= 2
        leaf += columns[ready.columns[asks]] > ready.thresholds[asks, None]
    z = model.intercept + ready.leaves.ravel().take(leaf).sum(axis=0)
    shown = leaf[:, asked]
    if len(leaf) > 0 and len(asked) <= FEW:
        parts = np.add.accumulate(ready.steps[shown], axis=0)[-1]
    else:
        parts = np.zeros((len(asked), matrix.shape[1]))
        for one in shown:  # tree by tree: what a leaf adds to each column
            parts += ready.steps.take(one, axis=0)
    return model.offset + model.slope * z, model.slope * parts


def base_of(model: TreesModel) -> float:
    """Return the linear predictor of the average training example: where contributions start."""
    return prepared(model).base
