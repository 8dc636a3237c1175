"""`streamscore market` and `streamscore brand`: what a reader finds, in what currency, and what there is instead."""

import json
from datetime import UTC, datetime, timedelta

import pytest
import redis
from typer.testing import CliRunner

from models.policy import Policy
from models.shard import Shop
from schemas.events import Line, Purchase
from streams.backtest import backtest
from streams.cli import app
from streams.publishing import figure_fields
from streams.redis.keys import Keys

BEGIN = datetime(2026, 1, 5, 10, tzinfo=UTC)
PREFIX = "looked-up-"


def sales():
    for n in range(600):
        category, brand = ("a:b", ("X:Y", "Ash")[n % 2]) if n % 3 else ("tea", "Ash")
        line = Line(product_id=brand, quantity=1.0, unit_price=2.0 if n % 3 else 9.0, category=category, brand=brand)
        yield Purchase(
            event_id=f"p{n}", customer_id=f"c{n % 19}", occurred_at=BEGIN + timedelta(hours=2 * n), currency="EUR",
            channel="web", lines=(line,),
        )  # fmt: skip


@pytest.fixture(scope="module")
def report():
    return backtest(sales(), Shop(Policy(currency="EUR", lateness=0.0))).report()


@pytest.fixture
def ask(services, reader, report, monkeypatch):
    """Run a command with the rights of a reader."""
    keys = Keys(PREFIX)
    with redis.Redis.from_url(services.redis) as client:
        for key, names, part in ((keys.brand, keys.brands, "brands"), (keys.market, keys.markets, "market")):
            for name, figures in report[part].items():
                client.execute_command("HSET", key(name), *figure_fields(figures))
                client.sadd(names, name)
    settings = reader | {"STREAMSCORE_REDIS": services.redis, "STREAMSCORE_PREFIX": PREFIX}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    return lambda *words: CliRunner().invoke(app, words)


def test_amounts_say_their_currency(ask):
    for words, name in ((("market", "tea"), "revenue (EUR)"), (("brand", "tea:Ash"), "revenue (EUR)")):
        done = ask(*words)
        assert done.exit_code == 0, done.output
        assert name in done.stdout
    assert "basket revenue (EUR)" in ask("market").stdout
    assert json.loads(ask("market", "tea", "--json").stdout)["currency"] == "EUR"
    assert json.loads(ask("brand", "tea:Ash", "--json").stdout)["tea:Ash"]["currency"] == "EUR"


def test_what_is_not_known_is_answered_with_what_there_is(ask):
    done = ask("market", "te")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "category te is not known; there are, for example: all, tea, a:b" in done.stderr
    done = ask("brand", "Oak")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "brand Oak is not known; there are, for example: tea:Ash, a:b:Ash, a:b:X:Y" in done.stderr
    assert "nothing is known of product x" in ask("market", "--product", "x").stderr


def test_a_category_with_a_colon_is_found_as_typed_and_as_served(ask, report):
    for name in ("a:b:X:Y", "a%3Ab:X:Y", "X:Y"):
        assert list(json.loads(ask("brand", name, "--json").stdout)) == ["a%3Ab:X:Y"], name
    assert list(json.loads(ask("brand", "Ash", "--json").stdout)) == ["a%3Ab:Ash", "tea:Ash"]
    assert ask("brand", "b:X:Y").exit_code == 1
    came = report["brands"]["a%3Ab:Ash"]["switches_to"]["X:Y"]
    assert f"who leaves for it, of those who last bought: Ash {came:.0%}" in ask("brand", "a:b:X:Y").stdout
