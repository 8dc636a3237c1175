"""Brands on real Kafka and Redis, through a kill -9: the sums of the backtest, served and shown."""

import json
import os
import random
import secrets
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import pytest
import redis

from schemas.events import Alternative, Feedback, Line, Purchase
from streams.backtest import backtest
from streams.kafka.producer import send
from streams.kafka.topics import ensure_topics
from streams.redis.keys import Keys
from streams.settings import load_settings
from streams.worker import make_shop

START = datetime(2026, 1, 1, tzinfo=UTC)
EXACT = (
    "revenue", "units", "purchases", "buyers", "revenue_share", "purchase_share", "penetration",
    "purchases_per_buyer", "share_of_requirements", "repeat_rate",
)  # fmt: skip


def events():
    draw, found = random.Random(3), []
    for n in range(3_000):
        at = START + timedelta(minutes=n)
        customer = f"c{draw.randrange(80)}"
        brand = draw.choices(["ash", "birch", "cedar"], (5, 3, 1))[0]
        could = tuple(
            Alternative(brand=one, unit_price=2.0, promoted=draw.random() < 0.2) for one in ("ash", "birch", "cedar")
        )
        line = Line(
            product_id=brand, quantity=1.0, unit_price=2.0, category="jam & co", brand=brand, alternatives=could
        )
        found.append(
            Purchase(
                event_id=f"p{n}", customer_id=None if n % 17 == 0 else customer, occurred_at=at, currency="GBP",
                channel="web", lines=(line,),
            )
        )  # fmt: skip
        if n % 5 == 0:
            rating = draw.choice([1.0, 5.0, None])
            text = "late again" if rating == 1.0 else "thank you"
            found.append(
                Feedback(
                    event_id=f"f{n}", customer_id=None if n % 2 else customer, occurred_at=at, brand="ash",
                    category="jam & co", rating=rating, text=text, source="reviews",
                )
            )  # fmt: skip
    return found


@pytest.fixture
def settings(services, tmp_path):
    return load_settings(
        broker=services.broker,
        redis=services.redis,
        prefix=f"test-{secrets.token_hex(6)}-",
        clock="events",
        idle_after_seconds=1.0,
        partitions=2,
        data=tmp_path / "data",
    )


def test_brands_survive_a_kill_and_are_those_of_the_backtest(services, settings, tmp_path):
    sent = events()
    expected = backtest(sent, make_shop(settings)).report()["brands"]
    ensure_topics(settings.broker, settings.prefix, settings.partitions)
    assert send(sent, settings.broker, settings.prefix) == len(sent)
    env = os.environ | {
        f"STREAMSCORE_{name.upper()}": str(getattr(settings, name))
        for name in ("broker", "redis", "prefix", "clock", "idle_after_seconds", "partitions", "data")
    }
    env["STREAMSCORE_METRICS_PORT"] = "0"
    log = tmp_path / "worker.log"

    def worker():
        with log.open("ab") as file:
            return subprocess.Popen([sys.executable, "-m", "streams", "worker"], env=env, stdout=file, stderr=file)

    def shown(*words):
        command = [sys.executable, "-m", "streams", *words]
        return subprocess.run(command, env=env, capture_output=True, text=True, check=False)

    child = worker()
    try:
        with redis.Redis.from_url(services.redis, decode_responses=True) as client:
            keys, deadline = Keys(settings.prefix), time.monotonic() + 180
            wanted = {name: str(expected[name]["purchases"]) for name in expected}
            killed = False
            while {name: client.hget(keys.brand(name), "purchases") for name in wanted} != wanted:
                assert child.poll() is None, log.read_text()[-4000:]
                assert time.monotonic() < deadline, log.read_text()[-4000:]
                if not killed and client.scard(keys.brands):
                    child.kill()
                    child.wait()
                    child, killed = worker(), True
                time.sleep(0.05)
            assert client.smembers(keys.brands) == set(expected)
            time.sleep(3.0)  # what would count twice has had its time
            result = shown("brand", "ash", "--json")
            assert result.returncode == 0, result.stderr
            found = json.loads(result.stdout)["jam & co:ash"]
            for name in EXACT:
                assert found[name] == pytest.approx(expected["jam & co:ash"][name], rel=1e-12), name
            for name in ("sayings", "sayings_of_day", "mean_rating"):
                assert found["image"][name] == expected["jam & co:ash"]["image"][name], name
            assert found["image"]["negative_share"] == pytest.approx(
                expected["jam & co:ash"]["image"]["negative_share"], abs=0.1
            )
            served = client.hgetall(keys.customer("c7"))
            assert served["brand"].startswith("jam & co:")
            assert 0 < float(served["loyalty"]) < 1
            assert served["loyalty_rule"].count(" of the last ") == 1
        assert "Brand jam & co:ash" in shown("brand", "jam & co:ash").stdout
        assert shown("brand", "nobody knows it").returncode == 1
        assert "again" in shown("customer", "c7").stdout
    finally:
        child.terminate()
        child.wait(30)
