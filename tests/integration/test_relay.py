"""What leaves, on a real broker that has lost what it had acknowledged, or refuses what is too large for it."""

import asyncio
import secrets

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

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


def test_a_letter_that_the_broker_finds_too_large_goes_without_its_body_and_the_next_ones_go_too(services):
    prefix = f"test-{secrets.token_hex(6)}-"
    ensure_topics(services.broker, prefix, 1)
    name = f"{prefix}dead-letters"
    less = ConfigEntry("max.message.bytes", "20000", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=[less])
    admin = AdminClient({"bootstrap.servers": services.broker})
    for done in admin.incremental_alter_configs([resource]).values():
        done.result(20)
    answers = []  # it takes a moment until the broker goes by it
    probe = Producer({"bootstrap.servers": services.broker})
    while not any(error is not None and error.code() == KafkaError.MSG_SIZE_TOO_LARGE for error in answers):
        probe.produce(name, b"x" * 50_000, b"probe", on_delivery=lambda error, _: answers.append(error))
        probe.flush(10)

    def letter(head, size):
        ours = (("streamscore-reason", b"invalid"), ("streamscore-offset", str(head).encode()))
        return [Entry(head, 0, head - 1, Outgoing("dead-letters", b"k", b"x" * size, (("own", None), *ours)))]

    async def test():
        relay = RelayThread(services.broker, prefix)
        await relay.start()
        for head, size in enumerate((10, 50_000, 20, 60_000, 30)):
            await relay.send(0, letter(head, size))
        await relay.stop()

    asyncio.run(test())
    consumer = Consumer({"bootstrap.servers": services.broker, "group.id": "none", "enable.auto.commit": False})
    consumer.assign([TopicPartition(name, 0, 0)])
    found = {}
    while len(found) < 5 and (message := consumer.poll(10)) is not None:
        if message.key() != b"probe":
            found[dict(message.headers())["streamscore-offset"]] = len(message.value() or b"")
    consumer.close()
    assert found == {b"0": 10, b"1": 0, b"2": 20, b"3": 0, b"4": 30}
