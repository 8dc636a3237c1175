"""The learner's take, save and publish on a real Redis, interrupted where it hurts."""

import asyncio
import secrets
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
import redis
from faust.types import TP

from models.cold import NAMES
from models.customers.features import NATURAL
from models.market import journal
from models.market.book import Market
from schemas.commit import Commit, Outgoing, Place, TopicPlace
from streams import learning as module
from streams import snapshots
from streams.errors import Fenced, Misconfigured, Unavailable
from streams.kafka.transport import Answer, Records
from streams.learning import LearningAgent
from streams.metrics import Metrics
from streams.redis.client import Server, connect
from streams.redis.keys import Keys
from streams.redis.ledger import RedisLedger
from streams.redis.saved import PARTITION
from streams.settings import load_settings


class NoLogs:
    """Kafka's logs fit."""

    async def check(self, _places, _number, _settings):
        return 0


class World:
    """One Redis under one prefix, and learners that come and go."""

    def __init__(self, url, folder):
        self.server = Server()
        self.client = connect(url, self.server)
        self.plain = redis.Redis.from_url(url)
        prefix = f"test-{secrets.token_hex(6)}-"
        self.settings = load_settings(broker="nowhere:1", redis=url, prefix=prefix, data=folder)
        self.keys = Keys(prefix)
        self.ledger = RedisLedger(self.client, self.keys, self.server)
        self.topic, self.rng = [], np.random.default_rng(3)

    async def learner(self):
        agent = LearningAgent(self.settings, self.ledger, Metrics(None), _raise)
        agent.logs = NoLogs()
        await agent._take()
        agent.standing.ready = True
        return agent

    async def emit(self, hold, rows=3, tasks=("churn", "value")):
        """A shard's commit with examples; its entries go to the topic."""
        commit = Commit(Place({"transactions": TopicPlace(next=len(self.topic))}))
        for task in tasks:
            commit.examples[task] = [self.example(task) for _ in range(rows)]
        entries = await self.ledger.commit(hold, commit)
        for entry in entries:
            self.send(entry, hold.partition)
        return entries

    def example(self, task):
        x = self.rng.normal(0, 1, len(NATURAL)).astype("<f2").tobytes()
        return {"at": float(len(self.topic)), "x": x, "y": int(self.rng.integers(0, 2)), "served": 0.5}

    def send(self, entry, shard):
        headers = [("shard", str(shard)), ("head", str(entry.head)), ("part", str(entry.part))]
        self.topic.append((entry.record, [(name, value.encode()) for name, value in headers]))

    async def learn(self, agent, until=None):
        """Hand over the topic from where the learner is, as one poll."""
        begin, until = agent.standing.next, len(self.topic) if until is None else until
        some = Records(
            SimpleNamespace(key=r.key, value=r.value, headers=h, offset=begin + n, topic="examples", partition=0)
            for n, (r, h) in enumerate(self.topic[begin:until])
        )
        some.answer = Answer(begin, until, until, 0)
        await agent._learn(agent.standing, some)


def _raise(error):
    raise error


def examples(agent):
    return {task: league["examples"] for task, league in agent.learning.report()["tasks"].items()}


def bits(agent):
    """The published models, as they would be sent."""
    served = agent.learning.serving()
    return [msgspec.json.encode(getattr(served, task)) for task in NAMES]


def run(services, folder, test):
    async def inside():
        world = World(services.redis, folder)
        try:
            await test(world)
        finally:
            await world.client.aclose()

    asyncio.run(inside())


def test_what_was_saved_is_taken_again_to_the_bit(services, tmp_path, monkeypatch):
    monkeypatch.setattr(snapshots, "PIECE", 700)  # several pieces

    async def test(world):
        first, hold = await world.learner(), await world.ledger.take(0)
        for _ in range(5):
            await world.emit(hold)
        await world.learn(first)
        await first._save()
        pieces = first.standing.snapshot.pieces
        assert len(pieces) > 3
        assert {world.plain.ttl(name) for name in pieces} == {-1}
        second = await world.learner()
        assert (second.standing.next, second.standing.taken) == (first.standing.next, first.standing.taken)
        assert bits(second) == bits(first)
        await world.emit(hold)
        await world.learn(second)
        await second._save()
        assert world.plain.exists(*pieces) == len(pieces)  # the one before stays
        await world.emit(hold)
        await world.learn(second)
        await second._save()
        assert not world.plain.exists(*pieces)  # what is no longer named is gone
        third = await world.learner()
        assert examples(third)["churn"] == 21
        assert bits(third) == bits(second)

    run(services, tmp_path, test)


