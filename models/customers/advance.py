"""One event changes one customer's state. In place, for a shard handles hundreds of events at once.

Bounds, and what happens there: 8 channels, categories and offers (the least counted, or the oldest,
makes room), 32 attributes and 16 channels of consent (further names are ignored), 91 days of purchases,
16 recent event ids a topic (a repeat from beyond them counts again). Brands: `models/brand/taste.py`.
"""

from bisect import bisect_left
from hashlib import blake2b
from typing import Final

from models.customers.attributes import MAX_ATTRIBUTES
from models.policy import DAY, Policy
from models.receipt import Receipt, read
from models.sales.calendar import day_of
from schemas.events import (
    Clicked,
    Converted,
    Customer,
    Engagement,
    Event,
    Feedback,
    Forgotten,
    Observation,
    Opened,
    Purchase,
    Refund,
    Sent,
    Unsubscribed,
)
from schemas.state import Attribute, CustomerState, Day, Offer

MAX_KINDS: Final = 8
MAX_NAMES: Final = 16
MAX_TEXT: Final = 64
DAYS_KEPT: Final = 91
MAX_CHANNEL: Final = 512
"""Letters of a channel's name; no engagement has a longer one."""
MAX_E4: Final = 2**62
MAX_WHOLE: Final = 2.0**53
"""Up to here a float tells whole numbers apart."""
IDS_KEPT: Final = 16
ID_BYTES: Final = 5
SILENCES: Final = (7.0, 14.0, 30.0, 60.0, 120.0)
"""Days without a purchase after which a customer is looked at again; then every 120 days."""


def id_hash(event_id: str) -> bytes:
    """Five bytes that stand for an event's id among the recent ones."""
    return blake2b(event_id.encode(), digest_size=ID_BYTES).digest()


def local_day(event: Event, policy: Policy) -> int:
    """Days since 1970-01-01 in the shop's timezone."""
    return day_of(event.occurred_at.astimezone(policy.zone))


def is_repeat(ids: bytes, wanted: bytes) -> bool:
    """Whether an id's hash is among the recent ones."""
    place = ids.find(wanted)
    while place >= 0:
        if place % ID_BYTES == 0:
            return True
        place = ids.find(wanted, place + 1)
    return False


def with_id(ids: bytes, own: bytes, kept: int = IDS_KEPT) -> bytes:
    """The recent ids' hashes with one more; the oldest goes."""
    return (ids + own)[-kept * ID_BYTES :]


def advance(state: CustomerState, event: Event, at: float, policy: Policy, receipt: Receipt | None = None) -> None:
    """Take in one event that is no duplicate. `Forgotten` is the caller's.

    Parameters
    ----------
    state
        Changed in place.
    at
        The event's time, in epoch seconds.
    receipt
        Of a sale, where it has been read already.
    """
    match event:
        case Purchase() | Refund():
            _sale(state, receipt or read(event), at, policy)
        case Customer():
            _profile(state, event, at)
        case Forgotten():
            raise ValueError("a customer who is forgotten has no state")
        case Feedback() | Observation():
            pass  # what is said concerns the brand; only that the customer was heard of is remembered
        case _:
            _engagement(state, event, at)


