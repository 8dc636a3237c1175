import asyncio
import secrets

import pytest

from schemas.commit import Commit, Outgoing, Place, TopicPlace
from schemas.state import CustomerState, Remembered, encode_remembered
from streams.errors import BudgetExceeded, Fenced
from streams.memory.ledger import MemoryLedger
from streams.redis import packing
from streams.redis.client import connect
from streams.redis.keys import Keys
from streams.redis.ledger import RedisLedger


def remembered(seen_at=1.0):
    return Remembered(CustomerState(seen_at=seen_at))


def commit(offset, customers=(), timers=None, records=()):
    chunk = Commit(Place({"transactions": TopicPlace(next=offset)}, time=float(offset)))
    for name in customers:
        chunk.states[name] = encode_remembered(remembered(float(offset)))
        chunk.scores[name] = {"orders": str(offset), "spend": "{}"}
    chunk.timers = dict(timers or {})
    chunk.outgoing = [Outgoing("triggers", b"key", body) for body in records]
    return chunk


async def law_a_late_sleeper_is_fenced(ledger):
    sleeper = await ledger.take(3)
    await ledger.take(3)
    with pytest.raises(Fenced):
        await ledger.commit(sleeper, commit(10, ["a"], {"a": 5.0}, [b"never"]))
    assert (await ledger.load(3, ["a"], 100.0, 10)).customers == {"a": None}
    assert await ledger.outbox(3, 10) == []


async def law_what_is_committed_is_read_again(ledger):
    hold = await ledger.take(0)
    await ledger.commit(hold, commit(10, ["ä b", "c\u0000d"]))
    await ledger.commit(hold, commit(20, ["ä b"]))
    again = await ledger.take(0)
    assert again.place.topics["transactions"].next == 20
    assert again.head > hold.head
    found = (await ledger.load(0, ["ä b", "c\u0000d", "nobody"], None, 10)).customers
    assert found == {"ä b": remembered(20.0), "c\u0000d": remembered(10.0), "nobody": None}


async def served(ledger, customer):
    if isinstance(ledger, MemoryLedger):
        return ledger.scores[customer]
    found = await ledger.client.hgetall(ledger.keys.customer(customer))
    return {name.decode(): value.decode() for name, value in found.items()}


async def law_a_commit_without_new_scores_leaves_those_that_stand(ledger):
    hold = await ledger.take(0)
    await ledger.commit(hold, commit(10, ["a"]))
    timed = commit(20)
    timed.scores["a"] = {}
    await ledger.commit(hold, timed)
    assert await served(ledger, "a") == {"orders": "10", "spend": "{}"}


async def law_a_customer_can_be_erased(ledger):
    hold = await ledger.take(0)
    await ledger.commit(hold, commit(1, ["a"], {"a": 5.0}))
    gone = commit(2)
    gone.states["a"] = gone.scores["a"] = gone.timers["a"] = None
    await ledger.commit(hold, gone)
    assert (await ledger.load(0, ["a"], 10.0, 10)).customers == {"a": None}


async def law_timers_come_by_due_time_then_name(ledger):
    hold = await ledger.take(0)
    await ledger.commit(hold, commit(1, ["c", "a", "b", "d"], {"c": 2.0, "a": 2.0, "b": 1.0, "d": 9.5}))
    two = await ledger.load(0, [], 9.0, 2)
    assert list(two.customers) == ["b", "a"]
    assert two.until == 2.0
    all_due = await ledger.load(0, [], 9.0, 10)
    assert list(all_due.customers) == ["b", "a", "c"]
    assert all_due.until is None
    await ledger.commit(hold, commit(2, ["b"], {"b": 20.0}))
    assert list((await ledger.load(0, [], 9.0, 10)).customers) == ["a", "c"]


async def law_who_is_known_is_named_when_due_and_not_read(ledger):
    hold = await ledger.take(0)
    await ledger.commit(hold, commit(1, ["a", "b", "c"], {"a": 2.0, "b": 1.0, "c": 9.0}))
    loaded = await ledger.load(0, ["a"], 5.0, 10, (), {"b", "c"})
    assert (list(loaded.customers), loaded.known) == (["a"], ["b"])
    loaded = await ledger.load(0, [], 5.0, 2, (), {"a", "b"})
    assert (loaded.customers, loaded.known, loaded.until) == ({}, ["b", "a"], 2.0)


async def law_the_outbox_is_read_oldest_first_and_trimmed_by_name(ledger):
    hold = await ledger.take(0)
    heads = [hold.head]
    for offset, records in ((1, [b"1", b"2"]), (2, [b"3"]), (3, [b"4"])):
        await ledger.commit(hold, commit(offset, records=records))
        heads.append(hold.head)
    entries = await ledger.outbox(0, 10)
    assert [entry.record.value for entry in entries] == [b"1", b"2", b"3", b"4"]
    assert [(entry.follows, entry.head, entry.part) for entry in entries] == [
        (heads[0], heads[1], 0),
        (heads[0], heads[1], 1),
        (heads[1], heads[2], 0),
        (heads[2], heads[3], 0),
    ]
    await ledger.trim(0, [entries[0], entries[2]])
    await ledger.commit(hold, commit(4, records=[b"5"]))
    assert [entry.record.value for entry in await ledger.outbox(0, 10)] == [b"2", b"4", b"5"]


