"""A shard in work, beside a consumer, a Kafka and a ledger that do what the test says."""

import asyncio
import itertools
import math
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from faust.types import TP

from models.policy import Policy
from models.serving_set import ServingSet
from models.shard import Shop
from schemas.codec import INPUT_TOPICS, encode
from schemas.commit import Arrived, TopicPlace
from schemas.events import Line, Purchase
from streams import held as module
from streams.errors import Fenced, Unavailable
from streams.held import FRESH, FULL, LOW, Held
from streams.kafka.transport import Answer
from streams.memory.ledger import MemoryLedger
from streams.settings import load_settings
from streams.shard import Shard

DAY = 86_400.0
START = datetime(2026, 3, 1, tzinfo=UTC)


class Consumer:
    """Partitions whose ends the test moves; all of it has arrived."""

    def __init__(self, held=None):
        self.held, self.answers, self.paused, self.sought = held, {}, set(), {}

    def at(self, topic, end, when=None, before=0):
        tp = self.held.tp(topic)
        self.answers[tp] = Answer(
            before, self.held.next[topic], end, self.seeks(tp), time.time() if when is None else when
        )

    def all_at_end(self, when=None):
        for topic in INPUT_TOPICS:
            self.at(topic, self.held.next[topic], when)

    def seeks(self, tp):
        return self.sought.get(tp, 0)

    def reached(self, tp):
        return self.held.next[tp.topic]

    def on_buffer_full(self, tp):
        self.paused.add(tp)

    def on_buffer_drop(self, tp):
        self.paused.discard(tp)


class Kafka:
    """Takes entries, unless it is away."""

    def __init__(self):
        self.got, self.away, self.asked = [], False, 0

    async def send(self, _partition, entries):
        self.asked += 1
        if self.away:
            raise Unavailable("kafka: away")
        await asyncio.sleep(0)
        self.got += entries


class Ledger(MemoryLedger):
    """Takes its time, and may be away when removals are flushed."""

    def __init__(self):
        super().__init__()
        self.away = False

    async def load(self, *given):
        await asyncio.sleep(0.001)
        return await super().load(*given)

    async def flush(self, _partition):
        if self.away:
            raise Unavailable("redis: away")


def purchases(begin, end):
    for offset in range(begin, end):
        event = Purchase(
            event_id=f"e{offset}", customer_id=f"c{offset % 9}", occurred_at=START + timedelta(minutes=offset),
            currency="GBP", channel="web", lines=(Line(product_id="p", quantity=1, unit_price=1),),
        )  # fmt: skip
        at = event.occurred_at.timestamp()
        yield Arrived("transactions", 0, offset, at, b"k", encode(event), (), event, at)


def receive(held, begin, end, before=None):
    answer = Answer(begin if before is None else before, end, end, 0)
    return held.receive("transactions", answer, list(purchases(begin, end)))


@pytest.fixture
def make(tmp_path):
    def make(ledger=None, **settings):
        given = {"chunk_size": 10, "clock": "events", "data": tmp_path} | settings

        async def made():
            kept = ledger or Ledger()
            shard = Shard(await kept.take(0), kept, Shop(Policy()), given["chunk_size"])
            consumer = Consumer()
            consumer.held = held = Held(shard, await kept.outbox(0), load_settings(**given), consumer)
            return held, consumer, kept

        return made()

    return make


@pytest.fixture
def run(make):
    """Run a test on a shard whose topics are at their ends; with `working`, at work beside a Kafka, which it is given."""

    def run(test, *, working=False, **settings):
        async def ran():
            held, consumer, ledger = await make(**settings)
            consumer.all_at_end()
            if not working:
                await test(held, consumer, ledger)
                return
            kafka = Kafka()
            at_work(held, ledger, kafka)
            try:
                await test(held, ledger, kafka)
            finally:
                held.cancel()

        asyncio.run(ran())

    return run


def at_work(held, ledger, kafka):
    work = held.work(ServingSet, lambda _done, _seconds: None)
    held.tasks = [asyncio.create_task(work), asyncio.create_task(held.send(kafka, ledger))]


async def until(condition):
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come to that")


def test_records_that_do_not_follow_are_not_taken(run):
    async def test(held, consumer, ledger):
        assert receive(held, 0, 5)
        assert not receive(held, 6, 9)  # a hole that Kafka does not know of
        assert not receive(held, 3, 9)  # these are here already
        assert not receive(held, 3, 9, before=5)  # whatever the poll says
        assert receive(held, 7, 9, before=5)  # a hole of Kafka's own: a transaction's marker
        assert held.next["transactions"] == 9

    run(test)


