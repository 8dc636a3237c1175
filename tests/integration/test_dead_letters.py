"""Dead letters on real Kafka: refused, listed, shown, sent again, parked."""

import json
import time

import pytest
from typer.testing import CliRunner

from chaos.broken import BROKEN
from chaos.found import read
from chaos.job import Job
from chaos.records import Input, Record
from chaos.stack import Stack
from models.partition import partition_of
from streams.cli import app

GOOD = (
    b'{"type":"purchase","event_id":"e%d","customer_id":"c1","currency":"GBP","channel":"web",'
    b'"occurred_at":"2025-02-03T10:00:00Z","lines":[{"product_id":"p","quantity":1,"unit_price":2}]}'
)


def good(number):
    value = GOOD.replace(b"%d", str(number).encode())
    return Record("transactions", partition_of(b"c1", 2), b"c1", value, (("source", b"shop"), ("n", bytes([number]))))


@pytest.fixture(scope="module")
def job(services, tmp_path_factory):
    """A job that has refused one record of each kind, with good ones between."""
    made = Input(0, 2)
    for number, breaker in enumerate(BROKEN[name] for name in BROKEN if name != "time jump"):
        made.records += [good(number), breaker(None, good(100 + number), 0.0, 2)]
    job = Job(Stack(services.broker, services.redis), made, tmp_path_factory.mktemp("letters"), poison_share=1.0)
    job.start(only="scoring")
    try:
        job.run_until(lambda: len(letters(job)) >= sum(made.dead().values()), 90, "all refused")
        yield job
    finally:
        job.end()


def letters(job):
    return read(job.stack.broker, f"{job.settings.prefix}dead-letters")


def ask(job, *arguments, code=0):
    env = {
        "STREAMSCORE_BROKER": job.stack.broker,
        "STREAMSCORE_REDIS": job.stack.redis_url,
        "STREAMSCORE_PREFIX": job.settings.prefix,
    }
    done = CliRunner().invoke(app, ["dead-letters", *arguments], env=env)
    assert done.exit_code == code, done.output
    return done.stdout


def listed(job, *arguments):
    return [json.loads(line) for line in ask(job, "list", "--json", "--limit=1000", *arguments).splitlines()]


def test_every_kind_is_listed_once_with_its_reason(job):
    expected = {(topic, partition, offset): reason for topic, partition, offset, *_, reason in job.made.dead()}
    found = {(one["topic"], one["partition"], one["offset"]): one["reason"] for one in listed(job)}
    assert found == expected


def test_letters_are_chosen(job):
    reasons = {reason for *_, reason in job.made.dead()}
    assert {one["reason"] for one in listed(job, "--reason=future", "--reason=wrong_key")} == {"future", "wrong_key"}
    assert {"future", "wrong_key"} < reasons
    assert listed(job, "--topic=customers") == []
    assert listed(job, "--until=1h") == []
    assert len(listed(job, "--since=1h")) == len(job.made.dead())


def test_one_is_shown_in_full(job):
    place = next(one["record"] for one in listed(job, "--reason=wrong_key"))
    found = json.loads(ask(job, "show", place, "--json"))
    assert found["headers"][0] == ["source", "shop"]
    assert json.loads(found["value"])["customer_id"] == "c1"
    assert "its customer_id" in ask(job, "show", place)
    ask(job, "show", "transactions-0@99999", code=1)


def test_a_replay_is_dry_unless_told(job):
    before = job.handled()
    said = json.loads(ask(job, "replay", "--json"))
    assert said["dry_run"] is True
    assert said["open"] == len(job.made.dead())
    time.sleep(1)
    assert job.handled() == before


def test_what_is_sent_again_keeps_everything_counts_and_is_parked_at_last(job):
    first = next(one for one in listed(job, "--reason=future"))
    for attempt in (1, 2):
        sent = json.loads(ask(job, "replay", "--send", "--reason=future", "--max-attempts=2", "--json"))
        assert sent["sent"] == sent["open"] > 0
        job.run_until(lambda: len(listed(job, "--reason=future")) == (1 + attempt) * sent["open"], 60, "refused again")  # noqa: B023
        again = next(
            one
            for one in listed(job, "--reason=future")
            if one["first"] == first["record"] and one["attempts"] == attempt
        )
        assert (again["key"], again["value"], again["headers"][:3]) == (
            first["key"],
            first["value"],
            first["headers"][:3],
        )
    parked = json.loads(ask(job, "replay", "--send", "--reason=future", "--max-attempts=2", "--json"))
    assert (parked["sent"], parked["parked"], parked["replayed"]) == (0, sent["open"], 2 * sent["open"])


def test_the_rate_is_kept(job):
    began = time.monotonic()
    sent = json.loads(ask(job, "replay", "--send", "--reason=too_large", "--reason=wrong_key", "--rate=2", "--json"))
    assert sent["sent"] == 4
    assert time.monotonic() - began > 3 / 2
