"""Where a brand stands in its category: sums over customers, exact where the bounds hold.

Bounds, and what happens there: 32 categories and 24 brands each, the rest together in `other` and
`OTHER`; a brand that becomes clearly more active than the least of those takes its place and counts from
then on; who bought a brand before is known for 8 brands and 16 categories a customer (`models/brand/taste.py`);
purchases of a customer are told apart up to 200; usual prices of 4,096 products, the least recently sold goes.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import Struct, field

from models.brand.choice import MAX_BRANDS, OTHER, last_brand
from models.brand.dirichlet import FURTHEST, Expected, expected, fit, negative_binomial
from models.brand.promotion import Promotions
from models.brand.taste import Offer
from models.market.busiest import Candidates
from schemas.state import Taste

HALF_LIFE: Final = 28.0
"""Days after which revenue weighs half in the recent share."""
_START: Final = 20_000
SWITCH_FADE: Final = 0.999
"""What an older switch weighs, a choice of the category."""
MAX_PRICES: Final = 4_096
PRICE_RATE: Final = 0.1
"""What one day's mean price weighs in the usual one."""
LOW: Final = 0.95
"""Bought at less than this share of the usual price is bought low."""
E4: Final = 10_000
FORMER: Final = "former segments"
UNNAMED: Final[Mapping[str, str]] = {}


class BrandSums(Struct):
    """One brand in one category. Purchases, buyers and segments are of known customers; amounts of everybody.

    A purchase of two brands is one purchase of each. `followed` are those of all brands of the category, by customers
    once they had bought this one, and before. `low_units` of `judged_units` went below the usual price. `offered` and
    `chosen` are choices where the brand could be had: [at its usual price, promoted or cheaper].
    """

    revenue_e4: int = 0
    units: float = 0.0
    recent: float = 0.0
    purchases: int = 0
    buyers: int = 0
    repeaters: int = 0
    followed: int = 0
    low_units: float = 0.0
    judged_units: float = 0.0
    offered: list[int] = field(default_factory=lambda: [0, 0])
    chosen: list[int] = field(default_factory=lambda: [0, 0])
    segments: dict[str, int] = field(default_factory=dict)

    def absorb(self, gone: "BrandSums") -> None:
        """Take over the sums of a brand that is no longer kept. Buyers of several such count several times."""
        for name in ("revenue_e4", "units", "recent", "purchases", "buyers", "repeaters", "followed"):
            setattr(self, name, getattr(self, name) + getattr(gone, name))
        self.low_units += gone.low_units
        self.judged_units += gone.judged_units
        self.offered = [a + b for a, b in zip(self.offered, gone.offered, strict=True)]
        self.chosen = [a + b for a, b in zip(self.chosen, gone.chosen, strict=True)]
        for segment, n in gone.segments.items():
            self.segments[segment] = self.segments.get(segment, 0) + n


