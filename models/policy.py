"""What an operator decides, as far as the pure part reads it."""

from functools import lru_cache
from typing import Literal
from zoneinfo import ZoneInfo

from msgspec import Struct

from models.sales.dimensions import Split

DAY = 86_400.0


Awaiting = Literal["response", "window", "sales"]

_zone = lru_cache(ZoneInfo)


class Policy(Struct, frozen=True, kw_only=True):
    """Settings of the shard's function. Durations are in seconds unless the name says days.

    Parameters
    ----------
    currency
        The main one: `spend` features, `value` and the sales series `all` are in it.
    timezone
        Where a day begins and ends, by IANA name.
    holidays
        Whose public holidays the shop may be closed on: a country, or a part of it, by ISO 3166 (`GB`, `GB-ENG`).
        Empty: none are known ahead.
    split_by
        What sales are divided by beside categories: `country` (the customer's attribute), `channel`.
    lateness
        An event this much older than the newest of its topic is late.
    response_lateness, window_lateness, sales_lateness
        How long after its end an answer to a contact, a window of `churn` and `value`, and a day of sales (and of
        the market and brands) wait for what belongs to them. None: as long as `lateness`.
    max_jump
        An event further than this beyond the shard's time is refused.
    poison_share
        A topic of whose recent records more than this share were refused stops the shard. 1: never.
    draw_days
        Each customer is drawn once in so many days.
    window_days
        What `churn` and `value` look ahead.
    response_days
        What `response` looks ahead where the event does not say.
    example_share
        Share of draws that open an example, by hash.
    """

    currency: str = "GBP"
    timezone: str = "UTC"
    holidays: str = ""
    split_by: tuple[Split, ...] = ()
    lateness: float = 3_600.0
    response_lateness: float | None = None
    window_lateness: float | None = None
    sales_lateness: float | None = None
    max_jump: float = 366 * DAY
    poison_share: float = 0.5
    draw_days: float = 30.0
    window_days: float = 90.0
    response_days: float = 7.0
    example_share: float = 1.0

    def waits(self, what: Awaiting) -> float:
        """Return how long after its end so much is still added, in seconds of event time."""
        own = {"response": self.response_lateness, "window": self.window_lateness, "sales": self.sales_lateness}[what]
        return self.lateness if own is None else own

    @property
    def zone(self) -> ZoneInfo:
        """The timezone."""
        return _zone(self.timezone)
