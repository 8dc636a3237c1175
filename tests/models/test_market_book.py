"""The market of a whole year beside pandas; and a book that is saved in pieces is the same book."""

import msgspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.learning import Learning
from models.market import journal
from models.market.baskets import Baskets
from models.market.book import Market
from models.market.demand import WINDOW, Demand, described
from models.market.journal import Journaled
from models.market.tell import tell
from models.policy import Policy
from models.receipt import read
from schemas.events import Customer, Purchase
from schemas.state import CustomerState
from streams.lineage import Shelf
from streams.publishing import Published
from streams.redis.keys import Keys
from streams.replay import online_retail
from streams.settings import Settings

POLICY = Policy(timezone="Europe/London")
LINES = 120_000


@pytest.fixture(scope="module")
def retail():
    """Rows as shards tell them, and the same lines as a table of pandas. The first 120,000 lines, four months."""
    states, rows, table = {}, [], []
    for event in online_retail.events(limit=LINES):
        if isinstance(event, Customer):
            state = states[event.customer_id] = CustomerState(seen_at=0.0)
            state.attributes["country"] = event.attributes["country"]
            continue
        sign = 1 if isinstance(event, Purchase) else -1
        state = states.get(event.customer_id)
        rows.append(tell(read(event), state, POLICY, state.attributes["country"] if state else None))
        country = state.attributes["country"] if state else None
        table += [
            (event.event_id, event.occurred_at, sign, country, line.product_id, line.category, line.quantity, line.unit_price)
            for line in event.lines
        ]  # fmt: skip
    names = ["invoice", "at", "sign", "country", "product", "category", "quantity", "price"]
    return rows, pd.DataFrame(table, columns=names)


def told(book, rows):
    day = None
    for row in rows:
        if day is not None and row["day"] > day:
            book.take({"close": row["day"]})
        day = row["day"]
        book.take(row)
    return book


@pytest.fixture(scope="module")
def kept(retail):
    return told(Journaled(Market()), retail[0])


def test_units_and_revenue_of_each_day_are_those_of_pandas(retail, kept):
    table = retail[1].assign(day=lambda t: t["at"].dt.date)
    table["units"] = (table["sign"] > 0) * table["quantity"]
    table["revenue"] = table["sign"] * (table["quantity"] * table["price"])
    bought = table[(table["sign"] > 0) & (table["price"] > 0)]
    days = sorted(bought["day"].unique())[:-1]  # the last one is open
    for category in ("all", *table["category"].unique()):
        some = table if category == "all" else table[table["category"] == category]
        sums = some.groupby("day")[["units", "revenue"]].sum().reindex(days, fill_value=0.0)
        found = kept.book.sums.demand.sold[category]
        assert [one.units_e3 for one in found] == [round(1_000 * x) for x in sums["units"]][-len(found) :]
        assert [one.revenue_e4 / 1e4 for one in found] == pytest.approx(
            sums["revenue"].tolist()[-len(found) :], abs=0.01
        )
        assert len(found) == min(len(days), 66)


def test_how_people_buy_is_that_of_pandas(retail, kept):
    table = retail[1]
    table = table[table["sign"] > 0].assign(
        month=lambda t: t["at"].dt.strftime("%Y-%m"), hour=lambda t: t["at"].dt.hour
    )
    invoices = table.groupby(["invoice", "at"], sort=False).agg(
        month=("month", "first"), hour=("hour", "first"), country=("country", "first"), products=("product", "nunique"),
        units=("quantity", "sum"),
    )  # fmt: skip
    report = kept.book.report("GBP")["all"]
    month, before = report["month"], "2011-02"
    assert month == "2011-03"
    now, old = invoices[invoices["month"] == month], invoices[invoices["month"] == before]
    found = report["behaviour"]
    assert found["purchases"] == {"value": len(now), "change": len(now) - len(old)}
    assert found["basket_products"]["value"] == pytest.approx(now["products"].mean())
    assert found["basket_units"]["change"] == pytest.approx(now["units"].mean() - old["units"].mean())
    for hour, share in now["hour"].value_counts(normalize=True).items():
        was = (old["hour"] == hour).mean()
        assert found["hour"][str(hour)] == pytest.approx({"value": share, "change": share - was})
    countries = now["country"].dropna()
    assert found["country"]["United Kingdom"]["value"] == pytest.approx((countries == "United Kingdom").mean())
    assert sum(one["value"] for one in found["weekday"].values()) == pytest.approx(1.0)
    assert list(found["weekday"]) == ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Sunday"]


