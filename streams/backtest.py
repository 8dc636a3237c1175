"""The same pure function over files: no Kafka, no Redis, the same report."""

import asyncio
from collections import Counter
from collections.abc import Iterable
from time import perf_counter
from typing import Any, Final

from models.learning import Learning
from models.partition import partition_of
from models.shard import Shop
from schemas.codec import encode, key_of, topic_of
from schemas.commit import Arrived
from schemas.events import Event
from streams.ledger import Entry
from streams.memory.ledger import MemoryLedger
from streams.outgoing import read_examples
from streams.report import put_together
from streams.shard import Shard

ROUND: Final = 500
"""Events handed over at once; models are learned and compiled in between."""
_NEVER: Final = float("-inf")


class Backtest:
    """Shards, ledger and learner of one process."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.ledger = MemoryLedger()
        self.learning = Learning(shop.policy)
        self.models = self.learning.serving()
        self.versions = self.learning.versions()
        self.seconds = 0.0
        self.shards: dict[int, Shard] = {}
        self.offsets: Counter[tuple[str, int]] = Counter()
        self.triggers: list[bytes] = []

    async def run(self, events: Iterable[Event]) -> None:
        """Handle events that are in event-time order, to the end."""
        began = perf_counter()
        for partition in range(self.shop.partitions):
            self.shards[partition] = Shard(await self.ledger.take(partition), self.ledger, self.shop)
        held = 0
        for event in events:
            self._receive(event)
            held += 1
            if held == ROUND:
                await self._drain()
                held = 0
        await self._drain()
        for shard in self.shards.values():
            await self._step(shard, idle=True)
        self.learn()
        self.seconds = perf_counter() - began

    def _receive(self, event: Event) -> None:
        topic, key = topic_of(event), key_of(event)
        partition = partition_of(key, self.shop.partitions)
        offset = self.offsets[topic, partition]
        self.offsets[topic, partition] += 1
        at = event.occurred_at.timestamp()
        self.shards[partition].receive([Arrived(topic, partition, offset, at, key, encode(event), event=event, at=at)])

    async def _drain(self) -> None:
        for shard in self.shards.values():
            while shard.waiting:
                await self._step(shard)
        self.learn()

    async def _step(self, shard: Shard, *, idle: bool = False) -> None:
        now = _NEVER if shard.hold.place.time is None else shard.hold.place.time
        await shard.step(lambda _topic: True, self.models, now, idle=idle)
        entries = await self.ledger.outbox(shard.hold.partition, 10_000)
        self._relay(entries)
        await self.ledger.trim(shard.hold.partition, entries)

    def _relay(self, entries: list[Entry]) -> None:
        for entry in entries:
            record = entry.record
            if record.topic == "examples" and record.value is not None:
                self.learning.take(*read_examples(record.value))
            elif record.topic == "triggers" and record.value is not None:
                self.triggers.append(record.value)

    def learn(self) -> None:
        """Publish what was learned."""
        versions = self.learning.versions()
        if versions != self.versions:
            self.versions, self.models = versions, self.learning.serving()

    def report(self) -> dict[str, Any]:
        """Return the report; see `docs/report.md`."""
        present = dict(enumerate(self.models.segments.names)) if self.models.segments is not None else {}
        scores = self.ledger.scores.values()
        names = (present.get(int(fields.get("segment", -1)), fields.get("segment_name", "")) for fields in scores)
        places = [shard.hold.place for shard in self.shards.values()]
        return put_together(places, self.learning.report(), Counter(names), self.seconds)


def backtest(events: Iterable[Event], shop: Shop) -> Backtest:
    """Run events that are in event-time order through shards, ledger and learner."""
    test = Backtest(shop)
    asyncio.run(test.run(events))
    return test
