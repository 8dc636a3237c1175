"""How quantity moves with price, online, with an interval that holds.

Two questions that are often mixed up: whether those who buy take more of it when it is cheap (quantity breaks: a lower
unit price *because* of the quantity), and whether more invoices have it on days when it is cheap (response). Neither is
causal: nobody drew the prices at random.
"""

import math
from collections.abc import Iterable
from typing import Any, Final

from msgspec import Struct, field
from scipy import special

LEVELS: Final = 3
"""Prices that must have been seen: on fewer, a slope says little."""
LEAST: Final = 20
"""Observations that an estimate needs."""
PRODUCTS: Final = 4_096
"""Products and categories kept; the least observed makes room."""
PRICES_KEPT: Final = 8
SURE: Final = 0.95
LATE_RATE: Final = 0.1
"""What one price paid weighs in the price of late."""


class Estimate(Struct, frozen=True):
    """An elasticity: quantity changes by `slope` % where the price is 1 % higher. `low` and `high` hold with 95 %."""

    slope: float
    low: float
    high: float
    n: int

    @property
    def moves(self) -> bool:
        """Whether the interval leaves zero out."""
        return not self.low <= 0.0 <= self.high


class Slope(Struct, array_like=True):
    """Least squares of one line, online: running means and centred sums, so that nothing cancels.

    With a flat prior this is the posterior of a normal regression with unknown noise: Student's t with n - 2
    degrees of freedom.

    References
    ----------
    Welford (1962), Technometrics 4, 419-420. Gelman et al. (2013), Bayesian Data Analysis, third edition, section 14.2.
    """

    n: int = 0
    x: float = 0.0
    y: float = 0.0
    sxx: float = 0.0
    sxy: float = 0.0
    syy: float = 0.0

    def learn_one(self, x: float, y: float) -> None:
        """Take in one point."""
        self.n += 1
        dx, dy = x - self.x, y - self.y
        self.x += dx / self.n
        self.y += dy / self.n
        self.sxx += dx * (x - self.x)
        self.sxy += dx * (y - self.y)
        self.syy += dy * (y - self.y)

    def estimate(self, groups: int = 1) -> Estimate | None:
        """Return slope and interval; None while there are too few points or all have one price."""
        if self.n - groups < LEAST - 1 or self.sxx <= 1e-9 * self.n:
            return None
        slope = self.sxy / self.sxx
        noise = max(self.syy - slope * self.sxy, 0.0) / (self.n - groups - 1)
        half = float(special.stdtrit(self.n - groups - 1, (1 + SURE) / 2)) * math.sqrt(noise / self.sxx)
        return Estimate(slope, slope - half, slope + half, self.n)


class Priced(Struct, array_like=True):
    """What is kept of one product: its prices so far (in 1/10,000, the first eight), and the two slopes.

    `late` is the mean logarithm of the unit prices paid of late.
    """

    prices: list[int] = field(default_factory=list)
    quantity: Slope = field(default_factory=Slope)
    response: Slope = field(default_factory=Slope)
    late: float | None = None

    def saw(self, price_e4: int, log_price: float) -> None:
        """Remember a price."""
        self.late = log_price if self.late is None else self.late + LATE_RATE * (log_price - self.late)
        if price_e4 not in self.prices and len(self.prices) < PRICES_KEPT:
            self.prices.append(price_e4)


class Day(Struct, array_like=True):
    """One product's day that is not closed: invoices, and the sum of the logarithms of their prices."""

    invoices: int = 0
    log_price: float = 0.0


class Prices(Struct):
    """Elasticities by product. Plain data. Bounded: the products, and the days that are not closed.

    `learn_one` is told each line; `close` that a day is over.
    """

    products: dict[str, Priced] = field(default_factory=dict)
    days: dict[int, dict[str, Day]] = field(default_factory=dict)

    def learn_one(self, product: str, day: int, quantity: float, unit_price: float) -> None:
        """Take in one line of a purchase. One at no price says nothing, and is left out."""
        if unit_price <= 0 or quantity <= 0:
            return
        at = self._at(product)
        price = math.log(unit_price)
        at.saw(round(unit_price * 10_000), price)
        at.quantity.learn_one(price, math.log(quantity))
        open_day = self.days.setdefault(day, {}).setdefault(product, Day())
        open_day.invoices += 1
        open_day.log_price += price

    def _at(self, product: str) -> Priced:
        found = self.products.get(product)
        if found is None:
            if len(self.products) >= PRODUCTS:
                del self.products[min(self.products, key=lambda name: (self.products[name].quantity.n, name))]
            found = self.products[product] = Priced()
        return found

    def close(self, until: int) -> None:
        """Days before `until` are over: each product's invoices of a day, at the day's mean price, are one point."""
        for day in sorted(day for day in self.days if day < until):
            for product, sold in self.days.pop(day).items():
                if product in self.products:
                    price = sold.log_price / sold.invoices
                    self.products[product].response.learn_one(price, math.log(sold.invoices))

    def report(self, product: str) -> dict[str, Any] | None:
        """Return `quantity` and `response` of one product, with `slope`, `low`, `high`, `n`; None for few prices."""
        at = self.products.get(product)
        if at is None or len(at.prices) < LEVELS:
            return None
        found = {"quantity": at.quantity.estimate(), "response": at.response.estimate()}
        return {
            name: {"slope": one.slope, "low": one.low, "high": one.high, "n": one.n}
            for name, one in found.items()
            if one is not None
        } or None


def pooled(prices: Prices, products: Iterable[str]) -> dict[str, Any] | None:
    """Elasticities within products, taken together: each has a mean of its own, all have one slope.

    Returns `quantity` and `response` as `Prices.report` does, of the products with enough prices; None without any.
    """
    kept = [at for name in products if (at := prices.products.get(name)) is not None and len(at.prices) >= LEVELS]
    found = {}
    for what in ("quantity", "response"):
        slopes = [slope for at in kept if (slope := getattr(at, what)).n > 1]
        sums = {name: math.fsum(getattr(one, name) for one in slopes) for name in ("sxx", "sxy", "syy")}
        one = Slope(n=sum(slope.n for slope in slopes), **sums).estimate(groups=len(slopes)) if slopes else None
        if one is not None:
            found[what] = {"slope": one.slope, "low": one.low, "high": one.high, "n": one.n}
    return found or None
