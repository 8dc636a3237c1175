"""What a learner is compiled to, and shards score with: plain numbers as JSON. Scorers open no pickle."""

import math
from itertools import pairwise
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

from schemas.lifetimes import Lifetimes

ONE_HOT: Final = 0b01
"""Bit of an attribute's key whose feature is there or not; without it a number."""
OFFER: Final = 0b10
"""Bit of an attribute's key that belongs to an offer; without it to a customer."""
KIND: Final = ONE_HOT | OFFER
"""Alone, these bits are a kind's rare values together."""
Link = Literal["logit", "log1p"]
"""`logit`: the prediction is a probability. `log1p`: it is `expm1(z)`, an amount within [0, cap]."""


class LinearModel(Struct, frozen=True, kw_only=True, cache_hash=True):
    """A scaled linear model: `z = intercept + sum(weights * clip((x - mean) / scale))`.

    `features` is the order of columns; `mean`, `scale` and `weights` follow it. `clip` bounds the
    scaled values on both sides, in standard deviations. `cap` is the largest amount of a `log1p`
    model, in the amount's own unit; other links do not read it.

    `keys` are attributes that weigh something, ascending (`models/customers/attributes.py`). One that
    is there adds `present + weight * clip((v - mean) / scale)`; `usual_offer` is what an offer's
    attributes add on average, for a customer who is scored without an offer.
    """

    task: str
    version: str
    features: tuple[str, ...]
    mean: tuple[float, ...]
    scale: tuple[Annotated[float, Meta(gt=0)], ...]
    clip: Annotated[float, Meta(gt=0)]
    weights: tuple[float, ...]
    intercept: float
    link: Link
    cap: Annotated[float, Meta(ge=0)] = 0.0
    keys: tuple[int, ...] = ()
    key_mean: tuple[float, ...] = ()
    key_scale: tuple[Annotated[float, Meta(gt=0)], ...] = ()
    key_weights: tuple[float, ...] = ()
    key_present: tuple[float, ...] = ()
    usual_offer: float = 0.0

    def __post_init__(self) -> None:
        """Refuse columns that do not fit together, and numbers that JSON cannot carry."""
        width = len(self.features)
        if not len(self.mean) == len(self.scale) == len(self.weights) == width:
            raise ValueError(f"{self.task}: mean, scale and weights must have {width} numbers, one a feature")
        count = len(self.keys)
        if not len(self.key_mean) == len(self.key_scale) == len(self.key_weights) == len(self.key_present) == count:
            raise ValueError(f"{self.task}: what stands for attributes must have {count} numbers, one a key")
        if any(one >= other for one, other in pairwise(self.keys)):
            raise ValueError(f"{self.task}: keys of attributes must ascend")
        numbers = (*self.mean, *self.scale, *self.weights, self.clip, self.intercept, self.cap, self.usual_offer)
        numbers += (*self.key_mean, *self.key_scale, *self.key_weights, *self.key_present)
        if not all(map(math.isfinite, numbers)):
            raise ValueError(f"{self.task}: every number of a serving model must be finite")


class LifetimeModel(Struct, frozen=True, kw_only=True):
    """A buy-till-you-die model for one target within `days`: see `models/lifetimes/serve.py`.

    `churn` is the probability of no purchase, link `logit`; `value` the expected spend in currency
    units and `purchases` their expected number, link `log1p`. `features` are
    the columns, in this order. `prior` answers for who never bought. `intercept` is where
    explanations start: the linear predictor of the typical customer.
    """

    task: str
    version: str
    target: Literal["churn", "value", "purchases"]
    days: Annotated[float, Meta(gt=0)]
    prior: Annotated[float, Meta(ge=0)]
    lifetimes: Lifetimes
    link: Link
    intercept: float = 0.0
    cap: float = 1e9
    features: tuple[str, ...] = ("recency_days", "orders", "spend", "tenure_days")
    model: Literal["lifetimes"] = "lifetimes"

    def __post_init__(self) -> None:
        """Refuse numbers that JSON cannot carry."""
        if not all(map(math.isfinite, (self.intercept, self.prior, self.cap))):
            raise ValueError(f"{self.task}: every number of a serving model must be finite")


