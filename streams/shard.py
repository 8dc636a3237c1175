"""One shard at work: take in order, load, handle, commit. The same under Faust, in a backtest and in a test."""

from collections import deque
from collections.abc import Callable, Iterable

import msgspec

from models.order import in_order
from models.serving_set import ServingSet
from models.shard import Chunk, Shop, handle
from schemas.codec import INPUT_TOPICS
from schemas.commit import Arrived, Commit, Place, TopicPlace
from streams.ledger import Hold, Ledger


class Shard:
    """A shard that this process holds.

    Parameters
    ----------
    hold
        As taken from the ledger.
    """

    def __init__(self, hold: Hold, ledger: Ledger, shop: Shop, chunk_size: int = 500) -> None:
        self.hold, self.ledger, self.shop, self.chunk_size = hold, ledger, shop, chunk_size
        for topic in INPUT_TOPICS:
            hold.place.topics.setdefault(topic, TopicPlace())
        self.inboxes: dict[str, deque[Arrived]] = {topic: deque() for topic in INPUT_TOPICS}
        self.told_idle = False

    @property
    def waiting(self) -> int:
        """Records received and not handled yet."""
        return sum(map(len, self.inboxes.values()))

    def receive(self, records: Iterable[Arrived]) -> None:
        """Put records into their topics' inboxes, in the order of their offsets."""
        for arrived in records:
            self.inboxes[arrived.topic].append(arrived)

    async def step(
        self,
        answered: Callable[[str], bool],
        models: ServingSet,
        now: float,
        *,
        idle: bool = False,
        tick: float | None = None,
    ) -> tuple[Commit, list[Arrived]] | None:
        """Handle the next chunk and commit it. None where there is nothing to do.

        Parameters
        ----------
        answered
            Whether the broker has no more of a topic than is here.
        idle
            The topics have been at their ends for a while: others need not wait for this shard.
        tick
            Move the shard's time to here, in epoch seconds, if there is no record. None: leave it.
        """
        before = _copy(self.hold.place)
        place = _copy(before)
        items = list(in_order(self.inboxes, place, self.shop.policy, answered, self.chunk_size))
        newly_idle = idle and not items and not self.told_idle
        ticking = not items and tick is not None and place.time is not None and tick > place.time
        if not items and not newly_idle and not ticking:
            return None
        until = tick if ticking else None
        horizon = until if until is not None else place.time
        wanted = {item.arrived.event.customer_id for item in items if item.arrived.event is not None}
        wanted.discard(None)
        loaded = await self.ledger.load(self.hold.partition, wanted, horizon, self.chunk_size)  # type: ignore[arg-type]
        if loaded.until is not None:  # more timers are due than one commit may hold: records beyond them wait
            until = loaded.until
            for item in reversed(items):
                self.inboxes[item.arrived.topic].appendleft(item.arrived)
            place = _copy(before)
            items = list(in_order(self.inboxes, place, self.shop.policy, _yes, len(items), until))
        chunk = Chunk(self.hold.partition, before.time, place, items, loaded.customers, until, newly_idle)
        commit = handle(chunk, self.shop, models, now)
        await self.ledger.commit(self.hold, commit)
        if items or newly_idle:
            self.told_idle = newly_idle
        return commit, [item.arrived for item in items]


def _yes(_topic: str) -> bool:
    return True


def _copy(place: Place) -> Place:
    topics = {name: msgspec.structs.replace(at) for name, at in place.topics.items()}
    return Place(topics, place.time, dict(place.anonymous), dict(place.totals))
