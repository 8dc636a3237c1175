"""The task `demand`: nothing from the future, a true cycle is found, random days give nothing."""

import math
import re
from collections import defaultdict

import msgspec
import numpy as np
import pytest

from models.league.snapshot import freeze, thaw
from models.market.ahead import NAMES, SCALE
from models.market.demand import WINDOW, Demand
from models.market.outlook import AHEAD, EARLIEST, Outlook, features
from schemas.events import Purchase
from streams.replay import online_retail
from streams.replay.online_retail import _rows

RULES = (
    ("christmas", "CHRISTMAS|XMAS|ADVENT"), ("bags", "BAG"), ("lights", "T-LIGHT|CANDLE|LANTERN|LIGHT"),
    ("kitchen", "CAKE|TEA|MUG|CUP|PLATE|BOWL|BAKING|CUTLERY|PANTRY|KITCHEN|JAR|JUG|TIN"),
    ("lunch_bottle", "LUNCH|BOTTLE|WATER"), ("paper_party", "PAPER|CARD|BUNTING|PARTY|WRAP|RIBBON|STICKER|NAPKIN"),
    ("storage", "BOX|BASKET|DRAWER|CABINET|RACK|HANGER|HOOK"),
    ("wall_deco", "SIGN|FRAME|CLOCK|DOORMAT|MIRROR|HEART|WALL|HANGING"),
)  # fmt: skip


def run(table, outlook=None, begin=0):
    """`table`: category to units a day; all is their sum."""
    outlook, demand = outlook or Outlook(), Demand()
    days = len(next(iter(table.values())))
    for day in range(begin, days):
        for category, units in table.items():
            demand.add(category, day, round(1_000 * units[day]), 1)
            demand.add("all", day, round(1_000 * units[day]), 1)
        demand.trade(day)
        demand.close(day + 1)
        outlook.learn_day(demand, 86_400.0 * day)
    return outlook


@pytest.fixture(scope="module")
def shop():
    words = {}
    for row in _rows(None):
        words.setdefault(row["StockCode"].strip(), row["Description"].upper())
    units, days = defaultdict(lambda: defaultdict(float)), set()
    for event in online_retail.events():
        day = event.occurred_at.date()
        if not isinstance(event, Purchase) or (day.month, day.day, day.year) == (12, 9, 2011):
            continue
        for line in event.lines:
            if re.match(r"\d{5}", line.product_id):
                days.add(day)
                name = next((one for one, rule in RULES if re.search(rule, words[line.product_id])), None)
                if name is not None:
                    units[name][day] += line.quantity
    return {name: np.array([units[name][day] for day in sorted(days)]) for name, _ in RULES}


def test_a_year_of_a_real_shop_is_above_the_bars(shop):
    report = run(shop).report()
    assert report["examples"] == 8 * (304 - WINDOW - AHEAD + 1)
    growth = report["models"]["growth"]
    assert growth["auc"] >= 0.57
    assert report["champion"] == "growth"
    assert report["models"]["growth"]["units_log_error"] <= 0.28
    assert report["baselines"]["last_six_days"]["units_log_error"] == pytest.approx(0.291, abs=0.02)
    assert growth["auc"] > max(report["baselines"][name]["auc"] for name in ("base_rate", "last_100"))


def test_days_in_random_order_give_nothing(shop):
    found = []
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(304)
        found.append(run({name: units[order] for name, units in shop.items()}).report()["models"]["growth"]["auc"])
    assert np.mean(found) < 0.53


def test_a_cycle_is_found():
    draw, day = np.random.default_rng(2), np.arange(400)
    table = {
        f"c{n}": 100 * np.exp(0.4 * np.sin(2 * np.pi * (day / 40 + n / 5)) + draw.normal(0, 0.1, 400)) for n in range(5)
    }
    outlook = run(table)
    assert outlook.report()["models"]["growth"]["auc"] > 0.85
    expected = outlook.of("c1")
    assert expected["low"] < expected["units"] < expected["high"]


def test_no_answer_depends_on_the_future():
    draw, day = np.random.default_rng(4), 45
    past = {name: draw.uniform(50, 150, day) for name in "ab"}
    asked = []
    for _ in range(2):
        table = {
            name: np.concatenate([units, draw.uniform(50, 150, AHEAD - 1)]).round(3) for name, units in past.items()
        }
        [one] = [one for one in run(table).pending["a"] if one.day == day]
        asked.append(one)
    assert asked[0] == asked[1]
    known = [past["a"].round(3), (past["a"].round(3) + past["b"].round(3)).round(3)]
    assert asked[0].x == pytest.approx(features(*(units.tolist() for units in known)))


def test_a_restored_outlook_has_the_same_future(shop):
    begin = {name: units[:120] for name, units in shop.items()}
    one = run(begin)
    key = b"k"
    other = Outlook.restore(thaw(freeze(run(begin).state(), key), key))
    for outlook in (one, other):
        run({name: units[120:200] for name, units in shop.items()}, outlook)
    assert msgspec.json.encode(one.report()) == msgspec.json.encode(other.report())
    assert one.now == other.now


def test_too_little_is_no_answer():
    assert features([1.0] * (WINDOW - 1), [1.0] * WINDOW) is None
    assert features([0.0] * WINDOW, [1.0] * WINDOW) is None
    assert Outlook().report() is None
    assert Outlook().of("all") is None


