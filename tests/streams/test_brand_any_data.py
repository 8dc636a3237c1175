"""Brands, sentiment and demand on data of all kinds: no worker stops, no figure is none, no share exceeds 1."""

import io
import itertools
import math
import random
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from models.brand.book import COLD, BrandBook
from models.brand.taste import tell
from models.market.book import Market
from models.market.demand import ALL
from models.market.outlook import GROWTH, TRIVIAL, Outlook
from models.market.rivals import Observed
from models.market.tell import observed
from models.policy import Policy
from models.receipt import read
from models.shard import Shop
from schemas.codec import Poison, decode
from schemas.events import Alternative, Feedback, Line, Observation, Purchase, Refund
from streams.backtest import backtest
from streams.metrics import Metrics
from streams.reporting.plain import Plain
from streams.reporting.summary_market import brands, markets, show_brand, show_market

SHOP = Shop(Policy(currency="GBP"), partitions=2)
AT = datetime(2026, 1, 1, tzinfo=UTC)
SHARES = (
    "penetration", "repeat_rate", "share_of_requirements", "purchase_share", "bought_low", "repeats",
    "share_at_usual_price", "share_when_promoted",
)  # fmt: skip
SETTLED = ("revenue_share", "unit_share")
"""Shares less what came back: below 0 where that was more."""
ODD = (
    "a:b",
    "c",
    "Ärger & Söhne",
    "名前",
    "e f",
    ":",
    "%3A",
    "other brands",
    "x" * 500,
    "\u200b",
    "👍",
    "null",
    "\x00",
)


def sale(number, customer, lines, kind=Purchase):
    return kind(
        event_id=f"{kind.__name__}{number}", customer_id=customer, occurred_at=AT + timedelta(hours=2 * number),
        currency="GBP", channel="web", lines=tuple(lines),
    )  # fmt: skip


def line(brand, category="tea", price=2.0, could=None, quantity=1.0):
    return Line(
        product_id=f"p-{brand}"[:512], quantity=quantity, unit_price=price, category=category, brand=brand,
        alternatives=could,
    )  # fmt: skip


def said(number, **given):
    what = {"customer_id": None, "brand": "ash", "source": "mail", "category": "tea"} | given
    return Feedback(event_id=f"f{number}", occurred_at=AT + timedelta(hours=2 * number), **what)


def choices(n=120, brands=("ash", "birch", "cedar"), customers=9, **given):
    draw = random.Random(1)
    for number in range(n):
        yield sale(number, f"c{draw.randrange(customers)}", [line(draw.choice(brands), **given)])


def panel(which, price=2.0, *, promoted=None):
    """Choices of which some, or some brands of each, say what else there was."""
    draw = random.Random(2)
    for number in range(160):
        brand = draw.choice("abcd")
        could = tuple(
            Alternative(brand=name, unit_price=price, promoted=draw.random() < 0.3 if promoted is None else promoted)
            for name in "abcd"
            if which(draw, name, brand)
        )
        yield sale(number, f"c{draw.randrange(12)}", [line(brand, price=price or 0.0, could=could or None)])


