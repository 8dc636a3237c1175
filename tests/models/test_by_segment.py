"""What moves the scores in each segment: contributions of the latest examples, by who they are of."""

import numpy as np
import pytest

from models.customers.attributes import customer_pairs, offer_pairs, pack_pairs
from models.customers.features import NATURAL, pack, scaled
from models.league.by_segment import FEWEST, KEPT, Latest, by_segment, overall
from models.lifetimes.draws import FAMILIES, Draws
from models.lifetimes.entrant import LifetimeEntrant
from models.serving import score_matrix
from schemas.segments import Segments
from schemas.serving import LinearModel

FEATURES = ("recency_days", "orders")
SEGMENTS = Segments(
    version="1",
    features=FEATURES,
    mean=(0.0, 0.0),
    scale=(1.0, 1.0),
    centres=((0.0, np.log1p(20.0)), (np.log1p(200.0), np.log1p(1.0))),
    names=("often", "long ago"),
    sizes=(10, 10),
    best=4,
    ids=(4, 9),
)
RED = customer_pairs({"colour": "red"})[0]


def model(**changed):
    weights = [{"recency_days": 0.5, "orders": -1.0, "spend": 0.25}.get(name, 0.0) for name in NATURAL]
    plain = {
        "task": "churn", "version": "1", "features": NATURAL, "mean": (0.0,) * len(NATURAL),
        "scale": (1.0,) * len(NATURAL), "weights": tuple(weights), "intercept": 0.1, "link": "logit", "clip": 50.0,
        "keys": (RED.key,), "key_mean": (0.0,), "key_scale": (1.0,), "key_weights": (0.0,), "key_present": (0.75,),
    }  # fmt: skip
    return LinearModel(**plain | changed)


def row(**known):
    return [float(known.get(name, 0.0)) for name in NATURAL]


def latest(rows, attributes=()):
    kept = Latest()
    pairs = dict(attributes)
    for place, one in enumerate(scaled(rows)):
        kept.add(pack(one), pack_pairs(pairs.get(place, ())))
    return kept


def shop():
    draw = np.random.default_rng(3)
    often = [
        row(has_bought=1, recency_days=1, orders=draw.integers(15, 30), spend=draw.uniform(5, 90)) for _ in range(30)
    ]
    gone = [
        row(has_bought=1, recency_days=draw.integers(150, 300), orders=1, spend=draw.uniform(5, 90)) for _ in range(20)
    ]
    return often, gone


def test_each_segment_has_its_own_reasons():
    often, gone = shop()
    told = by_segment(model(), latest(often + gone), SEGMENTS)
    assert {number: (one["name"], one["examples"]) for number, one in told.items()} == {
        "4": ("often", 30),
        "9": ("long ago", 20),
    }
    assert list(told["4"]["features"]) == ["orders", "spend", "recency_days"]
    assert next(iter(told["9"]["features"])) == "recency_days"
    for number, rows in (("4", often), ("9", gone)):
        x = scaled(rows).astype(float)
        for name, weight in (("orders", -1.0), ("recency_days", 0.5), ("spend", 0.25)):
            naive = weight * x[:, NATURAL.index(name)]
            assert told[number]["features"][name]["mean"] == pytest.approx(naive.mean(), abs=1e-4)
            assert told[number]["features"][name]["size"] == pytest.approx(abs(naive).mean(), abs=1e-4)
        z = 0.1 + x @ np.array(model().weights)
        assert told[number]["score"] == pytest.approx((1 / (1 + np.exp(-z))).mean(), abs=1e-3)


def test_an_attribute_counts_for_those_who_have_it():
    often, gone = shop()
    told = by_segment(model(), latest(often + gone, {31: (RED,), 35: (RED,)}), SEGMENTS, {RED.key: "colour=red"})
    assert "colour=red" not in told["4"]["features"]
    assert told["9"]["features"]["colour=red"]["mean"] == pytest.approx(2 * 0.75 / 20)


def test_who_never_bought_and_segments_of_few_say_nothing():
    often, gone = shop()
    never = [row(recency_days=200, orders=0) for _ in range(40)]
    told = by_segment(model(), latest(often + gone[: FEWEST - 1] + never), SEGMENTS)
    assert list(told) == ["4"]
    assert by_segment(None, latest(often), SEGMENTS) == {}
    assert by_segment(model(), latest(often), None) == {}
    assert by_segment(model(), Latest(), SEGMENTS) == {}


def test_without_an_offer_the_usual_one_counts():
    often, _ = shop()
    offer = offer_pairs({"discount": 5.0})
    plain = by_segment(model(usual_offer=2.0), latest(often), SEGMENTS)["4"]["score"]
    half = by_segment(model(usual_offer=2.0), latest(often, {0: offer}), SEGMENTS)["4"]["score"]
    assert half > plain  # in a task where offers are told, those without one get the usual one's share


def test_the_latest_are_kept_and_survive_a_snapshot():
    often, gone = shop()
    kept = latest([*often, *([gone[0]] * KEPT)])
    assert len(kept.examples) == KEPT
    again = Latest.restore(kept.state())
    assert list(by_segment(model(), again, SEGMENTS)) == ["9"]
    for one in (kept, again):
        one.add(*latest(often[:1]).examples[0])
    assert again.examples == kept.examples


def test_over_all_it_is_the_spread_of_what_each_feature_and_attribute_adds():
    often, gone = shop()
    told = overall(model(), latest(often + gone, {31: (RED,), 35: (RED,)}), {RED.key: "colour=red"})
    x = np.array([scaled([one])[0] for one in often + gone], dtype=float)
    added = x * np.array(model().weights)
    expected = {name: added[:, place].std() for place, name in enumerate(NATURAL)}
    expected["colour=red"] = np.std([0.75] * 2 + [0.0] * (len(x) - 2))
    assert set(told) == {name for name, spread in expected.items() if spread > 0.00005}
    assert all(told[name] == pytest.approx(expected[name], abs=2e-4) for name in told)
    assert list(told.values()) == sorted(told.values(), reverse=True)
    assert overall(None, latest(often)) == overall(model(), Latest()) == {}


def test_what_recency_orders_and_tenure_add_to_the_log_of_spend_they_add_to_that_of_purchases():
    """`purchases` has no explanation of its own in Redis: where one family serves both, it is that of `value`."""
    draw, shop = np.random.default_rng(1), Draws()
    for _ in range(300):
        recency, orders = draw.exponential(60.0), 1 + draw.poisson(draw.exponential(3.0))
        shop.learn_one(
            recency, orders, orders * draw.gamma(3.0) * 9.0, recency + draw.exponential(100.0) * (orders > 1)
        )
    history = shop.latest(50)
    for family in FAMILIES:
        fitted = shop.fitted[family]
        value, purchases = (LifetimeEntrant(target, 90.0, 0.0, fitted) for target in ("value", "purchases"))
        (_, of_value), (_, of_purchases) = (
            score_matrix(one.compiled("t", "1", NATURAL), history) for one in (value, purchases)
        )
        assert (of_value[:, [0, 1, 3]] == of_purchases[:, [0, 1, 3]]).all()
        assert not of_purchases[:, 2].any()
        assert of_value.any(axis=0).all()
