"""What is wanted: units and revenue a day by category, their level, and their trend with an interval."""

import math
from itertools import pairwise
from typing import Any, Final

from msgspec import Struct, field

from models.market.bounds import bounded
from models.market.busiest import Candidates
from models.market.response import student

ALL: Final = "all"
OTHER: Final = "other"
CATEGORIES: Final = 60
"""Categories told apart, beside all: the most active. The rest together is `other`."""
FADE: Final = 1.0 - 1.0 / 30.0
"""What an older sale weighs in how active a category is, a trading day."""
WINDOW: Final = 30
"""Trading days that level and trend look back."""
KEPT: Final = 66
STEPS: Final = 60
MAX_WAITING: Final = 400
"""Days that may be open at once; amounts of yet another one count nowhere."""


class Sold(Struct, array_like=True):
    """Units bought in 1/1,000, and revenue less refunds in 1/10,000 of the main currency."""

    units_e3: int = 0
    revenue_e4: int = 0

    def add(self, more: "Sold") -> None:
        """Add others of the same."""
        self.units_e3 = bounded(self.units_e3 + more.units_e3)
        self.revenue_e4 = bounded(self.revenue_e4 + more.revenue_e4)


class Demand(Struct):
    """Sums by day, closed in order. Plain data.

    Days without a purchase are no trading days. What was refunded on one is `carried` to the next trading day: all days
    together are what was earned. `sold` holds the latest 66 trading days of each
    category, the newest last, and `dates` theirs (since 1970-01-01). A category that becomes clearly more active than
    the quietest one named takes its place when a day is closed. What the quiet one sold goes to `other`, and what the
    new one sold before stays there: all add up, and a named category is exact from its first day in `sold` on.
    `since` is that day where it lies ahead.
    """

    sold: dict[str, list[Sold]] = field(default_factory=lambda: {ALL: []})
    waiting: dict[int, dict[str, Sold]] = field(default_factory=dict)
    traded: dict[int, bool] = field(default_factory=dict)
    trading_days: int = 0
    closed: int | None = None
    late: int = 0
    dates: list[int] = field(default_factory=list)
    active: dict[str, float] = field(default_factory=dict)
    candidates: Candidates = field(default_factory=lambda: Candidates(CATEGORIES))
    since: dict[str, int] = field(default_factory=dict)
    carried: dict[str, Sold] = field(default_factory=dict)
    late_of: dict[str, int] = field(default_factory=dict)

    def add(self, category: str, day: int, units_e3: int, revenue_e4: int) -> None:
        """Add to a category's day; the caller adds to `all` too. A day that is closed counts in `late` alone."""
        if (self.closed is not None and day < self.closed) or (
            day not in self.waiting and len(self.waiting) >= MAX_WAITING
        ):
            self._note_late(category)
            return
        category = self._named(category, day)
        if category not in self.sold:
            self.sold[category] = [Sold() for _ in range(min(self.trading_days, KEPT))]
        _add(self.waiting.setdefault(day, {}), category, Sold(units_e3, revenue_e4))

    def _note_late(self, category: str) -> None:
        self.late += 1
        name = category if category in self.sold else OTHER
        self.late_of[name] = self.late_of.get(name, 0) + 1

    def _named(self, category: str, day: int) -> str:
        """Count a sale of a category, and return the name it goes under."""
        if category in (ALL, OTHER):
            return category
        if category in self.sold or len(self.sold) - (OTHER in self.sold) <= CATEGORIES:
            self.active[category] = self.active.get(category, 0.0) + 1.0
            return category if day >= self.since.get(category, day) else OTHER
        self.candidates.add(category)
        return OTHER

    def _change_places(self) -> None:
        """Name the most active categories, now that a day is closed."""
        for name in self.active:
            self.active[name] *= FADE
        self.candidates.fade(FADE)
        while self.candidates.counts:
            quietest = min(self.active, key=lambda name: (self.active[name], name))
            busier = self.candidates.busier_than(self.active[quietest])
            if busier is None:
                return
            self.active[busier] = self.candidates.counts.pop(busier).sure
            self._put_away(quietest)
            self.sold[busier] = []
            self.since[busier] = max(self.waiting, default=(self.closed or 0) - 1) + 1

    def _put_away(self, name: str) -> None:
        """Add a category's days to those of `other`."""
        self.candidates.add(name, self.active.pop(name))
        self.since.pop(name, None)
        if name in self.late_of:
            self.late_of[OTHER] = self.late_of.get(OTHER, 0) + self.late_of.pop(name)
        own, days = self.sold.pop(name), self.sold.get(OTHER, [])
        rest = [Sold() for _ in range(min(self.trading_days, KEPT) - len(days))] + days
        for at, gone in zip(reversed(rest), reversed(own), strict=False):
            at.add(gone)
        self.sold[OTHER] = rest
        for sums in (*self.waiting.values(), self.carried):
            if name in sums:
                _add(sums, OTHER, sums.pop(name))

    def trade(self, day: int) -> None:
        """Note that something was bought on a day."""
        if day in self.waiting:
            self.traded[day] = True

    def close(self, until: int) -> list[int]:
        """Close all days before `until`. Returns the trading days among them."""
        self.closed = until if self.closed is None else max(self.closed, until)
        due = sorted(day for day in self.waiting if day < until)
        found = []
        for day in due:
            sums = self.waiting.pop(day)
            for category, carried in self.carried.items():
                _add(sums, category, carried)
            if not self.traded.pop(day, False):
                self.carried = sums
                continue
            self.carried = {}
            found.append(day)
            self.trading_days += 1
            self.dates = [*self.dates, day][-KEPT:]
            for category, days in self.sold.items():
                if day >= self.since.get(category, day):
                    days.append(sums.get(category, Sold()))
                    del days[:-KEPT]
            self._change_places()
        self.since = {name: first for name, first in self.since.items() if first > self.closed}
        return found

    def total(self, category: str, days: int) -> Sold:
        """Return what a category sold on the last so many days of the calendar, up to the newest closed."""
        first, found = (self.closed or 0) - days, Sold()
        for day, sold in zip(reversed(self.dates), reversed(self.sold[category]), strict=False):
            if day >= first:
                found.add(sold)
        return found

    def known_days(self, category: str) -> int:
        """Return how many days of the calendar a category's figures reach back from the newest closed, at least one."""
        known = min(len(self.sold[category]), len(self.dates))
        return max((self.closed or 0) - self.dates[-known], 1) if known else 1

    def report(self, category: str) -> dict[str, Any]:
        """Return the last day and level and trend of `units` and `revenue`; empty before the first trading day.

        `late` are sales that came after their day was closed, and are in none.
        """
        days = self.sold.get(category)
        if not days:
            return {}
        units = [one.units_e3 / 1e3 for one in days]
        revenue = [one.revenue_e4 / 1e4 for one in days]
        return {"units": described(units), "revenue": described(revenue), "late": self.late_of.get(category, 0)}


