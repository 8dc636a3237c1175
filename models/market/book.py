"""All that is learned about the market, as one function of what shards tell, in its order."""

from collections.abc import Mapping
from typing import Any, Final, Self

import msgspec
from msgspec import Struct, field

from models.market.baskets import Baskets
from models.market.demand import ALL, Demand
from models.market.growth import Growth, month_name
from models.market.mix import WEEKDAYS, Mix
from models.market.price import Prices, pooled

PARTNERS: Final = 8
"""Partners shown of a product."""
SUPPORT: Final = 10
"""Baskets with both that a pair needs to be shown."""
SERIES: Final = 256
"""Series of observations kept; further ones are dropped."""


class Sums(Struct):
    """What is kept beside the baskets. Plain data."""

    demand: Demand = field(default_factory=Demand)
    growth: Growth = field(default_factory=Growth)
    mix: Mix = field(default_factory=Mix)
    prices: Prices = field(default_factory=Prices)
    categories: dict[str, str] = field(default_factory=dict)
    observed: dict[str, tuple[int, float, str]] = field(default_factory=dict)


class Market:
    """Demand, baskets, prices and behaviour of one job."""

    def __init__(self) -> None:
        self.baskets = Baskets()
        self.sums = Sums()
        self.changed: dict[str, None] = {}

    def take(self, told: Mapping[str, Any]) -> None:
        """Take in a row of `models.market.tell`, or `{"close": day}`: all days before it are over.

        Raises
        ------
        KeyError
            It is no such row.
        """
        if "close" in told:
            self.sums.demand.close(told["close"])
            self.sums.prices.close(told["close"])
        elif "series" in told:
            self._observe(told)
        else:
            self._sold(told)

    def _observe(self, told: Mapping[str, Any]) -> None:
        known, series = self.sums.observed, told["series"]
        if series in known:
            if told["day"] >= known[series][0]:
                known[series] = (told["day"], told["value"], told["unit"])
        elif len(known) < SERIES:
            known[series] = (told["day"], told["value"], told["unit"])

    def _sold(self, told: Mapping[str, Any]) -> None:
        sign, day = told["sign"], told["day"]
        revenue_e4 = units_e3 = 0
        products: dict[str, None] = {}
        for category, lines in told["lines"].items():
            units = revenue = 0
            for product, quantity, price in lines:
                units += round(quantity * 1_000)
                revenue += round(quantity * price * 10_000)
                products[product] = None
                if sign > 0 and told["main"]:
                    self._priced(product, category, day, quantity, price)
            units_e3 += units
            revenue_e4 += revenue
            if told["main"]:
                self.sums.demand.add(category, day, units * (sign > 0), sign * revenue)
        if told["main"]:
            self.sums.demand.add(ALL, day, units_e3 * (sign > 0), sign * revenue_e4)
        if sign > 0:
            if told["main"] and revenue_e4 > 0:
                self.sums.demand.trade(day)
            self._bought(told, list(products), units_e3, revenue_e4 if told["main"] else 0)

    def _priced(self, product: str, category: str, day: int, quantity: float, price: float) -> None:
        prices, categories = self.sums.prices, self.sums.categories
        prices.learn_one(product, day, quantity, price)
        if product in prices.products:
            categories[product] = category
            if len(categories) > len(prices.products):
                for gone in [one for one in categories if one not in prices.products]:
                    del categories[gone]

    def _bought(self, told: Mapping[str, Any], products: list[str], units_e3: int, revenue_e4: int) -> None:
        self.baskets.learn_one(products)
        self.changed |= dict.fromkeys(products)
        growth, mix = self.sums.growth, self.sums.mix
        for month, kind, customers in told.get("changes", ()):
            growth.change(month, kind, customers)
        if "kind" in told:
            growth.earn(told["month"], told["kind"], revenue_e4)
        month_mix = mix.of(told["month"])
        if month_mix is None:
            return
        month_mix.purchases += 1
        month_mix.products += len(products)
        month_mix.units_e3 += units_e3
        month_mix.revenue_e4 += revenue_e4
        mix.count(month_mix, "hour", str(told["hour"]))
        mix.count(month_mix, "weekday", WEEKDAYS[(told["day"] + 3) % 7])
        mix.count(month_mix, "channel", told["channel"])
        if "country" in told:
            mix.count(month_mix, "country", told["country"])

    # What is shown.

    def report(self) -> dict[str, Any]:
        """Return figures by category, and of `all`."""
        prices = self._prices()
        names = [ALL, *sorted(name for name in self.sums.demand.sold if name != ALL)]
        found: dict[str, Any] = {}
        for name in names:
            found[name] = {"demand": self.sums.demand.report(name), "price": prices.get(name)}
        growth = self.sums.growth.report()
        found[ALL]["growth"] = growth
        if self.sums.mix.months:
            newest = max(self.sums.mix.months)
            found[ALL]["month"] = month_name(newest)
            found[ALL]["behaviour"] = self.sums.mix.report(newest)
        found[ALL]["baskets"] = {
            "baskets": self.baskets.baskets,
            "products": len(self.baskets.numbers),
            "exact": self.baskets.is_exact,
            "error": self.baskets.pairs.error,
            "cut": self.baskets.cut,
        }
        if self.sums.observed:
            found[ALL]["observed"] = {
                series: {"value": value, "unit": unit, "day": day}
                for series, (day, value, unit) in sorted(self.sums.observed.items())
            }
        return found

    def _prices(self) -> dict[str, Any]:
        """Elasticities within products, by category and of all."""
        groups: dict[str, list[str]] = {ALL: list(self.sums.prices.products)}
        for product, category in self.sums.categories.items():
            groups.setdefault(category if category in self.sums.demand.sold else "other", []).append(product)
        return {name: pooled(self.sums.prices, products) for name, products in groups.items()}

    def product(self, product: str) -> dict[str, Any]:
        """Return what is bought with a product and how its quantity moves with price; empty if neither is known."""
        partners = self.baskets.partners(product, PARTNERS, SUPPORT)
        price = self.sums.prices.report(product)
        found: dict[str, Any] = {}
        if partners:
            found["baskets"] = int(self.baskets.singles[self.baskets.numbers[product]])
            found["exact"] = self.baskets.is_exact
            found["partners"] = [
                {"product": one.b, "support": one.support, "lift": round(one.lift, 2), "low": round(one.low, 2)}
                for one in partners
            ]
        if price is not None:
            found["price"] = price
        return found

    # Kept.

    def state(self) -> dict[str, Any]:
        """Plain data."""
        return {"baskets": self.baskets.state(), "sums": msgspec.msgpack.encode(self.sums)}

    @classmethod
    def restore(cls, state: dict[str, Any]) -> Self:
        """Return the market whose state this was; the future is the same, to the bit. All products count as changed."""
        made = cls()
        made.baskets = Baskets.restore(state["baskets"])
        made.sums = msgspec.msgpack.decode(state["sums"], type=Sums)
        made.changed = dict.fromkeys(made.baskets.numbers)
        return made
