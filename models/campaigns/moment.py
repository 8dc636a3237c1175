"""A decision moment: all that is known of a customer when an event or a silence may lead to a contact."""

from collections.abc import Mapping

from msgspec import Struct

SECONDS_PER_DAY = 86_400.0
UNKNOWN = -1
"""Stands in audiences for a segment, a churn or another score that is not known."""


class Moment(Struct, frozen=True):
    """One customer at one time.

    Parameters
    ----------
    at
        Event time, epoch seconds.
    kind
        The event's type, or `silence`.
    cause
        The event's id, or `silence:<due>`. The trigger's id is made of it.
    features
        By name, in natural units (days, counts, the shop's currency).
    scores
        By task: `churn` and `response` are probabilities, `value` an amount.
    segment, best_segment, previous_segment
        Numbers of segments; None while unknown.
    consent
        By channel. A channel that is not named has no consent.
    unsubscribed
        Channels that the customer wants no more of.
    late
        The event came late in its topic; it decides nothing.
    """

    customer_id: str
    at: float
    kind: str
    cause: str
    features: Mapping[str, float]
    scores: Mapping[str, float]
    segment: int | None
    segment_name: str
    previous_segment: int | None
    previous_churn: float | None
    best_segment: int | None
    consent: Mapping[str, bool]
    unsubscribed: frozenset[str] = frozenset()
    erased: bool = False
    late: bool = False
