"""How often a product is bought at a price: intervals that hold however rarely it is sold, or nothing said."""

import math
from itertools import pairwise

import numpy as np
import pytest

from models.market.price import Prices
from models.market.response import LEVELS_KEPT, Response, slope, student

TRUE = -2.0


def report(draw, base, length, days=300, spread=0.0):
    """Invoices a day by Poisson's law at prices that each stay for `length` days, days of their own being better or worse."""
    prices = Prices()
    for day in range(days):
        price = (1.0, 1.25, 1.6)[day // length % 3]
        rate = base * price**TRUE * math.exp(spread * draw.normal() - spread**2 / 2)
        for _ in range(draw.poisson(rate)):
            prices.learn_one("a", day, 1, price)
        prices.close(day + 1)
    return (prices.report("a") or {}).get("response")


@pytest.mark.parametrize("base", [0.5, 1.0, 2.0, 5.0, 20.0])
@pytest.mark.parametrize("spread", [0.0, 0.4])
def test_the_interval_holds_however_rarely_a_product_is_sold(base, spread):
    draw = np.random.default_rng(7)
    found = [one for _ in range(150) if (one := report(draw, base, 7, spread=spread)) is not None]
    inside = sum(one["low"] <= TRUE <= one["high"] for one in found)
    assert len(found) > (60 if base < 1 else 130)
    assert inside / len(found) >= 0.9
    if base >= 1 and not spread:
        assert np.mean([one["slope"] for one in found]) == pytest.approx(TRUE, abs=0.15)


def test_prices_that_move_more_often_than_something_is_sold_give_nothing():
    draw = np.random.default_rng(8)
    assert [report(draw, 1.0, 1) for _ in range(20)] == [None] * 20
    often = [report(draw, 20.0, 1) for _ in range(60)]  # sold on each day: nothing is unknown
    assert sum(one["low"] <= TRUE <= one["high"] for one in often) >= 60 * 0.88


@pytest.mark.parametrize("share", [0.01, 0.03, 0.1, 0.5])
@pytest.mark.parametrize("base", [0.5, 3.0, 12.0])
def test_a_second_price_that_goes_beside_the_first_is_no_response(share, base):
    draw, alarms = np.random.default_rng(9), 0
    for _ in range(60):
        one = Response()
        for day in range(300):
            if invoices := int(draw.poisson(base)):
                second = int(draw.binomial(invoices, share))
                one.learn_day(day, invoices, math.log(2.0) * second / invoices, mixed=0 < second < invoices)
        found = slope([one])
        alarms += found is not None and abs(found.slope) > student(found.degrees, 0.95) * found.error
    assert alarms <= 6


def test_days_without_an_invoice_count_between_two_sales_at_one_price_alone():
    one, price = Response(), math.log(2.0)
    for day, log_price in ((1, price), (4, price), (6, price), (9, 0.0), (10, 0.0)):
        one.learn_day(day, 3, log_price, mixed=False)
    first = one.levels[round(price / 0.05)]
    assert (first.t, first.e, first.c, first.runs) == (2 + 1 + 1, 2, 9, 1)
    assert (one.c, one.t, one.e, one.unknown) == (6, 0, 2, 2)


def test_sums_by_run_are_those_of_a_list():
    draw, one = np.random.default_rng(3), Response()
    days = sorted(draw.choice(400, 150, replace=False).tolist())
    sales = [(day, int(draw.integers(1, 5)), float(draw.choice([0.0, 0.3, 0.3, 0.7]))) for day in days]
    for day, invoices, log_price in sales:
        one.learn_day(day, invoices, log_price, mixed=False)
    runs = [[sales[0]]]
    for before, sale in pairwise(sales):
        runs[-1].append(sale) if sale[2] == before[2] else runs.append([sale])
    for log_price in (0.0, 0.3, 0.7):
        some = [run for run in runs if run[0][2] == log_price]
        c = np.array([sum(sale[1] for sale in run) for run in some])
        t = np.array([max(run[-1][0] - run[0][0] - 1, 0) for run in some])
        e = np.array([min(len(run), 2) for run in some])
        level = one.levels[round(log_price / 0.05)]
        if one.at == round(log_price / 0.05):
            level = level.with_run(one.c, one.t, one.e)
        assert (level.runs, level.c, level.t, level.e) == (len(some), c.sum(), t.sum(), e.sum())
        assert (level.cc, level.ct, level.ce) == (c @ c, c @ t, c @ e)
        assert (level.tt, level.te, level.ee) == (t @ t, t @ e, e @ e)


def test_sales_that_come_after_their_day_is_closed_are_no_days_more():
    late, prices = Prices(), Prices()
    for day in range(60):
        for one in (late, prices):
            for _ in range(10):
                one.learn_one("a", day, 1, (1.0, 2.0, 3.0)[day // 4 % 3])
            one.close(day + 1)
        late.learn_one("a", day, 1, (1.0, 2.0, 3.0)[day // 4 % 3])
    assert late.products["a"].response == prices.products["a"].response
    assert late.products["a"].quantity.n == prices.products["a"].quantity.n + 60


def test_weekdays_on_which_nobody_ever_buys_are_no_days():
    prices = Prices()
    for day in range(70):
        if day % 7 not in (3, 4) and day not in (20, 21):
            prices.learn_one("a", day, 1, 1.0)
        prices.close(day + 1)
    assert prices.open_days == 50
    assert prices.products["a"].response.t == 48


def test_levels_are_bounded_and_what_is_known_for_few_days_makes_room():
    one = Response()
    for day in range(1, 400):
        one.learn_day(day, 1, 5.0 if day % 50 < 25 else 0.2 * (day % 50), mixed=False)
        assert len(one.levels) <= LEVELS_KEPT
    for day in range(400, 500):  # prices of now
        one.learn_day(day, 1, 20.0 + day // 25, mixed=False)
    assert {100, *(round((20.0 + n) / 0.05) for n in range(16, 20))} <= one.levels.keys()


def test_where_prices_go_side_by_side_no_runs_are_kept_until_they_do_not():
    draw, one = np.random.default_rng(12), Response()
    for day in range(1, 101):
        one.learn_day(day, 2, 0.0, mixed=day % 2 == 0)
    assert (one.levels, one.rows()) == ({}, [])
    for day in range(101, 3_000):
        price = (1.0, 1.25, 1.6)[day // 7 % 3]
        if invoices := int(draw.poisson(2 * price**TRUE)):
            one.learn_day(day, invoices, math.log(price), mixed=False)
    found = slope([one])
    assert abs(found.slope - TRUE) < student(found.degrees, 0.99) * found.error
