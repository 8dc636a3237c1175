"""The delay of a lone event: an idle worker, one event, and Redis asked until its score is there."""

import random
import statistics
import time
from datetime import datetime, timedelta

from events import simulated
from stage import await_done, connect, fill, handled, publish
from variants import workers

from models.partition import partition_of
from models.serving_set import ServingSet
from schemas.codec import encode, key_of, topic_of
from schemas.events import Customer, Line, Purchase
from streams.redis.keys import Keys
from streams.settings import Settings

PATIENCE = 10.0


def lone_events(settings: Settings, models: ServingSet, count: int, seed: int) -> dict[str, float]:
    """Seconds from `produce` until Redis shows the event's score: quantiles over `count` events, one at a time."""
    from confluent_kafka import Producer

    known = [event for event in simulated(500, 4_000, seed) if isinstance(event, Purchase | Customer)]
    sent = fill(settings, known)
    producer = Producer({"bootstrap.servers": settings.given("broker"), "acks": "all", "linger.ms": 0})
    draw, delays = random.Random(seed), []
    with connect(settings) as client, workers(settings) as (_, ended):
        publish(client, settings, models)
        await_done(lambda: handled(client, settings) >= sent, ended)
        for number in range(count):
            time.sleep(draw.uniform(0.02, 0.2))
            at = known[-1].occurred_at + timedelta(seconds=number + 1)
            delays.append(_one(client, producer, settings, f"c{draw.randrange(500)}", at))
    producer.flush(10)
    cuts = statistics.quantiles(delays, n=100, method="inclusive")
    return {name: round(cuts[at - 1], 5) for name, at in (("p50", 50), ("p95", 95), ("p99", 99))}


def _one(client, producer, settings: Settings, customer: str, at: datetime) -> float:
    line = Line(product_id="p1", category="home", brand="b1", quantity=1, unit_price=5.0)
    event = Purchase(
        event_id=f"lone-{at}", customer_id=customer, occurred_at=at, currency="GBP", channel="web", lines=(line,)
    )
    key, name = key_of(event), Keys(settings.prefix).customer(customer)
    partition = partition_of(key, settings.partitions)
    before, began = client.hget(name, "orders"), time.perf_counter()
    producer.produce(settings.prefix + topic_of(event), encode(event), key, partition)
    producer.poll(0)
    while client.hget(name, "orders") == before:
        if time.perf_counter() > began + PATIENCE:
            raise RuntimeError(f"the event of {at} has no score after {PATIENCE:.0f} s")
    return time.perf_counter() - began
