"""What a customer is known to like, and what one purchase adds to it.

Bounds, and what happens there: 8 categories a customer, and 8 brands a category (the least counted makes
room), the main brand of the last 16 purchases, 8 categories of one purchase (those with most lines), 50
products of a category in one purchase (what is beyond is told by brand, without product).
"""

import math
from typing import Any, Final, NamedTuple

from msgspec import Struct, structs

from schemas.events import Alternative, Line, Purchase, Refund
from schemas.state import Taste

UNCATEGORISED: Final = "other"
MAX_CATEGORIES: Final = 8
MAX_BRANDS: Final = 8
MAX_PRODUCTS: Final = 50
MAX_TEXT: Final = 64
RECENT: Final = 16
_NOTHING: Final = Taste()
GONE: Final = 255
"""Stands in `recent` for a brand that is no longer counted."""
E4: Final = 10_000


class Offer(NamedTuple):
    """A brand that could be had. `price` is None where it is not known, `promoted` where nobody says so."""

    brand: str
    price: float | None = None
    promoted: bool | None = None


class Bought(Struct):
    """What one purchase, or refund, holds of one category.

    `lines` are (brand, product, units, amount in 1/10,000). `brand` is the one with most units. `offers` is all
    that could be had, with the brand itself; None where the event does not say.
    """

    category: str
    brand: str
    lines: list[tuple[str, str, float, int]]
    offers: list[Offer] | None = None


def is_branded(event: Purchase | Refund) -> bool:
    """Whether any line names a brand."""
    return any(line.brand is not None for line in event.lines)


def bought(event: Purchase | Refund) -> list[Bought]:
    """Lines with a brand, by category."""
    groups: dict[str, list[Line]] = {}
    for line in event.lines:
        if line.brand is not None:
            groups.setdefault((line.category or UNCATEGORISED)[:MAX_TEXT], []).append(line)
    busiest = sorted(groups, key=lambda name: (-len(groups[name]), name))[:MAX_CATEGORIES]
    return [_of_category(name, groups[name]) for name in busiest]


def _of_category(category: str, lines: list[Line]) -> Bought:
    units: dict[str, float] = {}
    merged: dict[tuple[str, str], tuple[float, int]] = {}
    for line in lines:
        brand = _name(line.brand)
        units[brand] = units.get(brand, 0.0) + line.quantity
        key = (brand, line.product_id[:MAX_TEXT])
        if key not in merged and len(merged) >= MAX_PRODUCTS:
            key = (brand, "")
        before = merged.get(key, (0.0, 0))
        merged[key] = (before[0] + line.quantity, before[1] + round(line.quantity * line.unit_price * E4))
    brand = min(units, key=lambda name: (-units[name], name))
    found = [(*key, quantity, amount) for key, (quantity, amount) in merged.items()]
    return Bought(category, brand, found, _offers(brand, lines, found))


def _name(brand: str | None) -> str:
    return (brand or "")[:MAX_TEXT]


def _offers(brand: str, lines: list[Line], found: list[tuple[str, str, float, int]]) -> list[Offer] | None:
    """Alternatives of the lines of the brand bought, each brand once, and that brand itself."""
    named: dict[str, Alternative] = {}
    for line in lines:
        if line.brand is not None and _name(line.brand) == brand:
            for one in line.alternatives or ():
                named.setdefault(_name(one.brand), one)
    if not named:
        return None
    own = named.pop(brand, None)
    paid = [(units, amount) for name, _, units, amount in found if name == brand]
    price = sum(amount for _, amount in paid) / E4 / sum(units for units, _ in paid)
    if own is not None and own.unit_price:  # before a coupon of the customer's own, as the others' prices
        price = own.unit_price
    offers = [Offer(brand, price or None, None if own is None else own.promoted)]
    offers += [Offer(name, one.unit_price or None, one.promoted) for name, one in named.items()]
    if own is None:  # who was not chosen alone says whether it was promoted: that would give the choice away
        offers = [offer._replace(promoted=None) for offer in offers]
    return sorted(offers)


