"""docker-compose.yml, Dockerfile and what they mount: right by the schema, and everything they name exists."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import yaml

from streams.cli import app
from streams.embedded.redis import SETTINGS
from streams.settings import Settings, load_settings

TOP = Path(__file__).parent.parent.parent
COMPOSE = yaml.safe_load((TOP / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
WORKERS = ["scoring", "learning"]
VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?::(?P<how>[-?])(?P<rest>[^}]*))?\}")


def environment(service):
    return {name: str(value) for name, value in SERVICES[service].get("environment", {}).items()}


def test_it_obeys_the_compose_schema():
    command = [
        sys.executable,
        "-m",
        "check_jsonschema",
        "--builtin-schema",
        "vendor.compose-spec",
        "docker-compose.yml",
    ]
    done = subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", SERVICES)
def test_each_service_is_watched_and_started_again(name):
    service = SERVICES[name]
    assert service["restart"] == "unless-stopped"
    assert {"test", "interval", "timeout", "retries", "start_period"} <= set(service["healthcheck"])


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_this_machines_alone(name):
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


@pytest.mark.parametrize("name", SERVICES)
def test_images_are_pinned(name):
    service = SERVICES[name]
    assert "build" in service or re.search(r":v?\d+\.\d+", service["image"])


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_mounted_exists(name):
    for mount in SERVICES[name].get("volumes", []):
        source, target, *_ = mount.split(":")
        assert target.startswith("/")
        assert (TOP / source).is_dir() if source.startswith("./") else source in COMPOSE["volumes"]


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_waited_for_is_watched(name):
    for other, how in SERVICES[name].get("depends_on", {}).items():
        assert how == {"condition": "service_healthy"}
        assert "healthcheck" in SERVICES[other]


def test_secrets_have_no_default_and_say_what_to_do():
    named = {
        variable["name"]: (variable["how"], variable["rest"])
        for service in SERVICES
        for value in environment(service).values()
        for variable in VARIABLE.finditer(value)
    }
    secrets = {name: how for name, how in named.items() if re.search("KEY|PASSWORD", name)}
    assert set(secrets) == {"STREAMSCORE_SNAPSHOT_KEY", "GRAFANA_PASSWORD"}
    example = (TOP / "deploy" / "env.example").read_text()
    for name, (how, rest) in secrets.items():
        assert how == "?"
        assert "deploy/env.example" in rest
        assert re.search(rf"^{name}=$", example, re.MULTILINE), "the example gives no value away"
    assert ".env" in (TOP / ".gitignore").read_text().split()


def resolved(value):
    """As Compose puts variables in, where only what must be set is set."""
    return VARIABLE.sub(lambda found: found["rest"] if found["how"] == "-" else "a-secret-of-the-test", value)


@pytest.mark.parametrize("name", WORKERS)
def test_the_workers_settings_are_settings(name, monkeypatch):
    given = {key: resolved(value) for key, value in environment(name).items()}
    ours = {key: value for key, value in given.items() if key.startswith("STREAMSCORE_")}
    assert set(given) - set(ours) == {"PYTHONHASHSEED"}
    assert {key.removeprefix("STREAMSCORE_").lower() for key in ours} <= set(Settings.model_fields)
    for key, value in ours.items():
        monkeypatch.setenv(key, value)
    settings = load_settings()
    assert settings.broker in {listener.split("://")[1] for listener in listeners("KAFKA_ADVERTISED_LISTENERS")}
    assert settings.redis == "redis://redis:6379/0"
    assert (settings.snapshot_key is not None) == (name == "learning")


def listeners(name):
    return environment("kafka")[name].split(",")


def test_kafka_listens_where_it_says():
    ports = {listener.split("://")[0]: listener.rsplit(":", 1)[1] for listener in listeners("KAFKA_LISTENERS")}
    said = {
        listener.split("://")[0]: listener.rsplit(":", 1)[1] for listener in listeners("KAFKA_ADVERTISED_LISTENERS")
    }
    assert {name: ports[name] for name in said} == said
    kinds = dict(pair.split(":") for pair in listeners("KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"))
    assert set(kinds) == set(ports)
    assert environment("kafka")["KAFKA_CONTROLLER_LISTENER_NAMES"] in ports
    assert environment("kafka")["KAFKA_INTER_BROKER_LISTENER_NAME"] in ports


def parsed(arguments):
    """The command that these arguments choose; typer's own error if they are wrong."""
    command, context = typer.main.get_command(app), None
    while hasattr(command, "commands"):
        context = command.make_context(command.name, list(arguments), parent=context)
        _, command, arguments = command.resolve_command(context, [*context._protected_args, *context.args])
    return command.make_context(command.name, list(arguments), parent=context)


@pytest.mark.parametrize("name", WORKERS)
def test_the_workers_command_is_one(name):
    context = parsed(SERVICES[name]["command"])
    assert (context.info_name, context.params["only"]) == ("worker", name)


def test_redis_keeps_what_it_must():
    command = SERVICES["redis"]["command"]
    assert command[0] == "redis-server"
    given = {name.removeprefix("--"): value for name, value in zip(command[1::2], command[2::2], strict=True)}
    assert given == {name: value for name, value in SETTINGS.items() if name != "bind"}


def test_prometheus_scrapes_both_workers_and_finds_its_rules():
    folder = TOP / "deploy" / "prometheus"
    config = yaml.safe_load((folder / "prometheus.yml").read_text())
    assert all((folder / file).is_file() for file in config["rule_files"])
    [job] = config["scrape_configs"]
    targets = [target for one in job["static_configs"] for target in one["targets"]]
    assert targets == [f"{name}:{environment(name)['STREAMSCORE_METRICS_PORT']}" for name in WORKERS]
    file = re.search(r"--config.file=(\S+)", " ".join(SERVICES["prometheus"]["command"]))[1]
    assert file == "/etc/prometheus/prometheus.yml"
    assert "./deploy/prometheus:/etc/prometheus:ro" in SERVICES["prometheus"]["volumes"]


def test_grafana_finds_its_source_and_its_dashboards():
    folder = TOP / "deploy" / "grafana" / "provisioning"
    [source] = yaml.safe_load((folder / "datasources" / "prometheus.yml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    [provider] = yaml.safe_load((folder / "dashboards" / "streamscore.yml").read_text())["providers"]
    mounts = dict(mount.split(":")[:2] for mount in SERVICES["grafana"]["volumes"])
    assert mounts["./deploy/grafana/dashboards"] == provider["options"]["path"]
    assert mounts["./deploy/grafana/provisioning"] == "/etc/grafana/provisioning"
    home = environment("grafana")["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (TOP / "deploy" / "grafana" / "dashboards" / Path(home).name).is_file()


def test_the_image_runs_as_nobody_with_what_is_there():
    lines = [line.split() for line in (TOP / "Dockerfile").read_text().replace("\\\n", " ").splitlines()]
    words = [line for line in lines if line and not line[0].startswith("#")]
    [user] = [line[1] for line in words if line[0] == "USER"]
    assert int(user) >= 1_000
    copied = {source for line in words if line[0] == "COPY" and "--from=build" not in line for source in line[1:-1]}
    assert all((TOP / source).exists() for source in copied)
    allowed = {line[1:] for line in (TOP / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert copied == allowed, "the build sees what it copies, and nothing else"
    assert {"streams", "models", "schemas"} <= copied
    assert ["ENTRYPOINT", '["streamscore"]'] in words
