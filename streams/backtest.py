"""The same pure function over files: no Kafka, no Redis, the same report."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator
from heapq import heappop, heappush
from itertools import chain
from math import inf
from time import perf_counter
from typing import Any, Final

from models.customers.attributes import contact_pairs, of_customer
from models.learning import Learning
from models.lookahead import Followed, LookAhead, look_ahead
from models.partition import partition_of
from models.policy import DAY
from models.shard import Shop
from schemas.codec import encode, key_of, topic_of
from schemas.commit import Arrived, Opened
from schemas.events import Contact, Customer, Event
from schemas.state import CustomerState, decode_remembered
from streams.errors import Misconfigured
from streams.ledger import Entry
from streams.memory.ledger import MemoryLedger
from streams.outgoing import read_examples
from streams.reporting.report import put_together, utc
from streams.shard import Shard
from streams.sizes import Sizes

ROUND: Final = 500
"""Events handed over at once; models are published in between. An answer to a contact is learned as it matures."""
REPUBLISHED: Final = 3_600.0
"""Seconds of event time after which such answers are published, too. Live it is a second or a few."""
LABELLED: Final = 2_000
"""Of so many first events, and of one in so many after, the attributes' names are kept for the report."""
_NEVER: Final = float("-inf")


class Backtest:
    """Shards, ledger and learner of one process. Every entrant is asked at the decision, and judged on that."""

    def __init__(self, shop: Shop, judge_from: float = _NEVER, ends: float = inf) -> None:
        self.shop = shop
        self.ledger = MemoryLedger()
        self.learning = Learning(shop.policy, judge_from)
        self.learning.time_with(perf_counter)
        self.models = self.learning.serving()
        self.versions = self.learning.versions()
        self.seconds = 0.0
        self.shards: dict[int, Shard] = {}
        self.offsets: Counter[tuple[str, int]] = Counter()
        self.triggers: list[bytes] = []
        self.closings: list[float] = []
        self.entries: list[Entry] = []
        self.ends = ends
        self.published = _NEVER

    async def run(self, events: Iterable[Event]) -> None:
        """Handle events that are in event-time order, to the end."""
        began = perf_counter()
        for partition in range(self.shop.partitions):
            self.shards[partition] = Shard(await self.ledger.take(partition), self.ledger, self.shop)
        held = 0
        for event in events:
            at = event.occurred_at.timestamp()
            if self.closings and self.closings[0] <= at:
                await self._mature(at)
            self._receive(event, at)
            held += 1
            if held == ROUND:
                await self._drain()
                self.publish()
                held = 0
        await self._drain()
        for repeat in (False, True):  # who says again that it is silent holds no day open
            for shard in self.shards.values():
                await self._step(shard, idle=True, repeat=repeat)
        self._learn()
        self.publish()
        self.seconds = perf_counter() - began

    def _receive(self, event: Event, at: float) -> None:
        topic, key = topic_of(event), key_of(event)
        partition = partition_of(key, self.shop.partitions)
        offset = self.offsets[topic, partition]
        self.offsets[topic, partition] += 1
        self.shards[partition].receive([Arrived(topic, partition, offset, at, key, encode(event), event=event, at=at)])
        if isinstance(event, Customer | Contact) and (offset < LABELLED or offset % LABELLED == 0):
            pairs = (
                contact_pairs(event.campaign_id, event.channel, event.attributes)
                if isinstance(event, Contact)
                else of_customer(event.attributes)
            )
            self.learning.labels.update((pair.key, pair.label) for pair in pairs)
        if isinstance(event, Contact):
            window = event.window_seconds or self.shop.policy.response_days * DAY
            heappush(self.closings, at + window + self.shop.policy.waits("response"))

    async def _mature(self, until: float) -> None:
        """Learn every answer to a contact that is known by `until`, before anything later is decided."""
        closed = until
        while self.closings and self.closings[0] <= until:
            closed = heappop(self.closings)
        await self._drain()
        for shard in self.shards.values():
            while await self._step(shard, tick=closed):
                pass
        self._learn()
        if until >= self.published + REPUBLISHED:
            self.publish()
            self.published = until

    async def _drain(self) -> None:
        """Handle what is waiting: all decisions first, then what matured meanwhile is learned."""
        for shard in self.shards.values():
            while shard.waiting:
                await self._step(shard)
        self._learn()

    async def _step(self, shard: Shard, *, idle: bool = False, repeat: bool = False, tick: float | None = None) -> bool:
        now = _NEVER if shard.hold.place.time is None else shard.hold.place.time
        done = await shard.step(lambda _topic: True, self.models, now, idle=idle, tick=tick, repeat=repeat)
        if done is None:
            return False
        self.learning.ask([one for one in done[0].opened if self._matures(one)])
        entries = await self.ledger.outbox(shard.hold.partition, 10_000)
        self.entries += entries
        await self.ledger.trim(shard.hold.partition, entries)
        return True

    def _matures(self, opened: Opened) -> bool:
        """Whether an example can be learned before the end: entrants are not asked about what nobody will judge."""
        window = 0.0 if opened.task == "response" else self.shop.policy.window_days * DAY
        return opened.at + window <= self.ends

    def _learn(self) -> None:
        for entry in self.entries:
            record = entry.record
            if record.topic == "examples" and record.value is not None:
                self.learning.take(*read_examples(record.value))
            elif record.topic == "triggers" and record.value is not None:
                self.triggers.append(record.value)
        self.entries.clear()

    def publish(self) -> None:
        """Publish what was learned."""
        versions = self.learning.versions()
        if versions != self.versions:
            self.versions, self.models = versions, self.learning.serving()

    def report(self) -> dict[str, Any]:
        """Return the report; see `docs/report.md`."""
        present = self.models.segments.named() if self.models.segments is not None else {}
        scores = self.ledger.scores.values()
        names = (present.get(int(fields.get("segment", -1)), fields.get("segment_name", "")) for fields in scores)
        places = [shard.hold.place for shard in self.shards.values()]
        return put_together(places, Sizes().report(self.learning), Counter(names), self.seconds)


