"""Facts and features of a customer against a naive oracle that adds up the raw events, in any order of arrival."""

import math
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.customers.advance import MAX_KINDS, MAX_NAMES, MAX_TEXT, advance
from models.customers.attributes import MAX_ATTRIBUTES
from models.customers.catalogue import CATALOGUE, Moment
from models.customers.features import NATURAL, natural, pack, scaled, unpack
from models.policy import Policy
from schemas.events import Clicked, Converted, Customer, Line, Opened, Purchase, Refund, Sent, Unsubscribed, Withheld
from schemas.state import CustomerState, Remembered, decode_remembered, encode_remembered

START = datetime(2026, 1, 1, tzinfo=UTC)
POLICY = Policy(currency="GBP")
ENGAGED = (Sent, Withheld, Opened, Clicked, Converted, Unsubscribed)


def names(word, count):
    return st.integers(1, count).map(lambda number: f"{word}{number}")


@st.composite
def lines(draw):
    return Line(
        product_id="p", quantity=draw(st.integers(1, 40)), unit_price=draw(st.integers(0, 100_000)) / 100,
        category=draw(st.none() | names("category", MAX_KINDS)),
    )  # fmt: skip


@st.composite
def times(draw):
    """A whole second of half a year, often where a window begins or ends before its last day."""
    day = 180 - draw(st.sampled_from([0, 6, 7, 29, 30, 89, 90, 91]) | st.integers(0, 180))
    return START + timedelta(days=day, seconds=draw(st.integers(0, 86_399)))


@st.composite
def happenings(draw, kinds=MAX_KINDS):
    """One event. Names are few, so that they meet again."""
    common = {"event_id": "e", "customer_id": "a", "occurred_at": draw(times())}
    kind = draw(st.sampled_from([Purchase] * 5 + [Refund] + [Customer] * 3 + [Unsubscribed] * 2 + [*ENGAGED]))
    if kind is Customer:
        values = st.none() | st.booleans() | st.floats(-1e6, 1e6) | st.text(max_size=80)
        return Customer(
            **common,
            attributes=draw(st.dictionaries(names("name", 3), values, max_size=3)),
            consent=draw(st.dictionaries(names("channel", 2), st.booleans(), max_size=2)),
        )
    if kind in ENGAGED:
        return kind(**common, campaign_id=draw(names("campaign", kinds)), channel=draw(names("channel", 2)))
    return kind(
        **common, currency=draw(st.sampled_from(["GBP", "GBP", "GBP", "EUR"])), channel=draw(names("channel", kinds)),
        lines=tuple(draw(st.lists(lines(), min_size=1, max_size=3))),
    )  # fmt: skip


histories = st.lists(happenings(), min_size=3, max_size=30, unique_by=lambda event: event.occurred_at)
"""No two share a time: ties go by arrival."""


def taken_in(events):
    state = CustomerState(seen_at=0.0)
    for event in events:
        advance(state, event, event.occurred_at.timestamp(), POLICY)
    return state


