"""Letters sent again: the rate, and what is remembered when something goes wrong."""

import asyncio
import time

import aiokafka
import pytest

from streams.errors import Unavailable
from streams.kafka import again
from streams.kafka.dlq import Letter


def letters(many):
    told = {"topic": "transactions", "partition": 0, "reason": "invalid", "detail": "", "at": 0.0, "key": b"c1"}
    return [Letter(**told, value=b"{}", offset=n, first=f"transactions-0@{n}") for n in range(many)]


class Producer:
    """Takes everything but what `fails` names, at once."""

    def __init__(self, fails=()):
        self.fails, self.at = fails, []

    async def start(self):
        pass

    async def stop(self):
        pass

    async def partitions_for(self, topic):
        return {0}

    async def send(self, topic, value, **more):
        future = asyncio.get_running_loop().create_future()
        error = self.fails and self.fails.get(len(self.at))
        self.at.append(time.monotonic())
        future.set_exception(error) if error else future.set_result(None)
        return future


@pytest.fixture
def producer(monkeypatch):
    made = Producer()
    monkeypatch.setattr(again.aiokafka, "AIOKafkaProducer", lambda **_: made)
    return made


def send(some, taken, told=lambda *_: None, rate=10_000.0):
    return again.send_again(some, "nowhere:9092", "", rate, taken.extend, told)


def test_after_a_wait_the_rate_is_no_higher(producer):
    def slow():
        for number, one in enumerate(letters(30)):
            if number == 1:
                time.sleep(0.5)
            yield one

    send(slow(), [], rate=100.0)
    assert producer.at[-1] - producer.at[1] > 0.25  # 28 letters at 100/s; all at once if what was missed is made up for


def test_what_was_taken_is_remembered_whatever_else_went_wrong(producer):
    some, taken = letters(5), []
    producer.fails = {1: aiokafka.errors.KafkaTimeoutError()}
    with pytest.raises(Unavailable):
        send(some, taken)
    assert taken == [some[0], *some[2:]]


def test_one_that_is_refused_is_told_and_no_other_waits(producer):
    some, taken, told = letters(5), [], []
    producer.fails = {1: aiokafka.errors.MessageSizeTooLargeError()}
    assert send(some, taken, lambda letter, why: told.append(letter)) == 4
    assert (taken, told) == ([some[0], *some[2:]], [some[1]])
