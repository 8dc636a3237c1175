"""Dead letters are sent again as they first came; one that cannot be sent is told, and keeps no other back."""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

import aiokafka
import kafka
import msgspec
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from kafka import TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError

from models.partition import partition_of
from schemas.codec import INPUT_TOPICS
from streams.errors import Unavailable
from streams.kafka.dlq import POLL_MS, Letter, headers_again
from streams.kafka.security import for_python

PATIENCE: Final = 30.0
"""Seconds for a record to be read again, and for an acknowledgement."""
AT_ONCE: Final = 50
"""Letters on their way before their acknowledgements are awaited."""
REQUEST: Final = 100_000_000
"""Bytes that may be sent at once: brokers close the connection above that. What a topic takes, it says itself."""
LARGEST: Final = "max.message.bytes"
REFUSED: Final = (aiokafka.errors.MessageSizeTooLargeError, aiokafka.errors.RecordListTooLargeError)
Told = Callable[[Letter, str], None]
"""Told which letter cannot be sent, and why."""


def sendable(letters: Iterable[Letter], broker: str, prefix: str, told: Told) -> Iterator[Letter]:
    """Letters with their records' values, without those of which it is known that they cannot be sent.

    Raises
    ------
    Unavailable
        Kafka does not answer.
    """
    known: Mapping[str, int] | None = None
    for letter in _whole(letters, broker, prefix, told):
        if known is None:
            known = limits(broker, prefix)
        takes, size = known.get(letter.topic), _size(letter)
        if letter.key is None and letter.value is None:
            told(letter, "it has neither a key nor a value")
        elif takes is not None and size > takes:
            told(letter, f"it has {size:,} bytes, and {prefix}{letter.topic} takes {takes:,} ({LARGEST})")
        else:
            yield letter


def limits(broker: str, prefix: str) -> dict[str, int]:
    """Return how many bytes a record of each input topic may have; empty where nobody may ask for it."""
    try:
        admin = kafka.KafkaAdminClient(**for_python(broker))
        try:
            topics = [ConfigResource(ConfigResourceType.TOPIC, prefix + name) for name in INPUT_TOPICS]
            found = admin.describe_configs(topics, config_filter="all").get("topic", {})
        finally:
            admin.close()
    except KafkaError:
        return {}
    sizes = {name.removeprefix(prefix): configs.get(LARGEST) for name, configs in found.items()}
    return {name: int(size["value"]) for name, size in sizes.items() if size}


def _size(letter: Letter) -> int:
    """Bytes of a batch of this record alone, as the broker counts them."""
    batch = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1)
    batch.append(0, int(time.time() * 1_000), letter.key, letter.value, headers_again(letter))
    return int(batch.size())


def send_again(
    letters: Iterable[Letter],
    broker: str,
    prefix: str,
    rate: float,
    acknowledged: Callable[[list[Letter]], None],
    told: Told,
) -> int:
    """Send letters to their topics, to the partition that their key belongs to.

    Parameters
    ----------
    rate
        At most so many a second.
    acknowledged
        Told which letters Kafka has taken.
    told
        Told which it has refused, and why.

    Returns
    -------
    int
        How many were taken.

    Raises
    ------
    Unavailable
        Kafka did not take one; what `acknowledged` was told of is sent.
    """
    return asyncio.run(_send_all(iter(letters), broker, prefix, rate, acknowledged, told))


async def _send_all(
    letters: Iterator[Letter],
    broker: str,
    prefix: str,
    rate: float,
    acknowledged: Callable[[list[Letter]], None],
    told: Told,
) -> int:
    sent, waiting, latest = 0, list[tuple[Letter, Any]](), float("-inf")
    # Of one record each, so that none is refused for its neighbour. Without numbers: after a refusal the broker
    # would miss one, and refuse all that follow.
    producer = aiokafka.AIOKafkaProducer(
        **for_python(broker), acks="all", enable_idempotence=False, max_request_size=REQUEST, max_batch_size=1
    )
    try:
        try:
            await producer.start()
            while (letter := await asyncio.to_thread(next, letters, None)) is not None:
                await asyncio.sleep(latest + 1.0 / rate - time.monotonic())
                latest = time.monotonic()
                waiting.append((letter, await _send(producer, letter, prefix)))
                if len(waiting) == AT_ONCE:
                    sent += await _settle(waiting, acknowledged, told)
        finally:
            try:
                sent += await _settle(waiting, acknowledged, told)
            finally:
                await producer.stop()
    except (aiokafka.errors.KafkaError, TimeoutError) as error:
        raise Unavailable(f"kafka at {broker}: {error!r}") from error
    return sent


async def _send(producer: Any, letter: Letter, prefix: str) -> Any:
    topic = prefix + letter.topic
    count = len(await producer.partitions_for(topic))
    # Without a key any partition will do, and the topic may have been made anew with fewer.
    partition = letter.partition % count if letter.key is None else partition_of(letter.key, count)
    return await producer.send(topic, letter.value, key=letter.key, partition=partition, headers=headers_again(letter))


async def _settle(waiting: list[tuple[Letter, Any]], acknowledged: Callable[[list[Letter]], None], told: Told) -> int:
    futures = (asyncio.wait_for(future, PATIENCE) for _, future in waiting)
    became = list(zip(waiting, await asyncio.gather(*futures, return_exceptions=True), strict=True))
    waiting.clear()
    taken = [letter for (letter, _), error in became if not isinstance(error, BaseException)]
    await asyncio.to_thread(acknowledged, taken)  # first of all: whatever else went wrong, these are sent
    for (letter, _), error in became:
        if isinstance(error, REFUSED):
            told(letter, f"Kafka refuses it: {error}")
        elif isinstance(error, BaseException):
            raise error
    return len(taken)


def _whole(letters: Iterable[Letter], broker: str, prefix: str, told: Told) -> Iterator[Letter]:
    """Read the records of letters that have no value: most were too large for a letter."""
    consumer: Any = None
    try:
        for letter in letters:
            if letter.value is not None:
                yield letter
                continue
            if consumer is None:
                consumer = kafka.KafkaConsumer(**for_python(broker), enable_auto_commit=False)
            record = _original(consumer, letter, prefix)
            if record is None:
                told(letter, f"its letter has no value, and the record is not in {prefix}{letter.topic} any more")
            else:
                yield msgspec.structs.replace(letter, value=record.value)
    except KafkaError as error:
        raise Unavailable(f"kafka at {broker}: {error}") from error
    finally:
        if consumer is not None:
            consumer.close()


def _original(consumer: Any, letter: Letter, prefix: str) -> Any:
    """Return the record where it lies; None where it does not any more."""
    tp = TopicPartition(prefix + letter.topic, letter.partition)
    if letter.partition not in (consumer.partitions_for_topic(tp.topic) or ()):
        return None
    consumer.assign([tp])
    if not consumer.beginning_offsets([tp])[tp] <= letter.offset < consumer.end_offsets([tp])[tp]:
        return None
    consumer.seek(tp, letter.offset)
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        for records in consumer.poll(timeout_ms=POLL_MS, max_records=1).values():
            return records[0] if records[0].offset == letter.offset else None
    raise Unavailable(f"the record {letter.place} was not read within {PATIENCE:.0f} s")