class Naive:
    """What the raw events say at a moment, all of them at once."""

    def __init__(self, events, at):
        self.events, self.at = sorted(events, key=lambda event: event.occurred_at), at
        self.purchases = [event for event in self.events if isinstance(event, Purchase)]
        self.sales = [event for event in self.events if isinstance(event, Purchase | Refund)]

    @staticmethod
    def paid(event):
        total = sum(Fraction(int(line.quantity)) * Fraction(round(line.unit_price * 100), 100) for line in event.lines)
        return total if isinstance(event, Purchase) else -total

    def spend(self, sales):
        return sum((self.paid(event) for event in sales if event.currency == "GBP"), Fraction(0))

    def within(self, events, days):
        """The last so many days of the UTC calendar, today among them."""
        first = self.at.date() - timedelta(days=days - 1)
        return [event for event in events if first <= event.occurred_at.date() <= self.at.date()]

    def days_since(self, time):
        return max((self.at - time).total_seconds(), 0.0) / 86_400

    def features(self):
        orders, times = len(self.purchases), [event.occurred_at for event in self.purchases]
        gaps = [(after - before).total_seconds() / 86_400 for before, after in pairwise(times)]
        gap = sum(gaps) / len(gaps) if gaps else 0.0
        recency = self.days_since(times[-1]) if times else 0.0
        spend = self.spend(self.sales)
        count = Counter(type(event) for event in self.events)
        found = {
            "recency_days": recency,
            "tenure_days": self.days_since(times[0]) if times else 0.0,
            "orders": orders,
            "refunds": count[Refund],
            "spend": spend,
            "mean_order": spend / orders if orders else 0,
            "gap_mean_days": gap,
            "gap_ratio": recency / max(gap, 1.0) if gaps else 0.0,
            "has_bought": bool(times),
            "has_gap": len(times) > 1,
            "categories": len({line.category for event in self.purchases for line in event.lines} - {None}),
            "sent": count[Sent],
            "opened": count[Opened],
            "clicked": count[Clicked],
            "converted": count[Converted],
        }
        for days in (7, 30, 90):
            found[f"orders_{days}d"] = len(self.within(self.purchases, days))
            found[f"spend_{days}d"] = self.spend(self.within(self.sales, days))
        return found


@settings(max_examples=150, deadline=None)
@given(histories, st.randoms(use_true_random=False), st.just(0) | st.integers(0, 120 * 86_400))
def test_the_features_agree_with_adding_up_in_any_order_of_arrival(events, shuffle, later):
    newest = max((event.occurred_at for event in events), default=START)
    at = newest + timedelta(seconds=later)
    shuffled = events[:]
    shuffle.shuffle(shuffled)
    for arrived in (sorted(events, key=lambda event: event.occurred_at), shuffled):
        row = dict(zip(NATURAL, natural(taken_in(arrived), at.timestamp(), "GBP"), strict=True))
        expected = Naive(events, at).features()
        assert set(row) == set(expected)
        for name, value in expected.items():
            assert row[name] == pytest.approx(float(value), rel=1e-9, abs=1e-7), name


@settings(max_examples=150, deadline=None)
@given(histories, st.just(0) | st.integers(-40 * 86_400, 120 * 86_400))
def test_what_is_computed_in_one_pass_is_what_the_catalogue_says_to_the_bit(events, later):
    at = max((event.occurred_at for event in events), default=START).timestamp() + later
    state = taken_in(events)
    one = Moment(state, at, "GBP")
    assert list(map(repr, natural(state, at, "GBP"))) == [repr(feature.of(one)) for feature in CATALOGUE]


def test_every_feature_says_what_it_is():
    assert len({feature.name for feature in CATALOGUE}) == len(CATALOGUE) == len(NATURAL)
    for feature in CATALOGUE:
        assert feature.owner in ("transactions", "engagements", "customers"), feature.name
        assert feature.unit, feature.name
        assert feature.meaning.endswith("."), feature.name


@settings(max_examples=100, deadline=None)
@given(histories, st.none() | st.randoms(use_true_random=False))
def test_the_facts_agree_with_counting_in_any_order_of_arrival(events, shuffle):
    in_order = sorted(events, key=lambda event: event.occurred_at)
    arrived = in_order[:]
    if shuffle is not None:
        shuffle.shuffle(arrived)
    state = taken_in(arrived)
    channels, categories, spend = Counter(), Counter(), defaultdict(Fraction)
    attributes, consent, opted_out = {}, {}, {}
    offers = defaultdict(Counter)
    for event in in_order:
        match event:
            case Customer():
                attributes |= {
                    name: value[:MAX_TEXT] if isinstance(value, str) else value
                    for name, value in event.attributes.items()
                }
                for channel, agreed in event.consent.items():
                    consent[channel] = agreed
                    if agreed:
                        opted_out.pop(channel, None)
            case Purchase() | Refund():
                spend[event.currency] += Naive.paid(event)
                if isinstance(event, Purchase):
                    channels[event.channel] += 1
                    categories.update({line.category for line in event.lines} - {None})
            case _:
                offers[event.campaign_id][type(event)] += 1
                if isinstance(event, Unsubscribed):
                    consent[event.channel], opted_out[event.channel] = False, True
    assert state.channels == channels
    assert state.categories == categories
    assert {currency: Fraction(amount, 10_000) for currency, amount in state.spend.items()} == spend
    assert state.attributes == attributes
    assert state.consent == consent
    more = set(state.unsubscribed) - set(opted_out)
    assert set(opted_out) <= set(state.unsubscribed)
    assert not more or shuffle is not None  # of a yes that came late, between an opt-out and a no, nothing is kept
    assert not any(consent[channel] for channel in more)
    assert {
        name: (offer.sent, offer.opened, offer.clicked, offer.converted) for name, offer in state.offers.items()
    } == {name: tuple(count[kind] for kind in (Sent, Opened, Clicked, Converted)) for name, count in offers.items()}


