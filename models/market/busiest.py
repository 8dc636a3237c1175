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

    def add(self, name: str, weight: float = 1.0) -> str | None:
        """Count a name. Returns the one that gave its place for it."""
        found, gone, error = self.counts.get(name), None, 0.0
        if found is None:
            if len(self.counts) >= self.room:
                gone = min(self.counts, key=lambda one: (self.counts[one].count, one))
                error = self.counts.pop(gone).count
            found = self.counts[name] = Count(error, error)
        found.count += weight
        return gone

    def fade(self, by: float) -> None:
        """Let all that was counted weigh less."""
        for found in self.counts.values():
            found.count *= by
            found.error *= by

    def busier_than(self, quietest: float) -> str | None:
        """Name one that is certainly much busier than the quietest one kept, the busiest first; None if none is."""
        best = min(self.counts, key=lambda one: (-self.counts[one].sure, one), default=None)
        return best if best is not None and self.counts[best].sure > TAKE_OVER * quietest + 1.0 else None


class Left(Struct, frozen=True):
    """What came of counting a name: who is not told apart any more, and whose place among the named it took."""

    forgotten: str | None = None
    unnamed: str | None = None


NOBODY: Final = Left()


class Places(Struct):
    """Who has a place: at most `room`, the most active. As many more as `candidates` has room for are told apart.

    `active` are those with a place, and how active they are.
    """

    room: int
    candidates: Candidates
    active: dict[str, float] = field(default_factory=dict)

    def meet(self, name: str) -> None:
        """Give a place to one that has done nothing yet, if there is room."""
        if len(self.active) < self.room and name not in self.candidates.counts:
            self.active.setdefault(name, 0.0)

    def count(self, name: str) -> Left:
        """Note that a name is active; one that is certainly much more so than the least takes its place."""
        if name in self.active or len(self.active) < self.room:
            self.active[name] = self.active.get(name, 0.0) + 1.0
            return NOBODY
        forgotten = self.candidates.add(name)
        quietest = min(self.active, key=lambda one: (self.active[one], one))
        if self.candidates.busier_than(self.active[quietest]) != name:
            return NOBODY if forgotten is None else Left(forgotten)
        self.active[name] = self.candidates.counts.pop(name).sure
        self.candidates.add(quietest, self.active.pop(quietest))
        return Left(forgotten, quietest)

    def knows(self, name: str) -> bool:
        """Whether a name is told apart."""
        return name in self.active or name in self.candidates.counts

    def is_late(self, name: str) -> bool:
        """Whether a name may have been active before it was told apart."""
        found = self.candidates.counts.get(name)
        return found is not None and found.error > 0

    def fade(self, by: float) -> None:
        """Let all activity weigh less."""
        self.candidates.fade(by)
        for name in self.active:
            self.active[name] *= by
