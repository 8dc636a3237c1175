"""Brands among the figures of a market: shares and demand of one row are of the same lines."""

from datetime import UTC, datetime

import pytest

from models.brand.book import MAX_CATEGORIES
from models.brand.taste import tell as tell_brands
from models.learning import Learning
from models.market.demand import CATEGORIES
from models.market.rivals import Seen
from models.market.tell import tell as tell_market
from models.policy import Policy
from models.receipt import read
from schemas.events import Line, Purchase

POLICY = Policy(currency="GBP")
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def market(lines, days=3):
    """The report of a shop that sells these lines, (category, brand, price), each day; each a purchase by itself."""
    learning = Learning(POLICY)
    for day in range(days):
        for category, brand, price in lines:
            line = Line(product_id=str(brand), quantity=1.0, unit_price=price, category=category, brand=brand)
            event = Purchase(
                event_id="e", customer_id=None, occurred_at=NOON.replace(day=1 + day), currency="GBP", channel="web",
                lines=(line,),
            )  # fmt: skip
            receipt = read(event)
            told = tell_market(receipt, None, POLICY)
            learning.take("market", [told])
            learning.take("brand_choice", tell_brands(receipt, None, event.occurred_at.timestamp(), told["day"]))
            last = told["day"]
        learning.market.take({"close": last + 1})
    learning.market.book.sums.observed.see("volume:cat 7", Seen(last, 1e3, "GBP/week"))
    return learning.report()["market"]


def shares(figures):
    return {name: one["revenue_share"] for name, one in figures["competitors"]["brands"].items()}


def test_a_category_named_all_is_not_everything():
    found = market([("all", "Tiny", 10.0), ("tea", "Big", 900.0), (None, "Loose", 1.0)])
    assert "competitors" not in found["all"]
    assert shares(found["tea"]) == {"Big": 1.0}
    assert found["other"]["demand"]["revenue"]["last"] == 11.0  # Tiny is in there
    assert "competitors" not in found["other"]  # and its shares, which are told apart, are not


def test_the_rest_has_shares_where_it_is_the_same_rest():
    named = [(f"cat {n}", "Ash", 5.0) for n in range(MAX_CATEGORIES)]
    found = market([*named, (None, "Loose", 3.0), (None, "Free", 1.0)])
    assert shares(found["other"]) == {"Loose": 0.75, "Free": 0.25}
    assert found["other"]["demand"]["revenue"]["last"] == 4.0


@pytest.mark.parametrize("categories", [MAX_CATEGORIES + 1, 45, CATEGORIES + 5])
def test_categories_that_the_brands_do_not_name_have_no_shares_and_the_rest_is_not_theirs(categories):
    found = market([*((f"cat {n}", f"B{n}", 5.0) for n in range(categories)), (None, "Loose", 1.0)])
    assert found["other"]["demand"]["revenue"]["last"] == 1.0 + 5.0 * max(categories - CATEGORIES, 0)
    assert "competitors" not in found["other"]
    for n in range(min(categories, CATEGORIES)):
        figures = found[f"cat {n}"]
        if n < MAX_CATEGORIES:
            assert shares(figures) == {f"B{n}": 1.0}
        else:
            assert "competitors" not in figures
    assert found["cat 7"]["competitors"]["market_share"]["share"] > 0


def test_a_category_without_brands_shows_what_else_is_known_of_its_market():
    found = market([("cat 7", None, 5.0), ("tea", None, 5.0)])
    assert list(found["cat 7"]["competitors"]) == ["market_share"]
    assert "competitors" not in found["tea"]