def test_an_inbox_is_paused_when_it_is_full_and_resumed_when_it_is_low(run):
    async def test(held, consumer, ledger):
        tp = TP("transactions", 0)
        receive(held, 0, FULL)
        assert consumer.paused == set()
        receive(held, FULL, FULL + 1)
        assert consumer.paused == {tp}
        while held.shard.waiting >= LOW:
            held.resume()
            assert consumer.paused == {tp}
            await held.shard.step(held.answered, ServingSet(), 0.0)
        held.resume()
        assert consumer.paused == set()

    run(test, chunk_size=500)


def test_few_large_records_fill_an_inbox_too(run, monkeypatch):
    monkeypatch.setattr(module, "FULL_BYTES", 5_000)
    monkeypatch.setattr(module, "LOW_BYTES", 2_000)

    async def test(held, consumer, ledger):
        tp = TP("transactions", 0)
        receive(held, 0, 10)
        assert consumer.paused == set()
        receive(held, 10, 40)
        assert consumer.paused == {tp}
        sizes = []
        while consumer.paused:
            await held.shard.step(held.answered, ServingSet(), 0.0)
            sizes.append(sum(len(record.value) for record in held.shard.inboxes["transactions"]))
            held.resume()
        assert len(sizes) > 1
        assert sizes[-1] < 2_000 <= sizes[-2]

    run(test)


def test_the_end_of_a_topic_is_the_newest_polls_own_answer(make):
    async def test():
        held, consumer, _ = await make()
        assert not held.answered("customers")  # nobody has said anything
        consumer.at("customers", 0)
        assert held.answered("customers")
        consumer.at("customers", 3)
        assert not held.answered("customers")
        consumer.at("customers", 0)
        consumer.sought[held.tp("customers")] = 1  # the answer is from before
        assert not held.answered("customers")

    asyncio.run(test())


def test_a_broker_that_is_away_is_not_silence(run):
    async def test(held, consumer, ledger):
        await asyncio.sleep(0.02)
        idle, tick = held.quiet()
        assert idle
        assert tick == pytest.approx(time.time() - 3_600, abs=5)
        assert held.quiet()[1] is None  # one a second
        consumer.all_at_end(when=time.time() - FRESH - 1)
        assert held.quiet() == (False, None)
        consumer.all_at_end()
        receive(held, 0, 1)
        assert held.quiet() == (False, None)

    run(test, idle_after_seconds=0.01, clock="wall")


def test_sales_before_the_shards_time_are_here_where_none_has_come_for_a_while_by_a_newer_word(run):
    async def test(held, consumer, ledger):
        began, place = held.marked, held.shard.hold.place
        place.time = 100.0
        held.look_for_sales(began + 59)
        assert held.stood is None
        held.look_for_sales(began + 60)
        assert (held.stood, held.sold_to) == (100.0, -math.inf)  # what is on its way now comes in the next minute
        place.time = 200.0
        held.look_for_sales(began + 120)
        assert (held.stood, held.sold_to) == (200.0, 100.0)
        place.time = 300.0
        consumer.all_at_end(when=time.time() - 31)  # the broker said so in the first half of the while
        held.look_for_sales(began + 180)
        assert (held.stood, held.sold_to) == (300.0, 100.0)
        consumer.all_at_end()
        receive(held, 0, 1)
        held.shard.inboxes["transactions"].clear()
        held.look_for_sales(began + 240)
        assert (held.stood, held.sold_to) == (300.0, 100.0)  # there were sales: the next may be of before
        consumer.all_at_end()
        held.look_for_sales(began + 300)
        assert held.sold_to == 300.0

    run(test)


def test_what_leaves_waits_for_kafka_in_its_order_and_is_trimmed_when_it_is_there(run):
    async def test(held, ledger, kafka):
        kafka.away = True
        receive(held, 0, 50)
        await until(lambda: held.shard.waiting == 0)
        await until(lambda: kafka.asked > 2)
        entries = await ledger.outbox(0)
        assert len(entries) == len(held.outbox) >= 5
        assert kafka.got == []
        kafka.away = False
        await until(lambda: not held.outbox)
        assert kafka.got == entries
        assert await ledger.outbox(0) == []
        assert held.outbox_bytes == 0

    run(test, working=True)


def test_what_an_earlier_holder_left_is_sent_first(make):
    async def test():
        held, consumer, ledger = await make()
        consumer.all_at_end()
        receive(held, 0, 10)
        await held.shard.step(held.answered, ServingSet(), 0.0)
        left = await ledger.outbox(0)
        again, consumer, _ = await make(ledger)
        consumer.all_at_end()
        kafka = Kafka()
        at_work(again, ledger, kafka)
        receive(again, 10, 20)
        await until(lambda: again.shard.waiting == 0 and not again.outbox)
        assert kafka.got[: len(left)] == left
        assert len(kafka.got) > len(left)
        again.cancel()

    asyncio.run(test())


