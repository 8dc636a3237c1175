"""How quantity moves with price, online, with an interval that holds.

Two questions that are often mixed up: whether those who buy take more of it when it is cheap (quantity breaks: a lower
unit price *because* of the quantity), and whether more invoices have it on days when it is cheap (response). Neither is
causal: nobody drew the prices at random.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any, Final

from msgspec import Struct, field

from models.market.demand import FADE, MAX_WAITING
from models.market.response import WIDTH, Response, slope, student

LEVELS: Final = 3
"""Prices that must have been seen: on fewer, a slope says little."""
LEAST: Final = 20
"""Observations that an estimate needs."""
PRODUCTS: Final = 4_096
SPARE: Final = 1_024
"""Products kept, and so many more for a while, until the least active of them make room."""
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
        half = student(self.n - groups - 1, SURE) * math.sqrt(noise / self.sxx)
        return Estimate(slope, slope - half, slope + half, self.n)


class Priced(Struct, array_like=True):
    """What is kept of one product: its prices so far (in 1/10,000, the first eight), slope of quantity, and response.

    `late` is the mean logarithm of the unit prices paid of late. `active` is how many invoices had it, older ones
    fading, as of open day `day`.
    """

    prices: list[int] = field(default_factory=list)
    quantity: Slope = field(default_factory=Slope)
    response: Response = field(default_factory=Response)
    late: float | None = None
    active: float = 0.0
    day: int = 0

    def saw(self, price_e4: int, log_price: float, day: int) -> None:
        """Remember a price, and that it was paid."""
        self.late = log_price if self.late is None else self.late + LATE_RATE * (log_price - self.late)
        if price_e4 not in self.prices and len(self.prices) < PRICES_KEPT:
            self.prices.append(price_e4)
        if day != self.day:
            self.active, self.day = self.active_on(day), day
        self.active += 1.0

    def active_on(self, day: int) -> float:
        """How active it is on a later day."""
        return self.active * FADE ** (day - self.day)


class Day(Struct, array_like=True):
    """One product's day that is not closed: invoices, the sum of the logarithms of their prices, and least and most."""

    invoices: int
    log_price: float
    low: float
    high: float


class Prices(Struct):
    """Elasticities by product. Plain data. Bounded: the products, and the days that are not closed.

    `learn_one` is told of each invoice; `close` that a day is over. Whoever is new gets in. When there are `SPARE`
    products more than `PRODUCTS`, the least active go at once: a pass over all for so many new ones. A new one counts
    as as active as the last that went, so that what is sold no more gives way soon.

    References
    ----------
    Metwally, Agrawal and El Abbadi (2005), Efficient computation of frequent and top-k elements in data streams,
    ICDT, 398-412: what a newcomer inherits.
    """

    products: dict[str, Priced] = field(default_factory=dict)
    days: dict[int, dict[str, Day]] = field(default_factory=dict)
    open_days: int = 0
    weekdays: int = 0
    newest: int | None = None
    closed: int | None = None
    gone: float = 0.0
    gone_on: int = 0

    def learn_one(self, product: str, day: int, quantity: float, unit_price: float) -> None:
        """Take in what one invoice has of a product. What is at no price says nothing, and is left out.

        Of a day that is closed, the quantity is learned and the response is not.
        """
        if unit_price <= 0 or quantity <= 0:
            return
        at = self.products.get(product)
        if at is None:
            at = self.products[product] = Priced(active=self._inherited(), day=self.open_days)
        price = math.log(unit_price)
        at.saw(round(unit_price * 10_000), price, self.open_days)
        at.quantity.learn_one(price, math.log(quantity))
        if self.closed is None or day >= self.closed:
            self._wait(product, day, price)
        if len(self.products) > PRODUCTS + SPARE:
            self._make_room()

    def _wait(self, product: str, day: int, price: float) -> None:
        sold = self.days.get(day)
        if sold is None:
            if len(self.days) >= MAX_WAITING:
                return
            sold = self.days[day] = {}
        at = sold.get(product)
        if at is None:
            sold[product] = Day(1, price, price, price)
            return
        at.invoices += 1
        at.log_price += price
        if price < at.low:
            at.low = price
        elif price > at.high:
            at.high = price

    def _inherited(self) -> float:
        return self.gone * FADE ** (self.open_days - self.gone_on)

    def _make_room(self) -> None:
        """Keep the most active, in the order in which they came."""
        active = {name: at.active_on(self.open_days) for name, at in self.products.items()}
        going = sorted(active, key=lambda name: (-active[name], name))[PRODUCTS:]
        for name in going:
            del self.products[name]
        self.gone, self.gone_on = max(self._inherited(), active[going[0]]), self.open_days

    def close(self, until: int) -> None:
        """Days before `until` are over: what each product sold on one, at the day's mean price, is learned."""
        self.closed = until if self.closed is None else max(self.closed, until)
        for day in sorted(day for day in self.days if day < until):
            self._open(day)
            for product, sold in self.days.pop(day).items():
                at = self.products.get(product)
                if at is not None:
                    price, mixed = sold.log_price / sold.invoices, sold.high - sold.low > WIDTH
                    at.response.learn_day(self.open_days, sold.invoices, price, mixed=mixed)

    def _open(self, day: int) -> None:
        """Number a day with sales. Days since the last one count too, of weekdays on which the shop has ever sold."""
        self.weekdays |= 1 << day % 7
        days = range(day if self.newest is None else self.newest + 1, day + 1)
        self.open_days += sum(self.weekdays >> one % 7 & 1 for one in days)
        self.newest = day

    def report(self, product: str) -> dict[str, Any] | None:
        """Return `quantity` and `response` of one product, with `slope`, `low`, `high`, `n`; None for few prices."""
        at = self.products.get(product)
        if at is None or len(at.prices) < LEVELS:
            return None
        return _shown(at.quantity.estimate(), _response([at.response]))


def pooled(prices: Prices, products: Iterable[str]) -> dict[str, Any] | None:
    """Elasticities within products, taken together: each has a mean of its own, all have one slope.

    Returns `quantity` and `response` as `Prices.report` does, of the products with enough prices; None without any.
    """
    kept = [at for name in products if (at := prices.products.get(name)) is not None and len(at.prices) >= LEVELS]
    slopes = [at.quantity for at in kept if at.quantity.n > 1]
    sums = {name: math.fsum(getattr(one, name) for one in slopes) for name in ("sxx", "sxy", "syy")}
    quantity = Slope(n=sum(one.n for one in slopes), **sums).estimate(groups=len(slopes)) if slopes else None
    return _shown(quantity, _response([at.response for at in kept]))


def _response(products: Sequence[Response]) -> Estimate | None:
    found = slope(products)
    if found is None:
        return None
    half = student(found.degrees, SURE) * found.error
    return Estimate(found.slope, found.slope - half, found.slope + half, found.days)


def _shown(quantity: Estimate | None, response: Estimate | None) -> dict[str, Any] | None:
    known = {"quantity": quantity, "response": response}
    return {
        name: {"slope": one.slope, "low": one.low, "high": one.high, "n": one.n}
        for name, one in known.items()
        if one is not None
    } or None
