"""Figures of the market in `make quality`: right where the product is right, and wrong where it is not."""

import pytest
from typer.testing import CliRunner

from models.learning import Learning
from models.market.tell import tell
from models.policy import Policy
from models.receipt import read
from schemas.events import Customer, Purchase
from schemas.state import CustomerState
from streams import quality, quality_figures, quality_market
from streams.cli.app import app
from streams.replay import online_retail

LINES = 90_000


@pytest.fixture(scope="module")
def year():
    """Some months of a real shop, and what a learner that was told of them has learned."""
    events, states, learning = list(online_retail.events(limit=LINES)), {}, Learning(Policy(timezone="Europe/London"))
    for event in events:
        if isinstance(event, Customer):
            states[event.customer_id] = CustomerState(seen_at=0.0)
        else:
            learning.market.take(tell(read(event), states.get(event.customer_id), learning.policy))
    return learning, events


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(quality_market, "ORDERS", 1)
    monkeypatch.setattr(quality_market, "CHOSEN_ON", 40)
    monkeypatch.setattr(quality_market, "MONTH", "2011-02")
    monkeypatch.setattr(quality_market, "SUPPORT", 20)


def figures(year):
    return {row["figure"]: row["value"] for row in quality_market.market_figures(*year)}


def found(rows, words):
    [value] = [value for figure, value in rows.items() if words in figure]
    return value


def test_a_product_that_counts_right_is_found_right(year):
    rows = figures(year)
    assert found(rows, "by support, exact") == 1.0
    assert found(rows, "by lift, exact") == 1.0
    assert found(rows, "inside the batch interval") > 0.99
    assert found(rows, "false alarms") < 0.1
    assert found(rows, "months that agree") == 1.0
    active = {
        event.customer_id
        for event in year[1]
        if isinstance(event, Purchase) and event.customer_id and event.occurred_at.month == 2
        if sum(line.quantity * line.unit_price for line in event.lines) > 0
    }
    assert found(rows, "growth: active") == len(active)


def test_a_product_that_counts_wrong_is_found_wrong(year):
    learning, events = year
    wrong = Learning(learning.policy)
    wrong.market = type(learning.market).restore(
        learning.market.state(), dict(learning.market.parts()), wrong.market.book, type(wrong.market.book).restore
    )
    book = wrong.market.book
    book.baskets.pairs.counts[::2] //= 2
    book.sums.growth.months[12 * 2011 + 1].customers["new"] += 1
    for priced in book.sums.prices.products.values():
        priced.quantity.sxy += priced.quantity.sxx
    rows = figures((wrong, events))
    assert found(rows, "by support, exact") < 0.9
    assert found(rows, "months that agree") < 1.0
    assert found(rows, "inside the batch interval") < 0.5


def test_true_pairs_are_those_of_a_loop():
    baskets = [["a", "b", "c"], ["a", "b"], ["b", "c"], ["a", "b"]] * 20
    true = quality_market._true_pairs(baskets)
    assert true["support"] == {frozenset("ab"): 60, frozenset("bc"): 40, frozenset("ac"): 20}
    assert true["lift"][frozenset("ab")] == pytest.approx(60 * 80 / (60 * 80))


def test_they_are_printed_with_their_bars(monkeypatch):
    row = {"figure": "pairs: recall", "value": 0.5, "trivial": None, "must": ">= .95", "aim": "1"}
    monkeypatch.setattr(quality_figures, "figures", lambda *_: [row])
    monkeypatch.setattr(quality_figures, "title", lambda *_: "online_retail")
    monkeypatch.setitem(quality.SETS, "online_retail", lambda _: {})
    told = CliRunner().invoke(app, ["quality", "--only", "online_retail"])
    assert told.exit_code == 0, told.output
    [line] = [line for line in told.output.splitlines() if "pairs: recall" in line]
    assert "0.500" in line
    assert ">= .95" in line
    assert "missed" in line
