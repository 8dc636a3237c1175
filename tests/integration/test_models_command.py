"""`streamscore models` on real Kafka and Redis: requests reach the learner once, scorers follow, a new one takes over."""

import json
import os
import secrets
import subprocess
import sys
import time
import urllib.request

import pytest
import redis
from typer.testing import CliRunner

from schemas.requests import Request
from schemas.serving import decode_model
from streams.cli import app
from streams.cli.app import out
from streams.demo import _metrics
from streams.errors import Misconfigured
from streams.kafka.producer import send
from streams.kafka.topics import ensure_topics
from streams.operator import new_id, pin, send_request
from streams.redis.keys import Keys
from streams.redis.models import ModelFeed
from streams.replay.simulated import Simulation
from streams.reporting import attribute_names
from streams.reporting.job import Learned, places
from streams.settings import load_settings

EVENTS = 2_500


class Job:
    """A worker that scores and learns under one prefix, and the command beside it."""

    def __init__(self, services, operator, folder):
        self.folder, self.operator = folder, operator
        self.settings = load_settings(
            broker=services.broker, redis=services.redis, prefix=f"test-{secrets.token_hex(6)}-", clock="events",
            idle_after_seconds=1.0, partitions=2, data=folder / "data", window_days=20.0, draw_days=10.0,
        )  # fmt: skip
        names = ("broker", "redis", "prefix", "clock", "idle_after_seconds", "partitions", "data")
        self.env = os.environ | {f"STREAMSCORE_{name.upper()}": str(getattr(self.settings, name)) for name in names}
        self.env |= {"STREAMSCORE_METRICS_PORT": "0", "STREAMSCORE_WINDOW_DAYS": "20", "STREAMSCORE_DRAW_DAYS": "10"}
        self.env |= {"PYTHONHASHSEED": "0", "COLUMNS": "200"}
        self.keys = Keys(self.settings.prefix)
        self.client = redis.Redis.from_url(services.redis, decode_responses=True)
        self.child = None
        self.fed = 0

    def start(self):
        self.log = self.folder / f"worker-{secrets.token_hex(2)}.log"
        with self.log.open("wb") as out:
            self.child = subprocess.Popen(
                [sys.executable, "-m", "streams", "worker"], env=self.env, stdout=out, stderr=out
            )

    def stop(self):
        if self.child is not None and self.child.poll() is None:
            self.child.kill()
            self.child.wait()

    def wait(self, done, seconds=200):
        deadline = time.monotonic() + seconds
        while not done():
            assert self.child.poll() is None, self.log.read_text()[-4_000:]
            assert time.monotonic() < deadline, self.log.read_text()[-4_000:]
            time.sleep(0.05)

    def models(self, *args, code=0):
        with pytest.MonkeyPatch.context() as patch:
            for name, value in (self.env | self.operator).items():
                patch.setenv(name, value)
            patch.setattr(out, "width", 200)  # made when the module was loaded, as wide as things were then
            done = CliRunner().invoke(app, ["models", *args])
        found = 2 if isinstance(done.exception, Misconfigured) else done.exit_code
        assert found == code, (done.output, done.exception)
        return json.loads(done.stdout) if "--json" in args and code == 0 else done.output

    def version(self, task="churn"):
        return self.client.hget(self.keys.models, task)

    def body(self, task="churn"):
        return self.client.get(self.keys.model(task))

    def examples(self):
        return json.loads(self.client.hget(self.keys.learner(0), "report"))["tasks"]["churn"]["examples"]


@pytest.fixture(scope="module")
def job(services, operator, tmp_path_factory):
    job = Job(services, operator, tmp_path_factory.mktemp("job"))
    ensure_topics(job.settings.broker, job.settings.prefix, job.settings.partitions)
    job.stream = Simulation(200, 9 * EVENTS, seed=5).events()
    feed(job)
    job.start()
    try:
        settled(job)
        yield job
    finally:
        job.stop()
        job.client.close()


def feed(job):
    job.fed += EVENTS
    send((next(job.stream) for _ in range(EVENTS)), job.settings.broker, job.settings.prefix)


def settled(job):
    plain = redis.Redis.from_url(job.settings.redis)
    job.wait(lambda: sum(at.next for one in places(plain, job.settings) for at in one.topics.values()) >= job.fed)
    with Learned(plain, job.settings) as learned:
        job.wait(learned)