@settings(max_examples=40, deadline=None)
@given(
    st.lists(happenings(kinds=60), max_size=150),
    st.lists(st.tuples(names("c", 80), st.booleans()), max_size=80),
    st.lists(st.tuples(names("n", 80), st.text(max_size=200)), max_size=80),
)
def test_bounds_hold_whatever_comes(events, consents, attributes):
    common = {"event_id": "e", "customer_id": "a", "occurred_at": START}
    for channel, agrees in consents:
        events.append(Customer(**common, consent={channel: agrees}))
        events.append(Unsubscribed(**common, campaign_id="x", channel=channel + "'"))
    events += [Customer(**common, attributes={name * 30: value}) for name, value in attributes]
    counted = Counter(event.channel for event in events if isinstance(event, Purchase))
    state = taken_in(events)
    assert max(map(len, (state.channels, state.categories, state.offers, state.spend))) <= MAX_KINDS
    assert len(state.attributes) <= MAX_ATTRIBUTES
    assert max(map(len, (state.consent, state.unsubscribed))) <= MAX_NAMES
    assert len(state.days) <= 91
    assert all(len(name) <= MAX_TEXT for name in state.attributes)
    assert all(count <= counted[channel] for channel, count in state.channels.items())
    assert decode_remembered(encode_remembered(Remembered(state))).state == state


def test_an_opt_out_finds_room_where_consents_have_taken_it():
    common = {"event_id": "e", "customer_id": "a"}
    everything = {f"c{number}": True for number in range(40)}
    state = taken_in([
        Customer(**common, occurred_at=START, consent=everything),
        Unsubscribed(**common, occurred_at=START + timedelta(days=1), campaign_id="x", channel="post"),
    ])  # fmt: skip
    assert "post" in state.unsubscribed
    assert state.consent["post"] is False
    assert len(state.consent) == MAX_NAMES


def test_an_opt_out_that_comes_after_a_later_no_still_counts():
    common = {"event_id": "e", "customer_id": "a"}
    no = Customer(**common, occurred_at=START + timedelta(days=2), consent={"email": False})
    yes = Customer(**common, occurred_at=START + timedelta(days=2), consent={"email": True})
    opt_out = Unsubscribed(**common, occurred_at=START, campaign_id="x", channel="email")
    for events in ([no, opt_out], [opt_out, no]):
        assert set(taken_in(events).unsubscribed) == {"email"}
    for events in ([yes, opt_out], [opt_out, yes]):
        assert not taken_in(events).unsubscribed


