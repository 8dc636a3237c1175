"""What a customer takes in Redis: state, scores, timer and pending examples."""

import asyncio
import time
from itertools import islice
from typing import Any

from events import simulated
from stage import connect

from models.partition import partition_of
from models.serving_set import ServingSet
from schemas.codec import encode, key_of, topic_of
from schemas.commit import Arrived
from streams.redis.client import connect as connect_async
from streams.redis.keys import Keys
from streams.redis.ledger import RedisLedger
from streams.settings import Settings
from streams.shard import Shard
from streams.worker import make_shop

EVENTS_EACH, DAYS = 12, 270
ROUND = 20_000
SAMPLE = 2_000


async def _store(settings: Settings, models: ServingSet, customers: int, seed: int) -> None:
    """The worker's own shards on the real ledger; Kafka has no part in it, and outboxes are emptied."""
    client = connect_async(settings.given("redis"))
    ledger, shop = RedisLedger(client, Keys(settings.prefix)), make_shop(settings)
    shards = [Shard(await ledger.take(n), ledger, shop) for n in range(settings.partitions)]
    offsets: dict[tuple[str, int], int] = {}
    waiting = 0
    for event in simulated(customers, customers * EVENTS_EACH, seed, DAYS):
        topic, key = topic_of(event), key_of(event)
        n = partition_of(key, settings.partitions)
        offset = offsets[topic, n] = offsets.get((topic, n), -1) + 1
        at = event.occurred_at.timestamp()
        shards[n].receive([Arrived(topic, n, offset, at, key, encode(event), event=event, at=at)])
        waiting += 1
        if waiting == ROUND:
            await _drain(shards, models)
            waiting = 0
    await _drain(shards, models)
    for n in range(settings.partitions):
        await client.delete(Keys(settings.prefix).outbox(n))
    await client.aclose()


async def _drain(shards: list[Shard], models: ServingSet) -> None:
    for shard in shards:
        while shard.waiting:
            await shard.step(lambda _topic: True, models, float("-inf"))


def _settled(client: Any) -> int:
    """`used_memory` once what was deleted is freed, and no rewrite of the log has buffers of its own."""
    while client.info("memory")["lazyfree_pending_objects"] or client.info("persistence")["aof_rewrite_in_progress"]:
        time.sleep(0.1)
    return int(client.info("memory")["used_memory"])


def bytes_per_customer(settings: Settings, models: ServingSet, customers: int, seed: int) -> dict[str, float]:
    """Growth of `used_memory` over the number of customers stored, in bytes; and of what it is made."""
    with connect(settings) as client:
        if not client.dbsize():  # nothing to be kept apart from: keys have no prefix, as by default
            settings = settings.model_copy(update={"prefix": ""})
        before = client.info("memory")["used_memory"]
        asyncio.run(_store(settings, models, customers, seed))
        after = _settled(client)
        keys, prefix = Keys(settings.prefix), settings.prefix
        numbers = range(settings.partitions)
        stored = sum(client.hlen(keys.state(n)) for n in numbers)
        names = list(islice(client.scan_iter(f"{prefix}customer:*", count=1_000), SAMPLE))
        hashes = sum(client.memory_usage(name, samples=0) for name in names) / len(names)
        states = sum(client.memory_usage(keys.state(n), samples=5_000) for n in numbers) / stored
        timers = sum(client.memory_usage(keys.timers(n), samples=5_000) for n in numbers) / stored
        parts = {"all": (after - before) / stored, "customers": stored}
        parts |= {"scores": hashes, "state": states, "timer": timers}
        for name in client.scan_iter(f"{prefix}*", count=5_000):
            client.unlink(name)
        return {name: round(value, 1) for name, value in parts.items()}
