"""What is true of the simulated shop: its segments, goods, campaigns, and what makes a customer respond."""

from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

Array = NDArray[np.float64]
Ints = NDArray[np.int64]


class Segment(Struct, frozen=True, kw_only=True):
    """One hidden kind of customer. Shares and probabilities in the order of the lists below.

    Parameters
    ----------
    gap_days
        Mean time between purchases while alive, and `life_days` until the last interest, in shop days.
    lines
        Mean lines of a basket.
    taste
        Share of a basket by category.
    answer
        What being of this segment adds to the log odds of a response; `discount` for each 10 % off.
    """

    name: str
    share: float
    gap_days: float
    life_days: float
    lines: float
    taste: tuple[float, ...]
    answer: float
    discount: float
    ages: tuple[float, ...]
    card: float
    channels: tuple[float, ...]


AGES: Final = ("18-29", "30-44", "45-59", "60+")
COUNTRIES: Final = ("GB", "DE", "FR", "NL", "IE")
COUNTRY_SHARES: Final = (0.6, 0.15, 0.12, 0.08, 0.05)
CHANNELS: Final = ("web", "app", "store")
CATEGORIES: Final = ("kitchen", "garden", "toys", "books", "sports", "beauty")
BRANDS: Final = ("Alder", "Birch", "Cedar", "Dahlia", "Elm", "Fennel", "Ginkgo", "Hazel")
CURRENCY: Final = "GBP"

SEGMENTS: Final = (
    Segment(
        name="loyal", share=0.2, gap_days=18.0, life_days=900.0, lines=3.2, taste=(0.3, 0.2, 0.1, 0.15, 0.1, 0.15),
        answer=0.5, discount=0.0, ages=(0.1, 0.3, 0.4, 0.2), card=0.85, channels=(0.4, 0.4, 0.2),
    ),
    Segment(
        name="regular", share=0.35, gap_days=45.0, life_days=500.0, lines=2.2, taste=(0.2, 0.2, 0.2, 0.2, 0.1, 0.1),
        answer=0.0, discount=0.1, ages=(0.2, 0.4, 0.25, 0.15), card=0.5, channels=(0.6, 0.15, 0.25),
    ),
    Segment(
        name="bargain", share=0.25, gap_days=50.0, life_days=350.0, lines=2.6, taste=(0.1, 0.1, 0.4, 0.05, 0.15, 0.2),
        answer=-0.4, discount=0.6, ages=(0.45, 0.35, 0.15, 0.05), card=0.35, channels=(0.35, 0.6, 0.05),
    ),
    Segment(
        name="passing", share=0.2, gap_days=60.0, life_days=90.0, lines=1.5, taste=(0.1, 0.3, 0.1, 0.1, 0.3, 0.1),
        answer=-0.8, discount=0.0, ages=(0.3, 0.25, 0.2, 0.25), card=0.1, channels=(0.8, 0.1, 0.1),
    ),
)  # fmt: skip
LEVELS: Final = (0.35, 0.75, 1.15, 1.75)
"""Within a segment a quarter of the customers each buys so much more or less often."""
CARD_MISSING: Final = 0.2
CONSENTING: Final = 0.75


class Campaign(Struct, frozen=True):
    """An offer. `discount` in percent."""

    id: str
    discount: float
    theme: str
    channel: str


