"""The one sequence in which a shard handles the records of its topics."""

from collections import deque
from collections.abc import Callable, Iterator
from hashlib import blake2b
from typing import Final, NamedTuple

from models.policy import Policy
from schemas.commit import Arrived, Place, TopicPlace
from schemas.events import Forgotten

Inboxes = dict[str, deque[Arrived]]
MAX_BYTES: Final = 1_000_000
"""Of records in one chunk: what does not fit is the next one's. A larger record is a chunk of its own."""
AGREE: Final = 10
"""So many customers must tell of a time far ahead before it is believed; fewer where fewer were believed before."""
RECENT: Final = 1_000
"""The share of refused records is an exponential average over about so many."""
JUMP: Final = "time_jump"


class Item(NamedTuple):
    """A record whose turn it is.

    `key` is the newest event time its topic has shown, the record included; `refused` the share of dead letters
    among the topic's recent records, the record included.
    """

    key: float | None
    arrived: Arrived
    refused: float = 0.0


def judge_jump(arrived: Arrived, place: TopicPlace, policy: Policy) -> None:
    """Refuse a record whose time is too far beyond the shard's, as it was after the topic's last record.

    Who asks to be forgotten is not refused: the event then counts as of the shard's time, and moves none.
    """
    if arrived.event is None or arrived.refused or place.limit_from is None:
        return
    if arrived.at > place.limit_from + policy.max_jump and not _agreed(arrived.at, place, policy):
        if isinstance(arrived.event, Forgotten):
            arrived.at = place.limit_from
            return
        days = (arrived.at - place.limit_from) / 86_400
        arrived.refused = (JUMP, f"occurred_at is {days:.0f} days beyond the newest event of this partition")


def _agreed(at: float, place: TopicPlace, policy: Policy) -> bool:
    """Whether the last customers whose records were refused for their time are so many, and tell of about this time."""
    if len(place.jumps) < place.agree:
        return False
    times = [at, *(time for _, time in place.jumps)]
    return max(times) - min(times) <= policy.max_jump


def _remember_jump(arrived: Arrived, place: TopicPlace) -> None:
    assert arrived.event is not None  # noqa: S101 - only a record that was read is refused for its time
    who = _who(arrived.event.customer_id or "")  # anonymous sales are one customer: nobody knows better
    place.jumps = (*(jump for jump in place.jumps if jump[0] != who), (who, arrived.at))[-AGREE:]


def _believe(arrived: Arrived, place: Place) -> None:
    customer = None if arrived.event is None else arrived.event.customer_id
    if customer and (who := _who(customer)) not in place.believed:
        place.believed = (*place.believed, who)


def _who(customer: str) -> bytes:
    return blake2b(customer.encode(), digest_size=8, person=b"jump").digest()


def key_of(arrived: Arrived, place: TopicPlace) -> float | None:
    """The topic's key with this record: it never falls, and a refused record leaves it as it was."""
    if arrived.event is None or arrived.refused:
        return place.shown
    return arrived.at if place.shown is None else max(place.shown, arrived.at)


def in_order(
    inboxes: Inboxes,
    place: Place,
    policy: Policy,
    answered: Callable[[str], bool],
    limit: int,
    horizon: float | None = None,
) -> Iterator[Item]:
    """Take the next records: the lowest key first, ties by topic name.

    Each taken record is removed from its inbox and moves `place`. A topic without a record here is
    waited for until `answered` says that the broker has no more of it.

    Parameters
    ----------
    limit
        At most so many records, and of so many bytes as one chunk may hold.
    horizon
        Records whose key is at or beyond it stay where they are. None: no horizon.
    """
    heads: dict[str, tuple[float, str]] = {}
    changed, taken = list(inboxes), 0
    for _ in range(limit):
        for topic in changed:  # the others' next records and ends are known: what comes since is the next call's
            if inboxes[topic]:
                heads[topic] = _head(inboxes[topic][0], place.topics[topic], policy, topic)
            elif answered(topic):
                heads.pop(topic, None)
            else:
                return
        key, topic = min(heads.values(), default=(None, ""))
        if key is None or (horizon is not None and key >= horizon):
            return
        size = len(inboxes[topic][0].value or b"")
        if taken and taken + size > MAX_BYTES:
            return
        taken += size
        yield _take(inboxes[topic].popleft(), place, place.topics[topic], policy)
        changed = [topic]


def _head(arrived: Arrived, place: TopicPlace, policy: Policy, topic: str) -> tuple[float, str]:
    judge_jump(arrived, place, policy)
    key = key_of(arrived, place)
    return float("-inf") if key is None else key, topic


def _take(arrived: Arrived, place: Place, at: TopicPlace, policy: Policy) -> Item:
    if at.limit_from is None:  # the topic's first record: only now is known what comes before it
        at.limit_from, at.agree = place.time, _enough(place)
        judge_jump(arrived, at, policy)
    at.shown = key_of(arrived, at)
    at.next = arrived.offset + 1
    refused = arrived.event is None or arrived.refused is not None
    at.refused += (float(refused) - at.refused) / RECENT
    if arrived.refused is not None and arrived.refused[0] == JUMP:
        _remember_jump(arrived, at)
    elif not refused and at.limit_from is not None and arrived.at > at.limit_from + policy.max_jump:
        at.jumps = ()  # it is believed
    if not refused and len(place.believed) < AGREE:
        _believe(arrived, place)
    if at.shown is not None:
        place.time = at.shown if place.time is None else max(place.time, at.shown)
    at.limit_from, at.agree = place.time, _enough(place)
    return Item(at.shown, arrived, at.refused)


def _enough(place: Place) -> int:
    """How many customers must tell of a time far ahead: as many as were believed before, at most ten."""
    return len(place.believed) or AGREE


def sales_time(place: Place, sold_to: float, *, idle: bool) -> float | None:
    """Return up to when a shard has told its sales: another topic may be read further than `transactions`."""
    at = place.topics.get("transactions")
    if idle or place.time is None or sold_to >= place.time:
        return place.time
    shown = None if at is None else at.shown
    return sold_to if shown is None else max(shown, sold_to)
