"""The scoring agent: shards of this worker, their chunks, their commits, and what they send on."""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any, Final

from faust.types import TP

from models.shard import Shop
from schemas.codec import INPUT_TOPICS
from schemas.commit import Arrived, Commit
from streams.admit import admit
from streams.errors import Fenced, Misconfigured, Unavailable
from streams.kafka.producer import Relay
from streams.kafka.transport import ChunkedApp, make_app
from streams.metrics import Metrics
from streams.redis.ledger import RedisLedger
from streams.redis.models import EVERY, ModelFeed
from streams.settings import Settings
from streams.shard import Shard

FULL, LOW = 4_000, 1_000
"""Records of one topic in an inbox: at the first it is paused, below the second resumed."""
LOOK: Final = 0.02
"""Seconds between looks for the end of a topic, which brings no record."""
TICK: Final = 1.0
BACK_OFF: Final = (0.1, 0.3, 1.0, 3.0)
logger = logging.getLogger(__name__)


class Held:
    """A shard in work: where its topics stand, and its two tasks."""

    def __init__(self, shard: Shard) -> None:
        self.shard = shard
        self.next = {topic: at.next for topic, at in shard.hold.place.topics.items()}
        self.full: set[str] = set()
        self.wake, self.sent = asyncio.Event(), asyncio.Event()
        self.sent.set()  # what an earlier holder left in the outbox is sent first
        self.tasks: list[asyncio.Task[None]] = []
        self.heard = time.monotonic()
        self.ticked = 0.0
        self.waiting_since: dict[str, float] = {}

    def stop(self) -> None:
        """Cancel both tasks; a commit on its way is fenced by the next holder."""
        for task in self.tasks:
            task.cancel()


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
        broker = settings.given("broker")
        name = f"{settings.prefix}streamscore-scoring"
        self.app: ChunkedApp = make_app(name, broker, str(settings.data / "faust-scoring"), self.assigned)
        self.relay = Relay(broker, settings.prefix)
        topics = [settings.prefix + topic for topic in INPUT_TOPICS]
        source = self.app.topic(*topics, value_type=bytes, value_serializer="raw", key_type=bytes, key_serializer="raw")
        self.app.agent(source, name="scoring")(self._receive)
        self.background: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Join the group. Raises `Unavailable`."""
        await self.feed.look()
        await self.relay.start()
        self.background = [asyncio.create_task(self._follow_models()), asyncio.create_task(self._measure())]
        await self.app.start()

    async def stop(self) -> None:
        """Leave the group, let go of all shards."""
        for task in self.background:
            task.cancel()
        for held in self.held.values():
            held.stop()
        await self.app.stop()
        await self.relay.stop()

    # Assignment.

    async def assigned(self, tps: set[TP]) -> dict[TP, int]:
        """Take every shard that Kafka gives to this worker; returns where to read from."""
        for held in self.held.values():
            held.stop()
        self.held.clear()
        topics = defaultdict(set)
        for tp in tps:
            topics[tp.partition].add(tp)
        places: dict[TP, int] = {}
        for number, some in topics.items():
            if len(some) != len(INPUT_TOPICS):
                names = sorted(tp.topic for tp in some)
                self.fail(Misconfigured(f"shard {number} is torn: this worker was given only {names} of it"))
                return {}
            held = await self._take_patiently(number)
            places |= {tp: held.next[self._topic(tp)] for tp in some}
        return places

    async def _take_patiently(self, number: int) -> Held:
        attempt = 0
        while True:
            try:
                return await self._take(number)
            except Unavailable as error:
                wait = BACK_OFF[min(attempt, len(BACK_OFF) - 1)]
                logger.warning("Shard %d cannot be taken, again in %.1f s: %s", number, wait, error)
                attempt += 1
                await asyncio.sleep(wait)

    async def _take(self, number: int) -> Held:
        hold = await self.ledger.take(number)
        held = Held(Shard(hold, self.ledger, self.shop, self.settings.chunk_size))
        self.held[number] = held
        held.tasks = [asyncio.create_task(self._work(held)), asyncio.create_task(self._send(held))]
        return held

    async def _start_again(self, held: Held) -> None:
        """A chunk ended without a known commit: read the place, seek; unless Kafka has given the shard away."""
        number = held.shard.hold.partition
        if self.held.get(number) is not held:
            return
        del self.held[number]
        for task in held.tasks:
            if task is not asyncio.current_task():
                task.cancel()
        mine = [tp for tp in self.app.consumer.assignment() if tp.partition == number]
        if len(mine) != len(INPUT_TOPICS):
            return
        await asyncio.sleep(BACK_OFF[0])
        if number in self.held:
            return
        again = await self._take_patiently(number)
        for tp in mine:
            self.app.consumer.on_buffer_drop(tp)
            await self.app.consumer.seek(tp, again.next[self._topic(tp)])

    def _topic(self, tp: TP) -> str:
        return str(tp.topic).removeprefix(self.settings.prefix)

    # Records.

    async def _receive(self, stream: Any) -> None:
        async for event in stream.events():
            tp, records = event.message.tp, event.value
            held = self.held.get(tp.partition)
            if held is None or records.answer.seeks != self.app.consumer._thread.seeks[tp]:  # noqa: SLF001 - ours
                continue
            topic = self._topic(tp)
            if records.answer.before != held.next[topic]:
                logger.warning("%s-%d does not follow what is here: the shard starts again", tp.topic, tp.partition)
                await self._start_again(held)
                continue
            partitions = self.shop.partitions
            held.shard.receive(admit(_arrived(record, topic, tp.partition), partitions) for record in records)
            held.next[topic] = records.answer.after
            held.heard = time.monotonic()
            if len(held.shard.inboxes[topic]) > FULL:
                held.full.add(topic)
                self.app.consumer.on_buffer_full(tp)
            held.wake.set()

    def _answered(self, held: Held, topic: str) -> bool:
        """Whether the broker has no more of a topic than has arrived here."""
        consumer = self.app.consumer
        tp = TP(self.settings.prefix + topic, held.shard.hold.partition)
        answer = consumer.answers.get(tp)
        thread = consumer._thread  # noqa: SLF001 - ours
        if answer is None or answer.seeks != thread.seeks[tp] or answer.after < answer.end:
            return False
        return bool(held.next[topic] == thread.reached[tp])

    # Work.

    async def _work(self, held: Held) -> None:
        try:
            while True:
                try:
                    await asyncio.wait_for(held.wake.wait(), LOOK)
                except TimeoutError:
                    pass
                held.wake.clear()
                while await self._step(held):
                    self._resume(held)
        except asyncio.CancelledError:
            raise
        except (Fenced, Unavailable) as error:
            logger.warning("Shard %d starts again: %s", held.shard.hold.partition, error)
            asyncio.ensure_future(self._start_again(held))  # noqa: RUF006 - it outlives this task
        except BaseException as error:  # noqa: BLE001 - an error of ours acknowledges nothing: stop loudly
            self.fail(error)

    async def _step(self, held: Held) -> bool:
        began = time.perf_counter()
        idle, tick = self._quiet(held)
        models, clock = self.feed.current, self._now(held)
        done = await held.shard.step(lambda topic: self._answered(held, topic), models, clock, idle=idle, tick=tick)
        if done is None:
            return False
        self._account(*done, time.perf_counter() - began)
        if done[0].outgoing or done[0].examples:
            held.sent.set()
        return bool(done[1])

    def _quiet(self, held: Held) -> tuple[bool, float | None]:
        """Whether all topics have been at their ends for a while, and where time has moved to meanwhile."""
        if held.shard.waiting or not all(self._answered(held, topic) for topic in INPUT_TOPICS):
            return False, None
        now = time.monotonic()
        tick = None
        if self.settings.clock == "wall" and now >= held.ticked + TICK:
            held.ticked, tick = now, time.time() - self.settings.lateness_seconds
        return now >= held.heard + self.settings.idle_after_seconds, tick

    def _now(self, held: Held) -> float:
        if self.settings.clock == "wall":
            return time.time() - self.settings.lateness_seconds
        at = held.shard.hold.place.time
        return float("-inf") if at is None else at

    def _account(self, commit: Commit, records: list[Arrived], seconds: float) -> None:
        self.metrics.committed(commit)
        self.metrics.commit.observe(seconds)
        if records:
            self.metrics.chunk.observe(len(records))
        now = time.time()
        for record in records:
            self.metrics.event_to_score.observe(max(now - record.sent_at, 0.0))

    def _resume(self, held: Held) -> None:
        for topic in [topic for topic in held.full if len(held.shard.inboxes[topic]) < LOW]:
            held.full.discard(topic)
            self.app.consumer.on_buffer_drop(TP(self.settings.prefix + topic, held.shard.hold.partition))

    # What leaves.

    async def _send(self, held: Held) -> None:
        number = held.shard.hold.partition
        try:
            while True:
                await held.sent.wait()
                held.sent.clear()
                while entries := await self.ledger.outbox(number, 1_000):
                    await self.relay.send(number, entries)
                    await self.ledger.trim(number, entries)
                if not held.shard.waiting:
                    await self.ledger.flush(number)
        except asyncio.CancelledError:
            raise
        except Unavailable as error:
            logger.warning("Shard %d starts again: %s", number, error)
            asyncio.ensure_future(self._start_again(held))  # noqa: RUF006 - it outlives this task
        except BaseException as error:  # noqa: BLE001 - as above
            self.fail(error)

    # Around it.

    async def _follow_models(self) -> None:
        while True:
            try:
                await self.feed.look()
            except Unavailable as error:
                logger.warning("Models cannot be read, the present ones go on: %s", error)
            except Exception as error:  # noqa: BLE001 - a model that cannot be read must not be guessed at
                self.fail(error)
                return
            await asyncio.sleep(EVERY)

    async def _measure(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            self.metrics.lagging(self._lags(), INPUT_TOPICS)
            now = time.monotonic()
            self.metrics.waited({tp: now - since for tp, since in self._waits(now)})
            try:
                self.metrics.pending(sum([await self.ledger.pending(number) for number in list(self.held)]))
            except Unavailable:
                continue  # what it was before is the newest that is known; `streamscore_ready` says so

    def _lags(self) -> dict[tuple[str, int], float]:
        lags: dict[tuple[str, int], float] = {}
        for number, held in self.held.items():
            for topic in INPUT_TOPICS:
                answer = self.app.consumer.answers.get(TP(self.settings.prefix + topic, number))
                if answer is not None:
                    lags[topic, number] = max(answer.end - held.shard.hold.place.topics[topic].next, 0)
        return lags

    def _waits(self, now: float) -> Iterator[tuple[tuple[str, int], float]]:
        """Topics of the shards here, and since when they are waited for: now, where they are not."""
        for number, held in self.held.items():
            for topic in INPUT_TOPICS:
                blocked = held.shard.waiting and not held.shard.inboxes[topic] and not self._answered(held, topic)
                since = held.waiting_since.setdefault(topic, now) if blocked else now
                if not blocked:
                    held.waiting_since.pop(topic, None)
                yield (topic, number), since

    def missing(self) -> list[str]:
        """Return what keeps this worker from being ready, in words."""
        given = {tp.partition for tp in self.app.consumer.assignment()} if self.app.started else set()
        if not given | self.held.keys():
            return ["it has no partition yet: it is joining, or there are more workers than partitions"]
        now = time.monotonic()
        taken = [f"shard {number} is not taken yet" for number in sorted(given - self.held.keys())]
        return taken + [
            f"{topic}-{number} has been waited for {now - since:.0f} s"
            for number, held in self.held.items()
            for topic, since in held.waiting_since.items()
            if now - since > 10
        ]


def _arrived(record: Any, topic: str, partition: int) -> Arrived:
    headers = tuple((name, value) for name, value in record.headers or ())
    return Arrived(topic, partition, record.offset, record.timestamp / 1000, record.key, record.value, headers)