CAMPAIGNS: Final = (
    Campaign("spring-10", 10.0, "kitchen", "email"),
    Campaign("garden-20", 20.0, "garden", "email"),
    Campaign("toys-30", 30.0, "toys", "email"),
    Campaign("books-0", 0.0, "books", "email"),
    Campaign("sports-20", 20.0, "sports", "push"),
    Campaign("beauty-0", 0.0, "beauty", "push"),
)
_THEME: Final = np.array([0.3, 0.1, 0.5, -0.4, -0.1, -0.3])
_AGE: Final = np.array([0.3, 0.1, -0.1, -0.4])
_MATCH: Final = {(2, 1): 0.5, (3, 3): 0.6, (4, 0): 0.5}
"""A theme and an age that go together: (campaign, age) -> log odds."""
MATCH: Final = np.array([[_MATCH.get((c, a), 0.0) for a in range(len(AGES))] for c in range(len(CAMPAIGNS))])
_DISCOUNT: Final = np.array([campaign.discount / 10.0 for campaign in CAMPAIGNS])
_ANSWER: Final = np.array([segment.answer for segment in SEGMENTS])
_BY_DISCOUNT: Final = np.array([segment.discount for segment in SEGMENTS])
BASE: Final = -2.3
MOOD: Final = 0.8
"""Standard deviation, in log odds, of what differs from contact to contact and nobody can see."""
ORGANIC: Final = -1.8
"""What a control converts with more or less than who was contacted, in log odds."""
OPENS, CLICKS = 0.35, 0.25
"""Who is alive and does not convert opens, and having opened clicks, so often; who has left opens `OPENS_DEAD`."""
OPENS_DEAD: Final = 0.03
UNSUBSCRIBES: Final = 0.006
SENT: Final = 0.85
"""Share of contacts that are sent; the others are withheld."""
REFUNDED: Final = 0.06
ANONYMOUS: Final = 0.08
"""Anonymous sales, for each purchase of a customer on the average of the span."""


class Answering(Struct):
    """What a response depends on, arrays of shape (n,)."""

    campaign: Ints
    age: Ints
    card: Ints
    recency_days: Array
    orders: Array


def log_odds(segment: Ints, flipped: NDArray[np.bool_], of: Answering) -> Array:
    """Log odds that a living customer who is sent an offer converts, but for the mood; shape (n,) or broadcast.

    `flipped`: the segment answers the other way round since a regime change.
    """
    visible = 0.7 * (np.log1p(of.orders) - 1.3) - 0.45 * (np.log1p(of.recency_days) - 3.0)
    visible = visible + 0.4 * (of.card == 1) + _AGE[of.age] + _THEME[of.campaign] + MATCH[of.campaign, of.age]
    own = _ANSWER[segment] + _BY_DISCOUNT[segment] * _DISCOUNT[of.campaign]
    return np.asarray(BASE + np.where(flipped, -1.0, 1.0) * (visible + own))


def sigmoid(z: Array) -> Array:
    """Probability of log odds."""
    return np.asarray(1.0 / (1.0 + np.exp(-z)))


# Goods: every category has products of every brand; the first ones are bought in pairs.

PER_CATEGORY: Final = 24
PRODUCTS: Final = PER_CATEGORY * len(CATEGORIES)
PAIRED: Final = 0.35
"""Chance that the next line of a basket is the partner of the one before, where that has one."""
RISING: Final = BRANDS.index("Ginkgo")
RISES: Final = 0.15
"""Share of all lines that the rising brand has won in addition at the end of the span; it grows from 0."""
_numbers = np.arange(PRODUCTS)
CATEGORY_OF: Final = _numbers // PER_CATEGORY
BRAND_OF: Final = (_numbers * 5 + _numbers // PER_CATEGORY) % len(BRANDS)
PRICE_OF: Final = np.round(2.5 * np.exp(1.1 * ((_numbers * 37) % 29) / 14.5) * (1 + CATEGORY_OF % 3), 2)
PARTNER_OF: Final = np.where(_numbers % PER_CATEGORY < 4, (_numbers + 2 * PER_CATEGORY + 1) % PRODUCTS, -1)
"""The product often bought with this one, of another category; -1 for none."""
_popular = 1.0 / (1.0 + _numbers % PER_CATEGORY)
_taste = np.array([[segment.taste[c] for c in CATEGORY_OF] for segment in SEGMENTS]) * _popular
BASKET: Final = np.cumsum(_taste / _taste.sum(axis=1, keepdims=True), axis=1)
"""Cumulative share of each product in a segment's lines, shape (segments, products)."""
RISERS: Final = np.flatnonzero(BRAND_OF == RISING)


def partner_of(product_id: str) -> str | None:
    """Return the product often bought with this one."""
    partner = int(PARTNER_OF[int(product_id[1:])])
    return None if partner < 0 else f"p{partner}"
