"""How loyal a customer is to the brand of the main category, and a rule that says why in words."""

import math
from typing import Final

from models.brand.at_usual import AtUsualPrices
from models.brand.prices import LOW
from models.brand.situation import last_brand
from models.brand.standings import brand_name
from schemas.state import CustomerState, Taste

SHOWN: Final = 8
"""Last purchases that a rule tells of."""
STAYS, LEAVES = 0.6, 0.4
"""From the first probability on a customer stays, below the second one leaves."""
E4: Final = 10_000
_LOW: Final = math.log(LOW)


def main_category(state: CustomerState) -> str | None:
    """The category with most branded purchases; None without any."""
    best, most = None, -1
    for name, taste in state.brands.items():
        if taste.bought > most or (taste.bought == most and best is not None and name < best):
            best, most = name, taste.bought
    return best


def loyalty(state: CustomerState, usual: AtUsualPrices | None) -> dict[str, str]:
    """Fields that are served: `brand`, `loyalty` and `loyalty_rule`; empty for who never bought a brand.

    `loyalty` is the probability that the next purchase in the main category is the last brand again, at
    everybody's usual prices. While there is no model of the category, or of the brand, it is the brand's share
    of what the customer bought, drawn towards 0 by two purchases.
    """
    category = main_category(state)
    brand = None if category is None else last_brand(state.brands[category])
    if category is None or brand is None:
        return {}
    taste = state.brands[category]
    stays = None if usual is None else usual.of(category, taste, brand)
    if stays is None or usual is None:
        stays, price = taste.counts[brand] / (sum(taste.counts.values()) + 2), None
    else:
        price = usual.model.markets[category][brand].usual
    return {
        "brand": brand_name(category, brand),
        "loyalty": f"{stays:.4f}",
        "loyalty_rule": rule(taste, brand, stays, price),
    }


def rule(taste: Taste, brand: str, stays: float, usual: float | None) -> str:
    """Why somebody stays with a brand, or does not.

    Parameters
    ----------
    stays
        Probability of the same brand next.
    usual
        Its usual log price; None if it is not known.

    Examples
    --------
    >>> rule(Taste(bought=3, counts={"a": 2, "b": 1}, recent=bytes([0, 1, 0]), price_e4=9_000), "a", 0.8, 0.0)
    '2 of the last 3, last cheap: stays'
    """
    last = taste.recent[-SHOWN:]
    place = list(taste.counts).index(brand)
    price = _price(taste, usual)
    if len(last) == 1:
        times = f"the only time, {price}" if price else "the only time"
    else:
        times = f"{last.count(place)} of the last {len(last)}" + (f", last {price}" if price else "")
    ends = "stays" if stays >= STAYS else "leaves" if stays < LEAVES else "may leave"
    return f"{times}: {ends}"


def _price(taste: Taste, usual: float | None) -> str:
    """What was paid the last time, against the brand's usual price; empty where it was that, or is not known."""
    if taste.promoted:
        return "promoted"
    if usual is None or not taste.price_e4:
        return ""
    against = math.log(taste.price_e4 / E4) - usual
    if against < _LOW:
        return "cheap"
    return "dear" if against > -_LOW else ""
