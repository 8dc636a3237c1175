"""How a brand's share moves with promotion, beside numpy on the same days."""

from collections import defaultdict

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.brand.book import BrandBook
from models.brand.promotion import MAX_OPEN, Promotions, Went
from models.brand.standings import OTHER
from models.brand.taste import tell
from models.receipt import read
from schemas.codec import decode

SALES = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 90), st.integers(1, 9), st.sampled_from([None, False, True])),
    max_size=400,
)


@given(SALES, st.randoms(use_true_random=False))
def test_a_day_is_a_point_whatever_order_its_sales_come_in(sales, draw):
    ordered, mixed = Promotions(), Promotions()
    for sale in sorted(sales, key=lambda one: one[1]):
        ordered.sold(*sale)
        if draw.random() < 0.1:
            ordered.close(sale[1])
            ordered = msgspec.msgpack.decode(msgspec.msgpack.encode(ordered), type=Promotions)
    for sale in draw.sample(sales, len(sales)):
        mixed.sold(*sale)
    for one in (ordered, mixed):
        one.close(91)
        one.closed = None
    assert mixed == ordered
    points = defaultdict(list)
    for day in sorted({day for _, day, _, _ in sales}):
        units = {brand: sum(n for b, at, n, _ in sales if (b, at) == (brand, day)) for brand in "abc"}
        for brand in "abc":
            judged = [(n, low) for b, at, n, low in sales if (b, at) == (brand, day) and low is not None]
            if judged:
                low = sum(n for n, low in judged if low) / sum(n for n, _ in judged)
                points[brand].append((low, units[brand] / sum(units.values())))
    for brand, some in points.items():
        found, (x, y) = mixed.report(brand), np.array(some).T
        if found is not None:
            assert found["slope"] == pytest.approx(np.polyfit(x, y, 1)[0], abs=1e-6)
            assert found["n"] == len(some)
            assert found["low"] <= found["slope"] <= found["high"]


def test_days_are_bounded_and_one_that_is_closed_changes_no_more():
    kept = Promotions()
    for day in range(MAX_OPEN + 5):
        kept.sold("a", day, 1.0, low=False)
    assert len(kept.days) == MAX_OPEN
    kept.close(3)
    kept.sold("a", 2, 1.0, low=True)
    assert 2 not in kept.days
    assert kept.slopes["a"].n == 3


def test_who_gives_its_place_is_among_the_rest():
    kept = Promotions()
    kept.sold("a", 1, 2.0, low=True)
    kept.sold(OTHER, 1, 1.0, low=None)
    kept.leave("a", OTHER)
    assert kept.days == {1: {OTHER: Went(3_000, 2_000, 2_000)}}


def test_a_brand_that_wins_by_its_promotions_is_told_from_one_that_does_not():
    draw, book = np.random.default_rng(3), BrandBook("GBP")
    tastes, number = {f"c{n}": {} for n in range(200)}, 0
    for day in range(200):
        low = {"ash": draw.random() < 0.3, "birch": draw.random() < 0.3}
        for _ in range(40):
            brand = "ash" if draw.random() < (0.7 if low["ash"] else 0.4) else "birch"
            body = {
                "type": "purchase", "event_id": str(number), "customer_id": f"c{draw.integers(200)}",
                "occurred_at": "2026-01-01T00:00:00Z", "currency": "GBP", "channel": "web",
                "lines": [
                    {"product_id": brand, "brand": brand, "category": "tea", "quantity": 1.0,
                     "unit_price": 1.6 if low[brand] else 2.0}
                ],
            }  # fmt: skip
            number += 1
            event = decode("transactions", msgspec.json.encode(body))
            for row in tell(read(event), tastes[event.customer_id], float(number), day):
                book.bought(row)
        book.close(day)
    report = book.report()
    ash, birch = (report[f"tea:{brand}"]["share_by_promotion"] for brand in ("ash", "birch"))
    assert ash["low"] <= 0.3 <= ash["high"]
    assert ash["low"] > 0.2
    assert birch["low"] <= 0.0 <= birch["high"]
    again = BrandBook("GBP")
    again.restore(book.state())
    assert again.report() == report
