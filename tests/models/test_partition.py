"""Our partitions are those of kafka-python, aiokafka and librdkafka, each asked for murmur2."""

import aiokafka.partitioner
from confluent_kafka import Producer
from hypothesis import given
from hypothesis import strategies as st
from kafka.partitioner.default import DefaultPartitioner
from kafka.partitioner.default import murmur2 as of_kafka_python

from models.partition import murmur2, partition_of
from streams.replay.simulated import Simulation

PARTITIONS = 4


class Cluster:
    """One topic, as kafka-python's partitioner asks for it."""

    def __init__(self, count):
        self.count = count

    def topics(self):
        return {"t"}

    def partitions_for_topic(self, topic):
        return set(range(self.count))

    available_partitions_for_topic = partitions_for_topic


@given(st.binary(max_size=40), st.integers(1, 100))
def test_the_hash_is_that_of_kafka_python_and_aiokafka(key, count):
    assert murmur2(key) == of_kafka_python(key) & 0xFFFFFFFF == aiokafka.partitioner.murmur2(key) & 0xFFFFFFFF
    assert partition_of(key, count) == DefaultPartitioner().partition("t", key, key, b"", b"", Cluster(count))


def test_the_partitions_are_those_of_librdkafka():
    """Its partitioner chooses; what takes the records is the broker that librdkafka has inside."""
    draws = [bytes([i, 255 - i]) * (i % 9) + bytes([i]) for i in range(256)]
    ids = {event.customer_id or event.event_id for event in Simulation(200, 2_000, seed=1).events()}
    keys = {*draws, *(name.encode() for name in ids), *(str(number).encode() for number in range(12_346, 12_846))}
    chosen = {}

    def delivered(error, message):
        assert error is None
        chosen[message.key()] = message.partition()

    producer = Producer({"test.mock.num.brokers": 1, "partitioner": "murmur2", "log_level": 0})
    assert len(producer.list_topics("t", 10).topics["t"].partitions) == PARTITIONS
    for key in sorted(keys):
        producer.produce("t", b"", key, on_delivery=delivered)
    assert producer.flush(30) == 0
    assert chosen == {key: partition_of(key, PARTITIONS) for key in keys}
