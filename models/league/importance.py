"""What moves a task's scores, over all customers: how widely each feature's contribution spreads."""

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.league.vocabulary import Vocabulary
from models.serving import score_matrix
from models.trees import prepared
from schemas.serving import LifetimeModel, LinearModel, MixtureModel, ServingModel, TreesModel

SHOWN: Final = 15
Array = NDArray[np.float64]
_KNOWN: Final[Mapping[int, str]] = {}
_NOBODY: Final[Array] = np.zeros((0, 4))


def importance(
    model: ServingModel | None,
    vocabulary: Vocabulary,
    labels: Mapping[int, str] = _KNOWN,
    histories: Array = _NOBODY,
) -> dict[str, float]:
    """Standard deviation of what a feature adds to the log odds, the largest first.

    Exact for one tree's questions and for linear weights of scaled features, which are taken as independent of
    each other; a mixture adds its members' up. A buy-till-you-die model is asked about `histories`, customers whose
    log1p of recency, orders, spend and tenure are the columns, shape (n, 4). `labels` name keys of attributes; others
    are shown as `#key`.
    """
    found: dict[str, float] = {}
    for name, spread in _spreads(model, vocabulary, histories):
        said = name if isinstance(name, str) else labels.get(name, f"#{name:04x}")
        found[said] = found.get(said, 0.0) + spread
    ranked = sorted(found, key=lambda name: (-found[name], name))
    return {name: round(found[name], 4) for name in ranked[:SHOWN] if found[name] > 0.0}


def _spreads(model: ServingModel | None, vocabulary: Vocabulary, histories: Array) -> list[tuple[str | int, float]]:
    if isinstance(model, MixtureModel):
        members: tuple[ServingModel, ...] = (*model.linear, *model.trees, *model.lifetimes)
        pairs = list(zip(model.weights, members, strict=True))
        return [(name, abs(w) * spread) for w, one in pairs for name, spread in _spreads(one, vocabulary, histories)]
    if isinstance(model, LifetimeModel):
        spreads = score_matrix(model, histories)[1].std(axis=0).tolist() if len(histories) else []
        return list(zip(model.features, spreads, strict=False))
    if isinstance(model, LinearModel):
        return _linear(model, vocabulary)
    return _trees(model) if isinstance(model, TreesModel) else []


def _linear(model: LinearModel, vocabulary: Vocabulary) -> list[tuple[str | int, float]]:
    found: list[tuple[str | int, float]] = [
        (name, abs(weight)) for name, weight in zip(model.features, model.weights, strict=True)
    ]
    for key, weight, present in zip(model.keys, model.key_weights, model.key_present, strict=True):
        share = min(vocabulary.share(key), 1.0)
        found.append((key, float(np.sqrt(share * weight**2 + share * (1.0 - share) * present**2))))
    return found


def _trees(model: TreesModel) -> list[tuple[str | int, float]]:
    """Variance of each column's steps, tree by tree, added up."""
    ready = prepared(model)
    names: tuple[str | int, ...] = (*model.features, *model.keys)
    variances, shares = np.zeros(len(names)), np.array(model.shares).reshape(ready.leaves.shape)
    for level in range(model.depth):
        steps = ready.means[level + 1] - np.repeat(ready.means[level], 2, axis=1)
        weights = shares.reshape(len(shares), steps.shape[1], -1).sum(axis=2)
        weights = weights / np.maximum(weights.sum(axis=1, keepdims=True), 1.0)
        np.add.at(variances, ready.columns[level :: model.depth], (weights * steps**2).sum(axis=1))
    return [(name, abs(model.slope) * float(np.sqrt(value))) for name, value in zip(names, variances, strict=True)]
