"""Brands from events to what is served: panels and tweets as events, through shards and learner."""

import csv
import gzip
import random
from datetime import timedelta

import msgspec
import pytest

from models.policy import Policy
from models.shard import Shop
from schemas.events import Forgotten
from streams import quality
from streams.backtest import backtest
from streams.publishing import figure_fields
from streams.replay import panel, tweets

SHOP = Shop(Policy(currency=panel.CURRENCY), partitions=2)
BRANDS = ("ash", "birch")


@pytest.fixture
def jam(tmp_path):
    """A panel file of thirty households that stay with their brand, but for its rival's promotions."""
    draw, file = random.Random(1), tmp_path / "jam.csv"
    with file.open("w", newline="") as text:
        names = [f"{what}.{brand}" for what in ("price", "feat", "disp") for brand in BRANDS]
        writer = csv.DictWriter(text, ["household", "occasion", *names, "choice"])
        writer.writeheader()
        for household in range(30):
            mine, other = (BRANDS, BRANDS[::-1])[household % 3 == 0]
            for occasion in range(1, 21):
                row = dict.fromkeys(names, 0.0) | {"household": household, "occasion": occasion}
                row |= {f"price.{brand}": 3.0 for brand in BRANDS}
                deal = draw.random() < 0.2
                if deal:
                    row |= {f"price.{other}": 2.0, f"disp.{other}": 1.0}
                writer.writerow(row | {"choice": other if deal and draw.random() < 0.9 else mine})
    return file


def test_a_panel_keeps_each_households_order_and_all_prices(jam):
    events = list(panel.events(jam))
    assert len(events) == 600
    assert [event.occurred_at for event in events] == sorted(event.occurred_at for event in events)
    assert events == list(panel.events(jam))
    assert events != list(panel.events(jam, seed=1))
    for event in events:
        [line] = event.lines
        assert (line.category, {one.brand for one in line.alternatives}) == ("jam", set(BRANDS))
        assert line.unit_price == next(one.unit_price for one in line.alternatives if one.brand == line.brand)
        assert panel.BEGIN <= event.occurred_at < panel.BEGIN + panel.PERIOD
    first = [int(event.event_id.split("-")[1]) for event in events if event.customer_id == "household-4"]
    assert first == list(range(80, 100))


def test_a_price_of_nothing_is_missing(tmp_path):
    file = tmp_path / "x.csv"
    file.write_text("household,occasion,price.a,price.b,choice\n1,1,0,2,a\n")
    [event] = panel.events(file)
    assert [(one.brand, one.unit_price) for one in event.lines[0].alternatives] == [("a", None), ("b", 2.0)]


def test_choices_are_learned_judged_and_served(jam):
    events = list(panel.events(jam))
    test = backtest(events, SHOP)
    report = test.report()
    task = report["tasks"]["brand_choice"]
    assert task["champion"] == "conditional_logit"
    assert task["models"]["conditional_logit"]["log_loss"] < task["baselines"]["own_share"]["log_loss"]
    assert task["examples"] == 600
    found = report["brands"]["jam:birch"]
    bought = [event for event in events if event.lines[0].brand == "birch"]
    assert (found["purchases"], found["buyers"]) == (len(bought), len({event.customer_id for event in bought}))
    assert found["share_when_promoted"] > found["share_at_usual_price"]
    for customer, fields in test.ledger.scores.items():
        last = [event for event in events if event.customer_id == customer][-1]
        assert fields["brand"] == f"jam:{last.lines[0].brand}"
        assert 0 < float(fields["loyalty"]) < 1
        assert fields["loyalty_rule"].count(" of the last ") == 1
        assert int(msgspec.json.decode(fields["models"])["brand_choice"]) > 0
    flat = figure_fields(found)
    assert msgspec.json.decode(flat[flat.index("purchases") + 1]) == len(bought)


def test_who_is_forgotten_has_no_taste_any_more(jam):
    events = list(panel.events(jam))
    last = events[-1]
    gone = Forgotten(event_id="f", customer_id=last.customer_id, occurred_at=last.occurred_at + timedelta(hours=1))
    again = msgspec.structs.replace(last, event_id="again", occurred_at=last.occurred_at + timedelta(hours=2))
    test = backtest([*events, gone, again], SHOP)
    assert test.ledger.scores[last.customer_id]["loyalty_rule"].startswith("the only time")


def test_who_pays_in_another_currency_paid_neither_dear_nor_cheap(jam):
    paid = {"household-1": ("GBP", 4.0), "household-2": (panel.CURRENCY, 4.0)}
    events = []
    for event in panel.events(jam):
        currency, price = paid.get(event.customer_id, (panel.CURRENCY, 3.0))
        line = msgspec.structs.replace(event.lines[0], unit_price=price, alternatives=None)
        events.append(msgspec.structs.replace(event, lines=(line,), currency=currency))
    rules = {customer: fields["loyalty_rule"] for customer, fields in backtest(events, SHOP).ledger.scores.items()}
    assert "last dear" in rules["household-2"]
    assert "last" not in rules["household-1"].partition(",")[2]


def test_a_shop_without_brands_sees_nothing_of_them(jam):
    plain = [
        msgspec.structs.replace(
            event, lines=tuple(msgspec.structs.replace(line, brand=None, alternatives=None) for line in event.lines)
        )
        for event in panel.events(jam)
    ]
    test = backtest(plain, SHOP)
    report = test.report()
    assert report["brands"] == {}
    assert "brand_choice" not in report["tasks"]
    assert all("brand" not in fields for fields in test.ledger.scores.values())
    assert all("brand_choice" not in fields.get("models", "") for fields in test.ledger.scores.values())


def test_feedback_is_counted_learned_and_makes_no_customer(tmp_path):
    file = tmp_path / "tweets.csv"
    lines = ["created,airline,airline_sentiment,text"]
    for n in range(300):
        told = ("negative,lost my bag", "neutral,which gate", "positive,thanks a lot")[n % 3]
        lines.append(f"2026-01-{1 + n // 60:02} 10:{n % 60:02}:00,Ash Air,{told}")
    file.write_text("\n".join(lines))
    test = backtest(tweets.events(file), SHOP)
    report = test.report()
    assert report["events"]["scored"] == 300
    assert test.ledger.scores == {}
    assert report["tasks"]["sentiment"]["examples"] == 300
    assert report["tasks"]["sentiment"]["models"]["words_and_pieces"]["accuracy"] > 0.9
    image = report["brands"]["airlines:Ash Air"]["image"]
    assert image["sayings"] == 300
    assert image["negative_share"] == pytest.approx(1 / 3)


def test_quality_judges_the_second_half_of_a_panel_and_leaves_out_what_is_not_there(jam, tmp_path):
    assert [quality.SETS[name](tmp_path) for name in ("catsup", "cracker", "airline_tweets")] == [None] * 3
    folder = tmp_path / "brand"
    folder.mkdir()
    with gzip.open(folder / "catsup.csv.gz", "wb") as file:
        file.write(jam.read_bytes())
    events = list(panel.events(folder / "catsup.csv.gz"))
    task = quality.SETS["catsup"](tmp_path)["tasks"]["brand_choice"]
    assert task["examples"] == 600
    assert task["judged"] == sum(event.occurred_at >= panel.HALF for event in events)
