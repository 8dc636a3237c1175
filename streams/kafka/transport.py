"""Faust's consumer, so that a shard reads from its place, in chunks, and knows where a topic ends.

Each override is there for something that Faust or aiokafka does otherwise; see `docs/adr/0003-faust.md`.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import faust
from aiokafka.errors import KafkaError
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.transports import SchedulingStrategyT

from streams.kafka.leave import in_group, leave
from streams.kafka.security import for_faust

FETCH_WAIT_MS = 50
"""Faust waits 1500: a drained partition then waits behind the one fetch in flight a broker."""
SESSION_SECONDS = 7
"""A worker that is not heard of for so long has lost its shards. Brokers allow no less than 6 by default."""
REQUEST_MS = 10_000
"""A request without an answer for so long was sent on a dead connection: who hears nothing from its broker has lost its
session by then. Faust waits for 90."""
CONFIRM_SECONDS = 5.0
SEEK_SECONDS = 20.0
"""Faust stands still for good where seeking takes longer than its own 90."""
ALL_PAUSED = 0.005
"""Seconds to the next look when every partition is paused. Faust sleeps a whole one."""
Assigned = Callable[[set[TP]], Awaitable[None]]
Given = Callable[[set[TP]], None]


class Answer(NamedTuple):
    """What one poll found of one partition, read in one step in the consumer's thread.

    `before` is where the last poll that brought records ended, `after` the position now, `end` the last
    stable offset, `seeks` how many seeks there had been, `at` when the broker said so, in epoch seconds.
    """

    before: int
    after: int
    end: int
    seeks: int
    at: float = 0.0


class Records(list[Any]):
    """Records of one partition, with the poll's answer."""

    answer: Answer


class _Polled(dict[TP, Records]):
    answers: dict[TP, Answer]


class _Thread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.reached: dict[TP, int] = {}
        self.seeks: dict[TP, int] = defaultdict(int)

    async def on_thread_stop(self) -> None:
        """Leave the group, also in the middle of a rebalance."""
        await super(driver.AIOKafkaConsumerThread, self).on_thread_stop()  # no calls from the other thread any more
        if self._consumer is not None:
            await leave(self._consumer)
            await self._consumer.stop()

    async def _fetch_records(
        self, consumer: Any, active_partitions: Any, timeout: Any = None, max_records: Any = None
    ) -> _Polled:
        fetched = await super()._fetch_records(consumer, active_partitions, timeout, max_records)
        polled, answers = _Polled(), {}
        subscription = consumer._subscription.subscription
        assignment = subscription and subscription.assignment
        for tp in assignment.tps if assignment else ():
            state, mine = assignment.state_value(tp), TP(tp.topic, tp.partition)
            if state is None or state._position is None or state.lso is None or mine not in self.reached:
                continue
            at = (state.timestamp or 0) / 1000
            answer = answers[mine] = Answer(self.reached[mine], state._position, state.lso, self.seeks[mine], at)
            if tp in fetched:
                polled[tp] = Records(fetched[tp])
                polled[tp].answer = answer
                self.reached[mine] = answer.after
        polled.answers = answers
        return polled

    async def seek_and_count(self, tp: TP, offset: int) -> None:
        """Seek, and make everything fetched before it stale."""
        self._consumer.seek(tp, offset)
        self.reached[tp] = offset
        self.seeks[tp] += 1

    async def confirm(self, offsets: dict[TP, int]) -> bool:
        """Commit offsets to Kafka. False: it is away, or no longer gives all of these partitions to us."""
        if not in_group(self._ensure_consumer()._coordinator):
            return False  # aiokafka answers a refused commit by forgetting its membership, also one it is about to get
        mine = {TopicPartition(*tp): OffsetAndMetadata(offset, "") for tp, offset in offsets.items()}
        try:
            await asyncio.wait_for(self._ensure_consumer().commit(mine), CONFIRM_SECONDS)
        except (KafkaError, TimeoutError):
            return False
        return True

    def highwater(self, tp: TP) -> int:
        """Faust asks for its statistics, also of a partition just lost, and would end there."""
        try:
            return int(super().highwater(tp))
        except (KafkaError, AssertionError, KeyError, AttributeError, TypeError):
            return 0

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS
        consumer._isolation_level = "read_committed"
        consumer._client._request_timeout_ms = REQUEST_MS  # not Faust's setting: by that it gives up on our seeks, too
        return consumer


class Chunk:
    """All records that one poll brought of one partition, handed to Faust as if they were one message."""

    __slots__ = (
        "checksum",
        "headers",
        "key",
        "offset",
        "partition",
        "serialized_key_size",
        "serialized_value_size",
        "timestamp",
        "timestamp_type",
        "topic",
        "value",
    )

    def __init__(self, tp: TP, records: Records) -> None:
        last = records[-1]
        self.topic, self.partition, self.offset = tp.topic, tp.partition, last.offset
        self.timestamp, self.timestamp_type = last.timestamp, last.timestamp_type
        self.headers, self.key, self.value, self.checksum = (), None, records, None
        self.serialized_key_size = self.serialized_value_size = 0