@given(st.lists(st.tuples(st.integers(0, 5), names("n", 3), st.none() | st.booleans() | st.floats(-9, 9)), max_size=9))
def test_of_what_was_told_and_agreed_the_latest_counts_whatever_comes_first(told):
    common = {"event_id": "e", "customer_id": "a"}
    events = [
        Customer(
            **common, occurred_at=START + timedelta(days=day), attributes={name: value}, consent={name: bool(value)}
        )
        for day, name, value in told
    ]
    state = CustomerState(seen_at=(START + timedelta(days=2)).timestamp())
    for event in events:
        advance(state, event, event.occurred_at.timestamp(), POLICY)
    latest = {name: value for _, name, value in sorted(told, key=lambda one: one[0])}
    assert state.attributes == latest
    assert state.consent == {name: bool(value) for name, value in latest.items()}
    assert decode_remembered(encode_remembered(Remembered(state))) == Remembered(state)


def test_what_comes_with_the_first_event_is_kept_without_its_time_and_whole_numbers_are_short():
    told = Customer(event_id="e", customer_id="a", occurred_at=START, attributes={"age": 44.0}, consent={"email": True})
    states = [CustomerState(seen_at=at) for at in (START.timestamp(), START.timestamp() - 1)]
    for state in states:
        advance(state, told, START.timestamp(), POLICY)
    first, later = (len(encode_remembered(Remembered(state))) for state in states)
    assert later - first == len("age" + "email") + 2 * (1 + 9)
    assert type(states[0].attributes["age"]) is int


def test_missing_is_told_apart_from_zero():
    at = START + timedelta(days=1)
    sale = {"event_id": "e", "customer_id": "a", "currency": "GBP", "channel": "web"}
    stranger = natural(taken_in([]), at.timestamp(), "GBP")
    free = (Line(product_id="p", quantity=1, unit_price=0.0),)
    buyer = natural(taken_in([Purchase(**sale, occurred_at=at, lines=free)]), at.timestamp(), "GBP")
    differ = {name for name, a, b in zip(NATURAL, stranger, buyer, strict=True) if a != b}
    assert differ == {
        "has_bought",
        "orders",
        "orders_7d",
        "orders_30d",
        "orders_90d",
    }  # recency and spend are 0 in both
    twice = [Purchase(**sale, occurred_at=at, lines=free)] * 2
    again = natural(taken_in(twice), at.timestamp(), "GBP")
    assert dict(zip(NATURAL, again, strict=True))["gap_mean_days"] == 0.0
    assert "has_gap" in {name for name, a, b in zip(NATURAL, buyer, again, strict=True) if a != b}


numbers = st.floats(allow_nan=True, allow_infinity=True)


@given(st.lists(st.lists(numbers, min_size=len(NATURAL), max_size=len(NATURAL)), min_size=1, max_size=5))
def test_scaling_cleans_compresses_and_keeps_what_is_learned_what_was_scored(rows):
    x = scaled(rows)
    assert x.shape == (len(rows), len(NATURAL))
    assert x.dtype == np.float16
    assert np.isfinite(x).all()
    for row, values in zip(x, rows, strict=True):
        expected = [math.copysign(math.log1p(abs(v)), v) if math.isfinite(v) else 0.0 for v in values]
        np.testing.assert_allclose(row.astype(float), expected, rtol=2**-11, atol=2**-25)
        assert list(unpack(pack(row), NATURAL).values()) == row.astype(float).tolist()
        assert scaled([values]).tobytes() == row.tobytes()  # whatever the company


def test_a_shorter_row_of_an_older_release_is_filled_with_missing():
    row = scaled([[1.0] * len(NATURAL)])[0]
    found = unpack(pack(row[:3]), NATURAL)
    assert list(found) == list(NATURAL)
    assert list(found.values())[3:] == [0.0] * (len(NATURAL) - 3)


def test_the_largest_sums_still_fit_into_the_state():
    """A sale is refused above 1e11 by the codec; ever so many of them stop at what 64 bits hold."""
    huge = Purchase(
        event_id="e", customer_id="a", occurred_at=START, currency="GBP", channel="web",
        lines=(Line(product_id="p", quantity=1e9, unit_price=1e9),),
    )  # fmt: skip
    state = taken_in([huge] * 3)
    assert decode_remembered(encode_remembered(Remembered(state))).state == state
    assert scaled([natural(state, START.timestamp(), "GBP")]).max() < 40
