"""Dashboard and alerts ask only for what real workers export: names, labels, and the values they match."""

import contextlib
import importlib
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import time
import urllib.request
from collections import defaultdict
from datetime import timedelta
from pathlib import Path

import msgspec
import promql_parser
import pytest
import redis
import yaml
from prometheus_client.parser import text_string_to_metric_families

from models.market.outlook import ENTRANTS, GROWTH, RANDOM_DAYS, TRIVIAL
from models.partition import partition_of
from schemas.events import Converted, Customer, Feedback, Observation, Purchase, Refund, Sent
from streams.demo import _metrics
from streams.kafka.producer import send
from streams.kafka.topics import ensure_topics
from streams.metrics import Metrics
from streams.replay import online_retail
from streams.reporting.job import Learned, places
from streams.settings import load_settings

TOP = Path(__file__).parent.parent.parent
DASHBOARD = json.loads((TOP / "deploy/grafana/dashboards/streamscore.json").read_text())
ALERTS = yaml.safe_load((TOP / "deploy/prometheus/alerts.yml").read_text())
PROMETHEUS = {"job", "instance", "agent"}
"""Labels that Prometheus adds: `prometheus.yml` names the last."""
RARE = {
    "streamscore_model_promotions_total": "no model need take over in a small replay",
    "streamscore_drift_total": "nor need there be a drift",
    "streamscore_uplift": "an effect needs more contacts than a small replay has",
}
"""Declared, with their labels; a small replay need not bring a value."""


def panels():
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def plain(expr):
    """What Grafana would send: its variables filled in."""
    return expr.replace("$__rate_interval", "1m").replace("$series", "all")


def queries():
    """(where, expression, legend) of all that is asked."""
    found = [
        (f"{panel['title']} {target['refId']}", plain(target["expr"]), target["legendFormat"])
        for panel in panels()
        for target in panel["targets"]
    ]
    for group in ALERTS["groups"]:
        found += [(rule["alert"], rule["expr"], rule["annotations"]["summary"]) for rule in group["rules"]]
    return found


def walk(expr):
    nodes = []
    promql_parser.walk(promql_parser.parse(expr), nodes.append)
    return nodes


def selectors(expr):
    return [node for node in walk(expr) if isinstance(node, promql_parser.VectorSelector)] + [
        node.vector_selector for node in walk(expr) if isinstance(node, promql_parser.MatrixSelector)
    ]


def named_labels(expr, legend):
    """Labels that an expression groups or joins by, and that its legend shows."""
    found = set(re.findall(r"\{\{\s*(?:\$labels\.)?(\w+)\s*\}\}", legend))
    for node in walk(expr):
        if isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
            found |= set(node.modifier.labels)
        if isinstance(node, promql_parser.BinaryExpr) and node.modifier is not None and node.modifier.matching:
            found |= set(node.modifier.matching.labels)
    return found


def test_the_dashboard_is_what_its_script_writes(monkeypatch):
    monkeypatch.syspath_prepend(str(TOP / "scripts"))
    script = importlib.import_module("dashboard")
    assert script.FILE.read_text() == script.text(), "run scripts/dashboard.py"


def test_every_panel_says_what_it_shows():
    assert len(panels()) > 30
    for panel in panels():
        assert panel["title"]
        assert len(panel["description"]) > 10, panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["fieldConfig"]["defaults"]["noValue"], "works with an empty system"


def test_no_two_panels_overlap():
    taken = defaultdict(list)
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        for x in range(at["x"], at["x"] + at["w"]):
            for y in range(at["y"], at["y"] + at["h"]):
                taken[x, y].append(panel["title"])
    assert not [titles for titles in taken.values() if len(titles) > 1]


def test_every_alert_says_what_to_do_and_has_a_page():
    page = (TOP / "docs/operations.md").read_text()
    for group in ALERTS["groups"]:
        for rule in group["rules"]:
            assert rule["labels"]["severity"] in ("page", "ticket")
            assert len(rule["annotations"]["summary"]) > 80
            assert f"### {rule['alert']}\n" in page


