"""Which shards a worker takes, keeps and lets go of, beside a group that does what the test says."""

import asyncio
from types import SimpleNamespace

import pytest
from faust.types import TP

from models.policy import Policy
from models.serving_set import ServingSet
from models.shard import Shop
from schemas.codec import INPUT_TOPICS
from streams import scoring as module
from streams.errors import Misconfigured, Unavailable
from streams.guarded import guarded
from streams.kafka.transport import Answer, Records
from streams.memory.ledger import MemoryLedger
from streams.metrics import Metrics
from streams.scoring import Scoring
from streams.settings import load_settings


class Ledger(MemoryLedger):
    """May be away when a shard is taken."""

    def __init__(self):
        super().__init__()
        self.away, self.server = False, SimpleNamespace(epoch=0)

    async def take(self, partition):
        if self.away:
            raise Unavailable("redis: away")
        hold = await super().take(partition)
        hold.epoch = self.server.epoch
        return hold

    async def flush(self, _partition):
        pass


class Consumer:
    """A member of a group: what it is given, where it seeks, whether Kafka confirms."""

    def __init__(self):
        self.mine, self.sought, self.paused, self.confirms, self.asked, self.answers = set(), [], set(), True, [], {}

    def assignment(self):
        return self.mine

    def seeks(self, tp):
        return sum(one == tp for one, _ in self.sought)

    def reached(self, _tp):
        return None

    async def go_to(self, places):
        self.sought += places.items()
        return True

    async def confirm(self, offsets):
        self.asked.append(offsets)
        return self.confirms

    def on_buffer_full(self, tp):
        self.paused.add(tp)

    def on_buffer_drop(self, tp):
        self.paused.discard(tp)


class Logs:
    """They fit, unless nobody answers."""

    def __init__(self):
        self.answers, self.asked = True, 0

    async def fits(self, _places, _number, _settings):
        self.asked += 1
        if not self.answers:
            raise Unavailable("kafka: away")
        return True

    async def check(self, _places, _number, _settings):
        return 0


def tps(*numbers):
    return {TP(topic, number) for topic in INPUT_TOPICS for number in numbers}


@pytest.fixture
def make(tmp_path):
    def make():
        errors = []
        scoring = Scoring(
            load_settings(broker="nowhere:1", redis="redis://nowhere", data=tmp_path, clock="events"),
            Shop(Policy(), (), 4),
            Ledger(),
            SimpleNamespace(current=ServingSet()),
            Metrics(None),
            errors.append,
        )
        scoring.app = SimpleNamespace(consumer=Consumer(), crashed=False, crash_reason=None, started=True)
        scoring.logs = Logs()
        scoring.relay = None  # nothing leaves in these tests
        return scoring, scoring.app.consumer, scoring.ledger, errors

    return make


def run(test):
    async def inside():
        await test()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    asyncio.run(inside())


async def give(scoring, consumer, *numbers):
    """A rebalance: all partitions of these shards are ours now."""
    consumer.mine = tps(*numbers)
    scoring.given(consumer.mine)
    await scoring.assigned(consumer.mine)


async def until(condition):
    for _ in range(400):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come to that")


def heads(ledger):
    return {number: shard.head for number, shard in ledger.shards.items()}


def test_what_stays_keeps_its_head_and_seeks_to_where_its_inboxes_end(make):
    async def test():
        scoring, consumer, ledger, _ = make()
        await give(scoring, consumer, 0, 1)
        stays, goes = scoring.held[0], scoring.held[1]
        stays.next["transactions"] = 17  # these are in its inbox
        before, consumer.sought = heads(ledger), []
        await give(scoring, consumer, 0, 2)
        assert scoring.held[0] is stays
        assert {number: head for number, head in heads(ledger).items() if number in before} == before
        assert (TP("transactions", 0), 17) in consumer.sought
        assert sorted(scoring.held) == [0, 2]
        await until(lambda: all(task.done() for task in goes.tasks))

    run(test)


def test_an_empty_assignment_lets_go_of_everything(make):
    async def test():
        scoring, consumer, _, _ = make()
        await give(scoring, consumer, 0, 1)
        consumer.mine = set()
        scoring.given(set())
        assert scoring.held == {}

    run(test)


def test_a_worker_that_is_given_part_of_a_shard_says_so_and_stops(make):
    async def test():
        scoring, consumer, _, errors = make()
        consumer.mine = tps(0) - {TP("customers", 0)}
        await scoring.assigned(consumer.mine)
        assert isinstance(errors[0], Misconfigured)
        assert "torn" in str(errors[0])
        assert scoring.held == {}

    run(test)


def test_records_before_the_seek_are_not_taken(make):
    async def test():
        scoring, consumer, _, _ = make()
        await give(scoring, consumer, 0)
        held = scoring.held[0]
        some = Records([SimpleNamespace(offset=0, timestamp=0, key=b"", value=b"", headers=())])
        for ready, seeks in ((False, 1), (True, 0)):
            held.ready = ready
            some.answer = Answer(0, 1, 1, seeks)
            await scoring._receive(Stream(TP("customers", 0), some))
            assert held.next["customers"] == 0
        some.answer = Answer(0, 1, 1, 1)
        await scoring._receive(Stream(TP("customers", 0), some))
        assert held.next["customers"] == 1

    run(test)


