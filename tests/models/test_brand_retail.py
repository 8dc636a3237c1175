"""Shares of brands in a real shop beside pandas. The data name no brands: six are made up, by the product's number."""

import msgspec
import pandas as pd
import pytest

from models.brand.book import BrandBook
from models.brand.taste import tell
from models.receipt import read
from schemas.events import Purchase, Refund
from streams.replay import online_retail

LINES = 60_000
BRANDS = ("ash", "birch", "cedar", "dogwood", "elm", "fir")


@pytest.fixture(scope="module")
def retail():
    book, tastes, table, day = BrandBook("GBP"), {}, [], 0
    for event in online_retail.events(limit=LINES):
        if not isinstance(event, Purchase | Refund):
            continue
        lines = tuple(
            msgspec.structs.replace(line, brand=BRANDS[sum(line.product_id.encode()) % 6]) for line in event.lines
        )
        mine = None if event.customer_id is None else tastes.setdefault(event.customer_id, {})
        today = event.occurred_at.toordinal()
        if today > day:
            book.close(today)
            day = today
        told = read(msgspec.structs.replace(event, lines=lines))
        for row in tell(told, mine, event.occurred_at.timestamp(), today):
            book.bought(row)
        sign = 1 if isinstance(event, Purchase) else -1
        table += [
            (event.event_id, event.customer_id, sign, line.category, line.brand, line.quantity, line.unit_price)
            for line in lines
        ]
    names = ["invoice", "customer", "sign", "category", "brand", "quantity", "price"]
    return book, pd.DataFrame(table, columns=names)


def test_each_brands_share_of_its_category_is_that_of_pandas(retail):
    book, frame = retail
    frame = frame.assign(
        revenue=(frame.quantity * frame.price * 10_000).round() / 10_000 * frame.sign, units=frame.quantity * frame.sign
    )
    bought = frame[(frame.sign > 0) & frame.customer.notna()].drop_duplicates(["invoice", "category", "brand"])
    compared = 0
    for category, some in frame.groupby("category"):
        found = book.shares(category)
        revenue, units = some.groupby("brand").revenue.sum(), some.groupby("brand").units.sum()
        purchases = bought[bought.category == category].groupby("brand").size()
        for brand, one in found["brands"].items():
            if revenue.sum() > 0:  # fees and discounts of `service` may come to less than nothing
                assert one["revenue_share"] == pytest.approx(revenue[brand] / revenue.sum(), abs=1e-9)
            assert one["unit_share"] == pytest.approx(units[brand] / units.sum())
            assert one["purchase_share"] == pytest.approx(purchases.get(brand, 0) / purchases.sum())
            compared += 1
        if revenue.sum() > 0:
            assert found["concentration"] == pytest.approx(((revenue / revenue.sum()) ** 2).sum())
        assert list(found["brands"]) == list(revenue.sort_values(ascending=False).index)
    assert compared == len(frame.drop_duplicates(["category", "brand"]))
    assert book.shares("nobody sells it") == {}


def test_who_buys_a_brand_and_how_often_is_that_of_pandas(retail):
    book, frame = retail
    bought = frame[(frame.sign > 0) & frame.customer.notna()].drop_duplicates(["invoice", "category", "brand"])
    report = book.report()
    for (category, brand), some in bought.groupby(["category", "brand"]):
        in_category = bought[bought.category == category]
        counts, all_ = some.groupby("customer").size(), in_category.groupby("customer").size()
        found = report[f"{category}:{brand}"]
        assert (found["buyers"], found["purchases"]) == (len(counts), counts.sum())
        assert found["penetration"] == pytest.approx(len(counts) / len(all_))
        assert found["repeat_rate"] == pytest.approx((counts > 1).mean())
