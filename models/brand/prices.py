"""What a product usually costs, and whether it was bought below that."""

import math
from typing import Final

from msgspec import Struct, field

MAX_PRICES: Final = 4_096
PRICE_RATE: Final = 0.1
"""What one day's mean price weighs in the usual one."""
LOW: Final = 0.95
"""Bought at less than this share of the usual price is bought low."""


class Usual(Struct, array_like=True):
    """One product's usual log price, from days before `day`; and the sum of that day's log prices over its units."""

    log: float | None = None
    day: int = 0
    total: float = 0.0
    units: float = 0.0


class UsualPrices(Struct):
    """The usual price of each product: a mean of logs over days, each day's over units. The least recently sold goes.

    A day counts once it is over: a promotion must not become the usual price by being bought often on its first day.
    """

    kept: dict[str, Usual] = field(default_factory=dict)

    def is_low(self, product: str, price: float, day: int, units: float = 1.0) -> bool | None:
        """Whether a price lies below the usual one; learns it. None for a product not known, or without price."""
        if price <= 0.0:
            return None
        usual = self.kept.pop(product, None) or Usual(day=day)
        self.kept[product] = usual
        if len(self.kept) > MAX_PRICES:
            del self.kept[next(iter(self.kept))]
        if day > usual.day:
            mean = usual.total / usual.units
            usual.log = mean if usual.log is None else usual.log + PRICE_RATE * (mean - usual.log)
            usual.day, usual.total, usual.units = day, 0.0, 0.0
        log = math.log(price)
        usual.total += log * units
        usual.units += units
        return None if usual.log is None else log < usual.log + math.log(LOW)


KNOWN_PRICES: Final = 32
"""Prices of a brand that are remembered, the last seen ones."""
SHELVED_BRANDS: Final = 32
"""Brands of a category whose prices are remembered."""
TOLD_OFTEN: Final = 30
"""Prices of a brand on the shelf before what is paid for it is looked for among them."""
ALIKE: Final = 5e-4
ENOUGH: Final = 20
"""Prices paid before it is said whether they are those of the shelf, older ones weighing less."""
MOSTLY: Final = 2.0 / 3.0
SHELF_FADE: Final = 0.99


class Known(Struct, array_like=True):
    """For what a brand stood on the shelf of late, and how often it was told."""

    prices: list[float] = field(default_factory=list)
    times: int = 0


class Shelf(Struct):
    """For what the brands of a category stand on the shelf, and whether that is what is paid.

    Where a shop names what else could be had, and not the brand that was bought, the only price of that brand is what
    was paid for it. With coupons it is lower whoever is chosen, and a model that compares it with prices on the shelf
    learns to tell who was chosen instead of who will be. So what is paid counts as a price on the shelf only where
    most of it is: where brands were told to stand there for as much, when others were bought.

    `asked` and `found` are prices paid, and those of them that were known, older ones weighing less.
    """

    brands: dict[str, Known] = field(default_factory=dict)
    asked: float = 0.0
    found: float = 0.0

    def told(self, brand: str, price: float) -> None:
        """Remember for what a brand stands on the shelf."""
        known = self.brands[brand] = self.brands.pop(brand, Known())
        if price in known.prices:
            known.prices.remove(price)
        known.prices = [*known.prices, price][-KNOWN_PRICES:]
        known.times += 1
        if len(self.brands) > SHELVED_BRANDS:
            del self.brands[next(iter(self.brands))]

    def is_paid(self, brand: str, price: float) -> bool:
        """Whether what is paid is what stands on the shelf, going by all until now; this price is counted."""
        known = self.brands.get(brand)
        if known is not None and known.times >= TOLD_OFTEN:
            self.asked = self.asked * SHELF_FADE + 1.0
            self.found = self.found * SHELF_FADE + any(abs(one / price - 1.0) < ALIKE for one in known.prices)
        return self.asked >= ENOUGH and self.found >= MOSTLY * self.asked