class TreesModel(Struct, frozen=True, kw_only=True, cache_hash=True):
    """Oblivious trees, each asking `depth` questions: is this column's value above this threshold.

    Columns are `features` and then `keys`, of which those with a flag say whether the attribute is
    there, 0 or 1, and the others are its value. Where an attribute is missing its value lies below all
    others; `usual` stands in for those of an offer where there is none at all. `known` are the keys that
    are known by themselves: others are rare. `columns` and `thresholds` have `depth` numbers a tree,
    `leaves` and `shares` (training examples there) two to the power of `depth`; all leaves are whole
    multiples of 2 ** -20, so that a score is the same to the bit in whatever order they are added. The
    score is `offset + slope * (intercept + sum of leaves)`.
    """

    task: str
    version: str
    features: tuple[str, ...]
    intercept: float
    columns: tuple[Annotated[int, Meta(ge=0)], ...]
    thresholds: tuple[float, ...]
    leaves: tuple[float, ...]
    shares: tuple[Annotated[float, Meta(ge=0)], ...]
    depth: Annotated[int, Meta(ge=1, le=8)]
    keys: tuple[int, ...] = ()
    flags: tuple[bool, ...] = ()
    usual: tuple[float, ...] = ()
    known: tuple[int, ...] = ()
    offset: float = 0.0
    slope: float = 1.0
    link: Link = "logit"
    cap: float = 0.0
    model: Literal["trees"] = "trees"

    def __post_init__(self) -> None:
        """Refuse parts that do not fit together."""
        trees, width = len(self.columns) // self.depth, len(self.features) + len(self.keys)
        if len(self.columns) != len(self.thresholds) or len(self.columns) != trees * self.depth:
            raise ValueError(f"{self.task}: columns and thresholds must have {self.depth} numbers a tree")
        if not len(self.leaves) == len(self.shares) == trees * 2**self.depth:
            raise ValueError(f"{self.task}: leaves and shares must have {2**self.depth} numbers a tree")
        slots = sum(name.startswith("@") for name in self.features)  # of a model that is not served yet
        fits = len(self.flags) == len(self.keys) and len(self.usual) == len(self.keys) + slots
        if not fits or any(one >= width for one in self.columns):
            raise ValueError(f"{self.task}: a column is asked for that is not there")
        if not all(
            map(
                math.isfinite,
                (self.intercept, self.offset, self.slope, *self.thresholds, *self.leaves, *self.shares, *self.usual),
            )
        ):
            raise ValueError(f"{self.task}: every number of a serving model must be finite")


class MixtureModel(Struct, frozen=True, kw_only=True):
    """Several models' linear predictors, weighted: `intercept + sum(weights * z)`, in the order of the fields here."""

    task: str
    version: str
    features: tuple[str, ...]
    intercept: float
    weights: tuple[float, ...]
    linear: tuple[LinearModel, ...] = ()
    trees: tuple[TreesModel, ...] = ()
    lifetimes: tuple[LifetimeModel, ...] = ()
    link: Link = "logit"
    cap: float = 0.0
    model: Literal["mixture"] = "mixture"

    def __post_init__(self) -> None:
        """Refuse parts that do not fit together."""
        if len(self.weights) != len(self.linear) + len(self.trees) + len(self.lifetimes):
            raise ValueError(f"{self.task}: a mixture needs one weight a member, linear ones first, lifetimes last")
        if not all(map(math.isfinite, (self.intercept, *self.weights))):
            raise ValueError(f"{self.task}: every number of a serving model must be finite")


ServingModel = LinearModel | LifetimeModel | TreesModel | MixtureModel


class _Kind(Struct):
    """A model of an older release does not say what it is: it is linear."""

    model: str = "linear"


_KINDS: Final = msgspec.json.Decoder(_Kind)
_DECODERS: Final[dict[str, msgspec.json.Decoder[ServingModel]]] = {
    "linear": msgspec.json.Decoder(LinearModel),
    "lifetimes": msgspec.json.Decoder(LifetimeModel),
    "trees": msgspec.json.Decoder(TreesModel),
    "mixture": msgspec.json.Decoder(MixtureModel),
}
_ENCODER: Final = msgspec.json.Encoder()


def encode_model(model: ServingModel) -> bytes:
    """JSON, UTF-8, one object. Floats come back to the bit."""
    return _ENCODER.encode(model)


def decode_model(body: bytes) -> ServingModel:
    """Read what `encode_model` wrote.

    Raises
    ------
    msgspec.DecodeError
        The bytes are no serving model; `msgspec.ValidationError` names the field.
    """
    kind = _KINDS.decode(body).model
    if kind not in _DECODERS:
        raise msgspec.ValidationError(f"a serving model of an unknown kind: {kind!r}")
    return _DECODERS[kind].decode(body)
