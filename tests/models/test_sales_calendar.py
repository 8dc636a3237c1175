"""Public holidays: learned apart from weekdays, and known ahead."""

import math
from datetime import date

import msgspec
import numpy as np
import pytest

from models.learning import Learning
from models.policy import Policy
from models.sales.calendar import Calendar, day_of, public_holidays, weekday
from models.sales.series import SalesBook
from streams.errors import Misconfigured
from streams.settings import load_settings

SHUT = {date(2011, 1, 3), date(2011, 4, 22), date(2011, 4, 25), date(2011, 4, 29), date(2011, 5, 2), date(2011, 5, 30)}
"""England's public holidays of these months, New Year's day being moved to a Monday."""


def taught(until, place="GB-ENG", open_on=()):
    """A shop that is closed on Sundays and on public holidays, but for some."""
    calendar = Calendar(place=place)
    for day in range(day_of(date(2010, 12, 1)), day_of(until)):
        when = date.fromordinal(day + date(1970, 1, 1).toordinal())
        shut = weekday(day) == 6 or (when in public_holidays("GB-ENG") and when not in open_on)
        calendar.learn_one(day, not shut)
    return calendar


def test_after_two_without_a_sale_the_next_holiday_is_closed():
    calendar = taught(date(2011, 4, 20))
    closed = {when for when in sorted(SHUT) if when >= date(2011, 4, 20) and calendar.is_closed(day_of(when))}
    assert closed == {when for when in SHUT if when >= date(2011, 4, 20)}
    assert not any(calendar.is_closed(day_of(date(2011, 4, day))) for day in (20, 21, 23, 26, 27, 28, 30))
    assert calendar.is_closed(day_of(date(2011, 4, 24)))  # a Sunday


def test_nothing_is_known_ahead_before_two_and_without_a_place():
    assert not taught(date(2010, 12, 26)).is_closed(day_of(date(2010, 12, 27)))
    assert not taught(date(2011, 4, 20), place="").is_closed(day_of(date(2011, 4, 22)))


def test_a_sale_on_a_holiday_opens_those_to_come():
    calendar = taught(date(2011, 4, 26), open_on={date(2011, 4, 25)})
    assert not calendar.is_closed(day_of(date(2011, 5, 2)))


def test_a_weekday_learns_nothing_of_its_holidays():
    """Four Mondays in a row that are holidays would close Mondays."""
    calendar = Calendar(place="GB-ENG")
    monday = day_of(date(2011, 1, 10))
    for week in range(4):
        calendar.learn_one(monday + 7 * week, True)
    for easter in (date(2011, 4, 25), date(2012, 4, 9), date(2013, 4, 1), date(2014, 4, 21), date(2015, 4, 6)):
        calendar.learn_one(day_of(easter), False)
    assert not calendar.is_closed(monday + 28)


def test_a_holiday_on_a_closed_weekday_says_nothing():
    calendar = taught(date(2011, 4, 20))
    before = list(calendar.holidays)
    christmas = date(2011, 12, 25)
    assert christmas in public_holidays("GB-ENG")
    assert christmas.weekday() == 6
    calendar.learn_one(day_of(christmas), False)
    assert calendar.holidays == before


def test_the_book_forecasts_a_holiday_as_nothing():
    def book(place):
        found = SalesBook(calendar=Calendar(place=place))
        for day in range(day_of(date(2010, 12, 1)), day_of(date(2011, 4, 22))):
            when = date.fromordinal(day + date(1970, 1, 1).toordinal())
            if weekday(day) != 6 and when not in public_holidays("GB-ENG"):
                found.add("all", day, 1_000_000)
            found.close_until(day + 1)
        return found

    easter, unaware = book("GB-ENG").outlook("all"), book("").outlook("all")
    assert easter.horizons[1].day == day_of(date(2011, 4, 22))
    assert (easter.horizons[1].point, easter.horizons[1].high) == (0.0, 0.0)
    assert unaware.horizons[1].point == pytest.approx(100.0)
    assert easter.week == pytest.approx(unaware.week - 200.0)  # Good Friday and Easter Monday


def test_a_place_outlives_a_snapshot_and_old_ones_have_none():
    learning = Learning(Policy(holidays="GB-ENG"))
    state = learning.state()
    old = msgspec.msgpack.decode(state["sales"])
    del old["calendar"]["place"], old["calendar"]["holidays"]
    again = Learning(Policy(holidays="GB"))
    again.restore(state | {"sales": msgspec.msgpack.encode(old)}, learning.parts())
    assert again.sales.calendar == Calendar(place="GB")


@pytest.mark.parametrize("place", ["XX", "GB-XX", "England"])
def test_an_unknown_place_is_refused_by_name(place):
    with pytest.raises(Misconfigured, match=f"STREAMSCORE_HOLIDAYS.*{place}"):
        load_settings(holidays=place)


def sparse(share, days=900, seed=0, closed=()):
    """A shop that sells on some days at random, and which days these are."""
    draw = np.random.default_rng(seed)
    return [weekday(day) not in closed and draw.random() < share for day in range(days)]


