"""From what entrants compile to what serves: slots to keys of attributes, calibration, mixture."""

import math
from collections.abc import Mapping, Sequence

import msgspec

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
    return MixtureModel(
        task=task,
        version=version,
        features=tuple(names),
        intercept=float(mixture.weights[0]) + math.fsum(weights[name] * z for name, z in cold.items()),
        weights=tuple(weights[name] for name in (*linear, *trees, *lifetimes)),
        linear=tuple(linear.values()),
        trees=tuple(trees.values()),
        lifetimes=tuple(lifetimes.values()),
    )
