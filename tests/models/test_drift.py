"""Alarms: what raises one, what does not, and what a league does then."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.league.drift import CALM, CUT, LIMIT, MEMORY, SLACK, Drift, Skill, skill
from models.league.kalman import DOUBTED, Kalman
from models.league.labels import RATE, LabelLeague
from models.league.roster import ENTRANTS
from models.league.snapshot import freeze, thaw


def skills(seed, n, mean):
    return np.random.default_rng(seed).normal(mean, 1.0, n).tolist()


def naive_alarms(values):
    """Where the largest sum of any stretch that ends here is above the limit, from the last alarm on."""
    found, begin = [], 0
    mean = variance = 0.0
    falls = []
    for place, value in enumerate(values):
        count, off = place - begin + 1, value - mean
        if count > CALM:
            falls.append(min(max(-off / math.sqrt(variance), -CUT), CUT) - SLACK)
            if max(sum(falls[start:]) for start in range(len(falls))) > LIMIT:
                found.append(place)
                begin, mean, variance, falls = place + 1, 0.0, 0.0, []
                continue
        step = max(1.0 / count, 1.0 / MEMORY)
        mean += step * off
        variance += step * (off * (value - mean) - variance)
    return found


@settings(max_examples=4, deadline=None)
@given(st.integers(0, 1_000), st.sampled_from([-1.0, -0.3]))
def test_the_sum_is_that_of_the_worst_stretch(seed, fall):
    values = [*skills(seed, CALM + 50, 0.2), *skills(seed + 1, 250, 0.2 + fall), *skills(seed + 2, 200, -0.8)]
    watch = Skill()
    assert [place for place, value in enumerate(values) if watch.update(value)] == naive_alarms(values)


@pytest.mark.parametrize("seed", range(3))
def test_a_fall_of_skill_alarms_and_says_from_what_to_what(seed):
    watch = Skill()
    assert not any(watch.update(value) for value in skills(seed, 5_000, 0.2))
    told = next(
        (place, fell) for place, value in enumerate(skills(seed + 9, 5_000, -0.2)) if (fell := watch.update(value))
    )
    assert told[0] < 600
    before, after = told[1]
    assert before > after
    assert after == pytest.approx(-0.2, abs=0.3)


def test_a_rise_is_no_alarm():
    watch = Skill()
    assert not any(watch.update(value) for mean in (0.0, 0.5, 1.0) for value in skills(5, 3_000, mean))


def test_skill_is_a_share_of_what_there_is_to_know():
    entropy = -(0.1 * math.log(0.1) + 0.9 * math.log(0.9))
    assert skill(0.5, 0.5, 0.1) == 0.0
    assert skill(0.0, entropy, 0.1) == pytest.approx(1.0)
    assert skill(9.0, 0.0, 0.0) == pytest.approx(-100.0)  # cut, and no division by nothing


def stream(seed, n, chance, said):
    """(loss of who says `said`, label, loss of the true rate, the rate) of labels drawn by `chance`."""
    for label in (np.random.default_rng(seed).random(n) < chance).tolist():
        yield -math.log(said if label else 1.0 - said), label, -math.log(chance if label else 1.0 - chance), chance


def feed(drift, seed, n, chance, said, begin=0):
    found = []
    for place, (loss, label, rate_loss, rate) in enumerate(stream(seed, n, chance, said)):
        found += [(begin + place, name) for name in drift.update(begin + place, loss, label, rate_loss, rate)]
    return found


def test_a_loss_that_falls_is_no_alarm_and_one_that_rises_is():
    drift = Drift()
    assert feed(drift, 1, 3_000, 0.3, 0.3) == []
    rarer = feed(drift, 2, 3_000, 0.02, 0.02, 3_000)
    assert {name for _, name in rarer} == {"rate"}  # the response is rare now: every loss is low
    assert "loss" in {name for _, name in feed(drift, 3, 3_000, 0.3, 0.02, 6_000)}


def test_an_alarm_of_one_stream_does_not_silence_another():
    drift = Drift()
    feed(drift, 1, 3_000, 0.3, 0.3)
    found = feed(drift, 2, 1_500, 0.05, 0.3, 3_000)  # rarer, and the champion does not follow
    names = [name for _, name in found]
    assert {"rate", "skill"} <= set(names)
    assert found[names.index("skill")][0] < found[names.index("rate")][0] + CALM
    for stream_of in set(names):
        places = [place for place, name in found if name == stream_of]
        assert all(later - earlier >= CALM for earlier, later in pairwise(places))
    assert drift.alarms == {name: names.count(name) for name in drift.alarms}


def test_what_was_kept_has_the_same_future_and_an_older_state_still_loads():
    drift = Drift()
    feed(drift, 1, 2_500, 0.3, 0.3)
    key = "k" * 64
    kept = thaw(freeze(drift.state(), key.encode()), key.encode())
    again = Drift.restore(kept)
    assert feed(again, 2, 1_500, 0.05, 0.3, 2_500) == feed(drift, 2, 1_500, 0.05, 0.3, 2_500)
    older = Drift.restore({"drift": {"last": 7, "alarms": {"rate": 2}}, "detectors": Drift().detectors})
    assert older.alarms == {"rate": 2}
    assert older.skill == Skill()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 12))
def test_doubt_keeps_a_covariance_and_goes_no_further_than_the_first_meeting(seed, width):
    draw = np.random.default_rng(seed)
    made = Kalman(0.0, 0.3, 1e-4, 1e-7)
    made.grow(width)
    places = np.arange(width)
    for _ in range(200):
        made.learn(places, draw.normal(size=width), bool(draw.random() < 0.3))
    weights, before = made.weights.copy(), np.diag(made.cov)[: width + 1].copy()
    made.doubt(DOUBTED)
    after = np.diag(made.cov)[: width + 1]
    first = np.array([1.0, *[0.3**2] * width])
    assert (made.weights == weights).all()
    assert after == pytest.approx(np.maximum(np.minimum(before * DOUBTED, first), before))
    assert np.linalg.eigvalsh(made.cov[: width + 1, : width + 1]).min() > 0.0


@pytest.mark.parametrize("name", [name for name, make in ENTRANTS.items() if hasattr(make(0.1), "drifted")])
def test_who_is_told_of_a_drift_learns_faster(name):
    """All turn round: who was told is nearer to the truth soon."""
    told, other = ENTRANTS[name](0.3), ENTRANTS[name](0.3)
    draw = np.random.default_rng(3)

    def example(slope):
        x = {f"f{place}": value for place, value in enumerate(draw.normal(size=4).tolist())}
        return x, float(draw.random() < 1.0 / (1.0 + math.exp(-slope * x["f0"])))

    for _ in range(3_000):
        x, y = example(2.0)
        told.learn_one(x, y)
        other.learn_one(x, y)
    told.drifted()
    losses = {told: 0.0, other: 0.0}
    for _ in range(600):
        x, y = example(-2.0)
        for one in losses:
            chance = min(max(one.score_one(x), 1e-6), 1.0 - 1e-6)
            losses[one] -= math.log(chance if y else 1.0 - chance)
            one.learn_one(x, y)
    assert losses[told] < losses[other] - 10.0


@pytest.mark.parametrize("share", [0.0, 0.002, 0.998])
def test_where_labels_are_nearly_all_of_one_kind_the_models_own_progress_is_no_fall(share):
    """The loss of both goes to nothing, so what there is to be better by does; a rare label moves it by far more."""
    draw, watch = np.random.default_rng(6), Drift()
    told = {}
    for examples in range(1, 9_000):
        label = bool(draw.random() < share)
        rate = (1.0 - 1.0 / (10.0 + examples)) * (share > 0.5) + 1.0 / (10.0 + examples) * (share <= 0.5)
        own = 0.5 * rate if share <= 0.5 else 1.0 - 0.5 * (1.0 - rate)
        losses = [-math.log(max(chance if label else 1.0 - chance, 1e-6)) for chance in (own, rate)]
        told |= watch.update(examples, losses[0], label, losses[1], rate)
    assert "skill" not in told


def test_a_league_tells_a_fall_and_learns_faster():
    league, draw = LabelLeague("response", 0.3), np.random.default_rng(4)
    assert RATE in league.baselines
    doubted = []
    league.mixture.doubt = doubted.append
    for place in range(3_000):
        x = {"a": float(draw.normal()), "b": float(draw.normal())}
        slope = 3.0 if place < 2_000 else -3.0
        league.mature(x, float(draw.random() < 1.0 / (1.0 + math.exp(-slope * x["a"]))), None, float(place))
    told = [change for change in league.changes if change.what == "drift" and change.reason.startswith("skill fell")]
    assert told
    assert 2_000 < told[0].examples < 2_300
    assert doubted
    assert league.report()["drift"]["skill"] == len(told)
