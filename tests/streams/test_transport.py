"""The consumer's own seeking, beside a Faust that does what the test says."""

import asyncio
from types import SimpleNamespace

import pytest

from streams.kafka import transport
from streams.kafka.transport import _Consumer


@pytest.fixture
def consumer(monkeypatch):
    monkeypatch.setattr(transport, "SEEK_SECONDS", 0.05)
    made = object.__new__(_Consumer)  # without Faust and Kafka
    made._seeking = {}
    made.assignment = lambda: {1, 2}
    return made


def test_shards_that_take_long_do_not_hold_faust_up_and_are_taken_all_the_same(consumer):
    async def test():
        taken, go = [], asyncio.Event()

        async def assigned(tps):
            await go.wait()
            taken.append(tps)

        consumer.app = SimpleNamespace(assigned=assigned)
        await asyncio.wait_for(consumer.perform_seek(), 5)
        assert taken == []
        go.set()
        await asyncio.wait_for(asyncio.gather(*consumer._seeking), 5)
        assert taken == [{1, 2}]

    asyncio.run(test())


def test_an_assignment_that_is_over_is_taken_no_further(consumer):
    async def test():
        taken = []

        async def assigned(tps):
            await asyncio.sleep(0.1 if 2 in tps else 0)
            taken.append(tps)

        consumer.app = SimpleNamespace(assigned=assigned)
        first = asyncio.create_task(consumer.perform_seek())
        await asyncio.sleep(0.01)
        consumer.assignment = lambda: {1}
        await consumer.perform_seek()
        await first  # it ends, and is not cancelled: Faust would take that for its own end
        await asyncio.sleep(0.2)
        assert taken == [{1}]

    asyncio.run(test())


def test_two_calls_for_one_assignment_do_not_disturb_each_other(consumer):
    async def test():
        taken = []

        async def assigned(tps):
            await asyncio.sleep(0.02)
            taken.append(tps)

        consumer.app = SimpleNamespace(assigned=assigned)
        await asyncio.gather(consumer.perform_seek(), consumer.perform_seek())
        assert taken == [{1, 2}, {1, 2}]
        assert consumer._seeking == {}

    asyncio.run(test())


def test_what_is_cancelled_or_fails_does_so_inside_too(consumer):
    async def test():
        ended = []

        async def assigned(_tps):
            try:
                await asyncio.sleep(5)
            finally:
                ended.append(True)

        consumer.app = SimpleNamespace(assigned=assigned)
        task = asyncio.create_task(consumer.perform_seek())
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0.01)
        assert ended == [True]

        async def broken(_tps):
            raise RuntimeError("no")

        consumer.app = SimpleNamespace(assigned=broken)
        with pytest.raises(RuntimeError, match="no"):
            await consumer.perform_seek()

    asyncio.run(test())
