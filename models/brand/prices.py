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
