"""A simulated shop: what is promised of its events, and that its truth is true."""

import hashlib
import os
import subprocess
import sys
from collections import Counter, defaultdict
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.codec import decode_any, encode
from schemas.events import Converted, Customer, Purchase, Refund, Sent, Unsubscribed, Withheld
from streams.replay.files import order_of
from streams.replay.simulated import Simulation

DAY = 86_400.0


def shop(events=30_000, **given_):
    return Simulation(1_000, events, seed=3, **given_)


@pytest.fixture(scope="module")
def told():
    simulation, heard = shop(), []
    return simulation, list(simulation.events(heard.append)), heard


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 300), st.integers(0, 3_000), st.integers(0, 2**32), st.integers(30, 700))
def test_the_number_of_events_is_exact_and_time_never_runs_back(customers, events, seed, days):
    made = list(Simulation(customers, events, seed, days).events())
    assert len(made) == events
    assert [order_of(event) for event in made] == sorted(order_of(event) for event in made)
    assert len({event.event_id for event in made}) == events
    assert len({event.customer_id for event in made} - {None}) <= customers
    assert [decode_any(encode(event)) for event in made] == made


def test_the_same_seed_makes_the_same_events_whatever_the_hash_seed():
    code = (
        "import hashlib; from schemas.codec import encode; from streams.replay.simulated import Simulation;"
        "h = hashlib.sha256(); [h.update(encode(e)) for e in Simulation(1_000, 5_000, seed=3).events()];"
        "print(h.hexdigest())"
    )
    ours = hashlib.sha256(b"".join(map(encode, Simulation(1_000, 5_000, seed=3).events()))).hexdigest()
    for seed in ("1", "2"):
        env = os.environ | {"PYTHONHASHSEED": seed}
        run = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
        assert run.stdout.strip() == ours
    other = hashlib.sha256(b"".join(map(encode, Simulation(1_000, 5_000, seed=4).events()))).hexdigest()
    assert other != ours


def test_everybody_comes_and_the_span_is_as_asked(told):
    simulation, events, _ = told
    assert {event.customer_id for event in events} - {None} == {f"c{number}" for number in range(1_000)}
    days = (events[-1].occurred_at - events[0].occurred_at).days
    assert days == pytest.approx(simulation.days, rel=0.1)
    assert sum(isinstance(event, Purchase) and event.customer_id is None for event in events) > 100


def test_who_buys_is_alive_and_who_has_left_stays_away(told):
    simulation, events, heard = told
    converted = {(event.customer_id, event.occurred_at) for event in events if isinstance(event, Converted)}
    for event in events:
        organic = (
            isinstance(event, Purchase)
            and event.customer_id
            and (event.customer_id, event.occurred_at) not in converted
        )
        if organic:
            assert simulation.truth.alive(event.customer_id, event.occurred_at.timestamp())
    left = [one for one in heard if not simulation.truth.alive(one.customer_id, one.at)]
    assert left
    assert not any(one.converts or one.response or one.control for one in left)


def test_told_probabilities_come_true(told):
    _, events, heard = told
    for some in ([one for one in heard if one.sent], [one for one in heard if not one.sent]):
        chance = np.array([one.response if one.sent else one.control for one in some])
        came = np.array([one.converts for one in some])
        for half in (chance <= np.median(chance), chance > np.median(chance)):
            error = 4 * np.sqrt((chance[half] * (1 - chance[half])).sum() + 1)
            assert abs(chance[half].sum() - came[half].sum()) < error
    last = events[-1].occurred_at.timestamp()
    matured = sum(one.converts for one in heard if one.at < last - 7 * DAY)
    assert matured <= sum(isinstance(event, Converted) for event in events) <= sum(one.converts for one in heard)


def test_conversions_come_within_their_window_and_nobody_is_asked_against_their_will(told):
    _, events, heard = told
    asked, agreed = {}, {}
    told_of = {one.event_id for one in heard}
    for event in events:
        at = event.occurred_at.timestamp()
        match event:
            case Customer():
                agreed[event.customer_id] = event.consent["email"]
            case Sent() | Withheld():
                assert event.event_id in told_of
                assert agreed[event.customer_id]
                assert at - asked.get(event.customer_id, (0.0, ""))[0] >= 8 * DAY
                asked[event.customer_id] = (at, event.campaign_id)
            case Converted():
                sent_at, campaign = asked[event.customer_id]
                assert campaign == event.campaign_id
                assert 0 < at - sent_at <= 7 * DAY
            case Unsubscribed():
                agreed[event.customer_id] = False


def test_refunds_are_of_what_was_bought(told):
    _, events, _ = told
    bought = defaultdict(Counter)
    refunds = 0
    for event in events:
        if isinstance(event, Purchase) and event.customer_id:
            bought[event.customer_id].update(line.product_id for line in event.lines)
        elif isinstance(event, Refund):
            refunds += 1
            (line,) = event.lines
            assert bought[event.customer_id][line.product_id] > 0
    assert refunds > 100


def test_silence_comes_as_often_as_the_truth_says(told):
    simulation, events, _ = told
    converted = {(event.customer_id, event.occurred_at) for event in events if isinstance(event, Converted)}
    bought = defaultdict(list)
    for event in events:
        if (
            isinstance(event, Purchase)
            and event.customer_id
            and (event.customer_id, event.occurred_at) not in converted
        ):
            bought[event.customer_id].append(event.occurred_at.timestamp())
    at = events[0].occurred_at.timestamp() + 200 * DAY
    here = [customer for customer, times in bought.items() if times[0] <= at]
    chance = np.array([simulation.truth.no_purchase(customer, at, 60) for customer in here])
    came = np.array([not any(at < time <= at + 60 * DAY for time in bought[customer]) for customer in here])
    assert abs(chance.sum() - came.sum()) < 4 * np.sqrt((chance * (1 - chance)).sum())
    sure = chance > np.median(chance)
    assert abs(chance[sure].sum() - came[sure].sum()) < 4 * np.sqrt((chance[sure] * (1 - chance[sure])).sum() + 1)


def test_a_flipped_segment_answers_the_other_way_round_from_its_day_on():
    calm, turned = [], []
    list(shop().events(calm.append))
    flipped = shop(flips={"loyal": 200})
    list(flipped.events(turned.append))
    start = datetime(2025, 1, 1, tzinfo=UTC).timestamp()
    before = [(one.event_id, one.response) for one in calm if one.at < start + 200 * DAY]
    assert before
    assert before == [(one.event_id, one.response) for one in turned if one.at < start + 200 * DAY]

    def mean(heard, segment):
        some = [
            one.response
            for one in heard
            if one.at >= start + 210 * DAY and flipped.truth.segment(one.customer_id) == segment
        ]
        return float(np.mean([chance for chance in some if chance]))

    assert mean(turned, "loyal") < 0.6 * mean(calm, "loyal")
    assert mean(turned, "regular") == pytest.approx(mean(calm, "regular"), rel=0.2)


@pytest.mark.parametrize(
    ("given_", "named"),
    [({"customers": 0}, "customers"), ({"events": -1}, "events"), ({"seed": -1}, "seed"), ({"days": 3}, "days"), ({"flips": {"who": 1}}, "segment 'who'")],
)  # fmt: skip
def test_wrong_arguments_are_named(given_, named):
    with pytest.raises(ValueError, match=named):
        Simulation(**({"customers": 1, "events": 1} | given_))
