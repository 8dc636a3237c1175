"""Which days the shop sells on. A day is an integer: days since 1970-01-01 in the shop's timezone."""

from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from msgspec import Struct, field

if TYPE_CHECKING:
    from holidays import HolidayBase

WEEK: Final = 7
WEEKS_REMEMBERED: Final = 4
HOLIDAYS_REMEMBERED: Final = 4
HOLIDAYS_ENOUGH: Final = 2
"""Public holidays without a sale, after which the next one counts as closed."""
_EPOCH: Final = date(1970, 1, 1).toordinal()


def day_of(when: date) -> int:
    """Days since 1970-01-01 of a date, or of a moment's date where it is said.

    >>> day_of(date(1970, 1, 2))
    1
    """
    return when.toordinal() - _EPOCH


def date_of(day: int) -> date:
    """The date of a day. Raises `ValueError` before the year 1 and beyond 9999."""
    return date.fromordinal(_EPOCH + day)


def weekday(day: int) -> int:
    """Monday is 0, as in `datetime`.

    >>> weekday(0)  # 1970-01-01 was a Thursday
    3
    """
    return (day + 3) % WEEK


def _nothing_seen() -> list[list[bool]]:
    return [[] for _ in range(WEEK)]


@lru_cache(maxsize=8)
def public_holidays(place: str) -> "HolidayBase":
    """Return the public holidays of a country, or of a part of it: `GB`, `GB-ENG`, `US-CA`; ISO 3166.

    Raises
    ------
    ValueError
        The `holidays` package does not know the place.
    """
    from holidays import country_holidays  # slow to import, and most never ask

    country, _, part = place.partition("-")
    try:
        return country_holidays(country, subdiv=part or None)
    except NotImplementedError as error:
        raise ValueError(f"{place!r}: {error}") from None


class Calendar(Struct):
    """Weekdays without a sale over their last four occurrences are closed; one sale opens them again.

    Public holidays of `place` are learned apart: two without a sale close those to come, a sale on one of the last four
    opens them. A weekday learns nothing of its holidays. Bounded: four flags a weekday, and four.
    """

    sold: list[list[bool]] = field(default_factory=_nothing_seen)
    place: str = ""
    holidays: list[bool] = field(default_factory=list)

    def learn_one(self, day: int, sold: bool) -> None:
        """Take in a finished day. Days come in order."""
        if self.is_holiday(day):
            if not self._is_weekly_closed(day):
                _remember(self.holidays, sold, HOLIDAYS_REMEMBERED)
            return
        _remember(self.sold[weekday(day)], sold, WEEKS_REMEMBERED)

    def is_holiday(self, day: int) -> bool:
        """Whether `day` is a public holiday where the shop is."""
        return bool(self.place) and date_of(day) in public_holidays(self.place)

    def is_closed(self, day: int) -> bool:
        """Whether no sale is to be expected on `day`. Until four weeks, or two holidays, are known: no."""
        if self._is_weekly_closed(day):
            return True
        closes = len(self.holidays) >= HOLIDAYS_ENOUGH and True not in self.holidays
        return closes and self.is_holiday(day)

    def _is_weekly_closed(self, day: int) -> bool:
        flags = self.sold[weekday(day)]
        return len(flags) == WEEKS_REMEMBERED and True not in flags

    @property
    def asleep(self) -> bool:
        """Whether there was no sale for four weeks: a further empty day changes nothing."""
        return all(len(flags) == WEEKS_REMEMBERED and True not in flags for flags in self.sold)


def _remember(flags: list[bool], sold: bool, most: int) -> None:
    flags.append(sold)
    if len(flags) > most:
        del flags[0]
