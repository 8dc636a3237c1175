"""Which days the shop sells on. A day is an integer: days since 1970-01-01 in the shop's timezone."""

from datetime import date
from typing import Final

from msgspec import Struct, field

WEEK: Final = 7
WEEKS_REMEMBERED: Final = 4
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


class Calendar(Struct):
    """Weekdays without a sale over their last four occurrences are closed; one sale opens them again.

    Bounded: four flags a weekday.
    """

    sold: list[list[bool]] = field(default_factory=_nothing_seen)

    def learn_one(self, day: int, sold: bool) -> None:
        """Take in a finished day. Days come in order."""
        flags = self.sold[weekday(day)]
        flags.append(sold)
        if len(flags) > WEEKS_REMEMBERED:
            del flags[0]

    def is_closed(self, day: int) -> bool:
        """Whether no sale is to be expected on `day`. Until four weeks are known: no."""
        flags = self.sold[weekday(day)]
        return len(flags) == WEEKS_REMEMBERED and True not in flags

    @property
    def asleep(self) -> bool:
        """Whether there was no sale for four weeks: a further empty day changes nothing."""
        return all(len(flags) == WEEKS_REMEMBERED and True not in flags for flags in self.sold)
