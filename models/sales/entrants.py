"""Further forecasters of a series, fed open days only, in order, beside the one that serves at first."""

import math
from datetime import timedelta
from typing import Final

from msgspec import Struct, field

from models.sales.calendar import WEEK, date_of, weekday

SMALLEST: Final = 1.0
"""Amounts are at least this before their logarithm is taken, in currency units."""
WEEKS: Final = 4
SIGNED_RATE: Final = 0.1
ALPHA, BETA, GAMMA, PHI = 0.15, 0.01, 0.1, 0.9
"""Holt-Winters: rates of level, trend and season, and what a day leaves of the trend."""
RATE, KEEP = 0.05, 0.995
"""Regression: the level's rate, and what a day leaves of the past."""
WIDTH: Final = 12
PRIOR: Final = 1.0
"""Of a weight's variance, in squared logs; it never grows beyond."""
LARGEST: Final = 2.0
"""Error of a logarithm that is learned from at most: a bulk order is no habit."""


class WeekdayMean(Struct):
    """The mean of the last four of the same weekday; bounded by 28 amounts."""

    recent: list[list[float]] = field(default_factory=lambda: [[] for _ in range(WEEK)])

    def learn_one(self, day: int, revenue: float) -> None:
        """Learn an open day's revenue, in currency units."""
        same = self.recent[weekday(day)]
        same.append(revenue)
        if len(same) > WEEKS:
            del same[0]

    def forecast(self, day: int, ahead: int) -> float:  # noqa: ARG002 - the same for every horizon
        """Revenue of `day`, `ahead` days from the last one learned; that of all weekdays where it was never open."""
        same = self.recent[weekday(day)] or [amount for some in self.recent for amount in some]
        return sum(same) / len(same) if same else 0.0

    def wake(self) -> None:
        """Forget the days on which nothing was sold."""
        self.recent = [[amount for amount in same if amount != 0.0] for same in self.recent]


class SignedLevel(Struct):
    """An exponentially weighted level plus what a weekday differs by: the one that may lie below zero."""

    level: float = 0.0
    season: list[float] = field(default_factory=lambda: [0.0] * WEEK)
    seen: list[int] = field(default_factory=lambda: [0] * WEEK)
    days: int = 0
    woken: int = 0

    def learn_one(self, day: int, revenue: float) -> None:
        """Learn an open day's revenue, in currency units, refunds below zero."""
        w = weekday(day)
        rate = max(SIGNED_RATE, 1.0 / (self.days - self.woken + 1))
        self.level += rate * (revenue - self.season[w] - self.level)
        self.season[w] += max(SIGNED_RATE, 1.0 / (self.seen[w] + 3)) * (revenue - self.level - self.season[w])
        self.days += 1
        self.seen[w] += 1

    def wake(self) -> None:
        """Learn the level anew from the next days, and keep the week's shape."""
        self.woken = self.days

    def forecast(self, day: int, ahead: int) -> float:  # noqa: ARG002 - the same for every horizon
        """Net revenue of `day`, `ahead` days from the last one learned."""
        return self.level + self.season[weekday(day)]


class HoltWinters(Struct):
    """Additive Holt-Winters on the logarithm, its trend damped.

    References
    ----------
    Winters (1960), Management Science 6, 324-342. Gardner and McKenzie (1985), Management Science 31,
    1237-1246, on damped trends.
    """

    level: float = 0.0
    trend: float = 0.0
    season: list[float] = field(default_factory=lambda: [0.0] * WEEK)
    days: int = 0
    woken: int = 0

    def learn_one(self, day: int, revenue: float) -> None:
        """Learn an open day's revenue, in currency units."""
        y, w = math.log(max(revenue, SMALLEST)), weekday(day)
        if self.days == 0:
            self.level = y
        elif self.days == self.woken:
            self.level, self.trend = y - self.season[w], 0.0
        self.days += 1
        before = self.level
        rate = max(ALPHA, 1.0 / (self.days - self.woken + 1))
        self.level = rate * (y - self.season[w]) + (1.0 - rate) * (before + PHI * self.trend)
        self.trend = BETA * (self.level - before) + (1.0 - BETA) * PHI * self.trend
        self.season[w] += max(GAMMA, 1.0 / (self.days / WEEK + 3)) * (y - self.level - self.season[w])

    def wake(self) -> None:
        """Learn the level anew from the next days, and keep the week's shape."""
        self.woken = self.days

    def forecast(self, day: int, ahead: int) -> float:
        """Revenue of `day`, `ahead` days from the last one learned."""
        damped = sum(PHI**step for step in range(1, ahead + 1))
        return math.exp(min(self.level + damped * self.trend + self.season[weekday(day)], 50.0))