@pytest.mark.parametrize("exact", [4_096, 64])
def test_partners_of_one_product_are_those_found_among_all(retail, exact):
    baskets = Baskets(exact=exact, entries=20_000)
    for row in retail[0][:2_000]:
        baskets.learn_one([line[0] for lines in row["lines"].values() for line in lines])
    pairs = baskets.best("support", 1_000_000, support=10)
    assert pairs
    for product in [*list(baskets.numbers)[:60], "nobody"]:
        beyond = {
            frozenset((one.a, one.b)): one.low
            for one in pairs
            if product in (one.a, one.b) and one.low > 1 and one.support >= 10
        }
        found = baskets.partners(product, 8, 10)
        assert all(one.a == product for one in found)
        assert [one.low for one in found] == sorted(beyond.values(), reverse=True)[:8]
        assert all(beyond[frozenset((one.a, one.b))] == one.low for one in found)


def same(one, other):
    return msgspec.msgpack.encode(one.book.state()) == msgspec.msgpack.encode(other.book.state())


def again(kept):
    """Through the bytes that a snapshot is made of."""
    state = msgspec.msgpack.decode(msgspec.msgpack.encode(kept.state()))
    return Journaled.restore(state, dict(kept.parts()), Market(), Market.restore)


def test_a_year_is_restored_from_base_and_pages(retail, kept):
    assert kept.number >= 1
    assert kept.pages
    restored = again(kept)
    assert same(restored, kept)
    for row in retail[0][:200]:
        restored.take(row)
    assert again(restored).state() == restored.state()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 500), max_size=60), st.integers(60, 3_000), st.integers(60, 6_000))
def test_wherever_it_is_saved_the_book_is_the_same(retail, places, page, least):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal, "PAGE", page)
        patch.setattr(journal, "LEAST", least)
        plain, kept, written = Market(), Journaled(Market()), {}
        for place in places:
            row = retail[0][place]
            plain.take(row)
            kept.take(row)
            for name, body in kept.parts().items():
                assert written.setdefault(name, body) == body, "a part that was written does not change"
            kept = again(kept)
            assert kept.told <= max(least, len(kept.base))
        assert msgspec.msgpack.encode(kept.book.state()) == msgspec.msgpack.encode(plain.state())


def test_bounds_hold():
    demand = Demand()
    for n in range(80):
        demand.add(f"c{n}", 1, 1_000, 10_000)
    assert len(demand.sold) == 62
    assert demand.waiting[1]["other"].units_e3 == 20_000


def test_an_older_observation_does_not_replace_a_newer_one():
    market = Market()
    for day, value in ((3, 1.0), (5, 2.0), (4, 9.0)):
        market.take({"series": "tea", "value": value, "unit": "GBP", "day": day})
    assert market.sums.observed.series["tea"] == (5, 2.0, "GBP")


def test_a_day_that_is_closed_changes_no_more():
    demand = Demand()
    demand.add("all", 1, 1_000, 1)
    demand.trade(1)
    demand.close(2)
    demand.add("all", 1, 5_000, 1)
    assert (demand.sold["all"][0].units_e3, demand.late) == (1_000, 1)


