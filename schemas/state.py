"""What a shard remembers of one customer. Kept small: it is written to Redis with every commit."""

from typing import Final

import msgspec
from msgspec import Struct, field

from schemas.decisions import Contacts

Attribute = str | int | float | bool | None
"""A whole number is kept as one: it takes a byte or a few, where a float takes nine."""


class Day(Struct, array_like=True):
    """One day's purchases in the main currency. Refunds lower the amount, not the count."""

    day: int
    orders: int = 0
    spend_e4: int = 0


class Offer(Struct, array_like=True):
    """What was done with one campaign; `last_at` in whole epoch seconds: it says which offer is the oldest."""

    sent: int = 0
    opened: int = 0
    clicked: int = 0
    converted: int = 0
    last_at: int = 0


class Relation(Struct, array_like=True):
    """A pending example of `churn` and `value`: both look at the same window of the same moment.

    `features` are 16-bit floats in the order of the catalogue, `attributes` what the customer's own
    bring (`models/customers/attributes.py`). Times are epoch seconds.
    """

    opened_at: float
    closes_at: float
    features: bytes = b""
    churn: float | None = None
    value: float | None = None
    orders: int = 0
    spend_e4: int = 0
    attributes: bytes = b""


class Pending(Struct, array_like=True):
    """A pending example of `response`. One of ours waits for its `sent`; `confirmed` says that none is awaited."""

    campaign_id: str
    decision_id: str | None
    opened_at: float
    closes_at: float
    treated: bool
    confirmed: bool
    features: bytes = b""
    served: float | None = None
    converted: bool = False
    propensity: float | None = None
    attributes: bytes = b""


class Taste(Struct, array_like=True):
    """What a customer bought in one category, by brand.

    `bought` are purchases of the category, `counts` those that held a brand. `recent` is the main brand of
    the last ones, as positions among `counts`, the newest last. Of the `priced` ones, whose alternatives had
    prices, `relative_e3` adds up how far the brand's log price lay above the mean, in thousandths, and
    `deals` those that were promoted. `price_e4` was paid for a unit the last time, 0 if that is not known, or was
    in another than the main currency.
    `held` are purchases by brand, one of two brands counted twice, of all brands so far. `gone` is what is known of
    brands that are not counted by name any more: three bytes each, see `models/brand/taste.py`.
    """

    bought: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    recent: bytes = b""
    priced: int = 0
    relative_e3: int = 0
    deals: int = 0
    price_e4: int = 0
    promoted: bool = False
    held: int = 0
    gone: bytes = b""


class Months(Struct, array_like=True):
    """When a customer was active. Months count from year 0: 12 * year + month - 1.

    Bit i of `mask` is set if the customer was active i months before `newest`.
    """

    first: int
    newest: int
    mask: int = 1


class CustomerState(Struct, array_like=True):
    """Facts of one customer: a function of the customer's events and of time, and of nothing else.

    Times are epoch seconds of event time; amounts are integers of 1/10,000 of the currency;
    `silence_ended` is the number of days that the last purchase came after the one before. `told_at` and
    `agreed_at` are the times of attributes and consent where these are not `seen_at`: most come with
    the first event. Every container is bounded, see `models/customers/advance.py`.
    """

    seen_at: float
    draw_at: float = 0.0
    silence_step: int = 0
    first_purchase: float | None = None
    last_purchase: float | None = None
    orders: int = 0
    refunds: int = 0
    spend: dict[str, int] = field(default_factory=dict)
    days: list[Day] = field(default_factory=list)
    channels: dict[str, int] = field(default_factory=dict)
    categories: dict[str, int] = field(default_factory=dict)
    offers: dict[str, Offer] = field(default_factory=dict)
    attributes: dict[str, Attribute] = field(default_factory=dict)
    consent: dict[str, bool] = field(default_factory=dict)
    unsubscribed: dict[str, float] = field(default_factory=dict)
    ids: dict[str, bytes] = field(default_factory=dict)
    relation: Relation | None = None
    brands: dict[str, Taste] = field(default_factory=dict)
    silence_ended: int = 0
    months: Months | None = None
    told_at: dict[str, float] = field(default_factory=dict)
    agreed_at: dict[str, float] = field(default_factory=dict)
    last_refund: float | None = None


class Standing(Struct, array_like=True):
    """What depends on models: contacts, the examples that our own decisions opened, the segment when last drawn."""

    contacts: Contacts = field(default_factory=Contacts)
    pending: list[Pending] = field(default_factory=list)
    drawn_segment: int | None = None


class Remembered(Struct, array_like=True):
    """One field of a shard's customers in Redis."""

    state: CustomerState
    standing: Standing = field(default_factory=Standing)


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(Remembered)


def encode_remembered(remembered: Remembered) -> bytes:
    """MessagePack, without names."""
    return _ENCODER.encode(remembered)


def decode_remembered(body: bytes) -> Remembered:
    """Read what `encode_remembered` wrote; fields added since take their defaults."""
    return _DECODER.decode(body)