def test_every_panel_has_a_line_in_the_docs():
    page = (TOP / "docs/operations.md").read_text()
    missing = [panel["title"] for panel in panels() if f"**{panel['title']}**" not in page]
    assert missing == []


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not on PATH; it comes with Prometheus")
def test_alerts_fire_when_they_should():
    for command in (["check", "config", "prometheus.yml"], ["test", "rules", "alerts_test.yml"]):
        done = subprocess.run(
            ["promtool", *command], cwd=TOP / "deploy/prometheus", capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


# With workers.


def events():
    """A year of some of a real shop's customers. Half of them may be written to; every fourth answers.

    Two brands are made up; they are spoken of, and another seller's prices and the market's volume are observed. Some
    purchases come two days late.
    """
    known, said = {}, 0
    for event in online_retail.events():
        customer = event.customer_id
        if not customer or int(customer) % 8:
            continue
        if isinstance(event, Purchase) and customer not in known:
            known[customer] = len(known)
            common = {"customer_id": customer, "occurred_at": event.occurred_at}
            if known[customer] % 2:
                yield Customer(event_id=f"c-{customer}", consent={"email": True}, **common)
            offer = {"campaign_id": "news", "channel": "email"}
            yield Sent(event_id=f"s-{customer}", window_seconds=86_400.0, **common, **offer)
            if known[customer] % 4 == 0:
                later = common | {"occurred_at": event.occurred_at + timedelta(seconds=1)}
                yield Converted(event_id=f"v-{customer}", **later, **offer)
        if isinstance(event, Purchase | Refund):
            lines = tuple(
                msgspec.structs.replace(line, brand="ash" if line.product_id < "22500" else "birch")
                for line in event.lines
            )
            event = msgspec.structs.replace(event, lines=lines)  # noqa: PLW2901
        yield event
        said += 1
        if said % 20 == 0 and isinstance(event, Purchase):
            name, at, line = f"{said}", event.occurred_at, event.lines[0]
            yield Feedback(
                event_id=name, customer_id=None, occurred_at=at, brand="ash", category=line.category, source="reviews",
                rating=1.0 + said // 20 % 5, text="late again" if said % 40 else "thank you",
            )  # fmt: skip
            price = f"price:Rival:{line.product_id}"
            yield Observation(event_id=name, occurred_at=at, series=price, value=1.0 + line.unit_price, unit="GBP")
            if said % 200 == 0:
                yield msgspec.structs.replace(event, event_id=f"{name}-late", occurred_at=at - timedelta(days=2))
            volume = f"{name}-volume"
            yield Observation(event_id=volume, occurred_at=at, series="volume:all", value=1e6, unit="GBP/month")


CAMPAIGN = """
id = "hello"
name = "Hello"
channel = "email"
when = ["purchase"]
audience = "features.orders >= 1.0"
cap = { contacts = 1, days = 7 }
cooldown_days = 7
hold_out = 0.2
expires_hours = 24
priority = 1
"""


@contextlib.contextmanager
def worker(only, env, log):
    command = [sys.executable, "-m", "streams", "worker", f"--only={only}"]
    with log.open("ab") as output:
        child = subprocess.Popen(command, env=env | {"PYTHONHASHSEED": "0"}, stdout=output, stderr=output)
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def wait_for(done, children, logs, seconds=120):
    deadline = time.monotonic() + seconds
    while not done():
        said = "".join(log.read_text()[-3_000:] for log in logs)
        assert all(child.poll() is None for child in children), said
        assert time.monotonic() < deadline, said
        time.sleep(0.2)


@pytest.fixture(scope="module")
def exported(services, tmp_path_factory):
    """Samples of a scoring and a learning worker that have done a small replay: name -> label sets."""
    folder = tmp_path_factory.mktemp("dashboard")
    (folder / "campaigns").mkdir()
    (folder / "campaigns" / "hello.toml").write_text(CAMPAIGN)
    given = {
        "broker": services.broker,
        "redis": services.redis,
        "prefix": f"test-{secrets.token_hex(6)}-",
        "clock": "events",
        "idle_after_seconds": 1.0,
        "partitions": 2,
        "window_days": 30.0,
        "draw_days": 15.0,
        "campaigns": folder / "campaigns",
        "metrics_port": 0,
        "data": folder / "data",
    }
    settings = load_settings(**given)
    env = os.environ | {f"STREAMSCORE_{name.upper()}": str(value) for name, value in given.items()}
    ensure_topics(settings.broker, settings.prefix, settings.partitions)
    everything = list(events())
    half = len(everything) // 2
    logs = [folder / "scoring.log", folder / "learning.log"]
    with contextlib.ExitStack() as stack, redis.Redis.from_url(services.redis) as client:
        learned = stack.enter_context(Learned(client, settings))
        children = [
            stack.enter_context(worker(only, env, log)) for only, log in zip(("scoring", "learning"), logs, strict=True)
        ]
        sent = 0
        for some in (everything[:half], everything[half:]):  # the second half meets models that know the first
            sent += send(some, settings.broker, settings.prefix) + poison(settings, some[0].customer_id)
            wait_for(lambda: handled(client, settings) == sent, children, logs)  # noqa: B023 - called at once
            wait_for(learned, children, logs)
        time.sleep(6.0)  # lags are measured each second, readiness every five
        return scraped([_metrics(log) for log in logs])


def poison(settings, key):
    import kafka

    producer = kafka.KafkaProducer(bootstrap_servers=settings.broker)
    place = partition_of(key.encode(), settings.partitions)
    producer.send(f"{settings.prefix}transactions", b"{not json", key=key.encode(), partition=place).get(10)
    producer.close()
    return 1


def handled(client, settings):
    return sum(at.next for place in places(client, settings) for at in place.topics.values())


def scraped(urls):
    found = {"up": [{"job": "streamscore", "instance": "one", "agent": "scoring"}]}  # Prometheus's own
    for url in urls:
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - ours
            text = answer.read().decode()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                own = {"job": "streamscore", "instance": url, "agent": "any"}
                found.setdefault(sample.name, []).append(sample.labels | own)
    return found


def matches(matcher, labels):
    value, wanted = labels.get(matcher.name), matcher.value
    if value is None:
        return False
    match str(matcher.op).removeprefix("MatchOp."):
        case "Equal":
            return value == wanted
        case "NotEqual":
            return value != wanted
        case "Re":
            return re.fullmatch(wanted, value) is not None
        case "NotRe":
            return re.fullmatch(wanted, value) is None


def complaints(expr, legend, exported):
    """What an expression asks for and nobody exports."""
    known, wrong = set(PROMETHEUS), []
    for selector in selectors(expr):
        declared = DECLARED.get(selector.name)
        series = exported.get(selector.name, [])
        if selector.name in RARE and not series:
            unknown = {matcher.name for matcher in selector.matchers.matchers} - (declared or set())
            wrong += [f"{selector.name} has no label {name}" for name in unknown] if declared else [selector.name]
            known |= declared or set()
            continue
        if not [labels for labels in series if all(matches(one, labels) for one in selector.matchers.matchers)]:
            wrong.append(f"nobody exports {selector.name}{selector.matchers}")
        known |= {name for labels in series for name in labels}
    wrong += [f"no series here has a label {name}" for name in named_labels(expr, legend) - known]
    return wrong


DECLARED = {
    f"{family.name}_total" if family.type == "counter" else family.name: set(collector._labelnames)
    for collector in Metrics().registry._collector_to_names
    if hasattr(collector, "_labelnames")
    for family in collector.collect()
}


@pytest.mark.parametrize(("where", "expr", "legend"), queries(), ids=[where for where, *_ in queries()])
def test_what_is_asked_is_exported(where, expr, legend, exported):
    assert selectors(expr)
    assert complaints(expr, legend, exported) == []


@pytest.mark.parametrize(
    ("expr", "legend", "said"),
    [
        ("sum(rate(streamscore_event_total[1m]))", "", "nobody exports streamscore_event_total"),
        ("sum by (outcme) (streamscore_events_total)", "", "no series here has a label outcme"),
        ("streamscore_events_total", "{{outcme}}", "no series here has a label outcme"),
        ('streamscore_events_total{outcome="scord"}', "", "nobody exports streamscore_events_total"),
        ('streamscore_events_total{topc="customers"}', "", "nobody exports streamscore_events_total"),
        ('streamscore_ready{part=~"redis|kafka|x"} * on (prt) streamscore_ready', "", "no series here has a label prt"),
        ('streamscore_uplift{cmpaign="x"}', "", "streamscore_uplift has no label cmpaign"),
    ],
)
def test_a_misspelt_question_is_found(expr, legend, said, exported):
    assert any(found.startswith(said) for found in complaints(expr, legend, exported))


def test_every_entrant_of_demand_is_exported_and_its_control(exported):
    told = [one for one in exported["streamscore_model_metric"] if (one["task"], one["metric"]) == ("demand", "auc")]
    assert {one["model"] for one in told} >= {GROWTH, RANDOM_DAYS, *ENTRANTS, *TRIVIAL}


def test_what_may_be_missing_is_declared():
    assert set(RARE) <= set(DECLARED)
