"""What is added up over customers of each brand in its category; exact where the bounds hold.

Bounds, and what happens there: of a category the 24 most active brands have a name, 64 more are counted apart and
shown together with the rest in `OTHER`. One of the 64 that becomes clearly more active than the least of the 24
changes places with it, and takes its sums along. Beyond the 64 the least active goes into `OTHER` for good; should it
come back, it counts from then on. Who bought a brand before is known for 72 brands and 16 categories a customer
(`models/brand/taste.py`); purchases of a customer are told apart up to 200; usual prices of 4,096 products, the least
recently sold goes.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct, field, structs

from models.brand.dirichlet import FURTHEST
from models.brand.promotion import Promotions
from models.brand.situation import last_brand
from models.brand.standings import MAX_BRANDS, OTHER
from models.brand.taste import Offer, bought_before, held, mark, marks
from models.market.busiest import Candidates, Places
from schemas.state import Taste

MAX_WAITING: Final = 64
"""Brands of a category that are counted apart without a name."""
ACTIVE_FADE: Final = 1.0 - 1.0 / 30.0
"""What an older purchase weighs in how active a brand is, a day."""
HALF_LIFE: Final = 28.0
"""Days after which revenue weighs half in the recent share."""
_START: Final = 20_000
SWITCH_FADE: Final = 0.999
"""What an older switch weighs, a choice of the category."""
FORGOTTEN: Final = 1e-9
"""What a switch weighs against the newest one when it is forgotten: each was divided so often that it would be 0."""
E4: Final = 10_000


class BrandSums(Struct):
    """One brand in one category. Purchases, buyers and segments are of known customers; amounts of everybody.

    A purchase of two brands is one purchase of each. `followed` are those of all brands of the category, by customers
    once they had bought this one, and before. `low_units` of `judged_units` went below the usual price. `offered` and
    `chosen` are choices where the brand could be had: [at its usual price, promoted or cheaper]. `is_late`: some of
    what it sold may have been counted in `OTHER`.
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
    is_late: bool = False

    def absorb(self, gone: "BrandSums") -> None:
        """Take over what was sold of another brand. Who bought is not added up: it may be the same customer."""
        for name in ("revenue_e4", "units", "recent", "purchases", "low_units", "judged_units"):
            setattr(self, name, getattr(self, name) + getattr(gone, name))
        self.offered = [a + b for a, b in zip(self.offered, gone.offered, strict=True)]
        self.chosen = [a + b for a, b in zip(self.chosen, gone.chosen, strict=True)]
        for segment, n in gone.segments.items():
            self.segments[segment] = self.segments.get(segment, 0) + n

    def join(self, gone: "BrandSums", most: int) -> None:
        """Take over who bought another brand, as if they were others; no more than so many."""
        self.buyers = min(self.buyers + gone.buyers, most)
        self.repeaters = min(self.repeaters + gone.repeaters, self.buyers)
        self.followed += gone.followed

    def met(self, before: int | None, now: int, count: int, most: int) -> None:
        """Count who bought this brand.

        Parameters
        ----------
        before
            How often already; None: more than once, perhaps.
        now, count
            How many purchases of it, and of all brands of the category so far, are these.
        most
            Buyers that there can be.
        """
        if before == 0 and self.buyers < most:
            self.buyers += 1
        if before is not None and before < 2 <= before + now and self.repeaters < self.buyers:
            self.repeaters += 1
        self.followed += count

    def take(self, units: float, amount_e4: int, weight: float) -> tuple[float, int]:
        """Add what was sold, or below zero came back. Returns what came back of what was never counted here."""
        over_units, over_e4 = 0.0, 0
        if self.is_late and (units < 0 or amount_e4 < 0):
            over_units, over_e4 = min(self.units + units, 0.0), min(self.revenue_e4 + amount_e4, 0)
        self.units += units - over_units
        self.revenue_e4 += amount_e4 - over_e4
        self.recent += (amount_e4 - over_e4) / E4 * weight
        return over_units, over_e4