def relative_price(offers: list[Offer], brand: str) -> float | None:
    """How far a brand's log price lies above the mean of those known; None where it has none."""
    prices = {offer.brand: math.log(offer.price) for offer in offers if offer.price}
    if brand not in prices:
        return None
    return prices[brand] - math.fsum(prices.values()) / len(prices)


def remember(tastes: dict[str, Taste], one: Bought) -> None:
    """Add a purchase, in place. The category itself is never the one that makes room."""
    taste = tastes.get(one.category)
    if taste is None:
        taste = tastes[one.category] = Taste()
        if len(tastes) > MAX_CATEGORIES:
            others = [name for name in tastes if name != one.category]
            del tastes[min(others, key=lambda name: (tastes[name].bought, name))]
    taste.bought += 1
    for brand in dict.fromkeys(line[0] for line in one.lines):
        _count(taste, brand, keep=one.brand)
    taste.recent = (taste.recent + bytes([list(taste.counts).index(one.brand)]))[-RECENT:]
    paid = [(units, amount) for name, _, units, amount in one.lines if name == one.brand]
    taste.price_e4 = round(sum(amount for _, amount in paid) / sum(units for units, _ in paid))
    taste.promoted = any(bool(offer.promoted) for offer in one.offers or () if offer.brand == one.brand)
    relative = relative_price(one.offers, one.brand) if one.offers else None
    if relative is not None:
        taste.priced += 1
        taste.relative_e3 += round(relative * 1_000)
        taste.deals += taste.promoted


def _count(taste: Taste, brand: str, keep: str) -> None:
    counts = taste.counts
    counts[brand] = counts.get(brand, 0) + 1
    if len(counts) <= MAX_BRANDS:
        return
    others = [name for name in counts if name not in (brand, keep)]
    gone = min(others, key=lambda name: (counts[name], name))
    place = list(counts).index(gone)
    del counts[gone]
    taste.recent = bytes(GONE if at in (place, GONE) else at - (at > place) for at in taste.recent)


class Told(Struct, array_like=True):
    """What the learner hears of one category of one purchase or refund, as a row of plain values.

    `at` in epoch seconds, `day` since 1970-01-01 in the shop's timezone, `sign` -1 for a refund. `taste` and
    `offers` are what was known before; no `taste`: nobody was named, or it is a refund. `is_new`: the
    customer's first purchase with a brand.
    """

    at: float
    day: int
    sign: int
    category: str
    brand: str
    currency: str
    lines: list[tuple[str, str, float, int]]
    taste: Taste | None = None
    offers: list[Offer] | None = None
    is_new: bool = False
    segment: str = ""


SEGMENT: Final = Told.__struct_fields__.index("segment")


def tell(event: Purchase | Refund, tastes: dict[str, Taste] | None, at: float, day: int) -> list[dict[str, list[Any]]]:
    """Rows with `Told` as `told`, one a category, of what was bought and what was known before; then remember it.

    Parameters
    ----------
    tastes
        Of the customer, changed in place by a purchase; None where nobody is named.
    at
        Event time, in epoch seconds.
    day
        Days since 1970-01-01 in the shop's timezone.
    """
    is_purchase = isinstance(event, Purchase)
    rows: list[dict[str, list[Any]]] = []
    for one in bought(event):
        row: list[Any] = [at, day, 1 if is_purchase else -1, one.category, one.brand, event.currency, one.lines]
        if tastes is not None and is_purchase:
            taste = tastes.get(one.category, _NOTHING)
            known = [taste.bought, dict(taste.counts), *structs.astuple(taste)[2:]]
            row += [known, one.offers, not tastes, ""]
            remember(tastes, one)
        else:
            row += [None, None, False, ""]
        rows.append({"told": row})
    return rows