def test_records_that_come_while_other_topics_still_seek_are_sought_again(make):
    """They are of after their own topic's seek: if they were the last of it, nothing else would bring them."""

    async def test():
        scoring, consumer, _, _ = make()
        await give(scoring, consumer, 0)
        tp, go_to, times = TP("customers", 0), consumer.go_to, []

        async def go_to_and_be_polled(places):
            await go_to(places)
            times.append(set(consumer.paused))
            if len(times) == 1:
                some = Records([SimpleNamespace(offset=0, timestamp=0, key=b"", value=b"", headers=())])
                some.answer = Answer(0, 1, 1, consumer.seeks(tp))
                await scoring._receive(Stream(tp, some))
            return True

        consumer.go_to = go_to_and_be_polled
        await scoring._seek(scoring.held[0])
        assert times == [tps(0), tps(0)]
        assert scoring.held[0].ready
        assert scoring.held[0].next["customers"] == 0
        assert consumer.paused == set()

    run(test)


@pytest.mark.parametrize("answers", [True, False])
def test_a_shard_that_waits_for_what_does_not_come_is_taken_again_if_the_broker_answers(make, monkeypatch, answers):
    monkeypatch.setattr(module, "PATIENCE", 0.05)

    async def test():
        scoring, consumer, _, _ = make()
        scoring.logs.answers = answers
        await give(scoring, consumer, 0)
        held, some = scoring.held[0], Records([SimpleNamespace(offset=0, timestamp=0, key=b"", value=b"", headers=())])
        some.answer = Answer(0, 1, 1, 1)
        await scoring._receive(Stream(TP("customers", 0), some))
        watching = asyncio.create_task(scoring._watch())
        await until(lambda: scoring.logs.asked)
        if answers:
            await until(lambda: scoring.held.get(0) not in (None, held))
            assert scoring.held[0].next["customers"] == 0
        else:
            await asyncio.sleep(0.05)
            assert scoring.held[0] is held
        watching.cancel()

    run(test)


def test_who_stops_takes_nothing_again(make):
    async def test():
        scoring, consumer, _, errors = make()
        await give(scoring, consumer, 0)
        scoring.stopping = True
        scoring._start_again(scoring.held[0], "Redis was restarted")
        assert scoring.held == scoring.retaking == {}
        assert errors == []

    run(test)


class Stream:
    """One event."""

    def __init__(self, tp, records):
        self.event = SimpleNamespace(message=SimpleNamespace(tp=tp), value=records)

    async def events(self):
        yield self.event


def test_a_shard_that_ended_is_taken_again_when_kafka_confirms_and_not_before(make):
    async def test():
        scoring, consumer, ledger, _ = make()
        await give(scoring, consumer, 0)
        held, before = scoring.held[0], heads(ledger)
        consumer.confirms = False
        scoring._start_again(held, "fenced")
        assert 0 not in scoring.held
        assert consumer.paused == tps(0)  # nothing is read meanwhile
        await until(lambda: len(consumer.asked) >= 2)
        assert heads(ledger) == before
        consumer.confirms, consumer.sought = True, []
        await until(lambda: 0 in scoring.held)
        assert heads(ledger)[0] > before[0]
        assert {tp for tp, _ in consumer.sought} == tps(0)
        await until(lambda: consumer.paused == set())
        scoring._start_again(held, "late news")  # of the old one: its successor is not touched
        assert scoring.held[0] is not held

    run(test)


def test_a_shard_that_kafka_has_given_away_is_not_taken_again(make):
    async def test():
        scoring, consumer, ledger, _ = make()
        await give(scoring, consumer, 0)
        before = heads(ledger)
        consumer.mine = set()
        scoring._start_again(scoring.held[0], "fenced")
        await asyncio.wait_for(scoring.retaking[0], 5)
        assert scoring.held == {}
        assert heads(ledger) == before
        assert consumer.asked == []

    run(test)


def test_an_assignment_does_not_wait_for_redis(make):
    async def test():
        scoring, consumer, ledger, errors = make()
        ledger.away = True
        await asyncio.wait_for(give(scoring, consumer, 0, 1), 1)
        assert scoring.held == {}
        assert consumer.paused == tps(0, 1)
        ledger.away = False
        await until(lambda: sorted(scoring.held) == [0, 1])
        assert errors == []

    run(test)


def test_another_redis_starts_every_shard_again(make):
    async def test():
        scoring, consumer, ledger, _ = make()
        await give(scoring, consumer, 0, 1)
        before = dict(scoring.held)
        watch = asyncio.create_task(scoring._watch())
        ledger.server.epoch = 1
        await until(lambda: all(scoring.held.get(n, before[n]) is not before[n] for n in before))
        assert {held.shard.hold.epoch for held in scoring.held.values()} == {1}
        watch.cancel()

    run(test)


def test_a_faust_that_has_ended_ends_the_worker(make):
    async def test():
        scoring, _, _, errors = make()
        scoring.app.crashed, scoring.app.crash_reason = True, KeyError("a partition just lost")
        await asyncio.wait_for(guarded(scoring.fail, scoring._watch), 5)
        assert repr(errors) == "[KeyError('a partition just lost')]"

    run(test)


def test_an_error_of_ours_acknowledges_nothing_and_ends_the_worker(make):
    async def test():
        scoring, consumer, ledger, errors = make()

        async def broken(*_given):
            raise ZeroDivisionError

        await give(scoring, consumer, 0)
        ledger.load = broken
        held = scoring.held[0]
        held.answered = lambda _topic, _fresh=None: True
        held.settings = held.settings.model_copy(update={"idle_after_seconds": 0.0})
        held.heard = 0.0
        await until(lambda: errors)
        assert isinstance(errors[0], ZeroDivisionError)
        assert held.shard.hold.place.topics["transactions"].next == 0

    run(test)
