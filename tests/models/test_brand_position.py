"""Sums over customers against pandas; expectations against scipy; images against counting."""

import msgspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from models.brand.book import BrandBook
from models.brand.dirichlet import expected, fit, negative_binomial
from models.brand.image import MAX_BRANDS as MAX_BRANDS_SPOKEN
from models.brand.image import MAX_DAYS, MAX_WAITING, MAX_WORDS, DaySaid, Image, Images, shift, wilson
from models.brand.prices import UsualPrices
from models.brand.standings import MAX_BRANDS, OTHER
from models.brand.sums import SWITCH_FADE, CategorySums
from models.brand.taste import SEGMENT, tell
from models.receipt import read
from schemas.codec import decode
from schemas.events import Alternative
from schemas.state import Taste

BRANDS = ("ash", "birch", "cedar", "dogwood")


def sale(kind, number, customer, lines):
    body = {
        "type": kind, "event_id": str(number), "customer_id": customer, "occurred_at": "2026-01-01T00:00:00Z",
        "currency": "GBP", "channel": "web",
        "lines": [
            {"product_id": b, "brand": b, "category": "tea", "quantity": q, "unit_price": p} for b, q, p in lines
        ],
    }  # fmt: skip
    return decode("transactions", msgspec.json.encode(body))


def panel(seed, n=600, customers=40):
    """Purchases and refunds of one category, some anonymous: (kind, customer, lines) in order."""
    draw = np.random.default_rng(seed)
    for _ in range(n):
        customer = None if draw.random() < 0.1 else f"c{draw.integers(customers)}"
        chosen = draw.choice(4, size=draw.integers(1, 3), replace=False, p=(0.5, 0.3, 0.15, 0.05))
        lines = [(BRANDS[j], float(draw.integers(1, 4)), float(draw.integers(2, 9)) / 2) for j in chosen]
        yield ("refund" if draw.random() < 0.1 else "purchase"), customer, lines


