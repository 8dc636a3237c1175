"""The best that anybody can know from the events: what the score of a model is to be held against.

Nobody sees who has left, who is of which segment, or the mood of a contact. But whoever knew the laws could reckon,
from what a customer's events show, how probable each hidden state is: the forward algorithm of a hidden Markov
model, whose states are (segment, level) x (there, has left). Seen are attributes, times of purchases, and
answers to contacts; baskets and channels are not, so that a model that reads them can be a little better.
"""

from typing import Any, Final

import numpy as np
from msgspec import Struct

from schemas.events import Clicked, Contact, Converted, Customer, Event, Opened, Purchase, Sent, Unsubscribed
from streams.replay.simulated import world
from streams.replay.simulated.clock import DAY_MS, START
from streams.replay.simulated.people import REST_DAYS, People
from streams.replay.simulated.truth import Truth, none_in
from streams.replay.simulated.world import LEVELS, SEGMENTS, Array, sigmoid
from streams.replay.simulated.write import WINDOW_SECONDS

_START: Final = START.timestamp()
_DAY: Final = DAY_MS / 1_000.0
_KINDS: Final = len(SEGMENTS) * len(LEVELS)
_SEGMENT: Final = np.repeat(np.arange(len(SEGMENTS)), len(LEVELS))
_LEAVING: Final = np.array([1.0 / SEGMENTS[s].life_days for s in _SEGMENT])
_CAMPAIGN: Final = {campaign.id: number for number, campaign in enumerate(world.CAMPAIGNS)}
_MOODS, _weights = np.polynomial.hermite_e.hermegauss(9)
_WEIGHTS: Final = _weights / _weights.sum()
_USUAL_RECENCY: Final = 20.0
"""Days; where the coming contacts' conversions are reckoned with."""


class _Asked(Struct):
    """A contact that may still be answered; `converts` by hidden kind, if there."""

    closes_at: float
    sent: bool
    converts: Array
    stage: int = 0


class _Known(Struct):
    """What is known of a customer; weights by hidden kind, `there` and `left`, shape (kinds,)."""

    age: int
    card: int
    agrees: bool
    at: float
    there: Array
    left: Array
    orders: int = 0
    bought_at: float = 0.0
    converted_at: float = 0.0
    asked: _Asked | None = None


