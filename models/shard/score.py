"""Second pass: one feature matrix, one prediction a model, and each score's reasons."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from models.customers.attributes import Pairs, pack_pairs
from models.customers.features import NATURAL, pack, scaled
from models.segmentation import assign
from models.serving import predict, score_matrix, score_pairs, sigmoid
from models.serving_set import PRIORS, ServingSet
from schemas.serving import LinearModel, ServingModel

Array = NDArray[np.float64]
TASKS: Final = ("churn", "response", "value")
_UNIT: Final = 10_000
_BOUND: Final = 1e9
LABEL: Final = 48
"""Characters of an attribute's name and value in an explanation."""


class Owned(Struct):
    """Attributes of rows, one an entry: `rows`, `keys` and `values` have shape (m,). `spans` are a row's entries."""

    rows: NDArray[np.int64]
    keys: NDArray[np.int64]
    values: Array
    labels: list[str]
    spans: dict[int, tuple[range, ...]]


class Said(Struct):
    """What each attribute adds to a task's linear predictors, shape (m,)."""

    owned: Owned
    effects: Array

    def of(self, row: int) -> list[tuple[str, float]]:
        """Return a row's attributes by label, with what they add."""
        labels, effects = self.owned.labels, self.effects
        return [(labels[i], float(effects[i])) for span in self.owned.spans.get(row, ()) for i in span]


class Scores(Struct):
    """All rows of a chunk, scored. `segments` are ids, -1 while unknown; `squares` are to each centre."""

    features: NDArray[np.float16]
    pairs: Mapping[int, Pairs]
    values: dict[str, list[float]]
    z: dict[str, Array]
    contributions: dict[str, Array | None]
    names: dict[str, tuple[str, ...]]
    said: dict[str, Said | None]
    bases: dict[str, float]
    segments: list[int]
    models: ServingSet
    squares: Array | None = None

    def packed(self, row: int) -> bytes:
        """Return a row as a pending example keeps it."""
        return pack(self.features[row])

    def packed_pairs(self, row: int, offer: Pairs = ()) -> bytes:
        """Return a row's attributes, and its offer's, as a pending example keeps them."""
        return pack_pairs(self.pairs.get(row, ()) + offer)


def score(
    rows: Sequence[Sequence[float]], pairs: Mapping[int, Pairs], offers: Mapping[int, Pairs], models: ServingSet
) -> Scores:
    """Score every row.

    Parameters
    ----------
    rows
        Natural values, in the order of `NATURAL`.
    pairs
        Attributes of the customer, for rows whose customer has any.
    offers
        Attributes of the offer, for rows that have one. Elsewhere the average offer is assumed.
    """
    features = scaled(rows)
    x = features.astype(np.float64)
    scores = Scores(features, pairs, {}, {}, {}, {}, {}, {}, *_segments(x, models))
    owned = _owned(pairs)
    for task in TASKS:
        _score_task(scores, task, getattr(models, task), x, owned, offers if task == "response" else None)
    return scores


def _score_task(
    scores: Scores,
    task: str,
    model: ServingModel | None,
    x: Array,
    owned: Owned,
    offers: Mapping[int, Pairs] | None,
) -> None:
    n = len(x)
    if model is None:
        prior = PRIORS[task]
        base = float(np.log(prior / (1 - prior))) if task != "value" else 0.0
        scores.bases[task], scores.contributions[task] = base, None
        scores.z[task], scores.values[task] = np.full(n, base), [prior] * n
        return
    z, contributions = score_matrix(model, _columns(model, x))
    scores.names[task] = model.features
    attributes = isinstance(model, LinearModel) and bool(model.keys)
    scores.said[task] = _add_pairs(model, z, owned, offers) if attributes else None  # type: ignore[arg-type]
    scores.bases[task], scores.z[task], scores.contributions[task] = model.intercept, z, contributions
    scores.values[task] = [predict(model, one) for one in z.tolist()]


def _columns(model: ServingModel, x: Array) -> Array:
    """Columns as the model names them; one that is no more stands at its mean, and so adds nothing."""
    if model.features == NATURAL:
        return x
    places = {name: place for place, name in enumerate(NATURAL)}
    matrix = np.empty((len(x), len(model.features)))
    for column, name in enumerate(model.features):
        mean = model.mean[column] if isinstance(model, LinearModel) else 0.0
        matrix[:, column] = x[:, places[name]] if name in places else mean
    return matrix


