"""Workers join, leave, freeze and die on real Kafka and Redis; a shard that stays keeps what it has."""

import itertools
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing
from datetime import UTC, datetime

import confluent_kafka
import kafka
import pytest
import redis

from models.partition import partition_of
from schemas.codec import encode, key_of, topic_of
from schemas.events import Line, Purchase
from streams.kafka.topics import ensure_topics
from streams.redis.keys import Keys
from streams.reporting.job import places
from streams.settings import load_settings

PARTITIONS = 4


@pytest.fixture
def job(services, tmp_path):
    made = Job(services, tmp_path)
    try:
        yield made
    finally:
        made.end()


class Job:
    """Workers, and purchases that never stop."""

    def __init__(self, services, folder):
        self.services, self.folder, self.workers = services, folder, []
        self.settings = load_settings(
            broker=services.broker, redis=services.redis, prefix=f"test-{secrets.token_hex(6)}-", partitions=PARTITIONS,
            data=folder,
        )  # fmt: skip
        self.client = redis.Redis.from_url(services.redis)
        self.keys = Keys(self.settings.prefix)
        ensure_topics(services.broker, self.settings.prefix, PARTITIONS)
        self.sent, self.ended = itertools.count(), threading.Event()
        self.source = threading.Thread(target=self._produce)
        self.source.start()
        self.total = 0

    def _produce(self):
        producer = confluent_kafka.Producer({"bootstrap.servers": self.services.broker, "linger.ms": 5})
        while not self.ended.wait(0.05):
            for _ in range(10):
                number = next(self.sent)
                event = Purchase(
                    event_id=f"e{number}", customer_id=f"c{number % 200}", occurred_at=datetime.now(UTC),
                    currency="GBP", channel="web", lines=(Line(product_id="p", quantity=1, unit_price=1),),
                )  # fmt: skip
                key = key_of(event)
                topic = self.settings.prefix + topic_of(event)
                producer.produce(topic, encode(event), key, partition_of(key, PARTITIONS))
            producer.poll(0)
        producer.flush()
        self.total = next(self.sent)

    def start(self, code=None):
        """Start a worker, after some code of ours."""
        env = os.environ | {
            "STREAMSCORE_BROKER": self.services.broker,
            "STREAMSCORE_REDIS": self.services.redis,
            "STREAMSCORE_PREFIX": self.settings.prefix,
            "STREAMSCORE_PARTITIONS": str(PARTITIONS),
            "STREAMSCORE_DATA": str(self.folder / f"worker-{len(self.workers)}"),
            "STREAMSCORE_METRICS_PORT": "0",
        }
        log = (self.folder / f"worker-{len(self.workers)}.log").open("ab")
        command = [sys.executable, *(["-m", "streams"] if code is None else ["-c", code]), "worker", "--only=scoring"]
        self.workers.append(subprocess.Popen(command, env=env, stdout=log, stderr=log))
        return self.workers[-1]

    def takes(self):
        """How often each shard was taken."""
        return [(self.client.hget(self.keys.shard(n), "gaps") or b"").count(b" ") for n in range(PARTITIONS)]

    def handled(self):
        return [sum(at.next for at in place.topics.values()) for place in places(self.client, self.settings)]

    def flows(self, seconds):
        """Wait until each shard has handled more than now; returns how long that took."""
        began, before = time.monotonic(), self.handled()
        while len(now := self.handled()) < PARTITIONS or any(map(int.__le__, now, before or [0] * PARTITIONS)):
            assert time.monotonic() < began + seconds, self.logs()
            time.sleep(0.02)
        return time.monotonic() - began

    def settled(self, condition, seconds=60):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, (self.takes(), self.logs())
            time.sleep(0.05)

    def group(self):
        """State of the workers' group, and how many members it has."""
        name = f"{self.settings.prefix}streamscore-scoring"
        with closing(kafka.KafkaAdminClient(bootstrap_servers=self.services.broker)) as admin:
            found = admin.describe_groups([name])[name]
        return found["group_state"], len(found["members"])

    def logs(self):
        return "".join(file.read_text()[-2_000:] for file in sorted(self.folder.glob("*.log")))

    def check(self):
        """Everything sent was counted once."""
        self.ended.set()
        self.source.join()
        self.settled(lambda: sum(self.handled()) == self.total)
        orders = [int(self.client.hget(self.keys.customer(f"c{n}"), "orders")) for n in range(200)]
        assert sum(orders) == self.total
        assert max(orders) - min(orders) <= 1

    def end(self):
        self.ended.set()
        self.source.join()
        for worker in self.workers:
            if worker.poll() is None:
                worker.send_signal(signal.SIGCONT)
                worker.terminate()
        for worker in self.workers:
            try:
                worker.wait(15)
            except subprocess.TimeoutExpired:
                worker.kill()


