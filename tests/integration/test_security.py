"""Servers that ask who is there: Kafka with TLS and a login, Redis with TLS and the documented ACL."""

import os
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager

import pytest
import redis
import trustme
from redis.backoff import ConstantBackoff
from redis.retry import Retry
from typer.testing import CliRunner

from streams.cli import app
from streams.embedded.kafka import Guarded, fetch_kafka, start_kafka
from streams.embedded.process import free_port, watch
from streams.kafka.producer import _send_slowly, send
from streams.kafka.topics import ensure_topics
from streams.redis.keys import Keys
from streams.replay import online_retail
from streams.settings import load_settings

INSTALLED = shutil.which("redis-server")
PASSWORD = "opens-the-door-7"  # noqa: S105 - of servers that live as long as the test, and of `documented`

SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule required;"


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def files(authority, tmp_path_factory):
    """The authority's certificate, and the server's key and chain."""
    folder = tmp_path_factory.mktemp("tls")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    server = authority.issue_cert("localhost", "127.0.0.1")
    server.private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    return folder


def one_line(pem):
    return pem.replace("\r", "").replace("\n", "\\n")


@pytest.fixture(scope="module")
def broker(authority, tmp_path_factory):
    """Address of a listener that takes TLS with a login alone."""
    server = authority.issue_cert("localhost", "127.0.0.1")
    key = server.private_key_pem.bytes().decode()
    if "BEGIN EC PRIVATE KEY" in key:  # Kafka reads PKCS 8 alone
        from cryptography.hazmat.primitives import serialization as form

        loaded = form.load_pem_private_key(key.encode(), None)
        key = loaded.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption()).decode()
    chain = "".join(pem.bytes().decode() for pem in server.cert_chain_pems)
    name = "listener.name.guarded"
    jaas = "org.apache.kafka.common.security.plain.PlainLoginModule required"
    guarded = Guarded(
        free_port(),
        "SASL_SSL",
        {
            "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
            f"{name}.sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
            f"{name}.plain.sasl.jaas.config": f'{jaas} user_scorer="{PASSWORD}";',
            f"{name}.scram-sha-256.sasl.jaas.config": SCRAM,
            f"{name}.scram-sha-512.sasl.jaas.config": SCRAM,
            f"{name}.ssl.keystore.type": "PEM",
            f"{name}.ssl.keystore.key": one_line(key),
            f"{name}.ssl.keystore.certificate.chain": one_line(chain),
        },
        tuple(f"SCRAM-SHA-{bits}=[name=scorer,password={PASSWORD}]" for bits in (256, 512)),
    )
    with watch(None) as group:
        start_kafka(tmp_path_factory.mktemp("kafka"), fetch_kafka(), group, guarded)
        yield f"127.0.0.1:{guarded.port}"


