"""How loyal a customer is to the brand of the main category, and a rule that says why in words."""

import math
from collections.abc import Callable
from typing import Final

from models.brand.at_usual import Against, AtUsualPrices
from models.brand.prices import LOW
from models.brand.situation import last_brand
from models.brand.standings import brand_name
from schemas.state import CustomerState, Taste

SHOWN: Final = 8
"""Last purchases that a rule tells of."""
STAYS, LEAVES = 0.6, 0.4
"""From the first probability on a customer stays, below the second one leaves."""
E4: Final = 10_000
Compare = Callable[[], Against | None]
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
    utilities = None if usual is None else usual.utilities(category, taste, brand)
    if utilities is None or usual is None:
        stays = taste.counts[brand] / (sum(taste.counts.values()) + 2)
        why = rule(taste, brand, stays, None)
    else:
        stays = usual.chance(category, brand, utilities)
        price = usual.model.markets[category][brand].usual
        why = rule(taste, brand, stays, price, lambda: usual.against(category, taste, brand, utilities))
    return {"brand": brand_name(category, brand), "loyalty": f"{stays:.4f}", "loyalty_rule": why}


def rule(taste: Taste, brand: str, stays: float, usual: float | None, against: Compare | None = None) -> str:
    """Why somebody stays with a brand, or does not.

    Parameters
    ----------
    stays
        Probability of the same brand next.
    usual
        Its usual log price; None if it is not known.
    against
        Compares the brand with the likeliest other; asked where the last purchases, two or more, point the other way.

    Examples
    --------
    >>> rule(Taste(bought=3, counts={"a": 2, "b": 1}, recent=bytes([0, 1, 0]), price_e4=9_000), "a", 0.8, 0.0)
    '2 of the last 3, last cheap: stays'
    """
    last = taste.recent[-SHOWN:]
    times, of = last.count(list(taste.counts).index(brand)), len(last)
    ends = "stays" if stays >= STAYS else "leaves" if stays < LEAVES else "may leave"
    if against is not None and of > 1 and (2 * times < of if stays >= STAYS else 2 * times > of and stays < LEAVES):
        return f"{times} of the last {of}: {ends}{_because(taste, brand, stays, against())}"
    price = _price(taste, usual)
    if of == 1:
        return f"the only time, {price}: {ends}" if price else f"the only time: {ends}"
    return f"{times} of the last {of}, last {price}: {ends}" if price else f"{times} of the last {of}: {ends}"


def _because(taste: Taste, brand: str, stays: float, against: Against | None) -> str:
    """For whom somebody leaves, and which part of the model says most why; or why somebody stays."""
    if against is None:
        return ""
    price, liked, habit, dearer = against.price, against.liked, against.habit, against.dearer
    if stays >= STAYS:
        to, other = brand, against.rival
    elif price + liked + habit > 0:  # no single other brand is as likely
        return " for others"
    else:
        to, other = against.rival, brand
        price, liked, habit, dearer = -price, -liked, -habit, -dearer
    if price > max(liked, habit):
        why = "dearer" if dearer > 0 else "cheaper"
    elif liked > habit:
        why = "popular"
    elif taste.counts.get(to, 0) >= taste.counts.get(other, 0):
        why = "by habit"
    else:
        why = "of late" if to == brand else "for a change"
    return f", {why}" if to == brand else f" for {to}, {why}"


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
