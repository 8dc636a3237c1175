"""Market and brands in the terminal and on the page: what a person reads is what stands in the report."""

import copy
import html
import math
import re
from datetime import UTC, datetime, timedelta
from io import StringIO

import msgspec
import pytest

from models.policy import Policy
from models.shard import Shop
from schemas.events import Feedback, Line, Observation, Purchase
from streams.backtest import backtest
from streams.reporting.page import page
from streams.reporting.plain import Plain
from streams.reporting.summary import show
from streams.reporting.summary_market import brands, show_brand, show_market, show_product

BEGIN = datetime(2026, 1, 5, 10, tzinfo=UTC)


def events():
    for n in range(700):
        at, dear = BEGIN + timedelta(hours=3 * n), n % 3 == 0
        brand = ("ash", "birch", "ash")[n % 3] if n % 7 else "birch"
        lines = tuple(
            Line(
                product_id=f"{brand}-{what}", quantity=1.0 + n % 4, unit_price=2.0 + 0.5 * dear + n % 5 / 10,
                category="tea", brand=brand,
            )
            for what in "xy"
        )  # fmt: skip
        yield Purchase(
            event_id=f"p{n}", customer_id=f"c{n % 40}", occurred_at=at, currency="GBP", channel="web", lines=lines
        )
        if n % 9 == 0:
            yield Feedback(
                event_id=f"f{n}", customer_id=None, occurred_at=at, brand="ash", category="tea", source="reviews",
                rating=1.0 if n % 2 else 5.0, text="late and broken" if n % 2 else "thank you",
            )  # fmt: skip
            yield Observation(event_id=f"o{n}", occurred_at=at, series="price:Rival:ash-x", value=2.0, unit="GBP")
            yield Observation(event_id=f"v{n}", occurred_at=at, series="volume:tea", value=1e3, unit="GBP/week")


@pytest.fixture(scope="module")
def test():
    return backtest(events(), Shop(Policy(lateness=0.0)))


def shown(print_it, *args):
    console = Plain(file=StringIO(), width=160)
    print_it(console, *args)
    return console.file.getvalue()


def written(report):
    """What is read on the page from the market on: the words, and each row of a table as a line."""
    text = page(report, "a shop")
    text = text[text.index('<h2 id="market">') : text.index('<h2 id="campaigns">')]
    text = re.sub(r"</(td|th)>", " | ", re.sub(r"</(tr|p|summary)>", "\n", text.replace("\n", " ")))
    return html.unescape(re.sub(r"<[^>]*>", "", text))


def test_a_category_is_read_at_a_glance(test):
    figures = test.report()["market"]["tea"]
    told = shown(show_market, "tea", figures)
    rivals = figures["competitors"]
    assert f"our prices over those of Rival: {rivals['price_index']['Rival']['index']:.1f} % of 1 products" in told
    assert f"our share of the market: {rivals['market_share']['share']:.1%} of 1,000 GBP/week" in told
    assert "not causal" in told
    [line] = [line for line in told.splitlines() if " ash " in line]
    assert f"{rivals['brands']['ash']['revenue_share']:.0%}" in line
    assert "the next six trading days" in told
    assert "  why so many (growth): as usual\n" in told


def test_why_so_many_are_expected_is_said_in_words(test):
    figures = test.report()["market"]["tea"]
    figures["next_six_days"]["reasons"] = {
        "units": {"model": "last_six_days", "base": 0.0, "effects": {"trend": 0.0, "week": math.log(1.25)}},
        "above_usual": {"model": "trees", "base": -0.5, "effects": {"trend": 0.004, "last_day": 0.1, "median": -0.2}},
    }
    told = shown(show_market, "tea", figures)
    assert "  why so many (last six days): the last six days +25.0%\n" in told
    unit = "in log odds: +0.7 doubles the odds, -0.7 halves them"
    assert f"  why that chance (trees, {unit}): the middle day -0.20, the last day +0.10, without these -0.50\n" in told


def test_the_whole_shows_customers_and_how_they_bought(test):
    figures = test.report()["market"]["all"]
    told = shown(show_market, "all", figures)
    growth = figures["growth"][max(figures["growth"])]
    [line] = [line for line in told.splitlines() if "retained" in line and "│" in line and "month" not in line]
    assert f"{growth['retained']}" in line
    assert "new share" in told
    assert "observed: price:Rival:ash-x 2.00 GBP" in told
    assert "700 baskets of 4 products, pairs counted exactly; 0.0 MiB" in told