@contextmanager
def tls_before(port, certificate):
    """Listen with TLS, and pass on to a plain server: what a Redis with TLS looks like from outside."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    listening = socket.create_server(("127.0.0.1", 0))
    stop = threading.Event()

    def pump(source, target):
        try:
            while chunk := source.recv(65_536):
                target.sendall(chunk)
        except OSError:
            pass
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def accept():
        while not stop.is_set():
            try:
                client = context.wrap_socket(listening.accept()[0], server_side=True)
            except OSError:
                continue
            server = socket.create_connection(("127.0.0.1", port))
            for pair in ((client, server), (server, client)):
                threading.Thread(target=pump, args=pair, daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listening.getsockname()[1]
    finally:
        stop.set()
        listening.close()


@contextmanager
def tls_itself(files, folder):
    """Start a Redis that speaks TLS itself: the embedded one was built without."""
    plain, secured = free_port(), free_port()
    chain = files / "server.pem"
    command = [
        str(INSTALLED), "--port", str(plain), "--tls-port", str(secured), "--tls-cert-file", chain,
        "--tls-key-file", chain, "--tls-auth-clients", "no", "--dir", folder, "--appendonly", "yes",
        "--appendfsync", "always", "--maxmemory-policy", "noeviction",
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        try:
            yield plain, secured
        finally:
            server.terminate()


@pytest.fixture(scope="module")
def guarded_redis(services, files, documented, tmp_path_factory):
    """URL of a Redis with TLS, and its plain client for looking: the machine's own where there is one."""
    with ExitStack() as stack:
        if INSTALLED:
            port, secured = stack.enter_context(tls_itself(files, tmp_path_factory.mktemp("redis")))
        else:
            port = int(services.redis.rsplit(":", 1)[1].split("/")[0])
            secured = stack.enter_context(tls_before(port, files / "server.pem"))
        patient = Retry(ConstantBackoff(0.1), 100)
        plain = redis.Redis(
            port=port, decode_responses=True, retry=patient, retry_on_error=[redis.exceptions.ConnectionError]
        )
        stack.callback(plain.close)
        newer = tuple(map(int, plain.info()["redis_version"].split(".")[:2])) >= (7, 2)
        for user in ("streamscore", "reader"):
            rights = [right for right in documented(user) if newer or right != "+client|setinfo"]
            assert plain.execute_command(*rights) in (True, "OK")
            stack.callback(plain.execute_command, "ACL", "DELUSER", user)
        yield f"rediss://127.0.0.1:{secured}/0", plain


@pytest.fixture(scope="module")
def env_of(broker, guarded_redis, files, tmp_path_factory):
    """Make the settings of one more job."""
    return lambda: {
        "STREAMSCORE_BROKER": broker,
        "STREAMSCORE_KAFKA_CA": str(files / "ca.pem"),
        "STREAMSCORE_KAFKA_USER": "scorer",
        "STREAMSCORE_KAFKA_PASSWORD": PASSWORD,
        "STREAMSCORE_REDIS": guarded_redis[0],
        "STREAMSCORE_REDIS_CA": str(files / "ca.pem"),
        "STREAMSCORE_REDIS_USER": "streamscore",
        "STREAMSCORE_REDIS_PASSWORD": PASSWORD,
        "STREAMSCORE_PREFIX": f"secure-{secrets.token_hex(4)}-",
        "STREAMSCORE_DATA": str(tmp_path_factory.mktemp("data")),
        "STREAMSCORE_PARTITIONS": "2",
        "STREAMSCORE_METRICS_PORT": "0",
        "STREAMSCORE_CLOCK": "events",
        "STREAMSCORE_IDLE_AFTER_SECONDS": "1",
    }


@pytest.fixture
def env(env_of):
    return env_of()


