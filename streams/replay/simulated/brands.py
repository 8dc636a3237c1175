"""Brands in the simulated shop: who prefers which, what prices and promotions do, what is said, what rivals ask.

Lines, refunds and customers stay those of the shop without brands; which brand a line is of, and at what price, is
chosen here by a conditional logit whose parts are known. Draws of its own: the rest of the shop is as it is without.
Memory is bounded by the customers and what they bought last.
"""

import math
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from heapq import heappop, heappush
from typing import Final

import numpy as np
from msgspec import Struct, structs

from schemas.events import Alternative, Event, Feedback, Line, Observation, Purchase, Refund
from streams.replay.files import order_of
from streams.replay.simulated import world
from streams.replay.simulated.clock import START
from streams.replay.simulated.people import People, number_of

SOLD: Final = tuple(tuple(sorted((c + step) % len(world.BRANDS) for step in range(4))) for c in range(6))
"""The four brands of each category."""
LIKED: Final = (0.3, 0.0, -0.2, 0.1, -0.3, 0.2, 0.0, -0.1)
"""What everybody likes a brand for beyond price, in log odds."""
DEARNESS: Final = (1.2, 1.0, 0.85, 1.1, 0.8, 1.0, 0.9, 1.15)
"""A brand's usual price over the product's."""
TASTE: Final = 1.3
"""Standard deviation of what a customer likes a brand for, in log odds; it stays."""
RESPONSE: Final = (-1.5, -3.0, -5.0, -2.0)
"""What one unit of log price does, in log odds, by segment; the bargain hunters mind most."""
SOMEBODY: Final = -3.0
"""The same for who is not known."""
PROMOTED: Final = 0.6
"""What a display does, in log odds, beside the lower price."""
PROMOTIONS, DISCOUNT = 0.15, 0.25
"""Share of weeks that a brand of a category is promoted in, and by how much it is cheaper then."""
SPEAKS: Final = 0.1
"""Share of lines of which something is said."""
NEGATIVE: Final = (0.1, 0.2, 0.45, 0.15, 0.3, 0.2, 0.25, 0.1)
"""Share of negative sayings by brand; a fifth are neutral."""
NEUTRAL: Final = 0.2
SPOILT: Final = world.BRANDS.index("Dahlia")
SPOILT_FROM, SPOILT_NEGATIVE = 300, 0.6
"""From this day on a brand is not what it was."""
RATED, TOLD = 0.7, 0.85
"""Share of sayings with stars, and with words; one that would have neither has stars."""
WORDS: Final = (
    ("broken", "late", "refund", "terrible", "rude", "cheap plastic", "never again", "does not work"),
    ("arrived", "as described", "size", "ordered two", "question about", "it is a gift"),
    ("love it", "great", "beautiful", "thanks", "well made", "perfect", "will buy again"),
)
FILLER: Final = ("the", "my", "order", "box", "today", "shop", "for the kitchen", "colour", "it", "was", "we")
MISPLACED: Final = 0.1
"""Share of texts with a word of another kind."""
RIVALS: Final = {"Market Hall": 1.1, "Pennyworth": 0.9}
"""What a rival asks for a product over its usual price here, before brands."""
WATCHED: Final = tuple(range(0, world.PRODUCTS, 12))
VOLUME: Final = 250_000.0
"""Of the whole market, GBP a month, told once in four weeks."""
WEEK: Final = timedelta(days=7)
_TERM: Final = np.array(LIKED)


class Offered(Struct, frozen=True):
    """What a category's brands cost in a week, and which are promoted: arrays over `SOLD`."""

    discount: tuple[float, ...]
    promoted: tuple[bool, ...]


class BrandTruth:
    """Answers of the one who made the shop.

    Parameters
    ----------
    people
        Of the simulation.
    seed
        Decides what each customer likes.
    """

    def __init__(self, people: People, seed: int) -> None:
        self.people = people
        draw = np.random.default_rng([seed, 3])
        self.tastes = draw.normal(0.0, TASTE, (len(people), len(SOLD), 4)).astype(np.float32)

    def price_response(self, customer_id: str | None) -> float:
        """What one unit of log price does to a customer's choice, in log odds."""
        return SOMEBODY if customer_id is None else RESPONSE[self.people.segment[number_of(customer_id)]]

    def chances(self, customer_id: str | None, line: Line) -> dict[str, float]:
        """Probability of each brand, before the choice that a line tells of."""
        category = world.CATEGORIES.index(line.category or "")
        offers = {one.brand: one for one in line.alternatives or ()}
        names = [world.BRANDS[b] for b in SOLD[category]]
        prices = [offers[name].unit_price or 1.0 for name in names]
        promoted = [bool(offers[name].promoted) for name in names]
        return dict(zip(names, self.logit(customer_id, category, prices, promoted).tolist(), strict=True))

    def logit(
        self, customer_id: str | None, category: int, prices: Sequence[float], promoted: Sequence[bool]
    ) -> world.Array:
        """Probabilities of a category's brands, shape (4,)."""
        z = _TERM[list(SOLD[category])] + PROMOTED * np.array(promoted)
        z = z + self.price_response(customer_id) * np.log(prices)
        if customer_id is not None:
            z = z + self.tastes[number_of(customer_id), category]
        power = np.exp(z - z.max())
        return np.asarray(power / power.sum(), dtype=np.float64)

    def usually(self, customer_id: str, category: str) -> dict[str, float]:
        """Probability of each brand of a category at usual prices, nothing promoted."""
        number = world.CATEGORIES.index(category)
        p = self.logit(customer_id, number, [DEARNESS[b] for b in SOLD[number]], [False] * 4)
        return dict(zip((world.BRANDS[b] for b in SOLD[number]), p.tolist(), strict=True))

    def favourite(self, customer_id: str, category: str) -> str:
        """The brand that a customer takes most often at usual prices."""
        usually = self.usually(customer_id, category)
        return max(usually, key=usually.__getitem__)

    def negative(self, brand: str, at: float) -> float:
        """Share of negative among what is said of a brand at a time, in epoch seconds."""
        number = world.BRANDS.index(brand)
        spoilt = number == SPOILT and at >= (START + timedelta(days=SPOILT_FROM)).timestamp()
        return SPOILT_NEGATIVE if spoilt else NEGATIVE[number]