TEXTS = (
    "サービスが悪い", "很好 谢谢", "บริการแย่มาก", "मेरा सामान खो गया", "שירות גרוע", "خدمة سيئة", "", "   ", "👍👍", "☹️", "👩‍👩‍👧", "!!!", "\x00",
    "late " * 2_000, "x" * 10_000, "悪" * 10_000, "http://t.co/x", "İstanbul", "naïve café", "\n\t",
)  # fmt: skip
CASES = {
    "no alternatives": lambda: panel(lambda *_: False),
    "some choices have alternatives": lambda: panel(lambda draw, *_: draw.random() < 0.3),
    "without the brand bought": lambda: panel(lambda _, name, brand: name != brand),
    "only the brand bought": lambda: panel(lambda _, name, brand: name == brand),
    "no prices": lambda: panel(lambda *_: True, price=None),
    "all promoted": lambda: panel(lambda *_: True, promoted=True),
    "nobody says what is promoted": lambda: panel(lambda *_: True, promoted=None),
    "zero prices": lambda: panel(lambda *_: True, price=0.0),
    "free of charge": lambda: choices(price=0.0),
    "next to nothing": lambda: choices(price=1e-9, quantity=1e-9),
    "very much": lambda: choices(price=1e5, quantity=1e5),
    "one brand": lambda: choices(brands=("ash",)),
    "one brand and others on offer": lambda: panel(lambda _, name, brand: True),
    "500 brands": lambda: choices(700, [f"brand {n}" for n in range(500)]),
    "customers of 200 brands": lambda: choices(700, [f"brand {n}" for n in range(200)], customers=2),
    "a customer of ten brands in turn": lambda: (sale(n, "a", [line(f"b{n % 10}")]) for n in range(200)),
    "200 brands in one purchase": lambda: (sale(n, "a", [line(f"b{m}") for m in range(200)]) for n in range(4)),
    "100 categories": lambda: (sale(n, f"c{n % 7}", [line("ash", f"shelf {n % 100}")]) for n in range(300)),
    "odd names": lambda: (
        sale(n, f"c{n % 5}", [line(brand, category)])
        for n, (brand, category) in enumerate(itertools.product(ODD, (*ODD, None)))
    ),
    "odd names among offers": lambda: choices(
        120, ODD, could=tuple(Alternative(brand=name, unit_price=1.0, promoted=False) for name in ODD)
    ),
    "refunds alone": lambda: (sale(n, f"c{n % 3}", [line("abc"[n % 3])], Refund) for n in range(30)),
    "refunds of another brand": lambda: (
        sale(n, f"c{n % 3}", [line("ash" if n % 2 else f"never {n % 40}")], (Refund, Purchase)[n % 2]) for n in range(90)
    ),
    "nobody is named": lambda: (sale(n, None, [line("abc"[n % 3])]) for n in range(60)),
    "texts of all kinds": lambda: (
        said(n, text=text, rating=(None, 1.0, 3.0, 5.0)[n % 4], brand=ODD[n % len(ODD)]) for n, text in enumerate(TEXTS * 6)
    ),
    "ratings alone": lambda: (said(n, rating=1.0 + n % 5) for n in range(60)),
    "texts alone": lambda: (said(n, text="my bag is lost") for n in range(60)),
    "neither": lambda: (said(n) for n in range(20)),
    "no category, a customer": lambda: (
        said(n, category=None, customer_id=(None, "c1")[n % 2], rating=2.0, text="late") for n in range(60)
    ),
    "observations of anything": lambda: (
        Observation(event_id=f"o{n}", occurred_at=AT + timedelta(hours=n), series=series, value=value, unit=unit)
        for n, (series, value, unit) in enumerate(
            itertools.product(
                ("?", "price:", "price::", "price:x:p-ash", "volume:", "volume:tea", "volume:all", "価格", "a" * 500),
                (-1.0, 0.0, 1e15, -1e15, 1e-300), ("GBP", "EUR", "GBP/day", "units/week", "/", "kg/month"),
            )
        )
    ),
}  # fmt: skip


def numbers(found):
    if isinstance(found, dict):
        for one in found.values():
            yield from numbers(one)
    elif isinstance(found, list | tuple):
        for one in found:
            yield from numbers(one)
    elif isinstance(found, float):
        yield found


@pytest.mark.parametrize("case", CASES)
def test_whatever_comes_is_counted_learned_and_shown(case):
    events = sorted(CASES[case](), key=lambda event: event.occurred_at)
    usual = [msgspec.structs.replace(one, event_id=f"usual {one.event_id}") for one in choices(30, price=3.0)]
    mixed = sorted([*events, *usual], key=lambda event: event.occurred_at)
    for some in (events, mixed):
        test = backtest(some, SHOP)
        report = test.report()
        assert report["events"]["scored"] == len(some)
        assert all(math.isfinite(one) for one in numbers([report["brands"], report["market"], report["tasks"]]))
        for name, one in report["brands"].items():
            for share in SHARES:
                assert one.get(share) is None or 0 <= one[share] <= 1, (name, share)
            for share in SETTLED:
                assert one.get(share) is None or one[share] <= 1 or "refund" in case
        for fields in test.ledger.scores.values():
            assert "loyalty" not in fields or 0 < float(fields["loyalty"]) < 1
        console = Plain(file=io.StringIO(), width=200)
        brands(console, report["brands"])
        markets(console, report["market"])
        for name, one in report["brands"].items():
            show_brand(console, name, one)
        for name, one in report["market"].items():
            show_market(console, name, one)
        Metrics(CollectorRegistry()).learning(test.learning, report)
        msgspec.json.encode(report)