def sale(day, lines, sign=1, main=True, month=12 * 2024):
    row = {"sign": sign, "main": main, "day": day, "month": month, "hour": 9, "channel": "web", "lines": lines}
    return row | ({"kind": "new", "changes": [[month, "new", 1]]} if sign > 0 else {})


def test_what_is_refunded_on_a_day_without_a_sale_is_in_the_sum_of_days():
    market = Market()
    for day in range(30):
        market.take(sale(day, {"tea": [["a", 1, 100.0]], "x": [["b", 1, 1.0]]}, -1 if day % 7 in (5, 6) else 1))
        market.take({"close": day + 1})
    demand = market.sums.demand
    days = sum(1 if day % 7 < 5 else -1 for day in range(30))
    assert (len(demand.sold["tea"]), len(demand.sold["all"])) == (22, 22)
    assert sum(one.revenue_e4 for one in demand.sold["tea"]) == 1_000_000 * days
    assert sum(one.revenue_e4 for one in demand.sold["all"]) == 1_010_000 * days
    assert sum(one.units_e3 for one in demand.sold["all"]) == 2_000 * 22
    market.take(sale(40, {"tea": [["a", 1, 100.0]]}, -1))
    market.take({"close": 41})
    again = Market.restore(market.state())
    again.take(sale(50, {"tea": [["a", 1, 100.0]]}))
    again.take({"close": 51})
    assert again.sums.demand.sold["tea"][-1].revenue_e4 == 0


def test_units_are_those_of_all_currencies_and_revenue_is_that_of_the_main_one():
    market = Market()
    for day in range(6):
        market.take(sale(day, {"tea": [["a", 2, 5.0]]}, main=day % 2 == 0))
        market.take(sale(day, {"tea": [["a", 3, 5.0]]}, main=day % 2 == 0))
    market.take(sale(5, {"tea": [["a", 1, 5.0]]}, main=False, sign=-1))
    market.take({"close": 6})
    for name in ("all", "tea"):
        demand = market.report("GBP")[name]["demand"]
        assert (demand["units"]["last"], demand["units"]["level"]) == (5.0, 5.0)
        assert (demand["revenue"]["last"], demand["revenue"]["level"]) == (0.0, 12.5)
    assert market.sums.demand.trading_days == 6


