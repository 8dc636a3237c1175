"""Up to which day all shards have told their sales."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field

Stood = tuple[float | None, bool]
"""Up to when a shard has told its sales, in epoch seconds, and whether it is silent."""


class Told(Struct):
    """What each shard has said of its time, and where the foremost stood when a silent one said so."""

    shards: dict[int, Stood] = field(default_factory=dict)
    foremost: dict[int, float | None] = field(default_factory=dict)

    def stand(self, row: Mapping[str, Any]) -> None:
        """Note up to when a shard has told its sales.

        One that says again that it is silent had no records since it said so before: it stands where the foremost
        stood then. Of later it says nothing, for what comes in at once after a silence reaches one shard after the
        other, while this one may be saying that it is silent.
        """
        number, time, idle = row["partition"], row["time"], row["idle"]
        foremost = self.foremost.pop(number, None)
        if idle:
            time = max((at for at in (time, foremost) if at is not None), default=None)
        self.shards[number] = (time, idle)
        if idle:
            self.foremost[number] = max((at for at, _ in self.shards.values() if at is not None), default=None)

    def upto(self, partitions: int) -> float | None:
        """Return the time up to which all have told, in epoch seconds; None before each has."""
        times = [time for time, _ in self.shards.values() if time is not None]
        return min(times) if len(times) >= partitions else None