def _add(sums: dict[str, Sold], category: str, more: Sold) -> None:
    sums.setdefault(category, Sold()).add(more)


def described(amounts: list[float]) -> dict[str, float | None]:
    """Last value, level and trend of the last 30 trading days.

    `level` is the mean. `trend` is the change in a week of six trading days as a share of the level, with `low` and
    `high` that hold with 95 %: the mean grows by a share each day (Poisson's likelihood, in
    which nothing sold is a figure like any other), the error of neighbouring days taken as correlated.

    References
    ----------
    Gourieroux, Monfort and Trognon (1984), Pseudo maximum likelihood methods: applications to Poisson models,
    Econometrica 52, 701-720. Santer et al. (2000), Statistical significance of trends and trend differences in
    layer-average atmospheric temperature time series, J. Geophys. Res. 105, 7337-7356, section 4: the effective
    sample size.
    """
    window = amounts[-WINDOW:]
    n = len(window)
    found: dict[str, float | None] = {"last": window[-1], "level": math.fsum(window) / n}
    found |= dict.fromkeys(("trend", "low", "high"))
    if n < WINDOW or sum(amount > 0 for amount in window) < 2 * WINDOW // 3:
        return found
    fitted = _trend([max(amount, 0.0) for amount in window])
    if fitted is not None:
        slope, half = fitted
        for name, per_day in (("trend", slope), ("low", slope - half), ("high", slope + half)):
            found[name] = math.expm1(min(6 * per_day, 50.0))
    return found


def _trend(window: list[float]) -> tuple[float, float] | None:
    """Growth of the logarithm of the mean a day, and how far off it may be with 95 %; None where it has no end."""
    n = len(window)
    days = [i - (n - 1) / 2 for i in range(n)]
    level, slope = math.log(math.fsum(window) / n), 0.0
    for _ in range(STEPS):
        means = [math.exp(level + slope * day) for day in days]
        whole = math.fsum(means)
        middle = math.fsum(mean * day for mean, day in zip(means, days, strict=True)) / whole
        information = math.fsum(mean * (day - middle) ** 2 for mean, day in zip(means, days, strict=True))
        rest = [amount - mean for amount, mean in zip(window, means, strict=True)]
        up = math.fsum(one * (day - middle) for one, day in zip(rest, days, strict=True)) / information
        up = min(max(up, -0.1), 0.1)
        slope, level = slope + up, level + min(max(math.fsum(rest) / whole - middle * up, -1.0), 1.0)
        if abs(up) < 1e-9:
            break
    else:
        return None
    scaled = [one / math.sqrt(mean) for one, mean in zip(rest, means, strict=True)]
    total = math.fsum(one * one for one in scaled)
    rho = math.fsum(a * b for a, b in pairwise(scaled)) / total if total > 0 else 0.0
    effective = min(max(n * (1 - rho) / (1 + rho), 4.0), float(n))
    half = student(effective - 2, 0.95) * math.sqrt(total / (effective - 2) / information)
    return slope, half