def change_a_byte(world, name):
    body = world.plain.get(name)
    world.plain.set(name, body[:50] + bytes([body[50] ^ 1]) + body[51:])


def test_a_snapshot_that_was_changed_is_refused_and_the_one_before_it_serves(services, tmp_path, caplog):
    async def test(world):
        first, hold = await world.learner(), await world.ledger.take(0)
        for _ in range(3):
            await world.emit(hold)
            await world.learn(first)
            await first._save()
        change_a_byte(world, first.standing.snapshot.pieces[0])
        second = await world.learner()
        assert "refused, the one before it serves: the signature does not fit" in caplog.text
        assert second.standing.next == 4
        assert examples(second)["churn"] == 6
        await world.learn(second)
        assert second.standing.taken == first.standing.taken
        assert bits(second) == bits(first)
        refused = second.standing.before.pieces
        await second._save()
        assert not world.plain.exists(*refused)
        third = await world.learner()
        assert (third.standing.next, bits(third)) == (6, bits(first))
        for saved in (third.standing.snapshot, third.standing.before):
            change_a_byte(world, saved.pieces[0])
        with pytest.raises(Misconfigured, match=r"and so is the one before it: the signature .* retrain"):
            await world.learner()

    run(services, tmp_path, test)


def test_the_market_is_saved_in_parts_that_are_written_once(services, tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "PAGE", 600)
    monkeypatch.setattr(journal, "LEAST", 6_000)
    monkeypatch.setattr(snapshots, "PIECE", 1_000)  # several pieces of the larger parts; each is a write to disk

    async def test(world):
        for names, key in (
            (world.keys.markets, world.keys.market("was")),
            (world.keys.brands, world.keys.brand("was")),
        ):
            world.plain.sadd(names, "was")
            world.plain.hset(key, "demand", "1")
        world.plain.hset(world.keys.market("tea"), "was", "1")
        agent, hold = await world.learner(), await world.ledger.take(0)
        plain, bases, pieces = Market(), set(), set()
        for n in range(60):
            rows = [sale(n), sale(n + 1)]
            commit = Commit(Place({"transactions": TopicPlace(next=n)}), examples={"market": rows})
            for entry in await world.ledger.commit(hold, commit):
                world.send(entry, hold.partition)
            for row in rows:
                plain.take(row)
            await world.learn(agent)
            before = dict(agent.standing.snapshot.parts)
            if n % 6 == 0:
                await agent._save()
                after = agent.standing.snapshot.parts
                assert all(after[part] == before[part] for part in after if part in before)
                named = (
                    {one for some in after.values() for one in some}
                    | agent.standing.snapshot.keys
                    | agent.standing.before.keys
                )
                kept = {
                    key.decode() for key in world.plain.scan_iter(world.keys.snapshot(PARTITION, "all") + "*", 1_000)
                }
                assert kept == named  # nothing is missing, and nothing is left behind
                assert {world.plain.ttl(name) for name in named} == {-1}
                bases.add(agent.learning.market.number)
                pieces |= {len(some) for some in after.values()}
            if n % 7 == 0:
                agent = await world.learner()  # as if it had been killed
                await world.learn(agent)
                assert msgspec.msgpack.encode(agent.learning.market.book.state()) == msgspec.msgpack.encode(
                    plain.state()
                )
        assert len(bases) > 2
        assert max(pieces) > 1
        agent.heard = agent.reported = float("-inf")
        while agent.learning.market.book.changed or agent.standing.saved < agent.standing.next:
            await agent._save()
        served = world.plain.hgetall(world.keys.pairs("a"))
        partners = msgspec.json.decode(served[b"partners"])
        assert [one["product"] for one in partners] == ["b"]
        assert partners[0]["support"] == plain.product("a", "GBP")["partners"][0]["support"]
        assert world.plain.smembers(world.keys.markets) == {b"all", b"tea"}  # whose place another has taken is gone
        assert not world.plain.exists(world.keys.brands, world.keys.market("was"), world.keys.brand("was"))
        assert not world.plain.hexists(world.keys.market("tea"), "was")
        assert msgspec.json.decode(world.plain.hget(world.keys.market("all"), "baskets"))["baskets"] == 120

    run(services, tmp_path, test)


