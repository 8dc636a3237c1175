"""Faust's consumer, so that a shard reads from its place, in chunks, and knows where a topic ends.

Each override is there for something that Faust or aiokafka does otherwise; see `docs/adr/0003-faust.md`.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import faust
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.transports import SchedulingStrategyT

FETCH_WAIT_MS = 50
"""Faust waits 1500: a drained partition then waits behind the one fetch in flight a broker."""
Assigned = Callable[[set[TP]], Awaitable[dict[TP, int]]]


class Answer(NamedTuple):
    """What one poll found of one partition, read in one step in the consumer's thread.

    `before` is where the last poll that brought records ended, `after` the position now, `end` the last
    stable offset, `seeks` how many seeks there had been.
    """

    before: int
    after: int
    end: int
    seeks: int


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
            answer = answers[mine] = Answer(self.reached[mine], state._position, state.lso, self.seeks[mine])
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

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS
        consumer._isolation_level = "read_committed"
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

    def _new_consumer_thread(self) -> _Thread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)

    async def _getmany(self, active_partitions: Any, timeout: float) -> Any:
        polled = await super()._getmany(active_partitions, timeout)
        self.answers = getattr(polled, "answers", {})
        return polled

    async def _seek(self, partition: Any, offset: int) -> None:
        await self._thread.call_thread(self._thread.seek_and_count, TP(partition.topic, partition.partition), offset)

    async def perform_seek(self) -> None:
        """On every assignment: the place in Redis is the truth, not what was committed to Kafka."""
        places = await self.app.assigned(set(self.assignment()))
        for tp, offset in places.items():
            await self._seek(tp, offset)


class _Transport(driver.Transport):  # type: ignore[misc]
    Consumer = _Consumer


class ChunkedApp(faust.App):  # type: ignore[misc]
    """A Faust app that asks `assigned` for the place of every partition it is given."""

    assigned: Assigned

    def _new_transport(self) -> _Transport:
        return _Transport(self.conf.broker_consumer, self)


def make_app(name: str, broker: str, folder: str, assigned: Assigned) -> ChunkedApp:
    """Return an app with raw topics and without web, tables or offsets of its own.

    Parameters
    ----------
    name
        The consumer group.
    folder
        Where Faust may write.
    assigned
        Given all partitions of a new assignment, returns the offset to read each from.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    app = ChunkedApp(
        name,
        broker=f"kafka://{broker}",
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
        broker_session_timeout=10,
        broker_heartbeat_interval=2,
    )
    app.assigned = assigned
    return app
