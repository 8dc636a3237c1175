"""One shard at work: take in order, load, handle, commit. The same under Faust, in a backtest and in a test."""

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from models.order import Item, in_order, sales_time
from models.policy import DAY
from models.serving_set import ServingSet
from models.shard import Chunk, Shop, handle
from schemas.codec import INPUT_TOPICS
from schemas.commit import Arrived, Commit, Place, TopicPlace
from streams.errors import BudgetExceeded, Flood
from streams.kept import Kept
from streams.ledger import Entry, Hold, Ledger, Loaded
from streams.stride import Stride

STORED_TICK: Final = 10.0
"""Seconds of event time: a tick at which nothing is due is stored when time has moved so far since the last."""
MOMENTS: Final = 2.0
"""Draws of customers that one commit may hold, as a multiple of the records that it may."""


class Done(NamedTuple):
    """A chunk that is committed."""

    commit: Commit
    records: list[Arrived]
    entries: list[Entry]


class Shard:
    """A shard that this process holds.

    Parameters
    ----------
    hold
        As taken from the ledger.
    chunk_size
        Records, and customers, that one commit holds at most.
    longest
        Seconds that a chunk should be handled at most. None: then chunks are the same on a slow machine.
    """

    def __init__(
        self, hold: Hold, ledger: Ledger, shop: Shop, chunk_size: int = 500, longest: float = math.inf
    ) -> None:
        self.hold, self.ledger, self.shop, self.stride = hold, ledger, shop, Stride(chunk_size, longest)
        for topic in INPUT_TOPICS:
            hold.place.topics.setdefault(topic, TopicPlace())
        self.inboxes: dict[str, deque[Arrived]] = {topic: deque() for topic in INPUT_TOPICS}
        self.budgets = tuple(shop.budgets)
        self.told: tuple[float | None, bool] | None = None
        self.kept = Kept()

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
        tell: bool = False,
        repeat: bool = False,
        sold_to: float = math.inf,
    ) -> Done | None:
        """Handle the next chunk and commit it. None where there is nothing to do.

        Parameters
        ----------
        answered
            Whether the broker has no more of a topic than is here.
        idle
            The topics have been at their ends for a while: others need not wait for this shard.
        tick
            Move the shard's time to here, in epoch seconds, if there is no record. None: leave it.
        tell
            It is time to tell the learner where the shard stands, if that has changed.
        repeat
            Tell the learner that the shard is idle although it knows: others may have moved on meanwhile.
        sold_to
            Up to here no more sales are on their way, in epoch seconds, whatever time `transactions` has shown.

        Raises
        ------
        Flood
            Too many of a topic's recent records were refused. Nothing was written.
        Fenced, Unavailable
            As the ledger says. The shard must be taken again.
        """
        before = self.hold.place
        place = _copy(before)
        items = list(in_order(self.inboxes, place, self.shop.policy, answered, self.stride.limit))
        self._look_for_flood(items)
        idle = idle and not items
        until = tick if not items and tick is not None and place.time is not None and tick > place.time else None
        stands = sales_time(place, sold_to, idle=idle) if until is None else until, idle
        changed = self.told is None or idle != self.told[1]
        telling = changed if items else (idle and (changed or repeat)) or (tell and stands != self.told)
        if not items and not telling and until is None:
            return None
        loaded = await self._load(items, until if until is not None else place.time)
        if not items and not telling and not loaded.customers and until < (before.time or 0.0) + STORED_TICK:  # type: ignore[operator]
            return None
        horizon = self._horizon(before.time, items, loaded, until if until is not None else place.time)
        if horizon is not None:  # more timers are due than one commit may hold: records beyond them wait
            until = horizon
            for item in reversed(items):
                self.inboxes[item.arrived.topic].appendleft(item.arrived)
            place = _copy(before)
            items = list(in_order(self.inboxes, place, self.shop.policy, _yes, len(items), until))
        done = await self._commit(
            items, place, loaded, models, now, until=until, idle=idle, tell=telling, sold_to=sold_to
        )
        sales: Sequence[Any] = done.commit.examples.get("sales", ())
        for row in sales:
            self.told = row["time"], row["idle"]
        return done

    def _horizon(self, began: float | None, items: Sequence[Item], loaded: Loaded, reach: float | None) -> float | None:
        """Return up to when this commit goes where that is less than its records or tick say; else None.

        Bounded are the customers whose timers are due, and how often they are: after a silence of years each is drawn
        many times over.
        """
        known = loaded.until if loaded.until is not None else reach
        begin = began if began is not None else next((item.key for item in items if item.key is not None), None)
        if begin is None or known is None or not loaded.customers:
            return loaded.until
        draws = MOMENTS * self.stride.limit / len(loaded.customers)
        furthest = begin + draws * self.shop.policy.draw_days * DAY
        return furthest if furthest < known else loaded.until

    async def _commit(
        self,
        items: list[Item],
        place: Place,
        loaded: Loaded,
        models: ServingSet,
        now: float,
        *,
        until: float | None,
        idle: bool,
        tell: bool,
        sold_to: float,
    ) -> Done:
        began, n = self.hold.place.time, self.hold.partition
        while True:
            chunk = Chunk(n, began, _copy(place), items, loaded.customers, until, idle, tell, sold_to, loaded.spent)
            at = time.perf_counter()
            try:
                commit = handle(chunk, self.shop, models, now)
            except Exception as error:
                error.add_note(f"in a chunk of shard {n}: {_extent(items)}")
                raise
            handled = time.perf_counter() - at
            try:
                entries = await self.ledger.commit(self.hold, commit)
            except BudgetExceeded:  # another shard was faster: decide again, with what is left
                loaded = await self._load(items, commit.place.time)
                continue
            self.stride.took(max(len(items), len(chunk.customers)), handled)
            self.kept.keep(chunk.customers)
            return Done(commit, [item.arrived for item in items], entries)

    async def _load(self, items: Iterable[Item], due: float | None) -> Loaded:
        events = [item.arrived.event for item in items if item.arrived.event is not None]
        wanted = dict.fromkeys(event.customer_id for event in events if event.customer_id is not None)
        unknown = [customer for customer in wanted if customer not in self.kept]
        loaded = await self.ledger.load(self.hold.partition, unknown, due, self.stride.limit, self.budgets, self.kept)
        loaded.customers |= self.kept.take([*wanted, *loaded.known])
        return loaded

    def _look_for_flood(self, items: Iterable[Item]) -> None:
        limit = self.shop.policy.poison_share
        for item in items:
            if item.refused > limit:
                one = item.arrived
                reason = ": ".join(one.refused) if one.refused else "undecodable"
                raise Flood(
                    f"more than {limit:.0%} of the recent records of {one.topic}-{one.partition} cannot be used, the "
                    f"last at offset {one.offset} ({reason}). Nothing more of it is taken. Look at the dead letters, "
                    "mend what sends them; or set STREAMSCORE_POISON_SHARE=1 to let all of them go there"
                )


def _extent(items: Iterable[Item]) -> str:
    """Say which records are in a chunk, for whoever looks for the one that is at fault."""
    offsets: dict[str, list[int]] = {}
    for item in items:
        offsets.setdefault(item.arrived.topic, []).append(item.arrived.offset)
    return ", ".join(f"{topic} {some[0]} to {some[-1]}" for topic, some in offsets.items()) or "timers alone"


def _yes(_topic: str) -> bool:
    return True


def _copy(place: Place) -> Place:
    topics = {name: msgspec.structs.replace(at) for name, at in place.topics.items()}
    return Place(topics, place.time, dict(place.anonymous), dict(place.totals), place.believed)