def _owned(pairs: Mapping[int, Pairs], before: Owned | None = None) -> Owned:
    """Attributes of all rows as columns; `before` holds others of the same rows, and comes first."""
    flat = [pair for some in pairs.values() for pair in some]
    sizes = [len(some) for some in pairs.values()]
    rows = np.repeat(np.array(list(pairs), dtype=np.int64), sizes)
    keys = np.array([pair.key for pair in flat], dtype=np.int64)
    values = np.array([pair.value for pair in flat], dtype=np.float64)
    labels, spans, end = [pair.label for pair in flat], {}, 0
    if before is not None:
        rows, keys = np.concatenate([before.rows, rows]), np.concatenate([before.keys, keys])
        values, labels = np.concatenate([before.values, values]), before.labels + labels
        spans, end = dict(before.spans), len(before.labels)
    for row, size in zip(pairs, sizes, strict=True):
        spans[row] = (*spans.get(row, ()), range(end, end + size))
        end += size
    return Owned(rows, keys, values, labels, spans)


def _add_pairs(model: LinearModel, z: Array, owned: Owned, offers: Mapping[int, Pairs] | None) -> Said:
    """Add to `z`, in place, what attributes bring; return it."""
    if offers is not None:
        usual = np.full(len(z), model.usual_offer)
        usual[list(offers)] = 0.0
        z += usual
        owned = _owned(offers, owned)
    sums, effects = score_pairs(model, owned.rows, owned.keys, owned.values, len(z))
    z += sums
    return Said(owned, effects)


def _segments(x: Array, models: ServingSet) -> tuple[list[int], ServingSet, Array | None]:
    if models.segments is None or not len(x):
        return [-1] * len(x), models, None
    columns = [NATURAL.index(name) for name in models.segments.features]
    places, distances = assign(models.segments, np.ascontiguousarray(x[:, columns]))
    bought = x[:, NATURAL.index("has_bought")] > 0
    numbers = models.segments.numbers
    ids = [numbers[place] if known else -1 for place, known in zip(places.tolist(), bought.tolist(), strict=True)]
    return ids, models, distances * distances


def held(scores: Scores, row: int, previous: int | None) -> int:
    """Return the segment of a row: the customer's previous one, while no other is clearly closer."""
    nearest, segments = scores.segments[row], scores.models.segments
    if segments is None or scores.squares is None or nearest < 0 or previous is None or previous == nearest:
        return nearest
    numbers = segments.numbers
    if previous not in numbers:
        return nearest
    squares = scores.squares[row]
    stays = squares[numbers.index(previous)] <= segments.hold * squares[numbers.index(nearest)]
    return previous if stays else nearest


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
    names, said = scores.names[task], scores.said[task]
    units = np.rint(np.clip(contributions[rows], -_BOUND, _BOUND) * _UNIT).astype(np.int64)
    z = np.rint(np.clip(scores.z[task][rows], -_BOUND, _BOUND) * _UNIT).astype(np.int64).tolist()
    sizes = np.abs(units)
    index = np.arange(len(rows))
    first = sizes.argmax(axis=1)
    sizes[index, first] = -1
    second = sizes.argmax(axis=1)
    one, two = units[index, first].tolist(), units[index, second].tolist()
    tops = [
        [(names[i], a), (names[j], b)] for i, j, a, b in zip(first.tolist(), second.tolist(), one, two, strict=True)
    ]
    if said is not None:
        tops = [_with_said(top, said.of(row)) for top, row in zip(tops, rows.tolist(), strict=True)]
    return [
        f'"{task}":[{base / _UNIT!r},[[{_quoted(i)},{a / _UNIT!r}],[{_quoted(j)},{b / _UNIT!r}]],'
        f"{(total - base - a - b) / _UNIT!r}]"
        for ((i, a), (j, b)), total in zip(tops, z, strict=True)
    ]


def _with_said(tops: list[tuple[str, int]], said: list[tuple[str, float]]) -> list[tuple[str, int]]:
    if not said:
        return tops
    units = [(label[:LABEL], round(min(max(effect, -_BOUND), _BOUND) * _UNIT)) for label, effect in said]
    return sorted(tops + units, key=lambda top: -abs(top[1]))[: len(tops)]


@lru_cache(maxsize=4_096)
def _quoted(name: str) -> str:
    """An attribute's name is whatever a shop calls it."""
    return msgspec.json.encode(name.encode("utf-8", "replace").decode()).decode()


def from_scale(task: str, z: float) -> float:
    """Read a score's own scale: the probability of log odds, the amount of its log."""
    return float(np.expm1(z)) if task == "value" else sigmoid(z)
