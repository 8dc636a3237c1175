"""How a category's brands stand as choices have shown them: shares, usual prices; bounded."""

import math
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import structs

from models.brand.taste import Offer
from schemas.choice import Standing

OTHER: Final = "other brands"
"""What is chosen and was not known before; and what is too rare to be known by name."""
MAX_BRANDS: Final = 24
"""Brands of a category known by name."""
FADE: Final = 0.999
"""What an older choice weighs in the market's shares, a choice."""
USUAL_RATE: Final = 0.02
"""What one seen price weighs in the usual one."""
LEAST: Final = 1e-6
"""Weight below which none falls: a share of 0 has no logarithm."""
Market = Mapping[str, Standing]


def meet(market: dict[str, Standing], brand: str) -> Standing:
    """Return a brand's standing, new if need be; that of `OTHER` where no more can be known by name."""
    if brand in market:
        return market[brand]
    if len(market) > MAX_BRANDS and brand != OTHER:
        named = [name for name in market if name != OTHER]
        quietest = min(named, key=lambda name: (market[name].weight, name))
        if market[quietest].weight >= Standing().weight:
            return meet(market, OTHER)
        del market[quietest]
    return market.setdefault(brand, Standing())


def learn_market(market: dict[str, Standing], offers: Sequence[Offer] | None, brand: str, price: float | None) -> None:
    """Take in one choice: shares, and usual prices of all that could be had; without offers, of the brand bought."""
    for standing in market.values():
        standing.weight = max(standing.weight * FADE, LEAST)
    meet(market, brand).weight += 1.0
    for offer in offers if offers is not None else [Offer(brand, price)]:
        if offer.price and offer.brand in market:
            standing = market[offer.brand]
            log = math.log(offer.price)
            standing.usual = log if standing.usual is None else standing.usual + USUAL_RATE * (log - standing.usual)


def brand_name(category: str | None, brand: str) -> str:
    """Name under which a brand is served: `<category>:<brand>`; feedback may leave the category open.

    The first colon ends the category: one of its own is written `%3A`, a per cent sign `%25`.

    >>> brand_name("tea: green", "Ash: No. 1"), brand_name(None, "Ash")
    ('tea%3A green:Ash: No. 1', ':Ash')
    """
    return f"{(category or '').replace('%', '%25').replace(':', '%3A')}:{brand}"


def parts_of(name: str) -> tuple[str, str]:
    """Category and brand of a name under which a brand is served.

    >>> parts_of("tea%3A green:Ash: No. 1"), parts_of(":Ash")
    (('tea: green', 'Ash: No. 1'), ('', 'Ash'))
    """
    category, _, brand = name.partition(":")
    return category.replace("%3A", ":").replace("%25", "%"), brand


def frozen(markets: Mapping[str, Market]) -> dict[str, dict[str, Standing]]:
    """Copy markets for a model that is published."""
    return {
        category: {name: structs.replace(standing) for name, standing in market.items()}
        for category, market in markets.items()
    }