@pytest.mark.parametrize("share", [0.15, 0.3, 0.5, 0.8])
def test_a_shop_that_sells_now_and_then_is_not_called_closed(share):
    calendar, closed = Calendar(), 0
    for day, sold in enumerate(sparse(share)):
        closed += calendar.is_closed(day)
        calendar.learn_one(day, sold)
    assert closed < 0.02 * 900


@pytest.mark.parametrize(("share", "weeks"), [(1.0, 4), (0.8, 8), (0.5, 16), (0.3, 40)])
def test_the_fewer_days_a_shop_sells_on_the_longer_it_takes_to_know_a_closed_weekday(share, weeks):
    calendar = Calendar()
    for day, sold in enumerate(sparse(share, days=7 * weeks, closed=(6,))):
        calendar.learn_one(day, sold)
    assert calendar.closed == [False] * 6 + [True]


def test_a_pause_of_the_shop_closes_no_weekday():
    calendar = Calendar()
    for day in range(200):
        calendar.learn_one(day, weekday(day) != 6)
    for day in range(200, 240):
        calendar.learn_one(day, False)
    assert calendar.asleep
    calendar.learn_one(240, True)
    assert [calendar.is_closed(day) for day in range(241, 255)] == [weekday(day) == 6 for day in range(241, 255)]


def test_a_shop_that_no_longer_sells_every_day_is_soon_known():
    calendar, waited = Calendar(), None
    for day in range(300):
        calendar.learn_one(day, True)
    for number, sold in enumerate(sparse(0.3, days=200)):
        if waited is None and calendar.is_ordinary(300 + number):
            waited = number
        calendar.learn_one(300 + number, sold)
    assert 14 < waited < 70


def test_of_a_shop_that_hardly_sells_it_is_known_early():
    calendar = Calendar()
    for day, sold in enumerate(sparse(0.05, days=150, seed=2)):
        calendar.learn_one(day, sold)
    assert calendar.after < 20
    assert calendar.is_ordinary(150)


@pytest.mark.parametrize("shut", [(6,), (5, 6), (2, 6)])
def test_a_shop_that_opens_on_most_days_has_no_ordinary_empty_days(shut):
    """Neither before its closed weekdays are known nor after a fortnight without a sale."""
    calendar = Calendar()
    for day in range(250):
        pauses = 60 <= day < 74 or day in (100, 123, 127)
        if weekday(day) not in shut or pauses:
            assert not calendar.is_ordinary(day)
        calendar.learn_one(day, weekday(day) not in shut and not pauses)


def test_holidays_of_a_shop_that_sells_now_and_then_are_days_like_others():
    calendar = Calendar(place="GB-ENG")
    start = day_of(date(2011, 1, 4))
    for number, sold in enumerate(sparse(0.3, days=365)):
        day = start + number
        calendar.learn_one(day, sold and not calendar.is_holiday(day))
    assert len(calendar.holidays) == 4
    assert not calendar.is_closed(day_of(date(2012, 4, 6)))


@pytest.mark.parametrize("share", [0.15, 0.3, 0.5])
def test_days_without_a_sale_count_where_they_are_ordinary(share):
    """What is expected of a week is what a week brings, intervals hold, and all are judged over the same days."""
    book, draw = SalesBook(), np.random.default_rng(3)
    weeks, past = [], []
    for day, sold in enumerate(sparse(share, days=1_000, seed=1)):
        amount = round(1_000_000 * math.exp(0.2 * draw.normal())) if sold else 0
        if amount:
            book.add("all", day, amount)
        book.close_until(day + 1)
        past.append(amount / 10_000)
        if day >= 300:
            weeks.append(book.outlook("all").week)
    assert np.mean(weeks) == pytest.approx(7 * np.mean(past[300:]), rel=0.15)
    for figures in book.report("all").values():
        assert figures["n"] > 600
        assert figures["mase"] < 1.2
        assert figures["coverage_80"] > 0.77
        own = [entrant["mase"] for entrant in figures["entrants"].values()]
        assert 0.95 * min(own) < figures["mase"] < 1.05 * max(own)


def test_a_sale_on_a_closed_day_is_missed_by_all_but_the_naive():
    """It says what the weekday brought when it was last open: to know better is not its merit."""
    book = SalesBook()
    for day in range(200):
        if weekday(day) != 6 or day < 30:
            book.add("all", day, 1_000_000)
        book.close_until(day + 1)
    before = book.report("all")[1]
    sunday = next(day for day in range(200, 207) if weekday(day) == 6)
    for day in range(200, sunday + 1):
        book.close_until(day)
        shown = book.outlook("all").horizons[1]
        book.add("all", day, 1_000_000)
    assert (shown.point, shown.high, shown.naive) == (0.0, 0.0, 0.0)
    book.close_until(sunday + 1)
    tally = book.series["all"].tracks[0]
    assert book.report("all")[1]["n"] == before["n"] + sunday + 1 - 200
    assert tally.tally.naive_error == pytest.approx(0.0, abs=1.0)
    for name, error in tally.contest.errors.items():
        assert error >= 100.0, name
