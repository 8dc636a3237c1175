"""What buy-till-you-die models are compiled to: a handful of numbers."""

import math
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

Positive = Annotated[float, Meta(gt=0)]
Family = Literal["pareto_nbd", "bg_nbd"]


class Lifetimes(Struct, frozen=True, kw_only=True):
    """How customers of a shop buy, until they buy no more, and what an order is worth.

    Purchases come at a rate that differs between customers as a gamma distribution, shape `r` and
    scale `alpha` (days). `s` and `beta` say how customers leave: under `pareto_nbd` at a rate, gamma
    with shape `s` and scale `beta` (days); under `bg_nbd` after a purchase, with a chance that is beta
    distributed with `s` and `beta`. `p`, `q` and `gamma` (currency units) are those of the gamma-gamma
    model of the mean order. `customers` were fitted on. `orders`, `tenure_days`, `recency_days` and
    `mean_order` are the typical customer's, whom explanations start from.
    """

    version: str
    family: Family
    r: Positive
    alpha: Positive
    s: Positive
    beta: Positive
    p: Positive
    q: Annotated[float, Meta(gt=1)]
    gamma: Positive
    customers: Annotated[int, Meta(ge=0)] = 0
    orders: float = 1.0
    tenure_days: float = 0.0
    recency_days: float = 0.0
    mean_order: float = 0.0

    def __post_init__(self) -> None:
        """Refuse numbers that JSON cannot carry."""
        numbers = (self.r, self.alpha, self.s, self.beta, self.p, self.q, self.gamma)
        usual = (self.orders, self.tenure_days, self.recency_days, self.mean_order)
        if not all(map(math.isfinite, (*numbers, *usual))):
            raise ValueError("every number of lifetimes must be finite")


_DECODER: Final = msgspec.json.Decoder(Lifetimes)
_ENCODER: Final = msgspec.json.Encoder()


def encode_lifetimes(lifetimes: Lifetimes) -> bytes:
    """JSON, UTF-8, one object. Floats come back to the bit."""
    return _ENCODER.encode(lifetimes)


def decode_lifetimes(body: bytes) -> Lifetimes:
    """Read what `encode_lifetimes` wrote.

    Raises
    ------
    msgspec.DecodeError
        The bytes are no lifetimes; `msgspec.ValidationError` names the field.
    """
    return _DECODER.decode(body)