async def law_a_commit_returns_what_it_put_out(ledger):
    hold = await ledger.take(0)
    first = await ledger.commit(hold, commit(1, records=[b"1", b"2"]))
    again = await ledger.commit(hold, commit(2, records=[b"3"]))
    assert [*first, *again] == await ledger.outbox(0)
    assert await ledger.commit(hold, commit(3)) == []


def spending(offset, used, limit, name="spring"):
    chunk = commit(offset, [f"c{offset}"], records=[b"t"] * used)
    chunk.budgets = {name: (used, limit)}
    return chunk


async def law_a_budget_is_spent_to_the_last_and_never_beyond(ledger):
    holds = [await ledger.take(n) for n in range(3)]
    for round_ in range(3):
        for hold in holds:
            await ledger.commit(hold, spending(round_ + 1, 1, 10))
    assert (await ledger.load(0, [], None, 10, ["spring", "autumn"])).spent == {"spring": 9, "autumn": 0}
    with pytest.raises(BudgetExceeded):
        await ledger.commit(holds[0], spending(10, 2, 10))
    assert (await ledger.load(0, ["c10"], None, 10, ["spring"])).customers == {"c10": None}
    await ledger.commit(holds[0], spending(10, 1, 10))  # the hold is as good as before
    for hold in holds:
        with pytest.raises(BudgetExceeded):
            await ledger.commit(hold, spending(11, 1, 10))
    await ledger.commit(holds[1], spending(11, 1, 11))  # a higher limit
    assert (await ledger.load(0, [], None, 10, ["spring"])).spent == {"spring": 11}


async def law_who_is_fenced_spends_nothing(ledger):
    sleeper = await ledger.take(0)
    await ledger.take(0)
    with pytest.raises(Fenced):
        await ledger.commit(sleeper, spending(1, 1, 10))
    assert (await ledger.load(0, [], None, 10, ["spring"])).spent == {"spring": 0}


async def law_many_states_are_read_by_who_comes_next(ledger):
    hold = await ledger.take(0)
    names = [f"c{number}" for number in range(packing.SAMPLES)]
    for offset in (1, 2, 3):
        await ledger.commit(hold, commit(offset, names))
    later = await ledger.take(0)
    found = (await ledger.load(0, names, None, 10)).customers
    assert found == {name: remembered(3.0) for name in names}
    await ledger.commit(later, commit(4, names[:1]))
    assert (await ledger.load(0, names[:1], None, 10)).customers == {names[0]: remembered(4.0)}


LAWS = [law for name, law in sorted(globals().items()) if name.startswith("law_")]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("world", ["memory", "redis"])
def test_every_ledger_obeys(world, law, services):
    async def run():
        if world == "memory":
            await law(MemoryLedger())
            return
        client = connect(services.redis)
        try:
            await law(RedisLedger(client, Keys(f"test-{secrets.token_hex(6)}-")))
        finally:
            await client.aclose()

    asyncio.run(run())


def test_a_dictionary_is_written_with_the_states_that_need_it_and_not_by_who_is_fenced(services, monkeypatch):
    monkeypatch.setattr(packing, "LEARN_AFTER", packing.SAMPLES)
    names = [f"c{number}" for number in range(packing.SAMPLES)]

    def long(offset):
        chunk = commit(offset, names)
        for number, name in enumerate(names):
            state = CustomerState(seen_at=float(offset), orders=number, channels={"a shop in the street": number})
            chunk.states[name] = encode_remembered(Remembered(state))
        return chunk

    async def run():
        client = connect(services.redis)
        keys = Keys(f"test-{secrets.token_hex(6)}-")
        ledger, other = RedisLedger(client, keys), RedisLedger(client, keys)
        try:
            hold = await ledger.take(0)
            await ledger.commit(hold, long(1))
            late = await other.take(0)
            with pytest.raises(Fenced):
                await ledger.commit(hold, long(2))  # it has learned one
            assert await client.hget(keys.shard(0), "words") is None
            await other.commit(late, long(2))
            await other.commit(late, long(3))
            assert await client.hget(keys.shard(0), "words")
            await other.commit(late, long(4))
            plain, stored = long(4).states["c9"], await client.hget(keys.state(0), "c9")
            assert len(stored) < 0.7 * len(plain)
            await ledger.take(0)
            found = (await ledger.load(0, names, None, 10)).customers
            assert [one.state.orders for one in found.values()] == list(range(packing.SAMPLES))
        finally:
            await client.aclose()

    asyncio.run(run())
