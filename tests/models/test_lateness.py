"""Each task waits in its own way for what comes late, and counts what comes later still."""

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest

from models.learning import Learning
from models.policy import DAY, Policy
from models.serving_set import ServingSet
from models.shard import Shop
from schemas.codec import INPUT_TOPICS, encode, topic_of
from schemas.commit import Arrived
from schemas.events import Converted, Feedback, Line, Observation, Purchase, Sent
from streams.memory.ledger import MemoryLedger
from streams.outgoing import read_examples
from streams.shard import Shard

HOUR = 3_600.0
START = datetime(2026, 1, 1, tzinfo=UTC)
NUMBERS = count()


def made(kind, days, customer="a", **more):
    return kind(
        event_id=f"e{next(NUMBERS)}", customer_id=customer, occurred_at=START + timedelta(days=days), **more
    )  # fmt: skip


def purchase(days, customer="a"):
    return made(
        Purchase, days, customer, currency="GBP", channel="web",
        lines=(Line(product_id="p", quantity=1, unit_price=2.5),),
    )  # fmt: skip


def engaged(kind, days, customer="a"):
    return made(kind, days, customer, campaign_id="spring", channel="email")


async def handled(policy, events):
    """Return the examples by task, and how many events came too late for each task."""
    ledger, behind = MemoryLedger(), {}
    shard = Shard(await ledger.take(0), ledger, Shop(policy, (), 1), 500)
    offsets = dict.fromkeys(INPUT_TOPICS, 0)
    for event in events:  # each by itself, so that they are handled as they come
        topic = topic_of(event)
        at = event.occurred_at.timestamp()
        shard.receive([Arrived(topic, 0, offsets[topic], at, b"k", encode(event), (), event, at)])
        offsets[topic] += 1
        while done := await shard.step(lambda _topic: True, ServingSet(), float("-inf")):
            for task, n in done.commit.counts.behind.items():
                behind[task] = behind.get(task, 0) + n
    rows = {}
    for entry in await ledger.outbox(0, 100_000):
        if entry.record.topic == "examples":
            task, some = read_examples(entry.record.value)
            rows.setdefault(task, []).extend(some)
    return rows, behind


def run(policy, events):
    return asyncio.run(handled(policy, events))


@pytest.mark.parametrize(("waits", "label"), [(None, 0.0), (3 * DAY, 1.0), (1.5 * DAY, 0.0)])
def test_an_answer_is_waited_for_as_long_as_the_task_says(waits, label):
    """A conversion of the fifth day that comes on the ninth; the window is of six days, from half past the first."""
    policy = Policy(response_days=6.0, response_lateness=waits)
    events = [
        purchase(0),
        purchase(1),
        engaged(Sent, 1.5),
        purchase(9.2, "b"),
        engaged(Converted, 5),
        purchase(14, "b"),
    ]
    rows, _ = run(policy, events)
    assert [row["y"] for row in rows["response"]] == [label]


@pytest.mark.parametrize(("waits", "left"), [(None, 1.0), (5 * DAY, 0.0)])
def test_a_window_waits_for_late_purchases_as_long_as_it_says(waits, left):
    """Who is drawn on the first day buys on the fifteenth, and tells of it when the 20 days are over."""
    policy = Policy(window_days=20.0, draw_days=1.0, window_lateness=waits)
    rows, _ = run(policy, [purchase(0), purchase(1, "b"), purchase(22.5, "b"), purchase(15), purchase(40, "b")])
    assert rows["churn"][0]["y"] == left


def test_days_wait_as_long_as_sales_say():
    for waits, last in ((None, 99), (2 * DAY, 97)):
        learning = Learning(Policy(sales_lateness=waits))
        for day in (90, 100):
            told = {"partition": 0, "partitions": 1, "idle": False, "time": day * DAY + 2 * HOUR}
            learning.take("sales", [told | {"sold": [["all", day, 100]]}])
        assert learning.sales.next_day == last + 1


def test_what_comes_later_than_a_task_waits_is_counted_for_it():
    policy = Policy(response_lateness=3 * DAY, window_lateness=5 * DAY, sales_lateness=DAY)
    late = [
        engaged(Converted, 6.5),
        engaged(Converted, 8),
        purchase(8.5),
        purchase(6),
        purchase(4, None),
        made(Observation, 8, None, series="price:y", value=1.0, unit="GBP"),
        made(Feedback, 9.5, None, brand="x", source="web", rating=1, text="bad"),
    ]
    newest = [
        purchase(10),
        engaged(Sent, 10),
        made(Observation, 10, None, series="price:y", value=1.0, unit="GBP"),
        made(Feedback, 10, None, brand="x", source="web", rating=1, text="bad"),
    ]
    _, behind = run(policy, [*newest, *late])
    assert behind == {"response": 1, "sales": 3, "churn": 1, "value": 1, "market": 1}


def test_a_repeat_is_not_late():
    late = purchase(3)
    _, behind = run(Policy(), [purchase(10), late, late])
    assert behind == {"sales": 1, "churn": 1, "value": 1}
