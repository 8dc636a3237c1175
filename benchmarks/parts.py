"""CPU time an event of the scoring path by part: no Kafka, no Redis, no learning.

`python benchmarks/parts.py` lets shards on the ledger in memory handle simulated events, with models that were
learned from other customers, and adds what the ledger on Redis packs. On a shared machine compare two versions by
turns, and look at the least of several runs.
"""

import argparse
import asyncio
import gc
import importlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import process_time
from typing import Any

from events import learned_models, simulated
from stage import make_settings

from models.partition import partition_of
from models.serving_set import ServingSet
from models.shard import Shop
from schemas.codec import encode, key_of, topic_of
from schemas.commit import Arrived
from schemas.events import Event
from streams.admit import admit
from streams.memory.ledger import MemoryLedger
from streams.outgoing import records
from streams.shard import Shard
from streams.worker import YOUNG, make_shop

PARTS = {
    "walk": ("models.shard.handle", "walk"),
    "score": ("models.shard.handle", "score"),
    "write scores": ("models.shard.handle", "write_scores"),
    "write states": ("models.shard.handle", "write_states"),
    "write examples": ("models.shard.handle", "write_examples"),
    "decide, and the rest of handle": ("streams.shard", "handle"),
    "decode": ("streams.admit", "decode"),
}
"""Part -> where the function is looked up by who calls it. Each is counted without the parts inside."""


class Spent:
    """CPU seconds by part."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._inner: list[float] = []

    @contextmanager
    def on(self, part: str) -> Iterator[None]:
        began = process_time()
        self._inner.append(0.0)
        try:
            yield
        finally:
            took = process_time() - began
            self.seconds[part] += took - self._inner.pop()
            if self._inner:
                self._inner[-1] += took

    def wrap(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*given: Any, **named: Any) -> Any:
            with self.on(part):
                return function(*given, **named)

        return timed


def arrivals(events: Iterator[Event], partitions: int) -> list[Arrived]:
    """Records as Kafka would bring them."""
    offsets: dict[tuple[str, int], int] = defaultdict(int)
    found = []
    for event in events:
        topic, key = topic_of(event), key_of(event)
        number = partition_of(key, partitions)
        offset = offsets[topic, number]
        offsets[topic, number] += 1
        found.append(Arrived(topic, number, offset, event.occurred_at.timestamp(), key, encode(event)))
    return found


async def measure(arrived: list[Arrived], shop: Shop, models: ServingSet, spent: Spent) -> int:
    """Handle all records; return the number of chunks."""
    ledger, chunks = MemoryLedger(), 0
    shards = [Shard(await ledger.take(number), ledger, shop) for number in range(shop.partitions)]
    with spent.on("admit"):
        for record in arrived:
            shards[record.partition].receive([admit(record, shop.partitions)])
    gc.freeze()  # a worker does not hold all records at once
    for shard in shards:
        while shard.waiting:
            with spent.on("order, load, commit in memory"):
                done = await shard.step(lambda _topic: True, models, float("-inf"))
            with spent.on("examples and other records to bytes"):
                list(records(done.commit))
            chunks += 1
    return chunks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=30_000)
    parser.add_argument("--customers", type=int, default=1_000)
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    settings = make_settings("none:1", "redis://none", Path(), asked.partitions)
    models = learned_models(settings, asked.seed + 1_000)
    arrived = arrivals(simulated(asked.customers, asked.events, asked.seed), asked.partitions)
    spent = Spent()
    for part, (module, name) in PARTS.items():
        home = importlib.import_module(module)
        setattr(home, name, spent.wrap(part, getattr(home, name)))
    gc.collect()
    gc.set_threshold(YOUNG, 20, 20)
    chunks = asyncio.run(measure(arrived, make_shop(settings), models, spent))
    for part, seconds in sorted(spent.seconds.items(), key=lambda item: -item[1]):
        print(f"{1e6 * seconds / asked.events:8.1f} µs an event  {part}")
    print(f"{1e6 * sum(spent.seconds.values()) / asked.events:8.1f} µs an event in {chunks} chunks")


if __name__ == "__main__":
    main()
