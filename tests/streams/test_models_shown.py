"""`streamscore models` over tasks that the learner answers itself, and tasks that no outcome has come of."""

import contextlib
from datetime import UTC, datetime, timedelta
from io import StringIO

import msgspec
import pytest
from typer.testing import CliRunner

from models.brand.book import COLD
from models.policy import Policy
from models.shard import Shop
from schemas.events import Feedback, Line, Purchase
from streams.backtest import backtest
from streams.cli import app
from streams.cli import models as module
from streams.operator import BY_LEARNER, standings
from streams.reporting.model_tables import show_list, show_task
from streams.reporting.plain import Plain
from streams.settings import load_settings


class Client:
    """Redis with a learner's report in it, and nothing published."""

    def __init__(self, tasks):
        self.report = msgspec.json.encode({"tasks": tasks}).decode()

    def hget(self, _, field):
        return {"report": self.report}.get(field)

    def hgetall(self, _):
        return {}

    def hvals(self, _):
        return []

    def scan_iter(self, *_, **__):
        return iter(())


@pytest.fixture(scope="module")
def tasks():
    return backtest(events(), Shop(Policy(window_days=20.0, draw_days=7.0, lateness=0.0))).report()["tasks"]


def events():
    for n in range(600):
        at, brand = datetime(2026, 1, 5, 10, tzinfo=UTC) + timedelta(hours=3 * n), ("ash", "birch")[n % 3 % 2]
        line = Line(product_id=brand, quantity=1.0 + n % 4, unit_price=2.0, category="tea", brand=brand)
        yield Purchase(
            event_id=f"p{n}", customer_id=f"c{n % 40}", occurred_at=at, currency="GBP", channel="web", lines=(line,)
        )
        if n % 9 == 0:
            yield Feedback(
                event_id=f"f{n}", customer_id=None, occurred_at=at, brand="ash", category="tea", source="reviews",
                rating=1.0 if n % 2 else 5.0, text="late and broken" if n % 2 else "thank you",
            )  # fmt: skip


@pytest.fixture
def settings(monkeypatch):
    monkeypatch.setenv("STREAMSCORE_BROKER", "nowhere:9092")
    return load_settings()


def told(show, *args):
    console = Plain(file=StringIO(), width=200)
    show(console, *args)
    return console.file.getvalue()


def test_what_the_learner_answers_itself_is_not_cold(tasks, settings):
    found = standings(Client(tasks), settings)
    lines = told(show_list, found, {}).splitlines()
    serves = {line.split("│")[1].strip(): line.split("│")[2].strip() for line in lines if line.startswith("│")}
    assert serves["demand"] == serves["sentiment"] == "the learner"
    assert serves["brand_choice"] == serves["churn"] == "cold"
    shown = told(show_task, found["demand"])
    assert "demand: the learner serves" in shown
    for name in ("champion: growth", "fourier_svm", "baseline: last_six_days", "control: random_days"):
        assert name in shown
    assert "there are no versions" in shown
    assert "Versions that can serve again" in told(show_task, found["churn"])


def test_few_ratings_are_no_sentiment_yet(tasks, settings):
    assert BY_LEARNER["sentiment"] == COLD
    few = tasks["sentiment"] | {"examples": COLD - 1}
    assert standings(Client({"sentiment": few}), settings)["sentiment"].serves == "cold"


def test_a_task_without_an_outcome_is_not_called_unknown(tasks, settings, monkeypatch):
    without = {task: figures for task, figures in tasks.items() if task != "demand"}
    monkeypatch.setattr(module, "_client", lambda _: contextlib.nullcontext(Client(without)))
    answers = {task: CliRunner().invoke(app, ["models", "show", task]) for task in ("demand", "weather")}
    assert {answer.exit_code for answer in answers.values()} == {1}
    assert "demand has no outcome yet" in answers["demand"].stderr
    assert "there is no task weather" in answers["weather"].stderr
    monkeypatch.setattr(module, "_client", lambda _: contextlib.nullcontext(Client(tasks)))
    assert CliRunner().invoke(app, ["models", "show", "demand"]).exit_code == 0
