"""The events that come in from Kafka: what customers are, buy, say and do with campaigns, and what the market does."""

from datetime import datetime
from typing import Annotated, Final, get_args

from msgspec import Meta, Struct

Text = Annotated[str, Meta(min_length=1, max_length=512)]
Moment = Annotated[datetime, Meta(tz=True)]
"""RFC 3339 with an offset; a time without one is refused."""
Currency = Annotated[str, Meta(pattern="^[A-Z]{3}$", max_length=3)]
"""ISO 4217. The length says what the pattern leaves open: in Python `$` also holds before a line's end."""
Value = str | float | bool | None
"""An attribute of a customer or an offer."""


class Alternative(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A brand that the customer could have had there, at this price; `promoted` is on display or advertised."""

    brand: Text
    unit_price: Annotated[float, Meta(ge=0, le=1e9)] | None = None
    promoted: bool | None = None


class Line(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of a purchase or refund. `unit_price` is in the event's currency.

    `alternatives` (since 0.2) are brands of the same category. The brand bought may be among them, to say
    whether it was promoted: only then are promotions compared. A price of 0 or null is not known.
    """

    product_id: Text
    quantity: Annotated[float, Meta(gt=0, le=1e9)]
    unit_price: Annotated[float, Meta(ge=0, le=1e9)]
    category: Text | None = None
    brand: Text | None = None
    alternatives: Annotated[tuple[Alternative, ...], Meta(max_length=100)] | None = None


class Customer(Struct, frozen=True, kw_only=True, tag_field="type", tag="customer"):
    """What is given replaces what was known, name by name."""

    event_id: Text
    customer_id: Text
    occurred_at: Moment
    attributes: dict[str, Value] = {}
    consent: dict[str, bool] = {}


class Forgotten(Struct, frozen=True, kw_only=True, tag_field="type", tag="forgotten"):
    """The customer's data are to be erased."""

    event_id: Text
    customer_id: Text
    occurred_at: Moment


class Sale(Struct, frozen=True, kw_only=True, tag_field="type"):
    """Shared by purchase and refund. Without `customer_id` it is anonymous: it counts for sales alone."""

    event_id: Text
    customer_id: Text | None
    occurred_at: Moment
    currency: Currency
    channel: Text
    lines: Annotated[tuple[Line, ...], Meta(min_length=1, max_length=10_000)]


class Purchase(Sale, frozen=True, kw_only=True, tag="purchase"):
    """Goods bought."""


class Refund(Sale, frozen=True, kw_only=True, tag="refund"):
    """Goods returned, or money back."""


class Engagement(Struct, frozen=True, kw_only=True, tag_field="type"):
    """Shared by all that a customer and a campaign have to do with each other."""

    event_id: Text
    customer_id: Text
    occurred_at: Moment
    campaign_id: Text
    channel: Text
    decision_id: Text | None = None


class Contact(Engagement, frozen=True, kw_only=True):
    """Shared by `sent` and `withheld`: the offer, and how it was chosen. A window is of a year at most."""

    attributes: dict[str, Value] = {}
    window_seconds: Annotated[float, Meta(gt=0, le=366 * 86_400)] | None = None
    propensity: Annotated[float, Meta(gt=0, le=1)] | None = None


class Sent(Contact, frozen=True, kw_only=True, tag="sent"):
    """The customer was contacted."""


class Withheld(Contact, frozen=True, kw_only=True, tag="withheld"):
    """The customer was deliberately not contacted: a control."""


class Opened(Engagement, frozen=True, kw_only=True, tag="opened"):
    """The customer looked at the message."""


class Clicked(Engagement, frozen=True, kw_only=True, tag="clicked"):
    """The customer followed it."""


class Converted(Engagement, frozen=True, kw_only=True, tag="converted"):
    """The customer did what the campaign was for."""


class Unsubscribed(Engagement, frozen=True, kw_only=True, tag="unsubscribed"):
    """The customer wants no more on this channel."""


class Feedback(Struct, frozen=True, kw_only=True, tag_field="type", tag="feedback"):
    """What somebody says about a brand: stars, words, or both. `source` is where, as `reviews` or `twitter`."""

    event_id: Text
    customer_id: Text | None
    occurred_at: Moment
    brand: Text
    source: Text
    category: Text | None = None
    rating: Annotated[float, Meta(ge=1, le=5)] | None = None
    text: Annotated[str, Meta(max_length=10_000)] | None = None


class Observation(Struct, frozen=True, kw_only=True, tag_field="type", tag="observation"):
    """A figure of the market from outside, as a competitor's price or a market's volume. Concerns no customer."""

    event_id: Text
    occurred_at: Moment
    series: Text
    value: Annotated[float, Meta(ge=-1e15, le=1e15)]
    unit: Text
    customer_id: None = None


CustomerEvent = Customer | Forgotten
TransactionEvent = Purchase | Refund
EngagementEvent = Sent | Withheld | Opened | Clicked | Converted | Unsubscribed
Event = CustomerEvent | TransactionEvent | EngagementEvent | Feedback | Observation
TYPE_OF: Final[dict[type, str]] = {kind: str(kind.__struct_config__.tag) for kind in get_args(Event)}
"""An event's class -> its `type`."""
