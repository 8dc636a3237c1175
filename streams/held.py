"""A shard in work: where its inboxes end, its chunks one after the other, and what it sends on."""

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any, Final, Protocol

from faust.types import TP

from models.serving_set import ServingSet
from schemas.codec import INPUT_TOPICS
from schemas.commit import Arrived
from streams.errors import Fenced, Unavailable
from streams.kafka.transport import Answer
from streams.ledger import Entry
from streams.settings import Settings
from streams.shard import Done, Shard

FULL, LOW = 4_000, 1_000
"""Records of one topic in an inbox: at the first it is paused, below the second resumed."""
FULL_BYTES, LOW_BYTES = 16_000_000, 4_000_000
"""The same of their bytes."""
LOOK: Final = 0.02
"""Seconds between looks for the end of a topic, which brings no record."""
TICK: Final = 1.0
FRESH, FRESHEST = 5.0, 1.0
"""Seconds: an older word of the broker says nothing about now; no newer one than the second is asked for."""
OUTBOX_RECORDS, OUTBOX_BYTES = 5_000, 16_000_000
"""While more than this waits for Kafka, nothing more is handled."""
REPEAT_MOST: Final = 300.0
"""Seconds: an idle shard says so again at growing intervals, and at least that often."""
BACK_OFF: Final = (0.1, 0.3, 1.0, 3.0)
logger = logging.getLogger(__name__)


def back_off(attempt: int) -> float:
    """Seconds to wait before the next attempt.

    >>> [back_off(n) for n in range(6)]
    [0.1, 0.3, 1.0, 3.0, 3.0, 3.0]
    """
    return BACK_OFF[min(attempt, len(BACK_OFF) - 1)]


class Consumer(Protocol):
    """What a shard asks of the consumer."""

    answers: dict[TP, Answer]

    def seeks(self, tp: TP) -> int:
        """How often was sought in a partition."""

    def reached(self, tp: TP) -> int | None:
        """Where the last poll that brought records ended."""

    def on_buffer_full(self, tp: TP) -> None:
        """Pause a partition."""

    def on_buffer_drop(self, tp: TP) -> None:
        """Resume it."""


class Sender(Protocol):
    """What carries entries to Kafka."""

    async def send(self, partition: int, entries: Sequence[Entry]) -> None:
        """Return when all are acknowledged. Raises `Unavailable`."""