def test_an_operators_day(job):  # noqa: PLR0915 - one day, in its order
    # What is there.
    listed = job.models("list", "--json")["tasks"]
    assert listed["churn"]["version"] == job.version()
    lineage = listed["churn"]["lineage"]
    assert lineage["examples"] == job.examples() > 50
    assert lineage["settings"]["window_days"] == 20.0
    assert lineage["libraries"]["river"]
    kept = list(listed["churn"]["kept"])
    assert kept
    assert kept[-1] in job.models("list")
    shown = job.models("show", "churn")
    assert "dynamic" in shown
    assert "Versions that can serve again" in shown
    figures = job.models("compare", "churn", "dynamic", "--json")
    assert set(figures) == {lineage["champion"], "dynamic"}
    assert figures["dynamic"]["auc"] is not None
    job.models("show", "weather", code=1)
    job.models("compare", "churn", "nobody", code=1)
    job.models("promote", code=2)

    # Dry: nothing is sent.
    end = json.loads(self_place(job))["next"]
    other = "dynamic" if lineage["champion"] != "dynamic" else "hinge"
    assert job.models("promote", "churn", other, "--dry-run", "--json")["outcome"] == "dry run"
    before = job.version()

    # Another champion.
    told = job.models("promote", "churn", other, "--why", "a trial", "--json")
    assert told["outcome"] == "done"
    assert end <= told["offset"] < end + 10  # shards may have said once more that they are silent
    assert job.version() != before
    assert decode_model(job.body()).version == job.version()
    task = job.models("show", "churn", "--json")["report"]
    assert task["champion"] == other
    assert task["changes"][-1]["reason"] == f"asked for by operator ({told['request']['id']}): a trial"
    assert f"promotion of {other}" in job.log.read_text().replace("\n", " ").replace("  ", " ")
    page = urllib.request.urlopen(_metrics(job.log), timeout=5)  # noqa: S310 - our own worker
    page = page.read().decode()
    line = f'streamscore_model_promotions_total{{from="{lineage["champion"]}",task="churn",to="{other}"}} 1.0'
    assert line in page
    assert "serves churn already" in job.models("promote", "churn", other, code=1)

    # An earlier version: scorers and the learner agree, and it is the one that was kept, to the bit.
    goal = job.models("rollback", "churn", "--dry-run", "--json")["request"]["version"]
    wanted = job.client.get(job.keys.model_version("churn", goal))
    told = job.models("rollback", "churn", "--why", "odd scores", "--json")
    assert told["outcome"] == "done"
    assert told["seconds"] < 2.0
    assert (job.version(), job.body()) == (goal, wanted)
    assert not job.client.exists(job.keys.pinned)
    # The league learns on; what serves stays.
    learned = job.examples()
    feed(job)
    settled(job)
    assert job.examples() > learned
    assert (job.version(), job.body()) == (goal, wanted)

    # A learner that was killed knows it all.
    job.stop()
    job.start()
    job.wait(lambda: "metrics on" in job.log.read_text())
    told = job.models("promote", "churn", "--json")
    assert told["outcome"] == "done"
    assert job.version() != goal


def test_a_budget_is_changed_once_and_outlives_the_worker(job):
    """By a record of `examples`, from its place on: told by the report, by metrics and in the log."""
    before = report_of(job)
    usual, shares = before["budget"], before["shares"]
    place = self_place(job)
    assert job.models("budget", "churn", "500", "--dry-run", "--json")["outcome"] == "dry run"
    assert (report_of(job)["budget"], self_place(job)) == (usual, place)
    assert "has no budget" in job.models("budget", "value", "500", code=1)
    job.models("budget", "churn", "0", code=2)

    told = job.models("budget", "churn", "500", "--why", "a small machine", "--json")
    assert told["outcome"] == "done"
    after = report_of(job)
    assert after["budget"]["microseconds"] == 500.0
    assert 0.0 < after["budget"]["spent"] <= 500.0 < usual["spent"]
    assert set(after["budget"]["benched"]) > set(usual["benched"])
    assert "boosted" not in shares  # sees all, as the dearest of those that may serve
    assert 0.0 < after["shares"]["boosted"] < 1.0  # it may serve: it sees a share, and is never benched
    change = next(one for one in reversed(after["changes"]) if one["what"] == "budget")
    assert change["reason"] == f"asked for by operator ({told['request']['id']}): a small machine"
    assert after["champion"] == before["champion"]
    scraped = scrape(job)
    assert scraped['streamscore_learning_microseconds{of="budget",task="churn"}'] == 500.0
    assert scraped['streamscore_learning_microseconds{of="spent",task="churn"}'] == after["budget"]["spent"]
    for name, share in after["shares"].items():
        assert scraped[f'streamscore_model_share{{model="{name}",task="churn"}}'] == share

    job.stop()  # killed: it knows the budget, and has done the request once
    job.start()
    job.wait(lambda: "metrics on" in job.log.read_text())
    feed_more(job)
    again = report_of(job)
    assert (again["budget"], again["shares"]) == (after["budget"], after["shares"])
    assert [change["what"] for change in again["changes"]].count("budget") == 1
    assert job.models("budget", "churn", f"{usual['microseconds']:g}", "--json")["outcome"] == "done"
    assert report_of(job)["shares"] == shares


