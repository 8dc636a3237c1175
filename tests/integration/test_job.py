"""The whole job on real Kafka and Redis, beside the backtest: whatever happens, the same states."""

import itertools
import json
import os
import secrets
import signal
import subprocess
import sys
import time

import msgspec
import pytest
import redis

from schemas.codec import encode
from schemas.events import Purchase, Refund
from schemas.state import decode_remembered
from streams.backtest import backtest
from streams.kafka.producer import send
from streams.kafka.topics import ensure_topics
from streams.redis.keys import Keys
from streams.redis.packing import Packing
from streams.replay import online_retail
from streams.reporting.job import places
from streams.settings import load_settings
from streams.worker import make_shop

LINES = 40_000


@pytest.fixture(scope="module")
def events():
    return list(online_retail.events(limit=LINES))


@pytest.fixture
def settings(services, tmp_path):
    return load_settings(
        broker=services.broker,
        redis=services.redis,
        prefix=f"test-{secrets.token_hex(6)}-",
        timezone="Europe/London",
        clock="events",
        idle_after_seconds=1.0,
        partitions=2,
        data=tmp_path / "data",
        window_days=7.0,
        draw_days=5.0,
    )


def start(settings, tmp_path, only=None):
    env = os.environ | {
        f"STREAMSCORE_{name.upper()}": str(getattr(settings, name))
        for name in ("broker", "redis", "prefix", "timezone", "clock", "idle_after_seconds", "partitions", "data")
    }
    env |= {"STREAMSCORE_METRICS_PORT": "0", "STREAMSCORE_WINDOW_DAYS": "7", "STREAMSCORE_DRAW_DAYS": "5"}
    command = [sys.executable, "-m", "streams", "worker"] + ([f"--only={only}"] if only else [])
    log = (tmp_path / "worker.log").open("ab")
    return subprocess.Popen(command, env=env, stdout=log, stderr=log)


def stop(child):
    child.send_signal(signal.SIGTERM)
    assert child.wait(30) == 0


def handled(client, settings):
    return sum(at.next for place in places(client, settings) for at in place.topics.values())


def wait_for(done, child, tmp_path, seconds=90):
    deadline = time.monotonic() + seconds
    while not done():
        assert child.poll() is None, (tmp_path / "worker.log").read_text()[-4000:]
        assert time.monotonic() < deadline, (tmp_path / "worker.log").read_text()[-4000:]
        time.sleep(0.05)


def facts(body):
    """A customer's state without what depends on which model served at that moment."""
    state = decode_remembered(body).state
    if state.relation is not None:
        state.relation.churn = state.relation.value = None
    return msgspec.to_builtins(state)


def states_of_backtest(test):
    return {name: facts(body) for shard in test.ledger.shards.values() for name, body in shard.states.items()}


def states_in_redis(client, settings):
    keys = Keys(settings.prefix)
    found = {}
    for number in range(settings.partitions):
        packing = Packing(client.hgetall(keys.shard(number)))
        bodies = client.hgetall(keys.state(number))
        found |= {name.decode(): facts(packing.unpack(body)) for name, body in bodies.items()}
    return found


@pytest.mark.parametrize("kills", [0, 3], ids=["undisturbed", "killed"])
def test_the_job_and_the_backtest_agree(kills, services, settings, events, tmp_path):
    shop = make_shop(settings)
    expected = states_of_backtest(backtest(events, shop))
    ensure_topics(settings.broker, settings.prefix, settings.partitions)
    assert send(events, settings.broker, settings.prefix) == len(events)
    child = start(settings, tmp_path)
    try:
        with redis.Redis.from_url(services.redis) as client:
            for kill in range(kills):
                enough = (kill + 1) * len(events) // (kills + 2)
                wait_for(lambda: handled(client, settings) >= enough, child, tmp_path)  # noqa: B023
                child.kill()
                child.wait()
                assert handled(client, settings) < len(events)
                child = start(settings, tmp_path)
            wait_for(lambda: handled(client, settings) >= len(events), child, tmp_path)
            assert handled(client, settings) == len(events)
            found = states_in_redis(client, settings)
            assert found.keys() == expected.keys()
            assert found == expected
            keys = Keys(settings.prefix)
            wait_for(lambda: not any(client.hlen(keys.outbox(n)) for n in range(2)), child, tmp_path)
            total = sum_of_sales(events)
            wait_for(lambda: sales_total(client, keys, "all") == total, child, tmp_path)
            parts = [name.decode() for name in client.smembers(keys.series) if name != b"all"]
            assert round(sum(sales_total(client, keys, name) for name in parts), 4) == total
            assert {client.hget(keys.sales(name), "currency") for name in ("all", *parts)} == {b"GBP"}
        stop(child)
    finally:
        child.kill()


def sales_total(client, keys, series):
    return round(float(client.hget(keys.sales(series), "total") or 0), 4)


def sum_of_sales(events):
    total = 0
    for event in events:
        if isinstance(event, Purchase | Refund):
            sign = 1 if isinstance(event, Purchase) else -1
            total += sign * sum(round(line.quantity * line.unit_price * 10_000) for line in event.lines)
    return total / 10_000


