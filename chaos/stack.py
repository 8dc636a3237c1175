"""Kafka and Redis for the rounds, which can be killed and started again where they were."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from chaos.proxy import Proxy
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
    """A broker and a Redis, and how the rounds look at them: not through what disturbs the workers."""

    def __init__(self, broker: str, redis_url: str) -> None:
        self.broker, self.redis_url = broker, redis_url
        self.worker_redis_url = redis_url

    def client(self) -> redis.Redis:
        """A client of Redis that gives up soon."""
        return redis.Redis.from_url(self.redis_url, socket_timeout=2, socket_connect_timeout=2)


class OwnStack(Stack):
    """Servers of our own, which can be killed; workers reach them through proxies."""

    def __init__(self, folder: Path, group: Group) -> None:
        url = start_redis(folder / "redis", group)
        self.redis = Server(group, group.children[-1], folder / "redis" / "redis.log")
        direct = start_kafka(folder / "kafka", fetch_kafka(), group)
        self.kafka = Server(group, group.children[-1], folder / "kafka" / "kafka.log")
        super().__init__(direct, url)
        self.folder = folder
        self.redis_proxy = Proxy(int(url.rsplit(":", 1)[1].split("/")[0]))
        self.worker_redis_url = f"redis://127.0.0.1:{self.redis_proxy.port}/0"
        self.kafka_proxy = Proxy(int(direct.rsplit(":", 1)[1]))
        self._advertise(direct, f"127.0.0.1:{self.kafka_proxy.port}")

    def _advertise(self, direct: str, through: str) -> None:
        """A broker tells its clients where it is: there the proxy must be."""
        settings = self.folder / "kafka" / "server.properties"
        said = f"advertised.listeners=PLAINTEXT://{direct}"
        text = settings.read_text()
        assert said in text
        self.kafka.kill()
        settings.write_text(text.replace(said, f"advertised.listeners=PLAINTEXT://{through}"))
        self.kafka.start()
        self.broker = through
        await_ready(self.kafka.child, self.kafka.log, lambda: answers(through), 60)

    def await_redis(self) -> None:
        """Wait until Redis answers with data."""
        with self.client() as client:
            await_ready(self.redis.child, self.redis.log, lambda: _pings(client), 60)


def answers(broker: str) -> bool:
    """Whether a broker answers."""
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    try:
        return bool(AdminClient({"bootstrap.servers": broker, "log_level": 0}).list_topics(timeout=2).brokers)
    except KafkaException:
        return False


def _pings(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


@contextmanager
def stack(folder: Path) -> Iterator[OwnStack]:
    """Start both, and end them whatever happens."""
    folder.mkdir(parents=True, exist_ok=True)
    with watch(None) as group:
        yield OwnStack(folder, group)
