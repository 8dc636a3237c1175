"""A simulated shop with known truth: customers, purchases, refunds, campaigns; see `docs/simulator.md`.

A customer has a hidden segment, buys at a rate of their own until they leave for good, and answers each offer with
a probability that depends on what a model can see (recency, frequency, attributes of both) and on what it cannot.
Memory is bounded by the customers, whatever the number of events.
"""

from collections.abc import Iterator, Mapping
from itertools import count, islice
from typing import Final

import numpy as np

from schemas.events import Event
from streams.replay.simulated.brands import Brands, BrandTruth
from streams.replay.simulated.clock import START, Clock
from streams.replay.simulated.people import people
from streams.replay.simulated.process import Process
from streams.replay.simulated.truth import Truth
from streams.replay.simulated.world import SEGMENTS
from streams.replay.simulated.write import Hear, Writer

DAYS: Final = 540
__all__ = ["DAYS", "SEGMENT_NAMES", "START", "Simulation", "Truth"]
SEGMENT_NAMES: Final = tuple(segment.name for segment in SEGMENTS)


class Simulation:
    """A shop, decided by its arguments: the same make the same events, whenever and wherever.

    Parameters
    ----------
    customers
        At least 1. With fewer than some four events a customer, not all of them come.
    events
        Exactly so many events come, in event-time order.
    seed
        At least 0.
    days
        The events fill about so many days: rates are set accordingly. About 24 events a customer in 540 days
        are as a shop's; with many more, customers buy more often, with fewer, less.
    flips
        Segment -> day from which it answers offers the other way round.
    brands
        Brands are chosen for their price and what customers like, and spoken of; rivals are observed. Customers, and
        when they buy how much of which product, are the same without.

    Raises
    ------
    ValueError
        Names the argument that is out of bounds.
    """

    def __init__(
        self,
        customers: int,
        events: int,
        seed: int = 0,
        days: int = DAYS,
        flips: Mapping[str, int] | None = None,
        *,
        brands: bool = False,
    ) -> None:
        for name, value, least in (("customers", customers, 1), ("events", events, 0), ("seed", seed, 0)):
            if value < least:
                raise ValueError(f"{name} is at least {least}, not {value}")
        if days < 30:
            raise ValueError(f"days is at least 30, not {days}")
        unknown = [name for name in flips or {} if name not in SEGMENT_NAMES]
        if unknown:
            raise ValueError(f"there is no segment {unknown[0]!r}: there are {', '.join(SEGMENT_NAMES)}")
        self.wanted, self.seed, self.days = events, seed, days
        self.clock = Clock()
        self.people = people(np.random.default_rng([seed, 0]), customers, events, days, self.clock)
        flip_days = np.array([(flips or {}).get(name, np.iinfo(np.int64).max) for name in SEGMENT_NAMES])
        self.truth = Truth(self.people, self.clock, flip_days)
        self.brands = BrandTruth(self.people, seed) if brands else None

    def events(self, hear: Hear | None = None) -> Iterator[Event]:
        """All events, from the first, each time it is called.

        Parameters
        ----------
        hear
            Told the truth of each `sent` and `withheld` just before the event itself.
        """
        endless = self._endless(hear)
        return islice(endless if self.brands is None else Brands(self.brands, self.seed).dress(endless), self.wanted)

    def _endless(self, hear: Hear | None) -> Iterator[Event]:
        draw = np.random.default_rng([self.seed, 1])
        process = Process(self.people, self.clock, draw, self.truth.flipped)
        writer = Writer(self.people, process, draw, self.days)
        for number in count():
            yield from writer.write(number, process.day(number), hear)
