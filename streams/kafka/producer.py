"""Our producers. All partition by murmur2, as Kafka's Java client does."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Any, Final

import aiokafka
import aiokafka.errors
import kafka
import msgspec
from kafka.errors import KafkaError

from models.partition import partition_of
from schemas.codec import encode, key_of, topic_of
from schemas.events import Event
from streams.errors import Misconfigured, Unavailable
from streams.kafka.security import for_librdkafka, for_python
from streams.ledger import Entry

EVERY: Final = 500
BATCH: Final = 262_144
"""Bytes that go to a partition at once, as one batch is on its way: at aiokafka's 16 KB 400 dead letters/s left."""
REQUEST_MS: Final = 10_000
"""Without an answer for so long what was sent is sent again, on a new connection; the broker knows it by its number."""


def send(events: Iterable[Event], broker: str, prefix: str = "", progress: Callable[[int], None] | None = None) -> int:
    """Send events to their topics, and wait until all are acknowledged.

    Parameters
    ----------
    progress
        Told how many more were sent, now and then.

    Returns
    -------
    int
        How many.

    Raises
    ------
    Unavailable
        Kafka refused a record, or did not answer in time; names the first such event.
    """
    try:
        from confluent_kafka import Producer
    except ImportError:
        return _send_slowly(events, broker, prefix, progress)
    failed: list[str] = []

    def on_delivery(error: Any, message: Any) -> None:
        if error is not None and not failed:
            failed.append(f"{message.topic()} {message.key()!r}: {error.str()}")

    producer = Producer({**for_librdkafka(broker), "acks": "all", "enable.idempotence": True, "linger.ms": 5})
    counts: dict[str, int] = {}
    sent = 0
    for event in events:
        topic, key = prefix + topic_of(event), key_of(event)
        if topic not in counts:
            counts[topic] = len(producer.list_topics(topic, 10).topics[topic].partitions)
            if not counts[topic]:
                raise Misconfigured(f"topic {topic} does not exist: make it with `streamscore topics`")
        while True:
            try:
                producer.produce(topic, encode(event), key, partition_of(key, counts[topic]), on_delivery=on_delivery)
                break
            except BufferError:
                producer.poll(0.1)
        sent += 1
        if sent % EVERY == 0:
            producer.poll(0)
            if progress:
                progress(EVERY)
            if failed:
                break
    producer.flush(60)
    if failed or len(producer):
        raise Unavailable(f"kafka: {failed[0] if failed else f'{len(producer)} records were not acknowledged'}")
    if progress:
        progress(sent % EVERY)
    return sent


def _send_slowly(events: Iterable[Event], broker: str, prefix: str, progress: Callable[[int], None] | None) -> int:
    try:
        producer = kafka.KafkaProducer(**for_python(broker), acks="all", linger_ms=5)
    except KafkaError as error:
        raise Unavailable(f"kafka: {error}") from error
    sent, waiting = 0, []
    try:
        for event in events:
            topic, key = prefix + topic_of(event), key_of(event)
            partitions = producer.partitions_for(topic)
            waiting.append(producer.send(topic, encode(event), key=key, partition=partition_of(key, len(partitions))))
            sent += 1
            if len(waiting) == EVERY:
                for future in waiting:
                    future.get(60)
                waiting = []
                if progress:
                    progress(EVERY)
        for future in waiting:
            future.get(60)
    except KafkaError as error:
        raise Unavailable(f"kafka: {error}") from error
    finally:
        producer.close()
    if progress:
        progress(len(waiting))
    return sent


class Relay:
    """Carries the outbox to Kafka: in order, acknowledged by all replicas."""

    def __init__(self, broker: str, prefix: str) -> None:
        self.prefix = prefix
        self.producer = aiokafka.AIOKafkaProducer(
            **for_python(broker),
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
        try:
            for entry in entries:
                await self._send_whole_or_bodiless(partition, entry)
        except aiokafka.errors.KafkaError as error:
            raise Unavailable(f"kafka: {error!r}") from error

    async def _send_whole_or_bodiless(self, partition: int, entry: Entry) -> None:
        try:
            await (await self._send(partition, entry))
        except aiokafka.errors.MessageSizeTooLargeError:
            if entry.record.topic != "dead-letters":
                raise Misconfigured(
                    f"topic {self.prefix}{entry.record.topic} refuses {len(entry.record.value or b'')} bytes: "
                    "raise its max.message.bytes"
                ) from None
            bodiless = msgspec.structs.replace(entry.record, value=None)  # its headers say where the record lies
            await (await self._send(partition, msgspec.structs.replace(entry, record=bodiless)))

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


def _line(entry: Entry) -> tuple[str, bytes | None]:
    """What must stay in order: the examples of a task. Others are known by what they say of themselves."""
    record = entry.record
    return (record.topic, record.key) if record.topic == "examples" else (record.topic, entry.name.encode())
