"""Who is busiest among any number of names, in bounded memory."""

from typing import Final

from msgspec import Struct, field

TAKE_OVER: Final = 2.0
"""A newcomer must be so many times as busy as the quietest one kept: places must not change hands every day."""


class Count(Struct, array_like=True):
    """What was counted, of which at most `error` was another's that gave its place."""

    count: float = 0.0
    error: float = 0.0

    @property
    def sure(self) -> float:
        """What was certainly this one's own."""
        return self.count - self.error


class Candidates(Struct, array_like=True):
    """Counts of names without a place, at most `room`: the least counted gives its place and its count to a newcomer.

    `sure` of a name never exceeds what was counted of it.

    References
    ----------
    Metwally, Agrawal and El Abbadi (2005), Efficient computation of frequent and top-k elements in data streams,
    ICDT, 398-412: Space-Saving.
    """

    room: int
    counts: dict[str, Count] = field(default_factory=dict)

    def add(self, name: str, weight: float = 1.0) -> None:
        """Count a name."""
        found = self.counts.get(name)
        if found is None:
            error = 0.0
            if len(self.counts) >= self.room:
                error = self.counts.pop(min(self.counts, key=lambda one: (self.counts[one].count, one))).count
            found = self.counts[name] = Count(error, error)
        found.count += weight

    def fade(self, by: float) -> None:
        """Let all that was counted weigh less."""
        for found in self.counts.values():
            found.count *= by
            found.error *= by

    def busier_than(self, quietest: float) -> str | None:
        """Name one that is certainly much busier than the quietest one kept, the busiest first; None if none is."""
        best = min(self.counts, key=lambda one: (-self.counts[one].sure, one), default=None)
        return best if best is not None and self.counts[best].sure > TAKE_OVER * quietest + 1.0 else None
