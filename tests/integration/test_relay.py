"""What leaves, on a real broker that has lost what it had acknowledged."""

import asyncio

from chaos.stack import stack
from schemas.commit import Outgoing
from streams.errors import Unavailable
from streams.kafka.relay import RelayThread
from streams.kafka.topics import ensure_topics
from streams.ledger import Entry


def entries(head):
    return [Entry(head, 0, head - 1, Outgoing("examples", b"churn", b"x" * 200, ()))]


def cut(folder):
    """Leave the head of a partition's log, as a power cut may."""
    (log,) = folder.rglob("examples-0/*.log")
    with log.open("r+b") as file:
        file.truncate(log.stat().st_size * 2 // 5)
    for snapshot in log.parent.glob("*.snapshot"):  # of the producers
        snapshot.unlink()


def test_a_broker_that_has_lost_records_is_sent_to_again_without_a_restart(tmp_path):
    async def test(own):
        relay = RelayThread(own.broker, "")
        await relay.start()
        for head in range(5):
            await relay.send(0, entries(head))
        (broker,) = own.brokers
        broker.kill()
        cut(tmp_path)
        broker.start()
        await asyncio.to_thread(own.await_kafka)
        refused = 0
        for _ in range(20):
            try:
                await relay.send(0, entries(5))
                break
            except Unavailable:
                refused += 1
        else:
            raise AssertionError("it is never sent to again")
        assert refused  # or the test has cut nothing
        await relay.send(0, entries(6))
        await relay.stop()

    with stack(tmp_path) as own:
        ensure_topics(own.broker, "", 1)
        asyncio.run(test(own))
