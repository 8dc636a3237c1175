"""Kafka and Redis for the rounds, which can be killed and started again where they were."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from streams.embedded.kafka import fetch_kafka, start_kafka
from streams.embedded.process import Group, await_ready, watch
from streams.embedded.redis import start_redis


class Server:
    """One process of a service; starts again with the same command, so at the same address."""

    def __init__(self, group: Group, child: subprocess.Popen[bytes], log: Path) -> None:
        self.group, self.child, self.log = group, child, log

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process."""
        os.killpg(self.child.pid, number)

    def kill(self) -> None:
        """End it as a power cut would."""
        self.signal(signal.SIGKILL)
        self.child.wait()

    def start(self) -> None:
        """Start it again; does not wait until it answers."""
        self.child = self.group.start(list(self.child.args), self.log)  # type: ignore[arg-type]


class Stack:
    """A broker and a Redis. Those of somebody else have no servers to kill."""

    def __init__(
        self, broker: str, redis_url: str, kafka: Server | None = None, redis_server: Server | None = None
    ) -> None:
        self.broker, self.redis_url = broker, redis_url
        self._kafka, self._redis = kafka, redis_server

    @property
    def kafka(self) -> Server:
        """The broker's process."""
        assert self._kafka is not None
        return self._kafka

    @property
    def redis(self) -> Server:
        """Redis's process."""
        assert self._redis is not None
        return self._redis

    @property
    def redis_port(self) -> int:
        """Where Redis listens."""
        return int(self.redis_url.rsplit(":", 1)[1].split("/")[0])

    def client(self) -> redis.Redis:
        """A client of Redis that gives up soon."""
        return redis.Redis.from_url(self.redis_url, socket_timeout=2, socket_connect_timeout=2)

    def await_redis(self) -> None:
        """Wait until Redis answers with data."""
        with self.client() as client:
            await_ready(self.redis.child, self.redis.log, lambda: _pings(client), 60)


def _pings(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


@contextmanager
def stack(folder: Path) -> Iterator[Stack]:
    """Start both, and end them whatever happens."""
    folder.mkdir(parents=True, exist_ok=True)
    with watch(None) as group:
        url = start_redis(folder / "redis", group)
        store = Server(group, group.children[-1], folder / "redis" / "redis.log")
        broker = start_kafka(folder / "kafka", fetch_kafka(), group)
        yield Stack(broker, url, Server(group, group.children[-1], folder / "kafka" / "kafka.log"), store)