def fed(rows):
    book, tastes = BrandBook("GBP"), {}
    for number, (kind, customer, lines) in enumerate(rows):
        mine = None if customer is None else tastes.setdefault(customer, {})
        for row in tell(read(sale(kind, number, customer, lines)), mine, float(number), number // 20):
            row["told"][SEGMENT] = "" if customer is None else str(len(customer) % 2)
            book.bought(row)
    return book


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_figure_agrees_with_pandas(seed):
    rows = list(panel(seed))
    report = fed(rows).report()
    frame = pd.DataFrame(
        [
            {"n": n, "kind": kind, "customer": customer, "brand": b, "units": q, "amount": q * p}
            for n, (kind, customer, lines) in enumerate(rows)
            for b, q, p in lines
        ]
    )
    sign = frame.kind.map({"purchase": 1, "refund": -1})
    revenue, units = (frame.amount * sign).groupby(frame.brand).sum(), (frame.units * sign).groupby(frame.brand).sum()
    known = frame[(frame.kind == "purchase") & frame.customer.notna()]
    occasions = known.drop_duplicates(["n", "brand"]).groupby("customer").size()
    counts = known.groupby(["brand", "customer"]).n.nunique()
    for brand in BRANDS:
        mine, found = counts[brand], report[f"tea:{brand}"]
        assert found["revenue"] == pytest.approx(revenue[brand])
        assert found["revenue_share"] == pytest.approx(revenue[brand] / revenue.sum())
        assert found["unit_share"] == pytest.approx(units[brand] / units.sum())
        assert (found["buyers"], found["purchases"]) == (len(mine), mine.sum())
        assert found["penetration"] == pytest.approx(len(mine) / len(occasions))
        assert found["purchases_per_buyer"] == pytest.approx(mine.mean())
        assert found["share_of_requirements"] == pytest.approx(mine.sum() / occasions[mine.index].sum())
        assert found["repeat_rate"] == pytest.approx((mine > 1).mean())
        position = revenue[brand] / units[brand] / (revenue.sum() / units.sum())
        assert found["price_position"] == pytest.approx(position)


def test_switching_is_what_followed_what_older_ones_weighing_less():
    rows = [row for row in panel(4) if row[0] == "purchase" and row[1] is not None and len(row[2]) == 1]
    report = fed(rows).report()
    last, weights, number = {}, {}, 0
    total = sum(1 for n, row in enumerate(rows) if any(one[1] == row[1] for one in rows[:n]))
    for _, customer, [(brand, _, _)] in rows:
        if customer in last:
            number += 1
            key = (last[customer], brand)
            weights[key] = weights.get(key, 0.0) + SWITCH_FADE ** (total - number)
        last[customer] = brand
    for one in BRANDS:
        row = sum(weight for (before, _), weight in weights.items() if before == one)
        assert report[f"tea:{one}"]["repeats"] == pytest.approx(weights.get((one, one), 0.0) / row)
        for other, share in report[f"tea:{one}"]["switches_to"].items():
            assert share == pytest.approx(weights[one, other] / row, abs=1e-4)


def test_segments_are_an_index_against_all():
    rows = [("purchase", "a", [("ash", 1.0, 1.0)])] * 3 + [("purchase", "bb", [("birch", 1.0, 1.0)])] * 1
    report = fed(rows).report()
    assert report["tea:ash"]["segments"] == {"0": 0, "1": 133}
    assert report["tea:birch"]["segments"] == {"0": 400, "1": 0}


def test_more_brands_than_are_kept_are_together_and_a_busy_one_takes_a_place():
    sums = CategorySums()
    for number in range(MAX_BRANDS + 10):
        sums.bought(Taste(), [f"brand {number}"], f"brand {number}", "")
        sums.sold(f"brand {number}", 0, 1.0, 10_000)
    assert len(sums.shown()) == MAX_BRANDS + 1
    assert sums.shown()[OTHER].units == 10.0
    for _ in range(10):
        sums.bought(Taste(), ["late star"], "late star", "")
        sums.sold("late star", 0, 1.0, 10_000)
    shown = sums.shown()
    assert len(shown) == MAX_BRANDS + 1
    assert (shown["late star"].units, shown["late star"].purchases) == (10.0, 10)
    assert sum(one.units for one in shown.values()) == MAX_BRANDS + 20
    assert sum(one.purchases for one in shown.values()) == MAX_BRANDS + 20


def test_many_rare_brands_push_out_no_steady_one():
    sums, steady = CategorySums(), [f"brand {number}" for number in range(MAX_BRANDS)]
    for day in range(40):
        for brand in (*steady, *(f"rare {day} {number}" for number in range(60))):
            sums.bought(Taste(), [brand], brand, "")
            sums.sold(brand, day, 1.0, 10_000)
    assert set(sums.shown()) == {*steady, OTHER}
    assert {sums.brands[brand].units for brand in steady} == {40.0}


def test_low_is_below_the_usual_price_of_the_days_before():
    prices = UsualPrices()
    told = [(10.0, 1), (8.0, 1), (10.0, 2), (8.0, 2), (8.0, 2), (8.3, 3), (0.0, 3)]
    usual = np.sqrt(80.0)
    assert [prices.is_low("p", *one) for one in told] == [None, None, False, True, True, True, None]
    assert prices.kept["p"].log == pytest.approx(
        np.log(usual) + 0.1 * ((np.log(10) + 2 * np.log(8)) / 3 - np.log(usual))
    )


def test_share_when_promoted_counts_only_choices_where_it_was_on_offer():
    book, tastes = BrandBook("GBP"), {}
    for number in range(8):
        deal = number % 2 == 0
        chosen = "ash" if deal else "birch"
        body = sale("purchase", number, "a", [(chosen, 1.0, 2.0)])
        could = (
            Alternative(brand="ash", unit_price=2.0, promoted=deal),
            Alternative(brand="birch", unit_price=2.0, promoted=False),
        )
        event = msgspec.structs.replace(body, lines=(msgspec.structs.replace(body.lines[0], alternatives=could),))
        for row in tell(read(event), tastes, float(number), 0):
            book.bought(row)
    found = book.report()["tea:ash"]
    assert (found["share_when_promoted"], found["share_at_usual_price"]) == (1.0, 0.0)


@given(st.floats(0.01, 0.9), st.floats(0.05, 50.0), st.lists(st.floats(0.0, 100.0), min_size=2, max_size=12))
def test_expectations_are_those_of_the_beta_binomial(share, strength, purchases):
    purchases = [0.0, *purchases[:-1], purchases[-1] + 1.0]
    found = expected(share, strength, purchases)
    n, h = np.arange(1, len(purchases)), np.array(purchases[1:])
    oracle = stats.betabinom(n, share * strength, (1 - share) * strength)
    none, one = oracle.pmf(0), oracle.pmf(1)
    reached = (h * (1 - none)).sum()
    assert found.penetration == pytest.approx(reached / h.sum(), rel=1e-6)
    assert found.purchases_per_buyer == pytest.approx((h * oracle.mean()).sum() / reached, rel=1e-6)
    assert found.share_of_requirements == pytest.approx(
        (h * oracle.mean()).sum() / (n * h * (1 - none)).sum(), rel=1e-6
    )
    assert found.repeat_rate == pytest.approx((h * (1 - none - one)).sum() / reached, rel=1e-6, abs=1e-9)


@given(st.floats(0.2, 8.0), st.floats(0.1, 5.0))
def test_the_negative_binomial_has_the_mean_and_the_zeros_it_was_given(mean, k):
    zero = stats.nbinom.pmf(0, k, k / (k + mean))
    found = negative_binomial(mean, zero)
    assert found[0] == pytest.approx(zero, rel=1e-4)
    assert found[:9] == pytest.approx(stats.nbinom.pmf(np.arange(9), k, k / (k + mean)), rel=1e-2)
    assert negative_binomial(mean, np.exp(-mean) / 2) is None  # fewer without than chance leaves


def test_the_strength_of_a_simulated_market_is_found_again():
    draw = np.random.default_rng(5)
    shares, strength = np.array([0.5, 0.3, 0.2]), 1.5
    counts = draw.poisson(4, 12_000)
    tastes = draw.dirichlet(shares * strength, 12_000)
    bought = np.array([draw.multinomial(n, p) for n, p in zip(counts, tastes, strict=True)])
    seen = np.bincount(counts).astype(float)
    reach = (bought > 0).sum(axis=0) / (counts > 0).sum()
    own = bought.sum(axis=0) / bought.sum()
    found = fit(dict(zip("abc", own, strict=True)), dict(zip("abc", reach, strict=True)), seen.tolist())
    assert found == pytest.approx(strength, rel=0.1)
    for share, penetration in zip(own, reach, strict=True):
        assert expected(float(share), found, seen.tolist()).penetration == pytest.approx(penetration, rel=0.03)


def test_double_jeopardy_small_brands_have_fewer_buyers_who_buy_less_often():
    seen = [0.0, 30.0, 20.0, 10.0, 5.0]
    small, big = expected(0.1, 1.0, seen), expected(0.6, 1.0, seen)
    assert small.penetration < big.penetration
    assert small.purchases_per_buyer < big.purchases_per_buyer


@pytest.mark.parametrize(("at_once", "tolerance"), [(1, 0.12), (2, 0.25)])
def test_a_brand_nobody_prefers_is_as_expected(at_once, tolerance):
    """Purchases drawn from a Dirichlet market, also of two brands at once: each is as was to be expected of its size."""
    draw, rows = np.random.default_rng(6), []
    for customer in range(800):
        taste = draw.dirichlet((0.9, 0.6, 0.3, 0.2))
        for _ in range(6 // at_once):
            chosen = dict.fromkeys(str(brand) for brand in draw.choice(BRANDS, p=taste, size=at_once))
            rows.append(("purchase", f"c{customer}", [(brand, 1.0, 1.0) for brand in chosen]))
    report = fed([rows[n] for n in draw.permutation(len(rows))]).report()
    # who draws the same brand twice at once buys it once: how often is then not the model's
    names = ("penetration", "share_of_requirements", "purchases_per_buyer", "repeat_rate")[: 4 // at_once]
    for brand in BRANDS:
        found = report[f"tea:{brand}"]
        for name in names:
            assert found[name] == pytest.approx(found["expected"][name], rel=tolerance), (brand, name)


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 100), st.booleans()), min_size=1, max_size=300))
def test_an_image_counts_each_day_and_is_bounded(said):
    image = Image()
    for day, negative in said:
        image.add(day, float(negative), None, 1.0 if negative else 5.0)
        assert len(image.days) <= MAX_DAYS
    newest = max(day for day, _ in said)
    mine = [negative for day, negative in said if day == newest]
    report = image.report()
    assert (report["day"], report["sayings"], report["sayings_of_day"]) == (newest, len(said), len(mine))
    assert report["negative_share"] == pytest.approx(sum(mine) / len(mine))
    assert report["negative_low"] <= report["negative_share"] <= report["negative_high"]


