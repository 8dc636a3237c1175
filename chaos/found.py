"""Everything that stands in Kafka and Redis after a run."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import msgspec
import redis
from confluent_kafka import Consumer, TopicPartition

from models.serving_set import ServingSet
from schemas.commit import Place
from schemas.state import decode_remembered
from streams.outgoing import read_examples
from streams.redis.packing import Packing

if TYPE_CHECKING:
    from chaos.job import Job

TASKS = ServingSet.__struct_fields__
SHOWN = ("brand", "market", "pairs")


@dataclass
class Sent:
    """One record of an output topic."""

    offset: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]

    def header(self, name: str) -> bytes:
        """The last header of that name, which is ours: the original's come first."""
        return next(value for given, value in reversed(self.headers) if given == name)

    def origin(self) -> tuple[int, int, int]:
        """Shard, head and part."""
        return int(self.header("shard")), int(self.header("head")), int(self.header("part"))


@dataclass
class Found:
    """What is compared.

    `facts` are states without the scores that a pending example was served with; `figures` what the learner shows of
    brands, of the market and of products, by the rest of the key.
    """

    states: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    standing: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, dict[bytes, bytes]] = field(default_factory=dict)
    timers: dict[str, float] = field(default_factory=dict)
    places: dict[int, Any] = field(default_factory=dict)
    outbox: int = 0
    packed: int = 0
    sales: dict[str, float] = field(default_factory=dict)
    figures: dict[str, dict[str, Any]] = field(default_factory=dict)
    models: dict[str, bytes | None] = field(default_factory=dict)
    report: dict[str, Any] = field(default_factory=dict)
    gaps: dict[int, tuple[int, list[tuple[int, int]]]] = field(default_factory=dict)
    triggers: list[Sent] = field(default_factory=list)
    dead: list[Sent] = field(default_factory=list)
    examples: list[Sent] = field(default_factory=list)

    def rows(self) -> list[tuple[Sent, str, list[dict[str, Any]]]]:
        """Each record of `examples`, its task and its rows."""
        return [(sent, *read_examples(sent.value or b"")) for sent in self.examples]


def find(job: Job) -> Found:
    """Read it all."""
    found, keys, partitions = Found(), job.keys, job.made.partitions
    with job.stack.client() as client:
        for n in range(partitions):
            fields = client.hgetall(keys.shard(n))
            packing = Packing(fields)
            found.packed += b"words" in fields
            for name, body in client.hgetall(keys.state(n)).items():
                kept, customer = decode_remembered(packing.unpack(body)), name.decode()
                found.standing[customer] = msgspec.to_builtins(kept)[1:]
                found.states[customer] = msgspec.to_builtins(kept.state)
                if kept.state.relation is not None:
                    kept.state.relation.churn = kept.state.relation.value = None
                found.facts[customer] = msgspec.to_builtins(kept.state)
            found.timers |= {name.decode(): at for name, at in client.zrange(keys.timers(n), 0, -1, withscores=True)}
            body = client.hget(keys.shard(n), "place")
            found.places[n] = msgspec.to_builtins(msgspec.msgpack.decode(body, type=Place)) if body else None
            found.outbox += client.hlen(keys.outbox(n))
            head, gaps = client.hmget(keys.shard(n), "head", "gaps")
            spans = [tuple(map(int, span.split(b"-"))) for span in (gaps or b"").split()]
            found.gaps[n] = int(head or 0), spans  # type: ignore[assignment]
        found.scores = hashes(client, f"{job.settings.prefix}customer:")
        for kind in SHOWN:
            for name, fields in hashes(client, f"{job.settings.prefix}{kind}:").items():
                shown = {field.decode(): msgspec.json.decode(value) for field, value in fields.items()}
                found.figures[f"{kind}:{unquote(name)}"] = shown
        for name in client.smembers(keys.series):
            found.sales[name.decode()] = float(client.hget(keys.sales(name.decode()), "total") or 0)
        found.models = {task: client.get(keys.model(task)) for task in TASKS}
        found.report = msgspec.json.decode(client.hget(keys.learner(0), "report") or b"{}")
    broker, prefix = job.stack.broker, job.settings.prefix
    found.triggers = read(broker, prefix + "triggers")
    found.dead = read(broker, prefix + "dead-letters")
    found.examples = read(broker, prefix + "examples")
    return found


def hashes(client: redis.Redis, prefix: str) -> dict[str, dict[bytes, bytes]]:
    """Every hash whose key begins so, by what follows."""
    names = [key.decode() for key in client.scan_iter(f"{prefix}*", count=5_000)]
    found: dict[str, dict[bytes, bytes]] = {}
    for start in range(0, len(names), 500):
        pipe = client.pipeline(transaction=False)
        some = names[start : start + 500]
        for name in some:
            pipe.hgetall(name)
        found |= dict(zip((name.removeprefix(prefix) for name in some), pipe.execute(), strict=True))
    return found


def consumer(broker: str) -> Consumer:
    """A consumer in no group."""
    return Consumer(
        {
            "bootstrap.servers": broker,
            "group.id": "chaos-reader",
            "log_level": 0,
            "enable.auto.commit": False,
            "enable.partition.eof": False,
            "fetch.message.max.bytes": 5_000_000,
        }
    )


def read(broker: str, topic: str) -> list[Sent]:
    """All records of a topic, partition by partition, in order of offset."""
    reader = consumer(broker)
    try:
        partitions = sorted(reader.list_topics(topic, 10).topics[topic].partitions)
        found: list[Sent] = []
        for number in partitions:
            tp = TopicPartition(topic, number, 0)
            end = reader.get_watermark_offsets(tp, timeout=10)[1]
            if not end:
                continue
            reader.assign([tp])
            deadline, at = time.monotonic() + 30, 0
            while at < end:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{topic}-{number} could not be read to its end {end}: at {at}")
                for message in reader.consume(min(1_000, end - at), 0.5):
                    if message.error() is None:
                        at = message.offset() + 1
                        headers = list(message.headers() or [])
                        found.append(Sent(message.offset(), message.key(), message.value(), headers))
        return found
    finally:
        reader.close()
