"""Alive and ready, on a real worker whose Redis and Kafka are stopped, killed and started again."""

import asyncio
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

import pytest

from streams.demo import _metrics, worker
from streams.embedded.kafka import fetch_kafka, start_kafka
from streams.embedded.process import watch
from streams.embedded.redis import start_redis
from streams.kafka.reach import reach
from streams.settings import load_settings


def get(url):
    began = time.monotonic()
    try:
        with urllib.request.urlopen(url, timeout=15) as answer:  # noqa: S310 - ours
            return answer.status, answer.read().decode(), time.monotonic() - began
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(), time.monotonic() - began


def until(status, url, seconds=40):
    """Ask until `status` is answered; every single answer must be quick."""
    deadline = time.monotonic() + seconds
    while True:
        found, text, took = get(url)
        assert took < 4.0, f"/readyz took {took:.1f} s: {text}"
        if found == status:
            return text
        assert time.monotonic() < deadline, f"{found}: {text}"
        time.sleep(0.2)


@pytest.fixture
def world(tmp_path):
    """A Redis and a Kafka of this test's own, and a worker on them."""
    with watch(None) as group:
        url = start_redis(tmp_path / "redis", group)
        broker = start_kafka(tmp_path / "kafka", fetch_kafka(), group)
        settings = load_settings(broker=broker, redis=url, partitions=2, data=tmp_path / "data")
        log = tmp_path / "worker.log"
        with worker(settings, "scoring", log):
            deadline = time.monotonic() + 30
            while not (found := _metrics(log)):
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.1)
            try:
                yield found.removesuffix("/metrics"), *group.children
            finally:
                for child in group.children:
                    if child.poll() is None:
                        os.killpg(child.pid, signal.SIGCONT)


def part(base, name):
    return next(
        (line.rsplit(" ", 1)[1] for line in get(f"{base}/metrics")[1].splitlines() if f'part="{name}"' in line), None
    )


def test_readyz_names_what_is_missing(world, tmp_path):
    base, redis, kafka = world
    ready = f"{base}/readyz"
    assert until(200, ready) == "ready\n"
    assert part(base, "redis") == "1.0"

    redis.kill()
    redis.wait()
    text = until(503, ready)
    assert text.startswith("redis cannot be reached")
    assert part(base, "redis") == "0.0"
    assert part(base, "kafka") == "1.0"
    assert get(f"{base}/healthz")[:2] == (200, "ok\n")

    with (tmp_path / "again.log").open("wb") as log:
        again = subprocess.Popen(redis.args, stdout=log, stderr=log, start_new_session=True)
    try:
        assert until(200, ready) == "ready\n"
        os.kill(again.pid, signal.SIGSTOP)  # black-holed: it accepts, and never answers
        assert "redis does not answer within 2 s" in until(503, ready)
        os.kill(again.pid, signal.SIGCONT)
        until(200, ready)

        os.kill(kafka.pid, signal.SIGSTOP)
        text = until(503, ready)
        assert text.startswith("kafka: ")
        assert "does not answer within 2 s" in text
        os.kill(kafka.pid, signal.SIGCONT)
        until(200, ready)

        kafka.kill()
        kafka.wait()
        assert "cannot be reached" in until(503, ready)
        assert get(f"{base}/healthz")[0] == 200
    finally:
        again.kill()
        again.wait()


def test_a_broker_that_never_answers_is_given_up():
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"127.0.0.1:{mute.getsockname()[1]}"
        began = time.monotonic()
        said = asyncio.run(reach(address, 0.5))
    assert said == f"kafka: {address} does not answer within 0.5 s"
    assert time.monotonic() - began < 2
