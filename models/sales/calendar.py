"""Which days the shop sells on. A day is an integer: days since 1970-01-01 in the shop's timezone."""

import math
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from msgspec import Struct, field

if TYPE_CHECKING:
    from holidays import HolidayBase

WEEK: Final = 7
WEEKS_REMEMBERED: Final = 26
WEEKS_DENSITY: Final = 8
"""The last weeks, from which it is known how many days have a sale."""
WEEKS_ENOUGH: Final = 4
"""Empty days in a row before a weekday may count as closed."""
ASLEEP: Final = 4 * WEEK
"""Days in a row without a sale before the shop may count as one that pauses."""
EVIDENCE: Final = math.log(1_000.0)
"""Log of how much likelier the days must be if closed than if open; for each weekday, for one looks again every day."""
HOLIDAYS_REMEMBERED: Final = 4
HOLIDAYS_ENOUGH: Final = 2
"""Public holidays without a sale, after which the next one counts as closed."""
HOLIDAY_EVIDENCE: Final = math.log(20.0)
"""As before, for holidays: shops are often closed on them."""
KEEP: Final = 1.0 - 1.0 / 50.0
"""What an open day after a sale leaves of the shares before."""
SURE: Final = 20.0
MOST: Final = 0.85
"""Where fewer open days after one with a sale have one too, of 20 or more or beyond doubt, an empty day is ordinary."""
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
    """Weekdays on which the shop does not sell although it sells on others, pauses, and public holidays of `place`.

    A weekday is closed once its empty days in a row are 1,000 times as likely if it is, against the shop's own density:
    four weeks for a shop that sells on all other days, some twenty for one that sells on one day in three. One sale
    opens it again. Days of a pause, from the seventh without a sale on, say nothing of a weekday. A pause
    that is as unlikely closes all days until the next sale.

    Public holidays are learned apart: those to come are closed after two without a sale where a sale was to be
    expected, and a sale on one of the last four opens them. A weekday learns nothing of its holidays.

    Where sales do not come on most open days, an empty day is a day like others, with sales of zero; in other shops it
    is one that was closed. Bounded: 26 flags a weekday, and four.
    """

    sold: list[list[bool]] = field(default_factory=_nothing_seen)
    place: str = ""
    holidays: list[bool] = field(default_factory=list)
    closed: list[bool] = field(default_factory=lambda: [False] * WEEK)
    idle: int = 0
    idle_open: int = 0
    after: float = 0.0
    again: float = 0.0

    def learn_one(self, day: int, sold: bool) -> None:
        """Take in a finished day. Days come in order."""
        w, pauses = weekday(day), self.idle >= WEEK
        if not self.closed[w]:
            if self.idle_open == 0:
                self.after, self.again = KEEP * self.after + 1.0, KEEP * self.again + sold
            self.idle_open += 1
        self.idle += 1
        if sold:
            self.idle = self.idle_open = 0
        if self.is_holiday(day):
            if not self.closed[w]:
                _remember(self.holidays, sold, HOLIDAYS_REMEMBERED)
            return
        if sold:
            self.closed[w] = False
        if sold or not pauses:
            _remember(self.sold[w], sold, WEEKS_REMEMBERED)
            self._review()

    def is_holiday(self, day: int) -> bool:
        """Whether `day` is a public holiday where the shop is."""
        return bool(self.place) and date_of(day) in public_holidays(self.place)

    def is_closed(self, day: int) -> bool:
        """Whether no sale is to be expected on `day`. While little is known: no."""
        return self.closed[weekday(day)] or self.asleep or (self.is_holiday(day) and self._closes_on_holidays)

    def is_ordinary(self, day: int) -> bool:
        """Whether `day` counts without a sale too, for the shop does not sell on each day that it is open."""
        return self._misses and not self.is_closed(day)

    @property
    def asleep(self) -> bool:
        """Whether the shop pauses or has ended: a further empty day changes nothing."""
        if self.idle < ASLEEP:
            return False
        sold, empty = self._counts()
        return not sold or _log_beta(sold, empty) - _log_beta(sold, empty + self.idle_open) >= EVIDENCE

    @property
    def _misses(self) -> bool:
        """Whether days after one with a sale have one clearly less often than most of the time."""
        empty = self.after - self.again
        if self.again >= MOST * self.after:
            return False
        likely = empty * math.log(empty / self.after / (1.0 - MOST))
        if self.again > 0.0:
            likely += self.again * math.log(self.again / self.after / MOST)
        return self.after >= SURE or likely >= EVIDENCE

    @property
    def _closes_on_holidays(self) -> bool:
        if len(self.holidays) < HOLIDAYS_ENOUGH or True in self.holidays:
            return False
        sold, empty = self._counts()
        return _log_beta(sold, empty) - _log_beta(sold, empty + len(self.holidays)) >= HOLIDAY_EVIDENCE

    def _counts(self) -> tuple[int, int]:
        """Return how many open days of late had a sale, and how many had none."""
        lately = [flags[-WEEKS_DENSITY:] for flags in self.sold]
        shut = sum(_run(flags) for flags, closed in zip(lately, self.closed, strict=True) if closed)
        return sum(flags.count(True) for flags in lately), sum(flags.count(False) for flags in lately) - shut

    def _review(self) -> None:
        """Close the weekdays, together or none, whose silence is best explained so: likelihoods of days with a sale."""
        runs = {w: _run(flags) for w, flags in enumerate(self.sold) if not self.closed[w]}
        silent = sorted((w for w, run in runs.items() if run >= WEEKS_ENOUGH), key=lambda w: -runs[w])
        if not silent:
            return
        sold, empty = self._counts()
        empty += sum(max(runs[w] - WEEKS_DENSITY, 0) for w in silent)
        share = sold / (sold + empty)
        open_likely = _log_beta(sold, empty)
        best, close = 0.0, 0
        for number, w in enumerate(silent, 1):
            empty -= runs[w]
            gain = _log_beta(sold, empty) - open_likely - number * EVIDENCE
            if gain > best:
                best, close = gain, number
        for w in silent[:close]:
            self.closed[w] = True
            self.after = max(self.after - runs[w] * share, self.again)  # its empty days were not ordinary after all


def _log_beta(sold: int, empty: int) -> float:
    """Log likelihood of days in their order, with a sale or without, where every share is as likely beforehand."""
    return math.lgamma(sold + 1) + math.lgamma(empty + 1) - math.lgamma(sold + empty + 2)


def _run(flags: list[bool]) -> int:
    """Return how many days in a row had no sale, up to the newest.

    >>> _run([True, False, False])
    2
    """
    return next((place for place, sold in enumerate(reversed(flags)) if sold), len(flags))


def _remember(flags: list[bool], sold: bool, most: int) -> None:
    flags.append(sold)
    if len(flags) > most:
        del flags[0]
