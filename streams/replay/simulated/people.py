"""The customers of a simulated shop: hidden kind, life, and what can be seen of them."""

from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from streams.replay.simulated import world
from streams.replay.simulated.clock import DAY_MS, Clock, Floats, Ints, moments
from streams.replay.simulated.world import SEGMENTS

FIRST: Final = 0.3
"""Share of customers who come in the first twelfth of the span; the others come evenly until `LAST` of it."""
LAST: Final = 0.85
CONTACT_GAP_DAYS: Final = 25.0
REST_DAYS: Final = 8
"""A customer is contacted at most once in so many days, longer than a response takes."""
_EVENTS_A_CONTACT: Final = 1.75


class People(Struct):
    """Arrays over customers, in the order of their arrival. Times in ms or shop days since the start.

    `pace` is how much more often everybody buys than the segments say.
    """

    segment: Ints
    level: Ints
    born: Ints
    leaves: Floats
    rate: Floats
    age: Ints
    card: Ints
    country: Ints
    household: Ints
    consents: NDArray[np.bool_]
    contact_rate: float
    anonymous_rate: float
    pace: float = 1.0

    def __len__(self) -> int:
        return len(self.born)


def name_of(customer: int) -> str:
    """Return the customer's id."""
    return f"c{customer}"


def number_of(customer_id: str) -> int:
    """Return the customer's place in the arrays. Raises `ValueError` for an id that is not of a simulated shop."""
    if not (customer_id.startswith("c") and customer_id[1:].isdecimal()):
        raise ValueError(f"{customer_id!r} is no customer of a simulated shop")
    return int(customer_id[1:])


def people(draw: np.random.Generator, n: int, events: int, days: int, clock: Clock) -> People:
    """Draw customers, and how active they are, so that about so many events come in so many days."""
    segment = draw.choice(len(SEGMENTS), n, p=[one.share for one in SEGMENTS])
    level = draw.integers(0, len(world.LEVELS), n)
    first = draw.random(n) < FIRST
    share = np.where(first, draw.random(n) / 12.0, draw.random(n) * LAST)
    born = np.sort(moments(draw, (share * days).astype(np.int64)))
    life = np.array([one.life_days for one in SEGMENTS])[segment]
    came = clock.shop_days(born)
    leaves = came + draw.exponential(life)
    rate = np.array(world.LEVELS)[level] / np.array([one.gap_days for one in SEGMENTS])[segment]
    ages = np.cumsum([one.ages for one in SEGMENTS], axis=1)[segment]
    card = (draw.random(n) < np.array([one.card for one in SEGMENTS])[segment]).astype(np.int64)
    card[draw.random(n) < world.CARD_MISSING] = -1
    consents = draw.random(n) < world.CONSENTING
    found = People(
        segment=segment,
        level=level,
        born=born,
        leaves=leaves,
        rate=rate,
        age=(draw.random(n)[:, None] > ages[:, :-1]).sum(axis=1),
        card=card,
        country=draw.choice(len(world.COUNTRIES), n, p=world.COUNTRY_SHARES),
        household=1 + draw.binomial(4, 0.35, n),
        consents=consents,
        contact_rate=1.0 / CONTACT_GAP_DAYS,
        anonymous_rate=0.0,
    )
    _set_pace(found, came, events, days, clock)
    return found


def _set_pace(found: People, came: Floats, events: int, days: int, clock: Clock) -> None:
    end = float(clock.shop_days(np.array([days * DAY_MS]))[0])
    seen = np.minimum(found.leaves, end) - came
    bought = float((found.rate * seen).sum())
    per_purchase = 1.0 + world.REFUNDED + world.ANONYMOUS
    asked = float((days - found.born[found.consents] / DAY_MS).sum()) / (CONTACT_GAP_DAYS + REST_DAYS)
    left = max(events - 2.0 * len(found), 0.05 * events)
    usual = bought * per_purchase + asked * _EVENTS_A_CONTACT
    pace = (left - asked * _EVENTS_A_CONTACT) / (bought * per_purchase) if left > usual else left / usual
    found.pace = pace
    found.rate *= pace
    found.contact_rate *= min(pace, 1.0)
    found.anonymous_rate = world.ANONYMOUS * bought * pace / end
