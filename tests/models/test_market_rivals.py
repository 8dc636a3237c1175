"""Competitors' prices and a market's volume beside ours."""

import math
from datetime import UTC, datetime

import pytest

from models.market import rivals
from models.market.book import Market
from models.market.tell import observed, tell
from models.policy import Policy
from models.receipt import read
from schemas.events import Line, Observation, Purchase


def sold(day, lines, sign=1, category="tea"):
    return {
        "sign": sign, "main": True, "day": day, "month": 12 * 2026, "hour": 9, "channel": "web",
        "lines": {category: lines},
    }  # fmt: skip


def seen(series, value, day, unit="GBP"):
    return {"series": series, "value": value, "unit": unit, "day": day}


def report(*rows, close=None):
    market = Market()
    for row in rows:
        market.take(row)
    if close is not None:
        market.take({"close": close})
    return market, market.report("GBP")


def test_a_price_index_is_the_geometric_mean_over_the_products_that_both_sell():
    shop = [sold(10, [["earl", 1, 3.0], ["green", 2, 8.0], ["mate", 1, 1.0]])]
    theirs = [
        seen("price:Rival & Co:earl", 2.0, 4),
        seen("price:Rival & Co:green", 10.0, 9),
        seen("price:Rival & Co:x", 1.0, 9),
    ]
    market, found = report(*shop, *theirs)
    [index] = found["tea"]["competitors"]["price_index"].values()
    assert index["index"] == pytest.approx(100 * math.sqrt(3 / 2 * 8 / 10), abs=0.05)
    assert (index["products"], index["cheapest"], index["dearest"], index["oldest_days"]) == (2, "green", "earl", 6)
    assert found["all"]["competitors"]["price_index"]["Rival & Co"] == index
    product = market.product("earl", "GBP")["competitors"]["Rival & Co"]
    assert product == {"value": 2.0, "unit": "GBP", "day": 4, "index": 150.0}
    assert "earl" in market.changed


def test_a_price_in_another_currency_is_shown_and_not_compared():
    market, found = report(
        sold(10, [["earl", 1, 3.0]]), seen("price:Rival:earl", 2.0, 4, "EUR"), seen("weather", -3.0, 9, "C")
    )
    assert found["tea"]["competitors"] == {}
    assert found["all"]["observed"]["price:Rival:earl"] == {"value": 2.0, "unit": "EUR", "day": 4, "age_days": 6}
    assert found["all"]["observed"]["weather"]["value"] == -3.0
    assert "index" not in market.product("earl", "GBP")["competitors"]["Rival"]


def test_our_price_is_that_of_late():
    market, _ = report(
        *(sold(day, [["earl", 1, 4.0 if day < 40 else 2.0]]) for day in range(100)), seen("price:R:earl", 2.0, 99)
    )
    assert market.product("earl", "GBP")["competitors"]["R"]["index"] == pytest.approx(100, abs=0.5)


def test_product_ids_may_hold_colons():
    market, _ = report(sold(1, [["a:b:c", 1, 4.0]]), seen("price:R:a:b:c", 2.0, 1))
    assert market.product("a:b:c", "GBP")["competitors"]["R"]["index"] == 200.0


@pytest.mark.parametrize(
    ("value", "unit", "share"),
    [(100.0, "GBP/day", 0.12), (700.0, "GBP/week", 0.12), (36_525.0, "GBP/year", 0.12), (60.0, "units/week", 0.7)],
)
def test_the_share_of_a_market_is_our_last_thirty_days_over_its_volume(value, unit, share):
    sales = [sold(day, [["earl", 1, 2.0], ["green", 1, 1.0]]) for day in range(100) for _ in range(4)]
    refunds = [sold(day, [["earl", 1, 2.0]], sign=-1) for day in range(100)]
    rows = sorted([*sales, *refunds], key=lambda row: row["day"])
    _, found = report(*rows, seen("volume:tea", value, 90, unit), close=100)
    ours = found["tea"]["competitors"]["market_share"]
    revenue, units = 4 * 3.0 - 2.0, 8.0
    of = revenue if unit.startswith("GBP") else units
    period = {"day": 1, "week": 7, "year": 365.25}[unit.split("/")[1]]
    assert ours["share"] == pytest.approx(of * period / value)
    assert (ours["unit"], ours["age_days"]) == (unit, 9)


