"""The sales book: exact totals, closed days, honest forecasts, intervals that hold, bounds."""

import math
import time
from collections import defaultdict

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.sales.calendar import Calendar, weekday
from models.sales.conformal import WINDOW, Conformal
from models.sales.dimensions import ALL, OTHER
from models.sales.forecast import Forecaster
from models.sales.series import E4, HORIZONS, MAX_WAITING, SalesBook

START = 20_000
SUNDAY = 6
WEEKLY = (1.0, 1.2, 0.9, 1.4, 1.1, 0.5, 0.0)


def sell(book: SalesBook, series: str, day: int, amount_e4: int) -> None:
    book.add(ALL, day, amount_e4)
    book.add(series, day, amount_e4)


def amounts(days: int, seed: int = 0, drift: float = 0.02, noise: float = 0.3) -> dict[int, int]:
    """Drifting daily sales with a weekly pattern, closed on Sundays; in 1/10,000."""
    draw = np.random.default_rng(seed)
    level = 8.0 + np.cumsum(draw.normal(scale=drift, size=days))
    revenue = np.exp(level + draw.normal(scale=noise, size=days))
    return {START + i: round(float(r) * WEEKLY[weekday(START + i)] * E4) for i, r in enumerate(revenue)}


def run(sales: dict[int, int], book: SalesBook | None = None) -> SalesBook:
    book = book or SalesBook()
    for day, amount_e4 in sales.items():
        book.close_until(day)
        if amount_e4:
            book.add(ALL, day, amount_e4)
    book.close_until(max(sales) + 1)
    return book


def copied(book: SalesBook) -> SalesBook:
    return msgspec.msgpack.decode(msgspec.msgpack.encode(book), type=SalesBook)


MOVES = st.lists(
    st.one_of(
        st.tuples(st.sampled_from("abcdefgh"), st.integers(-20, 60), st.integers(-(10**9), 10**12)),
        st.integers(0, 90),
    ),
    max_size=150,
)


def play(book: SalesBook, moves: list) -> list[tuple[str, int]]:
    """Amounts on days relative to the clock, or the clock moves on. Returns what was sold."""
    clock, sold = book.next_day or START, []
    for move in moves:
        if isinstance(move, int):
            clock += move
            book.close_until(clock)
        else:
            name, offset, amount_e4 = move
            sell(book, name, clock + offset, amount_e4)
            sold.append((name, amount_e4))
    return sold


@settings(max_examples=150, deadline=None)
@given(MOVES, st.integers(0, 4))
def test_no_amount_is_lost_or_counted_twice(moves, max_series):
    book = SalesBook(max_series=max_series)
    sold = play(book, moves)
    assert book.series[ALL].total_e4 == sum(amount for _, amount in sold)
    assert sum(s.total_e4 for name, s in book.series.items() if name != ALL) == book.series[ALL].total_e4


@settings(max_examples=60, deadline=None)
@given(MOVES)
def test_with_room_for_all_each_total_is_its_own(moves):
    book, naive = SalesBook(max_series=8), defaultdict(int)
    for name, amount_e4 in play(book, moves):
        naive[name] += amount_e4
    assert {n: s.total_e4 for n, s in book.series.items() if n != ALL} == naive


@settings(max_examples=60, deadline=None)
@given(MOVES, st.integers(1, 4))
def test_everything_is_bounded(moves, max_series):
    book = SalesBook(max_series=max_series)
    play(book, moves)
    assert len(book.series) <= max_series + 2
    assert len(book.candidates) <= 2 * max_series
    assert len(book.sold_on) <= MAX_WAITING
    for series in book.series.values():
        assert len(series.waiting) <= MAX_WAITING
        assert all(len(t.pending) <= t.horizon and len(t.conformal.residuals) <= WINDOW for t in series.tracks)


@settings(max_examples=40, deadline=None)
@given(MOVES, MOVES, st.integers(0, 4))
def test_a_restored_book_has_the_same_future(before, after, max_series):
    original = SalesBook(max_series=max_series)
    play(original, before)
    restored = copied(original)
    assert restored == original
    play(original, after)
    play(restored, after)
    assert msgspec.msgpack.encode(restored) == msgspec.msgpack.encode(original)


def test_an_absorbed_series_leaves_its_amounts_to_other():
    book = SalesBook(max_series=1)
    sell(book, "quiet", START, 3 * E4)
    book.close_until(START + 1)
    sell(book, "quiet", START + 2, 5 * E4)  # still waiting when it is absorbed
    for _ in range(20):
        sell(book, "busy", START + 1, E4)
    book.close_until(START + 2)
    assert set(book.series) == {ALL, OTHER, "busy"}
    assert book.series[OTHER].total_e4 == 28 * E4
    book.close_until(START + 3)
    assert book.series[OTHER].last_e4 == 5 * E4


