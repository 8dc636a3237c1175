"""What is added up over customers of each brand in its category; exact where the bounds hold.

Bounds, and what happens there: 32 categories and 24 brands each, the rest together in `other` and
`OTHER`; a brand that becomes clearly more active than the least of those takes its place and counts from
then on; who bought a brand before is known for 8 brands and 16 categories a customer (`models/brand/taste.py`);
purchases of a customer are told apart up to 200; usual prices of 4,096 products, the least recently sold goes.
"""

import math
from collections.abc import Sequence
from typing import Final

from msgspec import Struct, field

from models.brand.dirichlet import FURTHEST
from models.brand.promotion import Promotions
from models.brand.situation import last_brand
from models.brand.standings import MAX_BRANDS, OTHER
from models.brand.taste import Offer
from models.market.busiest import Candidates
from schemas.state import Taste

HALF_LIFE: Final = 28.0
"""Days after which revenue weighs half in the recent share."""
_START: Final = 20_000
SWITCH_FADE: Final = 0.999
"""What an older switch weighs, a choice of the category."""
E4: Final = 10_000


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