class BestGuess:
    """Probabilities by Bayes' rule from the events so far, for who knows the shop's laws but not its secrets.

    Parameters
    ----------
    people, truth
        Of the simulation. Only its laws are read: the pace, and how busy the shop is when.
    """

    def __init__(self, people: People, truth: Truth) -> None:
        self.truth = truth
        gaps = np.array([SEGMENTS[s].gap_days for s in _SEGMENT])
        self.rate = people.pace * np.tile(LEVELS, len(SEGMENTS)) / gaps
        self.asked_a_day = 1.0 / (1.0 / people.contact_rate + REST_DAYS)
        self.known: dict[str, _Known] = {}

    # Questions; `at` is not before what was taken.

    def no_purchase(self, customer_id: str, at: float, days: float) -> float:
        """Probability that no purchase comes in (at, at + days]."""
        known = self.known[customer_id]
        self._pass(known, at)
        window = self.truth.shop_days(at + days * _DAY) - self.truth.shop_days(at)
        rate = self.rate + (self.asked_a_day * self._usual(known) if known.agrees else 0.0)
        silent = known.left.sum() + (known.there * none_in(rate, _LEAVING, window)).sum()
        return float(silent / (known.left.sum() + known.there.sum()))

    def response(self, contact: Contact) -> float:
        """Probability that a contact is followed by a conversion. Ask before it is taken."""
        at = contact.occurred_at.timestamp()
        known = self.known[contact.customer_id]
        self._pass(known, at)
        chance = self._chance(known, at, _CAMPAIGN[contact.campaign_id], isinstance(contact, Sent))
        return float((known.there * chance).sum() / (known.left.sum() + known.there.sum()))

    # Events, in order.

    def take(self, event: Event) -> None:
        """Learn from one event."""
        if event.customer_id is None:
            return
        at = event.occurred_at.timestamp()
        if isinstance(event, Customer):
            self.known[event.customer_id] = _stranger(event, at)
            return
        known = self.known[event.customer_id]
        self._pass(known, at)
        match event:
            case Purchase():
                if known.orders and at != known.converted_at:
                    self._see(known, self.rate, 0.0)
                known.orders += 1
                known.bought_at = at
            case Contact():
                chance = self._chance(known, at, _CAMPAIGN[event.campaign_id], isinstance(event, Sent))
                known.asked = _Asked(at + WINDOW_SECONDS, isinstance(event, Sent), chance)
            case Opened() | Clicked() | Converted() if known.asked is not None:
                self._answer(known, at, event)
            case Unsubscribed():
                known.agrees = False
            case _:
                pass

    def _answer(self, known: _Known, at: float, event: Event) -> None:
        asked = known.asked
        assert asked is not None  # noqa: S101 - the caller looked
        there, left = _steps(asked)
        self._see(known, there[asked.stage], left[asked.stage])
        asked.stage += 1
        if isinstance(event, Converted):
            known.converted_at, known.asked = at, None

    def _pass(self, known: _Known, at: float) -> None:
        """Time without a purchase."""
        asked = known.asked
        if asked is not None and asked.closes_at <= at:
            known.asked = None
            self._pass(known, asked.closes_at)
            there, left = _steps(asked)
            self._see(known, 1.0 - there[asked.stage], 1.0 - left[asked.stage])
        passed = self.truth.shop_days(at) - self.truth.shop_days(known.at)
        known.at = at
        both = self.rate + _LEAVING
        stays = np.exp(-both * passed)
        known.left = known.left + known.there * _LEAVING / both * (1.0 - stays)
        known.there = known.there * stays

    def _see(self, known: _Known, there: Array | float, left: float) -> None:
        known.there, known.left = known.there * there, known.left * left
        total = known.there.sum() + known.left.sum()
        known.there, known.left = known.there / total, known.left / total

    def _chance(self, known: _Known, at: float, campaign: int, sent: bool) -> Array:
        day = int((at - _START) // _DAY)
        return self._answers(known, (at - known.bought_at) / _DAY, np.array(campaign), day, sent)

    def _usual(self, known: _Known) -> Array:
        number = np.arange(len(_CAMPAIGN))
        day = int((known.at - _START) // _DAY)
        each = [self._answers(known, _USUAL_RECENCY, np.array(campaign), day, True) for campaign in number]
        return np.asarray(np.mean(each, axis=0))

    def _answers(self, known: _Known, recency: float, campaign: Any, day: int, sent: bool) -> Array:
        flipped = self.truth.flipped(day)[_SEGMENT]
        of = world.Answering(
            campaign, np.array(known.age), np.array(known.card), np.array(recency), np.array(float(known.orders))
        )
        z = world.log_odds(_SEGMENT, flipped, of) + (0.0 if sent else world.ORGANIC)
        return np.asarray(sigmoid(z[:, None] + world.MOOD * _MOODS) @ _WEIGHTS)


def _steps(asked: _Asked) -> tuple[tuple[Array | float, ...], tuple[float, ...]]:
    """Probability of opening, then of clicking, then of converting, if there and if not."""
    p = asked.converts
    if not asked.sent:
        return (p,), (0.0,)
    opens = p + (1.0 - p) * world.OPENS
    clicks = p + (1.0 - p) * world.OPENS * world.CLICKS
    return (opens, clicks / opens, p / clicks), (world.OPENS_DEAD, world.CLICKS, 0.0)


def _stranger(event: Customer, at: float) -> _Known:
    age = world.AGES.index(str(event.attributes["age"]))
    kept = event.attributes["card"]
    card = -1 if kept is None else int(bool(kept))
    shares = [
        one.share * one.ages[age] * (1.0 if card < 0 else one.card if card else 1.0 - one.card) for one in SEGMENTS
    ]
    there = np.array(shares)[_SEGMENT]
    there = there / there.sum()
    return _Known(age, card, event.consent["email"], at, there, np.zeros(_KINDS))