def _sale(state: CustomerState, receipt: Receipt, at: float, policy: Policy) -> None:
    sign, currency = receipt.sign, receipt.event.currency
    paid = sign * receipt.total_e4
    if currency in state.spend or len(state.spend) < MAX_KINDS:
        state.spend[currency] = _added(state.spend.get(currency, 0), paid)
    in_main = paid if currency == policy.currency else 0
    if sign > 0:
        state.orders += 1
        state.first_purchase = at if state.first_purchase is None else min(state.first_purchase, at)
        if state.last_purchase is None or at > state.last_purchase:
            state.silence_ended = 0 if state.last_purchase is None else int((at - state.last_purchase) // DAY)
            state.last_purchase = at
            state.silence_step = 0
        _count(state.channels, receipt.event.channel)
        for category, shelf in receipt.shelves.items():
            if shelf.is_named:
                _count(state.categories, category)
    else:
        state.refunds += 1
        state.last_refund = at if state.last_refund is None else max(state.last_refund, at)
    _add_day(state, int(at // DAY), int(sign > 0), in_main)
    relation = state.relation
    if relation is not None and relation.opened_at < at <= relation.opened_at + policy.window_days * DAY:
        relation.orders += sign > 0
        relation.spend_e4 = _added(relation.spend_e4, in_main)


def _added(total_e4: int, more_e4: int) -> int:
    """Within what a 64-bit number holds."""
    return max(min(total_e4 + more_e4, MAX_E4), -MAX_E4)


def _count(counts: dict[str, int], name: str) -> None:
    name = name[:MAX_TEXT]
    counts[name] = counts.get(name, 0) + 1
    if len(counts) > MAX_KINDS:
        del counts[min((other for other in counts if other != name), key=lambda other: (counts[other], other))]


def _add_day(state: CustomerState, day: int, orders: int, spend_e4: int) -> None:
    days = state.days
    if days and days[-1].day == day:
        place = len(days) - 1
    else:
        place = bisect_left(days, day, key=lambda known: known.day)
        if place == len(days) or days[place].day != day:
            days.insert(place, Day(day))
    days[place].orders += orders
    days[place].spend_e4 = _added(days[place].spend_e4, spend_e4)
    newest = days[-1].day
    while days[0].day <= newest - DAYS_KEPT:
        del days[0]


def _profile(state: CustomerState, event: Customer, at: float) -> None:
    for name, value in event.attributes.items():
        _told(state, name[:MAX_TEXT], _bounded(value), at)
    for channel, agreed in event.consent.items():
        known = state.consent.get(channel)
        if known is None and (len(state.consent) >= MAX_NAMES or len(channel) > MAX_CHANNEL):
            continue
        if known is None or at >= state.agreed_at.get(channel, state.seen_at):
            _agree(state, channel, agreed, at)
            if agreed and state.unsubscribed.get(channel, at) <= at:
                state.unsubscribed.pop(channel, None)


def _opt_out(state: CustomerState, channel: str, at: float) -> None:
    consent = state.consent.get(channel)
    if consent is not None and at < state.agreed_at.get(channel, state.seen_at):
        if not consent:  # a yes in between, if there was one, is not known any more: no is the safe side
            state.unsubscribed[channel] = max(at, state.unsubscribed.get(channel, at))
        return
    if consent is None and len(state.consent) >= MAX_NAMES:
        others = [name for name in state.consent if name not in state.unsubscribed]
        if not others:
            return
        oldest = min(others, key=lambda name: (state.agreed_at.get(name, state.seen_at), name))
        del state.consent[oldest]
        state.agreed_at.pop(oldest, None)
    state.unsubscribed[channel] = max(at, state.unsubscribed.get(channel, at))
    _agree(state, channel, False, at)


def _agree(state: CustomerState, channel: str, agreed: bool, at: float) -> None:
    state.consent[channel] = agreed
    _date(state.agreed_at, channel, at, state.seen_at)


def _date(times: dict[str, float], name: str, at: float, usual: float) -> None:
    if at == usual:
        times.pop(name, None)
    else:
        times[name] = at


def _bounded(value: Attribute) -> Attribute:
    if isinstance(value, str):
        return value[:MAX_TEXT]
    whole = isinstance(value, float) and value.is_integer() and 0 < abs(value) < MAX_WHOLE
    return int(value) if whole else value  # type: ignore[arg-type]


def _told(state: CustomerState, name: str, value: Attribute, at: float) -> None:
    """By event time, whatever the order of arrival. Beyond the bound new names are ignored."""
    if name in state.attributes:
        if at < state.told_at.get(name, state.seen_at):
            return
    elif len(state.attributes) >= MAX_ATTRIBUTES:
        return
    state.attributes[name] = value
    _date(state.told_at, name, at, state.seen_at)


def _engagement(state: CustomerState, event: Engagement, at: float) -> None:
    offer = state.offers.get(event.campaign_id)
    if offer is None:
        offer = state.offers[event.campaign_id] = Offer(last_at=int(at))
        if len(state.offers) > MAX_KINDS:
            others = [name for name in state.offers if name != event.campaign_id]
            del state.offers[min(others, key=lambda name: (state.offers[name].last_at, name))]
    offer.last_at = max(offer.last_at, int(at))
    match event:
        case Sent():
            offer.sent += 1
        case Opened():
            offer.opened += 1
        case Clicked():
            offer.clicked += 1
        case Converted():
            offer.converted += 1
        case Unsubscribed():
            _opt_out(state, event.channel, at)
        case _:
            pass


def newest(state: CustomerState) -> int:
    """Return the second, since 1970, of the newest event that the features know of."""
    told = (state.seen_at, state.last_purchase or 0.0, state.last_refund or 0.0, *state.told_at.values())
    return max(int(max(told)), *(offer.last_at for offer in state.offers.values()), 0)


def silence_at(state: CustomerState) -> float | None:
    """When the customer has been silent long enough to be looked at again; None without a purchase."""
    if state.last_purchase is None:
        return None
    return state.last_purchase + silence_days(state.silence_step) * DAY


def silence_days(step: int) -> float:
    """Days of silence at a step.

    >>> [silence_days(step) for step in range(7)]
    [7.0, 14.0, 30.0, 60.0, 120.0, 240.0, 360.0]
    """
    return SILENCES[step] if step < len(SILENCES) else SILENCES[-1] * (step - len(SILENCES) + 2)


def next_draw(customer_id: str, after: float, draw_days: float) -> float:
    """First draw after a time: once in `draw_days`, at the moment that a hash of the id gives."""
    period = draw_days * DAY
    share = int.from_bytes(blake2b(customer_id.encode(), digest_size=8, person=b"draw").digest(), "big") / 2**64
    phase = float(int(share * period))
    return phase + ((after - phase) // period + 1) * period
