"""A backtest says which currency is the main one, who chose it, and warns where sales are in another."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from typer.testing import CliRunner

from models.learning import Learning
from models.policy import Policy
from models.sales.dimensions import ALL
from schemas.codec import encode
from schemas.events import Customer, Line, Purchase
from streams.cli import app
from streams.metrics import Metrics

START = datetime(2025, 1, 1, tzinfo=UTC)
WARNS = "60 of 61 sales are in EUR, and the main currency is USD."


def sales(currencies):
    for n, currency in enumerate(currencies):
        yield Purchase(
            event_id=f"e{n}", customer_id=f"c{n % 7}", occurred_at=START + timedelta(days=n), currency=currency,
            channel="web", lines=(Line(product_id="p", quantity=1, unit_price=5.0),),
        )  # fmt: skip


@pytest.fixture
def told(tmp_path, monkeypatch):
    """Run a backtest of events; return its report, and in one line each what the terminal and the page say."""
    monkeypatch.delenv("STREAMSCORE_CURRENCY", raising=False)

    def run(events, **given):
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        file, report, html = (tmp_path / name for name in ("events.jsonl", "report.json", "page.html"))
        file.write_bytes(b"\n".join(map(encode, events)))
        ended = CliRunner().invoke(app, ["backtest", str(file), "--report", str(report), "--html", str(html)])
        assert ended.exit_code == 0, ended.output
        found = msgspec.json.decode(report.read_bytes())["currency"]
        return found, " ".join(ended.output.split()), " ".join(html.read_text().split())

    return run


def test_one_sale_in_another_currency_at_first_is_told(told):
    found, shown, page = told(sales(["USD", *["EUR"] * 60]))
    assert found["sales"] == {"EUR": 60, "USD": 1}
    assert (found["main"], found["chosen_by"]) == ("USD", "first_sale")
    for text in (shown, page):
        assert "Main currency: USD, that of the first sale, for STREAMSCORE_CURRENCY is not set." in text
        assert WARNS in text
        assert "set STREAMSCORE_CURRENCY=EUR" in text


def test_a_setting_is_told_and_warned_of_too(told):
    found, shown, page = told(sales(["USD", *["EUR"] * 60]), STREAMSCORE_CURRENCY="USD")
    assert found["chosen_by"] == "setting"
    assert "Main currency: USD, as STREAMSCORE_CURRENCY says." in shown
    assert WARNS in shown
    assert WARNS in page


@pytest.mark.parametrize("currencies", [["EUR"] * 20, ["EUR", "USD"] * 10, ["EUR"] * 6 + ["USD", "CHF"] * 5])
def test_where_no_other_has_more_nothing_is_warned_of(told, currencies):
    found, shown, page = told(sales(currencies))
    assert (found["main"], found["warning"]) == ("EUR", None)
    assert "Main currency: EUR, that of the first sale" in shown
    for text in (shown, page):
        assert "sales are in" not in text


def test_without_any_sale_it_is_the_default(told):
    found, shown, _ = told([Customer(event_id="a", customer_id="c", occurred_at=START)])
    assert found == {"main": "GBP", "chosen_by": "default", "sales": {}, "warning": None}
    assert "Main currency: GBP, the default" in shown


def test_a_worker_warns_once_where_another_currency_sells_on_far_more_days(caplog):
    learning, metrics = Learning(Policy(currency="GBP")), Metrics()
    for day in range(40):
        learning.sales.add("all:EUR", 20_000 + day, 50_000)
        if day < 3 or day >= 30:
            learning.sales.add(ALL, 20_000 + day, 50_000)
        learning.sales.close_until(20_001 + day)
        if day == 12:
            metrics.learning(learning, learning.report())
            assert not caplog.records  # too few days to tell
    metrics.learning(learning, learning.report())
    metrics.learning(learning, learning.report())
    assert [one.getMessage() for one in caplog.records] == [
        "EUR sold on 40 days and the main currency, GBP, on 13: is STREAMSCORE_CURRENCY=EUR meant?"
    ]
