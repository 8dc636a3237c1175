"""A producer of events. It partitions by murmur2, as Kafka's Java client does."""

from collections.abc import Callable, Iterable
from typing import Any, Final

import kafka
from kafka.errors import KafkaError

from models.partition import partition_of
from schemas.codec import encode, key_of, topic_of
from schemas.events import Event
from streams.errors import Misconfigured, Unavailable
from streams.kafka.security import for_librdkafka, for_python

EVERY: Final = 500
ERRORS: Final = 3
"""As syslog counts: that a broker which has just started is asked twice is nobody's concern."""


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

    settings = {"acks": "all", "enable.idempotence": True, "linger.ms": 5, "log_level": ERRORS}
    producer = Producer({**for_librdkafka(broker), **settings})
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
