"""Challengers of a series, who is promoted, and forecasts that add up."""

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.sales.contest import ENOUGH, Contest
from models.sales.dimensions import ALL, PARTS, dimension_of, part
from models.sales.entrants import Entrants, HoltWinters, Regression, WeekdayMean
from models.sales.reconcile import reconcile
from models.sales.series import HORIZONS, SalesBook

START = 15_000


def weekly(days, seed=0, growth=0.0, noise=0.1, scale=1_000.0):
    draw = np.random.default_rng(seed)
    shape = (0.6, 0.8, 1.0, 1.1, 1.6, 1.9, 0.4)
    return [scale * shape[day % 7] * math.exp(growth * day + noise * draw.normal()) for day in range(days)]


@pytest.mark.parametrize("entrant", [WeekdayMean(), HoltWinters(), Regression()])
@pytest.mark.parametrize("ahead", [1, 7, 14])
def test_a_weekly_rhythm_is_learned(entrant, ahead):
    entrant = msgspec.convert(msgspec.to_builtins(entrant), type(entrant))
    sales = weekly(150)
    for day, amount in enumerate(sales[:-14]):
        entrant.learn_one(START + day, amount)
    day = len(sales) - 14 - 1 + ahead
    expected = weekly(150, noise=0.0)[day]
    assert entrant.forecast(START + day, ahead) == pytest.approx(expected, rel=0.25)


@pytest.mark.parametrize("entrant", [HoltWinters(), Regression()])
def test_growth_is_followed(entrant):
    entrant = msgspec.convert(msgspec.to_builtins(entrant), type(entrant))
    sales = weekly(200, growth=0.005, noise=0.03)
    for day, amount in enumerate(sales[:-1]):
        entrant.learn_one(START + day, amount)
    assert entrant.forecast(START + 199, 1) == pytest.approx(weekly(200, growth=0.005, noise=0.0)[-1], rel=0.2)


@given(st.lists(st.floats(-1e6, 1e7), min_size=1, max_size=60))
def test_no_series_drives_an_entrant_out_of_bounds(amounts):
    entrants = Entrants()
    for day, amount in enumerate(amounts):
        entrants.learn_one(START + day, max(amount, 0.0), amount)
    for ahead in (1, 7, 14):
        day = START + len(amounts) - 1 + ahead
        points = entrants.forecasts(day, ahead) | entrants.signed(day, ahead)
        assert all(math.isfinite(point) for point in points.values())


def test_restored_entrants_have_the_same_future():
    entrants = Entrants()
    for day, amount in enumerate(weekly(60)):
        entrants.learn_one(START + day, amount, amount)
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(entrants), type=Entrants)
    for day, amount in enumerate(weekly(40, seed=1), 60):
        entrants.learn_one(START + day, amount, amount)
        again.learn_one(START + day, amount, amount)
    assert again == entrants


def run(contest, better, days, seed=0):
    draw = np.random.default_rng(seed)
    for day in range(days):
        errors = {"level_index": draw.normal(), "regression": draw.normal() * better}
        contest.judge(day, errors, 0.0)
    return contest


def test_who_is_clearly_better_is_promoted_with_a_reason():
    contest = run(Contest(), 0.5, 300)
    assert contest.champion == "regression"
    assert contest.log[0]["from"] == "level_index"
    assert "wealth" in contest.log[0]["reason"]
    assert contest.point({"level_index": 1.0, "regression": 2.0}) == 2.0


def test_alike_nobody_is_promoted_however_often_one_looks():
    promoted = sum(run(Contest(), 1.0, 400, seed=seed).champion != "level_index" for seed in range(40))
    assert promoted <= 40 * 400 / ENOUGH  # a change in a thousand days
    assert promoted <= 3


def test_who_was_promoted_falls_when_it_fails():
    contest = run(Contest(), 0.5, 300)
    assert run(contest, 3.0, 300, seed=5).champion == "level_index"


