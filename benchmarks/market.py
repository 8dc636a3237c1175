"""What the analysis of market and brands costs the scoring path: CPU time with it over CPU time without.

`python benchmarks/market.py` lets shards on the ledger in memory handle the same events twice, with and without, chunk
by chunk by turns, and of each chunk takes the least of several runs: what else the machine does falls on both, and
counts the less. One ratio is of all from bytes in to states packed and
records out, the other of `handle` alone. Without means: no rows for `market` and `brand_choice` are made, nobody's
brands and months are remembered, and no loyalty is served; sales are added up as ever.
"""

import argparse
import asyncio
import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any
from unittest.mock import patch

from events import learned_models, simulated
from msgspec.structs import replace
from parts import arrivals
from stage import make_settings

import streams.shard
from models.customers.advance import local_day
from models.serving_set import ServingSet
from models.shard import Shop, handle
from models.shard.walk import Sold, _Walker
from schemas.commit import Arrived, Commit
from schemas.events import Event
from streams.admit import admit
from streams.memory.ledger import MemoryLedger
from streams.redis.packing import Packing
from streams.replay import online_retail
from streams.shard import Shard
from streams.worker import YOUNG, make_shop

BLOCK = 5
"""Chunks of each shard that make one ratio of those whose spread is shown."""


def _sell_only(self: _Walker) -> None:
    for one in self.heard:
        if isinstance(one, Sold):
            self._sell(one.receipt, {"day": local_day(one.receipt.event, self.policy)})


@contextmanager
def without() -> Iterator[None]:
    """Nothing is done for market and brands, and sales are of categories alone."""
    with patch.object(_Walker, "_tell_market", _sell_only):
        yield


class Side:
    """One shard with, or without: CPU seconds in all and in `handle`, by chunk."""

    def __init__(self, shard: Shard) -> None:
        self.shard, self.packing = shard, Packing()
        self.whole: list[float] = []
        self.heart: list[float] = []

    async def step(self, arrived: list[Arrived], partitions: int, models: ServingSet) -> None:
        """Handle records that are one chunk or more."""

        def timed(*given: Any) -> Commit:
            began = process_time()
            commit = handle(*given)
            self.heart[-1] += process_time() - began
            return commit

        fresh = [replace(one) for one in arrived]
        self.heart.append(0.0)
        with patch.object(streams.shard, "handle", timed):
            began = process_time()
            self.shard.receive([admit(one, partitions) for one in fresh])
            while self.shard.waiting:
                done = await self.shard.step(lambda _topic: True, models, float("-inf"))
                self.packing.pack((who, body) for who, body in done.commit.states.items() if body is not None)
                await self.shard.ledger.trim(self.shard.hold.partition, done.entries)  # as once they are relayed
            self.whole.append(process_time() - began)


async def compare(arrived: list[Arrived], shop: Shop, models: ServingSet, size: int) -> tuple[list[Side], list[Side]]:
    """Shards with and without that have handled all records; who begins changes from chunk to chunk."""
    found = []
    for partition in range(shop.partitions):
        ledgers = MemoryLedger(), MemoryLedger()
        on, off = [Side(Shard(await ledger.take(partition), ledger, shop)) for ledger in ledgers]
        records = [one for one in arrived if one.partition == partition]
        for number, first in enumerate(range(0, len(records), size)):
            some = records[first : first + size]
            for is_on in (number % 2 == 0, number % 2 == 1):
                if is_on:
                    await on.step(some, shop.partitions, models)
                else:
                    with without():
                        await off.step(some, shop.partitions, models)
        found.append((on, off))
    return [on for on, _ in found], [off for _, off in found]


def least(runs: list[list[Side]], part: str) -> list[float]:
    """CPU seconds of each chunk, the least of all runs; each run is a list of shards."""
    by_run = [[seconds for side in run for seconds in getattr(side, part)] for run in runs]
    return [min(each) for each in zip(*by_run, strict=True)]


def ratio(on: list[float], off: list[float]) -> str:
    """All over all, and the spread of blocks."""
    blocks = [sum(on[i : i + BLOCK]) / sum(off[i : i + BLOCK]) for i in range(0, len(on), BLOCK)]
    spread = f"blocks: median {median(blocks):.3f}, {min(blocks):.3f} to {max(blocks):.3f}"
    return f"{sum(on) / sum(off):.3f} ({spread})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=20_000, help="of the simulated shop, whose lines have brands")
    parser.add_argument("--customers", type=int, default=1_000)
    parser.add_argument("--lines", type=int, default=150_000, help="of Online Retail, without brands")
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--chunk", type=int, default=500)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    settings = make_settings("none:1", "redis://none", Path(), asked.partitions)
    models = learned_models(settings, asked.seed + 1_000)
    shop = make_shop(settings)
    sets: Mapping[str, Iterator[Event]] = {
        "simulated, with brands": simulated(asked.customers, asked.events, asked.seed),
        "Online Retail, no brands": online_retail.events(limit=asked.lines),
    }
    gc.set_threshold(YOUNG, 20, 20)
    for name, events in sets.items():
        arrived = arrivals(events, asked.partitions)
        gc.collect()
        gc.freeze()
        runs = [asyncio.run(compare(arrived, shop, models, asked.chunk)) for _ in range(asked.runs)]
        for part in ("whole", "heart"):
            on, off = (least(list(some), part) for some in zip(*runs, strict=True))
            micros = 1e6 / len(arrived)
            print(f"{name}, {part}: {sum(on) * micros:.1f} / {sum(off) * micros:.1f} µs an event = {ratio(on, off)}")


if __name__ == "__main__":
    main()
