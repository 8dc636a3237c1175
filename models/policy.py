"""What an operator decides, as far as the pure part reads it."""

from functools import lru_cache
from zoneinfo import ZoneInfo

from msgspec import Struct

DAY = 86_400.0


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
    lateness
        An event this much older than the newest of its topic is late; outcomes wait as long.
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
    lateness: float = 3_600.0
    max_jump: float = 366 * DAY
    poison_share: float = 0.5
    draw_days: float = 30.0
    window_days: float = 90.0
    response_days: float = 7.0
    example_share: float = 1.0

    @property
    def zone(self) -> ZoneInfo:
        """The timezone."""
        return _zone(self.timezone)
