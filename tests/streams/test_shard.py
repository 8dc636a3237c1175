"""One shard over the fake ledger: floods, budgets, what it tells the learner."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from models.campaigns.campaign import parse
from models.customers.features import NATURAL
from models.policy import DAY, Policy
from models.serving_set import ServingSet
from models.shard import Shop
from schemas.codec import encode, topic_of
from schemas.commit import Arrived
from schemas.decisions import decode_trigger
from schemas.events import Customer, Line, Purchase
from streams import shard as module
from streams.errors import BudgetExceeded, Flood
from streams.memory.ledger import MemoryLedger
from streams.outgoing import read_examples
from streams.shard import STORED_TICK, Shard

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
MODELS = ServingSet()
NEVER = float("-inf")


def campaign(**fields):
    text = """
    id = "hello"
    name = "Hello"
    channel = "email"
    when = ["purchase"]
    audience = "features.orders >= 1.0"
    cap = { contacts = 100, days = 1 }
    cooldown_days = 0
    hold_out = 0.25
    consent = false
    expires_hours = 24
    """ + "\n".join(f"{name} = {value}" for name, value in fields.items())
    return parse(text, "hello.toml", NATURAL, ZoneInfo("UTC"))


def purchase(number, customer="a", at=START, minutes=0):
    return Purchase(
        event_id=f"e{number}", customer_id=customer, occurred_at=at + timedelta(minutes=minutes), currency="GBP",
        channel="web", lines=(Line(product_id="p", quantity=1, unit_price=1),),
    )  # fmt: skip


def arrived(offset, event, partition=0, refused=None):
    at = event.occurred_at.timestamp()
    return Arrived(topic_of(event), partition, offset, at, b"k", encode(event), (), event, at, refused)


async def shard_of(ledger, shop, partition=0, chunk_size=500):
    return Shard(await ledger.take(partition), ledger, shop, chunk_size)


async def step(shard, **given):
    return await shard.step(lambda _topic: True, MODELS, NEVER, **given)


async def drain(shard):
    done = []
    while (one := await step(shard)) is not None:
        done.append(one)
    return done


def stands(done):
    """Rows of `sales` that a chunk sent: (time, idle)."""
    rows = []
    for entry in done.entries:
        if entry.record.topic == "examples":
            task, some = read_examples(entry.record.value)
            rows += [(row["time"], row["idle"]) for row in some if task == "sales"]
    return rows


# A flood.


def flood(n, share):
    """Every record of a share is refused, evenly spread."""
    for offset in range(n):
        bad = int((offset + 1) * share) > int(offset * share)
        yield arrived(
            offset, purchase(offset, f"c{offset % 50}", minutes=offset), refused=("odd", "no") if bad else None
        )


@pytest.mark.parametrize("chunk_size", [7, 100, 500])
def test_a_flood_of_poison_stops_the_shard_and_again_after_a_restart(chunk_size):
    async def test():
        ledger, shop = MemoryLedger(), Shop(Policy(poison_share=0.5))
        records = list(flood(3_000, 0.9))
        for _ in range(3):  # a supervisor starts it again and again
            shard = await shard_of(ledger, shop, chunk_size=chunk_size)
            shard.receive(records[shard.hold.place.topics["transactions"].next :])
            with pytest.raises(Flood, match=r"transactions-0 .* last at offset \d+ \(odd: no\)"):
                await drain(shard)
        letters = [entry for entry in await ledger.outbox(0) if entry.record.topic == "dead-letters"]
        assert 300 < len(letters) < 900
        assert len({entry.record.headers for entry in letters}) == len(letters)
        open_ = Shop(Policy(poison_share=1.0))
        shard = await shard_of(ledger, open_, chunk_size=chunk_size)
        shard.receive(records[shard.hold.place.topics["transactions"].next :])
        await drain(shard)
        assert shard.hold.place.totals["dead_letter"] == 2_700

    asyncio.run(test())


def test_much_poison_that_is_no_flood_goes_to_the_dead_letters():
    async def test():
        shard = await shard_of(MemoryLedger(), Shop(Policy(poison_share=0.5)))
        shard.receive(flood(5_000, 0.45))
        await drain(shard)
        assert shard.hold.place.totals["dead_letter"] == 2_250

    asyncio.run(test())


# Budgets.


@pytest.mark.parametrize("limit", [0, 1, 17, 1_000])
def test_shards_that_share_a_budget_spend_it_to_the_last_and_no_more(limit):
    async def test():
        ledger = MemoryLedger()
        shop = Shop(Policy(), (campaign(budget=limit),), 3)
        shards = [await shard_of(ledger, shop, n, chunk_size=20) for n in range(3)]
        for n, shard in enumerate(shards):
            shard.receive(arrived(i, purchase(i, f"c{n}-{i % 40}", minutes=i), n) for i in range(100))
        await asyncio.gather(*map(drain, shards))
        triggers = [
            decode_trigger(entry.record.value)
            for n in range(3)
            for entry in await ledger.outbox(n)
            if entry.record.topic == "triggers"
        ]
        contacts = sum(not trigger.withheld for trigger in triggers)
        totals = Counter()
        for shard in shards:
            totals.update(shard.hold.place.totals)
        assert contacts == min(limit, 300 - totals["suppressed:hello:hold_out"])
        assert ledger.spent.get("hello", 0) == totals.get("trigger:hello", 0) == contacts
        decided = contacts + totals["suppressed:hello:hold_out"] + totals["suppressed:hello:budget"]
        assert decided == totals["scored"] == 300

    asyncio.run(test())


class Slow(MemoryLedger):
    """Lets others in between reading what is spent and the commit, as the network does."""

    refused = 0

    async def load(self, *given):
        loaded = await super().load(*given)
        await asyncio.sleep(0)
        return loaded

    async def commit(self, hold, commit):
        try:
            return await super().commit(hold, commit)
        except BudgetExceeded:
            self.refused += 1
            raise


def test_a_chunk_that_overspends_is_decided_again_from_the_same_states():
    async def test(ledger):
        shop = Shop(Policy(), (campaign(budget=30),), 2)
        shards = [await shard_of(ledger, shop, n) for n in range(2)]
        for n, shard in enumerate(shards):
            shard.receive(arrived(i, purchase(i, f"c{n}-{i % 5}", minutes=i), n) for i in range(50))
        await asyncio.gather(*map(drain, shards))
        found = [shard.hold.place.totals for shard in shards]
        facts = {name: fields["orders"] for name, fields in ledger.scores.items()}
        return facts, sum(totals.get("trigger:hello", 0) for totals in found), sum(t["scored"] for t in found)

    calm = asyncio.run(test(MemoryLedger()))
    slow = Slow()
    raced = asyncio.run(test(slow))
    assert slow.refused == 1
    assert raced == calm == ({f"c{n}-{i}": "10" for n in range(2) for i in range(5)}, 30, 100)


# What it tells.


def test_the_learner_is_told_of_days_of_idleness_and_of_its_end():
    async def test():
        shard = await shard_of(MemoryLedger(), Shop(Policy()))
        shard.receive([arrived(0, purchase(0))])
        at = START.timestamp()
        assert stands(await step(shard)) == [(at, False)]
        assert await step(shard) is None
        assert stands(await step(shard, idle=True)) == [(at, True)]
        assert await step(shard, idle=True, tell=True) is None  # it knows
        hello = Customer(event_id="h", customer_id="a", occurred_at=START + timedelta(minutes=5))
        shard.receive([arrived(0, hello)])
        assert stands(await step(shard)) == [(at + 300, False)]  # no sale, but no longer idle
        late = Customer(event_id="i", customer_id="a", occurred_at=START + timedelta(minutes=9))
        shard.receive([arrived(1, late)])
        assert stands(await step(shard)) == []
        assert stands(await step(shard, tell=True)) == [(at + 540, False)]
        tomorrow = Customer(event_id="j", customer_id="a", occurred_at=START + timedelta(hours=13))
        shard.receive([arrived(2, tomorrow)])
        assert stands(await step(shard)) == [(at + 13 * 3600, False)]

    asyncio.run(test())


def test_another_topic_that_is_ahead_of_transactions_does_not_say_that_days_are_over():
    async def test():
        shard = await shard_of(MemoryLedger(), Shop(Policy()))
        shard.receive([arrived(0, purchase(0))])
        at = START.timestamp()
        assert stands(await step(shard, sold_to=at - 900)) == [(at, False)]
        tomorrow = Customer(event_id="h", customer_id="a", occurred_at=START + timedelta(days=1))
        shard.receive([arrived(0, tomorrow)])
        assert stands(await step(shard, sold_to=at - 900)) == [(at, False)]
        assert shard.hold.place.time == at + DAY
        assert await step(shard, sold_to=at - 900, tell=True) is None  # it knows
        assert stands(await step(shard, sold_to=at + 600, tell=True)) == [(at + 600, False)]
        assert stands(await step(shard, sold_to=at + 2 * DAY, tell=True)) == [(at + DAY, False)]
        shard.receive([arrived(1, purchase(1, minutes=5))])
        assert stands(await step(shard, sold_to=at + 600)) == [(at + 600, False)]
        assert stands(await step(shard, sold_to=at + 600, idle=True)) == [(at + DAY, True)]

    asyncio.run(test())


def test_a_new_holder_tells_at_once_that_the_shard_is_not_idle_any_more():
    async def test():
        ledger = MemoryLedger()
        shard = await shard_of(ledger, Shop(Policy()))
        shard.receive([arrived(0, purchase(0))])
        await step(shard)
        await step(shard, idle=True)
        again = await shard_of(ledger, Shop(Policy()))
        again.receive([arrived(0, Customer(event_id="h", customer_id="a", occurred_at=START))])
        assert stands(await step(again)) == [(START.timestamp(), False)]

    asyncio.run(test())


def test_an_error_of_ours_says_which_records_it_was_about(monkeypatch):
    def broken(*_given):
        raise KeyError("ours")

    async def test():
        shard = await shard_of(MemoryLedger(), Shop(Policy()))
        shard.receive([arrived(n, purchase(n)) for n in range(4, 9)])
        monkeypatch.setattr(module, "handle", broken)
        with pytest.raises(KeyError) as raised:
            await step(shard)
        assert raised.value.__notes__ == ["in a chunk of shard 0: transactions 4 to 8"]
        assert (await shard.ledger.take(0)).place.topics == {}  # nothing is acknowledged

    asyncio.run(test())


# Ticks.


def test_time_moves_without_events_and_is_stored_when_something_comes_of_it():
    async def test():
        ledger = MemoryLedger()
        shard = await shard_of(ledger, Shop(Policy()))
        shard.receive([arrived(0, purchase(0))])
        await step(shard)
        at = START.timestamp()
        assert await step(shard, tick=at - 5) is None
        assert await step(shard, tick=at + STORED_TICK / 2) is None  # nothing is due: it is not worth a write
        assert await step(shard, tick=at + STORED_TICK) is not None
        assert shard.hold.place.time == at + STORED_TICK
        done = await step(shard, tick=at + 8 * DAY)  # a week of silence
        assert done.commit.scores["a"]["updated_at"].startswith("2026-03-08T12:00:00")
        assert (await ledger.take(0)).place.time == at + 8 * DAY

    asyncio.run(test())


def test_more_timers_than_a_commit_may_hold_are_several_commits():
    async def test():
        shard = await shard_of(MemoryLedger(), Shop(Policy()), chunk_size=10)
        shard.receive(arrived(i, purchase(i, f"c{i}", minutes=i % 3)) for i in range(95))
        await drain(shard)
        sizes, tick = [], START.timestamp() + 7 * DAY + 300
        while (done := await step(shard, tick=tick)) is not None:
            sizes.append(len(done.commit.states))
        assert sum(sizes) >= 95
        assert max(sizes) <= 10
        assert shard.hold.place.time == tick

    asyncio.run(test())


def test_years_of_silence_are_several_commits_whose_records_are_small():
    """Each customer is drawn once a month, so that in 15 years a few hundred make a row of megabytes."""

    async def test():
        ledger = MemoryLedger()
        shard = await shard_of(ledger, Shop(Policy()), chunk_size=400)
        shard.receive(arrived(i, purchase(i, f"c{i}", minutes=i % 3)) for i in range(300))
        await drain(shard)
        drawn, tick = [], START.timestamp() + 15 * 365 * DAY
        while (done := await step(shard, tick=tick)) is not None:
            rows = done.commit.examples.get("segments", [])
            drawn.append(sum(len(row["drawn"]) for row in rows))
        assert shard.hold.place.time == tick
        assert sum(drawn) == pytest.approx(300 * 15 * 365 / 30, rel=0.01)
        assert max(drawn) <= 2 * 400 + 300
        largest = max(len(entry.record.value) for entry in await ledger.outbox(0, 100_000))
        assert largest < 600_000

    asyncio.run(test())


def test_a_shop_that_sells_once_a_year_is_cut_too():
    async def test():
        found = []
        for chunk_size in (5, 400):
            ledger = MemoryLedger()
            shard = await shard_of(ledger, Shop(Policy()), chunk_size=chunk_size)
            shard.receive(arrived(i, purchase(i, f"c{i % 3}", minutes=i * 365 * 24 * 60)) for i in range(12))
            await drain(shard)
            found.append((ledger.shards[0].states, ledger.scores, shard.hold.place.time))
        assert found[0] == found[1]

    asyncio.run(test())


def test_many_draws_of_one_commit_are_several_rows(monkeypatch):
    """A row is not cut when records are, and must fit into one."""
    monkeypatch.setattr("models.shard.write.DRAWN", 100)

    async def test():
        shard = await shard_of(MemoryLedger(), Shop(Policy()), chunk_size=400)
        shard.receive(arrived(i, purchase(i, f"c{i}", minutes=i % 3)) for i in range(350))
        await drain(shard)
        done = await step(shard, tick=START.timestamp() + 31 * DAY)
        rows = done.commit.examples["segments"]
        assert [len(row["drawn"]) for row in rows[:3]] == [100, 100, 100]
        assert sum(len(row["drawn"]) for row in rows) >= 350
        assert all(not row["moves"] and row["kept"] == [0, 0] for row in rows[1:])

    asyncio.run(test())