def test_a_product_and_a_brand_are_read_at_a_glance(test):
    product = test.learning.market.book.product("ash-x", "GBP")
    told = shown(show_product, "ash-x", product)
    assert f"Rival asks 2.00 GBP, ours is {product['competitors']['Rival']['index']:.0f} % of it" in told
    assert "ash-y" in told
    found = test.report()["brands"]["tea:ash"]
    told = shown(show_brand, "tea:ash", found)
    assert f"{found['revenue_share']:.1%}" in told
    assert f"{found['expected']['penetration']:.1%}" in told
    assert "share of a day's units when all is bought below the usual price, against none: " in told
    assert "leaves to: birch" in told
    assert "words that moved it, over all texts so far" in told
    as_served = {name: value for name, value in found.items() if value is not None}
    assert shown(show_brand, "tea:ash", msgspec.json.decode(msgspec.json.encode(as_served))) == told


def test_the_summary_has_a_section_of_each(test):
    told = shown(show, test.report())
    for words in ("Market: a trading day", "Brands: revenue (GBP), its share of the", "tea:birch", "sentiment"):
        assert words in told
    assert "units and revenue (GBP)" in told


def test_the_control_stands_beside_and_never_wins(test):
    report = test.report()
    report["tasks"]["demand"]["models"]["growth"] |= {"auc": 0.957, "log_loss": 0.123}
    report["tasks"]["demand"]["controls"]["random_days"] |= {"auc": 0.987, "log_loss": 0.1}
    lines = shown(show, report).splitlines()
    [at] = [place for place, line in enumerate(lines) if line.startswith("│ demand")]
    assert "log loss" in lines[at]
    assert "0.123 growth" in lines[at]
    assert lines[at].rstrip(" │").endswith("yes")
    [control] = [line for line in lines if "the same on shuffled days" in line]
    assert "0.987 random_days" in control
    assert "a control: 0.957 on the real days" in control
    assert "yes" not in control
    report["tasks"]["demand"]["models"]["growth"] |= {"auc": None, "log_loss": None}
    assert "the same on shuffled days" in shown(show, report)


def test_how_good_the_chance_is_stands_beside_it_with_its_control(test):
    report = test.report()
    demand, ahead = report["tasks"]["demand"], report["market"]["tea"]["next_six_days"]
    assert ahead["judged"] == {
        "model": demand["champion"], "examples": demand["examples"],
        "auc": demand["models"][demand["champion"]]["auc"],
        "auc_random_days": demand["controls"]["random_days"]["auc"],
    }  # fmt: skip
    ahead["judged"] |= {"auc": 0.6123, "auc_random_days": 0.5534, "examples": 2_152}
    told = " ".join(shown(show_market, "tea", report["market"]["tea"]).split())
    assert "AUC 0.612 (growth, 2,152 outcomes of all categories); the same on shuffled days: 0.553" in told
    ahead["judged"]["auc_random_days"] = None
    assert "the same on shuffled days: not known yet" in shown(show_market, "tea", report["market"]["tea"])


def test_the_memory_of_every_league_and_of_the_books_is_told(test):
    report = test.report()
    told = shown(show, report)
    for task in ("brand_choice", "sentiment", "demand"):
        assert 1_000 < report["tasks"][task]["bytes"] < 30_000_000, task
        assert f"{task} {report['tasks'][task]['bytes'] / 1e6:.1f} MB" in told
    assert set(report["memory"]) == {"brands", "market"}
    assert report["memory"]["market"] > report["market"]["all"]["baskets"]["bytes"]
    assert f"Memory of what is summed up: brands {report['memory']['brands'] / 1e6:.1f} MB, market " in told


def test_a_shop_without_brands_is_told_so():
    plain = [
        msgspec.structs.replace(event, lines=tuple(msgspec.structs.replace(line, brand=None) for line in event.lines))
        for event in events()
        if isinstance(event, Purchase)
    ]
    assert "Brands: no line" in shown(show, backtest(plain[:50], Shop(Policy(lateness=0.0))).report())


def test_who_errs_more_than_the_base_rate_beats_nothing(test):
    report = test.report()
    demand = report["tasks"]["demand"]
    demand["models"][demand["champion"]] |= {"auc": 0.619, "log_loss": 0.712}
    for found in demand["baselines"].values():
        found |= {"auc": 0.26, "log_loss": 0.725}
    demand["baselines"]["base_rate"]["log_loss"] = 0.695
    [line] = [line for line in shown(show, report).splitlines() if "demand (" in line]
    assert "0.695 base_rate" in line
    assert line.rstrip(" │").endswith("no")


