"""One run of the job: topics filled first, workers under a supervisor, and everything that stands at the end."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import redis
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from chaos.inject import Plan
from chaos.records import Input
from chaos.stack import OwnStack, Stack
from schemas.commit import Place
from streams.kafka.topics import ensure_topics
from streams.redis.keys import Keys
from streams.settings import Settings, load_settings

GIVEN = {
    "clock": "events",
    "timezone": "Europe/London",
    "window_days": 14.0,
    "response_days": 3.0,
    "draw_days": 7.0,
    "idle_after_seconds": 1.0,
    "chunk_size": 100,
    "metrics_port": 0,
}
HUNG = 30.0
"""Seconds after which a worker that was told to end is ended by force, with its stacks in the log."""
GRACE = 8.0
"""Seconds that a plan has to act when all else is done: offsets are confirmed every five."""
STILL = 2.0
"""Seconds without a write of a shard: longer than a topic without records is waited for."""
RETURN = 15.0
"""Seconds that a job has to be taken again after a restart, if another worker does not have it."""


def fill(stack: Stack, prefix: str, made: Input) -> None:
    """Put every record where the input says, in its order."""
    producer = Producer(
        {
            "bootstrap.servers": stack.broker,
            "log_level": 0,
            "enable.idempotence": True,
            "linger.ms": 5,
            "message.max.bytes": 2_000_000,
            "queue.buffering.max.kbytes": 200_000,
        }
    )
    failed: list[str] = []
    for record in made.records:
        while True:
            try:
                producer.produce(
                    prefix + record.topic,
                    record.value,
                    record.key,
                    record.partition,
                    headers=list(record.headers),
                    on_delivery=lambda error, _: failed.append(str(error)) if error else None,
                )
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    if producer.flush(60) or failed:
        raise RuntimeError(f"the input could not be sent: {failed[:1]}")


@dataclass
class Worker:
    """A worker and how it is started again."""

    only: str | None
    plan: Plan
    child: subprocess.Popen[bytes]
    stopped: bool = False
    starts: int = 1
    ends: list[int] = field(default_factory=list)


class Job:
    """Workers on topics and keys of their own."""

    def __init__(
        self,
        stack: Stack | OwnStack,
        made: Input,
        folder: Path,
        pins: dict[str, tuple[str, bytes]] | None = None,
        **given: Any,
    ) -> None:
        """Fill topics of its own; with `pins`, what is scored with is pinned, and everything can be compared."""
        self.stack, self.made, self.folder = stack, made, folder
        if pins is not None:
            given["models"] = ",".join(f"{task}={version}" for task, (version, _) in pins.items())
        folder.mkdir(parents=True, exist_ok=True)
        self.settings: Settings = load_settings(
            broker=given.pop("broker", stack.broker),
            redis=given.pop("redis", stack.worker_redis_url),
            prefix=f"chaos-{secrets.token_hex(5)}-",
            partitions=made.partitions,
            data=folder / "data",
            **{**GIVEN, **given},
        )
        self.pinned = pins is not None
        self.keys = Keys(self.settings.prefix)
        with stack.client() as client:
            for task, (version, body) in (pins or {}).items():
                client.set(self.keys.model_version(task, version), body)
        self.workers: list[Worker] = []
        self.complaints: list[str] = []
        self._restarted: tuple[float, list[int]] | None = None
        self._rested: float | None = None
        self._wrote: tuple[float, list[int]] = 0.0, []
        self._started: float | None = None
        self._client = stack.client()
        self.log = folder / "workers.log"
        self.total = len(made.records)
        ensure_topics(stack.broker, self.settings.prefix, made.partitions)
        fill(stack, self.settings.prefix, made)

    # Workers.

    def start(self, plan: Plan | None = None, only: str | None = None) -> Worker:
        """Start one more worker."""
        plan = plan or Plan()
        if plan.step and not plan.once:
            plan.once = str(self.folder / f"acted-{secrets.token_hex(3)}")
        worker = Worker(only, plan, self._spawn(plan, only))
        self.workers.append(worker)
        return worker

    def _spawn(self, plan: Plan, only: str | None) -> subprocess.Popen[bytes]:
        given = {name: getattr(self.settings, name) for name in self.settings.model_fields_set}
        env = os.environ | {f"STREAMSCORE_{name.upper()}": str(value) for name, value in given.items()}
        env |= {"CHAOS_PLAN": plan.to_json(), "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1"}
        env["PYTHONFAULTHANDLER"] = "1"  # a worker that hangs is ended by SIGABRT
        command = [sys.executable, "-m", "chaos.worker", "worker"] + ([f"--only={only}"] if only else [])
        with self.log.open("ab") as log:
            return subprocess.Popen(command, env=env, stdout=log, stderr=log)

    def supervise(self) -> None:
        """Start again whoever has ended."""
        for worker in self.workers:
            code = worker.child.poll()
            if code is not None and not worker.stopped:
                worker.ends.append(code)
                worker.starts += 1
                if worker.starts > 40:
                    raise RuntimeError(f"a worker ended {worker.starts - 1} times: {self.log}")
                self._restarted = time.monotonic(), self._heads()
                worker.child = self._spawn(worker.plan, worker.only)

    def end(self, number: signal.Signals = signal.SIGTERM) -> list[int]:
        """End all workers for good; returns their exit codes.

        Plans that have not acted do not any more: what ends a worker from here on is the worker. One that hangs ends
        with -6, and the log has the stacks of its threads.
        """
        for worker in self.workers:
            worker.stopped = True
            if worker.plan.once:
                Path(worker.plan.once).touch()
            if worker.child.poll() is None:
                worker.child.send_signal(signal.SIGCONT)
                worker.child.send_signal(number)
        return [self._ended(worker.child) for worker in self.workers]

    @staticmethod
    def _ended(child: subprocess.Popen[bytes]) -> int:
        for number in (signal.SIGABRT, signal.SIGKILL):
            try:
                return child.wait(HUNG)
            except subprocess.TimeoutExpired:
                child.send_signal(number)
        return child.wait()

    def tail(self, characters: int = 6_000) -> str:
        """The end of the workers' log."""
        return self.log.read_text(errors="replace")[-characters:]

    def remove(self) -> None:
        """Remove what the run has left in Kafka and Redis: the next ones need the room."""
        admin = AdminClient({"bootstrap.servers": self.stack.broker, "log_level": 0})
        names = [name for name in admin.list_topics(timeout=10).topics if name.startswith(self.settings.prefix)]
        for done in admin.delete_topics(names, operation_timeout=30).values():
            done.result()
        for key in self._client.scan_iter(f"{self.settings.prefix}*", count=5_000):
            self._client.unlink(key)
        self._client.close()

    # Progress.

    def handled(self) -> dict[int, int] | None:
        """Records handled of each shard; None while Redis is away."""
        try:
            bodies = [self._client.hget(self.keys.shard(n), "place") for n in range(self.made.partitions)]
        except (redis.RedisError, OSError):
            return None
        return {n: _next(body) for n, body in enumerate(bodies)}

    def learned(self) -> bytes | None:
        """Up to where the learner has learned, as it has saved it; None while Redis is away."""
        try:
            return self._client.hget(self.keys.learner(0), "log")
        except (redis.RedisError, OSError):
            return None

    def _heads(self) -> list[int]:
        """Heads of all shards and of the learner; nothing while Redis is away."""
        names = [*map(self.keys.shard, range(self.made.partitions)), self.keys.learner(0)]
        try:
            return [int(self._client.hget(name, "head") or 0) for name in names]
        except (redis.RedisError, OSError):
            return []

    def _returned(self) -> bool:
        """Whether all run, and all has been taken or written since the last restart, or has had the time."""
        if any(worker.child.poll() is not None for worker in self.workers if not worker.stopped):
            return False
        if self._restarted is None:
            return True
        at, heads = self._restarted
        now = self._heads()
        if time.monotonic() > at + RETURN or (now and all(new > old for new, old in zip(now, heads, strict=False))):
            self._restarted = None
        return self._restarted is None

    def acted(self) -> bool:
        """Whether every plan has acted that is to act; ask before the end."""
        return all(Path(str(worker.plan.once)).exists() for worker in self.workers if worker.plan.step)

    def finished(self) -> bool:
        """Whether all is settled, and every plan has acted or had `GRACE` more seconds to."""
        if not self.settled():
            self._rested = None
            return False
        self._rested = self._rested or time.monotonic()
        return self.acted() or time.monotonic() > self._rested + GRACE

    def settled(self) -> bool:
        """Whether all is handled, sent on, learned and saved, by workers that are there (again)."""
        handled = self.handled()
        if handled is None or sum(handled.values()) < self.total or not self._returned():
            return False
        try:
            if any(self._client.hlen(self.keys.outbox(n)) for n in range(self.made.partitions)):
                return False
            shown = self._client.hget(self.keys.learner(0), "reported")  # written with the place, by one commit
        except (redis.RedisError, OSError):
            return False
        end = self.end_of("examples")
        return end is not None and int(shown or -1) >= end and self._still()

    def _still(self) -> bool:
        """Whether no shard has written for a while: after the last record, timers may take some more chunks."""
        heads, now = self._heads()[: self.made.partitions], time.monotonic()
        if not heads or heads != self._wrote[1]:
            self._wrote = now, heads
        return now > self._wrote[0] + STILL

    def end_of(self, topic: str) -> int | None:
        """End offset of a topic's first partition; None while Kafka is away."""
        from chaos.found import consumer

        reader = consumer(self.stack.broker)
        try:
            return int(reader.get_watermark_offsets(TopicPartition(self.settings.prefix + topic, 0), timeout=5)[1])
        except Exception:  # noqa: BLE001 - whatever it is, Kafka does not answer
            return None
        finally:
            reader.close()

    def shared(self, seconds: float = 4.0) -> bool:
        """Whether all workers have started, and those there were have had the time to give them their part."""
        started = self.log.read_text(errors="replace").count("metrics on")
        if started < len(self.workers):
            return False
        self._started = self._started or time.monotonic()
        return len(self.workers) == 1 or time.monotonic() > self._started + seconds

    def reached(self, share: float) -> bool:
        """Whether so much of the input is handled."""
        return sum((self.handled() or {}).values()) >= share * self.total

    def run_until(self, done: Any, seconds: float, what: str, every: float = 0.25) -> None:
        """Supervise until `done()`. Raises `TimeoutError`, with where the job stands."""
        deadline = time.monotonic() + seconds
        while not done():
            self.supervise()
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what}: not within {seconds:.0f} s; {self.handled()} of {self.made.ends()}")
            time.sleep(every)


def _next(body: bytes | None) -> int:
    if body is None:
        return 0
    return sum(at.next for at in msgspec.msgpack.decode(body, type=Place).topics.values())
