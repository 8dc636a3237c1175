"""Second pass: one feature matrix, one prediction a model, and each score's reasons."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from models.customers.attributes import Pairs, pack_pairs
from models.customers.features import NATURAL, pack, scaled
from models.segmentation import assign
from models.serving import predictions, sigmoid
from models.serving_set import PRIORS, ServingSet
from models.shard.members import Owned, on_rows, own
from schemas.serving import ServingModel

Array = NDArray[np.float64]
TASKS: Final = ("churn", "response", "value")
_UNIT, _SHOWN = 10_000, 100
"""A score's parts add up in ten-thousandths; base and effects are told in hundredths."""
_PLACES: Final = _UNIT // _SHOWN
_HALF: Final = _PLACES // 2
_BOUND: Final = 1e9
LABEL: Final = 48
"""Characters of an attribute's name and value in an explanation."""


class Said(Struct):
    """What each attribute adds to a task's linear predictors, shape (m,)."""

    owned: Owned
    effects: Array

    def units(self) -> list[int]:
        """Return the effects in ten-thousandths."""
        rounded: list[int] = np.rint(np.clip(self.effects, -_BOUND, _BOUND) * _UNIT).astype(np.int64).tolist()
        return rounded


class Scores(Struct):
    """All rows of a chunk, scored. `segments` are ids, -1 while unknown; `squares` are to each centre.

    `contributions` are of the rows `asked`, one after another.
    """

    features: NDArray[np.float16]
    pairs: Mapping[int, Pairs]
    asked: NDArray[np.intp]
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
    rows: Sequence[Sequence[float]],
    pairs: Mapping[int, Pairs],
    offers: Mapping[int, Pairs],
    models: ServingSet,
    asked: Sequence[int] = (),
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
    asked
        Rows whose scores are to be explained: of many moments of a customer the last alone is.
    """
    features = scaled(rows)
    x = features.astype(np.float64)
    scores = Scores(features, pairs, np.array(asked, dtype=np.intp), {}, {}, {}, {}, {}, {}, *_segments(x, models))
    attributes = own(pairs)
    for task in TASKS:
        _score_task(scores, task, getattr(models, task), x, attributes, offers if task == "response" else None)
    return scores


def _score_task(
    scores: Scores,
    task: str,
    model: ServingModel | None,
    x: Array,
    attributes: Owned,
    offers: Mapping[int, Pairs] | None,
) -> None:
    n = len(x)
    if model is None:
        prior = PRIORS[task]
        base = float(np.log(prior / (1 - prior))) if task != "value" else 0.0
        scores.bases[task], scores.contributions[task] = base, None
        scores.z[task], scores.values[task] = np.full(n, base), [prior] * n
        return
    without = None
    if offers is not None:
        without = np.setdiff1d(np.arange(n), np.fromiter(offers, dtype=np.int64, count=len(offers)))
        attributes = own(offers, attributes)
    found = on_rows(model, x, attributes, without, scores.asked)
    scores.names[task] = tuple(found.names)
    scores.said[task] = Said(attributes, found.effects) if len(found.effects) else None
    scores.bases[task], scores.z[task], scores.contributions[task] = found.base, found.z, found.parts
    scores.values[task] = predictions(model, found.z)


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


def explanations(scores: Scores) -> list[str]:
    """Why the scores of the rows asked for are what they are, as JSON: task -> [base, [[feature, effect], ...], rest].

    Effects are on the model's own scale (log odds; log1p of the amount), largest first. They and the base have two
    places, as many as a person reads; `rest` has four, so that all add up exactly to the score before its link. An
    effect that is 0 with these places is left out: it is no reason.
    """
    parts = [_explain(scores, task) for task in TASKS]
    return ["{" + ",".join(three) + "}" for three in zip(*parts, strict=True)]


def _explain(scores: Scores, task: str) -> list[str]:
    contributions, rows = scores.contributions[task], scores.asked
    if contributions is None:
        return [f'"{task}":[{_number(round(scores.bases[task] * _UNIT), _UNIT)},[],0]'] * len(rows)
    base = round(scores.bases[task] * _SHOWN)
    names, said = scores.names[task], scores.said[task]
    parts = np.rint(np.clip(contributions, -_BOUND, _BOUND) * _UNIT).astype(np.int64)
    z = np.rint(np.clip(scores.z[task][rows], -_BOUND, _BOUND) * _UNIT).astype(np.int64).tolist()
    sizes = np.abs(parts)
    index = np.arange(len(rows))
    first = sizes.argmax(axis=1)
    sizes[index, first] = -1
    second = sizes.argmax(axis=1)
    one, two = parts[index, first].tolist(), parts[index, second].tolist()
    tops = [
        [(names[i], a), (names[j], b)] for i, j, a, b in zip(first.tolist(), second.tolist(), one, two, strict=True)
    ]
    if said is not None:
        units, entries, labels = said.units(), said.owned.entries(rows.tolist()), said.owned.labels
        tops = [with_said(top, entries[row], units, labels) for top, row in zip(tops, rows.tolist(), strict=True)]
    start, told = f'"{task}":[{_number(base, _SHOWN)},[', []
    for ((i, a), (j, b)), total in zip(tops, z, strict=True):
        one, two = (a + _HALF) // _PLACES, (b + _HALF) // _PLACES
        rest = total - (base + one + two) * _PLACES
        first = f"[{_quoted(i)},{one / _SHOWN!r}]" if one else ""
        second = f",[{_quoted(j)},{two / _SHOWN!r}]" if two else ""
        told.append(f"{start}{first}{second}],{_number(rest, _UNIT)}]")
    return told


def _number(parts: int, of: int) -> str:
    """Return a number of so many parts of one, as JSON; 0 as most of them are."""
    return repr(parts / of) if parts else "0"


def with_said(
    tops: list[tuple[str, int]], entries: Iterable[int], units: list[int], labels: list[str]
) -> list[tuple[str, int]]:
    """Return the two that move a score most, of two features and a row's attributes; of equals what came first."""
    first, second = tops
    for entry in entries:
        size = abs(units[entry])
        if size > abs(second[1]):
            second = labels[entry][:LABEL], units[entry]
            if size > abs(first[1]):
                first, second = second, first
    return [first, second]


@lru_cache(maxsize=4_096)
def _quoted(name: str) -> str:
    """An attribute's name is whatever a shop calls it."""
    return msgspec.json.encode(name.encode("utf-8", "replace").decode()).decode()


def from_scale(task: str, z: float) -> float:
    """Read a score's own scale: the probability of log odds, the amount of its log."""
    return float(np.expm1(z)) if task == "value" else sigmoid(z)
