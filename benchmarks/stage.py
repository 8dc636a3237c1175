"""Topics and Redis of one run: filled, with published models, and watched while they are worked on."""

import secrets
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import psutil
import redis
from msgspec import Struct

from models.serving_set import ServingSet
from schemas.events import Event
from schemas.segments import encode_segments
from schemas.serving import encode_model
from streams.kafka.producer import send
from streams.kafka.topics import ensure_topics
from streams.redis.keys import Keys
from streams.reporting.job import places
from streams.settings import Settings, load_settings

TASKS = ("response", "churn", "value", "segments")
PATIENCE = 1_800.0


def make_settings(broker: str, url: str, data: Path, partitions: int) -> Settings:
    """Settings of the demo under a prefix of their own, so that nothing here meets another run."""
    return load_settings(
        broker=broker,
        redis=url,
        clock="events",
        idle_after_seconds=2.0,
        data=data,
        prefix=f"bench-{secrets.token_hex(4)}-",
        partitions=partitions,
    )


def fill(settings: Settings, events: Iterable[Event]) -> int:
    """Make the topics and put events into them."""
    ensure_topics(settings.given("broker"), settings.prefix, settings.partitions)
    return send(events, settings.given("broker"), settings.prefix)


def publish(client: Any, settings: Settings, models: ServingSet) -> None:
    """Publish models as the learner does."""
    keys = Keys(settings.prefix)
    for task in TASKS:
        model = getattr(models, task)
        body = encode_segments(model) if task == "segments" else encode_model(model)
        client.set(keys.model(task), body)
        client.hset(keys.models, task, model.version)


def handled(client: Any, settings: Settings) -> int:
    """How many records the shards' places say are done."""
    return sum(at.next for place in places(client, settings) for at in place.topics.values())


class Watched(Struct):
    """CPU seconds and the largest resident memory of a process that somebody else measures."""

    process: psutil.Process
    cpu: float = 0.0
    peak: int = 0

    def look(self) -> float:
        """CPU seconds so far."""
        times = self.process.cpu_times()
        self.peak = max(self.peak, self.process.memory_info().rss)
        return float(times.user + times.system)


def await_done(
    done: Callable[[], bool], alive: Callable[[], str | None], every: float = 0.02, patience: float = PATIENCE
) -> None:
    """Wait. Raises `RuntimeError` with a worker's last words where it ended, or where nothing comes."""
    deadline = time.monotonic() + patience
    while not done():
        if (said := alive()) is not None:
            raise RuntimeError(said)
        if time.monotonic() > deadline:
            raise RuntimeError(f"not done within {patience:.0f} s")
        time.sleep(every)


def connect(settings: Settings) -> Any:
    """A plain client."""
    return redis.Redis.from_url(settings.given("redis"))