def test_nothing_more_is_handled_while_too_much_waits_for_kafka(run, monkeypatch):
    monkeypatch.setattr(module, "OUTBOX_RECORDS", 3)

    async def test(held, ledger, kafka):
        kafka.away = True
        receive(held, 0, 500)
        await until(lambda: len(held.outbox) >= 3)
        await asyncio.sleep(0.1)
        assert held.shard.waiting >= 460
        kafka.away = False
        await until(lambda: held.shard.waiting == 0 and not held.outbox)

    run(test, working=True)


def test_redis_that_is_away_loses_no_removal(run):
    async def test(held, ledger, kafka):
        ledger.away = True
        receive(held, 0, 5)
        await until(lambda: kafka.got)
        await asyncio.sleep(0.15)
        assert not held.tasks[1].done()  # it is tried again, and the shard goes on
        ledger.away = False

    run(test, working=True)


def test_told_to_stop_it_finishes_the_chunk_and_sends_what_it_has_to_say(run):
    async def test(held, ledger, kafka):
        receive(held, 0, 1_000)
        await until(lambda: held.shard.hold.place.topics["transactions"].next > 50)
        await held.finish(2.0)
        stands = held.shard.hold.place.topics["transactions"].next
        assert 50 < stands < 1_000
        assert all(task.done() for task in held.tasks)
        assert await ledger.outbox(0) == []
        assert (await ledger.take(0)).place.topics["transactions"].next == stands
        heads = [entry.head for entry in kafka.got]
        assert heads == sorted(heads)

    run(test, working=True)


def test_who_is_fenced_ends(run):
    async def test(held, consumer, ledger):
        await ledger.take(0)
        receive(held, 0, 5)
        with pytest.raises(Fenced):
            await asyncio.wait_for(held.work(ServingSet, lambda _done, _seconds: None), 5)

    run(test)


def test_a_topic_that_is_waited_for_is_named(run):
    async def test(held, consumer, ledger):
        consumer.at("customers", 7)
        receive(held, 0, 5)
        assert held.waited_for(100.0, 10.0) == []
        assert held.waited_for(111.0, 10.0) == ["customers"]
        consumer.all_at_end()
        assert held.waited_for(112.0, 10.0) == []
        assert list(itertools.islice(held.waiting_since, 1)) == []

    run(test)


def test_a_silent_shard_says_so_again_less_and_less_often(make, monkeypatch):
    async def test():
        held, consumer, ledger = await make(idle_after_seconds=1.0)
        began, said = time.monotonic(), []
        receive(held, 0, 1)
        await held._step(ServingSet(), lambda *_: None)
        for second in range(10, 80):
            clock = SimpleNamespace(
                monotonic=lambda now=began + second: now, time=time.time, perf_counter=time.perf_counter
            )
            monkeypatch.setattr(module, "time", clock)
            consumer.all_at_end()
            before = len(await ledger.outbox(0, 1_000))
            await held._step(ServingSet(), lambda *_: None)
            if len(await ledger.outbox(0, 1_000)) > before:
                said.append(second)
        assert [after - before for before, after in itertools.pairwise(said)] == [1, 2, 4, 8, 16, 32]

    asyncio.run(test())


def test_a_word_older_than_its_own_last_one_neither_begins_nor_ends_nor_repeats_silence(make, monkeypatch):
    async def test():
        held, consumer, ledger = await make(idle_after_seconds=2.0)
        began, wall = time.monotonic(), time.time()

        async def said(second, word):
            """Whether the shard says something at a second, the broker's word being of another."""
            clock = SimpleNamespace(
                monotonic=lambda: began + second, time=lambda: wall + second, perf_counter=time.perf_counter
            )
            monkeypatch.setattr(module, "time", clock)
            consumer.all_at_end(wall + word)
            before = len(await ledger.outbox(0, 1_000))
            await held._step(ServingSet(), lambda *_: None)
            return len(await ledger.outbox(0, 1_000)) > before

        receive(held, 0, 1)
        assert await said(0, word=0)  # what it handled
        assert not await said(10, word=7)  # three seconds old
        assert await said(11, word=10.5)
        assert not await said(14, word=11)
        assert not await said(14.5, word=9.6)  # nor does it say that it is not silent any more
        assert await said(15, word=14.5)

    asyncio.run(test())


def test_what_is_stale_in_a_replay_does_not_depend_on_how_far_another_topic_ran_ahead(run):
    async def test(held, _consumer, _ledger):
        place = held.shard.hold.place
        assert held._now() == -math.inf
        place.time = START.timestamp() + 3 * DAY
        place.topics["customers"] = TopicPlace(shown=place.time)
        place.topics["transactions"] = TopicPlace(shown=START.timestamp())
        place.topics["feedback"] = TopicPlace()
        assert held._now() == START.timestamp()

    run(test)