def test_words_are_bounded_and_the_strongest_stay():
    image = Image()
    for number in range(300):
        image.heard(5, {f"word{number}": 0.1, "late": 1.0})
    image.add(0, 1.0, None, None)
    assert len(image.words) <= MAX_WORDS
    assert next(iter(image.report()["words"])) == "late"


def test_words_and_shares_are_told_by_day():
    image = Image()
    for day in range(40):
        for _ in range(2):
            image.heard(day, {"fine": -1.0})
            image.add(day, 0.0, None, 5.0)
    image.heard(40, {"broken": 0.5})
    image.heard(39, {"late": 9.0})  # of a day that is over
    image.add(40, 1.0, None, 1.0)
    report = image.report()
    assert report["words_of_day"] == {"broken": 0.5}
    assert next(iter(report["words"])) == "fine"
    assert [one["day"] for one in report["days"]] == [*range(27, 41)]
    assert [one["negative_share"] for one in report["days"]] == [0.0] * 13 + [1.0]
    newest = report["days"][-1]
    assert (newest["sayings"], newest["negative_low"]) == (1, round(report["negative_low"], 4))
    image.add(41, 1.0, None, 1.0)  # stars without a text
    assert image.report()["words_of_day"] == {}


def spoken(book, brands, day=0):
    for brand in brands:
        book.said({"at": 0.0, "day": day, "brand": brand, "category": "tea", "rating": 2.0, "text": None})
    return book