async def _advance(test: Backtest, at: float) -> None:
    """Fire every timer that is due by `at`."""
    for shard in test.shards.values():
        while await test._step(shard, tick=at):  # noqa: SLF001 - of this module
            pass
    test._learn()  # noqa: SLF001 - as above
    test.publish()


def backtest_at(events: Iterable[Event], shop: Shop, at: float, days: float) -> tuple[Backtest, LookAhead]:
    """Run events up to `at`, score everybody then, and judge by the events of the `days` that follow.

    Nothing is learned after `at`, in epoch seconds. Events are in event-time order. Where their sales end before the
    `days` do, those that are there are judged.

    Raises
    ------
    Misconfigured
        Nobody has bought by then, or nobody buys after it: there is nothing to judge.
    """
    events = iter(events)
    later: list[Event] = []

    def until() -> Iterator[Event]:
        for event in events:
            if event.occurred_at.timestamp() > at:
                later.append(event)
                return
            yield event

    test = Backtest(shop, ends=at)
    asyncio.run(test.run(until()))
    followed = Followed(at, days, shop.policy)
    for event in chain(later, events):
        if not followed.count(event):
            break
    if all(state.first_purchase is None for _, state in _customers(test)):
        raise Misconfigured(f"nobody has bought by {utc(at)}: there is nobody to score")
    if not followed.days:  # said first: timers up to a moment in the far future would take for ever
        raise Misconfigured(f"no sale follows {utc(at)}: there is nothing to judge by")
    asyncio.run(_advance(test, at))
    return test, look_ahead(dict(_customers(test)), followed, test.learning, shop.policy)


def _customers(test: Backtest) -> Iterator[tuple[str, CustomerState]]:
    for shard in test.ledger.shards.values():
        for customer, body in shard.states.items():
            yield customer, decode_remembered(body).state


def backtest(events: Iterable[Event], shop: Shop, judge_from: float = _NEVER) -> Backtest:
    """Run events that are in event-time order through shards, ledger and learner.

    Decisions before `judge_from`, in epoch seconds, are learned from and not judged.
    """
    test = Backtest(shop, judge_from)
    asyncio.run(test.run(events))
    return test
