"""Online slopes beside scipy's least squares, and intervals that hold."""

import math
from collections import defaultdict

import msgspec
import numpy as np
import pytest
from scipy import stats

from models.market import price as pricing
from models.market.book import Market
from models.market.price import LEAST, PRODUCTS, SPARE, Prices, Slope
from schemas.events import Purchase
from streams.replay import online_retail


def batch(x, y):
    """Slope and half width by the normal equations."""
    x, y = np.asarray(x), np.asarray(y)
    design = np.column_stack([np.ones_like(x), x])
    inverse = np.linalg.inv(design.T @ design)
    found = inverse @ design.T @ y
    noise = np.sum((y - design @ found) ** 2) / (len(x) - 2)
    return found[1], stats.t.ppf(0.975, len(x) - 2) * math.sqrt(noise * inverse[1, 1])


@pytest.mark.parametrize("seed", range(40))
def test_a_slope_is_that_of_batch_least_squares(seed):
    draw = np.random.default_rng(seed)
    n = int(draw.integers(LEAST, 300))
    x = draw.normal(draw.uniform(-50, 50), draw.uniform(0.1, 3), n)
    y = draw.uniform(-3, 3) * x + draw.normal(0, draw.uniform(0.01, 5), n)
    slope = Slope()
    for point in zip(x.tolist(), y.tolist(), strict=True):
        slope.learn_one(*point)
    found = slope.estimate()
    wanted, half = batch(x, y)
    assert found.slope == pytest.approx(wanted, rel=1e-6, abs=1e-8)
    assert found.high - found.low == pytest.approx(2 * half, rel=1e-6)


def test_points_of_one_price_or_one_quantity():
    flat, still = Slope(), Slope()
    for n in range(LEAST):
        flat.learn_one(1.0, float(n))
        still.learn_one(float(n), 2.0)
    assert flat.estimate() is None
    assert (still.estimate().slope, still.estimate().low) == (0.0, 0.0)


def test_the_interval_holds_while_the_noise_is_unknown():
    draw, inside = np.random.default_rng(5), 0
    for _ in range(600):
        slope, noise = Slope(), draw.uniform(0.1, 3)
        for _ in range(40):
            x = draw.choice([0.0, 0.2, 0.5])
            slope.learn_one(x, -1.5 * x + draw.normal(0, noise))
        found = slope.estimate()
        inside += found.low <= -1.5 <= found.high
    assert 0.92 <= inside / 600 <= 0.98


def test_few_prices_or_points_give_no_estimate():
    prices = Prices()
    for n in range(200):
        prices.learn_one("one price", n, 3, 2.5)
        prices.learn_one("free", n, 3, 0.0)
    prices.close(1_000)
    assert prices.report("one price") is None
    assert prices.report("free") is None
    assert prices.report("nobody") is None


def test_quantity_breaks_are_no_response():
    """Two prices go side by side: none was in force by itself, so nothing is said of it."""
    draw, prices = np.random.default_rng(2), Prices()
    for day in range(400):
        for _ in range(draw.poisson(6) + 1):  # as many invoices whatever the price
            wholesale = draw.random() < 0.3
            prices.learn_one("mug", day, 48 if wholesale else 3, 1.5 if wholesale else draw.choice([2.0, 2.2]))
    prices.close(400)
    report = prices.report("mug")
    assert report["quantity"]["high"] < -3
    assert "response" not in report


def test_an_invoice_of_several_lines_counts_once_for_each_product():
    market = Market()
    for day in range(200):
        price = (1.0, 1.25, 1.6)[day // 7 % 3]
        lines = [["a", 1, price]] * round(8 * price**-2) + [["gift", 1, 0.0]]
        told = {"sign": 1, "main": True, "day": day, "month": 24_000, "hour": 9, "channel": "web"} | {
            "lines": {"c": lines}
        }
        for _ in range(2):
            market.take(told)
    market.take({"close": 200})
    report = market.sums.prices.report("a")
    assert report["quantity"]["n"] == 400
    assert report["quantity"]["slope"] == pytest.approx(-2, abs=0.1)
    assert report["response"]["slope"] == pytest.approx(0, abs=1e-6)


def test_memory_is_bounded_and_the_restored_has_the_same_future():
    prices = Prices()
    for n in range(PRODUCTS + 3 * SPARE):
        prices.learn_one(f"p{n}", n // 100, 1 + n % 5, 1 + n % 3)
        assert len(prices.products) <= PRODUCTS + SPARE
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(prices), type=Prices)
    for one in (prices, again):
        one.close(30)
        one.learn_one("p5000", 50, 2, 3)
    assert prices == again


def test_whoever_is_new_gets_in_and_what_is_sold_no_more_makes_room(monkeypatch):
    monkeypatch.setattr(pricing, "PRODUCTS", 40)
    monkeypatch.setattr(pricing, "SPARE", 10)
    prices = Prices()
    for day in range(90):
        old = day < 50
        for n in range(40 * old):
            prices.learn_one(f"old{n}", day, 1 + day % 4, (1.0, 1.2, 1.5)[day % 3])
        for n in range(20 * (not old)):
            prices.learn_one(f"new{n}", day, 1 + day % 4, (1.0, 1.2, 1.5)[day % 3])
        for n in range(5):  # each is sold once
            prices.learn_one(f"once{day}.{n}", day, 1, 1.0)
        prices.close(day + 1)
    assert len(prices.products) <= 50
    for n in range(20):
        assert prices.report(f"new{n}")["quantity"]["n"] >= 25


def test_a_purchase_of_new_products_alone_takes_no_pass_over_all_for_each():
    prices, passes = Prices(), 0
    room = Prices._make_room

    def counted(self):
        nonlocal passes
        passes += 1
        room(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Prices, "_make_room", counted)
        for n in range(PRODUCTS + 10_000):
            prices.learn_one(f"p{n}", 0, 1, 1.0)
    assert passes <= 10_000 // SPARE


@pytest.fixture(scope="module")
def lines():
    return [
        (line.product_id, event.occurred_at.toordinal(), line.quantity, line.unit_price)
        for event in online_retail.events(limit=250_000)
        if isinstance(event, Purchase)
        for line in event.lines
        if line.unit_price > 0
    ]


def learned(lines):
    prices = Prices()
    for line in lines:
        prices.learn_one(*line)
    prices.close(10**9)
    return prices


def test_on_a_real_shop_the_estimates_are_the_batch_ones(lines):
    prices, by_product = learned(lines), defaultdict(list)
    for product, _, quantity, price in lines:
        by_product[product].append((math.log(price), math.log(quantity)))
    compared = 0
    for product, points in by_product.items():
        report = prices.report(product)
        if report and "quantity" in report:
            wanted, half = batch(*np.array(points).T)
            assert abs(report["quantity"]["slope"] - wanted) <= half + 1e-9
            compared += 1
    assert compared > 500


def test_shuffled_prices_rarely_raise_an_alarm(lines):
    draw, by_product = np.random.default_rng(3), defaultdict(list)
    for line in lines:
        by_product[line[0]].append(line)
    alarms = asked = 0
    for product, some in by_product.items():
        prices = [line[3] for line in some]
        draw.shuffle(prices)
        report = learned([(*line[:3], price) for line, price in zip(some, prices, strict=True)]).report(product)
        if report and "quantity" in report:
            found = report["quantity"]
            alarms += not found["low"] <= 0 <= found["high"]
            asked += 1
    assert asked > 500
    assert alarms / asked <= 0.06