def sayings(book):
    return {name: one["image"]["sayings"] for name, one in book.report().items() if "image" in one}


def test_brands_spoken_of_are_bounded_and_all_that_have_a_name_are_whole():
    some = [f"b{number}" for number in range(300)]
    book = spoken(BrandBook("GBP"), some * 12)
    assert sayings(book) == dict.fromkeys([f"tea:b{number}" for number in range(MAX_BRANDS_SPOKEN)], 12)
    spoken(book, some[-1:] * 40)  # it is told apart, and brings along what was said before
    found = sayings(book)
    assert (len(found), found["tea:b299"]) == (MAX_BRANDS_SPOKEN, 52)
    spoken(book, [f"rare {number}" for number in range(1_000)])
    assert len(book.images.brands) == MAX_BRANDS_SPOKEN + MAX_WAITING
    assert sayings(book) == found


def test_who_is_spoken_of_no_more_gives_its_place_to_who_is():
    book = spoken(BrandBook("GBP"), [f"b{number}" for number in range(MAX_BRANDS_SPOKEN)] * 20)
    for day in range(120):
        spoken(book, ["new"] * 2, day)
        book.close(day + 1)
    again = BrandBook("GBP")
    again.restore(book.state())
    assert sayings(again) == sayings(book)
    assert sayings(book)["tea:new"] == 240


def test_images_of_before_there_were_places_are_kept():
    old = {"brands": {"tea:ash": msgspec.to_builtins(Image(count=7)), "tea:birch": msgspec.to_builtins(Image(count=2))}}
    images = msgspec.convert(old, Images)
    assert images.places.active == {"tea:ash": 7.0, "tea:birch": 2.0}
    assert set(images.shown()) == {"tea:ash", "tea:birch"}


def test_the_interval_covers_as_it_says():
    draw = np.random.default_rng(7)
    inside = 0
    for _ in range(2_000):
        low, high = wilson(float(draw.binomial(40, 0.3)), 40)
        inside += low <= 0.3 <= high
    assert 0.76 < inside / 2_000 < 0.86


def test_a_shift_is_told_from_chance():
    draw = np.random.default_rng(8)

    def alarms(share, days):
        found = 0
        for _ in range(days):
            before = [DaySaid(60, float(draw.binomial(60, 0.3))) for _ in range(20)]
            found += shift(float(draw.binomial(60, share)), 60, before) != ""
        return found / days

    assert alarms(0.3, 400) < 0.02
    assert alarms(0.6, 200) > 0.8
    assert shift(5.0, 5, [DaySaid(60, 3.0)]) == ""


@pytest.mark.parametrize("sizes", [(30,), (10, 20, 30, 300)])
@pytest.mark.parametrize("among", [range(1, 2), range(2, 5), range(5, 10), range(10, 25)])
def test_days_that_differ_by_more_than_chance_raise_no_alarm_however_few_they_are(among, sizes):
    draw, found = np.random.default_rng(9), []
    for _ in range(200):
        days = []
        for _ in range(among.stop + 1):
            count = int(draw.choice(sizes))
            days.append(DaySaid(count, float(draw.binomial(count, draw.beta(6, 14)))))
        found += [shift(days[n].negative, days[n].count, days[:n]) != "" for n in among]
    assert np.mean(found) < 0.01  # three standard errors are .0027


def test_a_large_shift_is_told_once_days_have_shown_how_they_differ():
    draw = np.random.default_rng(10)

    def alarms(days):
        before = [[DaySaid(60, float(draw.binomial(60, 0.3))) for _ in range(days)] for _ in range(200)]
        return np.mean([shift(float(draw.binomial(60, 0.6)), 60, some) == "up" for some in before])

    assert alarms(3) < 0.05
    assert alarms(12) > 0.65
    assert alarms(30) > 0.85
