import os
import signal
import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import kafka
import pytest
import redis

from streams.embedded import services as start
from streams.embedded.kafka import Node, _settings


def listens(address):
    host, port = address.rsplit(":", 1)
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, int(port))) == 0


def port_of(url):
    return url.removeprefix("redis://").removesuffix("/0")


def test_a_record_and_a_key_come_back(services):
    producer = kafka.KafkaProducer(bootstrap_servers=services.broker)
    admin = kafka.KafkaAdminClient(bootstrap_servers=services.broker)
    from kafka.admin import NewTopic

    admin.create_topics([NewTopic("embedded-test", 1, 1)])
    producer.send("embedded-test", b"value", key=b"key").get(10)
    consumer = kafka.KafkaConsumer(
        "embedded-test", bootstrap_servers=services.broker, auto_offset_reset="earliest", consumer_timeout_ms=10_000
    )
    assert next(iter(consumer)).value == b"value"
    consumer.close()
    admin.close()
    producer.close()
    with redis.Redis.from_url(services.redis) as client:
        client.set("embedded-test", "value", ex=60)
        assert client.get("embedded-test") == b"value"


def test_redis_keeps_every_write(services):
    if "STREAMSCORE_REDIS" in os.environ:
        return  # its owner's settings
    with redis.Redis.from_url(services.redis, decode_responses=True) as client:
        found = client.config_get("appendonly", "appendfsync", "maxmemory-policy")
    assert found == {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}


def test_what_is_given_is_used():
    with start("kafka:1", "redis://redis:2/0", quiet=True) as given:
        assert (given.broker, given.redis) == ("kafka:1", "redis://redis:2/0")


PROGRAM = """
import sys, time
from streams.embedded import services
with services(broker="127.0.0.1:1" if sys.argv[1] == "redis" else None, quiet=True) as s:
    print(s.redis, s.broker, flush=True)
    time.sleep(300)
"""


@pytest.mark.parametrize(("brokers", "replicas", "in_sync"), [(1, 1, 1), (2, 2, 1), (3, 3, 2), (4, 3, 2)])
def test_a_cluster_keeps_what_is_acknowledged_on_two_brokers_where_one_may_go(brokers, replicas, in_sync):
    nodes = [Node(number, 9_000 + number, 9_100 + number, 9_200 + number) for number in range(1, brokers + 1)]
    told = [_settings(Path("data"), node, nodes) for node in nodes]
    assert [one["node.id"] for one in told] == list(range(1, brokers + 1))
    assert len({one["controller.quorum.voters"] for one in told}) == 1
    assert told[0]["controller.quorum.voters"].count("@") == brokers
    assert {(one["default.replication.factor"], one["min.insync.replicas"]) for one in told} == {(replicas, in_sync)}
    assert told[-1]["advertised.listeners"] == f"PLAINTEXT://127.0.0.1:{9_200 + brokers}"


def test_a_killed_parent_leaves_nothing_behind(tmp_path):
    env = os.environ | {"TMPDIR": str(tmp_path)}
    env.pop("STREAMSCORE_REDIS", None)
    child = subprocess.Popen([sys.executable, "-c", PROGRAM, "both"], stdout=subprocess.PIPE, text=True, env=env)
    url, broker = child.stdout.readline().split()
    assert listens(port_of(url))
    assert listens(broker)
    child.send_signal(signal.SIGKILL)
    child.wait()
    deadline = time.monotonic() + 20
    while listens(port_of(url)) or listens(broker) or list(Path(tmp_path).glob("streamscore-*")):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_ctrl_c_stops_all(tmp_path):
    env = os.environ | {"TMPDIR": str(tmp_path)}
    hears = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # tests may run in the background, which ignores it
    program = [sys.executable, "-c", PROGRAM, "redis"]
    with subprocess.Popen(
        program,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=env,
        preexec_fn=hears,  # noqa: PLW1509 - one call, and no lock is held
    ) as child:
        url, _ = child.stdout.readline().split()
        child.send_signal(signal.SIGINT)
        child.wait(20)
    assert not listens(port_of(url))
    assert not list(Path(tmp_path).glob("streamscore-*"))


def test_without_network_the_two_settings_are_named(tmp_path):
    program = "from streams.embedded import services\nwith services(redis='redis://127.0.0.1:1/0', quiet=True): pass"
    env = os.environ | {
        "HOME": str(tmp_path),
        "XDG_CACHE_HOME": str(tmp_path),
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "https_proxy": "http://127.0.0.1:9",
    }
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=env, timeout=120, check=False
    )
    assert done.returncode != 0
    assert "STREAMSCORE_BROKER" in done.stderr
    assert "STREAMSCORE_REDIS" in done.stderr
