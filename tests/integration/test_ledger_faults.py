"""The ledger on a Redis of its own that is broken on purpose."""

import asyncio
import secrets
import shutil
import tempfile
from pathlib import Path

import pytest
import redis

from schemas.commit import Commit, Outgoing, Place, TopicPlace
from schemas.state import CustomerState, Remembered, encode_remembered
from streams.embedded.process import await_ready, watch
from streams.embedded.redis import start_redis
from streams.errors import Fenced, Misconfigured, Unavailable
from streams.redis.client import Server, connect
from streams.redis.keys import Keys
from streams.redis.ledger import GAPS, RedisLedger
from streams.redis.saved import Taken, is_new


@pytest.fixture(scope="module")
def own():
    """A Redis that other tests do not use."""
    with tempfile.TemporaryDirectory(prefix="streamscore-") as folder, watch(Path(folder)) as children:
        yield start_redis(Path(folder) / "redis", children)


def chunk(offset):
    commit = Commit(Place({"transactions": TopicPlace(next=offset)}, time=float(offset)))
    commit.states["a"] = encode_remembered(Remembered(CustomerState(seen_at=float(offset))))
    commit.scores["a"] = {"orders": str(offset)}
    commit.timers["a"] = float(offset)
    commit.outgoing = [Outgoing("triggers", b"a", str(offset).encode())]
    return commit


def run(url, test):
    async def inside():
        server = Server()
        client = connect(url, server)
        prefix = f"test-{secrets.token_hex(6)}-"
        try:
            await test(RedisLedger(client, Keys(prefix), server), client, redis.Redis.from_url(url))
        finally:
            await client.aclose()

    asyncio.run(inside())


def everything(plain, ledger):
    """All that is in Redis under the ledger's prefix."""
    found = {}
    for key in plain.scan_iter(f"{ledger.keys.prefix}*", 1_000):
        kind = plain.type(key)
        read = {
            b"hash": plain.hgetall,
            b"string": plain.get,
            b"zset": lambda k: plain.zrange(k, 0, -1, withscores=True),
        }
        found[key] = read[kind](key)
    return found


class Lossy:
    """Wraps the commit's script: the reply is lost, or the request."""

    def __init__(self, script, request):
        self.script, self.request, self.ran = script, request, 0

    async def __call__(self, **given):
        if not self.request:
            await self.script(**given)
        self.ran += 1
        raise redis.TimeoutError("lost")


def test_a_commit_whose_reply_was_lost_has_gone_through(own):
    async def test(ledger, _client, plain):
        hold = await ledger.take(0)
        await ledger.commit(hold, chunk(1))
        honest, ledger._commit = ledger._commit, Lossy(ledger._commit, request=False)
        entries = await ledger.commit(hold, chunk(2))
        assert ledger._commit.ran == 1
        ledger._commit = honest
        assert int(plain.hget(ledger.keys.shard(0), "head")) == hold.head == entries[0].head
        await ledger.commit(hold, chunk(3))
        assert [entry.record.value for entry in await ledger.outbox(0)] == [b"1", b"2", b"3"]
        assert (await ledger.take(0)).place.topics["transactions"].next == 3

    run(own, test)


def test_a_commit_that_never_arrived_is_known_as_such(own):
    async def test(ledger, _client, plain):
        hold = await ledger.take(0)
        await ledger.commit(hold, chunk(1))
        before = everything(plain, ledger)
        ledger._commit = Lossy(ledger._commit, request=True)
        with pytest.raises(Unavailable):
            await ledger.commit(hold, chunk(2))
        assert everything(plain, ledger) == before

    run(own, test)


def test_a_lost_reply_and_a_new_holder_is_fenced(own):
    async def test(ledger, _client, _plain):
        hold = await ledger.take(0)
        await ledger.take(0)
        with pytest.raises(Fenced):
            await ledger.commit(hold, chunk(1))

    run(own, test)


def test_a_shard_that_is_taken_again_and_again_has_one_gap(own):
    async def test(ledger, _client, _plain):
        hold = await ledger.take(0)
        (first,) = await ledger.commit(hold, chunk(1))
        for _ in range(GAPS + 50):
            hold = await ledger.take(0)
        (second,) = await ledger.commit(hold, chunk(2))
        known = (await ledger.lineages([0]))[0]
        assert known.gaps[1:] == ((first.head, second.follows),)
        assert is_new(Taken(), first.head, 0, known)
        assert is_new(Taken(), second.head, 0, known)
        assert not is_new(Taken(), first.head + 1, 0, known)
        await ledger.take(0)
        assert len((await ledger.lineages([0]))[0].gaps) == 3

    run(own, test)


