"""One model on all rows of a chunk: linear predictors, and what features and attributes add to them."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from models.customers.attributes import Pairs
from models.customers.features import NATURAL
from models.serving import score_matrix, score_pairs
from models.trees import base_of, columns_of, score_trees
from schemas.serving import LifetimeModel, LinearModel, MixtureModel, ServingModel, TreesModel

Array = NDArray[np.float64]
Places = NDArray[np.int64]
PLACES = {name: place for place, name in enumerate(NATURAL)}


class Owned(Struct):
    """Attributes of rows, one an entry: `rows`, `keys` and `values` have shape (m,)."""

    rows: NDArray[np.int64]
    keys: NDArray[np.int64]
    values: Array
    labels: list[str]

    def entries(self, asked: Iterable[int]) -> dict[int, list[int]]:
        """Return the entries of some rows, in their order."""
        found: dict[int, list[int]] = {row: [] for row in asked}
        shown = np.flatnonzero(np.isin(self.rows, list(found)))
        for row, entry in zip(self.rows[shown].tolist(), shown.tolist(), strict=True):
            found[row].append(entry)
        return found


def own(pairs: Mapping[int, Pairs], before: Owned | None = None) -> Owned:
    """Attributes of all rows as columns; `before` holds others of the same rows, and comes first."""
    flat = list(chain.from_iterable(pairs.values()))
    rows = np.repeat(np.array(list(pairs), dtype=np.int64), [len(some) for some in pairs.values()])
    keys = np.array([pair.key for pair in flat], dtype=np.int64)
    values = np.array([pair.value for pair in flat], dtype=np.float64)
    labels = [pair.label for pair in flat]
    if before is not None:
        rows, keys = np.concatenate([before.rows, rows]), np.concatenate([before.keys, keys])
        values, labels = np.concatenate([before.values, values]), before.labels + labels
    return Owned(rows, keys, values, labels)


class Found(Struct):
    """`z` has shape (n,), `parts` (k, d) by `names` of the k rows asked for, `effects` one number an attribute.

    `missing`, shape (k,), is what comes from attributes that a row does not have, and what no column owns. With base,
    parts and effects it adds up to `z`. Attributes of rows that were not asked for have any effect.
    """

    base: float
    z: Array
    parts: Array
    names: Sequence[str]
    effects: Array
    missing: Array


def on_rows(
    model: ServingModel, x: Array, attributes: Owned, without: Places | None, asked: Places | None = None
) -> Found:
    """Score rows whose columns are those of `NATURAL`, shape (n, d).

    `without` are the rows that have no offer; None where the task does not look at offers. `asked` are the rows whose
    score is to be explained; None: all.
    """
    asked = np.arange(len(x)) if asked is None else asked
    if isinstance(model, MixtureModel):
        return _mixture(model, x, attributes, without, asked)
    if isinstance(model, TreesModel):
        return _trees(model, x, attributes, without, asked)
    z, parts = score_matrix(model, _columns(model, x))
    none, nothing = np.zeros(len(attributes.labels)), np.zeros(len(asked))
    found = Found(model.intercept, z, parts[asked], model.features, none, nothing)
    if isinstance(model, LinearModel) and model.keys:
        _add_attributes(model, found, attributes, without, asked)
    return found


def _columns(model: LinearModel | LifetimeModel | TreesModel, x: Array) -> Array:
    """Columns as the model names them; one that is no more stands at its mean, and so adds nothing."""
    if model.features == NATURAL:
        return x
    matrix = np.empty((len(x), len(model.features)))
    for column, name in enumerate(model.features):
        mean = model.mean[column] if isinstance(model, LinearModel) else 0.0
        matrix[:, column] = x[:, PLACES[name]] if name in PLACES else mean
    return matrix


def _add_attributes(model: LinearModel, found: Found, attributes: Owned, without: Places | None, asked: Places) -> None:
    if without is not None:
        usual = np.zeros(len(found.z))
        usual[without] = model.usual_offer
        found.z += usual
        found.missing += usual[asked]
    if attributes.labels:
        sums, found.effects = score_pairs(model, attributes.rows, attributes.keys, attributes.values, len(found.z))
        found.z += sums


def _trees(model: TreesModel, x: Array, attributes: Owned, without: Places | None, asked: Places) -> Found:
    rows = attributes.rows
    matrix, filled = columns_of(model, _columns(model, x), rows, attributes.keys, attributes.values, without)
    z, columns = score_trees(model, matrix, asked)
    parts = np.zeros((len(asked), x.shape[1]))
    for column, name in enumerate(model.features):
        if name in PLACES:
            parts[:, PLACES[name]] = columns[:, column]
    places = np.full(len(x), -1)
    places[asked] = np.arange(len(asked))
    shown = np.flatnonzero(places[rows] >= 0)
    at, filled = places[rows[shown]], filled[:, shown]
    effects = np.zeros(len(rows))
    effects[shown] = np.where(filled >= 0, columns[at, filled], 0.0).sum(axis=0)
    owned = np.bincount(at, weights=effects[shown], minlength=len(asked))
    missing = columns[:, len(model.features) :].sum(axis=1) - owned
    return Found(base_of(model), z, parts, NATURAL, effects, missing)


def _mixture(model: MixtureModel, x: Array, attributes: Owned, without: Places | None, asked: Places) -> Found:
    start, effects = np.full(len(x), model.intercept), np.zeros(len(attributes.labels))
    parts, missing = np.zeros((len(asked), x.shape[1])), np.zeros(len(asked))
    found = Found(model.intercept, start, parts, NATURAL, effects, missing)
    members: tuple[ServingModel, ...] = (*model.linear, *model.trees, *model.lifetimes)
    for weight, member in zip(model.weights, members, strict=True):
        one = on_rows(member, x, attributes, without, asked)
        if isinstance(member, LifetimeModel):  # its parts are no sum on the scale of log odds
            one.missing = one.z[asked] - one.base - one.parts.sum(axis=1)
        found.base += weight * one.base
        found.z += weight * one.z
        found.effects += weight * one.effects
        found.missing += weight * one.missing
        if one.names == NATURAL:
            found.parts += weight * one.parts
            continue
        for column, name in enumerate(one.names):
            if name in PLACES:
                found.parts[:, PLACES[name]] += weight * one.parts[:, column]
    return found
