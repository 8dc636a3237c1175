"""What moves a task's scores on the latest examples: in each segment, and of all of them."""

from collections.abc import Mapping
from typing import Any, Final, Self

import numpy as np
from msgspec import Struct, field
from numpy.typing import NDArray

from models.customers.attributes import Pair, unpack_pairs
from models.customers.features import NATURAL
from models.segmentation import assign
from models.serving import predictions
from models.shard.members import Found, Owned, on_rows, own
from schemas.segments import Segments
from schemas.serving import OFFER, ServingModel

KEPT: Final = 512
"""Latest examples of a task that are looked at."""
SHOWN: Final = 5
FEWEST: Final = 10
"""Examples of a segment, below which nothing is said of it."""
_UNNAMED: Final[Mapping[int, str]] = {}


class Latest(Struct):
    """The latest examples as shards packed them: features, and attributes. About 100 KB when full."""

    examples: list[tuple[bytes, bytes]] = field(default_factory=list)
    seen: int = 0

    def add(self, features: bytes, attributes: bytes) -> None:
        """Take in an example; the oldest goes."""
        if len(self.examples) < KEPT:
            self.examples.append((features, attributes))
        else:
            self.examples[self.seen % KEPT] = (features, attributes)
        self.seen += 1

    def state(self) -> tuple[int, list[tuple[bytes, bytes]]]:
        """Return plain data."""
        return self.seen, list(self.examples)

    @classmethod
    def restore(cls, state: tuple[int, list[tuple[bytes, bytes]]]) -> Self:
        """Make what `state` was taken of."""
        return cls([(features, attributes) for features, attributes in state[1]], state[0])


def by_segment(
    model: ServingModel | None, latest: Latest, segments: Segments | None, labels: Mapping[int, str] = _UNNAMED
) -> dict[str, dict[str, Any]]:
    """Return, by segment id, what moves the scores of its customers.

    Contributions are those that explain each customer's score, in the same unit (log odds; log1p of an amount).

    Returns
    -------
    dict
        `name`, `examples`, `score` (their mean) and `features`: by name `size`, the mean of absolute contributions
        (Lundberg et al. 2020, Nature Machine Intelligence 2, 56-67, section "global"), and `mean`, which has a sign;
        the five of largest size first. Segments of fewer than ten examples are left out.
    """
    if model is None or segments is None or not latest.examples:
        return {}
    matrix, owned, found = _looked(model, latest, labels)
    scores = np.array(predictions(model, found.z))
    columns = [NATURAL.index(name) for name in segments.features]
    places, _ = assign(segments, np.ascontiguousarray(matrix[:, columns]))
    bought = matrix[:, NATURAL.index("has_bought")] > 0  # who never bought is in no segment
    names = segments.named()
    told: dict[str, dict[str, Any]] = {}
    for place, number in enumerate(segments.numbers):
        ours = (places == place) & bought
        count = int(ours.sum())
        if count < FEWEST:
            continue
        sizes = dict(zip(found.names, np.abs(found.parts[ours]).mean(axis=0).tolist(), strict=True))
        means = dict(zip(found.names, found.parts[ours].mean(axis=0).tolist(), strict=True))
        _add_attributes(sizes, means, owned.rows, owned.labels, found.effects, ours)
        first = sorted((name for name in sizes if sizes[name] > 0.0), key=lambda name: (-sizes[name], name))[:SHOWN]
        told[str(number)] = {
            "name": names[number],
            "examples": count,
            "score": round(float(scores[ours].mean()), 4),
            "features": {name: {"size": round(sizes[name], 4), "mean": round(means[name], 4)} for name in first},
        }
    return told


def overall(
    model: ServingModel | None, latest: Latest, labels: Mapping[int, str] = _UNNAMED, most: int = 15
) -> dict[str, float]:
    """Return the standard deviation, over the latest examples, of what each feature adds to the score.

    In the unit of the model's own scale, the largest first; what never adds anything is left out.
    """
    if model is None or not latest.examples:
        return {}
    matrix, owned, found = _looked(model, latest, labels)
    spreads = dict(zip(found.names, found.parts.std(axis=0).tolist(), strict=True))
    sums: dict[str, tuple[float, float]] = {}
    for label, effect in zip(owned.labels, found.effects.tolist(), strict=True):
        total, squares = sums.get(label, (0.0, 0.0))
        sums[label] = total + effect, squares + effect * effect
    for label, (total, squares) in sums.items():
        mean = total / len(matrix)
        spreads[label] = max(squares / len(matrix) - mean * mean, 0.0) ** 0.5
    told = {name: round(spread, 4) for name, spread in spreads.items()}
    first = sorted((name for name in told if told[name] > 0.0), key=lambda name: (-told[name], name))[:most]
    return {name: told[name] for name in first}


def _looked(model: ServingModel, latest: Latest, labels: Mapping[int, str]) -> tuple[NDArray[np.float64], Owned, Found]:
    """Return rows of the latest examples, their attributes, and what a model makes of both."""
    matrix = np.zeros((len(latest.examples), len(NATURAL)))
    for row, (features, _) in enumerate(latest.examples):  # an old example may know fewer features
        values = np.frombuffer(features, dtype="<f2")
        matrix[row, : len(values)] = values
    pairs = {
        row: tuple(Pair(key, value, labels.get(key, f"#{key:04x}")) for key, value in unpack_pairs(body).items())
        for row, (_, body) in enumerate(latest.examples)
        if body
    }
    owned = own(pairs)
    offered = {row for row, some in pairs.items() if any(pair.key & OFFER for pair in some)}
    without = [row for row in range(len(matrix)) if row not in offered]
    return matrix, owned, on_rows(model, matrix, owned, np.array(without, dtype=np.int64) if offered else None)


def _add_attributes(
    sizes: dict[str, float],
    means: dict[str, float],
    rows: NDArray[np.int64],
    labels: list[str],
    effects: NDArray[np.float64],
    ours: NDArray[np.bool_],
) -> None:
    count = float(ours.sum())
    for entry in np.flatnonzero(ours[rows]).tolist():
        label, effect = labels[entry], float(effects[entry]) / count
        sizes[label] = sizes.get(label, 0.0) + abs(effect)
        means[label] = means.get(label, 0.0) + effect
