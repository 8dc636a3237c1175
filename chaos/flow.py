"""How long events stood still after a fault."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import TYPE_CHECKING

from chaos.background import Background

if TYPE_CHECKING:
    from chaos.job import Job

EVERY = 0.2
WINDOW = 90.0


class Flow(Background):
    """Looks at every shard's place several times a second while its block runs."""

    def __init__(self, job: Job) -> None:
        super().__init__(EVERY)
        self.job = job
        ends = job.made.ends()
        self.ends = {
            n: sum(count for (_, partition), count in ends.items() if partition == n)
            for n in range(job.made.partitions)
        }
        self.moved: dict[int, list[tuple[float, int]]] = {n: [(time.monotonic(), 0)] for n in self.ends}

    def turn(self) -> None:
        """Note which shards have moved."""
        handled = self.job.handled()
        now = time.monotonic()
        for shard, n in (handled or {}).items():
            if n != self.moved[shard][-1][1]:
                self.moved[shard].append((now, n))

    def still(self, fault: float, healed: float) -> float | None:
        """Longest time that a shard with work left did not move, counted from `healed` on; None: all were done.

        Parameters
        ----------
        fault, healed
            On `time.monotonic`: when it happened, and when whatever was taken away was back.
        """
        longest = None
        for shard, moves in self.moved.items():
            for (left, n), (came, _) in pairwise(moves):
                if n < self.ends[shard] and came > fault and left < healed + WINDOW:
                    lasted = max(came - max(left, healed), 0.0)
                    longest = lasted if longest is None else max(longest, lasted)
        return longest


class Moves:
    """How long a job as a whole has not moved: neither a shard nor the learner."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.stands: object = None
        self.since = time.monotonic()

    def still(self) -> float:
        """Seconds since something moved, as far as these calls have seen."""
        stands = self.job.handled(), self.job.learned()
        if stands != self.stands:
            self.stands, self.since = stands, time.monotonic()
        return time.monotonic() - self.since