def report_of(job):
    return job.models("show", "churn", "--json")["report"]


def scrape(job):
    """Samples of the worker's metrics page, by name and labels."""
    page = urllib.request.urlopen(_metrics(job.log), timeout=5).read().decode()  # noqa: S310 - our own worker
    lines = (line.rpartition(" ") for line in page.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


def self_place(job):
    return job.client.hget(job.keys.learner(0), "log")


def test_scorers_follow_a_rollback_while_no_learner_runs(job):
    goal = next(iter(job.models("list", "--json")["tasks"]["churn"]["kept"]))
    job.stop()
    request = Request(new_id(), "rollback", "churn", "", goal)
    send_request(job.settings, request)
    assert pin(job.client, job.settings, request)
    assert followed(job)["churn"] == goal != job.version()
    job.start()
    job.wait(lambda: job.version() == goal)
    assert not job.client.exists(job.keys.pinned)
    assert not pin(job.client, job.settings, request)  # it came too late: the learner has taken it up
    assert followed(job)["churn"] == goal
    assert job.models("promote", "churn", "--json")["outcome"] == "done"


def followed(job):
    """Versions that a scorer would score with."""
    import asyncio

    from models.serving_set import ServingSet
    from streams.redis.client import connect

    async def look():
        client = connect(job.settings.redis)
        feed = ModelFeed(client, job.keys, ServingSet())
        await feed.look()
        await client.aclose()
        return feed.current.versions()

    return asyncio.run(look())


def test_a_learner_trained_anew_takes_over_and_can_be_sent_back(job):
    settled(job)
    old = {task: job.body(task) for task in ("churn", "value")}
    examples = job.examples()
    assert "records" in job.models("retrain", "r1")
    job.models("retrain", "r1", code=2)  # the name is taken
    assert {task: job.body(task) for task in old} == old  # the old one serves
    assert job.models("compare", "churn", "--retrained", "r1", "--json")
    assert "r1" in job.models("list")
    assert job.models("promote", "--retrained", "r1", "--wait", "60", "--json")["outcome"] == "done"
    assert job.version().endswith("@r1")
    assert job.examples() == examples  # nothing is lost, nothing counts twice
    assert json.loads(job.client.hget(job.keys.lineage, "churn"))["learner"] == "r1"
    feed_more(job)
    assert job.version().endswith("@r1")
    assert job.models("promote", "--retrained", "first", "--wait", "60", "--json")["outcome"] == "done"
    assert "@" not in job.version()
    job.wait(lambda: job.examples() > examples)  # what came meanwhile is learned by the old one too
    assert "forgotten" in job.models("retrain", "r1", "--drop")
    job.models("retrain", "r1", "--drop", code=1)


def feed_more(job):
    before = job.examples()
    feed(job)
    settled(job)
    assert job.examples() > before


def test_attributes_are_shown_by_the_names_that_explanations_give(job):
    """The learner knows them by number. What no explanation names stays a number, and only the shown report changes."""
    learner = job.keys.learner(0)
    report = json.loads(job.client.hget(learner, "report"))
    named, unnamed = "#6f45", "#0002"  # country=GB, and what nobody has
    report["tasks"]["churn"]["importance"] = {"orders": 0.5, named: 0.4, "#ee7e": 0.3, unnamed: 0.2}
    segment = {"name": "some", "examples": 10, "score": 0.5, "features": {named: {"size": 0.1, "mean": -0.1}}}
    report["tasks"]["churn"]["importance_by_segment"] = {"1": segment}
    said = {
        "churn": [0.1, [["country=GB", 0.3], ["orders", 0.2]], 0.0],
        "response": [0.1, [["offer discount", 0.2], ["age", 0.1]], 0.0],
    }
    job.stop()  # its next report would be its own
    job.client.hset(learner, "report", json.dumps(report))
    job.client.hset(job.keys.customer("one of us"), "explanation", json.dumps(said))
    job.client.hset(job.keys.customer("who has no scores yet"), "orders", "0")
    told = job.models("show", "churn", "--json")["report"]
    assert told["importance"] == {"orders": 0.5, "country=GB": 0.4, "offer discount": 0.3, unnamed: 0.2}
    assert told["importance_by_segment"]["1"]["features"] == {"country=GB": {"size": 0.1, "mean": -0.1}}
    shown = job.models("show", "churn")
    assert "country=GB 0.400" in shown
    assert named not in shown
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attribute_names, "LOOKED_AT", 0)
        assert named in job.models("show", "churn", "--json")["report"]["importance"]