def test_a_customer_is_served_with_scores_reasons_and_versions(services, settings, events, tmp_path):
    child = start(settings, tmp_path)
    try:
        some = [event for event in itertools.islice(events, 300) if event.customer_id]
        ensure_topics(settings.broker, settings.prefix, settings.partitions)
        broken = some[0].customer_id.encode()
        send(some, settings.broker, settings.prefix)
        poison(settings, broken)
        with redis.Redis.from_url(services.redis, decode_responses=True) as client:
            raw = redis.Redis.from_url(services.redis)
            wait_for(lambda: handled(raw, settings) == len(some) + 1, child, tmp_path)
            keys = Keys(settings.prefix)
            for customer in {event.customer_id for event in some}:
                fields = client.hgetall(keys.customer(customer))
                assert fields.keys() >= {"orders", "segment", "segment_name", "response", "churn", "value"}
                assert json.loads(fields["models"]).keys() == {"response", "churn", "value", "segments"}
                assert json.loads(fields["explanation"]).keys() == {"response", "churn", "value"}
            assert dead_letters(settings) == [(b"{not json", b"undecodable")]
        stop(child)
    finally:
        child.kill()


def poison(settings, key):
    import kafka

    from models.partition import partition_of

    producer = kafka.KafkaProducer(bootstrap_servers=settings.broker)
    topic = f"{settings.prefix}transactions"
    producer.send(topic, b"{not json", key=key, partition=partition_of(key, settings.partitions)).get(10)
    producer.close()


def dead_letters(settings):
    import kafka

    topic = f"{settings.prefix}dead-letters"
    consumer = kafka.KafkaConsumer(
        topic, bootstrap_servers=settings.broker, auto_offset_reset="earliest", consumer_timeout_ms=5_000
    )
    found = [(record.value, dict(record.headers)["streamscore-reason"]) for record in itertools.islice(consumer, 1)]
    consumer.close()
    return found


def test_the_data_are_what_the_backtest_read(events):
    assert all(encode(event) for event in events)


def forgotten(settings, customer):
    env = os.environ | {f"STREAMSCORE_{name.upper()}": str(getattr(settings, name)) for name in ("broker", "prefix")}
    command = [sys.executable, "-m", "streams", "forget", customer]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)


def traces(client, settings, customer):
    """Keys under the job's prefix that name a customer, or hold the name."""
    found = []
    for key in client.scan_iter(f"{settings.prefix}*", 1_000):
        read = {
            b"hash": client.hgetall,
            b"string": client.get,
            b"set": client.smembers,
            b"zset": lambda k: client.zrange(k, 0, -1),
            b"none": lambda _k: None,  # gone since: a piece of an older snapshot
        }
        if customer.encode() in key + repr(read[client.type(key)](key)).encode():
            found.append(key)
    return found


def test_who_is_forgotten_leaves_no_trace_and_is_a_stranger_afterwards(services, settings, events, tmp_path):
    child = start(settings, tmp_path)
    name = "who-leaves"
    mine = [
        msgspec.structs.replace(event, customer_id=name, event_id=f"mine-{n}")
        for n, event in enumerate(itertools.islice((e for e in events if e.customer_id), 0, 4_000, 100))
    ]
    others = [event for event in itertools.islice(events, 4_000) if event.customer_id]
    some = sorted([*mine, *others], key=lambda event: event.occurred_at)
    try:
        ensure_topics(settings.broker, settings.prefix, settings.partitions)
        send(some, settings.broker, settings.prefix)
        with redis.Redis.from_url(services.redis) as client:
            wait_for(lambda: handled(client, settings) == len(some), child, tmp_path)
            keys = Keys(settings.prefix)
            assert client.hget(keys.customer(name), "orders") is not None
            assert len(traces(client, settings, name)) >= 3  # scores, state, timer
            done = forgotten(settings, name)
            assert done.returncode == 0, done.stderr
            wait_for(lambda: not client.exists(keys.customer(name)), child, tmp_path)
            wait_for(lambda: not any(client.hlen(keys.outbox(n)) for n in range(2)), child, tmp_path)
            assert traces(client, settings, name) == []
            assert not any(name.encode() in (value or b"") + repr(key).encode() for key, value in examples(settings))
            again = msgspec.structs.replace(mine[-1], event_id="again")
            send([again], settings.broker, settings.prefix)
            wait_for(lambda: client.exists(keys.customer(name)), child, tmp_path)
            assert client.hget(keys.customer(name), "orders") == b"1"
        assert forgotten(settings, "").returncode == 1
        stop(child)
    finally:
        child.kill()


def examples(settings):
    import kafka

    consumer = kafka.KafkaConsumer(
        f"{settings.prefix}examples", bootstrap_servers=settings.broker, auto_offset_reset="earliest",
        consumer_timeout_ms=3_000,
    )  # fmt: skip
    found = [(record.key, record.value) for record in consumer]
    consumer.close()
    assert found
    return found


def test_a_flood_of_poison_stops_the_worker_and_again_when_it_is_started_again(services, settings, events, tmp_path):
    import kafka

    ensure_topics(settings.broker, settings.prefix, settings.partitions)
    producer = kafka.KafkaProducer(bootstrap_servers=settings.broker)
    for number in range(6_000):
        producer.send(f"{settings.prefix}transactions", b"{not json %d" % number, key=b"k", partition=number % 2)
    producer.flush()
    producer.close()
    with redis.Redis.from_url(services.redis) as client:
        for _ in range(2):
            child = start(settings, tmp_path, "scoring")
            try:
                assert child.wait(60) == 1
            finally:
                child.kill()
            assert 0 < handled(client, settings) < 2_000
    said = " ".join((tmp_path / "worker.log").read_text().split())
    assert said.count("cannot be used, the last at offset") == 2
    assert "Traceback" not in said
