"""Rows of a simulated day as events."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Final

import numpy as np

from schemas.events import (
    Clicked,
    Converted,
    Customer,
    Event,
    Line,
    Opened,
    Purchase,
    Refund,
    Sent,
    Unsubscribed,
    Value,
    Withheld,
)
from streams.replay.simulated import process, world
from streams.replay.simulated.clock import START, Ints
from streams.replay.simulated.people import People, name_of
from streams.replay.simulated.process import Day, Process
from streams.replay.simulated.truth import Contacted

Hear = Callable[[Contacted], None]
WINDOW_SECONDS: Final = 7 * 86_400.0
_ENGAGED: Final[dict[int, Any]] = {
    process.OPENED: Opened,
    process.CLICKED: Clicked,
    process.CONVERTED: Converted,
    process.UNSUBSCRIBED: Unsubscribed,
}
_OFFERS: Final[tuple[dict[str, Value], ...]] = tuple(
    {"discount": one.discount, "theme": one.theme} for one in world.CAMPAIGNS
)
_PRODUCTS: Final = tuple(f"p{number}" for number in range(world.PRODUCTS))
_CATEGORIES: Final = tuple(world.CATEGORIES[c] for c in world.CATEGORY_OF)
_BRANDS: Final = tuple(world.BRANDS[b] for b in world.BRAND_OF)
_PRICES: Final[list[float]] = world.PRICE_OF.tolist()
_SHARES: Final = np.concatenate([row + kind for kind, row in enumerate(world.BASKET)])
_SEGMENT_SHARES: Final = np.array([segment.share for segment in world.SEGMENTS])
_CHANNELS: Final = np.cumsum([segment.channels for segment in world.SEGMENTS], axis=1)[:, :-1]
_LINES: Final = np.array([segment.lines for segment in world.SEGMENTS])


class Writer:
    """Makes events of days, and draws what is in the baskets.

    Parameters
    ----------
    span
        Days in which the rising brand rises.
    """

    def __init__(self, people: People, happens: Process, draw: np.random.Generator, span: int) -> None:
        self.people, self.process, self.draw, self.span = people, happens, draw, span
        self.written = 0

    def write(self, number: int, day: Day, hear: Hear | None) -> Iterator[Event]:
        """Events of one day, in order; `hear` is told the truth of each contact just before it."""
        sales = np.isin(day.rows[:, 1], (process.PURCHASE, process.CONVERTED, process.ANONYMOUS))
        baskets = self._baskets(number, day.rows[sales])
        chances = day.chances.tolist()
        for at_ms, kind, who, reference in day.rows.tolist():
            self.written += 1
            event_id = f"e{self.written}"
            at = START + timedelta(milliseconds=at_ms)
            match kind:
                case process.PURCHASE | process.ANONYMOUS:
                    yield _purchase(event_id, name_of(who) if who >= 0 else None, at, *next(baskets))
                case process.SENT | process.WITHHELD:
                    chance = chances[reference]
                    if hear is not None:
                        hear(_contacted(event_id, who, at, kind == process.SENT, chance))
                    yield _contact(event_id, who, at, kind == process.SENT, int(chance[0]))
                case process.CONVERTED:
                    yield _engaged(kind, event_id, who, at, reference)
                    self.written += 1
                    yield _purchase(f"e{self.written}", name_of(who), at, *next(baskets))
                case process.JOINED:
                    yield self._joined(event_id, who, at)
                case process.REFUND:
                    yield _refund(event_id, who, at, reference)
                case _:
                    yield _engaged(kind, event_id, who, at, reference)

    def _joined(self, event_id: str, who: int, at: datetime) -> Customer:
        people = self.people
        card = int(people.card[who])
        agrees = bool(people.consents[who])
        return Customer(
            event_id=event_id,
            customer_id=name_of(who),
            occurred_at=at,
            attributes={
                "age": world.AGES[people.age[who]],
                "country": world.COUNTRIES[people.country[who]],
                "household": float(people.household[who]),
                "card": None if card < 0 else bool(card),
            },
            consent={"email": agrees, "push": agrees},
        )

    # Baskets.

    def _baskets(self, number: int, rows: Ints) -> Iterator[tuple[str, tuple[Line, ...]]]:
        draw, n = self.draw, len(rows)
        known = rows[:, 2] >= 0
        kind = np.where(known, self.people.segment[rows[:, 2]], self._somebody(n))
        size = 1 + np.minimum(draw.poisson(_LINES[kind] - 1.0), 11)
        ends = np.cumsum(size)
        product = self._products(number, np.repeat(kind, size), ends)
        quantity = np.minimum(draw.geometric(0.7, len(product)), 6)
        channel = (draw.random(n)[:, None] > _CHANNELS[kind]).sum(axis=1)
        back = np.flatnonzero(known & (draw.random(n) < world.REFUNDED))
        self.process.take_back(rows[back, 0], rows[back, 2], product[ends[back] - 1])
        lines = [_line(p, q) for p, q in zip(product.tolist(), quantity.tolist(), strict=True)]
        cuts = pairwise([0, *ends.tolist()])
        names = [world.CHANNELS[c] for c in channel.tolist()]
        return iter([(name, tuple(lines[a:b])) for name, (a, b) in zip(names, cuts, strict=True)])

    def _somebody(self, n: int) -> Ints:
        return np.asarray(np.searchsorted(np.cumsum(_SEGMENT_SHARES)[:-1], self.draw.random(n)))

    def _products(self, number: int, kind: Ints, ends: Ints) -> Ints:
        draw, n = self.draw, len(kind)
        product = np.searchsorted(_SHARES, kind + draw.random(n) * (1.0 - 1e-9), side="right")
        product = np.minimum(product - kind * world.PRODUCTS, world.PRODUCTS - 1)
        share = world.RISES * min(number / self.span, 1.0)
        rises = draw.random(n) < share
        product[rises] = draw.choice(world.RISERS, int(rises.sum()))
        before = np.roll(product, 1)
        first = np.zeros(n, dtype=np.bool_)
        first[0:1] = True
        first[ends[:-1]] = True
        paired = ~first & (world.PARTNER_OF[before] >= 0) & (draw.random(n) < world.PAIRED)
        product[paired] = world.PARTNER_OF[before[paired]]
        return np.asarray(product)


def _line(product: int, quantity: int) -> Line:
    return Line(
        product_id=_PRODUCTS[product],
        quantity=float(quantity),
        unit_price=_PRICES[product],
        category=_CATEGORIES[product],
        brand=_BRANDS[product],
    )


def _purchase(event_id: str, who: str | None, at: datetime, channel: str, lines: tuple[Line, ...]) -> Purchase:
    return Purchase(
        event_id=event_id, customer_id=who, occurred_at=at, currency=world.CURRENCY, channel=channel, lines=lines
    )


def _refund(event_id: str, who: int, at: datetime, product: int) -> Refund:
    lines = (_line(product, 1),)
    return Refund(
        event_id=event_id, customer_id=name_of(who), occurred_at=at, currency=world.CURRENCY, channel="web", lines=lines
    )


def _engaged(kind: int, event_id: str, who: int, at: datetime, campaign: int) -> Event:
    offer = world.CAMPAIGNS[campaign]
    engaged: Event = _ENGAGED[kind](
        event_id=event_id, customer_id=name_of(who), occurred_at=at, campaign_id=offer.id, channel=offer.channel
    )
    return engaged


def _contact(event_id: str, who: int, at: datetime, sent: bool, campaign: int) -> Event:
    offer = world.CAMPAIGNS[campaign]
    return (Sent if sent else Withheld)(
        event_id=event_id,
        customer_id=name_of(who),
        occurred_at=at,
        campaign_id=offer.id,
        channel=offer.channel,
        attributes=dict(_OFFERS[campaign]),
        window_seconds=WINDOW_SECONDS,
        propensity=world.SENT if sent else 1.0 - world.SENT,
    )


def _contacted(event_id: str, who: int, at: datetime, sent: bool, chance: list[float]) -> Contacted:
    return Contacted(
        event_id=event_id,
        customer_id=name_of(who),
        campaign_id=world.CAMPAIGNS[int(chance[0])].id,
        at=at.timestamp(),
        sent=sent,
        response=chance[1],
        control=chance[2],
        converts=bool(chance[3]),
    )
