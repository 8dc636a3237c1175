"""The relay: what must stay in order does, and what Kafka refuses for its size still says where it lies."""

import asyncio
import time

import aiokafka.errors
import pytest

from schemas.commit import Outgoing
from streams.errors import Misconfigured, Unavailable
from streams.kafka import relay as module
from streams.kafka.relay import Relay, RelayThread
from streams.ledger import Entry


class Producer:
    """Acknowledges when the test says, refuses what is too large, fails what it is told to."""

    def __init__(self):
        self.sent, self.open, self.limit, self.failing = [], [], 10_000, set()
        self.limit_all = 1_000_000

    async def partitions_for(self, _topic):
        return {0}

    async def send(self, topic, value, key, partition, headers):
        size = sum(len(one or b"") for one in (key, value, *(body for _, body in headers)))
        if (value is not None and len(value) > self.limit) or size > self.limit_all:
            raise aiokafka.errors.MessageSizeTooLargeError
        answer = asyncio.get_running_loop().create_future()
        self.sent.append((topic, key, value, dict(headers)))
        if value in self.failing:
            answer.set_exception(aiokafka.errors.KafkaTimeoutError())
        else:
            self.open.append(answer)
        return answer

    async def acknowledge(self):
        """Let everybody run, and acknowledge what is out."""
        for _ in range(20):
            await asyncio.sleep(0)
        for answer in self.open:
            if not answer.done():
                answer.set_result(None)
        self.open = []


def entry(head, part, topic, key, value):
    return Entry(head, part, head - 1, Outgoing(topic, key, value, (("h", b"1"),)))


def relay():
    made = object.__new__(Relay)  # without a client of Kafka
    made.prefix, made.producer = "", Producer()
    return made


def values(made):
    return [value for _, _, value, _ in made.producer.sent]


def test_parts_of_one_task_go_one_by_one_and_commits_one_after_the_other():
    async def test():
        made = relay()
        entries = [
            entry(5, 0, "triggers", b"a", b"t0"),
            entry(5, 1, "triggers", b"b", b"t1"),
            entry(5, 2, "examples", b"churn", b"c0"),
            entry(5, 3, "examples", b"churn", b"c1"),
            entry(5, 4, "examples", b"value", b"v0"),
            entry(6, 0, "triggers", b"a", b"t2"),
        ]
        task = asyncio.create_task(made.send(0, entries))
        await asyncio.sleep(0.01)
        assert sorted(values(made)) == [b"c0", b"t0", b"t1", b"v0"]
        await made.producer.acknowledge()
        await asyncio.sleep(0.01)
        assert values(made)[4:] == [b"c1"]
        await made.producer.acknowledge()
        await asyncio.sleep(0.01)
        assert values(made)[5:] == [b"t2"]
        await made.producer.acknowledge()
        await asyncio.wait_for(task, 5)
        assert made.producer.sent[4][3] == {"h": b"1", "shard": b"0", "head": b"5", "part": b"3", "follows": b"4"}

    asyncio.run(test())


def test_what_failed_is_not_overtaken():
    async def test():
        made = relay()
        made.producer.failing = {b"c0"}
        with pytest.raises(Unavailable):
            await made.send(0, [entry(5, 0, "examples", b"churn", b"c0"), entry(5, 1, "examples", b"churn", b"c1")])
        assert values(made) == [b"c0"]

    asyncio.run(test())


def test_a_dead_letter_that_is_too_large_goes_without_its_body():
    async def test():
        made = relay()
        task = asyncio.create_task(made.send(0, [entry(5, 0, "dead-letters", b"k", b"x" * 20_000)]))
        await asyncio.sleep(0.01)
        await made.producer.acknowledge()
        await asyncio.wait_for(task, 5)
        ((topic, key, value, headers),) = made.producer.sent
        assert (topic, key, value, headers["h"]) == ("dead-letters", b"k", None, b"1")

    asyncio.run(test())


def test_a_dead_letter_whose_own_key_or_headers_are_too_large_goes_with_ours_alone():
    async def test():
        made = relay()
        made.producer.limit_all = 5_000
        ours = (("streamscore-reason", b"invalid"), ("streamscore-offset", b"7"))
        own = (("streamscore-reason", b"of before"), ("big", b"x" * 9_000), ("none", None))
        letter = Outgoing("dead-letters", b"k" * 20, b"{", (*own, *ours))
        task = asyncio.create_task(made.send(0, [Entry(5, 0, 4, letter)]))
        await asyncio.sleep(0.01)
        await made.producer.acknowledge()
        await asyncio.wait_for(task, 5)
        ((topic, key, value, headers),) = made.producer.sent
        assert (topic, key, value) == ("dead-letters", None, None)
        assert headers.keys() == {"streamscore-reason", "streamscore-offset", "shard", "head", "part", "follows"}
        assert headers["streamscore-reason"] == b"invalid"

    asyncio.run(test())


def test_anything_else_that_is_too_large_is_an_error():
    async def test():
        with pytest.raises(Misconfigured, match=r"max\.message\.bytes"):
            await relay().send(0, [entry(5, 0, "triggers", b"k", b"x" * 20_000)])

    asyncio.run(test())


# On its own thread.


@pytest.fixture
def threaded(monkeypatch):
    made = relay()
    monkeypatch.setattr(module, "Relay", lambda _broker, _prefix: made)

    async def nothing(_self):
        pass

    monkeypatch.setattr(Relay, "start", nothing)
    monkeypatch.setattr(Relay, "stop", nothing)
    return made, RelayThread("none:1", "")


def test_it_sends_while_the_shards_loop_is_busy(threaded):
    made, thread = threaded

    async def test():
        await thread.start()
        task = asyncio.create_task(thread.send(0, [entry(5, 0, "triggers", b"a", b"t0")]))
        await asyncio.sleep(0)
        time.sleep(0.5)  # noqa: ASYNC251 - as a chunk that is handled
        assert values(made) == [b"t0"]
        await acknowledge(made, thread)
        await asyncio.wait_for(task, 5)
        await thread.stop()
        assert not thread._thread.is_alive()

    asyncio.run(test())


def test_what_fails_on_the_thread_fails_here_and_what_is_cancelled_here_ends_there(threaded):
    made, thread = threaded

    async def test():
        await thread.start()
        made.producer.failing = {b"bad"}
        with pytest.raises(Unavailable):
            await thread.send(0, [entry(5, 0, "triggers", b"a", b"bad")])
        task = asyncio.create_task(
            thread.send(0, [entry(6, 0, "triggers", b"a", b"t0"), entry(7, 0, "triggers", b"a", b"t1")])
        )
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await acknowledge(made, thread)
        await asyncio.sleep(0.2)
        assert values(made) == [b"bad", b"t0"]  # the next commit's never went
        await thread.stop()

    asyncio.run(test())


async def acknowledge(made, thread):
    await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(made.producer.acknowledge(), thread._loop))


def test_who_sends_after_the_end_is_told_so():
    """A shard that is let go while the worker ends must not end it with an error."""

    async def run():
        relay = RelayThread("127.0.0.1:1", "")
        relay._relay = Relay("127.0.0.1:1", "")
        await relay.stop()
        with pytest.raises(Unavailable):
            await relay.send(0, [])

    asyncio.run(run())
