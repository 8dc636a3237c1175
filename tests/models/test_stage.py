"""Stages say what a marketer would, and what is served fits the moment."""

import numpy as np
import pytest

from models.customers.features import NATURAL
from models.customers.stage import outlooks, stage
from models.league.fallback import carrying, persistence
from models.lifetimes.entrant import LifetimeEntrant
from schemas.lifetimes import Lifetimes
from schemas.serving import decode_model, encode_model

SHOP = Lifetimes(version="1", family="pareto_nbd", r=1.2, alpha=40.0, s=0.6, beta=70.0, p=6.0, q=4.0, gamma=15.0)
MODEL = LifetimeEntrant("purchases", 90.0, 0.0, SHOP).compiled("purchases", "1", NATURAL)
AT = 1_750_000_000.0


def row(recency, orders, tenure, spend=100.0):
    values = dict.fromkeys(NATURAL, 0.0) | {
        "recency_days": recency, "orders": orders, "tenure_days": tenure, "spend": spend, "has_bought": orders > 0,
    }  # fmt: skip
    return [float(values[name]) for name in NATURAL]


def told(recency, orders, tenure, ended=0, model=MODEL):
    return outlooks([row(recency, orders, tenure)], [ended], [AT], model)[0]


@pytest.mark.parametrize(
    ("who", "expected"),
    [
        ((2, 1, 2), "new"),
        ((10, 12, 300), "active"),
        ((45, 20, 300), "at risk"),
        ((200, 20, 400), "lost"),
        ((400, 1, 400), "lost"),
        ((5, 4, 500, 300), "won back"),
        ((5, 4, 500, 60), "active"),
        ((0, 0, 0), "prospect"),
    ],
)
def test_a_customer_stands_where_one_would_say(who, expected):
    assert told(*who)["stage"] == expected


def test_silence_alone_takes_a_customer_down_and_never_up():
    order = ["active", "at risk", "lost"]
    seen = [order.index(told(days, 12, 300 + days)["stage"]) for days in range(0, 420, 5)]
    assert seen == sorted(seen)
    assert set(seen) == {0, 1, 2}


def test_who_buys_often_is_expected_sooner_and_the_lost_are_not_expected():
    often, seldom = told(3, 30, 300), told(3, 2, 300)
    assert often["next_purchase_at"] < seldom["next_purchase_at"]
    assert float(often["purchases"]) > float(seldom["purchases"])
    assert told(300, 20, 400)["next_purchase_at"] == ""


def test_another_may_say_how_many_purchases_come():
    """Where the last window's number serves, the stage is still read from lifetimes."""
    served = carrying(persistence("purchases", "orders_90d", NATURAL), MODEL)
    served = decode_model(encode_model(served))
    natural = row(5, 9, 300)
    natural[NATURAL.index("orders_90d")] = 4.0
    other, own = (outlooks([natural], [0], [AT], model)[0] for model in (served, MODEL))
    assert other["purchases"] == "4.00"
    assert own["purchases"] != "4.00"
    assert other | {"purchases": ""} == own | {"purchases": ""}


def test_before_anything_is_fitted_there_is_a_stage_alone():
    found = told(3, 5, 100, model=None)
    assert found == {"stage": "active", "purchases": "", "next_purchase_at": ""}
    assert told(120, 5, 300, model=None)["stage"] == "at risk"


def test_a_customer_is_told_the_same_in_any_company():
    draw = np.random.default_rng(1)
    rows = [row(draw.uniform(0, 200), int(draw.integers(0, 20)), 200 + draw.uniform(0, 200)) for _ in range(40)]
    together = outlooks(rows, [3] * 40, [AT] * 40, MODEL)
    assert together == [outlooks([one], [3], [AT], MODEL)[0] for one in rows]


def test_a_year_is_the_end_whatever_the_model_says():
    assert stage(366, 3, 900, 0, 0.99, 0.9) == "lost"