class Regression(Struct):
    """Recursive least squares of the logarithm over a level, on the calendar and the last days, forgetting slowly.

    Features are the weekday, the beginning and the end of a month, the weeks before Christmas, and how the last
    six open days and the same weekday stood above the level, each fading with the horizon. Bounded: one
    square matrix of 12.

    References
    ----------
    Haykin (2002), Adaptive Filter Theory, chapter 9.
    """

    level: float = 0.0
    weights: list[float] = field(default_factory=lambda: [0.0] * WIDTH)
    spread: list[list[float]] = field(
        default_factory=lambda: [[PRIOR if i == j else 0.0 for j in range(WIDTH)] for i in range(WIDTH)]
    )
    recent: list[float] = field(default_factory=list)
    same: list[float] = field(default_factory=lambda: [0.0] * WEEK)
    days: int = 0
    woken: int = 0

    def learn_one(self, day: int, revenue: float) -> None:
        """Learn an open day's revenue, in currency units."""
        y = math.log(max(revenue, SMALLEST))
        if self.days == self.woken:
            self.level = y - self._linear(self._features(day, 1))
        self._update(self._features(day, 1), y - self.level)
        self.days += 1
        self.level += max(RATE, 1.0 / (self.days - self.woken + 1)) * (y - self.level)
        self.recent.append(y - self.level)
        del self.recent[:-6]
        self.same[weekday(day)] = y - self.level

    def wake(self) -> None:
        """Learn the level anew from the next days, and keep what the calendar says."""
        self.woken, self.recent, self.same = self.days, [], [0.0] * WEEK

    def _features(self, day: int, ahead: int) -> list[float]:
        when = date_of(day)
        fade, w = 1.0 / ahead, weekday(day)
        flags = [float(w == other) for other in range(WEEK)]
        month_end = (when + timedelta(days=5)).month != when.month
        festive = (when.month, when.day) >= (11, 15) and (when.month, when.day) < (12, 20)
        lately = sum(self.recent) / len(self.recent) if self.recent else 0.0
        return [*flags, float(when.day <= 5), float(month_end), float(festive), fade * lately, self.same[w]]

    def _update(self, x: list[float], y: float) -> None:
        spread = self.spread
        along = [sum(row[j] * x[j] for j in range(len(x))) for row in spread]
        scale = KEEP + sum(a * b for a, b in zip(x, along, strict=True))
        error = min(max(y - self._linear(x), -LARGEST), LARGEST)
        self.weights = [weight + step / scale * error for weight, step in zip(self.weights, along, strict=True)]
        self.spread = [
            [min(max((spread[i][j] - along[i] * along[j] / scale) / KEEP, -PRIOR), PRIOR) for j in range(len(x))]
            for i in range(len(x))
        ]

    def _linear(self, x: list[float]) -> float:
        return sum(weight * value for weight, value in zip(self.weights, x, strict=True))

    def forecast(self, day: int, ahead: int) -> float:
        """Revenue of `day`, `ahead` days from the last one learned."""
        return math.exp(min(self.level + self._linear(self._features(day, ahead)), 50.0))


class Entrants(Struct):
    """The challengers of one series. Those in logarithms are not asked where amounts below zero are usual."""

    weekday_mean: WeekdayMean = field(default_factory=WeekdayMean)
    holt_winters: HoltWinters = field(default_factory=HoltWinters)
    regression: Regression = field(default_factory=Regression)
    signed_level: SignedLevel = field(default_factory=SignedLevel)

    def learn_one(self, day: int, calm: float, signed: float) -> None:
        """Teach them all an open day's revenue: what is learned of it at zero or above, and with its sign."""
        self.holt_winters.learn_one(day, calm)
        self.regression.learn_one(day, calm)
        self.signed_level.learn_one(day, signed)
        self.weekday_mean.learn_one(day, signed if signed < 0.0 else calm)

    def wake(self) -> None:
        """Tell them all that a silence has ended."""
        for entrant in (self.weekday_mean, self.holt_winters, self.regression, self.signed_level):
            entrant.wake()

    def forecasts(self, day: int, ahead: int) -> dict[str, float]:
        """Ask those of a series above zero, by name."""
        return {
            "weekday_mean": max(self.weekday_mean.forecast(day, ahead), 0.0),
            "holt_winters": self.holt_winters.forecast(day, ahead),
            "regression": self.regression.forecast(day, ahead),
        }

    def signed(self, day: int, ahead: int) -> dict[str, float]:
        """Ask those of a series that is often below zero, by name; the first serves at first."""
        return {
            "signed_level": self.signed_level.forecast(day, ahead),
            "weekday_mean": self.weekday_mean.forecast(day, ahead),
        }
