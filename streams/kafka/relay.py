"""What carries the outbox to Kafka."""

import asyncio
import logging
from collections.abc import Coroutine, Iterator, Sequence
from itertools import groupby
from threading import Thread
from typing import Any, Final

import aiokafka
import aiokafka.errors
import msgspec

from models.partition import partition_of
from schemas.commit import Outgoing
from streams.errors import Misconfigured, Unavailable
from streams.kafka.dlq import REASON
from streams.kafka.security import for_python
from streams.ledger import Entry

BATCH: Final = 1_000_000
"""Bytes that go to a partition at once, as one batch is on its way; topics take a little more unless told otherwise.

At aiokafka's 16 KB 400 dead letters/s left; at 256 KB, a record of examples, those of four shards took turns.
"""
LOST: Final = (
    aiokafka.errors.OutOfOrderSequenceNumber,
    aiokafka.errors.UnknownProducerId,
    aiokafka.errors.InvalidProducerEpoch,
    aiokafka.errors.ProducerFenced,
    aiokafka.errors.ProducerClosed,
)
"""A broker that has lost records, as in a power cut, refuses whatever the same producer sends afterwards."""
REQUEST_MS: Final = 10_000
"""Without an answer for so long what was sent is sent again, on a new connection; the broker knows it by its number."""
logger = logging.getLogger(__name__)


class Relay:
    """Carries the outbox to Kafka: in order, acknowledged by all replicas."""

    def __init__(self, broker: str, prefix: str) -> None:
        self.broker, self.prefix = broker, prefix
        self.producer: Any = self._make()
        self._renewing = asyncio.Lock()
        self._leaving: set[asyncio.Task[None]] = set()

    def _make(self) -> Any:
        return aiokafka.AIOKafkaProducer(
            **for_python(self.broker),
            acks="all",
            enable_idempotence=True,
            max_request_size=2_100_000,
            max_batch_size=BATCH,
            request_timeout_ms=REQUEST_MS,
        )

    async def start(self) -> None:
        """Connect. Raises `Unavailable`."""
        try:
            await self.producer.start()
        except aiokafka.errors.KafkaError as error:
            raise Unavailable(f"kafka: {error}") from error

    async def stop(self) -> None:
        """Disconnect."""
        await self.producer.stop()

    async def send(self, partition: int, entries: Sequence[Entry]) -> None:
        """Send entries of one shard, oldest first; return when all are acknowledged. Raises `Unavailable`.

        The next commit's go when this one's are acknowledged. Within one, those of one topic and key go one by one:
        a failed record must not be overtaken by its next, for the learner takes the later one as the last.
        """
        for _, commit in groupby(entries, key=lambda entry: entry.head):
            lines: dict[tuple[str, bytes | None], list[Entry]] = {}
            for entry in commit:
                lines.setdefault(_line(entry), []).append(entry)
            await asyncio.gather(*(self._send_one_by_one(partition, line) for line in lines.values()))

    async def _send_one_by_one(self, partition: int, entries: Sequence[Entry]) -> None:
        producer = self.producer
        try:
            for entry in entries:
                await self._send_as_it_fits(partition, entry)
        except aiokafka.errors.KafkaError as error:
            if isinstance(error, LOST):
                await self._renew(producer)
            raise Unavailable(f"kafka: {error!r}") from error

    async def _renew(self, old: Any) -> None:
        """Go on with another producer, unless somebody has seen to it; where Kafka is away, the next error does."""
        async with self._renewing:
            if self.producer is not old:
                return
            new = self._make()
            try:
                await new.start()
            except aiokafka.errors.KafkaError:
                await new.stop()
                return
            logger.warning("The broker does not know any more what was sent to it: another producer goes on")
            self.producer = new
            leaving = asyncio.create_task(old.stop())
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)

    async def _send_as_it_fits(self, partition: int, entry: Entry) -> None:
        record = entry.record
        for one in (record, *_cut(record)):
            producer = self.producer
            try:
                answer = await self._send(partition, msgspec.structs.replace(entry, record=one))
            except aiokafka.errors.MessageSizeTooLargeError:
                continue
            try:
                await answer
            except aiokafka.errors.MessageSizeTooLargeError:
                await self._renew(producer)  # by the broker: the numbers of this one have a gap now
                continue
            return
        raise Misconfigured(
            f"topic {self.prefix}{record.topic} refuses {len(record.value or b'')} bytes: raise its max.message.bytes"
        )

    async def _send(self, partition: int, entry: Entry) -> Any:
        record = entry.record
        headers = [
            *record.headers,
            ("shard", str(partition).encode()),
            ("head", str(entry.head).encode()),
            ("part", str(entry.part).encode()),
            ("follows", str(entry.follows).encode()),
        ]
        topic = self.prefix + record.topic
        numbers = await self.producer.partitions_for(topic)
        to = partition_of(record.key, len(numbers)) if record.key is not None else None
        return await self.producer.send(topic, record.value, record.key, partition=to, headers=headers)


def _cut(record: Outgoing) -> Iterator[Outgoing]:
    """A dead letter without its body, then without the record's own key and headers: ours say where the record lies."""
    if record.topic == "dead-letters":
        yield msgspec.structs.replace(record, value=None)
        names = [name for name, _ in record.headers]
        ours = record.headers[len(names) - 1 - names[::-1].index(REASON) :] if REASON in names else ()
        yield msgspec.structs.replace(record, key=None, value=None, headers=ours)


def _line(entry: Entry) -> tuple[str, bytes | None]:
    """What must stay in order: the examples of a task. Others are known by what they say of themselves."""
    record = entry.record
    return (record.topic, record.key) if record.topic == "examples" else (record.topic, entry.name.encode())


class RelayThread:
    """A `Relay` on a thread and a loop of its own.

    The loop that shards are handled on turns a few times a second while there is much to do, and each answer of Kafka
    takes several turns: what leaves would fall behind what comes in.
    """

    def __init__(self, broker: str, prefix: str) -> None:
        self.broker, self.prefix = broker, prefix
        self._relay: Relay | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="relay", daemon=True)

    async def start(self) -> None:
        """Connect. Raises `Unavailable`."""
        self._thread.start()
        await self._on_thread(self._connect())

    async def _connect(self) -> None:
        self._relay = Relay(self.broker, self.prefix)
        await self._relay.start()

    async def stop(self) -> None:
        """Disconnect."""
        if not self._thread.is_alive():
            self._loop.close()
            return
        if self._relay is not None:
            await self._on_thread(self._relay.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        await asyncio.to_thread(self._thread.join)
        self._loop.close()

    async def send(self, partition: int, entries: Sequence[Entry]) -> None:
        """As `Relay.send`; cancelled here, it is cancelled there. Raises `Unavailable` once it has stopped."""
        assert self._relay is not None  # noqa: S101 - started
        await self._on_thread(self._relay.send(partition, entries))

    async def _on_thread(self, work: Coroutine[Any, Any, None]) -> None:
        if self._loop.is_closed():  # a shard that is let go at the end may still want to send
            work.close()
            raise Unavailable("kafka: what leaves has stopped")
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))
