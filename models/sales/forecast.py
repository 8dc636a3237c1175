"""One series' forecaster, and the two that it must beat. Fed open days only, in order."""

from typing import Final

from msgspec import Struct, field

from models.sales.calendar import WEEK, weekday
from models.sales.presence import SPIKE, Presence

LEVEL_RATE: Final = 0.1
INDEX_RATE: Final = 0.1
INDEX_FLOOR: Final = 0.1
INDEX_CAP: Final = 3.0
RECENT: Final = 12


class Forecaster(Struct):
    """An exponentially weighted level times an index of the weekday.

    No trend: extrapolated, it costs more on daily revenue than it brings. Days below zero (more
    refunds than sales) are learned as zero. Rates are by sale: slower as gaps between sales are longer. Amounts
    are in currency units.

    References
    ----------
    Winters (1960), Management Science 6, 324-342, without its trend.
    """

    level: float = 0.0
    index: list[float] = field(default_factory=lambda: [1.0] * WEEK)
    seen: list[int] = field(default_factory=lambda: [0] * WEEK)
    recent: list[float] = field(default_factory=list)
    same_weekday: list[float | None] = field(default_factory=lambda: [None] * WEEK)
    days: int = 0
    woken: int = 0
    presence: Presence = field(default_factory=Presence)

    def learn_one(self, day: int, revenue: float) -> None:
        """Learn an open day's revenue, in currency units."""
        w = weekday(day)
        self._learn_level(w, self.calm(day, revenue))  # before `recent` knows the day: it must not vouch for itself
        self.note(day, revenue)
        self.days += 1
        self.seen[w] += 1

    def note(self, day: int, revenue: float) -> None:
        """Know an open day's revenue, as the trivial forecasts do, and learn no level from it."""
        self.presence.learn_one(revenue)
        self.recent.append(revenue)
        if len(self.recent) > RECENT:
            del self.recent[0]
        self.same_weekday[weekday(day)] = revenue

    def wake(self) -> None:
        """Learn the level anew from the next days, and keep the week's shape."""
        self.woken = self.days

    def calm(self, day: int, revenue: float) -> float:
        """Return what is learned of a day's revenue: at least zero, at most a few times what is usual."""
        sold = [amount for amount in self.recent if amount != 0.0]
        mean = sum(sold) / len(sold) if sold else self.presence.size  # lets a series that was silent come back
        usual = max(self.level, mean)
        revenue = max(revenue, 0.0)
        index = self.index[weekday(day)]
        if self.presence.sparse:  # the index says how often, not how much
            index = max(index, 1.0)
        return min(revenue, SPIKE * usual * index) if usual > 0 else revenue

    def _learn_level(self, w: int, calm: float) -> None:
        index = self.index[w]
        if self.level > 0:
            # Young indices stay near 1: the prior weighs as much as two weeks.
            rate = max(INDEX_RATE / self.presence.gap, 1 / (self.seen[w] + 3))
            moved = index + rate * (min(calm / self.level, INDEX_CAP) - index)
            self.index[w] = max(moved, INDEX_FLOOR)
            if not self.presence.sparse:  # there an index that knows the day would take a twelfth from each sale
                index = self.index[w]
        rate = max(LEVEL_RATE / self.presence.gap, 1 / (self.days - self.woken + 1))
        self.level += rate * (calm / index - self.level)

    def forecast(self, day: int) -> float:
        """Revenue of `day`, in currency units, were it open. Zero while nothing was learned."""
        return self.level * self.index[weekday(day)]

    def seasonal_naive(self, day: int) -> float:
        """The same weekday last time it was open; the moving average where there was none."""
        last = self.same_weekday[weekday(day)]
        return self.moving_average() if last is None else last

    def moving_average(self) -> float:
        """Mean revenue of the last 12 open days."""
        return sum(self.recent) / len(self.recent) if self.recent else 0.0