class CategorySums(Struct):
    """All brands of one category. `unit` is what a switch weighs now.

    `by_count` are customers by number of purchases of its brands: one of two brands counts twice, as it does there.
    """

    purchases: int = 0
    buyers: int = 0
    by_count: dict[int, int] = field(default_factory=dict)
    brands: dict[str, BrandSums] = field(default_factory=dict)
    candidates: Candidates = field(default_factory=lambda: Candidates(MAX_BRANDS))
    segments: dict[str, int] = field(default_factory=dict)
    switches: dict[str, dict[str, float]] = field(default_factory=dict)
    unit: float = 1.0
    promotions: Promotions = field(default_factory=Promotions)

    def kept(self, brand: str) -> BrandSums:
        """Return the sums that a brand's belong to."""
        if brand in self.brands:
            return self.brands[brand]
        if len(self.brands) - (OTHER in self.brands) < MAX_BRANDS:
            return self.brands.setdefault(brand, BrandSums())
        return self.brands.setdefault(OTHER, BrandSums())

    def name(self, brand: str) -> str:
        """Return the name under which a brand is kept now."""
        return brand if brand in self.brands else OTHER

    def _make_room(self, brand: str) -> None:
        """Count a brand that is not kept; make room for one that is certainly much busier than the quietest one."""
        if brand in self.brands or len(self.brands) - (OTHER in self.brands) < MAX_BRANDS:
            return
        self.candidates.add(brand)
        named = [name for name in self.brands if name != OTHER]
        quietest = min(named, key=lambda name: (self.brands[name].purchases, name))
        if self.candidates.busier_than(self.brands[quietest].purchases) != brand:
            return
        del self.candidates.counts[brand]
        self.candidates.add(quietest, self.brands[quietest].purchases)
        self.brands.setdefault(OTHER, BrandSums()).absorb(self.brands.pop(quietest))
        self.promotions.leave(quietest, OTHER)
        into = self.switches.pop(quietest, {})
        for to, weight in into.items():
            self._add_switch(OTHER, to, weight)
        for row in self.switches.values():
            if quietest in row:
                row[OTHER] = row.get(OTHER, 0.0) + row.pop(quietest)

    def _add_switch(self, before: str, now: str, weight: float) -> None:
        row = self.switches.setdefault(before, {})
        row[now] = row.get(now, 0.0) + weight

    def sold(self, brand: str, day: int, units: float, amount_e4: int) -> None:
        """Add what was sold, or below zero came back."""
        sums = self.kept(brand)
        sums.revenue_e4 += amount_e4
        sums.units += units
        sums.recent += amount_e4 / E4 * 2.0 ** min(max((day - _START) / HALF_LIFE, -900.0), 900.0)

    def bought(self, taste: Taste, brands: Sequence[str], main: str, segment: str) -> None:
        """Count a customer's purchase of some brands; `taste` is what was known before it."""
        distinct = list(dict.fromkeys(brands))
        for brand in distinct:
            self._make_room(brand)
        self.purchases += 1
        before = sum(taste.counts.values())
        count = before + len(distinct)
        self.by_count[min(count, FURTHEST)] = self.by_count.get(min(count, FURTHEST), 0) + 1
        if before:
            self.by_count[min(before, FURTHEST)] = self.by_count.get(min(before, FURTHEST), 0) - 1
        else:
            self.buyers += 1
        if segment:
            self.segments[segment] = self.segments.get(segment, 0) + 1
        for brand in {self.name(known) for known in taste.counts} - {self.name(brand) for brand in brands}:
            if brand in self.brands:
                self.brands[brand].followed += len(distinct)
        for brand in distinct:
            sums, already = self.kept(brand), taste.counts.get(brand, 0)
            sums.purchases += 1
            sums.buyers += already == 0
            sums.repeaters += already == 1
            sums.followed += len(distinct) if already else count
            if segment:
                sums.segments[segment] = sums.segments.get(segment, 0) + 1
        last = last_brand(taste)
        if last is not None:
            self.unit /= SWITCH_FADE
            if self.unit > 1e12:
                self._rescale()
            self._add_switch(self.name(last), self.name(main), self.unit)

    def _rescale(self) -> None:
        for row in self.switches.values():
            for to in row:
                row[to] /= self.unit
        self.unit = 1.0

    def offered(self, offers: Sequence[Offer], deals: Sequence[bool], chosen: str) -> None:
        """Count a choice with alternatives: for each brand, whether it was on offer cheaply, and chosen."""
        for offer, deal in zip(offers, deals, strict=True):
            sums = self.brands.get(offer.brand)
            if sums is not None:
                sums.offered[deal] += 1
                sums.chosen[deal] += offer.brand == chosen

    def switching(self) -> dict[str, dict[str, float]]:
        """From the last brand to the next: shares of each row, recent switches weighing more."""
        return {
            before: {to: weight / math.fsum(row.values()) for to, weight in sorted(row.items())}
            for before, row in sorted(self.switches.items())
        }


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