def test_the_page_has_the_market(test):
    report = test.report()
    told, tea, whole = written(report), report["market"]["tea"], report["market"]["all"]
    ahead, units = tea["next_six_days"], tea["demand"]["units"]
    assert '<a href="#market">' in page(report, "a shop")
    [row] = [line for line in told.splitlines() if line.strip().startswith("tea | ")]
    assert f"{units['trend']:+.1%} ({units['low']:+.0%} to {units['high']:+.0%}) | {ahead['above_usual']:.0%}" in row
    assert f"{tea['price']['quantity']['slope']:+.2f} %" in row
    assert f"{ahead['units']:,.0f} units a day ({ahead['low']:,.0f} to {ahead['high']:,.0f} with 80 %)" in told
    assert told.count("why so many (") == told.count("why that chance (") == len(report["market"])
    assert f"changes by {tea['price']['quantity']['slope']:+.2f} % (" in told
    assert "; not causal" in told
    assert len(whole["growth"]) >= 3
    for month, found in whole["growth"].items():
        [row] = [line for line in told.splitlines() if line.strip().startswith(month)]
        customers = [f"{found[kind]:,}" for kind in ("active", "new", "retained", "returned")]
        assert " | ".join(customers) in row
        assert f"{found['revenue_retained']:,.0f} | {found['revenue_returned']:,.0f}" in row
    assert f"basket units | {whole['behaviour']['basket_units']['value']:,.2f}" in told
    assert "our prices over those of Rival" in told
    assert "observed: price:Rival:ash-x 2.00 GBP" in told


def test_the_page_has_each_brand_beside_what_its_size_leads_one_to_expect(test):
    report = test.report()
    told, ash, birch = written(report), report["brands"]["tea:ash"], report["brands"]["tea:birch"]
    of_ash = [line for line in told.splitlines() if line.strip().startswith("tea:ash | ")]
    reach = f"{ash['penetration']:.0%} | {ash['expected']['penetration']:.0%} | {ash['purchases_per_buyer']:.2f}"
    assert reach in of_ash[0]
    image, bought_low = ash["image"], f"{ash['price_position']:.2f} | {ash['bought_low']:.0%}"
    assert f"{ash['expected']['purchases_per_buyer']:.2f} | {bought_low}" in of_ash[1]
    low, high = image["negative_low"], image["negative_high"]
    assert f"{image['negative_share']:.0%} ({low:.0%} to {high:.0%}) | -" in of_ash[1]
    assert f"leaves to: birch {ash['switches_to']['birch']:.0%}" in told
    assert f"who leaves for it, of those who last bought: birch {birch['switches_to']['ash']:.0%}" in told
    image["shift"], ash["segments"] = "up", {"new": 60, "loyal": 140}
    told = written(report)
    assert "| clearly more than before" in told
    assert "revenue of retained (GBP) | revenue of back (GBP)" in told
    assert "segments (100 is usual): loyal: 140; new: 60" in told


def test_names_of_categories_and_brands_are_no_markup_on_the_page(test):
    report, hostile = copy.deepcopy(test.report()), "<script>alert(1)</script>"
    report["market"] = {hostile: report["market"]["tea"], "all": report["market"]["all"]}
    report["brands"] = {f"{hostile}:{hostile}": report["brands"]["tea:ash"] | {"switches_to": {hostile: 0.5}}}
    assert "<script" not in page(report, "a shop")
    assert written(report).count(hostile) >= 6


def test_a_page_says_how_many_it_leaves_out_and_has_no_section_of_nothing(test):
    report = test.report()
    many = {f"tea {n}": report["market"]["tea"] for n in range(20)}
    assert "9 smaller categories are in the report" in written(report | {"market": many | {"all": many["tea 0"]}})
    nothing = page(backtest(iter(()), Shop(Policy())).report() | {"market": {}, "brands": {}}, "nothing")
    assert "#market" not in nothing
    assert "#brands" not in nothing


def test_a_brand_is_named_as_a_person_does_and_never_cut(test):
    ash, console = test.report()["brands"]["tea:ash"], Plain(file=StringIO(), width=80)
    found = {f"a%3Ab:a long name of a brand {n}": ash for n in (1, 2)} | {"a:b:Z": ash, "a%3Ab:Z": ash}
    brands(console, found)
    rows = [line.split("│")[1].strip() for line in console.file.getvalue().splitlines() if line.startswith("│")]
    assert "".join(rows).replace(" ", "").count("a:b:alongnameofabrand") == 2
    text = page(test.report() | {"brands": found}, "a shop")
    assert text.count("<summary>a:b:Z</summary>") == 2


def test_categories_whose_demand_is_not_known_are_on_the_page(test):
    report = test.report()
    report["market"]["jam"] = report["market"]["tea"] | {"demand": {}}
    told = written(report)
    assert told.count("our share of the market") == 2
    assert "in the report." not in told
