"""The one sequence in which a shard handles the records of its topics."""

from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

from models.policy import Policy
from schemas.commit import Arrived, Place, TopicPlace

Inboxes = dict[str, deque[Arrived]]


class Item(NamedTuple):
    """A record whose turn it is. `key` is the newest event time its topic has shown, the record included."""

    key: float | None
    arrived: Arrived


def judge_jump(arrived: Arrived, place: TopicPlace, policy: Policy) -> None:
    """Refuse a record whose time is too far beyond the shard's, as it was after the topic's last record."""
    if arrived.event is None or arrived.refused or place.limit_from is None:
        return
    if arrived.at > place.limit_from + policy.max_jump:
        days = (arrived.at - place.limit_from) / 86_400
        arrived.refused = ("time_jump", f"occurred_at is {days:.0f} days beyond the newest event of this partition")


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
        At most so many records.
    horizon
        Records whose key is at or beyond it stay where they are. None: no horizon.
    """
    for _ in range(limit):
        best: tuple[float, str] | None = None
        for topic in inboxes:
            if not inboxes[topic]:
                if not answered(topic):
                    return
                continue
            head, at = inboxes[topic][0], place.topics[topic]
            judge_jump(head, at, policy)
            key = key_of(head, at)
            mine = (float("-inf") if key is None else key, topic)
            if best is None or mine < best:
                best = mine
        if best is None or (horizon is not None and best[0] >= horizon):
            return
        topic = best[1]
        arrived = inboxes[topic].popleft()
        at = place.topics[topic]
        at.shown = key_of(arrived, at)
        at.next = arrived.offset + 1
        if at.shown is not None:
            place.time = at.shown if place.time is None else max(place.time, at.shown)
        at.limit_from = place.time
        yield Item(at.shown, arrived)
