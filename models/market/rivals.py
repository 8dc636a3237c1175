"""Competitors: what others ask for the same product, and how large the market is, as `observation` events say.

Two kinds of series are understood; any other is kept and shown as it is:

- `price:<seller>:<product>`, in the main currency: an index of our price over the seller's.
- `volume:<category>` (`all` for everything), in `<currency>/<period>` or `units/<period>`, the period being a day,
  week, month or year: our share of the market.
"""

import math
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from msgspec import Struct, field

from models.market.demand import ALL, Demand
from models.market.price import Prices

SERIES: Final = 4_096
"""Series kept; the one observed longest ago makes room."""
SHOWN: Final = 64
"""Series shown, the newest; and products of a seller's index that are named."""
SELLERS: Final = 16
"""Sellers shown of a category, those with most products."""
FURTHEST: Final = math.log(10.0)
"""A price of which ours is more than ten times, or less than a tenth, is one of another unit, or a slip."""
LOOK_BACK: Final = 30
"""Days of our own sales that a market's volume is compared with."""
DAYS: Final = {"day": 1.0, "week": 7.0, "month": 365.25 / 12, "year": 365.25}


class Seen(NamedTuple):
    """The newest figure of a series. `day` counts from 1970-01-01."""

    day: int
    value: float
    unit: str


class Observed(Struct):
    """What others ask, and sell. Plain data; of each series the newest figure, the longest not renewed first."""

    series: dict[str, Seen] = field(default_factory=dict)
    sellers: dict[str, dict[str, str]] = field(default_factory=dict)

    def see(self, series: str, seen: Seen) -> str | None:
        """Take in a figure unless a newer one is known. Returns the product whose price it is."""
        product = self._product(series)
        known = self.series.get(series)
        if known is not None and seen.day < known.day:
            return None
        self.series.pop(series, None)
        self.series[series] = seen
        if product is not None:
            self.sellers.setdefault(product, {})[series.split(":", 2)[1]] = series
        if len(self.series) > SERIES:
            self._drop(next(iter(self.series)))
        return product

    @staticmethod
    def _product(series: str) -> str | None:
        parts = series.split(":", 2)
        return parts[2] if len(parts) == 3 and parts[0] == "price" else None

    def _drop(self, series: str) -> None:
        del self.series[series]
        product = self._product(series)
        if product is not None:
            self.sellers[product].pop(series.split(":", 2)[1], None)
            if not self.sellers[product]:
                del self.sellers[product]

    # What is shown; `today` is the newest day known.

    def report(self, today: int) -> dict[str, Any]:
        """Return the newest figures, with unit, day, and age in days."""
        newest = sorted(self.series, key=lambda one: (-self.series[one].day, one))[:SHOWN]
        return {name: _figure(self.series[name], today) for name in sorted(newest)}

    def product(self, product: str, prices: Prices, currency: str) -> dict[str, Any]:
        """Return what each seller asks for a product, and since when; `index` is our price of late over it in percent.

        Nothing here changes by the passing of days alone.
        """
        found: dict[str, Any] = {}
        for seller, series in sorted(self.sellers.get(product, {}).items()):
            seen, ratio = self.series[series], self._ratio(product, series, prices, currency)
            index = {} if ratio is None else {"index": round(100 * math.exp(ratio), 1)}
            found[seller] = {"value": seen.value, "unit": seen.unit, "day": seen.day} | index
        return found

    def _ratio(self, product: str, series: str, prices: Prices, currency: str) -> float | None:
        """Logarithm of our price over theirs; None where they cannot be compared."""
        seen, own = self.series[series], prices.products.get(product)
        if own is None or own.late is None or seen.unit != currency or seen.value <= 0:
            return None
        ratio = own.late - math.log(seen.value)
        return ratio if abs(ratio) <= FURTHEST else None

    def indices(
        self, prices: Prices, categories: Mapping[str, str], currency: str, today: int
    ) -> dict[str, dict[str, Any]]:
        """Return a price index against each seller, by category and of `all`.

        The geometric mean over the products that both sell (Jevons), `products` of them; `dearest` and `cheapest` are
        those where we are; `oldest_days` is the age of the oldest price in it.

        References
        ----------
        Consumer Price Index Manual (2020), International Monetary Fund, section 8: elementary indices.
        """
        logs: dict[tuple[str, str], list[tuple[float, str, int]]] = {}
        for product, sellers in sorted(self.sellers.items()):
            for seller, series in sorted(sellers.items()):
                ratio = self._ratio(product, series, prices, currency)
                if ratio is None:
                    continue
                for category in (ALL, *([categories[product]] if product in categories else [])):
                    logs.setdefault((category, seller), []).append((ratio, product, today - self.series[series].day))
        found: dict[str, dict[str, Any]] = {}
        for (category, seller), some in sorted(logs.items(), key=lambda item: (-len(item[1]), item[0])):
            sellers_of = found.setdefault(category, {})
            if len(sellers_of) < SELLERS:
                sellers_of[seller] = _index(some)
        return found

    def market_share(self, category: str, demand: Demand, currency: str, today: int) -> dict[str, Any] | None:
        """Return our share of a market whose volume is known; None where it cannot be told.

        Ours is of the last 30 days, or of as many as there are.
        """
        seen = self.series.get(f"volume:{category}")
        if seen is None or demand.closed is None or category not in demand.sold:
            return None
        of, _, period = seen.unit.partition("/")
        if period not in DAYS or of not in (currency, "units") or seen.value <= 0:
            return None
        days = min(demand.known_days(category), LOOK_BACK)
        ours = demand.total(category, days)
        amount = ours.revenue_e4 / 1e4 if of == currency else ours.units_e3 / 1e3
        return {"share": amount / days * DAYS[period] / seen.value} | _figure(seen, today)


def _figure(seen: Seen, today: int) -> dict[str, Any]:
    return {"value": seen.value, "unit": seen.unit, "day": seen.day, "age_days": max(today - seen.day, 0)}


def _index(logs: list[tuple[float, str, int]]) -> dict[str, Any]:
    ranked = sorted(logs)
    mean = math.fsum(ratio for ratio, *_ in logs) / len(logs)
    return {
        "index": round(100 * math.exp(mean), 1),
        "products": len(logs),
        "cheapest": ranked[0][1],
        "dearest": ranked[-1][1],
        "oldest_days": max(0, *(age for *_, age in logs)),
    }
