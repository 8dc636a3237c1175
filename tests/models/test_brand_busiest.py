"""More brands and categories than have a place: whatever changes hands all adds up, beside a naive oracle."""

from collections import Counter, defaultdict

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.brand import book as book_module
from models.brand import sums as sums_module
from models.brand import taste as taste_module
from models.brand.book import BrandBook
from models.brand.standings import LEAST, OTHER, learn_market, meet
from models.brand.sums import CategorySums
from models.brand.taste import UNCATEGORISED, bought_before, held, tell
from models.league.snapshot import freeze, thaw
from models.market.busiest import Candidates, Places
from models.receipt import read
from schemas.codec import decode
from schemas.state import Taste

KEY = b"k"
SHARES = ("penetration", "repeat_rate", "share_of_requirements", "purchase_share")


def sale(kind, number, customer, lines):
    body = {
        "type": kind, "event_id": str(number), "customer_id": customer, "occurred_at": "2026-01-01T00:00:00Z",
        "currency": "GBP", "channel": "web",
        "lines": [
            {"product_id": b, "brand": b, "category": c, "quantity": q, "unit_price": 2.0} for c, b, q in lines
        ],
    }  # fmt: skip
    return decode("transactions", msgspec.json.encode(body))


class Oracle:
    """Plain sums of everything, by (category, brand)."""

    def __init__(self):
        self.units, self.purchases = Counter(), Counter()
        self.by_customer = defaultdict(Counter)
        self.category_of = defaultdict(Counter)

    def take(self, kind, customer, lines):
        for category, brand, units in lines:
            self.units[category, brand] += units if kind == "purchase" else -units
        if kind == "purchase" and customer is not None:
            for pair in {(category, brand) for category, brand, _ in lines}:
                self.purchases[pair] += 1
                self.by_customer[pair][customer] += 1
                self.category_of[pair[0]][customer] += 1


LINES = st.lists(st.tuples(st.sampled_from("abcdefghi"), st.integers(1, 3)), min_size=1, max_size=4)
ROWS = st.lists(
    st.tuples(st.sampled_from([None, "x", "y", "z"]), LINES, st.sampled_from([False, False, True]), st.integers(1, 9)),
    max_size=30,
)
"""Customer, lines, whether something goes back instead, how many times: places change hands only by what comes often."""


