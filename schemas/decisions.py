"""What campaigns decide about one customer: to contact, not to and why, and what is remembered of contacts."""

from datetime import datetime
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

Reason = Literal[
    "erased",
    "stale",
    "not_in_audience",
    "no_consent",
    "unsubscribed",
    "quiet_hours",
    "cooldown",
    "cap",
    "priority",
    "value_too_low",
    "budget",
    "hold_out",
]
"""Why a customer is not contacted, in the order in which the guards ask."""


class Trigger(Struct, frozen=True):
    """The decision to contact a customer now; one record of `triggers`.

    `withheld` marks a control: the customer is in the hold-out and must *not* be contacted.
    `cause` is the event's id, or `silence:<due>`. Times are event time; from `expires_at` on it
    must not be acted upon. `scores` are those it was decided on, as far as they are finite.
    """

    id: str
    campaign_id: str
    customer_id: str
    channel: str
    cause: str
    decided_at: Annotated[datetime, Meta(tz=True)]
    expires_at: Annotated[datetime, Meta(tz=True)]
    reason: str
    segment: str | None
    scores: dict[str, float]
    withheld: bool = False


class Suppression(Struct, frozen=True):
    """The decision not to contact a customer. It is counted, and not kept."""

    campaign_id: str
    customer_id: str
    reason: Reason


class Contacts(Struct, array_like=True):
    """What is remembered of one customer's contacts; part of the customer's state, so kept small.

    All times are event time in epoch seconds. A held-out decision counts as a contact. `recent` is
    sorted and holds the newest contacts of all campaigns, as many as the largest cap counts.
    `previous_segment` and `previous_churn` are how the customer stood at the last decision moment.
    """

    last_by_campaign: dict[str, float] = {}
    recent: list[float] = []
    previous_segment: int | None = None
    previous_churn: float | None = None


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(Trigger)


def encode_trigger(trigger: Trigger) -> bytes:
    """JSON, UTF-8, one object; times as RFC 3339."""
    return _ENCODER.encode(trigger)


def decode_trigger(body: bytes) -> Trigger:
    """Read what `encode_trigger` wrote. Raises `msgspec.DecodeError`."""
    return _DECODER.decode(body)