@pytest.mark.parametrize(
    ("value", "unit"), [(0.0, "GBP/day"), (5.0, "GBP"), (5.0, "EUR/day"), (5.0, "units/fortnight")]
)
def test_a_volume_that_cannot_be_compared_is_no_share(value, unit):
    _, found = report(sold(1, [["earl", 1, 2.0]]), seen("volume:tea", value, 1, unit), close=2)
    assert "market_share" not in found["tea"]["competitors"]
    assert found["all"]["observed"]["volume:tea"]["unit"] == unit


def test_series_are_bounded_and_the_one_seen_longest_ago_makes_room(monkeypatch):
    monkeypatch.setattr(rivals, "SERIES", 3)
    rows = [seen(f"price:R:p{n}", 1.0 + n, n) for n in range(3)] + [
        seen("price:R:p0", 9.0, 5),
        seen("price:R:p3", 1.0, 6),
    ]
    market, _ = report(*rows, sold(6, [["p1", 1, 2.0], ["p0", 1, 9.0]]))
    assert list(market.sums.observed.series) == ["price:R:p2", "price:R:p0", "price:R:p3"]
    assert set(market.sums.observed.sellers) == {"p0", "p2", "p3"}
    assert market.product("p1", "GBP") == {}
    again = Market.restore(market.state())
    assert again.report("GBP") == market.report("GBP")


@pytest.mark.parametrize("days", [1, 10, 29, 31, 90])
def test_a_young_shop_is_compared_over_the_days_that_there_are(days):
    sales = [sold(day, [["earl", 1, 30.0]]) for day in range(days)]
    _, found = report(*sales, seen("volume:tea", 60.0, 0, "GBP/day"), close=days)
    assert found["tea"]["competitors"]["market_share"]["share"] == pytest.approx(0.5)


def test_names_are_cut_part_by_part_as_those_they_must_match():
    at, long = datetime(2026, 1, 5, tzinfo=UTC), "www.a-long-competitor.example"
    ids = [f"11111111-2222-3333-4444-{n:012d}" for n in range(2)]
    category = "Home and garden > Outdoor furniture > Chairs, benches and loungers, and more of them"
    line = [Line(product_id=one, quantity=1, unit_price=10.0, category=category) for one in ids]
    bought = Purchase(event_id="p", customer_id=None, occurred_at=at, currency="GBP", channel="web", lines=tuple(line))
    names = [*(f"price:{long}:{one}" for one in ids), f"volume:{category}"]
    rows = [tell(read(bought), None, Policy())]
    for n, name in enumerate(names):
        unit = "GBP" if name.startswith("price") else "GBP/day"
        event = Observation(event_id=name, occurred_at=at, series=name, value=8.0 + n, unit=unit)
        rows.append(observed(event, Policy()))
    market, found = report(*rows, close=rows[0]["day"] + 1)
    assert [market.product(one, "GBP")["competitors"][long]["value"] for one in ids] == [8.0, 9.0]
    assert found[category[:64]]["competitors"]["market_share"]["share"] == pytest.approx(2.0)
    other = Observation(event_id="x", occurred_at=at, series="x" * 100, value=1.0, unit="C")
    assert observed(other, Policy())["series"] == "x" * 64


def test_what_is_shown_of_a_product_does_not_change_by_the_passing_of_days():
    market, _ = report(sold(10, [["earl", 1, 3.0]]), seen("price:R:earl", 2.0, 4))
    before = market.product("earl", "GBP")
    market.changed.clear()
    market.take(seen("weather", 1.0, 300, "C"))
    assert not market.changed
    assert market.product("earl", "GBP") == before