@pytest.mark.parametrize("text", [b'""', b'"\\ud800"', b"7", b"[]"])
def test_a_brand_that_is_no_name_is_a_dead_letter(text):
    body = msgspec.json.encode(sale(1, "a", [line("ash")]))
    with pytest.raises(Poison):
        decode("transactions", body.replace(b'"brand":"ash"', b'"brand":' + text))


def test_names_with_colons_are_different_brands():
    book = BrandBook("GBP")
    for brand, category in (("b:c", "a"), ("c", "a:b"), ("c", "a%3Ab")):
        for row in tell(read(sale(0, None, [line(brand, category)])), None, 0.0, 0):
            book.bought(row)
    assert set(book.report()) == {"a:b:c", "a%3Ab:c", "a%253Ab:c"}


def learned(events):
    book, tastes = BrandBook("GBP"), {}
    for event in events:
        at = event.occurred_at.timestamp()
        for row in tell(read(event), tastes.setdefault(event.customer_id, {}), at, event.occurred_at.toordinal()):
            book.bought(row)
    return book.tasks()["brand_choice"]


@pytest.mark.parametrize(
    "which",
    [
        lambda *_: False, lambda draw, *_: draw.random() < 0.5, lambda _, name, brand: name != brand,
        lambda draw, name, brand: name != brand and draw.random() < 0.5,
    ],
)  # fmt: skip
def test_who_serves_a_choice_without_a_pattern_is_no_worse_than_the_trivial_answers(which):
    task = learned(
        msgspec.structs.replace(event, event_id=f"{n}-{event.event_id}")
        for n, event in enumerate([*panel(which)] * 5)
    )  # fmt: skip
    found = task["models"] | task["baselines"]
    assert found[task["champion"]]["log_loss"] < found["own_share"]["log_loss"] + 0.01


def test_habit_is_found_without_any_alternatives():
    draw, mine = random.Random(3), {f"c{n}": "abcd"[n % 4] for n in range(20)}

    def habits():
        for number in range(1_000):
            who = f"c{draw.randrange(20)}"
            yield sale(number, who, [line(mine[who] if draw.random() < 0.8 else draw.choice("abcd"))])

    task = learned(habits())
    assert task["models"]["conditional_logit"]["log_loss"] < task["baselines"]["own_share"]["log_loss"]
    assert task["models"]["conditional_logit"]["accuracy"] > 0.75