class Held:
    """A shard that this worker holds.

    Parameters
    ----------
    left
        What an earlier holder left in the outbox; sent first.
    """

    def __init__(self, shard: Shard, left: Sequence[Entry], settings: Settings, consumer: Consumer) -> None:
        self.shard, self.settings, self.consumer = shard, settings, consumer
        self.number = shard.hold.partition
        self.next = {topic: at.next for topic, at in shard.hold.place.topics.items()}
        self.ready = False  # until sought
        self.missed = False  # records came meanwhile, and were not taken
        self.stopping = False
        self.full: set[str] = set()
        self.outbox: deque[Entry] = deque()
        self.outbox_bytes = 0
        self.wake, self.sent = asyncio.Event(), asyncio.Event()
        self.put_out(left)
        self.tasks: list[asyncio.Task[None]] = []
        self.heard = self.told = self.said = self.marked = time.monotonic()
        self.stood: float | None = None  # where the shard stood at the mark
        self.sold = False  # since the mark
        self.sold_to = -math.inf
        self.repeats = 0
        self.idle = self.sure = False
        self.ticked = 0.0
        self.waiting_since: dict[str, float] = {}

    def tp(self, topic: str) -> TP:
        """Name of a topic's partition."""
        return TP(self.settings.prefix + topic, self.number)

    def places(self) -> dict[TP, int]:
        """Where the inboxes end: what is read next."""
        return {self.tp(topic): offset for topic, offset in self.next.items()}

    def handled(self) -> dict[TP, int]:
        """Where the shard stands."""
        return {self.tp(topic): at.next for topic, at in self.shard.hold.place.topics.items()}

    def cancel(self) -> None:
        """Stop at once; a commit on its way is fenced by the next holder."""
        for task in self.tasks:
            if task is not asyncio.current_task():
                task.cancel()

    async def finish(self, seconds: float) -> None:
        """Finish the chunk in work, and send what it has to say, within a time."""
        self.stopping = True
        self.wake.set()
        work, send = self.tasks
        await asyncio.wait([work], timeout=seconds)
        self.sent.set()
        await asyncio.wait([send], timeout=seconds)
        self.cancel()

    # Records.

    def receive(self, topic: str, answer: Answer, records: Sequence[Arrived]) -> bool:
        """Put records into their inbox. False: they do not follow what is there."""
        if answer.before != self.next[topic] or records[0].offset < self.next[topic]:
            return False
        self.shard.receive(records)
        self.next[topic] = answer.after
        self.heard = time.monotonic()
        self.sold = self.sold or topic == "transactions"
        if len(self.shard.inboxes[topic]) > FULL or self._bytes(topic) > FULL_BYTES:
            self.full.add(topic)
            self.consumer.on_buffer_full(self.tp(topic))
        self.wake.set()
        return True

    def resume(self) -> None:
        """Read on where there is room again."""
        for topic in [topic for topic in self.full if len(self.shard.inboxes[topic]) < LOW]:
            if self._bytes(topic) < LOW_BYTES:
                self.full.discard(topic)
                self.consumer.on_buffer_drop(self.tp(topic))

    def _bytes(self, topic: str) -> int:
        return sum(len(record.value or b"") for record in self.shard.inboxes[topic])

    def answered(self, topic: str, fresh: float | None = None) -> bool:
        """Whether the broker has no more of a topic than has arrived here.

        Parameters
        ----------
        fresh
            Epoch seconds: what the broker said before does not count. None: whenever it was.
        """
        tp = self.tp(topic)
        answer = self.consumer.answers.get(tp)
        if answer is None or answer.seeks != self.consumer.seeks(tp) or answer.after < answer.end:
            return False
        return self.next[topic] == self.consumer.reached(tp) and (fresh is None or answer.at >= fresh)

    def waited_for(self, now: float, patience: float) -> list[str]:
        """Topics without a record here that the others have waited for longer than `patience`, in seconds."""
        for topic in INPUT_TOPICS:
            if self.shard.waiting and not self.shard.inboxes[topic] and not self.answered(topic):
                self.waiting_since.setdefault(topic, now)
            else:
                self.waiting_since.pop(topic, None)
        return [topic for topic, since in self.waiting_since.items() if now - since > patience]

    # Work.

    async def work(
        self,
        models: Callable[[], ServingSet],
        account: Callable[[Done, float], None],
    ) -> None:
        """Handle chunks until told to stop. Raises what ends the shard."""
        while not self.stopping:
            try:
                async with asyncio.timeout(LOOK):
                    await self.wake.wait()
            except TimeoutError:
                pass
            self.wake.clear()
            while not self.stopping and await self._step(models(), account):
                self.resume()

    async def _step(self, models: ServingSet, account: Callable[[Done, float], None]) -> bool:
        if len(self.outbox) >= OUTBOX_RECORDS or self.outbox_bytes >= OUTBOX_BYTES:
            return False
        began = time.perf_counter()
        idle, tick = self.quiet()
        now = time.monotonic()
        tell = now >= self.told + self.settings.idle_after_seconds / 2
        if tell:
            self.told = now
        repeat = self._again(idle, now)
        self.look_for_sales(now)
        done = await self.shard.step(
            self.answered,
            models,
            self._now(),
            idle=idle,
            tick=tick,
            tell=tell,
            repeat=repeat,
            sold_to=self.sold_to,
        )
        if done is None:
            return False
        if "sales" in done.commit.examples:
            self.said = now
            self.repeats += repeat
        account(done, time.perf_counter() - began)
        self.put_out(done.entries)
        return bool(done.records)

    def quiet(self) -> tuple[bool, float | None]:
        """Whether all topics have been at their ends for a while, and where time has moved to meanwhile."""
        fresh = time.time() - FRESH
        if self.shard.waiting or not all(self.answered(topic, fresh) for topic in INPUT_TOPICS):
            self.idle = False
            return False, None
        now = time.monotonic()
        tick = None
        if self.settings.clock == "wall" and now >= self.ticked + TICK:
            self.ticked, tick = now, time.time() - self.settings.lateness_seconds
        # Newer than its own last word of being idle, or it says nothing: the learner takes it for silent since then.
        newer = time.time() - min(FRESH, max(self.settings.idle_after_seconds / 2, FRESHEST))
        self.sure = all(self.answered(topic, newer) for topic in INPUT_TOPICS)
        quiet = now >= self.heard + self.settings.idle_after_seconds
        self.idle = quiet and (self.sure or self.idle)
        return self.idle, tick

    def _again(self, idle: bool, now: float) -> bool:
        """Whether it is time to say again that the shard is idle: the learner waits for whoever is silent."""
        if not idle:
            self.repeats = 0
        return (
            idle
            and self.sure
            and now >= self.said + min(self.settings.idle_after_seconds * 2**self.repeats, REPEAT_MOST)
        )

    def look_for_sales(self, now: float) -> None:
        """Note up to when all sales have arrived, where `transactions` is silent while other topics move the time.

        A record of another topic is no sign that the sales before it are here: they may still be on their way. They
        have come where nothing of `transactions` has since, and by a word of the broker from the end of that while.
        """
        seconds = max(self.settings.idle_after_seconds, 2 * FRESHEST)
        if now < self.marked + seconds:
            return
        newer = time.time() - seconds / 2
        here = not self.sold and not self.shard.inboxes["transactions"] and self.answered("transactions", newer)
        if here and self.stood is not None:
            self.sold_to = max(self.sold_to, self.stood)
        self.marked, self.stood, self.sold = now, self.shard.hold.place.time, False

    def _now(self) -> float:
        if self.settings.clock == "wall":
            return time.time() - self.settings.lateness_seconds
        # Of the topic that is furthest behind: how far others have run ahead of it depends on the moment.
        shown = [at.shown for at in self.shard.hold.place.topics.values() if at.shown is not None]
        return min(shown, default=float("-inf"))

    # What leaves.

    def put_out(self, entries: Sequence[Entry]) -> None:
        """Have entries sent."""
        self.outbox.extend(entries)
        self.outbox_bytes += sum(map(_size, entries))
        self.sent.set()

    async def send(self, relay: Sender, ledger: Any) -> None:
        """Carry the outbox to Kafka, oldest first, until told to stop; whoever is away is waited for."""
        attempt = 0
        while True:
            await self.sent.wait()
            self.sent.clear()
            try:
                await self._send_all(relay, ledger)
                attempt = 0
            except (Unavailable, Fenced) as error:
                logger.warning(
                    "Shard %d: what leaves waits, again in %.1f s: %s", self.number, back_off(attempt), error
                )
                await asyncio.sleep(back_off(attempt))
                attempt += 1
                self.sent.set()
                continue
            if self.stopping and not self.outbox and self.tasks[0].done():
                return

    async def _send_all(self, relay: Sender, ledger: Any) -> None:
        while self.outbox:
            head = self.outbox[0].head
            some = next(list(group) for key, group in groupby(self.outbox, key=lambda entry: entry.head) if key == head)
            await relay.send(self.number, some)
            await ledger.trim(self.number, some)
            for _ in some:
                self.outbox_bytes -= _size(self.outbox.popleft())
        if self.stopping or not self.shard.waiting:
            await ledger.flush(self.number)


def _size(entry: Entry) -> int:
    return len(entry.record.value or b"")
