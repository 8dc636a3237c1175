"""What a published choice model says of a customer where all prices are usual: a few additions a brand."""

import math
from typing import Final, NamedTuple

from msgspec import Struct

from models.brand.situation import (
    LATEST_WEIGHT,
    LATESTS,
    OWN_WEIGHT,
    RECENT_WEIGHT,
    RECENTS,
    Situation,
    dear_taste,
)
from schemas.choice import ChoiceModel
from schemas.state import Taste

_FADING: Final = tuple(zip(RECENTS, LATESTS, strict=True))


class _Category(Struct):
    """Brands in one order: utility for who has bought nothing, log price against the mean, and share.

    `weights` are what the shares count as beside a customer's own purchases, at each speed.
    """

    places: dict[str, int]
    bases: list[tuple[float, float]]
    weights: list[tuple[float, float, float, float]]


class Against(NamedTuple):
    """One brand against another: the log odds of it are `price` and `liked` and `habit` together.

    `price` are usual prices, `dearer` by how much the log of the one lies above that of the other, `liked` what
    everybody chooses beyond price, `habit` what the customer bought before.
    """

    rival: str
    dearer: float
    price: float
    liked: float
    habit: float


class AtUsualPrices:
    """Probabilities of a published model where all prices are usual and nothing is promoted.

    Of most brands all but one term is then the same for everybody, and put together once a category: a
    customer costs a few additions a brand.
    """

    def __init__(self, model: ChoiceModel) -> None:
        self.model = model
        self.weights = dict(zip(model.features, model.weights, strict=True))
        self._known: dict[str, _Category] = {}

    def _category(self, category: str) -> _Category:
        known = self._known.get(category)
        if known is None:
            choice, w = Situation(Taste(), None, self.model.markets.get(category, {})), self.weights
            shares = choice.shares()
            relative, _ = choice.prices()
            bases = [
                (standing.offset + w["market_share"] * math.log(share) + 3.0 * w["price"] * price, price)
                for standing, share, price in zip(choice.standings, shares, relative, strict=True)
            ]
            places = {name: place for place, name in enumerate(choice.names)}
            weights = [(share, OWN_WEIGHT * share, RECENT_WEIGHT * share, LATEST_WEIGHT * share) for share in shares]
            known = self._known[category] = _Category(places, bases, weights)
        return known

    def of(self, category: str, taste: Taste, brand: str) -> float | None:
        """Probability that the next purchase is a brand; None if the model does not know it."""
        utilities = self.utilities(category, taste, brand)
        return None if utilities is None else self.chance(category, brand, utilities)

    def chance(self, category: str, brand: str, utilities: list[float]) -> float:
        """Probability of a brand, from what `utilities` returned."""
        top, total, exp = max(utilities), 0.0, math.exp
        for utility in utilities:
            total += exp(utility - top)
        return exp(utilities[self._known[category].places[brand]] - top) / total

    def against(self, category: str, taste: Taste, brand: str, utilities: list[float]) -> Against | None:
        """Compare a brand with the likeliest other, from what `utilities` returned; None where there is no other."""
        known = self._known[category]
        here, others = known.places[brand], utilities.copy()
        if len(others) == 1:
            return None
        others[here] = -math.inf
        there = others.index(max(others))
        (base, price), (other_base, other_price) = known.bases[here], known.bases[there]
        usual, by_taste = 3.0 * self.weights["price"], self.weights["price_by_taste"] * dear_taste(taste)
        dearer = price - other_price
        return Against(
            rival=list(known.places)[there],
            dearer=dearer,
            price=(usual + by_taste) * dearer,
            liked=base - other_base - usual * dearer,
            habit=utilities[here] - utilities[there] - (base - other_base) - by_taste * dearer,
        )

    def utilities(self, category: str, taste: Taste, brand: str) -> list[float] | None:
        """Log odds of each brand of a category, up to a constant; None if the model does not know this one."""
        if brand not in self.model.markets.get(category, {}):
            return None
        known = self._category(category)
        w, log = self.weights, math.log
        recents, latests = _faded(taste)
        mine = [
            (known.places[name], place, count)
            for place, (name, count) in enumerate(taste.counts.items())
            if name in known.places
        ]
        n = sum([count for _, _, count in mine])
        own_sum = n + OWN_WEIGHT
        recent_sum = math.fsum([recents[place] for _, place, _ in mine]) + RECENT_WEIGHT
        latest_sum = math.fsum([latests[place] for _, place, _ in mine]) + LATEST_WEIGHT
        own = w["own_share"] + w["own_share_if_often"] * 0.5 * math.log1p(n)
        by_price, by_recent, by_latest = w["price_by_taste"] * dear_taste(taste), w["recent_share"], w["latest_share"]
        nothing = (
            own * log(OWN_WEIGHT / own_sum)
            + by_recent * log(RECENT_WEIGHT / recent_sum)
            + by_latest * log(LATEST_WEIGHT / latest_sum)
        )
        utilities = [base + by_price * price + nothing for base, price in known.bases]
        last = taste.recent[-1] if taste.recent else -1
        for j, place, count in mine:
            base, price = known.bases[j]
            share, owns, lately, last_time = known.weights[j]
            utilities[j] = (
                base
                + by_price * price
                + (
                    own * log((count + owns) / own_sum / share)
                    + by_recent * log((recents[place] + lately) / recent_sum / share)
                    + by_latest * log((latests[place] + last_time) / latest_sum / share)
                    + (w["last_brand"] if place == last else 0.0)
                )
            )
        return utilities


def _faded(taste: Taste) -> tuple[list[float], list[float]]:
    """Recent purchases by brand, in the order of `counts`, older ones less: at both speeds."""
    n = len(taste.counts)
    recents, latests = [0.0] * n, [0.0] * n
    for place, (recent, latest) in zip(reversed(taste.recent), _FADING, strict=False):
        if place < n:
            recents[place] += recent
            latests[place] += latest
    return recents, latests


_newest: list[AtUsualPrices] = []


def at_usual(model: ChoiceModel) -> AtUsualPrices:
    """Return what was made of the model; kept while it is the newest, for many chunks are scored with one."""
    if not _newest or _newest[0].model is not model:
        _newest[:] = [AtUsualPrices(model)]
    return _newest[0]
