"""All that is learned about brands, as one function of what shards tell, in its order."""

import math
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from models.brand.choice import ConditionalLogit, LastBrand, OwnShare
from models.brand.image import Images
from models.brand.position import expectations, figures
from models.brand.prices import LOW, Shelf, UsualPrices
from models.brand.sentiment import CLASSES, NEGATIVE, Blend, BrandShare, NaiveBayes, Saying, label
from models.brand.situation import FEATURES, Situation, last_brand
from models.brand.standings import OTHER, brand_name, frozen, learn_market, meet
from models.brand.sums import ACTIVE_FADE, BrandSums, CategorySums
from models.brand.taste import UNCATEGORISED, Offer, Told
from models.league.classes import ClassLeague
from models.market.busiest import Candidates, Places
from schemas.choice import ChoiceModel, Standing
from schemas.state import Taste

MAX_CATEGORIES: Final = 31
"""Categories with a name: the most active. As many more are counted apart, and shown together with the rest."""
COLD: Final = 20
"""Choices before anything is served, and ratings before a text without one is judged."""
LEARNED_ALL, LEARNED_EACH = 20_000, 8
"""So many choices are all learned, then one in so many: the weights hardly move, and a league costs more than sums."""
SHARES: Final = ("revenue_share", "recent_revenue_share", "unit_share", "purchase_share", "price_position")
EVERYBODY: Final[Mapping[str, str]] = {}
OWN_SHARE: Final = tuple(1.0 if name in ("market_share", "own_share") else 0.0 for name in FEATURES)
"""The weights that make a conditional logit of the trivial answer."""


def choice_league(judge_from: float = -math.inf) -> ClassLeague:
    """Return a new league of brand choice; one that is not a conditional logit must be written as one."""
    return ClassLeague(
        "brand_choice",
        {"conditional_logit": ConditionalLogit(), "own_share": OwnShare()},
        {"last_brand": LastBrand()},
        trivial="own_share",
        judge_from=judge_from,
    )


def sentiment_league(judge_from: float = -math.inf) -> ClassLeague:
    """Return a new league of sentiment."""
    return ClassLeague(
        "sentiment",
        {"words_and_pieces": Blend(), "naive_bayes": NaiveBayes(), "brand_share": BrandShare()},
        {},
        trivial="brand_share",
        judge_from=judge_from,
    )


