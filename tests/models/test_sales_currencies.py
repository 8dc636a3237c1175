"""A shop of several currencies: a day with a sale in any is a trading day for others, and changes nothing for the main one."""

import random

import msgspec
import pytest

from models.sales.dimensions import ALL
from models.sales.series import E4, HORIZONS, MAX_WAITING, SalesBook

START, DAYS = 20_000, 300
EURO, FRANC = "all:EUR", "all:CHF"


def sold(main, other, book=None, days=DAYS):
    """Sales in the main currency, in two categories, on days that `main` tells, and in euro on days that `other` does."""
    book, draw = SalesBook() if book is None else book, random.Random(4)
    for day in range(START, START + days):
        book.close_until(day)
        amounts = [round(draw.gammavariate(3.0, 30.0) * E4) for _ in range(3)]
        if main(day):
            for name, amount in zip(("category:tea", "category:cups"), amounts, strict=False):
                book.add(ALL, day, amount)
                book.add(name, day, amount)
        if other(day):
            book.add(EURO, day, amounts[2])
    book.close_until(START + days)
    return book


def never(_day):
    return False


def always(_day):
    return True


@pytest.mark.parametrize("rare", [never, lambda day: day == START + 2, lambda day: day % 90 == 0])
def test_another_currency_is_forecast_where_the_main_one_hardly_sells(rare):
    book = sold(rare, always)
    told = book.outlook(EURO)
    assert set(told.horizons) == set(HORIZONS)
    assert told.week == pytest.approx(7 * 90.0, rel=0.4)
    assert book.report(EURO)[7]["n"] > 200
    assert (book.outlook(ALL).week or 0.0) < 90.0


def test_both_are_forecast_on_days_that_only_one_has():
    book = sold(lambda day: day % 2 == 0, lambda day: day % 2 == 1)
    for name in (ALL, EURO):
        assert 0.0 < book.outlook(name).week < 7 * 90.0 * 2
        assert book.report(name)[1]["n"] > 200
    parts = [book.outlook(name) for name in ("category:tea", "category:cups")]
    for horizon in HORIZONS:
        together = sum(one.horizons[horizon].point for one in parts)
        assert together == pytest.approx(book.outlook(ALL).horizons[horizon].point)
    assert sum(one.week for one in parts) == pytest.approx(book.outlook(ALL).week)


def test_the_main_currency_begins_with_its_first_amount_and_its_parts_with_it():
    book = sold(lambda day: day >= START + 100, always)
    alone = sold(always, never, SalesBook(), days=200)
    assert book.series[ALL].forecaster.days == alone.series[ALL].forecaster.days == 200
    parts = [book.outlook(name).week for name in ("category:tea", "category:cups")]
    assert sum(parts) == pytest.approx(book.outlook(ALL).week)


@pytest.mark.parametrize("other", [always, lambda day: day % 3 == 0, lambda day: day % 7 == 3])
@pytest.mark.parametrize("main", [always, lambda day: day % 7 != 3, lambda day: day % 5 == 0])
def test_what_sells_in_another_currency_changes_nothing_of_the_main_one(main, other):
    with_euro, plain = sold(main, other), sold(main, never)
    kept = {name: one for name, one in with_euro.series.items() if name != EURO}
    assert msgspec.msgpack.encode(kept) == msgspec.msgpack.encode(plain.series)
    assert with_euro.calendar == plain.calendar
    for name in kept:
        assert with_euro.outlook(name) == plain.outlook(name)
        assert with_euro.report(name) == plain.report(name)


def test_where_both_sell_on_the_same_days_they_have_the_same_calendar():
    assert sold(always, never).anywhere is None
    book = sold(lambda day: day % 7 != 3, lambda day: day % 7 != 3)
    assert book.anywhere == book.calendar
    assert book.outlook(EURO).horizons.keys() == book.outlook(ALL).horizons.keys()


def test_a_restored_book_goes_on_with_both_calendars():
    half, rest = sold(lambda day: day % 9 == 0, always, days=80), 3
    restored = msgspec.msgpack.decode(msgspec.msgpack.encode(half), type=SalesBook)
    for book in (half, restored):
        for day in range(START + 80, START + 80 + rest):
            book.add(EURO, day, E4)
        book.close_until(START + 80 + rest)
    assert msgspec.msgpack.encode(restored) == msgspec.msgpack.encode(half)
    restored.stand_in("GB")
    assert restored.anywhere is not None
    assert (restored.calendar.place, restored.anywhere.place) == ("GB", "GB")


def test_days_that_wait_are_bounded_over_all_currencies():
    book = SalesBook()
    for n in range(5):
        for day in range(2 * MAX_WAITING):
            book.add(f"all:X{n:02}", START + 1_000 * n + day, E4)
            book.add(ALL, START - 1_000 * n - day, E4)
    assert len(book.sold_on) <= 2 * MAX_WAITING


def test_refunds_in_another_currency_open_no_day():
    book = sold(always, always, days=30)
    book.add(FRANC, START + 30, -E4)
    book.close_until(START + 31)
    assert book.series[ALL].forecaster.days == book.series[EURO].forecaster.days == 30
