"""Which brand the next purchase in a category will be: a conditional logit, learned online.

After Guadagni and Little (1983), Marketing Science 2, 203-238: utility rests on the customer's own
share of the brand, on price and on promotion. Here own share is kept at three speeds, smoothed towards
the market's, prices are against the others and against the usual, and customers who have bought cheaply
or on promotion are told apart from those who have not. Each choice is one step of Newton's method for
all that came before: the curvatures of all choices are added up, and the weights move by the gradient over them.
"""

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Final, Self

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from models.brand.taste import Offer
from schemas.choice import ChoiceModel, Standing
from schemas.state import Taste

OTHER: Final = "other brands"
"""What is chosen and was not known before; and what is too rare to be known by name."""
MAX_BRANDS: Final = 24
"""Brands of a category known by name."""
MAX_CATEGORIES: Final = 32
FADE: Final = 0.999
"""What an older choice weighs in the market's shares, a choice."""
USUAL_RATE: Final = 0.02
"""What one seen price weighs in the usual one."""
RECENT, LATEST = 0.85, 0.5
"""What an older purchase of the customer weighs in the two faster shares, a purchase."""
OWN_WEIGHT, RECENT_WEIGHT, LATEST_WEIGHT = 2.0, 0.5, 1.0
"""Purchases that the market's shares count as, beside the customer's own at each speed."""
DEAL_RATE: Final = 0.3
"""Share of purchases on promotion that tells nothing."""
RIDGE: Final = 4.0
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
START: Final = (1.0, 0.3, 0.3, 0.3, 0.3, -1.0, -0.5, 0.0, 0.8, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
"""Weights before any choice: the signs that every panel shows, at moderate sizes; `RIDGE` says how firmly."""
Market = Mapping[str, Standing]
Array = NDArray[np.float64]


class Situation:
    """One choice, and what was known before it: of the customer, of the brands on offer, and of their market.

    `names`, `offers` and `standings` go together. Without offers it is every known brand, and `OTHER`.
    """

    def __init__(self, taste: Taste, offers: Sequence[Offer] | None, market: Market) -> None:
        if offers is None:
            offers = [Offer(name) for name in market if name != OTHER] + [Offer(OTHER)]
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
        """Log price of each brand against the mean, and against its usual one; 0 where nothing is known."""
        usual = [standing.usual for standing in self.standings]
        logs = [
            math.log(offer.price) if offer.price else known for offer, known in zip(self.offers, usual, strict=True)
        ]
        known = [log for log in logs if log is not None]
        if not known:
            return [0.0] * len(logs), [0.0] * len(logs)
        mean = math.fsum(known) / len(known)
        relative = [0.0 if log is None else _within(log - mean) for log in logs]
        against = [
            0.0 if log is None or before is None else _within(log - before)
            for log, before in zip(logs, usual, strict=True)
        ]
        return relative, against


def _within(difference: float) -> float:
    """Bound the difference of two log prices: beyond `FURTHEST` goods are not alike."""
    return min(max(difference, -FURTHEST), FURTHEST)


def last_brand(taste: Taste) -> str | None:
    """The main brand of the last purchase; None if there is none, or if it is no longer counted."""
    names = list(taste.counts)
    return names[taste.recent[-1]] if taste.recent and taste.recent[-1] < len(names) else None


def _faded(taste: Taste, fade: float) -> dict[str, float]:
    """Recent purchases by brand, older ones less."""
    names, weight = list(taste.counts), 1.0
    found: dict[str, float] = {}
    for place in reversed(taste.recent):
        if place < len(names):
            found[names[place]] = found.get(names[place], 0.0) + weight
        weight *= fade
    return found


def features(choice: Situation) -> list[list[float]]:
    """Rows of `FEATURES`, one a brand: a function of what was known before the choice."""
    taste = choice.taste
    shares = choice.shares()
    relative, against = choice.prices()
    own = _against_market(taste.counts, choice.names, shares, OWN_WEIGHT)
    recent = _against_market(_faded(taste, RECENT), choice.names, shares, RECENT_WEIGHT)
    latest = _against_market(_faded(taste, LATEST), choice.names, shares, LATEST_WEIGHT)
    often = 0.5 * math.log1p(sum(taste.counts.get(name, 0) for name in choice.names))
    dear_taste = _dear_taste(taste)
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
                relative[j] * dear_taste,
                promoted * deal_taste,
                is_last * cheap,
                cheap * deal_taste,
                own[j] * often,
            ]
        )
    return rows


def _dear_taste(taste: Taste) -> float:
    """How dearly a customer buys: the mean log price of what was chosen against the mean on offer, drawn to 0."""
    return 20.0 * taste.relative_e3 / 1_000 / (taste.priced + 2)


def _against_market(
    counts: Mapping[str, float], names: Sequence[str], shares: Sequence[float], weight: float
) -> list[float]:
    """Log of each brand's share of a customer's purchases, over that of the market; smoothed by `weight` purchases."""
    mine = [counts.get(name, 0.0) for name in names]
    total = math.fsum(mine) + weight
    return [math.log((count + weight * share) / total / share) for count, share in zip(mine, shares, strict=True)]


