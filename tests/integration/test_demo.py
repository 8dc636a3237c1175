"""What stands in Redis after the demo: everybody, whole, and every penny."""

import csv
import gzip
import os
import secrets
import subprocess
import sys
import time
from decimal import Decimal
from importlib.resources import files

import msgspec
import psutil
import pytest
import redis

COMPLETE = {"segment", "segment_name", "response", "churn", "value", "explanation", "models", "updated_at", "orders"}


@pytest.fixture(scope="module")
def after(services, tmp_path_factory):
    """The report, and a client with the demo's prefix."""
    prefix, report = f"demo-{secrets.token_hex(6)}-", tmp_path_factory.mktemp("demo") / "report.json"
    env = os.environ | {
        "STREAMSCORE_BROKER": services.broker,
        "STREAMSCORE_REDIS": services.redis,
        "STREAMSCORE_PREFIX": prefix,
    }
    env.pop("COLUMNS", None)  # as in a pipe, whatever the width that the tests themselves are shown in
    done = subprocess.run(
        [sys.executable, "-m", "streams", "demo", "--once", "--report", str(report)],
        env=env, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    with redis.Redis.from_url(services.redis, decode_responses=True) as client:
        yield msgspec.json.decode(report.read_bytes()), client, prefix, done.stdout


def rows():
    path = files("streams.replay").joinpath("data/online_retail.csv.gz")
    with gzip.open(str(path), "rt", encoding="utf-8", newline="") as text:
        yield from csv.DictReader(text)


def test_every_customer_of_the_data_is_complete(after):
    _, client, prefix, _ = after
    known = {row["CustomerID"].removesuffix(".0") for row in rows()} - {""}
    keys = list(client.scan_iter(f"{prefix}customer:*", count=1_000))
    assert {key.removeprefix(f"{prefix}customer:") for key in keys} == known
    assert len(known) == 4_372
    pipe = client.pipeline(transaction=False)
    for key in keys:
        pipe.hgetall(key)
    for key, fields in zip(keys, pipe.execute(), strict=True):
        assert fields.keys() >= COMPLETE, key
        assert msgspec.json.decode(fields["models"]).keys() >= {"response", "churn", "value", "segments"}


def test_the_revenue_of_all_series_is_that_of_the_data_to_the_penny(after):
    _, client, prefix, _ = after
    wanted = sum(
        (
            Decimal(row["Quantity"]) * Decimal(row["UnitPrice"])
            for row in rows()
            if not (Decimal(row["UnitPrice"]) < 0 or int(row["Quantity"]) == 0)
        ),
        Decimal(0),
    )
    series = client.smembers(f"{prefix}series")
    totals = {name: Decimal(client.hget(f"{prefix}sales:{name}", "total")) for name in series}
    assert round(totals.pop("all"), 2) == round(wanted, 2)
    assert round(sum(totals.values()), 2) == round(wanted, 2)


def test_the_report_accounts_for_every_event_and_every_line(after):
    report, _, _, shown = after
    events = report["events"]
    assert events["read"] == events["scored"] == 28_977
    assert "541,909 lines" in shown
    delay = report["latency"]["event_to_score_seconds"]
    assert 0 < delay["p50"] <= delay["p95"] <= delay["p99"]
    assert report["sales"]["all"]["7"]["mase"] < report["sales"]["all"]["7"]["baselines"]["seasonal_naive"]["mase"]


def test_the_learner_kept_up_with_the_replay(after):
    report, client, prefix, shown = after
    sizes = report["segments"]["sizes"]
    assert "not known yet" not in sizes
    assert len(sizes) >= 5
    assert max(sizes.values()) < sum(sizes.values()) / 2
    assert sum(sizes.values()) == 4_372
    churn = report["tasks"]["churn"]
    trivial = max(figures["auc"] for figures in churn["baselines"].values())
    assert churn["models"][churn["champion"]]["auc"] > trivial + 0.03
    risks = {client.hget(key, "churn") for key in client.scan_iter(f"{prefix}customer:*", count=1_000)}
    assert len(risks) > 1_000
    assert "paper_party" in shown


def test_workers_end_with_a_demo_that_is_killed(services):
    env = os.environ | {
        "STREAMSCORE_BROKER": services.broker,
        "STREAMSCORE_REDIS": services.redis,
        "STREAMSCORE_PREFIX": f"demo-{secrets.token_hex(6)}-",
    }
    demo = subprocess.Popen(
        [sys.executable, "-m", "streams", "demo"], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    workers = []
    deadline = time.monotonic() + 60
    while len(workers) < 2 and time.monotonic() < deadline:
        time.sleep(0.2)
        workers = [one for one in psutil.Process(demo.pid).children() if "--only" in one.cmdline()]
    demo.kill()
    demo.wait()
    assert len(workers) == 2
    assert psutil.wait_procs(workers, timeout=10)[1] == []
