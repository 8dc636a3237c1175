"""What a published choice model says of a customer where all prices are usual: a few additions a brand."""

import math

from models.brand.situation import (
    LATEST,
    LATEST_WEIGHT,
    OWN_WEIGHT,
    RECENT,
    RECENT_WEIGHT,
    Situation,
    dear_taste,
    faded,
    last_brand,
)
from schemas.choice import ChoiceModel
from schemas.state import Taste


class AtUsualPrices:
    """Probabilities of a published model where all prices are usual and nothing is promoted.

    Of most brands all but one term is then the same for everybody, and put together once a category: a
    customer costs a few additions a brand.
    """

    def __init__(self, model: ChoiceModel) -> None:
        self.model = model
        self.weights = dict(zip(model.features, model.weights, strict=True))
        self._known: dict[str, list[tuple[str, float, float, float]]] = {}

    def _brands(self, category: str) -> list[tuple[str, float, float, float]]:
        """Each brand's name, share, log price against the mean, and utility for who has bought nothing."""
        known = self._known.get(category)
        if known is None:
            choice, w = Situation(Taste(), None, self.model.markets.get(category, {})), self.weights
            shares = choice.shares()
            relative, _ = choice.prices()
            known = self._known[category] = [
                (name, share, price, standing.offset + w["market_share"] * math.log(share) + 3.0 * w["price"] * price)
                for name, standing, share, price in zip(choice.names, choice.standings, shares, relative, strict=True)
            ]
        return known

    def of(self, category: str, taste: Taste, brand: str) -> float | None:
        """Probability that the next purchase is a brand; None if the model does not know it."""
        if brand not in self.model.markets.get(category, {}):
            return None
        w, known = self.weights, self._brands(category)
        counts, recent, latest = taste.counts, faded(taste, RECENT), faded(taste, LATEST)
        named = {name for name, *_ in known} if len(counts) else set()
        mine = [name for name in counts if name in named]
        n = sum(counts[name] for name in mine)
        own_sum = n + OWN_WEIGHT
        recent_sum = math.fsum(recent.get(name, 0.0) for name in mine) + RECENT_WEIGHT
        latest_sum = math.fsum(latest.get(name, 0.0) for name in mine) + LATEST_WEIGHT
        own = w["own_share"] + w["own_share_if_often"] * 0.5 * math.log1p(n)
        by_price = w["price_by_taste"] * dear_taste(taste)
        last, total, wanted = last_brand(taste), 0.0, 0.0
        nothing = (
            own * math.log(OWN_WEIGHT / own_sum)
            + w["recent_share"] * math.log(RECENT_WEIGHT / recent_sum)
            + w["latest_share"] * math.log(LATEST_WEIGHT / latest_sum)
        )
        utilities = []
        for name, share, price, base in known:
            utility = base + by_price * price
            if name in counts:
                utility += (
                    own * math.log((counts[name] + OWN_WEIGHT * share) / own_sum / share)
                    + w["recent_share"] * math.log((recent.get(name, 0.0) + RECENT_WEIGHT * share) / recent_sum / share)
                    + w["latest_share"] * math.log((latest.get(name, 0.0) + LATEST_WEIGHT * share) / latest_sum / share)
                    + w["last_brand"] * (name == last)
                )
            else:
                utility += nothing
            utilities.append(utility)
        top = max(utilities)
        for (name, *_), utility in zip(known, utilities, strict=True):
            power = math.exp(utility - top)
            total += power
            if name == brand:
                wanted = power
        return wanted / total
