"""Where a brand stands in its category, and what of that is its size alone."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from models.brand.dirichlet import Expected, expected, fit, negative_binomial
from models.brand.standings import OTHER
from models.brand.sums import E4, BrandSums, CategorySums

FORMER: Final = "former segments"
UNNAMED: Final[Mapping[str, str]] = {}


def expectations(category: CategorySums, shown: Mapping[str, BrandSums], population: int) -> dict[str, Expected]:
    """What the NBD-Dirichlet leads one to expect of each brand with buyers; empty while there is too little.

    Parameters
    ----------
    shown
        All brands of the category, as `CategorySums.shown` has them.
    population
        Customers who bought anything with a brand. Where all of them bought the category, the numbers of their
        purchases are taken as they are.
    """
    total = sum(sums.purchases for sums in shown.values())
    named = {name: sums for name, sums in shown.items() if sums.buyers and name != OTHER}
    if len(named) < 2 or category.buyers < 10:  # one brand has no rival, ten buyers no spread
        return {}
    seen = [0.0] * (max(category.by_count) + 1)
    for count, customers in category.by_count.items():
        seen[count] = float(customers)
    zero = 1.0 - category.buyers / max(population, category.buyers)
    purchases = negative_binomial(total / max(population, 1), zero) or seen
    shares = {name: sums.purchases / total for name, sums in named.items()}
    penetrations = {name: sums.buyers / category.buyers for name, sums in named.items()}
    strength = fit(shares, penetrations, purchases)
    return {name: expected(share, strength, purchases) for name, share in shares.items() if share < 1}


def figures(
    category: CategorySums,
    shown: Mapping[str, BrandSums],
    name: str,
    prospects: Mapping[str, Expected],
    segments: Mapping[str, str] = UNNAMED,
) -> dict[str, Any]:
    """Where a brand stands, as it is served: shares of the category, None where nothing can be said.

    A brand of which more came back than was sold has a share below 0. `price_position` is the mean price of a unit
    over that of the category. `segments` is an index: 100 is the segment's share among all of the category's purchases.
    Its names are those of `segments`, by id. `shown` are all brands of the category, as `CategorySums.shown` has them.
    """
    sums = shown[name]
    every = shown.values()
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
