"""What a customer is known to like, and what one purchase adds to it.

Bounds, and what happens there: 16 categories a customer, and 8 brands a category by name (the least counted makes
room), how often the customer bought 64 more (beyond that, one that is not known may have been bought before), the
main brand of the last 16 purchases, 32 categories of one purchase (those with most lines), 50 products of a category
in one purchase (what is beyond is told by brand, without product).
"""

import math
from typing import Any, Final, NamedTuple
from zlib import crc32

from msgspec import Struct, structs

from models.receipt import E4, UNCATEGORISED, Receipt
from schemas.events import Alternative, Line
from schemas.state import Taste

__all__ = ["UNCATEGORISED", "Told", "bought", "bought_before", "held", "mark", "marks", "remember", "tell"]

MAX_CATEGORIES: Final = 16
MAX_TOLD: Final = 32
MAX_BRANDS: Final = 8
MAX_PRODUCTS: Final = 50
MAX_TEXT: Final = 64
RECENT: Final = 16
_NOTHING: Final = Taste()
GONE: Final = 255
"""Stands in `recent` for a brand that is no longer counted."""
MAX_GONE: Final = 64
"""Brands that are remembered without a name: by two bytes of a hash, and how often they were bought, up to 255."""
LOST: Final = b"\xff\xff\xff"
"""Stands first in `gone` once more brands were bought than are remembered."""


class Offer(NamedTuple):
    """A brand that could be had. `price` is None where it is not known, `promoted` where nobody says so."""

    brand: str
    price: float | None = None
    promoted: bool | None = None


class Bought(Struct):
    """What one purchase, or refund, holds of one category.

    `lines` are (brand, product, units, amount in 1/10,000). `brand` is the one with most units; of it there are
    `units`, for `amount_e4` in all. `offers` is all that could be had, with the brand itself; None where the
    event does not say. `promoted`: the brand itself was. `paid`: nobody says for what it stood on the shelf, so the
    brand's price among the offers is what was paid.
    """

    category: str
    brand: str
    lines: list[tuple[str, str, float, int]]
    units: float
    amount_e4: int
    offers: list[Offer] | None = None
    promoted: bool = False
    paid: bool = False


def bought(receipt: Receipt) -> list[Bought]:
    """Lines with a brand, by category."""
    groups: dict[str, list[tuple[Line, int]]] = {}
    for category, shelf in receipt.shelves.items():
        branded = [pair for pair in zip(shelf.lines, shelf.amounts, strict=True) if pair[0].brand is not None]
        if branded:
            name = category[:MAX_TEXT]
            groups[name] = groups[name] + branded if name in groups else branded
    if len(groups) < 2:
        return [_of_category(name, lines) for name, lines in groups.items()]
    busiest = sorted(groups)
    busiest.sort(key=lambda name: -len(groups[name]))
    return [_of_category(name, groups[name]) for name in busiest[:MAX_TOLD]]


def _of_category(category: str, lines: list[tuple[Line, int]]) -> Bought:
    if len(lines) == 1:  # as most are
        line, amount_e4 = lines[0]
        brand, units = _name(line.brand), line.quantity
        one = Bought(category, brand, [(brand, line.product_id[:MAX_TEXT], units, amount_e4)], units, amount_e4)
        if line.alternatives:
            _offer(one, [line])
        return one
    brand, found = _merged(lines)
    one = Bought(category, brand, found, 0.0, 0)
    for name, _, units, amount_e4 in found:
        if name == brand:
            one.units += units
            one.amount_e4 += amount_e4
    _offer(one, [line for line, _ in lines if line.alternatives and _name(line.brand) == brand])
    return one


def _merged(lines: list[tuple[Line, int]]) -> tuple[str, list[tuple[str, str, float, int]]]:
    """The brand with most units, and lines by brand and product."""
    units: dict[str, float] = {}
    merged: dict[tuple[str, str], tuple[str, str, float, int]] = {}
    for line, amount_e4 in lines:
        brand, product, quantity = _name(line.brand), line.product_id[:MAX_TEXT], line.quantity
        units[brand] = units.get(brand, 0.0) + quantity
        if (brand, product) not in merged and len(merged) >= MAX_PRODUCTS:
            product = ""
        _, _, quantity_before, before_e4 = merged.get((brand, product), (brand, product, 0.0, 0))
        merged[brand, product] = (brand, product, quantity_before + quantity, before_e4 + amount_e4)
    most = min(units, key=lambda name: (-units[name], name)) if len(units) > 1 else brand
    return most, list(merged.values())


def _name(brand: str | None) -> str:
    return (brand or "")[:MAX_TEXT]


def _offer(one: Bought, lines: list[Line]) -> None:
    """Note the alternatives of the lines of the brand bought, each brand once, and that brand itself."""
    named: dict[str, Alternative] = {}
    for line in lines:
        for other in line.alternatives or ():
            named.setdefault(_name(other.brand), other)
    if not named:
        return
    own = named.pop(one.brand, None)
    price = one.amount_e4 / E4 / one.units
    one.paid = own is None or not own.unit_price
    if own is None:  # who was not chosen alone says whether it was promoted: that would give the choice away
        offers = [Offer(name, other.unit_price or None) for name, other in named.items()]
        offers.append(Offer(one.brand, price or None))
    else:
        offers = [Offer(name, other.unit_price or None, other.promoted) for name, other in named.items()]
        # before a coupon of the customer's own, as the others' prices
        offers.append(Offer(one.brand, own.unit_price or price or None, own.promoted))
        one.promoted = bool(own.promoted)
    one.offers = sorted(offers)


