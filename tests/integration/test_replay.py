"""Replays into a real Kafka: all that was said is there, in the partition where kafka-python would have put it."""

import os
import secrets
import subprocess
import sys
from collections import Counter
from pathlib import Path

import kafka
import msgspec
import pytest
from kafka.partitioner.default import murmur2

from schemas.codec import INPUT_TOPICS, encode, key_of, topic_of
from streams.errors import Unavailable
from streams.kafka import producer
from streams.kafka.topics import ensure_topics
from streams.replay.simulated import Simulation
from streams.reporting.replay import Measured
from streams.settings import load_settings

COMMAND = Path(sys.executable).with_name("streamscore")
ASKED = ("simulated", "--customers", "100", "--events", "2500", "--seed", "8")
PARTITIONS = 3


def records(broker, prefix, wanted):
    """Topic without prefix, partition, key and value of so many records, and no more than there are."""
    consumer = kafka.KafkaConsumer(
        *(prefix + topic for topic in INPUT_TOPICS), bootstrap_servers=broker, auto_offset_reset="earliest",
        group_id=None, consumer_timeout_ms=15_000,
    )  # fmt: skip
    found = []
    for record in consumer:
        found.append((record.topic.removeprefix(prefix), record.partition, record.key, record.value))
        if len(found) == wanted:
            found += [(one.topic, 0, b"", b"") for some in consumer.poll(2_000).values() for one in some]
            break
    consumer.close()
    return found


def check(found, expected):
    assert len(found) == len(expected)
    assert {partition for _, partition, _, _ in found} == set(range(PARTITIONS))
    for _, partition, key, _ in found:
        assert partition == (murmur2(key) & 0x7FFFFFFF) % PARTITIONS
    assert Counter((topic, key, value) for topic, _, key, value in found) == Counter(
        (topic_of(event), key_of(event), encode(event)) for event in expected
    )
    for topic in INPUT_TOPICS:  # within a partition in the order of the events
        for number in range(PARTITIONS):
            sent = [encode(event) for event in expected if topic_of(event) == topic]
            there = [value for t, partition, _, value in found if (t, partition) == (topic, number)]
            places = {value: place for place, value in enumerate(sent)}
            assert [places[value] for value in there] == sorted(places[value] for value in there)


@pytest.mark.parametrize("form", ["simulated", "FILE"])
def test_the_command_fills_the_topics(services, tmp_path, form):
    prefix = f"t{secrets.token_hex(4)}."
    env = os.environ | {
        "STREAMSCORE_BROKER": services.broker, "STREAMSCORE_PREFIX": prefix, "STREAMSCORE_PARTITIONS": str(PARTITIONS),
    }  # fmt: skip
    args = ASKED
    if form == "FILE":
        path = tmp_path / "shop.jsonl.gz"
        subprocess.run([COMMAND, "replay", *ASKED, "--to", path], env=env, check=True, capture_output=True)
        args = (str(path),)
    done = subprocess.run([COMMAND, "replay", *args], env=env, check=True, capture_output=True, text=True)
    assert "2500 events" in done.stdout
    check(records(services.broker, prefix, 2_500), list(Simulation(100, 2_500, seed=8).events()))


def test_the_producer_without_librdkafka_does_the_same(services):
    prefix = f"t{secrets.token_hex(4)}."
    ensure_topics(services.broker, prefix, PARTITIONS)
    expected, told = list(Simulation(100, 1_234, seed=8).events()), []
    assert producer._send_slowly(iter(expected), services.broker, prefix, told.append) == sum(told) == 1_234
    check(records(services.broker, prefix, 1_234), expected)


def test_a_replay_reports_what_the_workers_made_of_it(services, tmp_path):
    """And of itself alone: what was there before is not counted again."""
    file, report = tmp_path / "shop.jsonl", tmp_path / "report.json"
    env = os.environ | {
        "STREAMSCORE_BROKER": services.broker, "STREAMSCORE_REDIS": services.redis,
        "STREAMSCORE_PREFIX": f"t{secrets.token_hex(4)}.", "STREAMSCORE_PARTITIONS": str(PARTITIONS),
        "STREAMSCORE_CLOCK": "events", "STREAMSCORE_IDLE_AFTER_SECONDS": "1", "STREAMSCORE_METRICS_PORT": "0",
        "STREAMSCORE_WINDOW_DAYS": "20", "STREAMSCORE_DRAW_DAYS": "10", "STREAMSCORE_DATA": str(tmp_path / "data"),
    }  # fmt: skip
    subprocess.run([COMMAND, "replay", *ASKED, "--to", file], env=env, check=True, capture_output=True)
    lines = file.read_bytes().splitlines(keepends=True)
    with (tmp_path / "log").open("wb") as log:
        worker = subprocess.Popen([COMMAND, "worker"], env=env, stdout=log, stderr=log)
    found = []
    try:
        for some in (lines[:1_500], lines[1_500:]):
            file.write_bytes(b"".join(some))
            subprocess.run(
                [COMMAND, "replay", file, "--report", report], env=env, check=True, capture_output=True, timeout=250
            )
            found.append(msgspec.json.decode(report.read_bytes()))
    finally:
        worker.terminate()
        worker.wait(30)
    assert [one["events"]["read"] for one in found] == [1_500, 1_000]
    assert [one["events"]["scored"] for one in found] == [1_500, 1_000]
    assert found[1]["tasks"]["churn"]["examples"] >= found[0]["tasks"]["churn"]["examples"] > 0
    assert sum(found[1]["segments"]["sizes"].values()) > 0
    assert found[1]["throughput"]["events"] == 1_000


def test_a_report_without_workers_is_not_waited_for_for_ever(services, tmp_path):
    settings = load_settings(
        broker=services.broker, redis=services.redis, prefix=f"t{secrets.token_hex(4)}.", data=tmp_path
    )
    said = []
    with pytest.raises(Unavailable, match=r"5 events are not scored: does `streamscore worker` run"):
        Measured(settings).report(5, said.append, patience=0.5)
    assert said == ["scored 0 of 5"]
