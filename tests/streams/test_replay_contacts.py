"""Bank Marketing and Starbucks as events: every line accounted for, labels as their publishers mean them."""

import csv
import gzip
import json
from collections import Counter
from datetime import timedelta
from itertools import islice, pairwise

import pytest

from models.policy import Policy
from models.shard import Shop
from schemas.codec import decode_any, encode
from schemas.events import Converted, Customer, Opened, Purchase, Sent
from streams.backtest import Backtest, backtest
from streams.replay import bank_marketing, starbucks


@pytest.fixture(scope="module")
def bank():
    return list(bank_marketing.events())


def test_every_call_is_told_with_its_answer(bank):
    kinds = Counter(type(event).__name__ for event in bank)
    assert kinds == {"Customer": 41_189, "Sent": 41_188, "Converted": 4_640}
    times = [event.occurred_at for event in bank]
    assert all(one <= other for one, other in pairwise(times))
    calls = [event for event in bank if isinstance(event, Sent)]
    assert len({(call.occurred_at.year, call.occurred_at.month) for call in calls}) == 26
    assert (calls[0].occurred_at.year, calls[-1].occurred_at.year) == (2008, 2010)
    months = [bank_marketing.MONTHS[call.occurred_at.month - 1] for call in calls]
    assert months == [call.attributes["month"] for call in calls]


def test_what_the_call_itself_told_is_left_out(bank):
    first = next(event for event in bank if isinstance(event, Customer))
    assert first.attributes["pdays"] is None
    assert "duration" not in first.attributes
    assert all("duration" not in event.attributes for event in bank if isinstance(event, Sent))
    assert decode_any(encode(first)) == first


@pytest.mark.parametrize("late", [0, 500])
def test_an_answer_is_known_after_so_many_further_calls(late):
    calls = [event for event in islice(bank_marketing.events(late=late), 8_000) if isinstance(event, Sent)]
    times = [call.occurred_at for call in calls]
    for place in range(0, len(calls) - late - 1, 97):
        known = times[place] + timedelta(seconds=calls[place].window_seconds)
        assert times[place + late] < known < times[place + late + 1]
        assert known > times[place] + bank_marketing.ANSWER


def test_answers_are_learned_before_the_next_call():
    learned = []

    class Watched(Backtest):
        async def _step(self, shard, *, tick=None, **more):
            before = self.learning.leagues["response"].examples
            if tick is None:
                learned.append((before, self.offsets["engagements", 0]))
            return await super()._step(shard, tick=tick, **more)

    import asyncio

    test = Watched(Shop(Policy(lateness=0.0)))
    calls = [event for event in islice(bank_marketing.events(), 300) if not isinstance(event, Customer)]
    asyncio.run(test.run(calls))
    contacts = [event for event in calls if isinstance(event, Sent)]
    assert len(learned) > len(contacts) - 5
    assert test.learning.leagues["response"].examples >= len(contacts) - 1
    assert [before for before, _ in learned[: len(contacts)]] == list(range(len(contacts)))[: len(learned)]
    assert sum(opened.task == "response" for opened in test.learning.leagues.asked) <= 1


def test_what_comes_before_judging_begins_is_learned_and_not_judged():
    calls = list(islice(bank_marketing.events(), 600))
    late = calls[300].occurred_at.timestamp()
    all_of_them = backtest(calls, Shop(Policy(lateness=0.0))).learning.leagues["response"]
    test = backtest(calls, Shop(Policy(lateness=0.0)), judge_from=late).learning.leagues["response"]
    assert test.examples == all_of_them.examples
    assert test.fresh["base_rate"].count < all_of_them.fresh["base_rate"].count * 0.6


OFFERS = [
    {"id": "b" * 32, "offer_type": "bogo", "difficulty": 5, "reward": 5, "duration": 1.0, "channels": ["web", "email"]},
    {"id": "i" * 32, "offer_type": "informational", "difficulty": 0, "reward": 0, "duration": 1.0, "channels": ["email"]},
]  # fmt: skip
BOGO, INFO = OFFERS[0]["id"], OFFERS[1]["id"]
PROFILES = [
    {"gender": "F", "age": 40, "id": person, "became_member_on": "20180701", "income": 50_000} for person in "abcd"
] + [{"gender": None, "age": 118, "id": "e", "became_member_on": "20180726", "income": None}]
STORY = [
    ("a", "offer received", 0, BOGO), ("a", "offer viewed", 6, BOGO), ("a", "offer completed", 24, BOGO),
    ("b", "offer received", 0, BOGO), ("b", "offer completed", 6, BOGO), ("b", "offer viewed", 12, BOGO),
    ("c", "offer received", 0, BOGO), ("c", "offer viewed", 6, BOGO), ("c", "offer completed", 30, BOGO),
    ("d", "offer received", 0, INFO), ("d", "offer viewed", 0, INFO), ("d", "transaction", 6, ""),
    ("e", "offer received", 0, BOGO), ("e", "offer received", 18, BOGO), ("e", "offer viewed", 18, BOGO),
    ("e", "offer completed", 24, BOGO), ("a", "transaction", 60, ""),
]  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    here = tmp_path / "starbucks"
    here.mkdir()
    (here / "portfolio.json").write_text("\n".join(map(json.dumps, OFFERS)))
    with gzip.open(here / "profile.json.gz", "wt") as file:
        file.write("\n".join(map(json.dumps, PROFILES)))
    with gzip.open(here / "events_flat.csv.gz", "wt", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["person", "event", "time", "offer_id", "amount", "reward"])
        for person, event, hours, offer in sorted(STORY, key=lambda line: line[2]):
            writer.writerow([person, event, hours, offer, "2.5" if event == "transaction" else "", ""])
    return tmp_path


def test_an_offer_is_answered_where_it_was_seen_and_then_completed_in_time(folder):
    found = list(starbucks.events(folder))
    times = [event.occurred_at for event in found]
    assert all(one <= other for one, other in pairwise(times))
    assert Counter(type(event) for event in found) == {Customer: 5, Sent: 5, Opened: 5, Converted: 3, Purchase: 2}
    answers = {(event.customer_id, event.campaign_id) for event in found if isinstance(event, Converted)}
    assert answers == {("a", "bbbbbbbb-0"), ("e", "bbbbbbbb-0"), ("e", "bbbbbbbb-18")}
    nobody = next(event for event in found if isinstance(event, Customer) and event.customer_id == "e")
    assert nobody.attributes == {"gender": None, "age": None, "income": None, "member_days": 1}


def test_the_ordinary_machinery_learns_these_answers(folder):
    learned = []

    def keep(task, rows):
        learned.extend((row["campaign"], row["y"]) for row in rows if task == "response")

    test = Backtest(Shop(Policy(lateness=0.0, currency="USD")))
    taken = test.learning.take
    test.learning.take = lambda task, rows: (keep(task, rows), taken(task, rows))
    import asyncio

    asyncio.run(test.run(starbucks.events(folder)))
    assert sorted(learned) == [
        ("bbbbbbbb-0", 0),
        ("bbbbbbbb-0", 0),
        ("bbbbbbbb-0", 1),
        ("bbbbbbbb-0", 1),
        ("bbbbbbbb-18", 1),
    ]
