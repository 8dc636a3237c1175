"""One choice among brands: what is known of customer, offers and market before it, as features."""

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from statistics import median
from typing import Final

from models.brand.standings import OTHER, Market
from models.brand.taste import RECENT as REMEMBERED
from models.brand.taste import Offer
from schemas.choice import Standing
from schemas.state import Taste


def _fading(fade: float) -> tuple[float, ...]:
    weights = [1.0]
    while len(weights) < REMEMBERED:
        weights.append(weights[-1] * fade)
    return tuple(weights)


RECENTS, LATESTS = _fading(0.85), _fading(0.5)
"""What the purchases of the customer weigh in the two faster shares, the newest first."""
OWN_WEIGHT, RECENT_WEIGHT, LATEST_WEIGHT = 2.0, 0.5, 1.0
"""Purchases that the market's shares count as, beside the customer's own at each speed."""
DEAL_RATE: Final = 0.3
"""Share of purchases on promotion that tells nothing."""
FURTHEST: Final = 1.5
FEATURES: Final = (
    "market_share",
    "own_share",
    "recent_share",
    "latest_share",
    "last_brand",
    "price",
    "cheaper_than_usual",
    "dearer_than_usual",
    "promoted",
    "promoted_and_cheaper",
    "price_by_taste",
    "promoted_by_taste",
    "last_brand_cheaper",
    "cheaper_by_taste",
    "own_share_if_often",
)


class Situation:
    """One choice, and what was known before it: of the customer, of the brands on offer, and of their market.

    `names`, `offers` and `standings` go together. Without offers it is every known brand; `OTHER` is among them where
    choices showed what it is worth: where all said what there was, it was never to be had.
    """

    def __init__(self, taste: Taste, offers: Sequence[Offer] | None, market: Market) -> None:
        if offers is None:
            offers = [Offer(name) for name in market if name != OTHER]
            offers += [Offer(OTHER)] if OTHER in market else []
        self.taste = taste
        self.offers = offers
        self.names = [offer.brand for offer in offers]
        self.standings = [market.get(name) or Standing() for name in self.names]

    @cached_property
    def rows(self) -> list[list[float]]:
        """Rows of `FEATURES`, one a brand."""
        return features(self)

    def place(self, brand: str) -> int | None:
        """Where a brand stands; where `OTHER` does if it is not named; None if neither is there."""
        for name in (brand, OTHER):
            if name in self.names:
                return self.names.index(name)
        return None

    def shares(self) -> list[float]:
        """Each brand's share of the market's choices."""
        total = math.fsum(standing.weight for standing in self.standings)
        return [standing.weight / total for standing in self.standings]

    def prices(self) -> tuple[list[float], list[float]]:
        """Log price of each brand against the mean, and against its usual one; 0 where nothing is known.

        By how much most lie above or below their usual prices is the product's, not a promotion, and left out.
        """
        usual = [standing.usual for standing in self.standings]
        logs = [
            math.log(offer.price) if offer.price else known for offer, known in zip(self.offers, usual, strict=True)
        ]
        known = [log for log in logs if log is not None]
        if not known:
            return [0.0] * len(logs), [0.0] * len(logs)
        mean = math.fsum(known) / len(known)
        relative = [0.0 if log is None else _within(log - mean) for log in logs]
        gaps = [None if log is None or old is None else log - old for log, old in zip(logs, usual, strict=True)]
        level = _level([gap for gap in gaps if gap is not None])
        against = [0.0 if gap is None else _within(gap - level) for gap in gaps]
        return relative, against


def _level(gaps: list[float]) -> float:
    """The median of three or more; of fewer nobody can say which one moved."""
    return median(gaps) if len(gaps) > 2 else 0.0


def _within(difference: float) -> float:
    """Bound the difference of two log prices: beyond `FURTHEST` goods are not alike."""
    return min(max(difference, -FURTHEST), FURTHEST)


def last_brand(taste: Taste) -> str | None:
    """The main brand of the last purchase; None if there is none, or if it is no longer counted."""
    names = list(taste.counts)
    return names[taste.recent[-1]] if taste.recent and taste.recent[-1] < len(names) else None


def faded(taste: Taste, fading: Sequence[float]) -> dict[str, float]:
    """Recent purchases by brand, older ones less."""
    names = list(taste.counts)
    found: dict[str, float] = {}
    for place, weight in zip(reversed(taste.recent), fading, strict=False):
        if place < len(names):
            found[names[place]] = found.get(names[place], 0.0) + weight
    return found


def features(choice: Situation) -> list[list[float]]:
    """Rows of `FEATURES`, one a brand: a function of what was known before the choice."""
    taste = choice.taste
    shares = choice.shares()
    relative, against = choice.prices()
    own = _against_market(taste.counts, choice.names, shares, OWN_WEIGHT)
    recent = _against_market(faded(taste, RECENTS), choice.names, shares, RECENT_WEIGHT)
    latest = _against_market(faded(taste, LATESTS), choice.names, shares, LATEST_WEIGHT)
    often = 0.5 * math.log1p(sum(taste.counts.get(name, 0) for name in choice.names))
    dear = dear_taste(taste)
    deal_taste = 3.0 * (taste.deals - DEAL_RATE * taste.priced) / (taste.priced + 2)
    last = last_brand(taste)
    rows = []
    for j, offer in enumerate(choice.offers):
        cheap, is_last, promoted = 3.0 * min(against[j], 0.0), float(offer.brand == last), float(bool(offer.promoted))
        rows.append(
            [
                math.log(shares[j]),
                own[j],
                recent[j],
                latest[j],
                is_last,
                3.0 * relative[j],
                cheap,
                3.0 * max(against[j], 0.0),
                promoted,
                promoted * cheap,
                relative[j] * dear,
                promoted * deal_taste,
                is_last * cheap,
                cheap * deal_taste,
                own[j] * often,
            ]
        )
    return rows


def dear_taste(taste: Taste) -> float:
    """How dearly a customer buys: the mean log price of what was chosen against the mean on offer, drawn to 0."""
    return 20.0 * taste.relative_e3 / 1_000 / (taste.priced + 2)


def _against_market(
    counts: Mapping[str, float], names: Sequence[str], shares: Sequence[float], weight: float
) -> list[float]:
    """Log of each brand's share of a customer's purchases, over that of the market; smoothed by `weight` purchases."""
    mine = [counts.get(name, 0.0) for name in names]
    total = math.fsum(mine) + weight
    return [math.log((count + weight * share) / total / share) for count, share in zip(mine, shares, strict=True)]