def softmax(utilities: Sequence[float]) -> list[float]:
    """Probabilities of utilities.

    >>> softmax([0.0, 0.0]), softmax([1000.0, 0.0])
    ([0.5, 0.5], [1.0, 0.0])
    """
    top = max(utilities)
    powers = [math.exp(one - top) for one in utilities]
    total = math.fsum(powers)
    return [power / total for power in powers]


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
        counts, recent, latest = taste.counts, _faded(taste, RECENT), _faded(taste, LATEST)
        named = {name for name, *_ in known} if len(counts) else set()
        mine = [name for name in counts if name in named]
        n = sum(counts[name] for name in mine)
        own_sum = n + OWN_WEIGHT
        recent_sum = math.fsum(recent.get(name, 0.0) for name in mine) + RECENT_WEIGHT
        latest_sum = math.fsum(latest.get(name, 0.0) for name in mine) + LATEST_WEIGHT
        own = w["own_share"] + w["own_share_if_often"] * 0.5 * math.log1p(n)
        by_price = w["price_by_taste"] * _dear_taste(taste)
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


def _probabilities(weights: Sequence[float], choice: Situation) -> list[float]:
    return softmax(
        [
            standing.offset + sum(map(float.__mul__, weights, row))
            for standing, row in zip(choice.standings, choice.rows, strict=True)
        ]
    )


class ConditionalLogit:
    """Weights for all categories, learned online by steps of second order."""

    kind = "conditional_logit"

    def __init__(self) -> None:
        self.weights: list[float] = list(START)
        self._curvature: Array = np.eye(len(FEATURES)) * RIDGE

    def score_one(self, choice: Situation) -> list[float]:
        """Probability of each brand, in the order of `choice.names`."""
        return _probabilities(self.weights, choice)

    def learn_one(self, choice: Situation, chosen: int) -> None:
        """Learn one choice; the brands' offsets are learned in the standings, in place."""
        p = np.array(_probabilities(self.weights, choice))
        x = np.array(choice.rows)
        mean = p @ x
        self._curvature += (x * p[:, None]).T @ x - np.outer(mean, mean)
        step = np.linalg.solve(self._curvature, x[chosen] - mean)
        self.weights = (np.array(self.weights) + step).tolist()
        for j, (standing, one) in enumerate(zip(choice.standings, p.tolist(), strict=True)):
            standing.curvature += one * (1.0 - one)
            standing.offset += (float(j == chosen) - one) / standing.curvature

    def state(self) -> dict[str, Any]:
        """Plain data."""
        return {"kind": self.kind, "weights": self.weights, "curvature": self._curvature.tolist()}

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Self:
        """Return the learner whose state this was."""
        made = cls()
        made.weights, made._curvature = list(state["weights"]), np.array(state["curvature"])
        return made


class OwnShare:
    """The trivial answer: the customer's own shares, smoothed towards the market's by two purchases."""

    kind = "own_share"

    def score_one(self, choice: Situation) -> list[float]:
        """Probability of each brand, in the order of `choice.names`."""
        total = math.fsum(standing.weight for standing in choice.standings)
        counts = [float(choice.taste.counts.get(name, 0)) for name in choice.names]
        return [
            (count + 2.0 * standing.weight / total) / (math.fsum(counts) + 2.0)
            for count, standing in zip(counts, choice.standings, strict=True)
        ]

    def learn_one(self, choice: Situation, chosen: int) -> None:
        """Nothing is learned beside the market."""

    def state(self) -> dict[str, Any]:
        """Plain data."""
        return {"kind": self.kind}

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Self:  # noqa: ARG003 - there is none
        """Return a new one."""
        return cls()


class LastBrand(OwnShare):
    """The other trivial answer: the last brand again, as often as all customers so far repeated theirs."""

    kind = "last_brand"

    def __init__(self) -> None:
        self.same, self.seen = 1.0, 2.0

    def score_one(self, choice: Situation) -> list[float]:
        """Probability of each brand; what is left goes by the market's shares."""
        last = last_brand(choice.taste)
        weights = [standing.weight for standing in choice.standings]
        if last not in choice.names:
            return [weight / math.fsum(weights) for weight in weights]
        place = choice.names.index(last)
        if len(weights) == 1:
            return [1.0]
        rest = math.fsum(weights) - weights[place]
        again = self.same / self.seen
        return [again if j == place else (1.0 - again) * weight / rest for j, weight in enumerate(weights)]

    def learn_one(self, choice: Situation, chosen: int) -> None:
        """Count whether the last brand came again."""
        last = last_brand(choice.taste)
        if last in choice.names:
            self.seen += 1.0
            self.same += choice.names[chosen] == last

    def state(self) -> dict[str, Any]:
        """Plain data."""
        return {"kind": self.kind, "same": self.same, "seen": self.seen}

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Self:
        """Return the learner whose state this was."""
        made = cls()
        made.same, made.seen = state["same"], state["seen"]
        return made


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
        standing.weight *= FADE
    meet(market, brand).weight += 1.0
    for offer in offers if offers is not None else [Offer(brand, price)]:
        if offer.price and offer.brand in market:
            standing = market[offer.brand]
            log = math.log(offer.price)
            standing.usual = log if standing.usual is None else standing.usual + USUAL_RATE * (log - standing.usual)


def frozen(markets: Mapping[str, Market]) -> dict[str, dict[str, Standing]]:
    """Copy markets for a model that is published."""
    return {
        category: {name: structs.replace(standing) for name, standing in market.items()}
        for category, market in markets.items()
    }
