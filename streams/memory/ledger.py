"""The ledger in memory, for backtests and tests."""

from collections.abc import Container, Iterable, Sequence
from heapq import heappop, heappush

import msgspec
from msgspec import Struct, field

from schemas.commit import Commit, Place
from schemas.state import decode_remembered
from streams.errors import BudgetExceeded, Fenced
from streams.ledger import Entry, Hold, Loaded
from streams.outgoing import records


class _Shard(Struct):
    head: int = 0
    place: bytes = msgspec.msgpack.encode(Place())
    states: dict[str, bytes] = field(default_factory=dict)
    due: dict[str, float] = field(default_factory=dict)
    heap: list[tuple[float, str]] = field(default_factory=list)
    outbox: dict[str, Entry] = field(default_factory=dict)


class MemoryLedger:
    """Keeps everything that the real one keeps, as long as the process lives."""

    def __init__(self) -> None:
        self.shards: dict[int, _Shard] = {}
        self.scores: dict[str, dict[str, str]] = {}
        self.spent: dict[str, int] = {}

    async def take(self, partition: int) -> Hold:
        """Take a shard."""
        shard = self.shards.setdefault(partition, _Shard())
        shard.head += 1
        return Hold(partition, shard.head, msgspec.msgpack.decode(shard.place, type=Place))

    async def load(
        self,
        partition: int,
        customers: Iterable[str],
        due: float | None,
        limit: int,
        budgets: Sequence[str] = (),
        known: Container[str] = (),
    ) -> Loaded:
        """Read customers, and who is due."""
        shard = self.shards[partition]
        loaded = Loaded(spent={name: self.spent.get(name, 0) for name in budgets})
        for customer in customers:
            body = shard.states.get(customer)
            loaded.customers[customer] = None if body is None else decode_remembered(body)
        timers = self._due(shard, due, limit) if due is not None else []
        for _, customer in timers:
            if customer in known:
                loaded.known.append(customer)
            elif customer not in loaded.customers:
                loaded.customers[customer] = decode_remembered(shard.states[customer])
        if len(timers) == limit:
            loaded.until = timers[-1][0]
        return loaded

    @staticmethod
    def _due(shard: _Shard, due: float, limit: int) -> list[tuple[float, str]]:
        found: dict[str, float] = {}
        while shard.heap and shard.heap[0][0] <= due and len(found) < limit:
            at, customer = heappop(shard.heap)
            if shard.due.get(customer) == at:
                found[customer] = at
        for customer, at in found.items():  # they stay due until a commit moves them
            heappush(shard.heap, (at, customer))
        return [(at, customer) for customer, at in found.items()]

    async def commit(self, hold: Hold, commit: Commit) -> list[Entry]:
        """Write a chunk."""
        shard = self.shards[hold.partition]
        if shard.head != hold.head:
            raise Fenced(f"shard {hold.partition} has moved on")
        for name, (used, limit) in commit.budgets.items():
            if self.spent.get(name, 0) + used > limit:
                raise BudgetExceeded(name)
        for name, (used, _) in commit.budgets.items():
            self.spent[name] = self.spent.get(name, 0) + used
        for customer in commit.erased:
            self.scores.pop(customer, None)
        for customer, body in commit.states.items():
            if body is None:
                shard.states.pop(customer, None)
            else:
                shard.states[customer] = body
        for customer, fields in commit.scores.items():
            if fields is None:
                self.scores.pop(customer, None)
            else:
                self.scores.setdefault(customer, {}).update(fields)
        for customer, due in commit.timers.items():
            if due is None:
                shard.due.pop(customer, None)
            elif shard.due.get(customer) != due:
                shard.due[customer] = due
                heappush(shard.heap, (due, customer))
        shard.head += 1
        entries = [Entry(shard.head, part, hold.head, record) for part, record in enumerate(records(commit))]
        shard.outbox |= {entry.name: entry for entry in entries}
        shard.place = msgspec.msgpack.encode(commit.place)
        hold.head, hold.place = shard.head, commit.place
        return entries

    async def outbox(self, partition: int, limit: int | None = None) -> list[Entry]:
        """Return the oldest entries."""
        outbox = self.shards[partition].outbox
        return [outbox[name] for name in sorted(outbox)[:limit]]

    async def trim(self, partition: int, entries: Sequence[Entry]) -> None:
        """Remove entries."""
        for entry in entries:
            self.shards[partition].outbox.pop(entry.name, None)