def test_a_shard_that_stays_is_not_taken_again_when_workers_join_and_leave(job):
    job.start()
    job.settled(lambda: job.takes() == [1] * PARTITIONS)
    job.flows(20)
    second = job.start()
    job.settled(lambda: sorted(job.takes()) == [1, 1, 2, 2])
    job.flows(10)
    second.terminate()
    job.settled(lambda: sorted(job.takes()) == [1, 1, 3, 3])
    assert second.wait(10) == 0
    job.flows(10)
    job.check()
    assert sorted(job.takes()) == [1, 1, 3, 3]


def test_after_kill_9_another_worker_goes_on_within_15_seconds(job):
    first = job.start()
    job.start()
    job.settled(lambda: sum(job.takes()) >= PARTITIONS)
    job.flows(30)
    time.sleep(3)  # until the second has joined
    job.flows(10)
    first.kill()
    assert job.flows(15) < 15
    job.check()


def test_a_worker_that_slept_past_its_session_changes_nothing(job):
    first = job.start()
    job.settled(lambda: job.takes() == [1] * PARTITIONS)
    job.flows(20)
    first.send_signal(signal.SIGSTOP)
    job.start()
    job.settled(lambda: min(job.takes()) >= 2)
    job.flows(20)
    first.send_signal(signal.SIGCONT)
    job.flows(20)
    job.check()


def test_told_to_stop_a_worker_leaves_at_once_and_cleanly(job):
    worker = job.start()
    job.settled(lambda: job.takes() == [1] * PARTITIONS)
    job.flows(20)
    began = time.monotonic()
    worker.terminate()
    assert worker.wait(10) == 0, job.logs()
    assert time.monotonic() - began < 10
    assert not any(job.client.hlen(job.keys.outbox(n)) for n in range(PARTITIONS))
    job.start()
    job.flows(60)  # mostly the start of a process
    job.check()


DAWDLER = """
import asyncio
from streams.kafka.transport import ChunkedApp
from streams.cli import main

async def dawdle(self, revoked):
    await asyncio.sleep(100 if revoked else 0)

ChunkedApp._on_partitions_revoked = dawdle
main()
"""
"""A member that does not come back to a rebalance, and whose heart beats on: the group waits for it."""


def test_told_to_stop_while_another_holds_up_a_rebalance_a_worker_leaves_cleanly(job):
    worker = job.start()
    job.settled(lambda: job.takes() == [1] * PARTITIONS)
    dawdler = job.start(DAWDLER)
    try:
        job.settled(lambda: sorted(job.takes()) == [1, 1, 2, 2] and job.group() == ("Stable", 2))
        job.start()
        job.settled(lambda: job.group()[0] == "PreparingRebalance")
        time.sleep(3)  # until the worker's heart has heard of it, and it waits to join
        assert job.group()[0] == "PreparingRebalance"
        worker.terminate()
        assert worker.wait(15) == 0, job.logs()
        assert job.group()[1] == 2
    finally:
        dawdler.kill()