def settings_of(env):
    return load_settings(**{name.removeprefix("STREAMSCORE_").lower(): value for name, value in env.items()})


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-512", "PLAIN"])
def test_the_whole_job_runs_with_tls_logins_and_the_documented_rights(mechanism, env, guarded_redis, tmp_path):
    env["STREAMSCORE_KAFKA_MECHANISM"] = mechanism
    settings, events = settings_of(env), list(online_retail.events(limit=500))
    ensure_topics(settings.kafka, settings.prefix, 2)
    assert send(events, settings.kafka, settings.prefix) == len(events)
    log = tmp_path / "worker.log"
    with log.open("wb") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", "streams", "worker"], env=os.environ | env, stdout=output, stderr=output
        )
        try:
            plain, keys, deadline = guarded_redis[1], Keys(settings.prefix), time.monotonic() + 90
            customers = {event.customer_id for event in events} - {None}
            while not all(plain.hget(keys.customer(customer), "churn") for customer in customers) or not plain.exists(
                keys.learner(0)
            ):
                assert child.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.2)
        finally:
            child.send_signal(signal.SIGTERM)
            code = child.wait(30)
    said = log.read_text()
    assert code == 0, said
    assert "NOPERM" not in said
    assert PASSWORD not in said
    shown = subprocess.run(
        [sys.executable, "-m", "streams", "customer", min(customers)],
        env=os.environ | env | {"STREAMSCORE_REDIS_USER": "reader"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert shown.returncode == 0, shown.stderr
    assert "churn" in shown.stdout


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_both_clients_log_in_by_what_is_asked_for(mechanism, env):
    settings = settings_of(env | {"STREAMSCORE_KAFKA_MECHANISM": mechanism})
    ensure_topics(settings.kafka, settings.prefix, 2)
    events = list(online_retail.events(limit=100))
    assert _send_slowly(events, settings.kafka, settings.prefix, None) == len(events)
    assert send(events, settings.kafka, settings.prefix) == len(events)


REFUSED = {
    "KAFKA_PASSWORD": ("wrong-4711", 3, "kafka"),
    "KAFKA_CA": (None, 3, "kafka"),
    "REDIS_PASSWORD": ("wrong-4711", 2, "STREAMSCORE_REDIS_PASSWORD"),
    "REDIS_CA": (None, 3, "redis"),
    "REDIS_USER": ("reader", 2, "+info"),
}
"""What is wrong (None: not set), the exit code, and what must be said."""


@pytest.fixture(scope="module")
def refused(env_of):
    """A worker for each setting that is wrong, all started at once: some take long to give up."""
    children = {}
    for name, (value, _, _) in REFUSED.items():
        env = env_of() | ({} if value is None else {f"STREAMSCORE_{name}": value})
        if value is None:
            del env[f"STREAMSCORE_{name}"]
        if name == "KAFKA_CA":
            env["STREAMSCORE_KAFKA_TLS"] = "true"  # by the authorities of the system, who do not know this one
        command = [sys.executable, "-m", "streams", "worker", "--only", "scoring"]
        children[name] = subprocess.Popen(
            command, env=os.environ | env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
    yield children
    for child in children.values():
        child.kill()
        child.wait()


@pytest.mark.parametrize("name", REFUSED)
def test_who_may_not_is_told_so_and_no_secret_is(name, refused):
    _, code, said = REFUSED[name]
    shown, _ = refused[name].communicate(timeout=120)
    assert refused[name].returncode == code, shown
    assert said in shown
    assert PASSWORD not in shown
    assert "wrong-4711" not in shown


def test_a_reader_reads_and_writes_nothing(guarded_redis):
    port = guarded_redis[1].get_connection_kwargs()["port"]
    with redis.Redis(port=port, username="reader", password=PASSWORD) as reader:
        assert reader.hgetall("customer:nobody") == {}
        for write in (
            lambda: reader.hset("customer:x", "churn", "0"),
            reader.flushall,
            lambda: reader.keys("*"),
        ):
            with pytest.raises(redis.exceptions.NoPermissionError):
                write()
        with pytest.raises(redis.exceptions.NoPermissionError):
            reader.hgetall("state:{0}")


def test_an_operator_changes_no_score_and_no_state(operator, services):
    with redis.Redis.from_url(services.redis, username="operator", password=PASSWORD) as client:
        for key in ("customer:x", "state:{0}", "shard:{0}", "models", "brand:x"):
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.hset(key, "churn", "0")
        for command in (client.flushall, lambda: client.hgetall("state:{0}"), lambda: client.config_get("*")):
            with pytest.raises(redis.exceptions.NoPermissionError):
                command()


@pytest.mark.parametrize("command", [["market"], ["brand", "nobody"], ["customer", "nobody"]])
def test_a_reader_looks_up_with_tls_and_login(command, env, monkeypatch):
    for name, value in (env | {"STREAMSCORE_REDIS_USER": "reader"}).items():
        monkeypatch.setenv(name, value)
    done = CliRunner().invoke(app, command)
    assert (done.exit_code, done.stderr.count("is not known")) == (1, 1), (done.output, done.exception)


def test_settings_show_no_secret(env):
    settings = settings_of(env | {"STREAMSCORE_REDIS": f"redis://u:{PASSWORD}@localhost/0"})
    for shown in (repr(settings), str(settings), repr(settings.kafka), repr(settings.kafka.login), str(settings.kafka)):
        assert PASSWORD not in shown