def test_a_champion_that_is_gone_gives_way():
    assert Contest(champion="other").point({"level_index": 3.0}) == 3.0


amounts = st.floats(0, 1e6)


@given(amounts, st.lists(st.tuples(amounts, st.floats(0.01, 1e6)), min_size=1, max_size=12), st.floats(0.01, 1e6))
def test_reconciled_parts_add_up_and_move_as_the_projection_says(whole, parts, error):
    points, errors = [point for point, _ in parts], [one for _, one in parts]
    total, shares = reconcile(whole, points, error, errors)
    assert total == pytest.approx(sum(shares), rel=1e-6, abs=1e-3)
    # The oracle: S (S' W^-1 S)^-1 S' W^-1 y of the paper.
    summing = np.vstack([np.ones(len(points)), np.eye(len(points))])
    inverse = np.diag(1.0 / np.array([error, *errors]))
    bottom = np.linalg.solve(summing.T @ inverse @ summing, summing.T @ inverse @ np.array([whole, *points]))
    assert np.allclose(shares, bottom, rtol=1e-4, atol=1e-2)


def test_without_errors_parts_take_the_gap_evenly():
    assert reconcile(10.0, [4.0, 4.0], 0.0, [0.0, 0.0]) == (10.0, [5.0, 5.0])
    assert reconcile(10.0, [], 0.0, []) == (10.0, [])


def book(days=120):
    found = SalesBook()
    for day in range(days):
        parts = {f"category:{name}": weekly(days, seed)[day] for seed, name in enumerate(("tea", "cups", "bags"))}
        for name, amount in parts.items():
            found.add(name, START + day, round(amount * 10_000))
        found.add(ALL, START + day, sum(round(amount * 10_000) for amount in parts.values()))
        found.close_until(START + day + 1)
    return found


def test_forecasts_of_categories_add_up_to_the_whole_at_every_horizon():
    found = book()
    for horizon in (1, 7, 14):
        points = {name: found.outlook(name).horizons[horizon].point for name in found.series}
        assert points.pop(ALL) == pytest.approx(sum(points.values()))


def test_the_next_week_of_categories_adds_up_to_that_of_the_whole_after_every_day():
    """And a series that comes up between two closes changes nothing of what is expected."""
    found, seen = SalesBook(), 0
    for day in range(100):
        for seed, name in enumerate(("tea", "cups", "bags")):
            amount = round(weekly(100, seed)[day] * 10_000)
            found.add(f"category:{name}", START + day, amount)
            found.add(ALL, START + day, amount)
        if day == 60:
            before = found.outlook(ALL)
            found.add("category:mugs", START + day, 10_000)
            found.add(ALL, START + day, 10_000)
            assert found.outlook(ALL).week == before.week
            assert found.outlook(ALL).horizons == before.horizons
        found.close_until(START + day + 1)
        weeks = {name: found.outlook(name).week for name in found.series}
        if all(week is not None for week in weeks.values()):
            assert weeks.pop(ALL) == pytest.approx(sum(weeks.values()))
            seen += 1
    assert seen > 60
    restored = msgspec.msgpack.decode(msgspec.msgpack.encode(found), type=SalesBook)
    assert [restored.outlook(name) for name in found.series] == [found.outlook(name) for name in found.series]


def split_book(days=100, by=("country", "channel"), fresh=None):
    """Sales by category, country and channel, every amount in one of each."""
    found = SalesBook(split_by=by) if fresh is None else fresh
    for day in range(days):
        for seed, names in enumerate((("tea", "FR", "web"), ("tea", "DE", "shop"), ("cups", None, "web"))):
            amount = round(weekly(days, seed)[day] * 10_000)
            for dimension, name in zip(PARTS, names, strict=True):
                found.add(part(dimension, name), START + day, amount)
            found.add(ALL, START + day, amount)
        found.close_until(START + day + 1)
    return found