def sale(n):
    """Every third basket holds a and b."""
    products = ["a", "b", f"p{n % 11}"] if n % 3 == 0 else [f"p{n % 11}", f"q{n % 7}"]
    lines = {"tea": [[product, 1.0 + n % 3, 2.5 + n % 5] for product in products]}
    return {"sign": 1, "main": True, "day": 10 + n // 4, "month": 24_000, "hour": 9, "channel": "web", "lines": lines}


def test_what_is_learned_while_a_save_is_on_its_way_is_the_next_ones(services, tmp_path):
    async def test(world):
        agent, hold = await world.learner(), await world.ledger.take(0)
        await world.emit(hold)
        await world.learn(agent)
        script = agent._write_script

        async def slow(**given):
            await world.emit(hold)
            await world.learn(agent)
            return await script(**given)

        agent._write_script = slow
        await agent._save()
        agent._write_script = script
        assert (agent.standing.saved, agent.standing.next) == (2, 4)
        crashed = await world.learner()  # the place, what was taken and what was learned are of one moment
        assert crashed.standing.next == 2
        assert examples(crashed)["churn"] == 3
        await world.learn(crashed)
        assert examples(crashed)["churn"] == 6
        assert bits(crashed) == bits(agent)

    run(services, tmp_path, test)


def test_who_was_taken_over_writes_nothing(services, tmp_path):
    async def test(world):
        sleeper, hold = await world.learner(), await world.ledger.take(0)
        await world.emit(hold)
        await world.learn(sleeper)
        successor = await world.learner()
        before = world.plain.hgetall(world.keys.learner(PARTITION))
        with pytest.raises(Fenced):
            await sleeper._save()
        assert world.plain.hgetall(world.keys.learner(PARTITION)) == before
        assert not world.plain.exists(world.keys.models)
        left = list(world.plain.scan_iter(world.keys.snapshot(PARTITION, "all") + "*", 1_000))
        assert left
        assert all(0 < world.plain.ttl(name) <= module.PIECE_SECONDS for name in left)  # nobody names them: they go
        await world.learn(successor)
        await successor._save()
        assert sleeper.standing.published.versions == {}

    run(services, tmp_path, test)


@pytest.mark.parametrize("arrives", [True, False], ids=["reply lost", "request lost"])
def test_a_save_without_a_reply_is_looked_up(services, tmp_path, arrives):
    async def test(world):
        agent, hold = await world.learner(), await world.ledger.take(0)
        await world.emit(hold)
        await world.learn(agent)
        script = agent._write_script

        async def lossy(**given):
            if arrives:
                await script(**given)
            raise redis.TimeoutError("lost")

        agent._write_script = lossy
        if arrives:
            await agent._save()
        else:
            with pytest.raises(Unavailable):
                await agent._save()
        agent._write_script = script
        assert agent.standing.saved == (2 if arrives else 0)
        await world.emit(hold)
        await world.learn(agent)
        await agent._save()
        assert examples(await world.learner())["churn"] == 6

    run(services, tmp_path, test)


def test_a_snapshot_with_a_piece_missing_is_not_named(services, tmp_path):
    async def test(world):
        agent, hold = await world.learner(), await world.ledger.take(0)
        await world.emit(hold)
        await world.learn(agent)
        await agent._save()
        await world.emit(hold)
        await world.learn(agent)
        script = agent._write_script

        async def expired(**given):
            world.plain.delete(
                *[n for n in world.plain.scan_iter(f"{world.keys.snapshot(0, 'all')}*") if world.plain.ttl(n) > 0]
            )
            return await script(**given)

        agent._write_script = expired
        with pytest.raises(Fenced, match="piece is gone"):
            await agent._save()
        again = await world.learner()
        assert again.standing.next == 2
        assert examples(again)["churn"] == 3
        world.plain.delete(*again.standing.snapshot.pieces)
        with pytest.raises(Misconfigured, match="snapshot is gone"):
            await world.learner()

    run(services, tmp_path, test)


def test_what_came_twice_or_was_rolled_back_is_learned_once_or_never(services, tmp_path):
    async def test(world):
        agent, hold = await world.learner(), await world.ledger.take(0)
        first = await world.emit(hold)
        second = await world.emit(hold)
        for entry in (*first, *second, *first):  # a new holder sends what its predecessor left
            world.send(entry, 0)
        await world.learn(agent, 3)
        await world.learn(agent)
        assert (examples(agent)["churn"], examples(agent)["value"]) == (6, 6)
        ghost = msgspec.structs.replace(first[0], head=hold.head + 10**15)  # above the head: it was rolled back
        world.send(ghost, 0)
        world.plain.hset(world.keys.shard(0), "gaps", f"{hold.head}-{hold.head + 50} ")
        world.plain.hset(world.keys.shard(0), "head", hold.head + 50)
        world.send(msgspec.structs.replace(first[0], head=hold.head + 20), 0)  # inside a gap
        await world.learn(agent)
        assert examples(agent)["churn"] == 6
        world.send(msgspec.structs.replace(first[0], head=hold.head + 50), 0)
        await world.learn(agent)
        assert examples(agent)["churn"] == 9

    run(services, tmp_path, test)


def test_parts_of_several_tasks_may_come_in_any_order(services, tmp_path):
    async def test(world):
        agent, hold = await world.learner(), await world.ledger.take(0)
        await world.emit(hold)
        world.topic.reverse()
        await world.learn(agent)
        assert (examples(agent)["churn"], examples(agent)["value"]) == (3, 3)

    run(services, tmp_path, test)


def test_a_record_that_no_scorer_wrote_stops_the_learner(services, tmp_path):
    async def test(world):
        agent = await world.learner()
        world.topic.append((Outgoing("examples", b"churn", b"{}"), []))
        with pytest.raises(Misconfigured, match="not written by a scorer"):
            await world.learn(agent)

    run(services, tmp_path, test)


def test_another_redis_drops_what_was_learned_on_the_old_one(services, tmp_path):
    async def test(world):
        agent, hold = await world.learner(), await world.ledger.take(0)
        await world.emit(hold)
        world.server.epoch += 1
        with pytest.raises(Unavailable):
            await world.learn(agent)
        agent.standing.log.next = 2
        with pytest.raises(Unavailable):
            await agent._save()
        assert (await world.learner()).standing.next == 0

    run(services, tmp_path, test)


class Reluctant:
    """A consumer of the learner's topic that Kafka does not let seek the first times."""

    def __init__(self, agent, refusals):
        self.refusals, self.sought, self.own = refusals, [], {TP(agent.topic, PARTITION)}

    def assignment(self):
        return self.own

    async def confirm(self, _offsets):
        return True

    async def go_to(self, places):
        if self.refusals:
            self.refusals -= 1
            raise Unavailable("kafka: away")
        self.sought.append(places)
        return True

    def on_buffer_full(self, _tp):
        pass

    on_buffer_drop = on_buffer_full


@pytest.mark.parametrize("refusals", [0, 1, 2])
def test_a_learner_that_could_not_seek_is_taken_again_and_says_so_meanwhile(services, tmp_path, refusals):
    async def test(world):
        first, hold = await world.learner(), await world.ledger.take(0)
        await world.emit(hold)
        await world.learn(first)
        await first._save()
        agent = LearningAgent(world.settings, world.ledger, Metrics(None), _raise)
        agent.logs, agent.app = NoLogs(), SimpleNamespace(consumer=Reluctant(agent, refusals))
        assert agent.missing() == ["the learner has not been taken yet"]
        await agent.assigned(agent.app.consumer.own)
        assert bool(agent.missing()) == bool(refusals)
        if agent.retaking is not None:
            await asyncio.wait_for(agent.retaking, 20)
        assert agent.missing() == []
        assert agent.app.consumer.sought == [{TP(agent.topic, PARTITION): first.standing.next}]
        agent.given(agent.app.consumer.own)
        assert agent.missing() == ["the learner is taken and does not read on yet"]
        agent.given(set())
        assert agent.missing() == []  # another worker has it, and nothing is amiss here

    run(services, tmp_path, test)