@pytest.mark.parametrize("name", ["state", "timers", "outbox", "budgets", "customer"])
def test_a_key_of_another_program_stops_the_commit_before_it_writes(own, name):
    async def test(ledger, _client, plain):
        hold = await ledger.take(0)
        key = {"budgets": ledger.keys.budgets, "customer": ledger.keys.customer("a")}.get(name)
        plain.set(key or getattr(ledger.keys, name)(0), "somebody's")
        before = everything(plain, ledger)
        with pytest.raises(Misconfigured, match=r"WRONGTYPE .* another program"):
            await ledger.commit(hold, chunk(1))
        assert everything(plain, ledger) == before

    run(own, test)


@pytest.mark.parametrize(
    ("setting", "bad", "good"),
    [("maxmemory", "1", "0"), ("min-replicas-to-write", "1", "0")],
    ids=["OOM", "NOREPLICAS"],
)
def test_a_redis_that_cannot_write_is_unavailable_and_writes_no_half(own, setting, bad, good):
    async def test(ledger, _client, plain):
        hold = await ledger.take(0)
        await ledger.commit(hold, chunk(1))
        gone = chunk(2)  # its first command would be one that needs no memory
        gone.states["a"] = gone.scores["a"] = gone.timers["a"] = None
        gone.outgoing = []
        gone.erased["a"] = None
        before = everything(plain, ledger)
        plain.config_set(setting, bad)
        try:
            with pytest.raises(Unavailable):
                await ledger.commit(hold, gone)
            assert everything(plain, ledger) == before
            with pytest.raises(Unavailable):
                await ledger.take(0)
        finally:
            plain.config_set(setting, good)
        await ledger.commit(hold, gone)
        assert ledger.keys.customer("a").encode() not in everything(plain, ledger)

    run(own, test)


def test_a_replica_is_unavailable(own):
    async def test(ledger, _client, plain):
        hold = await ledger.take(0)
        plain.replicaof("127.0.0.1", "1")
        try:
            with pytest.raises(Unavailable):
                await ledger.commit(hold, chunk(1))
        finally:
            plain.replicaof("NO", "ONE")

    run(own, test)


def restarted(children, then=lambda: None):
    """Kill the server, do something with its files, and start it on the same port."""
    child = children.children[-1]
    child.kill()
    child.wait()
    then()
    url = f"redis://127.0.0.1:{child.args[child.args.index('--port') + 1]}/0"
    log = Path(child.args[child.args.index("--dir") + 1]) / "redis.log"
    again = children.start(child.args, log)
    await_ready(again, log, lambda: answers(url), 30)


def answers(url):
    try:
        return redis.Redis.from_url(url).ping()
    except redis.RedisError:
        return False


async def lineage(ledger):
    while True:
        try:
            return (await ledger.lineages([0]))[0]
        except Unavailable:
            await asyncio.sleep(0.05)


def test_after_a_restart_what_was_taken_before_is_worth_nothing(tmp_path):
    with watch(tmp_path) as children:

        async def test(ledger, client, _plain):
            hold = await ledger.take(0)
            await ledger.commit(hold, chunk(1))
            restarted(children)
            for _ in range(2):  # a connection that has ended, and then a new one to another server
                with pytest.raises(Unavailable):
                    await ledger.commit(hold, chunk(2))  # the script would have gone through: its head is the same
            assert ledger.server.epoch == 1
            with pytest.raises(Unavailable, match="was taken on a server"):
                await ledger.commit(hold, chunk(2))
            again = await ledger.take(0)
            assert (again.place.topics["transactions"].next, again.epoch) == (1, 1)
            await ledger.commit(again, chunk(2))
            await client.connection_pool.disconnect()  # a lost connection to the same server is no new start
            await ledger.commit(again, chunk(3))
            assert ledger.server.epoch == 1

        run(start_redis(tmp_path / "redis", children), test)


def test_examples_of_a_commit_that_redis_has_forgotten_are_refused(tmp_path):
    with watch(tmp_path) as children:
        folder, copy = tmp_path / "redis" / "appendonlydir", tmp_path / "copy"

        async def test(ledger, _client, _plain):
            hold = await ledger.take(0)
            (kept,) = await ledger.commit(hold, chunk(1))
            shutil.copytree(folder, copy)
            (forgotten,) = await ledger.commit(hold, chunk(2))
            restarted(children, lambda: (shutil.rmtree(folder), shutil.copytree(copy, folder)))
            rolled_back = await lineage(ledger)
            assert ledger.server.epoch == 1
            assert is_new(Taken(), kept.head, kept.part, rolled_back)
            assert not is_new(Taken(), forgotten.head, forgotten.part, rolled_back)  # above the head
            again = await ledger.take(0)
            assert again.place.topics["transactions"].next == 1
            (redone,) = await ledger.commit(again, chunk(2))
            now = await lineage(ledger)
            assert redone.head > forgotten.head
            assert is_new(Taken(), redone.head, redone.part, now)
            assert not is_new(Taken(), forgotten.head, forgotten.part, now)  # inside a gap
            assert is_new(Taken(), kept.head, kept.part, now)

        run(start_redis(tmp_path / "redis", children), test)