class CategorySums(Struct):
    """All brands of one category. `unit` is what a switch weighs now.

    `by_count` are customers by number of purchases of its brands: one of two brands counts twice, as it does there.
    `brands` are all that are told apart, and `OTHER`: what is sold of that is of all others, who bought it are those
    who bought any brand without a place.
    """

    purchases: int = 0
    buyers: int = 0
    by_count: dict[int, int] = field(default_factory=dict)
    brands: dict[str, BrandSums] = field(default_factory=dict)
    places: Places = field(default_factory=lambda: Places(MAX_BRANDS, Candidates(MAX_WAITING)))
    segments: dict[str, int] = field(default_factory=dict)
    switches: dict[str, dict[str, float]] = field(default_factory=dict)
    unit: float = 1.0
    promotions: Promotions = field(default_factory=Promotions)

    def kept(self, brand: str) -> BrandSums:
        """Return the sums that a brand's belong to."""
        found = self.brands.get(brand)
        return self.brands.setdefault(OTHER, BrandSums()) if found is None else found

    def name(self, brand: str) -> str:
        """Return the name under which a brand is shown now."""
        return brand if brand in self.places.active else OTHER

    def close(self, until: int, days: int) -> None:
        """Days before `until` are over, so many more than so far."""
        self.promotions.close(until)
        self.places.fade(ACTIVE_FADE**days)

    # Who has a place.

    def meet(self, brand: str) -> None:
        """Note that a brand can be had."""
        if brand != OTHER:
            self.places.meet(brand)
            if brand in self.places.active:
                self.brands.setdefault(brand, BrandSums())

    def count(self, brands: Iterable[str]) -> None:
        """Note that brands are bought."""
        for brand in brands:
            if brand == OTHER:
                continue
            left = self.places.count(brand)
            if brand not in self.brands:
                self.brands[brand] = BrandSums(is_late=self.places.is_late(brand))
            if left.forgotten is not None:
                self._rest().absorb(self.brands.pop(left.forgotten))
            if left.unnamed is not None:
                self._put_away(left.unnamed)

    def _rest(self) -> BrandSums:
        return self.brands.setdefault(OTHER, BrandSums())

    def _put_away(self, brand: str) -> None:
        """A brand has lost its place: what cannot be told of it alone goes to the rest."""
        self._rest().join(self.brands[brand], self.buyers)
        self.promotions.leave(brand, OTHER)
        into = self.switches.pop(brand, {})
        for to, weight in into.items():
            self._add_switch(OTHER, to, weight)
        for row in self.switches.values():
            if brand in row:
                row[OTHER] = row.get(OTHER, 0.0) + row.pop(brand)

    def absorb(self, gone: "CategorySums") -> None:
        """Take over another category: brands of the same name become one, customers are taken for others.

        How shares moved with promotion is forgotten: it was within the other category.
        """
        self.purchases += gone.purchases
        self.buyers += gone.buyers
        for count, customers in gone.by_count.items():
            self.by_count[count] = self.by_count.get(count, 0) + customers
        for segment, n in gone.segments.items():
            self.segments[segment] = self.segments.get(segment, 0) + n
        for brand, sums in gone.brands.items():
            self.meet(brand)
            mine, rest = self.kept(brand), self._rest()
            mine.absorb(sums)
            mine.is_late = True
            if mine is not rest:
                mine.join(sums, self.buyers)
            if brand == OTHER or (brand in gone.places.active and brand not in self.places.active):
                rest.join(sums, self.buyers)
        for before, row in gone.switches.items():
            for to, weight in row.items():
                self._add_switch(self.name(before), self.name(to), weight / gone.unit * self.unit)
        self.promotions.absorb(gone.promotions, self.name)

    def shown(self) -> dict[str, BrandSums]:
        """Each brand with a place, and the rest together as `OTHER`: they add up to the category."""
        found = {brand: sums for brand, sums in self.brands.items() if brand in self.places.active}
        others = [sums for brand, sums in self.brands.items() if brand not in found and brand != OTHER]
        if others or OTHER in self.brands:
            rest = self.brands.get(OTHER) or BrandSums()
            found[OTHER] = structs.replace(rest, segments=dict(rest.segments))
            for sums in others:
                found[OTHER].absorb(sums)
        return found

    # What is counted.

    def sold(self, brand: str, day: int, units: float, amount_e4: int) -> None:
        """Add what was sold, or below zero came back: what was counted in `OTHER` before goes back there."""
        weight = 2.0 ** min(max((day - _START) / HALF_LIFE, -900.0), 900.0)
        over = self.kept(brand).take(units, amount_e4, weight)
        if over != (0.0, 0):
            self._rest().take(*over, weight)

    def bought(self, taste: Taste, brands: Sequence[str], main: str, segment: str) -> None:
        """Count a customer's purchase of some brands; `taste` is what was known before it."""
        distinct = list(dict.fromkeys(brands))
        self.count(distinct)
        before = held(taste)
        count = before + len(distinct)
        self.purchases += 1
        self._customer(min(before, FURTHEST), min(count, FURTHEST))
        if segment:
            self.segments[segment] = self.segments.get(segment, 0) + 1
        self._buyers(taste, distinct, count)
        for brand in distinct:
            sums = self.kept(brand)
            sums.purchases += 1
            if segment:
                sums.segments[segment] = sums.segments.get(segment, 0) + 1
        last = last_brand(taste)
        if last is not None:
            self.unit /= SWITCH_FADE
            if self.unit > 1e12:
                self._rescale()
            self._add_switch(self.name(last), self.name(main), self.unit)

    def _customer(self, before: int, count: int) -> None:
        """Move a customer on to another number of purchases; who has not been counted here is a buyer from now on."""
        if before and self.by_count.get(before, 0) > 0:
            self.by_count[before] -= 1
        else:
            self.buyers += 1
        self.by_count[count] = self.by_count.get(count, 0) + 1

    def _buyers(self, taste: Taste, distinct: Sequence[str], count: int) -> None:
        more, named = len(distinct), self.places.active
        for brand in distinct:
            if brand != OTHER and brand in self.brands:  # of a hundred in one purchase the first may have gone again
                already = bought_before(taste, brand)
                self.brands[brand].met(already, 1, count if already == 0 else more, self.buyers)
        known = set(taste.counts)
        unnamed = sum(n for brand, n in taste.counts.items() if brand not in named)
        if taste.gone:
            gone = marks(taste)
            by_mark = {mark(brand): brand for brand in self.brands}
            known |= {by_mark[one] for one in gone if one in by_mark}
            unnamed += sum(n for one, n in gone.items() if by_mark.get(one) not in named)
        for brand in known - {OTHER, *distinct}:
            if brand in self.brands:
                self.brands[brand].followed += more
        now = sum(brand not in named for brand in distinct)
        if now:
            self._rest().met(unnamed, now, count if unnamed == 0 else more, self.buyers)
        elif unnamed and OTHER in self.brands:
            self.brands[OTHER].followed += more

    def _add_switch(self, before: str, now: str, weight: float) -> None:
        row = self.switches.setdefault(before, {})
        row[now] = row.get(now, 0.0) + weight

    def _rescale(self) -> None:
        """Keep the weights finite; what has faded away goes."""
        rescaled: dict[str, dict[str, float]] = {}
        for before, row in self.switches.items():
            kept = {to: weight / self.unit for to, weight in row.items() if weight > FORGOTTEN * self.unit}
            if kept:
                rescaled[before] = kept
        self.switches, self.unit = rescaled, 1.0

    def offered(self, offers: Sequence[Offer], deals: Sequence[bool | None], chosen: str) -> None:
        """Count a choice with alternatives: for each brand, whether it was on offer cheaply, if known, and chosen."""
        for offer, deal in zip(offers, deals, strict=True):
            sums = self.brands.get(offer.brand)
            if sums is not None and deal is not None:
                sums.offered[deal] += 1
                sums.chosen[deal] += offer.brand == chosen

    def switching(self) -> dict[str, dict[str, float]]:
        """From the last brand to the next: shares of each row, recent switches weighing more."""
        return {
            before: {to: weight / math.fsum(row.values()) for to, weight in sorted(row.items())}
            for before, row in sorted(self.switches.items())
        }