def test_a_late_amount_counts_in_the_total_and_is_not_learned():
    book, same = run(amounts(60)), run(amounts(60))
    book.add(ALL, START + 5, 77 * E4)
    assert book.outlook(ALL).total_e4 == same.outlook(ALL).total_e4 + 77 * E4
    assert book.outlook(ALL).late == 1
    assert book.series[ALL].forecaster == same.series[ALL].forecaster


def test_more_waiting_days_than_are_kept_still_count_in_the_total():
    book = SalesBook()
    for day in range(START, START + 3 * MAX_WAITING):
        book.add(ALL, day, E4)
    assert len(book.series[ALL].waiting) == len(book.sold_on) == MAX_WAITING
    assert book.outlook(ALL).total_e4 == 3 * MAX_WAITING * E4
    assert book.outlook(ALL).late == 2 * MAX_WAITING


def test_closed_weekdays_are_learned_and_forecast_as_nothing():
    book = run(amounts(100))
    ahead = [book.calendar.is_closed(START + 100 + h) for h in range(14)]
    assert ahead == [weekday(START + 100 + h) == SUNDAY for h in range(14)]
    shown = [a for n in range(94, 101) for a in run(amounts(n)).outlook(ALL).horizons.values()]
    sundays = [a for a in shown if weekday(a.day) == SUNDAY]
    assert len(sundays) == len(HORIZONS)
    assert all((a.point, a.low, a.high, a.naive) == (0, 0, 0, 0) for a in sundays)
    assert all(a.point > 0 for a in shown if weekday(a.day) != SUNDAY)


def test_one_sale_opens_a_closed_weekday():
    calendar = Calendar()
    for day in range(28):
        calendar.learn_one(day, weekday(day) != SUNDAY)
    sunday = next(day for day in range(28, 35) if weekday(day) == SUNDAY)
    assert calendar.is_closed(sunday)
    calendar.learn_one(sunday, True)
    assert not calendar.is_closed(sunday + 7)


def test_a_weekly_pattern_is_forecast():
    book = run(amounts(140, drift=0.0, noise=0.0))
    for shown in book.outlook(ALL).horizons.values():
        assert shown.point == pytest.approx(math.exp(8.0) * WEEKLY[weekday(shown.day)], rel=0.03)
    assert book.outlook(ALL).week == pytest.approx(math.exp(8.0) * sum(WEEKLY), rel=0.03)


def test_better_than_the_baselines_on_noisy_sales():
    for figures in run(amounts(500, seed=5)).report(ALL).values():
        assert figures["mase"] < 0.85
        assert figures["mase"] < figures["baselines"]["seasonal_naive"]["mase"]
        assert figures["mase"] < figures["baselines"]["moving_average"]["mase"]


@pytest.mark.parametrize("drift", [0.0, 0.02, 0.05])
def test_intervals_hold_while_sales_drift(drift):
    reports = [run(amounts(700, seed, drift)).report(ALL) for seed in range(3)]
    for horizon in HORIZONS:
        assert np.mean([r[horizon]["coverage_80"] for r in reports]) == pytest.approx(0.8, abs=0.02)


def test_errors_agree_with_adding_up():
    """The report against forecasts written down when they were made."""
    sales, said, book = amounts(120, seed=2), {}, SalesBook()
    errors, steps, covered = defaultdict(list), defaultdict(list), defaultdict(list)
    for day, amount_e4 in sales.items():
        book.close_until(day)
        for horizon, ahead in book.outlook(ALL).horizons.items():
            said[horizon, ahead.day] = ahead
        if amount_e4:
            book.add(ALL, day, amount_e4)
    book.close_until(START + 120)
    for (horizon, day), ahead in said.items():
        if sales.get(day, 0) > 0:
            errors[horizon].append(abs(sales[day] / E4 - ahead.point))
            steps[horizon].append(abs(sales[day] - sales[day - 7]) / E4)
            if ahead.low is not None:
                covered[horizon].append(ahead.low <= sales[day] / E4 <= ahead.high)
    for horizon, figures in book.report(ALL).items():
        assert figures["n"] == len(errors[horizon])
        assert figures["mase"] == pytest.approx(sum(errors[horizon]) / sum(steps[horizon]))
        assert figures["coverage_80"] == pytest.approx(np.mean(covered[horizon]))


