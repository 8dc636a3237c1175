"""The contract of what keeps states, scores, timers, outbox and place: Redis, or memory for backtests."""

from collections.abc import Container, Iterable, Sequence
from typing import Protocol

from msgspec import Struct, field

from schemas.commit import Commit, Outgoing, Place
from schemas.state import Remembered


class Hold(Struct):
    """A shard as taken. `head` is the number of its last write; without it nobody can write.

    `epoch` says which server it was taken on: on another one it is worth nothing.
    """

    partition: int
    head: int
    place: Place
    epoch: int = 0


class Loaded(Struct):
    """What is remembered of the customers asked for and of those whose timer is due.

    `known` are those due whom the caller knows, and who are not read. `until` is the due time of the last timer
    that fits where there are more; None where all do. `spent` are contacts so far by campaign, of those asked for.
    """

    customers: dict[str, Remembered | None] = field(default_factory=dict)
    known: list[str] = field(default_factory=list)
    until: float | None = None
    spent: dict[str, int] = field(default_factory=dict)


class Entry(Struct, frozen=True):
    """One record in the outbox. Known by shard, head and part; `follows` is the head before."""

    head: int
    part: int
    follows: int
    record: Outgoing

    @property
    def name(self) -> str:
        """Its name in the outbox; names sort as heads and parts do."""
        return f"{self.head:020d}:{self.part:04d}:{self.follows:020d}"


class Ledger(Protocol):
    """Whatever is written is written at once or not at all."""

    async def take(self, partition: int) -> Hold:
        """Take a shard: who held it before is fenced. Raises `Unavailable`."""

    async def load(
        self,
        partition: int,
        customers: Iterable[str],
        due: float | None,
        limit: int,
        budgets: Sequence[str] = (),
        known: Container[str] = (),
    ) -> Loaded:
        """Read customers, at most `limit` whose timer is due at `due` or before, and what of budgets is spent.

        Of those due, whoever is among the `known` is named and not read. Raises `Unavailable`.
        """

    async def commit(self, hold: Hold, commit: Commit) -> list[Entry]:
        """Write a chunk and move `hold` on. Returns what it put into the outbox.

        Raises
        ------
        Fenced
            The head is not what this hold last wrote. Nothing was written.
        BudgetExceeded
            Less is left of a budget than the chunk uses. Nothing was written, and the hold is as good as before.
        Unavailable
            It is not known whether it was written: take the shard again.
        """

    async def outbox(self, partition: int, limit: int | None = None) -> list[Entry]:
        """Return the oldest entries that are not trimmed, in order; all of them without a limit."""

    async def trim(self, partition: int, entries: Sequence[Entry]) -> None:
        """Remove entries that Kafka has acknowledged, by name."""