def test_a_category_sold_in_tonnes_is_foreseen_as_in_grams():
    draw = np.random.default_rng(6)
    grams = {name: np.exp(draw.normal(7, 0.3, 120)).round() for name in "ab"}
    small, large = run({name: units / 5_000 for name, units in grams.items()}), run(grams)
    assert small.report()["models"]["growth"]["units_log_error"] > 0.05
    for name in "ab":
        found, wanted = small.of(name), large.of(name)
        assert found["units"] < 1
        for what in ("units", "low", "high"):
            assert found[what] * 5_000 == pytest.approx(wanted[what], rel=0.01)
        chances = [
            one.now[name].answers["growth"] for one in (small, large)
        ]  # who serves may be another: all are alike
        assert chances[0] == pytest.approx(chances[1], abs=0.01)


def test_the_interval_holds_for_each_category_by_itself():
    draw, days = np.random.default_rng(1), 400
    kinds = {"even": (0.05, 1e4), "small": (0.1, 0.2), "usual": (0.3, 50.0), "wild": (0.8, 300.0), "wilder": (1.2, 5.0)}
    table = {
        name: (level * np.exp(draw.normal(0, spread, days)) + 0.001).round(3) for name, (spread, level) in kinds.items()
    }
    outlook, demand, held = Outlook(), Demand(), defaultdict(list)
    for day in range(days):
        for name, units in table.items():
            for category in (name, "all"):
                demand.add(category, day, round(1_000 * units[day]), 1)
        demand.trade(day)
        demand.close(day + 1)
        outlook.learn_day(demand)
        for name in (*table, "all"):
            if (found := outlook.of(name)) is not None and day + AHEAD < days:
                ahead = sum(table.values()) if name == "all" else table[name]
                held[name].append(found["low"] <= ahead[day + 1 : day + 1 + AHEAD].mean() <= found["high"])
    for name, some in held.items():
        assert 0.7 <= np.mean(some[100:]) <= 0.9, name


def test_the_control_finds_nothing_where_a_forecast_finds_a_cycle():
    draw, day = np.random.default_rng(2), np.arange(400)
    table = {
        f"c{n}": 100 * np.exp(0.4 * np.sin(2 * np.pi * (day / 40 + n / 5)) + draw.normal(0, 0.1, 400)) for n in range(5)
    }
    report = run(table).report()
    assert report["models"]["growth"]["auc"] > 0.85
    assert report["controls"]["random_days"]["auc"] < 0.6


def served(outlook, category):
    """What `of` says, and logarithm of units and log odds that the reasons must add up to."""
    told = outlook.of(category)
    chance = told["above_usual"]
    return told, {
        "units": math.log(told["units"] / outlook.now[category].level), "above_usual": math.log(chance / (1.0 - chance)),
    }  # fmt: skip


def test_two_alike_do_not_take_turns():
    found, served = Outlook(), []
    found.growth.n = EARLIEST
    for growth, rate in [(0.70, 0.70), (0.70, 0.696), (0.70, 0.694), (0.698, 0.695), (0.694, 0.698), (0.69, 0.688)]:
        for name, loss in (("growth", growth), ("last_100", rate)):
            found.quality[name].count, found.quality[name].log_loss = 1_000, 1_000 * loss
        found._note()
        served.append(found.serves)
    assert served == ["growth", "growth", "last_100", "last_100", "growth", "growth"]
    assert len(found.changes) == 2


@pytest.mark.parametrize("champion", ["growth", "logistic", "linear_svm", "fourier_svm", "trees", "last_100"])
def test_reasons_add_up_to_the_answer_whoever_gives_it(shop, champion, monkeypatch):
    monkeypatch.setattr(Outlook, "champion", champion)
    outlook = run({name: units[:120] for name, units in shop.items()})
    for category in ("all", *shop):
        told, answers = served(outlook, category)
        assert told["reasons"]["above_usual"]["model"] == champion
        for name, answer in answers.items():
            why = told["reasons"][name]
            assert why["base"] + math.fsum(why["effects"].values()) == pytest.approx(answer, abs=1e-9)
    assert any(told["reasons"]["units"]["effects"].values())


def test_a_figure_of_a_linear_answer_adds_weight_times_figure(shop):
    outlook = run({name: units[:120] for name, units in shop.items()})
    asked, why = outlook.now["bags"], outlook.of("bags")["reasons"]["units"]
    assert why["model"] == "growth"
    for name, weight in zip(NAMES, outlook.growth.weights[1:], strict=True):
        assert why["effects"][name] == pytest.approx(SCALE * weight * asked.x[name], abs=1e-9)


def test_reasons_of_a_trivial_forecast_are_what_it_looks_at(shop, monkeypatch):
    outlook = run({name: units[:120] for name, units in shop.items()})
    for forecaster, figures in (("last_six_days", {"week"}), ("last_thirty_days", set())):
        monkeypatch.setattr(Outlook, "forecaster", forecaster)
        outlook._why.clear()
        why = outlook.of("bags")["reasons"]["units"]
        assert why["model"] == forecaster
        assert {name for name, effect in why["effects"].items() if effect} == figures


def test_a_question_is_learned_once_where_a_category_is_hardly_sold_any_more():
    rng = np.random.default_rng(3)
    table = {name: rng.poisson(40, 120).astype(float) for name in ("bags", "mugs")}
    table["mugs"][60:] = 0.0  # soon too little is known of it to ask
    asked = 2 * (60 - WINDOW + 1) + (120 - 60) + WINDOW // 3
    outlook = run(table)
    assert outlook.of("mugs") is None
    assert outlook.errors.n == outlook.growth.n == asked - AHEAD
