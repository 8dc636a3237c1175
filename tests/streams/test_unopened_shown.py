"""How many contacts make no example, and why: in the report, the summary and the page, live as in a backtest."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest

from models.policy import DAY, Policy
from models.shard import Shop
from schemas.commit import Place
from schemas.events import Line as Item
from schemas.events import Purchase, Sent
from streams.backtest import backtest
from streams.reporting.job import _less
from streams.reporting.page import page
from streams.reporting.plain import Plain
from streams.reporting.report import put_together
from streams.reporting.summary import show

START = datetime(2026, 1, 1, tzinfo=UTC)
LINE = Item(product_id="p", quantity=1, unit_price=2.5)


def daily_mail(customers=5, days=30, window_days=3):
    """Everybody gets a mail a day, with a window of three; so two of three make no example."""
    for day in range(days):
        at = START + timedelta(days=day)
        for who in range(customers):
            name = f"{who}-{day}"
            if day == 0:
                yield Purchase(event_id=name, customer_id=f"c{who}", occurred_at=at, currency="EUR", channel="web",
                               lines=(LINE,))  # fmt: skip
            yield Sent(event_id=name, customer_id=f"c{who}", occurred_at=at + timedelta(hours=1), campaign_id="daily",
                       channel="email", window_seconds=window_days * DAY)  # fmt: skip


def shown(report):
    console = Plain(width=200, record=True, file=StringIO())
    show(console, report)
    return console.export_text()


@pytest.fixture(scope="module")
def daily():
    return backtest(daily_mail(), Shop(Policy(lateness=0.0, currency="EUR")))


def test_a_daily_mail_leaves_two_thirds_out_and_says_so(daily):
    report = daily.report()
    assert report["tasks"]["response"]["unopened"] == {"window_open": 100}
    waiting = report["tasks"]["response"]["pending"]
    assert report["tasks"]["response"]["examples"] + waiting == 50
    words = "100 contacts made no example of response: 100 while a window of the same offer was open."
    assert words in shown(report)
    assert words in page(report, "a shop")
    assert all("unopened" not in figures for task, figures in report["tasks"].items() if task != "response")


def test_where_all_are_learned_nothing_is_said():
    report = backtest(daily_mail(window_days=1), Shop(Policy(lateness=0.0, currency="EUR"))).report()
    assert report["tasks"]["response"]["unopened"] == {}
    assert "made no example" not in shown(report) + page(report, "a shop")


def test_what_came_before_a_replay_is_not_its_own(daily):
    places = [shard.hold.place for shard in daily.shards.values()]
    learned = daily.learning.report()
    assert put_together(places, learned, Counter(), 1.0)["tasks"]["response"]["unopened"] == {"window_open": 100}
    before = [Place(totals={"unopened:window_open": 60, "unopened:overtaken": 0, "pending:response": 7})]
    now = put_together([*places, *map(_less, before)], learned, Counter(), 1.0)["tasks"]["response"]
    assert now["unopened"] == {"window_open": 40}
