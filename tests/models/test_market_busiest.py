"""Places go to the busiest, and whatever changes hands, all adds up."""

from collections import Counter, defaultdict

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.market import demand as demand_module
from models.market.busiest import Candidates
from models.market.demand import ALL, KEPT, OTHER, Demand
from models.market.outlook import Outlook


@given(st.lists(st.sampled_from("abcdefghij")), st.integers(1, 4))
def test_what_is_sure_was_counted_and_nobody_busy_is_missing(names, room):
    found, true = Candidates(room), Counter(names)
    for name in names:
        found.add(name)
    assert len(found.counts) <= room
    for name, count in found.counts.items():
        assert count.sure <= true[name] <= count.count
    assert all(name in found.counts for name in true if true[name] > len(names) / room)


def test_a_newcomer_needs_to_be_clearly_busier():
    found = Candidates(3)
    for _ in range(21):
        found.add("tea")
    assert found.busier_than(10.0) is None
    found.add("tea")
    assert found.busier_than(10.0) == "tea"
    found.fade(0.5)
    assert found.busier_than(10.0) is None
    assert Candidates(3).busier_than(0.0) is None


def traded(sales, places):
    """Each day's sales, (category, units), through a demand that names so many categories."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demand_module, "CATEGORIES", places)
        demand = Demand(candidates=Candidates(places))
        for day, sold in enumerate(sales):
            for category, units in sold:
                demand.add(category, day, units, 10 * units)
                demand.add(ALL, day, units, 10 * units)
                demand.trade(day)
            if day % 3 == 2:
                demand.close(day - 1)  # a day that is open while places change
                demand = msgspec.msgpack.decode(msgspec.msgpack.encode(demand), type=Demand)
        demand.close(len(sales))
    return demand


DAYS = st.lists(
    st.lists(st.tuples(st.sampled_from("abcdefg"), st.integers(1, 50)), min_size=1, max_size=25), max_size=80
)


@given(DAYS, st.integers(1, 4))
def test_whatever_changes_hands_categories_add_up_to_all_and_a_named_one_is_exact(sales, places):
    demand = traded(sales, places)
    assert len(demand.sold) <= places + 2
    true = [defaultdict(int) for _ in sales]
    for day, sold in enumerate(sales):
        for category, units in sold:
            true[day][category] += units
    assert demand.dates == list(range(len(sales)))[-KEPT:]
    everything = demand.sold.pop(ALL)
    assert [one.units_e3 for one in everything] == [sum(day.values()) for day in true][-KEPT:]
    for back in range(1, len(everything) + 1):
        found = [days[-back] for days in demand.sold.values() if len(days) >= back]
        assert sum(one.units_e3 for one in found) == everything[-back].units_e3
        assert sum(one.revenue_e4 for one in found) == everything[-back].revenue_e4
    for category, days in demand.sold.items():
        if category != OTHER and days:
            assert [one.units_e3 for one in days] == [day[category] for day in true][-len(days) :]


def test_a_category_that_comes_up_late_and_is_busy_is_named_and_a_dead_one_is_not():
    sales = [[("old", 5), ("older", 5)]] * 40 + [[("older", 5), ("new", 7), ("new", 2)]] * 40
    demand = traded(sales, 2)
    assert set(demand.sold) == {ALL, OTHER, "older", "new"}
    assert len(demand.sold["new"]) > 20
    assert {one.units_e3 for one in demand.sold["new"]} == {9}
    assert demand.sold[OTHER][0].units_e3 == 5  # what `old` sold


def test_what_was_asked_of_a_category_that_has_no_name_any_more_is_dropped():
    demand, outlook = Demand(), Outlook()
    for day in range(40):
        for category in ("tea", ALL):
            demand.add(category, day, 1_000 + day % 7, 1)
        demand.trade(day)
        demand.close(day + 1)
        outlook.learn_day(demand)
    assert set(outlook.pending) == {"tea", ALL}
    demand._put_away("tea")
    outlook.learn_day(demand)
    assert "tea" not in outlook.pending
    assert outlook.of("tea") is None


def test_many_rare_ones_do_not_push_out_a_steady_one():
    sales = [[("steady", 1), ("constant", 1)] + [(f"rare {day} {n}", 1) for n in range(30)] for day in range(60)]
    assert set(traded(sales, 2).sold) == {ALL, OTHER, "steady", "constant"}
