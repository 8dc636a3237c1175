"""Whether a place still fits a log: each way in which it may not, and what going on costs."""

import asyncio

import pytest

from schemas.commit import TopicPlace
from streams.errors import Misconfigured, Unavailable
from streams.kafka import logs as module
from streams.kafka.logs import Log, Logs, verdict
from streams.settings import load_settings

HERE = Log("id-1", 4, begin=0, end=100)
AT = {"next": 50, "id": "id-1", "partitions": 4}
CASES = {
    "fits": (AT, HERE, None),
    "at its end": (AT | {"next": 100}, HERE, None),
    "never looked at before": ({"next": 0}, HERE, None),
    "was retained from here": (AT, Log("id-1", 4, 50, 100), None),
    "gone": (AT, Log(), "gone"),
    "made anew": (AT, Log("id-2", 4, 0, 100), "another"),
    "more partitions": (AT, Log("id-1", 5, 0, 100), "partitions"),
    "shorter than what was read": (AT, Log("id-1", 4, 0, 49), "truncated"),
    "deleted before it was read": (AT, Log("id-1", 4, 51, 100), "missing"),
    "never read, and deleted": ({"next": 0}, Log("id-1", 4, 7, 100), "missing"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_verdict_on_each_case(name):
    at, log, kind = CASES[name]
    problem = verdict("sales-0", TopicPlace(**at), log)
    assert (problem and problem.kind) == kind
    if problem:
        assert problem.words.startswith("sales-0 ")


class Told(Logs):
    """Kafka says what the test says."""

    def __init__(self, log):
        super().__init__("nowhere:1")
        self.log = log

    async def look(self, names, number):
        return dict.fromkeys(names, self.log)


def check(log, at, on_missing="stop"):
    places = {"transactions": TopicPlace(**at)}
    lost = asyncio.run(Told(log).check(places, 0, load_settings(on_missing=on_missing)))
    return lost, places["transactions"]


def test_what_fits_is_written_down():
    lost, at = check(HERE, {"next": 3})
    assert (lost, at.next, at.id, at.partitions) == (0, 3, "id-1", 4)


@pytest.mark.parametrize("name", ["made anew", "more partitions", "deleted before it was read"])
def test_what_does_not_fit_stops_with_what_to_do(name):
    at, log, _ = CASES[name]
    with pytest.raises(Misconfigured, match="STREAMSCORE_ON_MISSING=go_on"):
        check(log, at)


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        (Log("id-2", 4, 20, 100), (0, 20)),  # another topic, from where it begins
        (Log("id-1", 4, 60, 100), (10, 60)),  # ten records are missing
        (Log("id-1", 5, 0, 100), (0, 50)),
    ],
    ids=["another", "missing", "partitions"],
)
def test_an_operator_may_say_to_go_on_and_what_is_missing_is_counted(log, expected):
    lost, at = check(log, AT, "go_on")
    assert (lost, at.next) == expected
    assert (at.id, at.partitions) == (log.id, log.partitions)


@pytest.mark.parametrize("log", [Log(), Log("id-1", 4, 0, 49)], ids=["gone", "truncated"])
def test_a_broker_that_has_just_started_may_not_know_yet(log, monkeypatch):
    now = [1_000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])

    async def test():
        told, settings = Told(log), load_settings()
        for _ in range(3):
            with pytest.raises(Unavailable, match="looking again"):
                await told.check({"transactions": TopicPlace(**AT)}, 0, settings)
            now[0] += module.SETTLES / 3 - 0.1
        now[0] += 1
        with pytest.raises(Misconfigured):
            await told.check({"transactions": TopicPlace(**AT)}, 0, settings)
        told.log = HERE
        await told.check({"transactions": TopicPlace(**AT)}, 0, settings)
        told.log = log  # later, again: it may settle again
        with pytest.raises(Unavailable):
            await told.check({"transactions": TopicPlace(**AT)}, 0, settings)

    asyncio.run(test())
