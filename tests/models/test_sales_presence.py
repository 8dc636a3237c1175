"""Series that pause, end, sell now and then, or give back more than they sell."""

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.sales.contest import Contest
from models.sales.dimensions import ALL
from models.sales.judge import Forecast, Track
from models.sales.presence import KNOWN, MINOR, Presence
from models.sales.reconcile import reconcile
from models.sales.series import E4, HORIZONS, SalesBook

START = 19_000
PART = "category:part"


def shop(part, days=500, seed=3, base=100.0):
    """A book of a steady category and of what `part` says of a day, after each day's close; with what was expected."""
    draw, book, said = np.random.default_rng(seed), SalesBook(), []

    def steady(day):
        return base * (1 + 0.3 * math.sin(2 * math.pi * day / 7)) * math.exp(0.2 * draw.normal())

    for day in range(days):
        amounts = {"category:steady": steady(day), PART: part(day, steady(day))}
        for name, amount in amounts.items():
            if amount:
                book.add(name, START + day, round(amount * E4))
                book.add(ALL, START + day, round(amount * E4))
        book.close_until(START + day + 1)
        said.append({name: book.outlook(name) for name in book.series})
    return book, said


def add_up(said):
    """How many days the points of parts, at every horizon and of the week, are those of the whole."""
    days = 0
    for outlooks in said:
        if all(outlook.horizons for outlook in outlooks.values()):
            for pick in (*(lambda one, h=h: one.horizons[h].point for h in HORIZONS), lambda one: one.week):
                parts = sum(pick(one) for name, one in outlooks.items() if name != ALL)
                assert pick(outlooks[ALL]) == pytest.approx(parts, abs=1e-6)
            days += 1
    return days


def test_a_category_that_ends_is_expected_to_bring_nothing_and_is_no_anomaly_any_more():
    book, said = shop(lambda day, usual: usual if day < 200 else 0.0)
    for horizon, figures in book.report(PART).items():
        assert figures["coverage_80"] > 0.78
        assert figures["mase"] < {1: 0.85, 7: 1.0, 14: 1.3}[horizon]
        assert figures["anomalies"] < 60
    for outlooks in said[230:]:
        shown = outlooks[PART]
        assert shown.week == 0.0
        assert all((a.point, a.low, a.high) == (0.0, 0.0, 0.0) for a in shown.horizons.values())
        assert shown.anomaly is None
    for outlooks in said:
        assert all(a.point >= 0.0 and (a.low is None or a.low >= 0.0) for a in outlooks[PART].horizons.values())
    assert add_up(said) > 400
    for figures in book.report(ALL).values():
        assert figures["coverage_80"] == pytest.approx(0.8, abs=0.03)


