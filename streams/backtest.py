"""The same pure function over files: no Kafka, no Redis, the same report."""

import asyncio
from collections import Counter
from collections.abc import Iterable
from time import perf_counter
from typing import Any, Final

import numpy as np

from models.learning import Learning
from models.partition import partition_of
from models.shard import Shop
from schemas.codec import encode, key_of, topic_of
from schemas.commit import Arrived, Commit
from schemas.events import Event
from streams.ledger import Entry
from streams.memory.ledger import MemoryLedger
from streams.outgoing import read_examples
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
        self.tally = Tally()
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
        self.tally.seconds = perf_counter() - began

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
        done = await shard.step(lambda _topic: True, self.models, shard.hold.place.time or _NEVER, idle=idle)
        if done is not None:
            self.tally.add(done[0])
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
        return self.tally.report() | self.learning.report() | {"segments": segments(self.learning, self.ledger.scores)}


def segments(learning: Learning, scores: dict[str, dict[str, str]]) -> dict[str, Any]:
    """Return the report's part on segments; sizes are of served customers, by name."""
    sizes = Counter(fields.get("segment_name", "not known yet") for fields in scores.values())
    quality = learning.clusters.quality()
    return {
        "count": len(learning.clusters.centres),
        "sizes": dict(sizes.most_common()),
        "ssq_ratio": quality["ssq_ratio"],
        "stability": quality["stability"],
    }


class Tally:
    """Sums what commits did."""

    def __init__(self) -> None:
        self.events: Counter[str] = Counter()
        self.triggers: Counter[str] = Counter()
        self.suppressed: Counter[tuple[str, str]] = Counter()
        self.dead: Counter[str] = Counter()
        self.seconds = 0.0
        self.delays: list[float] = []

    def add(self, commit: Commit) -> None:
        """Add one commit's counts."""
        counts = commit.counts
        for (_, outcome), n in counts.events.items():
            self.events[outcome] += n
        self.triggers.update(counts.triggers)
        self.suppressed.update(counts.suppressed)
        self.dead.update(counts.dead)

    def report(self) -> dict[str, Any]:
        """Return `events`, `throughput`, `latency` and `campaigns` of the report."""
        read = sum(self.events.values())
        quantiles: dict[str, float | None] = {"p50": None, "p95": None, "p99": None}
        if self.delays:
            p50, p95, p99 = np.quantile(np.array(self.delays), [0.5, 0.95, 0.99]).tolist()
            quantiles = {"p50": p50, "p95": p95, "p99": p99}
        return {
            "events": {
                "read": read,
                "scored": read - self.events["late"] - self.events["duplicate"] - self.events["dead_letter"],
                **{outcome: self.events[outcome] for outcome in ("late", "duplicate", "dead_letter")},
            },
            "throughput": {
                "events": read,
                "seconds": self.seconds,
                "events_per_second": read / self.seconds if self.seconds else None,
            },
            "latency": {"event_to_score_seconds": quantiles},
            "campaigns": {name: self._campaign(name) for name in self._campaigns()},
        }

    def _campaigns(self) -> list[str]:
        return sorted({*self.triggers, *(campaign for campaign, _ in self.suppressed)})

    def _campaign(self, name: str) -> dict[str, Any]:
        suppressed = {reason: n for (campaign, reason), n in sorted(self.suppressed.items()) if campaign == name}
        return {"triggers": self.triggers[name], "suppressed": suppressed, "uplift": None, "uplift_interval": None}


def backtest(events: Iterable[Event], shop: Shop) -> Backtest:
    """Run events that are in event-time order through shards, ledger and learner."""
    test = Backtest(shop)
    asyncio.run(test.run(events))
    return test
