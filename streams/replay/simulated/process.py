"""What happens in a simulated shop, drawn a day at a time in arrays: nothing grows with the number of events."""

from collections.abc import Callable
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from streams.replay.simulated import world
from streams.replay.simulated.clock import DAY_MS, Clock, Floats, Ints, intensity, moments
from streams.replay.simulated.people import REST_DAYS, People
from streams.replay.simulated.world import CAMPAIGNS

JOINED, SENT, WITHHELD, OPENED, CLICKED, CONVERTED, UNSUBSCRIBED, PURCHASE, ANONYMOUS, REFUND = range(10)
"""Kinds, in the order in which what happens at once is told."""
_HOUR: Final = 3_600_000
_LONGEST: Final = 6 * DAY_MS
"""A conversion comes at most so long after its contact."""
COLUMNS: Final = 4


class Day(Struct):
    """One day: `rows` of (time in ms, kind, customer or -1, reference), shape (n, 4), in the order of events.

    The reference is the campaign of an engagement, the product of a refund, or for a contact the place in
    `chances` (campaign, if sent, if withheld, converts), shape (m, 4).
    """

    rows: Ints
    chances: Floats


Bools = NDArray[np.bool_]
Flipped = Callable[[int], Bools]


class Process:
    """The shop's state between days: bounded by its customers.

    Parameters
    ----------
    flipped
        Which segments answer the other way round on a day.
    """

    def __init__(self, people: People, clock: Clock, draw: np.random.Generator, flipped: Flipped) -> None:
        self.people, self.clock, self.draw, self.flipped = people, clock, draw, flipped
        n = len(people)
        self.orders = np.zeros(n, dtype=np.int64)
        self.last = np.zeros(n, dtype=np.int64)
        self.contacted = np.full(n, -REST_DAYS * DAY_MS, dtype=np.int64)
        self.consents = people.consents.copy()
        self.pending = np.zeros((0, COLUMNS), dtype=np.int64)
        self.came = 0
        self.total_rate = np.zeros(n + 1)

    def day(self, number: int) -> Day:
        """Draw a day. Days come in order, from 0."""
        end = (number + 1) * DAY_MS
        joined = self._joined(end)
        due = self.pending[:, 0] < end
        rows = [joined, self._bought(number), self._anonymous(number), self.pending[due]]
        self.pending = self.pending[~due]
        before = np.concatenate(rows)
        contacts, chances = self._contacts(number, before)
        at_once = self.pending[:, 0] < end
        now = np.concatenate([before, contacts, self.pending[at_once]])
        self.pending = self.pending[~at_once]
        self._settle(now)
        order = np.lexsort((np.arange(len(now)), now[:, 1], now[:, 0]))
        return Day(now[order], chances)

    # What begins on a day.

    def _joined(self, end: int) -> Ints:
        first, self.came = self.came, int(np.searchsorted(self.people.born, end))
        who = np.arange(first, self.came)
        rates = np.cumsum(self.people.rate[first : self.came])
        self.total_rate[first + 1 : self.came + 1] = self.total_rate[first] + rates
        born = self.people.born[who]
        return np.concatenate([_rows(born, JOINED, who, 0), _rows(born, PURCHASE, who, 0)])

    def _bought(self, number: int) -> Ints:
        total = float(self.total_rate[self.came])
        n = self.draw.poisson(total * float(intensity(np.array([number]))[0]))
        drawn = np.searchsorted(self.total_rate[1 : self.came + 1], self.draw.random(n) * total, side="right")
        who = np.minimum(drawn, self.came - 1)
        at = moments(self.draw, np.full(n, number))
        alive = (at > self.people.born[who]) & (self.clock.shop_days(at) < self.people.leaves[who])
        return _rows(at[alive], PURCHASE, who[alive], 0)

    def _anonymous(self, number: int) -> Ints:
        n = self.draw.poisson(self.people.anonymous_rate * float(intensity(np.array([number]))[0]))
        at = moments(self.draw, np.full(n, number))
        return _rows(at, ANONYMOUS, np.full(n, -1), 0)

    # Contacts, and what follows from them.

    def _contacts(self, number: int, before: Ints) -> tuple[Ints, Floats]:
        n = self.draw.poisson(self.people.contact_rate * self.came)
        who = self.draw.integers(0, max(self.came, 1), n)
        at = moments(self.draw, np.full(n, number))
        campaign = self.draw.integers(0, len(CAMPAIGNS), n)
        who, first = np.unique(who, return_index=True)
        at, campaign = at[first], campaign[first]
        rested = at - self.contacted[who] >= REST_DAYS * DAY_MS
        asked = self.consents[who] & rested & (at > self.people.born[who])
        who, at, campaign = who[asked], at[asked], campaign[asked]
        self.contacted[who] = at
        response, control = self._chances(number, who, at, campaign, before)
        sent = self.draw.random(len(who)) < world.SENT
        converts = self.draw.random(len(who)) < np.where(sent, response, control)
        self._follow(who, at, campaign, sent, converts)
        rows = _rows(at, 0, who, np.arange(len(who)))
        rows[:, 1] = np.where(sent, SENT, WITHHELD)
        return rows, np.column_stack([campaign, response, control, converts])

    def _chances(self, number: int, who: Ints, at: Ints, campaign: Ints, before: Ints) -> tuple[Floats, Floats]:
        orders, last = self._history(number, who, at, before)
        segment = self.people.segment[who]
        answering = world.Answering(
            campaign, self.people.age[who], self.people.card[who], (at - last) / DAY_MS, orders.astype(np.float64)
        )
        mood = self.draw.normal(0.0, world.MOOD, len(who))
        z = world.log_odds(segment, self.flipped(number)[segment], answering) + mood
        alive = self.clock.shop_days(at) < self.people.leaves[who]
        return world.sigmoid(z) * alive, world.sigmoid(z + world.ORGANIC) * alive

    def _history(self, number: int, who: Ints, at: Ints, before: Ints) -> tuple[Ints, Ints]:
        """Orders so far, and the last one's time, at each contact; what the day brought before it counts."""
        bought = before[(before[:, 1] == PURCHASE) | (before[:, 1] == CONVERTED)]
        start = number * DAY_MS
        keys = np.sort(bought[:, 2] * DAY_MS + bought[:, 0] - start)
        until = np.searchsorted(keys, who * DAY_MS + at - start)
        today = until - np.searchsorted(keys, who * DAY_MS)
        if not len(keys):
            return self.orders[who], self.last[who]
        newest = keys[np.maximum(until - 1, 0)] - who * DAY_MS + start
        return self.orders[who] + today, np.where(today > 0, newest, self.last[who])

    def _follow(
        self, who: Ints, at: Ints, campaign: Ints, sent: NDArray[np.bool_], converts: NDArray[np.bool_]
    ) -> None:
        draw, n = self.draw, len(who)
        alive = self.clock.shop_days(at) < self.people.leaves[who]
        opens = sent & (converts | (draw.random(n) < np.where(alive, world.OPENS, world.OPENS_DEAD)))
        clicks = opens & (converts | (draw.random(n) < world.CLICKS))
        leaves = sent & alive & (draw.random(n) < world.UNSUBSCRIBES)
        opened = at + 60_000 + draw.exponential(5 * _HOUR, n).astype(np.int64).clip(max=2 * DAY_MS)
        clicked = opened + 5_000 + draw.exponential(60_000, n).astype(np.int64).clip(max=_HOUR)
        converted = np.minimum(clicked + 60_000 + draw.exponential(18 * _HOUR, n).astype(np.int64), at + _LONGEST)
        self.consents[who[leaves]] = False
        kinds = ((opens, OPENED, opened), (clicks, CLICKED, clicked), (converts, CONVERTED, converted))
        later = [_rows(when[some], kind, who[some], campaign[some]) for some, kind, when in kinds]
        later.append(_rows(clicked[leaves] + 30_000, UNSUBSCRIBED, who[leaves], campaign[leaves]))
        self.pending = np.concatenate([self.pending, *later])

    def _settle(self, now: Ints) -> None:
        bought = now[(now[:, 1] == PURCHASE) | (now[:, 1] == CONVERTED)]
        np.add.at(self.orders, bought[:, 2], 1)
        np.maximum.at(self.last, bought[:, 2], bought[:, 0])

    def take_back(self, at: Ints, who: Ints, product: Ints) -> None:
        """Plan refunds of one piece each, some days after the purchases at `at`."""
        delay = (2 + 18 * self.draw.random(len(at))) * DAY_MS
        self.pending = np.concatenate([self.pending, _rows(at + delay.astype(np.int64), REFUND, who, product)])


def _rows(at: Ints, kind: int, who: Ints, reference: Ints | int) -> Ints:
    rows = np.empty((len(at), COLUMNS), dtype=np.int64)
    rows[:, 0], rows[:, 1], rows[:, 2], rows[:, 3] = at, kind, who, reference
    return rows
