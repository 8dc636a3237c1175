"""From what entrants compile to what serves: slots to keys of attributes, calibration, mixture."""

import math
from collections.abc import Callable, Mapping, Sequence

import msgspec
import numpy as np

from models.league.kalman import Kalman
from models.league.vocabulary import Vocabulary
from schemas.serving import OFFER, LifetimeModel, LinearModel, MixtureModel, TreesModel

Member = LinearModel | TreesModel


def with_slots(model: Member, dense: int, vocabulary: Vocabulary) -> Member:
    """Name columns after the first `dense` by keys of attributes instead of slots."""
    return _linear(model, dense, vocabulary) if isinstance(model, LinearModel) else _trees(model, vocabulary)


def _linear(model: LinearModel, dense: int, vocabulary: Vocabulary) -> LinearModel:
    keys = sorted(vocabulary.slots)
    value = [dense + 2 * vocabulary.slots[key] for key in keys]
    present = tuple(model.weights[place + 1] for place in value)
    usual = math.fsum(weight * vocabulary.share(key) for key, weight in zip(keys, present, strict=True) if key & OFFER)
    return msgspec.structs.replace(
        model,
        features=model.features[:dense],
        mean=model.mean[:dense],
        scale=model.scale[:dense],
        weights=model.weights[:dense],
        keys=tuple(keys),
        key_mean=tuple(model.mean[place] for place in value),
        key_scale=tuple(model.scale[place] for place in value),
        key_weights=tuple(model.weights[place] for place in value),
        key_present=present,
        usual_offer=usual,
    )


def _trees(model: TreesModel, vocabulary: Vocabulary) -> TreesModel:
    """`features` come with slots last; `usual` has a number for every one of these."""
    by_slot = {slot: key for key, slot in vocabulary.slots.items()}
    slots = [name for name in model.features if name.startswith("@")]
    return msgspec.structs.replace(
        model,
        features=model.features[: len(model.features) - len(slots)],
        keys=tuple(by_slot[int(name.strip("@?"))] for name in slots),
        flags=tuple(name.endswith("?") for name in slots),
        known=tuple(sorted(vocabulary.slots)),
    )


def calibrated(model: Member, calibration: Kalman) -> Member:
    """Return the model whose log odds are those of `calibration`."""
    base, slope = (float(weight) for weight in calibration.weights[:2])
    if isinstance(model, LinearModel):
        return msgspec.structs.replace(
            model,
            intercept=base + slope * model.intercept,
            weights=tuple(slope * weight for weight in model.weights),
            key_weights=tuple(slope * weight for weight in model.key_weights),
            key_present=tuple(slope * weight for weight in model.key_present),
            usual_offer=slope * model.usual_offer,
        )
    return msgspec.structs.replace(model, offset=base, slope=slope)


def mixed(
    task: str,
    version: str,
    names: Sequence[str],
    mixture: Kalman,
    members: Mapping[str, Member | LifetimeModel | None],
    cold: Mapping[str, float],
) -> MixtureModel:
    """Return the weighted sum of members; who is `cold` adds its constant log odds."""
    weights = dict(zip(members, mixture.weights[1:].tolist(), strict=False))
    linear = {name: model for name, model in members.items() if isinstance(model, LinearModel)}
    trees = {name: model for name, model in members.items() if isinstance(model, TreesModel)}
    lifetimes = {name: model for name, model in members.items() if isinstance(model, LifetimeModel)}
    joined = _joined([(weights[name], model) for name, model in linear.items()])
    return MixtureModel(
        task=task,
        version=version,
        features=tuple(names),
        intercept=float(mixture.weights[0]) + math.fsum(weights[name] * z for name, z in cold.items()),
        weights=(*(weight for weight, _ in joined), *(weights[name] for name in (*trees, *lifetimes))),
        linear=tuple(model for _, model in joined),
        trees=tuple(trees.values()),
        lifetimes=tuple(lifetimes.values()),
    )


def _joined(members: Sequence[tuple[float, LinearModel]]) -> list[tuple[float, LinearModel]]:
    """Weighted sums of linear models that scale alike, each as one model of weight 1: it costs as much as one."""
    groups: list[list[tuple[float, LinearModel]]] = []
    for weight, model in members:
        for group in groups:
            if _scale_alike(group[0][1], model):
                group.append((weight, model))
                break
        else:
            groups.append([(weight, model)])
    return [group[0] if len(group) == 1 else (1.0, _sum(group)) for group in groups]


def _scale_alike(one: LinearModel, other: LinearModel) -> bool:
    """Whether two models see the same numbers, but for rounding."""
    if (one.features, one.keys, one.clip) != (other.features, other.keys, other.clip):
        return False
    mine, others = (np.array((*m.mean, *m.scale, *m.key_mean, *m.key_scale)) for m in (one, other))
    return bool(np.allclose(mine, others, rtol=1e-9, atol=1e-12))


def _sum(group: Sequence[tuple[float, LinearModel]]) -> LinearModel:
    def added(numbers: Callable[[LinearModel], Sequence[float]]) -> tuple[float, ...]:
        columns = zip(*([weight * one for one in numbers(model)] for weight, model in group), strict=True)
        return tuple(map(math.fsum, columns))

    intercept, usual_offer = added(lambda model: (model.intercept, model.usual_offer))
    return msgspec.structs.replace(
        group[0][1],
        intercept=intercept,
        usual_offer=usual_offer,
        weights=added(lambda model: model.weights),
        key_weights=added(lambda model: model.key_weights),
        key_present=added(lambda model: model.key_present),
    )
