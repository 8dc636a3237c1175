"""The order's own rules: floods, jumps, and how much one chunk takes."""

from collections import deque
from datetime import UTC, datetime

import pytest

from models.order import AGREE, MAX_BYTES, in_order
from models.policy import DAY, Policy
from schemas.codec import INPUT_TOPICS
from schemas.commit import Arrived, Place, TopicPlace
from schemas.events import Customer, Forgotten

POLICY = Policy(max_jump=10 * DAY)
NOW = 100 * DAY


def record(offset, at, customer="a", size=2, refused=None, topic="transactions", kind=Customer):
    when = datetime.fromtimestamp(at, UTC)
    event = kind(event_id=f"e{offset}", customer_id=customer, occurred_at=when)
    return Arrived(topic, 0, offset, at, b"k", b"x" * size, (), None if refused else event, at, refused)


def place():
    return Place({topic: TopicPlace() for topic in INPUT_TOPICS})


def take(records, at=None, limit=10_000, cut=10_000):
    """Take in chunks of `cut`, from a place as it comes back from Redis each time."""
    inboxes = {topic: deque() for topic in INPUT_TOPICS}
    inboxes["transactions"].extend(records)
    at = at or place()
    found = []
    while some := list(in_order(inboxes, at, POLICY, lambda _topic: True, min(cut, limit - len(found)))):
        found += some
    return found, at


def known(count):
    """Records in their time, one of each of so many customers."""
    return [record(-n, NOW, f"known{n}") for n in range(count)]


def reasons(items):
    return [item.arrived.refused and item.arrived.refused[0] for item in items]


@pytest.mark.parametrize("cut", [1, 3, 100])
def test_ten_customers_who_agree_about_a_time_far_ahead_are_believed(cut):
    far = NOW + 40 * DAY
    jumps = [record(n + 1, far + n * DAY / 10, f"c{n}") for n in range(AGREE + 2)]
    items, at = take([*known(AGREE + 3), *jumps], cut=cut)
    assert reasons(items) == [*[None] * (AGREE + 3), *["time_jump"] * AGREE, None, None]
    assert at.time == far + (AGREE + 1) * DAY / 10
    assert at.topics["transactions"].jumps == ()


@pytest.mark.parametrize("cut", [1, 3, 100])
@pytest.mark.parametrize("count", [1, 2, 5, 9])
def test_as_many_customers_are_enough_as_were_believed_before(count, cut):
    """A shard of few customers whose first record was of a clock that was wrong by years goes on soon."""
    old = [record(n, NOW - 9_000 * DAY, f"c{n}") for n in range(count)]
    turns = [record(count + n, NOW + n, f"c{n % count}") for n in range(3 * count)]
    items, at = take([*old, *turns], cut=cut)
    assert reasons(items) == [*[None] * count, *["time_jump"] * count, *[None] * 2 * count]
    assert at.time == NOW + 3 * count - 1


def test_nobody_by_name_is_no_customer_who_was_believed():
    far = [record(n + 1, NOW + 40 * DAY, None) for n in range(3 * AGREE)]
    items, at = take([record(0, NOW, None), *far])
    assert reasons(items) == [None, *["time_jump"] * 3 * AGREE]
    assert at.believed == ()


def test_one_customer_is_never_believed():
    far = [record(n + 1, NOW + 40 * DAY, "c") for n in range(3 * AGREE)]
    items, at = take([*known(2), *far])
    assert reasons(items) == [None, None, *["time_jump"] * 3 * AGREE]
    assert at.time == NOW
    assert len(at.topics["transactions"].jumps) == 1


def test_ten_customers_who_disagree_are_not_believed():
    far = [record(n + 1, NOW + (40 + 12 * n) * DAY, f"c{n}") for n in range(3 * AGREE)]
    items, at = take([*known(AGREE), *far])
    assert reasons(items) == [*[None] * AGREE, *["time_jump"] * 3 * AGREE]
    assert at.time == NOW


def test_records_in_their_time_go_on_between_jumps():
    records = known(AGREE)
    for n in range(AGREE):
        records += [record(2 * n + 1, NOW + 40 * DAY, f"c{n}"), record(2 * n + 2, NOW + n)]
    items, at = take([*records, record(99, NOW + 41 * DAY, "x")])
    assert reasons(items) == [*[None] * AGREE, *["time_jump", None] * AGREE, None]
    assert at.time == NOW + 41 * DAY


@pytest.mark.parametrize("cut", [1, 3, 100])
def test_the_first_record_of_a_topic_is_judged_by_the_time_of_the_others(cut):
    far = [record(n, NOW + 40 * DAY, None, topic="observations") for n in range(3)]
    inboxes = {topic: deque() for topic in INPUT_TOPICS}
    inboxes["transactions"].extend(known(AGREE))
    inboxes["observations"].extend(far)
    at, found = place(), []
    while some := list(in_order(inboxes, at, POLICY, lambda _topic: True, cut)):
        found += some
    assert reasons(found) == [*[None] * AGREE, *["time_jump"] * 3]
    assert (at.time, at.topics["observations"].shown) == (NOW, None)


def naive_share(refused):
    share = 0.0
    for one in refused:
        share += (one - share) / 1_000
    return share


@pytest.mark.parametrize("cut", [1, 7, 10_000])
def test_the_share_of_refused_records_is_that_of_each_record_in_its_turn(cut):
    pattern = [n % 3 == 0 or n > 400 for n in range(900)]
    items, at = take(
        [record(n, NOW, refused=("undecodable", "") if bad else None) for n, bad in enumerate(pattern)], cut=cut
    )
    assert [item.refused for item in items] == [naive_share(pattern[: n + 1]) for n in range(900)]
    assert at.topics["transactions"].refused == items[-1].refused
    assert at.topics["customers"].refused == 0.0


def test_a_chunk_is_bounded_in_bytes_and_a_large_record_is_one_by_itself():
    sizes = [400_000, 400_000, 400_000, 3 * MAX_BYTES, 10]
    inboxes = {topic: deque() for topic in INPUT_TOPICS}
    inboxes["transactions"].extend(record(n, NOW + n, size=size) for n, size in enumerate(sizes))
    at, chunks = place(), []
    while some := list(in_order(inboxes, at, POLICY, lambda _topic: True, 500)):
        chunks.append([item.arrived.offset for item in some])
    assert chunks == [[0, 1], [2], [3], [4]]


def test_who_asks_to_be_forgotten_is_not_refused_and_moves_no_time():
    items, at = take([record(0, NOW), record(1, NOW + 900 * DAY, kind=Forgotten), record(2, NOW + 5)])
    assert reasons(items) == [None, None, None]
    assert [item.key for item in items] == [NOW, NOW, NOW + 5]
    assert at.topics["transactions"].jumps == ()
