"""All that is learned about the market, as one function of what shards tell, in its order."""

from collections.abc import Mapping
from typing import Any, Final, Self

import msgspec
from msgspec import Struct, field

from models.market.baskets import Baskets
from models.market.bounds import bounded
from models.market.demand import ALL, OTHER, Demand
from models.market.growth import Growth, month_name, month_of
from models.market.mix import WEEKDAYS, Mix
from models.market.price import LEAST, Prices, pooled
from models.market.rivals import Observed, Seen
from models.sales.calendar import date_of

PARTNERS: Final = 8
"""Partners shown of a product."""
SUPPORT: Final = 10
"""Baskets with both that a pair needs to be shown."""
Sold = tuple[str, float, float]
"""A product's category in one sale, and its quantity and amount there, less what was free."""
NOTHING: Final[Sold] = ("", 0.0, 0.0)


class Sums(Struct):
    """What is kept beside the baskets. Plain data."""

    demand: Demand = field(default_factory=Demand)
    growth: Growth = field(default_factory=Growth)
    mix: Mix = field(default_factory=Mix)
    prices: Prices = field(default_factory=Prices)
    categories: dict[str, str] = field(default_factory=dict)
    observed: Observed = field(default_factory=Observed)
    today: int = 0


class Market:
    """Demand, baskets, prices and behaviour of one job."""

    def __init__(self) -> None:
        self.baskets = Baskets()
        self.sums = Sums()
        self.changed: dict[str, None] = {}
        """Products of which something may be shown otherwise than before: at most those that have anything to show."""

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
        self.sums.today = max(self.sums.today, told["day"])
        product = self.sums.observed.see(told["series"], Seen(told["day"], told["value"], told["unit"]))
        if product is not None:
            self._touch(product)

    def _touch(self, product: str) -> None:
        """Note that something changed of a product of which something may be shown."""
        price = self.sums.prices.products.get(product)
        if (
            (price is not None and price.quantity.n >= LEAST)
            or product in self.sums.observed.sellers
            or self.baskets.bought(product) >= SUPPORT
        ):
            self.changed[product] = None

    def _sold(self, told: Mapping[str, Any]) -> None:
        sign, day = told["sign"], told["day"]
        self.sums.today = max(self.sums.today, day)
        revenue_e4 = units_e3 = 0
        products: dict[str, Sold] = {}
        for named, lines in told["lines"].items():
            category = OTHER if named == ALL else named  # that name is taken
            units = revenue = 0
            for product, quantity, price in lines:
                units += round(quantity * 1_000)
                revenue += round(quantity * price * 10_000)
                _, before, paid = products.get(product, NOTHING)
                if price > 0:
                    products[product] = (category, before + quantity, paid + quantity * price)
                elif not before:
                    products[product] = (category, 0.0, 0.0)
            units_e3 += units
            revenue_e4 += revenue
            self.sums.demand.add(category, day, units * (sign > 0), sign * revenue * told["main"])
        self.sums.demand.add(ALL, day, units_e3 * (sign > 0), sign * revenue_e4 * told["main"])
        if sign > 0:
            if told["main"]:
                self._priced(products, day)
            if revenue_e4 > 0:
                self.sums.demand.trade(day)
            self._bought(told, list(products), units_e3, revenue_e4 if told["main"] else 0)

    def _priced(self, products: Mapping[str, Sold], day: int) -> None:
        """Learn prices: an invoice counts once for each product, whatever its lines."""
        prices, categories = self.sums.prices, self.sums.categories
        for product, (category, quantity, amount) in products.items():
            if quantity > 0:
                prices.learn_one(product, day, quantity, amount / quantity)
                categories[product] = category
        if len(categories) > len(prices.products):
            for gone in [one for one in categories if one not in prices.products]:
                del categories[gone]
                if self.baskets.bought(gone) >= LEAST:
                    self.changed[gone] = None  # its price is not known any more

    def _bought(self, told: Mapping[str, Any], products: list[str], units_e3: int, revenue_e4: int) -> None:
        self.baskets.learn_one(products)
        for product in products:
            if product not in self.changed:
                self._touch(product)
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
        month_mix.units_e3 = bounded(month_mix.units_e3 + units_e3)
        month_mix.in_main += told["main"]
        month_mix.revenue_e4 = bounded(month_mix.revenue_e4 + revenue_e4)
        mix.count(month_mix, "hour", str(told["hour"]))
        mix.count(month_mix, "weekday", WEEKDAYS[(told["day"] + 3) % 7])
        mix.count(month_mix, "channel", told["channel"])
        if "country" in told:
            mix.count(month_mix, "country", told["country"])

    # What is shown.

    def report(self, currency: str) -> dict[str, Any]:
        """Return figures by category, and of `all`. The main currency tells which observations can be compared."""
        sums = self.sums
        prices, today = self._prices(), sums.today
        indices = sums.observed.indices(sums.prices, self._served_categories(), currency, today)
        found: dict[str, Any] = {}
        for name in (ALL, *sorted(name for name in sums.demand.sold if name != ALL)):
            rivals = {
                "price_index": indices.get(name, {}),
                "market_share": sums.observed.market_share(name, sums.demand, currency, today),
            }
            found[name] = {
                "demand": sums.demand.report(name),
                "price": prices.get(name),
                "competitors": {what: one for what, one in rivals.items() if one},
            }
        found[ALL] |= self._of_all()
        return found

    def _of_all(self) -> dict[str, Any]:
        sums = self.sums
        newest, running = max(sums.mix.months, default=None), self._running()
        found: dict[str, Any] = {"growth": sums.growth.report(newest, running)}
        if newest is not None:
            found["month"], found["running"] = month_name(newest), newest >= running
            found["behaviour"] = sums.mix.report(newest) | sums.growth.moved(newest)
        found["baskets"] = {
            "baskets": self.baskets.baskets,
            "products": len(self.baskets.numbers),
            "exact": self.baskets.is_exact,
            "error": self.baskets.pairs.error,
            "cut": self.baskets.cut,
            "uncounted": self.baskets.uncounted,
            "bytes": self.baskets.nbytes,
        }
        if sums.observed.series:
            found["observed"] = sums.observed.report(sums.today)
        return found

    def _running(self) -> int:
        """The first month that is not over: that of the first day that is not closed."""
        closed = self.sums.demand.closed
        if closed is None:
            return min(self.sums.mix.months, default=0)
        return month_of(date_of(closed))

    def _served_categories(self) -> dict[str, str]:
        """The category that a product is served in."""
        sold = self.sums.demand.sold
        return {product: one if one in sold else OTHER for product, one in self.sums.categories.items()}

    def _prices(self) -> dict[str, Any]:
        """Elasticities within products, by category and of all."""
        groups: dict[str, list[str]] = {ALL: list(self.sums.prices.products)}
        for product, category in self._served_categories().items():
            groups.setdefault(category, []).append(product)
        return {name: pooled(self.sums.prices, products) for name, products in groups.items()}

    def product(self, product: str, currency: str) -> dict[str, Any]:
        """Return what is bought with a product, how quantity moves with price, what others ask; what is known of it."""
        partners = self.baskets.partners(product, PARTNERS, SUPPORT)
        price = self.sums.prices.report(product)
        found: dict[str, Any] = {}
        if partners:
            found["baskets"] = self.baskets.bought(product)
            found["exact"] = self.baskets.is_exact
            found["partners"] = [
                {"product": one.b, "support": one.support, "lift": round(one.lift, 2), "low": round(one.low, 2)}
                for one in partners
            ]
        if price is not None:
            found["price"] = price
        rivals = self.sums.observed.product(product, self.sums.prices, currency)
        if rivals:
            found["competitors"] = rivals
        return found

    # Kept.

    @property
    def nbytes(self) -> int:
        """Bytes of the counts of pairs, and of the rest as a snapshot has it."""
        return self.baskets.nbytes + len(msgspec.msgpack.encode(self.sums))

    def state(self) -> dict[str, Any]:
        """Plain data."""
        return {"baskets": self.baskets.state(), "sums": msgspec.msgpack.encode(self.sums)}

    @classmethod
    def restore(cls, state: dict[str, Any]) -> Self:
        """Return the market whose state this was; the future is the same, to the bit. All that is shown has changed."""
        made = cls()
        made.baskets = Baskets.restore(state["baskets"])
        made.sums = msgspec.msgpack.decode(state["sums"], type=Sums)
        for product in (*made.sums.prices.products, *made.sums.observed.sellers, *made.baskets.numbers):
            made._touch(product)
        return made
