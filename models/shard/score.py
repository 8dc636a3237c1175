"""Second pass: one feature matrix, one prediction a model, and each score's reasons."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from models.customers.features import CUSTOMER_FEATURES, NATURAL, OFFER, RESPONSE_FEATURES, pack, scaled
from models.segmentation import assign
from models.serving import predict, score_matrix, sigmoid
from models.serving_set import PRIORS, ServingSet
from schemas.serving import LinearModel

Array = NDArray[np.float64]
TASKS: Final = ("churn", "response", "value")
_UNIT: Final = 10_000
_BOUND: Final = 1e9


class Scores(Struct):
    """All rows of a chunk, scored. `segments` are -1 while unknown."""

    features: NDArray[np.float16]
    values: dict[str, list[float]]
    z: dict[str, Array]
    contributions: dict[str, Array | None]
    bases: dict[str, float]
    segments: list[int]
    models: ServingSet

    def packed(self, row: int) -> bytes:
        """Return a row as a pending example keeps it."""
        return pack(self.features[row])


def score(rows: Sequence[Sequence[float]], offers: dict[int, list[float]], models: ServingSet) -> Scores:
    """Score every row.

    Parameters
    ----------
    rows
        Natural values and slots, in the order of `CUSTOMER_FEATURES`.
    offers
        The offer's slots of rows that have one. Elsewhere the model's average offer is assumed.
    """
    features = scaled(rows, len(CUSTOMER_FEATURES))
    x = features.astype(np.float64)
    scores = Scores(features, {}, {}, {}, {}, _segments(x, models), models)
    for task in TASKS:
        model: LinearModel | None = getattr(models, task)
        matrix = x if task != "response" or model is None else _with_offers(x, offers, model)
        _score_task(scores, task, model, matrix)
    return scores


def _score_task(scores: Scores, task: str, model: LinearModel | None, x: Array) -> None:
    n = len(x)
    if model is None:
        prior = PRIORS[task]
        base = float(np.log(prior / (1 - prior))) if task != "value" else 0.0
        scores.bases[task], scores.contributions[task] = base, None
        scores.z[task], scores.values[task] = np.full(n, base), [prior] * n
        return
    z, contributions = score_matrix(model, x)
    scores.bases[task], scores.z[task], scores.contributions[task] = model.intercept, z, contributions
    scores.values[task] = [predict(model, one) for one in z.tolist()]


def _with_offers(x: Array, offers: dict[int, list[float]], model: LinearModel) -> Array:
    usual = np.array(model.mean[len(CUSTOMER_FEATURES) :])
    matrix = np.hstack([x, np.broadcast_to(usual, (len(x), len(OFFER)))])
    for row, offer in offers.items():
        matrix[row, len(CUSTOMER_FEATURES) :] = np.array(offer, dtype=np.float16)
    return matrix


def _segments(x: Array, models: ServingSet) -> list[int]:
    if models.segments is None or not len(x):
        return [-1] * len(x)
    columns = [NATURAL.index(name) for name in models.segments.features]
    ids, _ = assign(models.segments, np.ascontiguousarray(x[:, columns]))
    bought = x[:, NATURAL.index("has_bought")] > 0
    return [int(number) if known else -1 for number, known in zip(ids.tolist(), bought.tolist(), strict=True)]


def explanations(scores: Scores, rows: Sequence[int]) -> list[str]:
    """Why the scores of some rows are what they are, as JSON: task -> [base, [[feature, effect], ...], rest].

    Effects are on the model's own scale (log odds; log1p of the amount), largest first. With base and
    rest they add up exactly, in decimals of four places, to the score before its link.
    """
    parts = [_explain(scores, task, np.array(rows, dtype=np.intp)) for task in TASKS]
    return ["{" + ",".join(three) + "}" for three in zip(*parts, strict=True)]


def _explain(scores: Scores, task: str, rows: NDArray[np.intp]) -> list[str]:
    base = round(scores.bases[task] * _UNIT)
    contributions = scores.contributions[task]
    if contributions is None:
        return [f'"{task}":[{base / _UNIT!r},[],0.0]'] * len(rows)
    names = RESPONSE_FEATURES if task == "response" else CUSTOMER_FEATURES
    units = np.rint(np.clip(contributions[rows], -_BOUND, _BOUND) * _UNIT).astype(np.int64)
    z = np.rint(np.clip(scores.z[task][rows], -_BOUND, _BOUND) * _UNIT).astype(np.int64).tolist()
    sizes = np.abs(units)
    index = np.arange(len(rows))
    first = sizes.argmax(axis=1)
    sizes[index, first] = -1
    second = sizes.argmax(axis=1)
    one, two = units[index, first].tolist(), units[index, second].tolist()
    return [
        f'"{task}":[{base / _UNIT!r},[["{names[i]}",{a / _UNIT!r}],["{names[j]}",{b / _UNIT!r}]],'
        f"{(total - base - a - b) / _UNIT!r}]"
        for i, j, a, b, total in zip(first.tolist(), second.tolist(), one, two, z, strict=True)
    ]


def from_scale(task: str, z: float) -> float:
    """Read a score's own scale: the probability of log odds, the amount of its log."""
    return float(np.expm1(z)) if task == "value" else sigmoid(z)
