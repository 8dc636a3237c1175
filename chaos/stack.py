"""Kafka and Redis for the rounds, which can be killed and started again where they were."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from chaos.proxy import Proxy
from streams.embedded.kafka import fetch_kafka, start_cluster, start_kafka
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

    def end(self) -> None:
        """End it as an operator would."""
        self.signal(signal.SIGTERM)
        self.child.wait(60)

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

    def __init__(self, folder: Path, group: Group, brokers: int = 1) -> None:
        url = start_redis(folder / "redis", group)
        self.folder = folder
        self.redis = Server(group, group.children[-1], folder / "redis" / "redis.log")
        self.redis_proxy = Proxy(int(url.rsplit(":", 1)[1].split("/")[0]))
        self.kafka_proxies: list[Proxy] = []
        before, where = len(group.children), folder / "kafka"
        if brokers == 1:
            start_kafka(where, fetch_kafka(), group, advertise=self._proxied)
        else:
            start_cluster(where, fetch_kafka(), group, brokers, self._proxied)
        logs = [where / "kafka.log"] if brokers == 1 else [where / f"{n + 1}" / "kafka.log" for n in range(brokers)]
        self.brokers = [Server(group, child, log) for child, log in zip(group.children[before:], logs, strict=True)]
        super().__init__(",".join(f"127.0.0.1:{proxy.port}" for proxy in self.kafka_proxies), url)
        self.worker_redis_url = f"redis://127.0.0.1:{self.redis_proxy.port}/0"

    def _proxied(self, port: int) -> int:
        """A broker tells its clients where it is: there the proxy must be."""
        self.kafka_proxies.append(Proxy(port))
        return self.kafka_proxies[-1].port

    def heal(self) -> None:
        """Let everything through again."""
        for proxy in (self.redis_proxy, *self.kafka_proxies):
            proxy.heal()

    def await_redis(self) -> None:
        """Wait until Redis answers with data."""
        with self.client() as client:
            await_ready(self.redis.child, self.redis.log, lambda: _pings(client), 60)

    def await_kafka(self) -> None:
        """Wait until every broker is in, and every partition has all its replicas in step."""
        for server in self.brokers:
            await_ready(server.child, server.log, self._is_whole, 90)

    def _is_whole(self) -> bool:
        try:
            found = AdminClient({"bootstrap.servers": self.broker, "log_level": 0}).list_topics(timeout=2)
        except KafkaException:
            return False
        partitions = [one for topic in found.topics.values() for one in topic.partitions.values()]
        return len(found.brokers) == len(self.brokers) and all(set(one.replicas) == set(one.isrs) for one in partitions)


def _pings(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


@contextmanager
def stack(folder: Path, brokers: int = 1) -> Iterator[OwnStack]:
    """Start them, and end them whatever happens."""
    folder.mkdir(parents=True, exist_ok=True)
    with watch(None) as group:
        yield OwnStack(folder, group, brokers)