def test_a_category_of_half_a_year_comes_back_as_it_was():
    book, said = shop(lambda day, usual: usual / 3 if (day // 180) % 2 == 0 else 0.0, days=720)
    for horizon, figures in book.report(PART).items():
        assert figures["coverage_80"] > 0.78
        assert figures["mase"] < {1: 0.85, 7: 1.0, 14: 1.2}[horizon]
        assert figures["anomalies"] < 110
    assert said[365][PART].horizons[1].point == pytest.approx(said[178][PART].horizons[1].point, rel=0.35)


def test_a_category_comes_back_at_another_level():
    _, said = shop(lambda day, usual: 0.0 if 100 <= day < 200 else usual / (1 if day < 100 else 10))
    assert np.mean([outlooks[PART].week for outlooks in said[202:220]]) == pytest.approx(70.0, rel=0.25)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
def test_of_a_category_that_sells_now_and_then_a_week_is_what_weeks_bring(share):
    draw, sold = np.random.default_rng(5), []

    def part(_, usual):
        sold.append(usual if draw.random() < share else 0.0)
        return sold[-1]

    book, said = shop(part, days=800)
    assert add_up(said) > 700
    weeks = [outlooks[PART].week for outlooks in said[200:]]
    assert np.mean(weeks) == pytest.approx(7 * np.mean(sold[200:]), rel=0.12)
    for figures in book.report(PART).values():
        assert figures["coverage_80"] > 0.78
        assert figures["mase"] < 1.05


def test_a_category_of_refunds_alone_is_forecast_below_zero():
    book, said = shop(lambda _, usual: -usual / 10)
    for figures in book.report(PART).values():
        assert figures["mase"] < 0.85
        assert figures["coverage_80"] == pytest.approx(0.8, abs=0.03)
        assert figures["champion"] == "signed_level"
    shown = said[-1][PART]
    assert shown.week == pytest.approx(shown.week_naive, rel=0.25)
    assert all(a.low < a.point < a.high < 0.0 for a in shown.horizons.values())
    assert add_up(said) > 400


def test_a_shop_that_gives_back_more_than_it_sells_is_forecast_below_zero():
    book, said = shop(lambda _, usual: -2 * usual)
    for figures in book.report(ALL).values():
        assert figures["mase"] < 0.85
        assert figures["coverage_80"] == pytest.approx(0.8, abs=0.03)
    assert np.mean([outlooks[ALL].week for outlooks in said[300:]]) == pytest.approx(-714.0, rel=0.1)


def test_a_refund_now_and_then_leaves_a_series_as_it_is():
    _, said = shop(lambda day, usual: -usual if day % 20 == 19 else usual)
    assert all(a.point > 0.0 for outlooks in said[30:] for a in outlooks[PART].horizons.values())


def test_a_small_part_with_large_errors_is_not_forecast_below_zero():
    """It takes most of what the whole and the parts differ by."""
    _, said = shop(lambda day, usual: 500.0 if day % 17 == 0 else usual / 50)
    points = [a.point for outlooks in said for a in outlooks[PART].horizons.values()]
    assert min(points) == 0.0
    assert add_up(said) > 400


def test_an_entrants_error_is_told_over_the_days_on_which_it_was_asked():
    track = Track(1)
    asked = ({"level_index": 8.0}, {"level_index": 8.0, "late": 9.0})
    for day, entrants in enumerate(asked):
        track.judge(Forecast(day, 8.0, 8.0, None, None, 6.0, 6.0, entrants), 10.0, 6.0)
    mase = {name: figures["mase"] for name, figures in track.report()["entrants"].items()}
    assert mase == {"level_index": 0.5, "late": 0.25}


def test_less_than_a_minor_unit_is_no_anomaly():
    for amount, held in ((10.009, True), (9.991, True), (10.02, False)):
        track = Track(1)
        track.judge(Forecast(1, 10.0, 0.5, 10.0, 10.0, 9.0, 9.0), amount, 9.0)
        assert (track.tally.covered, track.seen_anomalies) == (held, not held)


def test_a_day_that_is_nearly_inside_is_a_miss_and_no_anomaly():
    track = Track(1)
    track.judge(Forecast(1, 100.0, 100.0, 90.0, 110.0, 9.0, 9.0), 110.9, 9.0)
    assert (track.tally.covered, track.seen_anomalies) == (0, 0)


@given(st.lists(st.one_of(st.just(0.0), st.floats(-1e9, 1e9)), max_size=200))
def test_presence_stays_within_bounds(amounts):
    presence = Presence()
    for amount in amounts:
        presence.learn_one(amount)
    assert 0.0 <= presence.below <= 1.0
    assert 1.0 <= presence.gap <= len(amounts) + 1
    assert 0.0 <= presence.size <= 1e9
    assert not presence.silent or presence.empty >= 7


def test_a_silence_is_five_usual_gaps_and_no_gap():
    presence = Presence()
    for _ in range(10):
        for amount in (0.0, 0.0, 0.0, 50.0):
            presence.learn_one(amount)
    assert presence.gap == pytest.approx(4.0)
    for _ in range(19):
        presence.learn_one(0.0)
    assert not presence.silent
    presence.learn_one(0.0)
    assert presence.silent
    presence.learn_one(50.0)
    assert not presence.silent
    assert presence.gap == pytest.approx(4.0)
    assert presence.days == 11 > KNOWN


amounts = st.floats(0, 1e6)


@given(amounts, st.lists(st.tuples(amounts, st.floats(0.01, 1e6)), min_size=1, max_size=12), st.floats(0.01, 1e6))
def test_parts_that_must_not_fall_below_zero_do_not_and_the_rest_is_least_changed(whole, parts, error):
    points, errors = [point for point, _ in parts], [one for _, one in parts]
    total, shares = reconcile(whole, points, error, errors, [True] * len(points))
    assert all(share >= 0.0 for share in shares)
    assert total == pytest.approx(sum(shares), rel=1e-6, abs=1e-3)
    # The conditions of Karush, Kuhn and Tucker: one price for all, and at zero nothing is gained by going up.
    price = (whole - total) / error
    tolerance = 1e-6 * (1.0 + abs(price)) * 1e3
    for point, share, one in zip(points, shares, errors, strict=True):
        if share > 0.0:
            assert share == pytest.approx(point + one * price, rel=1e-6, abs=tolerance * max(one, 1.0))
        else:
            assert point + one * price <= tolerance * max(one, 1.0)


def test_who_is_not_asked_neither_serves_nor_counts():
    contest = Contest(champion="regression")
    contest.judge(1, {"signed_level": -5.0, "weekday_mean": 0.0}, -5.0)
    assert contest.serving({"signed_level": -5.0}) == "signed_level"
    assert "regression" not in contest.errors
    assert contest.wealth["weekday_mean"] == 0.5


def test_where_most_days_bring_nothing_a_day_with_a_sale_counts():
    """A forecast of nothing is right on nine days of ten, and the other day loses it."""
    contest = Contest()
    for day in range(2_000):
        actual = 200.0 if day % 10 == 0 else 0.0
        contest.judge(day, {"level_index": 20.0, "late": 0.0 if actual == 0.0 else -400.0}, actual, unit=200.0)
    assert contest.champion == "level_index"


def test_books_of_before_load_and_go_on():
    book, _ = shop(lambda _, usual: usual, days=60)
    old = msgspec.msgpack.decode(msgspec.msgpack.encode(book), strict=False)
    for name in ("closed", "idle", "idle_open", "after", "again"):
        del old["calendar"][name]
    old["calendar"]["sold"] = [flags[-4:] for flags in old["calendar"]["sold"]]
    for series in old["series"].values():
        del series["forecaster"]["woken"], series["forecaster"]["presence"], series["entrants"]["signed_level"]
        del series["entrants"]["holt_winters"]["woken"], series["entrants"]["regression"]["woken"]
        for track in series["tracks"]:
            del track["tally"]["lately"], track["contest"]["steps"]
            for forecast in track["pending"]:
                del forecast["positive"]
    again = msgspec.convert(old, SalesBook)
    assert again.outlook(ALL).horizons == book.outlook(ALL).horizons
    for day in range(60, 90):
        for one in (book, again):
            one.add(PART, START + day, 100 * E4)
            one.add(ALL, START + day, 100 * E4)
            one.close_until(START + day + 1)
    old_mase, new_mase = (one.report(ALL)[1]["entrants"]["regression"]["mase"] for one in (again, book))
    assert old_mase == pytest.approx(new_mase, rel=0.1)
    assert again.outlook(ALL).horizons[1].point == pytest.approx(book.outlook(ALL).horizons[1].point, rel=0.05)
    assert again.outlook(ALL).week > MINOR
