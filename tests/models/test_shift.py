"""Features that move are told; those that stand still are not."""

import numpy as np
import pytest

from models.league.labels import LabelLeague
from models.league.shift import CUT, LIMIT, SLACK, WARM, Shift
from models.league.snapshot import freeze, thaw

KEY = b"a key of these tests"


def feed(shift, seed, count, moves=None):
    draw = np.random.default_rng(seed)
    for _ in range(count):
        x = {
            "still": draw.normal(5.0, 2.0),
            "moving": draw.normal(0.0, 1.0),
            "constant": 3.0,
            "rare": float(draw.random() < 0.02),
        }
        for name, by in (moves or {}).items():
            x[name] += by
        shift.update(x)


def test_who_moves_is_told_soon_and_who_stands_still_is_not():
    shift = Shift()
    feed(shift, 1, 5_000)
    assert shift.report() == {}
    feed(shift, 2, 150, {"moving": 1.0})
    told = shift.report()
    assert set(told) == {"moving"}
    assert told["moving"]["alarms"] == 1
    assert told["moving"]["before"] == pytest.approx(0.0, abs=0.2)
    assert told["moving"]["examples"] <= 5_100  # LIMIT / (1 - SLACK) is 40
    feed(shift, 3, 5_000, {"moving": 1.0})  # where it stays is the new rule
    assert shift.report()["moving"]["alarms"] == 1
    feed(shift, 4, 300, {"moving": -1.0})
    assert shift.report()["moving"]["alarms"] == 2


def test_a_small_move_is_seen_in_the_end():
    shift = Shift()
    feed(shift, 1, 1_000)
    feed(shift, 2, 600, {"still": 1.2})  # .6 of its spread
    assert shift.report()["still"]["alarms"] == 1


def test_nothing_is_told_of_what_does_not_move():
    told = 0
    for seed in range(10):
        shift = Shift()
        feed(shift, seed, 8_000)
        told += len(shift.report())
    assert told == 0


def naive(values):
    """CUSUM of one feature, said plainly: where it alarms."""
    alarms, begin, up, down = [], 0, 0.0, 0.0
    for place in range(len(values)):
        first = values[begin : begin + WARM]
        if place < begin + WARM:
            continue
        z = (values[place] - np.mean(first)) / np.std(first)
        z = min(max(z, -CUT), CUT)
        up, down = max(up + z - SLACK, 0.0), max(down - z - SLACK, 0.0)
        if max(up, down) > LIMIT:
            alarms.append(place + 1)
            begin, up, down = place + 1, 0.0, 0.0
    return alarms


@pytest.mark.parametrize("seed", range(5))
def test_it_agrees_with_the_plain_rule(seed):
    draw = np.random.default_rng(seed)
    values = np.concatenate([draw.normal(level, 1.0 + level / 4, 900) for level in draw.integers(0, 4, 4)])
    shift, seen, count = Shift(), [], 0
    for value in values.tolist():
        shift.update({"a": value})
        now = shift.report().get("a", {"alarms": 0})["alarms"]
        if now > count:
            seen.append(shift.seen)
            count = now
    assert seen == naive(values)


def test_a_restored_one_has_the_same_future():
    shift = Shift()
    feed(shift, 1, 700, {"moving": 0.5})
    restored = Shift.restore(thaw(freeze(shift.state(), KEY), KEY))
    for one in (shift, restored):
        feed(one, 2, 300, {"moving": 2.0})
    assert restored.report() == shift.report() != {}


def test_a_league_tells_it_and_a_state_without_it_is_read():
    league = LabelLeague("churn", 0.5)
    for n in range(WARM + 60):
        league.mature({"a": float(n % 7), "b": 50.0 * (n >= WARM) + n % 5}, n % 2, None, float(n))
    assert set(league.report()["feature_drift"]) == {"b"}
    state = league.state()
    del state["shift"]
    assert LabelLeague.restore(state).report()["feature_drift"] == {}