def expectations(category: CategorySums, population: int) -> dict[str, Expected]:
    """What the NBD-Dirichlet leads one to expect of each brand with buyers; empty while there is too little.

    Parameters
    ----------
    population
        Customers who bought anything with a brand. Where all of them bought the category, the numbers of their
        purchases are taken as they are.
    """
    total = sum(sums.purchases for sums in category.brands.values())
    named = {name: sums for name, sums in category.brands.items() if sums.buyers and name != OTHER}
    if len(named) < 2 or category.buyers < 10:  # one brand has no rival, ten buyers no spread
        return {}
    seen = [0.0] * (max(category.by_count) + 1)
    for count, customers in category.by_count.items():
        seen[count] = float(max(customers, 0))  # beyond 8 brands a customer's count is not known exactly
    zero = 1.0 - category.buyers / max(population, category.buyers)
    purchases = negative_binomial(total / max(population, 1), zero) or seen
    shares = {name: sums.purchases / total for name, sums in named.items()}
    penetrations = {name: sums.buyers / category.buyers for name, sums in named.items()}
    strength = fit(shares, penetrations, purchases)
    return {name: expected(share, strength, purchases) for name, share in shares.items() if share < 1}


def figures(
    category: CategorySums, name: str, prospects: Mapping[str, Expected], segments: Mapping[str, str] = UNNAMED
) -> dict[str, Any]:
    """Where a brand stands, as it is served: shares of the category, None where nothing can be said.

    `price_position` is the mean price of a unit over that of the category. `segments` is an index: 100 is
    the segment's share among all of the category's purchases. Its names are those of `segments`, by id.
    """
    sums = category.brands[name]
    every = category.brands.values()
    found: dict[str, Any] = {
        "revenue": sums.revenue_e4 / E4,
        "units": sums.units,
        "purchases": sums.purchases,
        "buyers": sums.buyers,
        "revenue_share": _ratio(sums.revenue_e4, sum(one.revenue_e4 for one in every)),
        "recent_revenue_share": _ratio(sums.recent, math.fsum(one.recent for one in every)),
        "unit_share": _ratio(sums.units, math.fsum(one.units for one in every)),
        "purchase_share": _ratio(sums.purchases, sum(one.purchases for one in every)),
        "penetration": _ratio(sums.buyers, category.buyers),
        "purchases_per_buyer": _ratio(sums.purchases, sums.buyers),
        "share_of_requirements": _ratio(sums.purchases, sums.followed),
        "repeat_rate": _ratio(sums.repeaters, sums.buyers),
        "price_position": _position(sums, list(every)),
        "bought_low": _ratio(sums.low_units, sums.judged_units),
        "share_at_usual_price": _ratio(sums.chosen[0], sums.offered[0]),
        "share_when_promoted": _ratio(sums.chosen[1], sums.offered[1]),
        "share_by_promotion": category.promotions.report(name),
        "segments": _index(_by_name(sums.segments, segments), _by_name(category.segments, segments)),
    }
    if name in prospects:
        found["expected"] = {field_: getattr(prospects[name], field_) for field_ in prospects[name].__struct_fields__}
    return found


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None


def _position(sums: BrandSums, every: Sequence[BrandSums]) -> float | None:
    units, revenue = math.fsum(one.units for one in every), sum(one.revenue_e4 for one in every)
    if sums.units <= 0 or units <= 0 or revenue <= 0:
        return None
    return sums.revenue_e4 / sums.units / (revenue / units)


def _by_name(counts: Mapping[str, int], names: Mapping[str, str]) -> dict[str, int]:
    """Counts by the present name of a segment; those that have none any more are together."""
    if not names:
        return dict(counts)
    found: dict[str, int] = {}
    for segment, n in counts.items():
        name = names.get(segment, FORMER)
        found[name] = found.get(name, 0) + n
    return found


def _index(own: Mapping[str, int], all_: Mapping[str, int]) -> dict[str, int]:
    mine, total = sum(own.values()), sum(all_.values())
    return {
        segment: round(100 * (own.get(segment, 0) / mine) / (n / total)) for segment, n in sorted(all_.items()) if mine
    }