def test_countries_and_channels_add_up_as_categories_do_and_the_whole_does_not_move_by_them():
    found, plain = split_book(), split_book(by=())
    assert {dimension_of(name) for name in found.series} == {None, "category", "country", "channel"}
    assert set(plain.series) == {ALL, "category:tea", "category:cups"}
    for name in plain.series:
        assert found.outlook(name) == plain.outlook(name)
        assert found.report(name) == plain.report(name)
    for dimension, count in (("category", 2), ("country", 3), ("channel", 2)):
        parts = [found.outlook(name) for name in found.series if dimension_of(name) == dimension]
        assert len(parts) == count
        whole = found.outlook(ALL)
        assert sum(one.total_e4 for one in parts) == whole.total_e4
        assert sum(one.week for one in parts) == pytest.approx(whole.week)
        for horizon in HORIZONS:
            assert sum(one.horizons[horizon].point for one in parts) == pytest.approx(whole.horizons[horizon].point)


def test_each_dimension_has_its_own_bound_and_its_own_rest():
    found = SalesBook(split_by=("country",), max_series=3)
    for n in range(10):
        for name in (f"category:{n}", f"country:{n}", f"all:X{n:02}"):
            found.add(name, START, 100 + n)
        found.add(ALL, START, 100 + n)
    kept = {dimension: [name for name in found.series if dimension_of(name) == dimension] for dimension in PARTS}
    assert kept["category"] == ["category:0", "category:1", "category:2", "other"]
    assert kept["country"] == ["country:0", "country:1", "country:2", "other:country"]
    for names in (kept["category"], kept["country"]):  # and no other currency is among them
        assert sum(found.series[name].total_e4 for name in names) == found.series[ALL].total_e4
    assert found.series["other:currency"].total_e4 == sum(range(103, 110))
    assert len(found.candidates) <= 3 * 2 * 3


def test_who_gives_way_is_of_the_same_dimension():
    found = SalesBook(split_by=("country",), max_series=1)
    for day in range(3):
        found.add("category:tea", START + day, 100)
        for _ in range(1 if day == 0 else 9):
            found.add(f"country:{'FR' if day == 0 else 'DE'}", START + day, 100)
        found.add(ALL, START + day, 100 if day == 0 else 900)
        found.close_until(START + day + 1)
    assert set(found.series) == {ALL, "category:tea", "country:DE", "other:country"}
    assert found.series["other:country"].total_e4 == 100 + 900


def test_a_dimension_that_is_taken_out_leaves_the_others_as_they_were():
    found = split_book()
    found.split(("channel",))
    assert {dimension_of(name) for name in found.series} == {None, "category", "channel"}
    found.add("country:FR", START + 100, 5)
    assert "country:FR" not in found.series
    restored = msgspec.msgpack.decode(msgspec.msgpack.encode(found), type=SalesBook)
    assert restored.outlook(ALL) == split_book().outlook(ALL)


def test_a_day_out_of_its_interval_is_an_anomaly_and_the_next_is_none():
    found = book()
    found.add(ALL, START + 120, 900_000 * 10_000)
    found.close_until(START + 121)
    anomaly = found.outlook(ALL).anomaly
    assert anomaly is not None
    assert anomaly.day == START + 120
    assert anomaly.high < anomaly.actual == 900_000.0
    assert found.outlook("category:tea").anomaly is not None  # nothing was sold
    names = [name for name in found.series if name != ALL]
    for name in names:  # what was expected
        amount = round(found.outlook(name).horizons[1].point * 10_000)
        found.add(name, START + 121, amount)
        found.add(ALL, START + 121, amount)
    found.close_until(START + 122)
    assert found.outlook(ALL).anomaly is None


def test_a_report_names_the_champion_and_every_entrant():
    report = book().report(ALL)[7]
    assert report["champion"] in report["entrants"]
    assert set(report["entrants"]) == {"level_index", "weekday_mean", "holt_winters", "regression"}
    assert all(figures["mase"] > 0 for figures in report["entrants"].values())
    assert report["anomalies"] >= 0