class Brands:
    """Dresses the events of a shop in brands, and adds what is said and observed, in event-time order."""

    def __init__(self, truth: BrandTruth, seed: int) -> None:
        self.truth, self.draw = truth, np.random.default_rng([seed, 2])
        self.weeks = 0
        self.offered: tuple[Offered, ...] = ()
        self.bought: dict[tuple[str, str], Line] = {}
        self.pending: list[tuple[tuple[float, str], int, Event]] = []
        self.added = 0

    def dress(self, events: Iterator[Event]) -> Iterator[Event]:
        """Return the shop's events with brands, and what comes beside."""
        for event in events:
            while not self.offered or event.occurred_at >= START + self.weeks * WEEK:
                self._week()
            while self.pending and self.pending[0][0] <= order_of(event):
                yield heappop(self.pending)[2]
            match event:
                case Purchase():
                    yield self._purchase(event)
                case Refund():
                    yield structs.replace(
                        event, lines=tuple(map(self._returned, [event] * len(event.lines), event.lines))
                    )
                case _:
                    yield event

    def _later(self, event: Event) -> None:
        heappush(self.pending, (order_of(event), self.added, event))

    def _id(self) -> str:
        self.added += 1
        return f"b{self.added}"

    def _week(self) -> None:
        """Draw a week's promotions, and what rivals ask."""
        began = START + self.weeks * WEEK
        drawn = self.draw.random((len(SOLD), 4)) < PROMOTIONS
        self.offered = tuple(Offered(tuple(1.0 - DISCOUNT * one for one in row), tuple(row)) for row in drawn.tolist())
        for seller, factor in RIVALS.items():
            for product in WATCHED:
                price = round(float(world.PRICE_OF[product]) * factor, 2)
                self._observe(began, f"price:{seller}:p{product}", price, world.CURRENCY)
        if self.weeks % 4 == 0:
            self._observe(began, "volume:all", VOLUME, f"{world.CURRENCY}/month")
        self.weeks += 1

    def _observe(self, at: datetime, series: str, value: float, unit: str) -> None:
        self._later(Observation(event_id=self._id(), occurred_at=at, series=series, value=value, unit=unit))

    def _purchase(self, event: Purchase) -> Purchase:
        lines = []
        for line in event.lines:
            category = world.CATEGORIES.index(line.category or "")
            week = self.offered[category]
            prices = [
                round(line.unit_price * DEARNESS[b] * discount, 2)
                for b, discount in zip(SOLD[category], week.discount, strict=True)
            ]
            p = self.truth.logit(event.customer_id, category, prices, week.promoted)
            chosen = min(int(np.searchsorted(np.cumsum(p), self.draw.random())), 3)
            offers = tuple(
                Alternative(brand=world.BRANDS[b], unit_price=price, promoted=promoted)
                for b, price, promoted in zip(SOLD[category], prices, week.promoted, strict=True)
            )
            brand = world.BRANDS[SOLD[category][chosen]]
            sold = structs.replace(line, brand=brand, unit_price=prices[chosen], alternatives=offers)
            lines.append(sold)
            if event.customer_id is not None:
                self.bought[event.customer_id, line.product_id] = structs.replace(sold, alternatives=None)
            if self.draw.random() < SPEAKS:
                self._say(event, brand, line.category)
        return structs.replace(event, lines=tuple(lines))

    def _returned(self, event: Refund, line: Line) -> Line:
        """One piece of what was bought last, at its price."""
        sold = self.bought.get((event.customer_id or "", line.product_id), line)
        return structs.replace(sold, quantity=line.quantity)

    def _say(self, event: Purchase, brand: str, category: str | None) -> None:
        draw = self.draw
        at = event.occurred_at + timedelta(milliseconds=int((0.2 + 6 * draw.random()) * 86_400_000))
        negative = self.truth.negative(brand, at.timestamp())
        kind = int(np.searchsorted([negative, negative + NEUTRAL * (1 - negative)], draw.random(), side="right"))
        rated, told, known, placed = draw.random(4) < (RATED, TOLD, 0.7, 0.9)
        stars = (1.0 + float(draw.random() < 0.4), 3.0, 4.0 + float(draw.random() < 0.7))[kind]
        self._later(
            Feedback(
                event_id=self._id(),
                customer_id=event.customer_id if known else None,
                occurred_at=at,
                brand=brand,
                source="reviews",
                category=category if placed else None,
                rating=stars if rated or not told else None,
                text=self._text(kind) if told else None,
            )
        )

    def _text(self, kind: int) -> str:
        draw = self.draw
        words = [FILLER[int(n)] for n in draw.integers(len(FILLER), size=6)]
        for _ in range(1 + int(draw.random() < 0.5)):
            of = WORDS[kind if draw.random() >= MISPLACED else int(draw.integers(3))]
            words.insert(int(draw.integers(len(words))), of[int(draw.integers(len(of)))])
        return " ".join(words)


def usual_index(seller: str) -> float:
    """Our price over a seller's in percent, roughly: brands in equal shares, promotions as often as they are."""
    own = math.fsum(map(math.log, DEARNESS)) / len(DEARNESS) + PROMOTIONS * math.log(1 - DISCOUNT)
    return 100.0 * math.exp(own) / RIVALS[seller]