class BrandBook:
    """Choices, positions, switching, promotion and image of every brand.

    Parameters
    ----------
    currency
        The main one: lines in others count as purchases, not as revenue, and their prices as not known.
    judge_from
        Examples before this event time, in epoch seconds, are learned and not judged.
    """

    def __init__(self, currency: str, judge_from: float = -math.inf) -> None:
        self.currency = currency
        self.choices = choice_league(judge_from)
        self.sayings = sentiment_league(judge_from)
        self.markets: dict[str, dict[str, Standing]] = {}
        self.categories: dict[str, CategorySums] = {}
        self.prices = UsualPrices()
        self.shelves: dict[str, Shelf] = {}
        self.images = Images()
        self.places = Places(MAX_CATEGORIES, Candidates(MAX_CATEGORIES))
        self.closed: int | None = None
        self.population = 0
        self.heard = 0

    @property
    def version(self) -> str:
        """Number of choices learned."""
        return str(self.choices.examples)

    @property
    def names_all(self) -> bool:
        """Whether every category so far has a name: the rest is of lines without category alone."""
        return not self.places.candidates.counts

    def _category(self, name: str) -> str:
        """Return the name that a category is shown under."""
        return name if name in self.places.active else UNCATEGORISED

    def _sums(self, name: str) -> CategorySums:
        """Return the sums that a category's belong to."""
        return self.categories.get(name) or self.categories.setdefault(UNCATEGORISED, CategorySums())

    def _count(self, category: str) -> None:
        """Note that something of a category is bought, or came back; the most active have a name."""
        if category == UNCATEGORISED:
            return
        left = self.places.count(category)
        self.categories.setdefault(category, CategorySums())
        if left.forgotten is not None:
            self._sums(UNCATEGORISED).absorb(self.categories.pop(left.forgotten))
        if left.unnamed is not None:
            self.markets.pop(left.unnamed, None)
            self.shelves.pop(left.unnamed, None)

    def shown(self) -> dict[str, CategorySums]:
        """Return each category with a name, and the rest together as `UNCATEGORISED`. It takes its time with many."""
        found = {name: one for name, one in self.categories.items() if name in self.places.active}
        others = [one for name, one in self.categories.items() if name not in found and name != UNCATEGORISED]
        if others or UNCATEGORISED in self.categories:
            rest = self._sums(UNCATEGORISED)
            found[UNCATEGORISED] = msgspec.convert(msgspec.to_builtins(rest), CategorySums) if others else rest
            for one in others:
                found[UNCATEGORISED].absorb(one)
        return found

    # Purchases.

    def bought(self, row: Mapping[str, Any]) -> None:
        """Learn one category of one purchase, or refund, as `models.brand.taste.tell` has it.

        Raises
        ------
        KeyError, msgspec.ValidationError
            It is not such a row.
        """
        told = msgspec.convert(row["told"], Told)
        self._count(told.category)
        name, category = self._category(told.category), self._sums(told.category)
        if told.offers is not None and not self._comparable(name, told, told.offers):
            told.offers = [offer._replace(price=None) for offer in told.offers]
        if told.taste is None:
            category.count(dict.fromkeys(line[0] for line in told.lines))
        if told.taste is not None:
            self.population += told.is_new
            self._choose(self.markets.setdefault(name, {}), category, told, told.taste)
            category.bought(told.taste, [line[0] for line in told.lines], told.brand, told.segment)
        if told.currency == self.currency:
            for line in told.lines:
                self._sell(name, category, told, line)

    def _comparable(self, category: str, told: Told, offers: list[Offer]) -> bool:
        """Whether the prices of what could be had are of one kind: on the shelf, and in the main currency."""
        if told.currency != self.currency:  # they compare with no usual one
            return False
        shelf = self.shelves.setdefault(category, Shelf())
        priced = {offer.brand: offer.price for offer in offers if offer.price}
        paid = priced.pop(told.brand, None) if told.paid else None
        known = not told.paid or (
            paid is not None and len(priced) == len(offers) - 1 and shelf.is_paid(told.brand, paid)
        )
        for brand, price in priced.items():
            shelf.told(brand, price)
        return known and len(priced) + (paid is not None) > 1

    def _sell(self, name: str, category: CategorySums, told: Told, line: tuple[str, str, float, int]) -> None:
        brand, product, units, amount = line
        category.sold(brand, told.day, told.sign * units, told.sign * amount)
        if told.sign > 0:
            price, key = amount / 10_000 / units, f"{name}\x00{brand}\x00{product}"
            low = self.prices.is_low(key, price, told.day, units) if product else None
            category.promotions.sold(category.name(brand), told.day, units, low)
            if low is not None:
                sums = category.kept(brand)
                sums.judged_units += units
                sums.low_units += units * low

    def close(self, until: int) -> None:
        """Days before `until` are over."""
        days = 0 if self.closed is None else max(until - self.closed, 0)
        self.closed = until if self.closed is None else max(until, self.closed)
        for places in (self.places, self.images.places):
            places.fade(ACTIVE_FADE**days)
        for category in self.categories.values():
            category.close(until, days)

    def _choose(self, market: dict[str, Standing], category: CategorySums, told: Told, taste: Taste) -> None:
        offers = told.offers
        for offer in offers or ():
            meet(market, offer.brand)
            category.meet(offer.brand)
        if offers is None:
            meet(market, OTHER)
        is_new = told.brand not in market
        self.heard += 1
        if self.heard <= LEARNED_ALL or self.heard % LEARNED_EACH == 0:
            self._learn(market, category, told, taste)
        if is_new:  # only now: it must not be seen before it was chosen
            meet(market, OTHER).weight += 1.0
        learn_market(market, offers, told.brand, _mean_price(told) if told.currency == self.currency else None)

    def _learn(self, market: dict[str, Standing], category: CategorySums, told: Told, taste: Taste) -> None:
        situation = Situation(taste, told.offers, market)
        chosen = situation.place(told.brand)
        if chosen is None or len(situation.names) == 1:
            return
        if told.offers is not None:
            category.offered(told.offers, _deals(situation), told.brand)
        last = last_brand(taste)
        watched = situation.names.index(last) if last in situation.names else None
        names = [brand_name(told.category, brand) for brand in situation.names]
        self.choices.mature(situation, chosen, names, told.at, watched)

    def compiled(self) -> ChoiceModel | None:
        """Return what shards serve loyalty with; None while cold."""
        if self.choices.examples < COLD:
            return None
        learner = self.choices.entrants[self.choices.champion]
        if isinstance(learner, ConditionalLogit):
            weights, markets = tuple(learner.weights), frozen(self.markets)
        else:
            weights, markets = OWN_SHARE, frozen(self.markets)
            for market in markets.values():
                for standing in market.values():
                    standing.offset = 0.0
        return ChoiceModel(version=self.version, features=FEATURES, weights=weights, markets=markets)

    # Words.

    def said(self, row: Mapping[str, Any]) -> None:
        """Learn one feedback: `at`, `day`, `brand`, `category`, `rating`, `text`. Raises `KeyError`."""
        rating, text = row["rating"], row["text"]
        if rating is None and not text:
            return
        image = self.images.of(brand_name(row["category"], row["brand"]))
        foreseen: float | None = None
        if text:
            saying = Saying(text, row["brand"])
            if rating is not None:
                p = self.sayings.mature(saying, label(rating), CLASSES, row["at"], NEGATIVE)
            else:
                p = self.sayings.score_one(saying)
            if rating is not None or self.sayings.examples >= COLD:
                foreseen = p[NEGATIVE]
            learner = self.sayings.entrants["words_and_pieces"]
            if isinstance(learner, Blend):
                image.heard(row["day"], learner.moved(saying))
        negative = float(label(rating) == NEGATIVE) if rating is not None else foreseen
        image.add(row["day"], negative, foreseen, rating)

    # What is shown.

    def tasks(self) -> dict[str, Any]:
        """Return the report's tasks; only those with examples."""
        leagues = {"brand_choice": self.choices, "sentiment": self.sayings}
        found = {task: league.report() for task, league in leagues.items() if league.examples}
        if "sentiment" in found:
            found["sentiment"]["models"][self.sayings.champion]["daily_share_error"] = self.images.daily_error()
        return found

    def shares(self, category: str, shown: Mapping[str, CategorySums] | None = None) -> dict[str, Any]:
        """Return how a category is divided among its brands; empty where none is named.

        `brands`, those with most revenue first, have `revenue_share`, `recent_revenue_share`, `unit_share`,
        `purchase_share` and `price_position`; `concentration` is the Herfindahl index of the revenue shares, of at
        most 1. `shown` is what the method of that name returns, for who asks for many categories.
        """
        sums = (self.shown() if shown is None else shown).get(category)
        if sums is None:
            return {}
        brands = sums.shown()
        ranked = sorted(brands, key=lambda one: (one == OTHER, -brands[one].revenue_e4, one))
        found = {brand: figures(sums, brands, brand, {}) for brand in ranked}
        shares = [one["revenue_share"] for one in found.values() if one["revenue_share"] is not None]
        if min(shares, default=0.0) < 0:  # more came back than was sold: a share of what is left
            sold = [max(share, 0.0) for share in shares]
            shares = [share / math.fsum(sold) for share in sold]
        return {
            "brands": {brand: {name: one[name] for name in SHARES} for brand, one in found.items()},
            "concentration": math.fsum(share * share for share in shares) if shares else None,
        }

    def report(self, segments: Mapping[str, str] = EVERYBODY) -> dict[str, Any]:
        """Return each brand's figures, by `<category>:<brand>`; what is said of it under `image`.

        Parameters
        ----------
        segments
            Names of the present segments, by id.
        """
        found: dict[str, Any] = {}
        for name, category in self.shown().items():
            shown = category.shown()
            prospects = expectations(category, shown, self.population)
            switching = category.switching()
            for brand in sorted(shown, key=lambda one: -shown[one].revenue_e4):
                to = switching.get(brand, {})
                found[brand_name(name, brand)] = figures(category, shown, brand, prospects, segments) | {
                    "repeats": to.get(brand, 0.0) if to else None,
                    "switches_to": {other: round(share, 4) for other, share in to.items() if other != brand},
                }
        for brand, image in self.images.shown().items():
            found.setdefault(brand, {})["image"] = image.report()
        return found

    # Kept.

    def state(self) -> dict[str, Any]:
        """Plain data, for `freeze`."""
        return {
            "choices": self.choices.state(),
            "sayings": self.sayings.state(),
            "markets": msgspec.msgpack.encode(self.markets),
            "categories": msgspec.msgpack.encode(self.categories),
            "prices": msgspec.msgpack.encode(self.prices),
            "shelves": msgspec.msgpack.encode(self.shelves),
            "images": msgspec.msgpack.encode(self.images),
            "places": msgspec.msgpack.encode((self.places, self.closed)),
            "population": self.population,
            "heard": self.heard,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Become what `state` was taken of; the future is the same, to the bit."""
        self.choices.restore(state["choices"])
        self.sayings.restore(state["sayings"])
        decode = msgspec.msgpack.decode
        self.markets = decode(state["markets"], type=dict[str, dict[str, Standing]])
        self.categories = decode(state["categories"], type=dict[str, CategorySums])
        self.prices = decode(state["prices"], type=UsualPrices)
        self.images = decode(state["images"], type=Images)
        if "shelves" in state:  # since 0.2
            self.shelves = decode(state["shelves"], type=dict[str, Shelf])
        if "places" in state:
            self.places, self.closed = decode(state["places"], type=tuple[Places, int | None])
        self.population, self.heard = state["population"], state["heard"]


def _deals(situation: Situation) -> list[bool | None]:
    """Which brands were promoted, or cheaper than usual; None where neither is known."""
    _, against = situation.prices()
    low = LOW - 1.0
    return [
        None if offer.promoted is None and offer.price is None else bool(offer.promoted) or one < low
        for offer, one in zip(situation.offers, against, strict=True)
    ]


def _mean_price(told: Told) -> float | None:
    own = [(units, amount) for brand, _, units, amount in told.lines if brand == told.brand]
    units = sum(units for units, _ in own)
    return sum(amount for _, amount in own) / 10_000 / units if units > 0 else None


__all__ = ["BrandBook", "BrandSums", "brand_name"]
