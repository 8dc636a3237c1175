"""Score rows with a compiled model, to the same bits whatever the rows' company, and say why."""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike, NDArray

from models.lifetimes.serve import score_lifetimes
from schemas.serving import KIND, LifetimeModel, LinearModel, ServingModel

Array = NDArray[np.float64]
TOPS = 2
"""Features named in an explanation."""
_UNIT = 10_000  # explanations have four decimals


class Prepared(Struct):
    """A linear model's numbers as arrays."""

    mean: Array
    scale: Array
    weights: Array
    keys: NDArray[np.int64]
    key_mean: Array
    key_scale: Array
    key_weights: Array
    key_present: Array

    def place(self, keys: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return where keys are, or would be."""
        return np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)


@lru_cache(maxsize=64)
def prepared(model: LinearModel) -> Prepared:
    """Arrays of a model, made once."""
    return Prepared(
        mean=np.array(model.mean),
        scale=np.array(model.scale),
        weights=np.array(model.weights),
        keys=np.array(model.keys, dtype=np.int64),
        key_mean=np.array(model.key_mean),
        key_scale=np.array(model.key_scale),
        key_weights=np.array(model.key_weights),
        key_present=np.array(model.key_present),
    )


def score_matrix(model: LinearModel | LifetimeModel, x: NDArray[Any]) -> tuple[Array, Array]:
    """Linear predictors and what each feature adds to them.

    Columns are added up one by one, in the model's order. A matrix product, or `sum`, would change its last
    bits with the number of rows, and with it every comparison of two runs.

    Parameters
    ----------
    model
        Its `features` name the columns.
    x
        Shape (n, d), free of NaN, any memory layout.

    Returns
    -------
    z
        Shape (n,), on the scale of the link; `predictions` turns it into scores.
    contributions
        Shape (n, d); `z` is the intercept plus a row's contributions, added from left to right.

    Raises
    ------
    ValueError
        `x` has another number of columns than the model.
    """
    if x.ndim != 2 or x.shape[1] != len(model.features):
        raise ValueError(f"{model.task}: shape {x.shape} does not fit {len(model.features)} features")
    if isinstance(model, LifetimeModel):
        return score_lifetimes(model, x)
    ready = prepared(model)
    with np.errstate(over="ignore"):  # an overflow is clipped like any large value
        scaled = (x - ready.mean) / ready.scale
    parts = np.minimum(np.maximum(scaled, -model.clip), model.clip) * ready.weights
    sums = np.empty((len(x), len(ready.weights) + 1))
    sums[:, 0], sums[:, 1:] = model.intercept, parts
    return np.add.accumulate(sums, axis=1)[:, -1], parts


def score_pairs(
    model: LinearModel, rows: ArrayLike, keys: ArrayLike, values: ArrayLike, count: int
) -> tuple[Array, Array]:
    """What attributes add to the linear predictors.

    Parameters
    ----------
    rows, keys, values
        One attribute each, of equal length; those of one row in the order of their keys.
    count
        Number of rows.

    Returns
    -------
    sums
        Shape (count,): a row's attributes added one after another, whatever other rows there are.
    contributions
        What each attribute adds. One without a weight of its own is among its kind's rare values.
    """
    ready = prepared(model)
    rows, wanted = np.asarray(rows, dtype=np.int64), np.asarray(keys, dtype=np.int64)
    contributions = np.zeros(len(wanted))
    if len(ready.keys) and len(wanted):
        place = ready.place(wanted)
        there = ready.keys[place] == wanted
        rare = np.where(there, -1, wanted & KIND)
        place = np.where(there, place, ready.place(rare))
        found = np.flatnonzero(ready.keys[place] == np.where(there, wanted, rare))
        again = found[~there[found]]
        if len(again) > 1:  # several rare values of a kind count once
            once = again[np.unique(rows[again] * (KIND + 1) + rare[again], return_index=True)[1]]
            found = np.concatenate([found[there[found]], once])
        at = place[found]
        scaled = (np.asarray(values)[found] - ready.key_mean[at]) / ready.key_scale[at]
        scaled = np.minimum(np.maximum(scaled, -model.clip), model.clip)
        contributions[found] = ready.key_present[at] + ready.key_weights[at] * scaled
    sums = np.bincount(rows, weights=contributions, minlength=count)
    return sums.astype(np.float64), contributions


def predict(model: ServingModel, z: float) -> float:
    """Probability in [0, 1], or amount in [0, cap], of one linear predictor."""
    return sigmoid(z) if model.link == "logit" else amount(z, model.cap)


def predictions(model: ServingModel, z: Array) -> list[float]:
    """`predict` of each row. Row by row: numpy's `exp` may differ between vector and tail."""
    if model.link == "logit":
        return [sigmoid(one) for one in z.tolist()]
    return amounts(z.tolist(), model.cap)


def sigmoid(z: float) -> float:
    """Probability of a logit, without overflow.

    >>> sigmoid(0.0), sigmoid(-1000.0)
    (0.5, 0.0)
    """
    if z >= 0:
        return 1.0 / (1.0 + math.exp(-z))
    power = math.exp(z)
    return power / (1.0 + power)


def amount(z: float, cap: float) -> float:
    """`expm1(z)` within [0, cap].

    >>> amount(1000.0, 50.0), amount(-1.0, 50.0)
    (50.0, 0.0)
    """
    return amounts([z], cap)[0]


def amounts(z: Sequence[float], cap: float) -> list[float]:
    """`amount` of each."""
    full = math.log1p(cap)
    return [0.0 if one <= 0 else cap if one >= full else min(math.expm1(one), cap) for one in z]


def explain_row(
    names: Sequence[str], base: float, contributions: Sequence[float] | Array, z: float
) -> tuple[float, list[tuple[str, float]], float]:
    """Which features moved one score most.

    Parameters
    ----------
    names, contributions
        Features and what each adds to `z`, shape (d,).
    base
        The model's intercept.
    z
        The row's linear predictor, below 1e10 in size.

    Returns
    -------
    base, tops, rest
        Rounded to four decimals so that base, tops and rest add up to `round(z, 4)` exactly in
        decimal; `rest` takes up the rounding. Tops come largest first, ties by position.

    Examples
    --------
    >>> explain_row(["recency", "spend", "age"], 0.5, [-2.0, 0.25, 0.1], -1.15)
    (0.5, [('recency', -2.0), ('spend', 0.25)], 0.1)
    """
    values = contributions.tolist() if isinstance(contributions, np.ndarray) else list(contributions)
    sizes = [abs(value) for value in values]
    tops: list[tuple[str, int]] = []
    for _ in range(min(TOPS, len(sizes))):
        top = max(range(len(sizes)), key=sizes.__getitem__)
        sizes[top] = -1.0
        tops.append((names[top], _units(values[top])))
    start = _units(base)
    rest = _units(z) - start - sum(units for _, units in tops)
    return start / _UNIT, [(name, units / _UNIT) for name, units in tops], rest / _UNIT


def _units(value: float) -> int:
    """`round(value, 4)` in ten-thousandths: whole numbers add up exactly."""
    return round(round(value, 4) * _UNIT)