class Coalesce(SchedulingStrategyT):  # type: ignore[misc]
    """Deliver a poll's records of a partition as one message: Faust spends 75 µs on each."""

    @classmethod
    def map_from_records(cls, records: Any) -> Any:
        """Leave them as they are."""
        return records

    def iterate(self, records: Any) -> Iterator[tuple[TP, Chunk]]:
        """One chunk a partition."""
        for tp, some in records.items():
            yield tp, Chunk(tp, some)


class _Nothing(dict[TP, Any]):
    """Faust's memory of what it read; it would drop what is read again after a seek."""

    def __missing__(self, key: TP) -> None:
        return None

    def __setitem__(self, key: TP, value: Any) -> None:
        pass

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Remember nothing."""


class _Consumer(driver.Consumer):  # type: ignore[misc]
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._read_offset = _Nothing()
        self.answers: dict[TP, Answer] = {}
        self._seeking: dict[asyncio.Task[None], set[TP]] = {}

    def _new_consumer_thread(self) -> _Thread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)

    async def _getmany(self, active_partitions: Any, timeout: float) -> Any:
        polled = await super()._getmany(active_partitions, timeout)
        self.answers = getattr(polled, "answers", {})
        return polled

    async def _seek(self, partition: Any, offset: int) -> None:
        await self._thread.call_thread(self._thread.seek_and_count, TP(partition.topic, partition.partition), offset)

    async def perform_seek(self) -> None:
        """On every assignment: the place in Redis is the truth, not what was committed to Kafka.

        What takes long goes on while Faust reads: nothing is taken of a shard that has not sought. Faust may call this
        twice at once, where it has dropped what it read; neither call may end the other, for Faust would take that
        for its own end.
        """
        tps = set(self.assignment())
        for task, of in self._seeking.items():
            if of != tps:
                task.cancel()  # that assignment is over
        task = asyncio.create_task(self.app.assigned(tps))
        self._seeking[task] = tps
        task.add_done_callback(self._seeking.pop)
        try:
            await asyncio.wait({task}, timeout=SEEK_SECONDS)
        except asyncio.CancelledError:
            task.cancel()
            raise
        if task.done() and not task.cancelled():
            task.result()

    def seeks(self, tp: TP) -> int:
        """How often was sought in a partition."""
        return int(self._thread.seeks[tp])

    def reached(self, tp: TP) -> int | None:
        """Where the last poll that brought records ended."""
        reached: int | None = self._thread.reached.get(tp)
        return reached

    async def go_to(self, places: dict[TP, int]) -> bool:
        """Seek. False: a partition is no longer ours, and an assignment is on its way."""
        try:
            for tp, offset in places.items():
                await self._seek(tp, offset)
        except (KafkaError, KeyError, AttributeError):
            return False
        return True

    async def confirm(self, offsets: dict[TP, int]) -> bool:
        """Commit offsets to Kafka, for monitors, and to know that it still gives these partitions to us."""
        return bool(await self._thread.call_thread(self._thread.confirm, offsets))

    async def commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:  # noqa: ARG002 - Faust's
        """Commit nothing of what Faust counts: it counts what is in our inboxes, which is not handled yet."""
        return False

    async def _wait_next_records(self, timeout: float) -> Any:
        if self.flow_active and not self._get_active_partitions():
            await asyncio.sleep(ALL_PAUSED)
            return {}, self._get_active_partitions()
        return await super()._wait_next_records(timeout)


class _Transport(driver.Transport):  # type: ignore[misc]
    Consumer = _Consumer


class ChunkedApp(faust.App):  # type: ignore[misc]
    """A Faust app that tells what it is given, and lets `assigned` seek."""

    assigned: Assigned
    given: Given

    async def _on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        self.given(assigned)  # also where it is nothing: no seek follows then
        await super()._on_partitions_assigned(assigned, generation_id)

    def _new_transport(self) -> _Transport:
        return _Transport(self.conf.broker_consumer, self)


def make_app(name: str, broker: str, folder: str, given: Given, assigned: Assigned) -> ChunkedApp:
    """Return an app with raw topics and without web, tables or offsets of its own.

    Parameters
    ----------
    name
        The consumer group.
    folder
        Where Faust may write.
    given
        Told all partitions of every new assignment, also of an empty one.
    assigned
        Given all partitions that are ours, seeks. Called on every assignment, and sometimes in between.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    app = ChunkedApp(
        name,
        **for_faust(broker),
        store="memory://",
        datadir=folder,
        topic_disable_leader=True,
        topic_allow_declare=False,
        web_enabled=False,
        consumer_auto_offset_reset="earliest",
        ConsumerScheduler=Coalesce,
        broker_max_poll_records=4000,
        stream_wait_empty=False,
        stream_buffer_maxsize=16,
        broker_session_timeout=SESSION_SECONDS,
        broker_heartbeat_interval=2,
    )
    app.given, app.assigned = given, assigned
    return app