@settings(max_examples=25, deadline=None)
@given(st.integers(40, 89), st.integers(0, 10**10), st.integers(0, 5))
def test_a_forecast_knows_only_the_past(changed, amount_e4, seed):
    """Whatever is sold on a day and after it, what was expected before is the same."""
    sales = amounts(90, seed)
    other = sales | {START + i: amount_e4 + i for i in range(changed, 90)}
    books = SalesBook(), SalesBook()
    for day in range(START, START + 90):
        for book, sold in zip(books, (sales, other), strict=True):
            book.close_until(day)
            if sold[day]:
                book.add(ALL, day, sold[day])
        if day <= START + changed:
            assert books[0].outlook(ALL).horizons == books[1].outlook(ALL).horizons
            assert books[0].outlook(ALL).week == books[1].outlook(ALL).week
            assert books[0].report(ALL) == books[1].report(ALL)


def test_a_judged_forecast_is_the_one_that_was_made():
    """A day that waits to be closed, amounts of later days known, is expected as if they were not."""
    sales = amounts(80)
    early, eager = run(sales), SalesBook()
    for day, amount_e4 in sales.items():
        if amount_e4:
            eager.add(ALL, day, amount_e4)
    eager.close_until(START + 80)
    assert eager.report(ALL) == early.report(ALL)
    assert eager.outlook(ALL) == early.outlook(ALL)


def test_ten_silent_years_close_quickly():
    book = run(amounts(60))
    begun = time.perf_counter()
    later = START + 3_650
    book.close_until(later)
    assert time.perf_counter() - begun < 0.5
    assert book.next_day == later
    assert book.series[ALL].forecaster.days < 60
    assert book.outlook(ALL).week == 0
    book = run({day + 3_650: amount for day, amount in amounts(120).items()}, book)
    assert book.outlook(ALL).week > 0


def test_waking_up_does_not_make_today_late():
    """An amount dated ahead must not close the days before it."""
    book = run(amounts(60))
    book.close_until(START + 1_000)
    book.add(ALL, START + 1_010, E4)
    book.close_until(START + 1_001)
    book.add(ALL, START + 1_001, E4)
    assert book.outlook(ALL).late == 0
    assert book.next_day == START + 1_001


def test_the_first_close_does_not_make_today_late():
    book = SalesBook()
    book.add(ALL, START + 5, E4)
    book.close_until(START)
    book.add(ALL, START, E4)
    assert book.outlook(ALL).late == 0


def test_a_long_quiet_series_does_not_spoil_its_intervals():
    """Residuals relative to next to nothing are bounded, and a long run of hits leaves no debt."""
    book = SalesBook()
    for i in range(900):
        day = START + i
        book.close_until(day)
        book.add(ALL, day, 100 * E4)
        if i < 60 or i >= 700:
            book.add("toys", day, (100 + i % 7) * E4)
        if i >= 780:
            shown = book.outlook("toys").horizons
            assert all(a.high is not None and a.high < 1_000 for a in shown.values())
    assert all(-0.2 <= t.conformal.miss <= 0.8 for t in book.series["toys"].tracks)


def test_a_run_of_hits_or_misses_is_soon_forgotten():
    for held in (True, False):
        conformal = Conformal()
        for _ in range(5_000):
            conformal.learn_one(0.0, held)
        days = 0
        while not 0.1 < conformal.miss < 0.3:
            conformal.learn_one(0.0, not held)
            days += 1
        assert days < 60


def test_more_refunds_than_sales_leave_finite_forecasts():
    sales = amounts(60)
    book = run({day: -amount if i % 5 == 0 else amount for i, (day, amount) in enumerate(sales.items())})
    for ahead in book.outlook(ALL).horizons.values():
        assert ahead.point >= 0
        assert all(math.isfinite(bound) for bound in (ahead.low or 0.0, ahead.high or 0.0))


def test_one_bulk_order_does_not_set_the_level():
    sales = amounts(100, drift=0.0, noise=0.0)
    calm = run(sales).outlook(ALL).week
    spiked = run(sales | {START + 98: 1_000 * sales[START + 98]}).outlook(ALL).week
    assert spiked < 1.6 * calm


def test_a_cold_series_forecasts_nothing():
    outlook = run(amounts(10)).outlook(ALL)
    assert (outlook.horizons, outlook.week) == ({}, None)
    assert SalesBook().outlook(ALL).last_day is None
    with pytest.raises(KeyError):
        SalesBook().outlook("toys")


@given(st.lists(st.tuples(st.integers(0, 60), st.floats(-1e9, 1e9)), max_size=80))
def test_a_forecaster_stays_finite(days):
    forecaster = Forecaster()
    for day, revenue in sorted(days):
        forecaster.learn_one(day, revenue)
    assert all(0 <= forecaster.forecast(day) < 1e10 for day in range(7))