def relative_price(offers: list[Offer], brand: str) -> float | None:
    """How far a brand's log price lies above the mean of those known; None where it has none."""
    prices = {offer.brand: math.log(offer.price) for offer in offers if offer.price}
    return prices[brand] - math.fsum(prices.values()) / len(prices) if brand in prices else None


def remember(tastes: dict[str, Taste], one: Bought, *, is_main: bool = True) -> None:
    """Add a purchase, in place. The category itself is never the one that makes room."""
    taste = tastes.get(one.category)
    if taste is None:
        taste = tastes[one.category] = Taste()
        if len(tastes) > MAX_CATEGORIES:
            others = [name for name in tastes if name != one.category]
            del tastes[min(others, key=lambda name: (tastes[name].bought, name))]
    taste.bought += 1
    counts = taste.counts
    brands = (one.brand,) if len(one.lines) == 1 else tuple(dict.fromkeys([line[0] for line in one.lines]))
    taste.held = held(taste) + len(brands)
    for brand in brands:
        before = counts[brand] if brand in counts else _recall(taste, brand) if taste.gone else 0
        counts[brand] = before + 1
        if len(counts) > MAX_BRANDS:
            _make_room(taste, {brand, one.brand})
    taste.recent = (taste.recent + bytes((list(counts).index(one.brand),)))[-RECENT:]
    # What was paid in another currency compares with no usual price.
    taste.price_e4 = round(one.amount_e4 / one.units) if is_main else 0
    taste.promoted = one.promoted
    # What was paid and what others cost on the shelf are two things: a coupon would make the one bought look cheap.
    relative = relative_price(one.offers, one.brand) if one.offers and not one.paid else None
    if relative is not None:
        taste.priced += 1
        taste.relative_e3 += round(relative * 1_000)
        taste.deals += taste.promoted


def _make_room(taste: Taste, stay: set[str]) -> None:
    """The brand least counted loses its name."""
    counts = taste.counts
    others = [name for name in counts if name not in stay]
    gone = min(others, key=lambda name: (counts[name], name))
    place = list(counts).index(gone)
    kept = taste.gone.removeprefix(LOST) + mark(gone) + bytes((min(counts.pop(gone), 255),))
    is_lost = len(kept) > 3 * MAX_GONE or taste.gone.startswith(LOST)
    taste.gone = LOST * is_lost + kept[-3 * MAX_GONE :]
    taste.recent = bytes(GONE if at in (place, GONE) else at - (at > place) for at in taste.recent)


def mark(brand: str) -> bytes:
    """Two bytes for a brand; never those of `LOST`."""
    return (crc32(brand.encode()) % 0xFFFF).to_bytes(2, "big")


def marks(taste: Taste) -> dict[bytes, int]:
    """How often brands were bought that have no name any more, by mark."""
    gone = taste.gone.removeprefix(LOST)
    return {gone[at : at + 2]: gone[at + 2] for at in range(0, len(gone), 3)}


def _recall(taste: Taste, brand: str) -> int:
    """Take a brand out of those without a name. Returns how often it was bought, as far as is known."""
    known = marks(taste)
    found = known.pop(mark(brand), 0)
    if found:
        lost = LOST if taste.gone.startswith(LOST) else b""
        taste.gone = lost + b"".join(one + bytes((n,)) for one, n in known.items())
    return found


def bought_before(taste: Taste, brand: str) -> int | None:
    """How often a customer bought a brand before; None: nobody knows, the customer bought too many."""
    if brand in taste.counts or not taste.gone:
        return taste.counts.get(brand, 0)
    return marks(taste).get(mark(brand), None if taste.gone.startswith(LOST) else 0)


def held(taste: Taste) -> int:
    """How many purchases by brand a customer has made in the category, one of two brands counted twice."""
    return taste.held or sum(taste.counts.values())  # a state of before has the counts alone


class Told(Struct, array_like=True):
    """What the learner hears of one category of one purchase or refund, as a row of plain values.

    `at` in epoch seconds, `day` since 1970-01-01 in the shop's timezone, `sign` -1 for a refund. `taste` and
    `offers` are what was known before; no `taste`: nobody was named, or it is a refund. `is_new`: the
    customer's first purchase with a brand. `paid` as in `Bought`.
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
    paid: bool = False


SEGMENT: Final = Told.__struct_fields__.index("segment")


def tell(
    receipt: Receipt, tastes: dict[str, Taste] | None, at: float, day: int, *, is_main: bool = True
) -> list[dict[str, list[Any]]]:
    """Rows with `Told` as `told`, one a category, of what was bought and what was known before; then remember it.

    Parameters
    ----------
    tastes
        Of the customer, changed in place by a purchase; None where nobody is named.
    at
        Event time, in epoch seconds.
    day
        Days since 1970-01-01 in the shop's timezone.
    is_main
        Whether it was paid in the shop's main currency.
    """
    sign, currency = receipt.sign, receipt.event.currency
    if sign < 0:
        tastes = None
    rows: list[dict[str, list[Any]]] = []
    for one in bought(receipt):
        row: list[Any]
        if tastes is None:
            row = [at, day, sign, one.category, one.brand, currency, one.lines, None, None, False, "", one.paid]
        else:
            known, is_new = _known(tastes.get(one.category)), not tastes
            row = [at, day, sign, one.category, one.brand, currency, one.lines, known, one.offers, is_new, "", one.paid]
            remember(tastes, one, is_main=is_main)
        rows.append({"told": row})
    return rows


def _known(taste: Taste | None) -> Taste:
    """Return a taste as it stands: what is remembered changes in place."""
    return _NOTHING if taste is None else structs.replace(taste, counts=taste.counts.copy())
