"""How long events stand still after a fault, measured again and again while they come without end."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from confluent_kafka import ConsumerGroupState, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from chaos.background import Background
from chaos.faults import kill_all_workers, kilobytes, pick
from chaos.job import Job
from chaos.records import Input
from chaos.stack import OwnStack
from models.partition import partition_of
from schemas.codec import encode, key_of, topic_of
from schemas.events import Line, Purchase

PARTITIONS = 4
CUSTOMERS = 400
EVERY = 0.05
AT_ONCE = 10
"""Purchases sent every `EVERY` seconds: 200 a second."""
PATIENCE = 200.0
RESTS = 3.0, 8.0
"""Seconds between the moment that all is in its place again and the next fault: drawn."""
AWAY = 120.0
SETTLES = 0.5
"""Seconds until what was on its way has come."""
now = time.monotonic


class Stream(Background):
    """Sends purchases to all shards while its block runs, and counts them by shard.

    Records that were sent and are not acknowledged may be there: they are told of some time later.
    """

    def __init__(self, broker: str, prefix: str) -> None:
        super().__init__(EVERY)
        self.broker, self.prefix = broker, prefix
        self._number = 0
        self.sent: Counter[int] = Counter()
        self._acknowledged: Counter[int] = Counter()
        self._one = threading.Lock()
        self._producer: Any = self._connect()

    def _connect(self) -> Any:
        return Producer({"bootstrap.servers": self.broker, "linger.ms": 5, "log_level": 0})

    def reconnect(self) -> None:
        """Send on new connections. What the old ones had not delivered is lost."""
        with self._one:
            self._producer, self.sent = self._connect(), self._acknowledged.copy()

    def turn(self) -> None:
        """Send the next purchases."""
        with self._one:
            for _ in range(AT_ONCE):
                self._number += 1
                self._purchase(self._number)
            self._producer.poll(0)

    def _purchase(self, number: int) -> None:
        line = Line(product_id="p", quantity=1, unit_price=1)
        event = Purchase(
            event_id=f"e{number}",
            customer_id=f"c{number % CUSTOMERS}",
            occurred_at=datetime.now(UTC),
            currency="GBP",
            channel="web",
            lines=(line,),
        )
        key = key_of(event)
        shard = partition_of(key, PARTITIONS)

        def acknowledged(error: Any, _: Any) -> None:
            self._acknowledged[shard] += error is None

        self.sent[shard] += 1
        self._producer.produce(self.prefix + topic_of(event), encode(event), key, shard, on_delivery=acknowledged)


class Live:
    """A job under a stream, to which a fault is done again and again."""

    def __init__(self, stack: OwnStack, job: Job, stream: Stream, rng: random.Random) -> None:
        self.stack, self.job, self.stream, self.rng = stack, job, stream, rng
        self.notes: list[str] = []

    def until(self, done: Callable[[], bool], what: str, every: float = 0.02) -> float:
        """Supervise until `done()`; returns how long that took."""
        began = now()
        self.job.run_until(done, PATIENCE, what, every)
        return now() - began

    def flow(self) -> Callable[[], bool]:
        """Whether every shard has handled a record that was sent after this was called."""
        handled_yet = self.job.handled() or Counter()
        before = {n: max(self.stream.sent[n], handled_yet[n]) for n in range(PARTITIONS)}

        def flows() -> bool:
            handled = self.job.handled()
            return handled is not None and all(handled[n] > before[n] for n in before)

        return flows

    def shared(self) -> bool:
        """Whether every worker is a member of the group and has a part."""
        admin = AdminClient({"bootstrap.servers": self.job.stack.broker, "log_level": 0})
        name = f"{self.job.settings.prefix}streamscore-scoring"
        try:
            group = admin.describe_consumer_groups([name], request_timeout=5)[name].result()
        except KafkaException:  # nobody has asked for it yet
            return False
        parts = [len(member.assignment.topic_partitions) for member in group.members]
        return group.state == ConsumerGroupState.STABLE and len(parts) == len(self.job.workers) and all(parts)

    def rest(self) -> None:
        """Wait until all is in its place again, and some seconds more."""
        self.until(self.shared, "shared", every=0.5)
        until = now() + self.rng.uniform(*RESTS)
        self.until(lambda: now() > until, "rest")
        self.until(self.flow(), "events flow")

    def sizes(self) -> list[int]:
        """Resident memory of the workers, in MB."""
        return [kilobytes(worker) // 1_000 for worker in self.job.workers]


def kill(live: Live) -> float:
    """Kill -9 of a worker, which its supervisor starts again."""
    flows = live.flow()
    pick(live.job, live.rng).child.kill()
    return live.until(flows, "events flow")


def kill_all(live: Live) -> float:
    """Kill -9 of all workers at once."""
    flows = live.flow()
    kill_all_workers(live.job, live.rng)
    return live.until(flows, "events flow")


def deaden(live: Live) -> float:
    """All connections to Kafka die without a word; new ones are as good as ever."""
    began = now()
    for proxy in live.stack.kafka_proxies:
        proxy.deaden()
    time.sleep(SETTLES)
    live.stream.reconnect()
    live.until(live.flow(), "events flow")
    return now() - began


def redis_away(live: Live) -> float:
    """Redis is away for two minutes; from its coming back until all that came meanwhile is handled."""
    before, starts = live.sizes(), [worker.starts for worker in live.job.workers]
    live.stack.redis.kill()
    until = now() + AWAY
    live.until(lambda: now() > until, "Redis away")
    meanwhile = live.sizes()
    live.stack.redis.start()
    live.stack.await_redis()
    behind = live.stream.sent.total() - sum((live.job.handled() or {}).values())
    seconds = live.until(live.flow(), "events flow")
    live.notes.append(
        f"{behind:,} events behind; workers of {before} MB had {meanwhile} when Redis came back and {live.sizes()} in the "
        f"end; started again: {[worker.starts for worker in live.job.workers] != starts}"
    )
    return seconds


@dataclass
class Measure:
    """What to do to how many workers, and how often at most."""

    workers: int
    do: Callable[[Live], float]
    most: int = 1_000


MEASURES = {
    "kill -9, a second worker there": Measure(2, kill),
    "kill -9, alone": Measure(1, kill),
    "kill -9 of both": Measure(2, kill_all),
    "Kafka connections dead": Measure(2, deaden),
    "Redis away for two minutes": Measure(2, redis_away, most=1),
}


def measure(stack: OwnStack, folder: Path, seed: int, name: str, times: int) -> tuple[list[float], list[str]]:
    """Do it so often; returns the seconds until events flowed again, and notes."""
    asked = MEASURES[name]
    job = Job(stack, Input(seed, PARTITIONS), folder)
    for _ in range(asked.workers):
        job.start()
    seconds: list[float] = []
    with Stream(stack.broker, job.settings.prefix) as stream:
        live = Live(stack, job, stream, random.Random(f"{seed} {name}"))
        try:
            for _ in range(min(times, asked.most)):
                live.rest()
                seconds.append(asked.do(live))
        finally:
            stack.heal()
            codes = job.end()
    if any(codes):
        live.notes.append(f"workers told to end ended with {codes}")
    job.remove()
    return seconds, live.notes
