"""Sending dead letters again on real Kafka: one that cannot be sent is named, and keeps no other back."""

import json
import secrets
from types import SimpleNamespace

import confluent_kafka
import kafka
import pytest
from kafka import TopicPartition
from kafka.admin import NewTopic
from typer.testing import CliRunner

from streams.cli import app
from streams.kafka.topics import ensure_topics

TAKES = 3_000_000
"""Bytes that the topic takes: more than `dead-letters` does, so that letters of large records have no value."""


@pytest.fixture
def shop(services, operator):
    """Topics of their own, and a way to write letters and records into them."""
    prefix = f"again-{secrets.token_hex(4)}-"
    admin = kafka.KafkaAdminClient(bootstrap_servers=services.broker)
    large = {"max.message.bytes": str(TAKES)}  # from the beginning: a change takes a while to be one
    admin.create_topics([NewTopic(f"{prefix}transactions", 1, 1, topic_configs=large)])
    admin.close()
    ensure_topics(services.broker, prefix, 1)
    producer = confluent_kafka.Producer({"bootstrap.servers": services.broker, "message.max.bytes": 2 * TAKES})

    def write(name, value, headers=(), key=b"c1"):
        offsets = []
        producer.produce(
            prefix + name, value, key, 0, headers=list(headers), on_delivery=lambda error, found: offsets.append(
                found.offset() if error is None else error
            ),
        )  # fmt: skip
        assert producer.flush(30) == 0
        assert isinstance(offsets[0], int), offsets
        return offsets[0]

    def letter(offset, value=b"{}", headers=(), key=b"c1", partition=0):
        place = {"topic": "transactions", "partition": str(partition), "offset": str(offset)}
        ours = {"reason": "invalid", "detail": "x"} | place
        told = [(f"streamscore-{name}", text.encode()) for name, text in ours.items()]
        write("dead-letters", value, [*headers, *told], key)

    def ask(*arguments, code=0):
        env = {
            "STREAMSCORE_BROKER": services.broker, "STREAMSCORE_REDIS": services.redis, "STREAMSCORE_PREFIX": prefix,
            **operator,
        }  # fmt: skip
        done = CliRunner().invoke(app, ["dead-letters", *arguments], env=env)
        assert done.exit_code == code, (done.output, done.exception)
        return json.loads(done.stdout) if "--json" in arguments else done.stdout

    def arrived():
        consumer = kafka.KafkaConsumer(bootstrap_servers=services.broker, max_partition_fetch_bytes=20 * TAKES)
        tp = TopicPartition(f"{prefix}transactions", 0)
        consumer.assign([tp])
        consumer.seek_to_beginning(tp)
        end, found = consumer.end_offsets([tp])[tp], []
        while consumer.position(tp) < end:
            found += consumer.poll(500).get(tp, [])
        consumer.close()
        return found

    return SimpleNamespace(write=write, letter=letter, ask=ask, arrived=arrived)


def test_a_header_without_a_value_is_sent_again_as_it_came(shop):
    for offset, headers in ((100, ()), (101, [("trace", None), ("streamscore-attempts", None)]), (102, ())):
        shop.letter(offset, b"%d" % offset, headers)
    assert shop.ask("replay", "--send", "--json")["sent"] == 3
    found = shop.arrived()
    assert [one.value for one in found] == [b"100", b"101", b"102"]
    assert found[1].headers[0] == ("trace", None)
    assert dict(found[1].headers)["streamscore-attempts"] == b"1"


def test_what_cannot_be_sent_is_named_and_the_others_go_on(shop):
    lies = shop.write("transactions", b"l" * (TAKES - 110))
    fits = shop.write("transactions", b"f" * 2_500_000)
    shop.letter(100, b"first")
    shop.letter(lies, None, key=b"c1")  # with our headers it is above what the topic takes
    shop.letter(fits, None)
    shop.letter(99, None)  # the record is not there any more
    shop.letter(101, b"last")
    dry = shop.ask("replay", "--json")
    cannot = {one["record"]: one["why"] for one in dry["unsendable"]}
    assert set(cannot) == {f"transactions-0@{lies}", "transactions-0@99"}
    assert f"{TAKES:,}" in cannot[f"transactions-0@{lies}"]
    assert "not in" in cannot["transactions-0@99"]
    said = shop.ask("replay", "--send")
    assert "3 letters sent" in said
    assert f"transactions-0@{lies}" in said
    assert [one.value[:5] for one in shop.arrived()[2:]] == [b"first", b"fffff", b"last"]
    again = shop.ask("replay", "--send", "--json")
    assert (again["sent"], again["replayed"], len(again["unsendable"])) == (0, 3, 2)


def test_letters_of_partitions_that_are_gone_keep_no_other_back(shop):
    shop.letter(5, b"anonymous", key=None, partition=7)
    shop.letter(6, None, partition=7)
    shop.letter(7, b"last")
    done = shop.ask("replay", "--send", "--json")
    assert [(one["record"], "not in" in one["why"]) for one in done["unsendable"]] == [("transactions-7@6", True)]
    assert [one.value for one in shop.arrived()] == [b"anonymous", b"last"]


def test_what_the_broker_alone_knows_to_be_too_large_keeps_no_other_back(shop, monkeypatch):
    monkeypatch.setattr("streams.kafka.again.limits", lambda *_: {})  # who may not read a topic's settings
    lies = shop.write("transactions", b"l" * (TAKES - 110))
    letters = [100, lies, *range(101, 110)]
    for offset in letters:
        shop.letter(offset, None if offset == lies else b"%d" % offset)
    done = shop.ask("replay", "--send", "--json")
    assert (done["sent"], [one["record"] for one in done["unsendable"]]) == (10, [f"transactions-0@{lies}"])
    assert sorted(int(one.value) for one in shop.arrived()[1:]) == [100, *range(101, 110)]