def test_revenue_of_a_basket_is_over_the_purchases_in_the_main_currency():
    market = Market()
    for n in range(100):
        market.take(sale(n // 10, {"tea": [["a", 2, 5.0]]}, main=n % 2 == 0))
    found = market.report("GBP")["all"]["behaviour"]
    assert found["basket_revenue"]["value"] == 10.0
    assert (found["basket_units"]["value"], found["purchases"]["value"]) == (2.0, 100)
    other = Market()
    other.take(sale(0, {"tea": [["a", 2, 5.0]]}, main=False))
    assert other.report("GBP")["all"]["behaviour"]["basket_revenue"] == {"value": None, "change": None}


def test_the_month_that_goes_on_says_so():
    market = Market()
    first = 19_723  # 2024-01-01
    market.take(sale(first, {"tea": [["a", 1, 1.0]]}))
    assert market.report("GBP")["all"]["running"] is True
    market.take({"close": first + 30})
    assert market.report("GBP")["all"]["running"] is True
    market.take({"close": first + 31})
    found = market.report("GBP")["all"]
    assert (found["month"], found["running"], "running" in found["growth"]["2024-01"]) == ("2024-01", False, False)
    market.take(sale(first + 40, {"tea": [["a", 1, 1.0]]}, month=12 * 2024 + 1))
    found = market.report("GBP")["all"]
    assert (found["month"], found["running"], found["growth"]["2024-02"]["running"]) == ("2024-02", True, True)


def test_only_products_with_something_to_show_count_as_changed():
    market = Market()
    for n in range(3_000):
        market.take(sale(n // 100, {"tea": [[f"once {n}", 1, 1.0], ["always", 1, 1.0]]}))
    assert list(market.changed) == ["always"]
    assert list(Market.restore(market.state()).changed) == ["always"]
    market.take({"series": "price:R:once 5", "value": 2.0, "unit": "GBP", "day": 9})
    assert list(market.changed) == ["always", "once 5"]


def test_a_product_is_written_when_its_figures_are_others_and_not_before():
    settings = Settings()
    learning, shown = Learning(POLICY), Published(settings, set(), set(), set(), {"gone"}, Shelf({}))
    market = learning.market.book

    def written():
        return [
            one[1] for one in shown.of_report(learning, learning.report()) if one[0] == "HSET" and "pairs:" in one[1]
        ]

    for n in range(200):
        market.take(sale(n // 10, {"tea": [["c", 1, 1.0]] if n % 16 else [["a", 1, 1.0], ["b", 1, 1.0]]}))
    assert sorted(written()) == [Keys(settings.prefix).pairs(name) for name in "ab"]
    assert not written()
    market.changed |= dict.fromkeys(["a", "b"])
    assert not written()
    market.changed["gone"] = None
    commands = shown.of_report(learning, learning.report())
    assert ["SREM", Keys(settings.prefix).products, "gone"] in commands
    market.take(sale(20, {"tea": [["a", 1, 1.0], ["b", 1, 1.0]]}))
    assert len(written()) == 2


def test_sums_that_do_not_fit_any_more_stay_where_they_are():
    market = Market()
    for n in range(2_000):
        market.take(sale(n // 1_000, {"tea": [["a", 1e12, 0.0]] * 5 + [["b", 1e9, 10.0]]}))
    market.take({"close": 2})
    assert market.sums.demand.sold["all"][0].units_e3 == market.sums.mix.months[12 * 2024].units_e3 == 1 << 62
    assert Market.restore(market.state()).report("GBP") == market.report("GBP")


def test_sales_that_come_after_their_day_is_closed_are_told():
    market = Market()
    for day in range(5):
        market.take(sale(day, {"tea": [["a", 1, 1.0]]}))
        market.take({"close": day + 1})
    market.take(sale(1, {"tea": [["a", 1, 1.0]], "new": [["b", 1, 1.0]]}))
    report = Market.restore(market.state()).report("GBP")
    assert report["tea"]["demand"]["late"] == 1
    assert report["all"]["demand"]["late"] == 1
    assert market.sums.demand.late_of == {"tea": 1, "other": 1, "all": 1}
    market.sums.demand._put_away("tea")
    assert market.sums.demand.late_of == {"other": 2, "all": 1}


@pytest.mark.parametrize(("level", "growth"), [(1.5, 0.0), (1.5, 0.05), (3.0, 0.03), (40.0, 0.02)])
def test_a_trend_of_few_units_a_day_holds(level, growth):
    draw, true, hits, found = np.random.default_rng(11), np.expm1(6 * growth), 0, []
    for _ in range(300):
        days = draw.poisson(level * np.exp(growth * (np.arange(WINDOW) - WINDOW / 2))).astype(float)
        one = described(days.tolist())
        if one["low"] is not None:
            found.append(one["trend"])
            hits += one["low"] <= true <= one["high"]
    assert len(found) > 200
    assert hits / len(found) >= 0.92
    assert np.mean(found) == pytest.approx(true, abs=0.03)


def test_a_trend_is_found_and_chance_is_not():
    draw = np.random.default_rng(5)
    hits = alarms = 0
    for _ in range(300):
        noise = np.exp(draw.normal(0, 0.2, WINDOW))
        grows = described((100 * np.exp(0.01 * np.arange(WINDOW)) * noise).tolist())
        flat = described((100 * noise).tolist())
        hits += grows["low"] <= np.expm1(0.06) <= grows["high"]
        alarms += not flat["low"] <= 0 <= flat["high"]
    assert hits >= 300 * 0.91
    assert alarms <= 300 * 0.09
