"""What is true of a simulated shop, for tests and benchmarks. No event says any of it."""

from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from streams.replay.simulated import world
from streams.replay.simulated.clock import DAY_MS, START, Clock, Ints
from streams.replay.simulated.people import People, number_of

_START: Final = START.timestamp()


class Contacted(Struct, frozen=True, kw_only=True):
    """The truth of one `sent` or `withheld`.

    Parameters
    ----------
    at
        Epoch seconds.
    response, control
        Probability of a conversion if sent, if withheld, of this customer at this moment: mood included, and
        0 for who has left. Their difference is the uplift.
    converts
        Whether a conversion comes, always within the window.
    """

    event_id: str
    customer_id: str
    campaign_id: str
    at: float
    sent: bool
    response: float
    control: float
    converts: bool


class Truth:
    """Answers of the one who made the shop. Times are epoch seconds.

    Parameters
    ----------
    people, clock
        Of the simulation.
    flip_days
        Day from which each segment answers the other way round, shape (segments,).
    """

    def __init__(self, people: People, clock: Clock, flip_days: Ints) -> None:
        self.people, self.clock, self.flip_days = people, clock, flip_days

    def flipped(self, day: int) -> NDArray[np.bool_]:
        """Which segments answer the other way round on a day, shape (segments,)."""
        return np.asarray(self.flip_days <= day)

    def segment(self, customer_id: str) -> str:
        """Name of the customer's hidden segment."""
        return world.SEGMENTS[self.people.segment[number_of(customer_id)]].name

    def shop_days(self, at: float) -> float:
        """Shop time: days as busy as the average since the start."""
        return float(self.clock.shop_days(np.array([_ms(at)]))[0])

    def alive(self, customer_id: str, at: float) -> bool:
        """Whether the customer is there and has not left for good."""
        number = number_of(customer_id)
        return bool(self.people.born[number] <= _ms(at) and self.shop_days(at) < self.people.leaves[number])

    def purchase_rate(self, customer_id: str) -> float:
        """Purchases a shop day while alive, those that campaigns bring not counted."""
        return float(self.people.rate[number_of(customer_id)])

    def no_purchase(self, customer_id: str, at: float, days: float) -> float:
        """Probability that no purchase comes in (at, at + days], known who is alive now, but not who leaves when.

        Purchases that campaigns bring are not counted.
        """
        number = number_of(customer_id)
        if not self.alive(customer_id, at):
            return 1.0
        window = self.shop_days(at + days * DAY_MS / 1_000.0) - self.shop_days(at)
        leaving = 1.0 / world.SEGMENTS[self.people.segment[number]].life_days
        return float(none_in(np.array(self.people.rate[number]), np.array(leaving), window))


def _ms(at: float) -> int:
    return round((at - _START) * 1_000.0)


def none_in(rate: world.Array, leaving: world.Array, window: float) -> world.Array:
    """Probability that who is alive does not buy within a window of shop days, where lives are exponential.

    References
    ----------
    Schmittlein, Morrison and Colombo (1987), Management Science 33, 1-24: the process, with known rates.
    """
    both = rate + leaving
    return np.asarray(leaving / both + rate / both * np.exp(-both * window))