def fed(rows, places, waiting, categories=None):
    """Rows through a book with so few places; refunds are of what was bought. It is saved and restored on the way."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sums_module, "MAX_BRANDS", places)
        patch.setattr(sums_module, "MAX_WAITING", waiting)
        patch.setattr(taste_module, "MAX_BRANDS", 2)
        if categories is not None:
            patch.setattr(book_module, "MAX_CATEGORIES", categories)
        book, oracle, tastes, bought = BrandBook("GBP"), Oracle(), {}, []
        for number, (who, some, goes_back) in enumerate(rows):
            kind = "refund" if goes_back and bought else "purchase"
            if kind == "purchase":
                bought.append((who, some))
            customer, lines = bought[-1] if kind == "purchase" else bought.pop(len(some) % len(bought))
            mine = None if customer is None else tastes.setdefault(customer, {})
            for row in tell(read(sale(kind, number, customer, lines)), mine, float(number), 0):
                book.bought(row)
            oracle.take(kind, customer, lines)
            if number % 17 == 16:
                book.close(number // 17)
                restored = BrandBook("GBP")
                restored.restore(thaw(freeze(book.state(), KEY), KEY))
                book = restored
    return book, oracle


def within(one):
    for share in SHARES:
        assert one[share] is None or 0 <= one[share] <= 1, share


@settings(max_examples=200, deadline=None)
@given(ROWS, st.integers(1, 3), st.integers(1, 4))
def test_brands_add_up_and_one_that_was_told_apart_from_the_start_is_exact(rows, places, waiting):
    rows = [
        (who, [("tea", brand, float(units)) for brand, units in lines], back)
        for who, lines, back, times in rows
        for _ in range(times)
    ]
    book, oracle = fed(rows, places, waiting)
    if not oracle.units:
        return
    category = book.categories["tea"]
    assert len(category.brands) <= places + waiting + 1
    shown = category.shown()
    assert len(shown) <= places + 1
    assert sum(one.units for one in shown.values()) == sum(oracle.units.values())
    assert sum(one.revenue_e4 for one in shown.values()) == 20_000 * sum(oracle.units.values())
    assert sum(one.purchases for one in shown.values()) == sum(oracle.purchases.values())
    assert category.buyers == len(oracle.category_of["tea"])
    assert +Counter(category.by_count) == Counter(oracle.category_of["tea"].values())
    for brand, one in shown.items():
        assert min(one.units, one.revenue_e4, one.purchases, one.buyers, one.repeaters) >= 0
        assert one.repeaters <= one.buyers <= category.buyers
        if brand == OTHER:
            continue
        true = oracle.by_customer["tea", brand]
        assert one.buyers <= len(true)
        if not one.is_late:
            assert one.units == oracle.units["tea", brand]
            assert (one.purchases, one.buyers) == (true.total(), len(true))
            assert one.repeaters == sum(n > 1 for n in true.values())
            assert one.followed == sum(oracle.category_of["tea"][who] for who in true)
    for one in book.report().values():
        within(one)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([None, "x", "y", "z"]),
            st.lists(
                st.tuples(st.sampled_from(["tea", "jam", "soap", "milk", "rice", UNCATEGORISED]), st.sampled_from("abcde")),
                min_size=1, max_size=4,
            ),
            st.booleans(), st.integers(1, 7),
        ),
        max_size=25,
    ),
    st.integers(1, 2),
)  # fmt: skip
def test_categories_add_up_and_one_with_a_name_is_exact_where_all_are_told_apart(rows, places):
    rows = [
        (who, [(category, brand, 1.0) for category, brand in lines], back)
        for who, lines, back, times in rows
        for _ in range(times)
    ]
    book, oracle = fed(rows, 2, 2, categories=places)
    shown = book.shown()
    assert len(book.categories) <= 2 * places + 1
    assert len(shown) <= places + 1
    every = [one for category in shown.values() for one in category.shown().values()]
    assert sum(one.units for one in every) == sum(oracle.units.values())
    assert sum(one.purchases for one in every) == sum(oracle.purchases.values())
    for one in every:
        assert min(one.purchases, one.buyers, one.repeaters) >= 0
    for one in book.report().values():
        within(one)
    named = {category for category, _ in oracle.units} - {UNCATEGORISED}
    if len(named) <= 2 * places:
        for category in set(shown) - {UNCATEGORISED}:
            true = [pair for pair in oracle.units if pair[0] == category]
            found = shown[category].shown().values()
            assert shown[category].buyers == len(oracle.category_of[category])
            assert sum(one.units for one in found) == sum(oracle.units[pair] for pair in true)


def test_a_category_that_comes_up_late_and_is_busy_has_a_name_and_a_dead_one_has_not():
    def day(number, categories):
        return [("x", [(category, "ash", 1.0)], False) for category in categories] * (1 + number // 100)

    early, late = ["old", "older"], ["older", "new", "new", "new"]
    rows = [row for number in range(10) for row in day(number, early)]
    rows += [row for number in range(200) for row in day(number, late)]
    book, oracle = fed(rows, 2, 2, categories=2)
    assert set(book.shown()) == {"older", "new", UNCATEGORISED}
    assert book.report()["new:ash"]["units"] == oracle.units["new", "ash"]  # it was told apart from the start
    assert book.report()[f"{UNCATEGORISED}:ash"]["units"] == oracle.units["old", "ash"]


def test_many_rare_categories_push_out_no_steady_one():
    rows = [
        ("x", [(category, "ash", 1.0)], False)
        for number in range(60)
        for category in ("tea", "jam", *(f"rare {number} {n}" for n in range(9)))
    ]
    book, _ = fed(rows, 2, 2, categories=2)
    assert set(book.shown()) == {"tea", "jam", UNCATEGORISED}


@given(st.lists(st.lists(st.sampled_from([f"b{n}" for n in range(90)]), min_size=1, max_size=5), max_size=120))
def test_a_taste_knows_how_often_each_brand_was_bought_or_says_that_it_does_not(purchases):
    tastes, true = {}, Counter()
    for number, brands in enumerate(purchases):
        taste = tastes.get("tea", Taste())
        for brand in {*brands, "b0", "b50"}:
            assert bought_before(taste, brand) in (true[brand], None)
        assert held(taste) == true.total()
        tell(read(sale("purchase", number, "x", [("tea", brand, 1.0) for brand in brands])), tastes, 0.0, 0)
        true.update(set(brands))
    if tastes:
        assert len(tastes["tea"].counts) <= 8
        assert len(tastes["tea"].gone) <= 3 * (taste_module.MAX_GONE + 1)
        assert sum(bought_before(tastes["tea"], brand) is None for brand in true) <= max(0, len(true) - 72)


def test_places_go_to_who_is_active_and_activity_fades():
    places = Places(1, Candidates(2))
    for _ in range(50):
        places.count("old")
    for _ in range(60):
        assert places.count("new").unnamed is None
    places.fade(0.1)
    left = [places.count("new").unnamed for _ in range(8)]
    assert left == [*[None] * 5, "old", None, None]
    assert places.knows("old")
    assert not places.knows("never")


def test_whom_nobody_buys_for_very_long_keeps_a_share():
    market = {}
    meet(market, "ash")
    meet(market, "birch")
    for _ in range(30_000):  # 750,000 were enough for a share of 0, which has no logarithm
        learn_market(market, None, "ash", None)
    assert market["birch"].weight == LEAST


def test_switches_that_have_faded_away_are_forgotten():
    sums, taste = CategorySums(), Taste(1, {"ash": 1}, bytes([0]))
    sums.bought(Taste(1, {"birch": 1}, bytes([0])), ["ash"], "ash", "")
    for _ in range(100_000):
        sums.bought(taste, ["ash"], "ash", "")
    assert sums.switching() == {"ash": {"ash": 1.0}}
