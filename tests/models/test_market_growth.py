"""Growth accounting beside pandas, and beside counting sets."""

from collections import defaultdict

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from models.market.growth import KINDS, MONTHS_KEPT, WIDTH, Growth, bought, kind_of
from models.receipt import amount_e4
from schemas.events import Purchase
from streams.replay import online_retail


def month_of(at):
    return 12 * at.year + at.month - 1


def accounted(purchases):
    growth, known = Growth(), {}
    for customer, month, revenue in purchases:
        known[customer], changes = bought(known.get(customer), month)
        for change in changes:
            growth.change(change.month, change.kind, change.customers)
        growth.earn(month, kind_of(known[customer], month), revenue)
    return growth


def naive(purchases):
    active = defaultdict(set)
    for customer, month, _ in purchases:
        active[month].add(customer)
    first = {customer: min(m for m, some in active.items() if customer in some) for customer, *_ in purchases}
    found = {}
    for month, some in active.items():
        before = active.get(month - 1, set())
        new = {customer for customer in some if first[customer] == month}
        found[month] = {
            "active": len(some),
            "new": len(new),
            "retained": len(some & before - new),
            "returned": len(some - before - new),
            "lost": len(before - some),
        }
    return found


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(24_000, 24_000 + WIDTH - 1), st.integers(1, 9))))
def test_in_any_order_of_arrival_it_agrees_with_counting_sets(purchases):
    agrees(purchases)


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(24_000, 24_000 + MONTHS_KEPT - 1), st.integers(1, 9))))
def test_in_order_it_agrees_over_all_months_that_are_kept(purchases):
    """Also once the months in which a customer was new, or came back, are remembered of that customer no more."""
    agrees(sorted(purchases, key=lambda one: one[1]))


def agrees(purchases):
    report = accounted(purchases).report()
    wanted = naive(purchases)
    for month, row in wanted.items():
        name = f"{month // 12:04d}-{month % 12 + 1:02d}"
        shown = {key: report[name][key] for key in row}
        if month - 1 not in wanted:
            assert shown.pop("lost") == 0
            row.pop("lost")
        assert shown == row


def test_every_month_of_a_real_shop_is_that_of_pandas():
    sales = [
        (event.customer_id, event.occurred_at, amount_e4(event.lines))
        for event in online_retail.events()
        if isinstance(event, Purchase) and event.customer_id and amount_e4(event.lines) > 0
    ]
    report = accounted([(customer, month_of(at), paid) for customer, at, paid in sales]).report()
    frame = pd.DataFrame(sales, columns=["customer", "at", "paid"])
    frame["month"] = frame["at"].map(lambda at: f"{at:%Y-%m}")
    active = frame.groupby("month")["customer"].agg(set)
    first = frame.groupby("customer")["month"].min()
    before = set()
    for month, some in active.items():
        new = set(first[first == month].index)
        row = report[month]
        assert (row["active"], row["new"]) == (len(some), len(new)), month
        assert row["retained"] == len((some & before) - new)
        assert row["returned"] == len(some - before - new)
        assert row["lost"] == len(before - some)
        revenue = frame.loc[frame["month"] == month, "paid"].sum() / 10_000
        assert abs(sum(row[f"revenue_{kind}"] for kind in KINDS) - revenue) < 1e-6
        before = some
    november = {key: report["2011-11"][key] for key in ("active", "new", "retained", "returned", "lost")}
    assert november == {"active": 1_664, "new": 323, "retained": 622, "returned": 719, "lost": 742}


def test_only_so_many_months_are_kept():
    growth = accounted([("a", month, 1) for month in range(24_000, 24_100)])
    assert len(growth.months) == 36
    growth.change(24_000, "new", 1)
    assert 24_000 not in growth.months


def test_a_month_in_which_nobody_bought_is_one_in_which_all_were_lost():
    growth = Growth()
    growth.change(24_000, "new", 100)
    growth.change(24_002, "returned", 1)
    report = growth.report()
    assert list(report) == ["2000-01", "2000-02", "2000-03"]
    assert (report["2000-02"]["active"], report["2000-02"]["lost"], report["2000-03"]["lost"]) == (0, 100, 0)
    assert growth.report(24_004)["2000-04"]["lost"] == 1
    assert growth.moved(24_002)["lost"] == {"value": 0, "change": -100}
    assert growth.moved(24_001)["new_share"] == {"value": None, "change": None}


def test_the_first_month_that_is_kept_has_lost_nobody():
    growth = Growth()
    for month in range(24_000, 24_000 + MONTHS_KEPT + 5):
        growth.change(month, "retained", 3)
    report = growth.report()
    assert len(report) == MONTHS_KEPT
    assert {row["lost"] for row in report.values()} == {0}


def test_a_month_is_running_until_its_last_day_is_closed():
    growth = Growth()
    growth.change(24_000, "new", 1)
    growth.change(24_001, "retained", 1)
    assert [row.get("running") for row in growth.report(running=24_001).values()] == [None, True]
    assert [row.get("running") for row in growth.report(running=24_002).values()] == [None, None]
