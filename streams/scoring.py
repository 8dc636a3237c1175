"""The scoring agent: which shards are this worker's, and what they read."""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any, Final

from faust.types import TP

from models.shard import Shop
from schemas.codec import INPUT_TOPICS
from schemas.commit import Arrived, pending_examples
from streams.admit import admit
from streams.errors import Fenced, Misconfigured, Unavailable
from streams.guarded import guarded
from streams.held import Held, back_off
from streams.kafka.logs import Logs
from streams.kafka.relay import RelayThread
from streams.kafka.transport import ChunkedApp, make_app
from streams.metrics import Metrics
from streams.redis.ledger import RedisLedger
from streams.redis.models import EVERY, ModelFeed
from streams.settings import Settings
from streams.shard import Done, Shard

PATIENCE: Final = 10.0
"""Seconds that a topic is waited for without a word."""
REPORT: Final = 5.0
"""Seconds between commits of offsets to Kafka, for monitors of lag."""
FINISH: Final = 2.5
LONGEST: Final = 0.5
"""Seconds. While a chunk is handled its process does nothing else: no heartbeat, no health check, no other shard."""
logger = logging.getLogger(__name__)


class Scoring:
    """Everything between the input topics and the scores, on one worker.

    Parameters
    ----------
    fail
        Called with an error that nobody expected: the worker stops.
    """

    def __init__(
        self,
        settings: Settings,
        shop: Shop,
        ledger: RedisLedger,
        feed: ModelFeed,
        metrics: Metrics,
        fail: Callable[[BaseException], None],
    ) -> None:
        self.settings, self.shop, self.ledger, self.feed = settings, shop, ledger, feed
        self.metrics, self.fail = metrics, fail
        self.held: dict[int, Held] = {}
        self.retaking: dict[int, asyncio.Task[None]] = {}
        self.stood: dict[int, dict[TP, int]] = {}
        self.seeking = asyncio.Lock()
        self.stopping = False
        broker = settings.kafka
        name = f"{settings.prefix}streamscore-scoring"
        self.app: ChunkedApp = make_app(name, broker, str(settings.data / "faust-scoring"), self.given, self.assigned)
        self.relay, self.logs = RelayThread(broker, settings.prefix), Logs(broker)
        topics = [settings.prefix + topic for topic in INPUT_TOPICS]
        source = self.app.topic(*topics, value_type=bytes, value_serializer="raw", key_type=bytes, key_serializer="raw")
        self.app.agent(source, name="scoring")(self._receive)
        self.background: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Join the group. Raises `Unavailable`."""
        await self.feed.look()
        await self.relay.start()
        loops = (self._follow_models, self._measure, self._report, self._watch)
        self.background = [asyncio.create_task(guarded(self.fail, loop)) for loop in loops]
        await self.app.start()

    async def stop(self) -> None:
        """Finish the chunks in work, leave the group, let go of all shards."""
        self.stopping = True
        for task in [*self.background, *self.retaking.values()]:
            task.cancel()
        await asyncio.gather(*(held.finish(FINISH) for held in self.held.values()))
        await self.app.stop()
        await self.relay.stop()
        await self.logs.stop()

    # Assignment.

    def given(self, tps: set[TP]) -> None:
        """Let go of shards that Kafka has given to others. What stays reads nothing until it has sought."""
        numbers = {tp.partition for tp in tps}
        for number in [number for number in self.held if number not in numbers]:
            self._drop(number)
        for held in self.held.values():
            held.ready = False

    async def assigned(self, tps: set[TP]) -> None:
        """Take what is new, keep what stays with head and memory, and seek to where each one's inboxes end."""
        topics = defaultdict(set)
        for tp in tps:
            topics[tp.partition].add(tp)
        for number, some in topics.items():
            if len(some) != len(INPUT_TOPICS):
                names = sorted(tp.topic for tp in some)
                self.fail(Misconfigured(f"shard {number} is torn: this worker was given only {names} of it"))
                return
        async with self.seeking:
            new = [number for number in topics if number not in self.held]
            await asyncio.gather(*(self._take_or_later(number) for number in new))
            for number in topics:
                if number in self.held:
                    await self._seek(self.held[number])

    async def _take_or_later(self, number: int) -> None:
        try:
            await self._take(number)
        except Unavailable as error:
            logger.warning("Shard %d cannot be taken yet: %s", number, error)
            self._take_again(number)
        except Exception as error:  # noqa: BLE001 - stop loudly
            self.fail(error)

    async def _take(self, number: int) -> None:
        hold = await self.ledger.take(number)
        shard = Shard(hold, self.ledger, self.shop, self.settings.chunk_size, LONGEST)
        lost = await self.logs.check(hold.place.topics, number, self.settings)
        if lost:
            hold.place.totals["missing"] = hold.place.totals.get("missing", 0) + lost
        left = await self.ledger.outbox(number)
        held = Held(shard, left, self.settings, self.app.consumer)
        self.held[number] = held
        held.tasks = [
            asyncio.create_task(guarded(self.fail, self._work, held)),
            asyncio.create_task(guarded(self.fail, held.send, self.relay, self.ledger)),
        ]

    async def _seek(self, held: Held) -> None:
        """Read on from where the inboxes end. Whoever calls this holds `seeking`."""
        held.ready, held.missed = False, True
        while held.missed:
            held.missed = False
            for tp in held.places():
                self.app.consumer.on_buffer_full(tp)
            if not await self.app.consumer.go_to(held.places()):
                return
        held.ready = True
        for tp in held.places():
            self.app.consumer.on_buffer_drop(tp)

    def _drop(self, number: int) -> Held:
        held = self.held.pop(number)
        held.cancel()
        self.stood[number] = held.handled()
        return held

    def _start_again(self, held: Held, why: object) -> None:
        """End a shard whose chunk ended without a known commit, or whose records do not follow."""
        if self.held.get(held.number) is held:
            logger.warning("Shard %d starts again: %s", held.number, why)
            self._drop(held.number)
            self._take_again(held.number)

    def _take_again(self, number: int) -> None:
        if self.stopping:
            return
        for tp in self._tps(number):
            self.app.consumer.on_buffer_full(tp)
        if number not in self.retaking or self.retaking[number].done():
            self.retaking[number] = asyncio.create_task(guarded(self.fail, self._retake, number))

    async def _retake(self, number: int) -> None:
        """Take a shard again, only if it is in the present assignment and Kafka says so too."""
        attempt = 0
        while number not in self.held:
            await asyncio.sleep(back_off(attempt))
            attempt += 1
            mine = self._tps(number)
            if not mine <= self.app.consumer.assignment():
                return
            stood = self.stood.get(number, dict.fromkeys(mine, 0))
            if not await self.app.consumer.confirm(stood):
                continue
            async with self.seeking:
                if number in self.held or not mine <= self.app.consumer.assignment():
                    return
                try:
                    await self._take(number)
                except Unavailable as error:
                    logger.warning("Shard %d, again in %.1f s: %s", number, back_off(attempt), error)
                    continue
                await self._seek(self.held[number])

    def _tps(self, number: int) -> set[TP]:
        return {TP(self.settings.prefix + topic, number) for topic in INPUT_TOPICS}

    # Records and work.

    async def _receive(self, stream: Any) -> None:
        async for event in stream.events():
            tp, records = event.message.tp, event.value
            held = self.held.get(tp.partition)
            if held is None:
                self.app.consumer.on_buffer_full(tp)  # until it is taken
                continue
            if records.answer.seeks != self.app.consumer.seeks(tp):
                continue
            if not held.ready:  # one topic has sought and the others have not: nobody would read these again
                held.missed = True
                continue
            topic = str(tp.topic).removeprefix(self.settings.prefix)
            arrived = [admit(_arrived(record, topic, tp.partition), self.shop.partitions) for record in records]
            if not held.receive(topic, records.answer, arrived):
                self._start_again(held, f"{tp.topic}: what came does not follow what is here")

    async def _work(self, held: Held) -> None:
        try:
            await held.work(lambda: self.feed.current, self._account)
        except (Fenced, Unavailable) as error:
            self._start_again(held, error)

    def _account(self, done: Done, seconds: float) -> None:
        self.metrics.committed(done.commit)
        self.metrics.commit.observe(seconds)
        if done.records:
            self.metrics.chunk.observe(len(done.records))
        now = time.time()
        for record in done.records:
            self.metrics.event_to_score.observe(max(now - record.sent_at, 0.0))

    # Around it.

    async def _follow_models(self) -> None:
        away = False
        while True:
            try:
                await self.feed.look()
                away = False
            except Unavailable as error:
                if not away:
                    logger.warning("Models cannot be read, the present ones go on: %s", error)
                away = True
            await asyncio.sleep(EVERY)

    async def _watch(self) -> None:
        """Look for what no event tells: another server, a topic that does not answer, a Faust that has ended."""
        looked = 0.0
        while True:
            await asyncio.sleep(0.25)
            if self.app.crashed:
                raise self.app.crash_reason or RuntimeError("Faust has ended")
            for held in list(self.held.values()):
                if held.shard.hold.epoch != self.ledger.server.epoch:
                    self._start_again(held, "Redis was restarted, or is another one")
            now = time.monotonic()
            waits = [(held, topic) for held in self.held.values() for topic in held.waited_for(now, PATIENCE)]
            if waits and now > looked + PATIENCE:
                looked = now
                for held, topic in waits:
                    logger.warning("%s-%d is waited for: the broker does not answer", topic, held.number)
                    await self._look_at_logs(held)

    async def _look_at_logs(self, held: Held) -> None:
        try:
            if not await self.logs.fits(held.shard.hold.place.topics, held.number, self.settings):
                self._start_again(held, "its topics have changed")  # taking it says how, and what to do
            elif held.waited_for(time.monotonic(), PATIENCE):
                self._start_again(held, "the broker answers, and what is waited for does not come")
        except Unavailable as error:
            logger.warning("Kafka cannot be asked about shard %d: %s", held.number, error)

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(REPORT)
            places = {tp: offset for held in self.held.values() for tp, offset in held.handled().items()}
            if places:
                await self.app.consumer.confirm(places)

    async def _measure(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            self.metrics.lagging(self._lags(), INPUT_TOPICS)
            now = time.monotonic()
            self.metrics.waited({tp: now - since for tp, since in self._waits(now)})
            self.metrics.pending(sum(len(held.outbox) for held in self.held.values()))
            places = [held.shard.hold.place for held in self.held.values()]
            self.metrics.examples_pending(pending_examples(places))

    def _lags(self) -> dict[tuple[str, int], float]:
        lags: dict[tuple[str, int], float] = {}
        for number, held in self.held.items():
            for topic in INPUT_TOPICS:
                answer = self.app.consumer.answers.get(held.tp(topic))
                if answer is not None:
                    lags[topic, number] = max(answer.end - held.shard.hold.place.topics[topic].next, 0)
        return lags

    def _waits(self, now: float) -> Iterator[tuple[tuple[str, int], float]]:
        """Topics of the shards here, and since when they are waited for: now, where they are not."""
        for number, held in self.held.items():
            held.waited_for(now, PATIENCE)
            for topic in INPUT_TOPICS:
                yield (topic, number), held.waiting_since.get(topic, now)

    def missing(self) -> list[str]:
        """Return what keeps this worker from being ready, in words."""
        given = {tp.partition for tp in self.app.consumer.assignment()} if self.app.started else set()
        if not given | self.held.keys():
            return ["it has no partition yet: it is joining, or there are more workers than partitions"]
        now = time.monotonic()
        taken = [f"shard {number} is not taken yet" for number in sorted(given - self.held.keys())]
        return taken + [
            f"{topic}-{number} has been waited for {now - held.waiting_since[topic]:.0f} s"
            for number, held in self.held.items()
            for topic in held.waited_for(now, PATIENCE)
        ]


def _arrived(record: Any, topic: str, partition: int) -> Arrived:
    headers = tuple((name, value) for name, value in record.headers or ())
    return Arrived(topic, partition, record.offset, record.timestamp / 1000, record.key, record.value, headers)