def test_texts_that_say_nothing_leave_the_trivial_answer_to_serve():
    draw, book = random.Random(4), BrandBook("GBP")
    for n in range(1_500):
        text = " ".join(f"word{draw.randrange(300)}" for _ in range(8))
        rating = 1.0 if draw.random() < 0.7 else 5.0
        book.said({"at": float(n), "day": n // 50, "brand": "ash", "category": "tea", "rating": rating, "text": text})
    task = book.tasks()["sentiment"]
    assert task["champion"] == "brand_share"
    assert task["baselines"]["brand_share"]["log_loss"] < task["models"]["words_and_pieces"]["log_loss"]
    alone = book.report()["tea:ash"]["image"]
    book.said({"at": 1e6, "day": 40, "brand": "ash", "category": "tea", "rating": None, "text": "word1 word2"})
    assert book.report()["tea:ash"]["image"]["negative_share"] == pytest.approx(0.7, abs=0.05)
    assert alone["sayings"] == 1_500


@pytest.mark.parametrize(
    ("bad", "good"),
    [("服务很差而且晚点", "服务很好非常感谢"), ("サービスが悪い", "とても良かった"), ("บริการแย่มาก", "บริการดีมาก"), ("सामान खो गया", "बहुत अच्छा"), ("☹️", "👍")],
)  # fmt: skip
def test_other_scripts_are_learned_too(bad, good):
    draw, book = random.Random(5), BrandBook("GBP")
    for n in range(300):
        negative = draw.random() < 0.5
        text = draw.choice("天地人日月") + (bad if negative else good) + draw.choice("天地人日月")
        rating = 1.0 if negative else 5.0
        book.said({"at": float(n), "day": 0, "brand": "ash", "category": None, "rating": rating, "text": text})
    task = book.tasks()["sentiment"]
    assert task["models"][task["champion"]]["accuracy"] > 0.9


def test_a_text_is_not_judged_before_there_were_ratings():
    book = BrandBook("GBP")
    row = {"at": 0.0, "day": 0, "brand": "ash", "category": "tea", "text": "late again"}
    book.said(row | {"rating": None})
    image = book.report()["tea:ash"]["image"]
    assert (image["sayings"], image["negative_share"], image["day"]) == (1, None, None)
    for _ in range(COLD):
        book.said(row | {"rating": 1.0})
    book.said(row | {"rating": None})
    image = book.report()["tea:ash"]["image"]
    assert (image["sayings"], image["sayings_of_day"]) == (COLD + 2, COLD + 1)
    assert image["negative_share"] > 0.9


def test_a_series_whose_unit_changes_is_compared_only_where_it_can_be():
    market, policy = Market(), Policy(currency="GBP")
    for day in range(3):
        event = sale(12 * day, "a", [line("ash")])
        market.take(
            {"sign": 1, "main": True, "day": day, "month": 24_312, "hour": 1, "channel": "web",
             "lines": {"tea": [[event.lines[0].product_id, 1.0, 2.0]]}}
        )  # fmt: skip
        market.take({"close": day + 1})
    for n, (unit, is_compared) in enumerate([("GBP", True), ("EUR", False), ("pence", False), ("GBP", True)]):
        event = Observation(
            event_id=str(n), occurred_at=AT + timedelta(days=n), series="price:them:p-ash", value=1.0, unit=unit
        )
        market.take(observed(event, policy))
        assert ("index" in market.product("p-ash", "GBP")["competitors"]["them"]) is is_compared
        assert isinstance(market.sums.observed, Observed)
        assert ("price_index" in market.report("GBP")[ALL]["competitors"]) is is_compared


def asked(units):
    from models.market.demand import Demand

    outlook, demand = Outlook(), Demand()
    for day in range(len(next(iter(units.values())))):
        for category, some in units.items():
            demand.add(category, day, round(1_000 * some[day]), 1)
            demand.add(ALL, day, round(1_000 * some[day]), 1)
        demand.trade(day)
        demand.close(day + 1)
        outlook.learn_day(demand, 86_400.0 * day)
    return outlook


def test_demand_that_cannot_be_foreseen_is_served_by_who_is_best_and_the_trivial_may_be():
    draw = random.Random(6)
    noise = asked({f"c{n}": [draw.expovariate(0.01) for _ in range(260)] for n in range(4)})
    losses = {name: one.report()["log_loss"] for name, one in noise.quality.items()}
    assert losses[noise.champion] <= min(losses.values()) + 0.0051
    steps = [100.0 * (1 + day // 200) for day in range(400)]  # always a little more than before: the rate knows
    rising = asked({f"c{n}": [one + 3 * (day % 100) for day, one in enumerate(steps)] for n in range(3)})
    losses = {name: one.report()["log_loss"] for name, one in rising.quality.items()}
    assert losses[rising.champion] <= min(losses.values()) + 0.0051
    report = rising.report()
    assert report["champion"] in (*TRIVIAL, GROWTH, *report["models"])
    changes = report["changes"]
    assert [change["before"] for change in changes] == [GROWTH, *(change["model"] for change in changes[:-1])]
    assert changes[-1]["model"] == rising.champion
    again = Outlook.restore(rising.state())
    assert again.report() == report


def test_units_that_are_nothing_or_enormous_are_no_trouble():
    for units in ([0.0] * 80, [1e12] * 80, [0.001, 1e9] * 40, [float(day == 40) for day in range(80)]):
        outlook = asked({"tea": units, "jam": units[::-1]})
        assert all(math.isfinite(one) for one in numbers(outlook.report() or {}))
        for category in ("tea", "jam", ALL):
            assert all(math.isfinite(one) for one in numbers(outlook.of(category) or {}))
