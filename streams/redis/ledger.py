"""The ledger on Redis: one script writes a chunk, fenced by the shard's head."""

import secrets
from collections.abc import Container, Iterable, Sequence
from itertools import count
from typing import Any, Final

import msgpack
import msgspec
import redis.asyncio
from msgspec import Struct

from schemas.commit import Commit, Outgoing, Place
from schemas.state import Remembered, decode_remembered
from streams.errors import BudgetExceeded, Fenced, Unavailable
from streams.ledger import Entry, Hold, Loaded
from streams.outgoing import records
from streams.redis.client import Server, redis_errors
from streams.redis.keys import Keys
from streams.redis.packing import Packing
from streams.redis.scripts import COMMIT, TAKE

GAPS: Final = 256
"""Gaps remembered a shard: takings that a learner may lag behind."""
_RECORD: Final = msgspec.msgpack.Encoder()
OVERSPENT: Final = 2
"""What the script answers where less is left of a budget than the commit uses."""
_READ_RECORD: Final = msgspec.msgpack.Decoder(Outgoing)


class Lineage(Struct, frozen=True):
    """How far a shard has come, and which spans of heads were nobody's commits."""

    head: int
    gaps: tuple[tuple[int, int], ...]


class RedisLedger:
    """Scores, states, timers, outbox and place of all shards.

    Parameters
    ----------
    client
        Must not repeat commands by itself; see `connect`.
    server
        Which server the client speaks with.
    """

    def __init__(self, client: redis.asyncio.Redis, keys: Keys, server: Server | None = None) -> None:
        self.client: Any = client  # its types know nothing of replies in bytes
        self.keys = keys
        self.server = server or Server()
        self._name, self._written = secrets.token_hex(8), count()
        self._take = client.register_script(TAKE)
        self._commit = client.register_script(COMMIT)
        self._trims: dict[int, list[str]] = {}
        self._packing: dict[int, Packing] = {}

    async def take(self, partition: int) -> Hold:
        """Take a shard: who held it before is fenced."""
        with redis_errors():
            flat = await self._take(keys=[self.keys.shard(partition)], args=[GAPS])
        epoch = self.server.epoch
        fields = dict(zip(flat[::2], flat[1::2], strict=True))
        place = msgspec.msgpack.decode(fields[b"place"], type=Place) if b"place" in fields else Place()
        self._trims.pop(partition, None)
        self._packing[partition] = Packing(fields)
        return Hold(partition, int(fields[b"head"]), place, epoch)

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
        wanted = list(customers)
        state, timers = self.keys.state(partition), []
        with redis_errors():
            pipe = self.client.pipeline(transaction=False)
            if due is not None:
                pipe.zrangebyscore(self.keys.timers(partition), "-inf", due, 0, limit, withscores=True)
            if wanted:
                pipe.hmget(state, wanted)
            if budgets:
                pipe.hmget(self.keys.budgets, budgets)
            answers = await pipe.execute() if due is not None or wanted or budgets else []
            spent = [int(n or 0) for n in answers.pop()] if budgets else []
            if due is not None:
                timers = [(name.decode(), at) for name, at in answers[0]]
            bodies = list(answers[-1]) if wanted else []
            asked = set(wanted)
            more = [name for name, _ in timers if name not in asked and name not in known]
            if more:
                bodies += await self.client.hmget(state, more)
        packing = self._packing[partition]
        loaded = Loaded({name: _read(packing, body) for name, body in zip(wanted + more, bodies, strict=True)})
        loaded.known = [name for name, _ in timers if name in known]
        loaded.spent = dict(zip(budgets, spent, strict=True))
        if len(timers) == limit:
            loaded.until = timers[-1][1]
        return loaded

    async def commit(self, hold: Hold, commit: Commit) -> list[Entry]:
        """Write a chunk, and trim what Kafka has acknowledged since the last."""
        n, keys = hold.partition, self.keys
        packing = self._packing[n]
        if packing.is_due:
            await packing.learn()
        self._same_server(hold)
        trims = self._trims.pop(n, [])
        out = list(records(commit))
        payload = msgpack.packb(
            self._payload(commit, out, trims, packing), use_bin_type=False, unicode_errors="surrogatepass"
        )
        names = [keys.shard(n), keys.state(n), keys.timers(n), keys.outbox(n), keys.budgets]
        by = f"{self._name}:{next(self._written)}"
        lost: Exception
        try:
            with redis_errors():
                done, answer = await self._commit(keys=names, args=[hold.head, payload, by])
        except Unavailable as error:
            done, lost = 0, error
        else:
            lost = Fenced(f"shard {n}: its head is not {hold.head} any more: {answer!r}")
        if done == OVERSPENT:
            self._trims.setdefault(n, []).extend(trims)
            raise BudgetExceeded(answer.decode())
        if done != 1:
            answer = await self._went_through(n, by)
            if answer is None:
                raise lost
        head, before = int(answer), hold.head
        hold.head, hold.place, packing.unsaved = head, commit.place, []
        return [Entry(head, part, before, record) for part, record in enumerate(out)]

    def _same_server(self, hold: Hold) -> None:
        if hold.epoch != self.server.epoch:
            raise Unavailable(f"redis: shard {hold.partition} was taken on a server that was another, or restarted")

    async def _went_through(self, partition: int, by: str) -> bytes | None:
        """Return the head that a commit has made, if it was the last: its reply may have been lost."""
        with redis_errors():
            head, last = await self.client.hmget(self.keys.shard(partition), "head", "by")
        return head if last is not None and last.decode() == by else None

    def _payload(self, commit: Commit, out: list[Outgoing], trims: list[str], packing: Packing) -> list[Any]:
        states = packing.pack((customer, body) for customer, body in commit.states.items() if body is not None)
        gone = [customer for customer, body in commit.states.items() if body is None]
        timers: list[str | float] = []
        stopped: list[str] = []
        for customer, due in commit.timers.items():
            if due is None:
                stopped.append(customer)
            else:
                timers += (repr(due), customer)
        scores = [[self.keys.customer(customer)] for customer in commit.erased]
        scores += [
            [self.keys.customer(customer), *_flat(fields)]
            for customer, fields in commit.scores.items()
            if fields is None or fields  # a key alone is removed: no fields must not mean no customer
        ]
        outbox = [_RECORD.encode(record) for record in out]
        place = msgspec.msgpack.encode(commit.place)
        budgets = [part for name, (used, limit) in commit.budgets.items() for part in (name, str(used), str(limit))]
        return [place, states, gone, scores, timers, stopped, outbox, trims, budgets, packing.unsaved]

    async def outbox(self, partition: int, limit: int | None = None) -> list[Entry]:
        """Return the oldest entries."""
        with redis_errors():
            found = await self.client.hgetall(self.keys.outbox(partition))
        trimmed = set(self._trims.get(partition, ()))
        named = sorted((name.decode(), body) for name, body in found.items())
        return [_entry(name, body) for name, body in named if name not in trimmed][:limit]

    async def pending(self, partition: int) -> int:
        """Count the entries that Kafka has not acknowledged yet."""
        with redis_errors():
            kept = int(await self.client.hlen(self.keys.outbox(partition)))
        return max(kept - len(self._trims.get(partition, ())), 0)

    async def trim(self, partition: int, entries: Sequence[Entry]) -> None:
        """Remove entries; the removal travels with the next commit, or at once where many wait."""
        waiting = self._trims.setdefault(partition, [])
        waiting += [entry.name for entry in entries]

    async def flush(self, partition: int) -> None:
        """Send the removals that no commit has taken along. Raises `Unavailable`; they then wait for the next."""
        waiting = self._trims.pop(partition, [])
        if not waiting:
            return
        try:
            with redis_errors():
                await self.client.hdel(self.keys.outbox(partition), *waiting)
        except Unavailable:
            self._trims.setdefault(partition, []).extend(waiting)
            raise

    async def lineages(self, partitions: Iterable[int]) -> dict[int, Lineage]:
        """Read heads and gaps of shards."""
        numbers = list(partitions)
        with redis_errors():
            pipe = self.client.pipeline(transaction=False)
            for number in numbers:
                pipe.hmget(self.keys.shard(number), "head", "gaps")
            answers = await pipe.execute()
        return {number: lineage_of(*answer) for number, answer in zip(numbers, answers, strict=True)}


def _flat(fields: dict[str, str] | None) -> list[str]:
    return [part for pair in (fields or {}).items() for part in pair]


def _read(packing: Packing, body: bytes | None) -> Remembered | None:
    return None if body is None else decode_remembered(packing.unpack(body))


def _entry(name: str, body: bytes) -> Entry:
    head, part, follows = map(int, name.split(":"))
    return Entry(head, part, follows, _READ_RECORD.decode(body))


def lineage_of(head: bytes | str | None, gaps: bytes | str | None) -> Lineage:
    """Return what a shard's fields `head` and `gaps` say."""
    text = gaps.decode() if isinstance(gaps, bytes) else gaps or ""
    spans = [span.split("-") for span in text.split()]
    return Lineage(int(head or 0), tuple((int(low), int(high)) for low, high in spans))
