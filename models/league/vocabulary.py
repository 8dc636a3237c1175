"""Which attributes a league knows by themselves: the most active ones, in a bounded number of slots."""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct, field

from schemas.serving import KIND, ONE_HOT

SLOTS: Final = 256
WAITING: Final = 1_024
"""Keys counted that have no slot; the less frequent half goes when there are more."""
KNOWN_FROM: Final = 10
"""A value met less often than this is among the rare ones of its kind. A number is known at once."""
HALVED_AFTER: Final = 10_000
"""Examples after which all counts are halved: who was active once makes room."""


class Vocabulary(Struct):
    """Keys of attributes to slots. Plain data.

    A slot named `@5` gives learners `@5?`, 1 where the attribute is there, and for a number its value
    as `@5`. What is missing is not in an example.
    """

    slots: dict[int, int] = field(default_factory=dict)
    counts: dict[int, float] = field(default_factory=dict)
    waiting: dict[int, float] = field(default_factory=dict)
    seen: float = 0.0

    def features(self, pairs: Mapping[int, float]) -> dict[str, float]:
        """Attributes as a learner sees them. Learns nothing."""
        found: dict[str, float] = {}
        for key, value in pairs.items():
            slot = self.slots.get(key)
            if slot is None:
                slot = self.slots.get(key & KIND) if key & ONE_HOT else None
            if slot is None:
                continue
            if not key & ONE_HOT:
                found[f"@{slot}"] = value
            found[f"@{slot}?"] = 1.0
        return found

    def learn(self, pairs: Mapping[int, float]) -> list[int]:
        """Count an example's attributes; return slots that now stand for another key than before."""
        changed: list[int] = []
        self.seen += 1.0
        if self.seen >= 2 * HALVED_AFTER:
            self._halve()
        for key in pairs:
            if key in self.slots:
                self.counts[key] += 1.0
                continue
            count = self.waiting.get(key, 0.0) + 1.0
            self.waiting[key] = count
            if not key & ONE_HOT or count >= KNOWN_FROM:
                changed += self._admit(key, count)
            elif key & KIND not in self.slots:
                changed += self._admit(key & KIND, count)
            if len(self.waiting) > WAITING:
                ranked = sorted(self.waiting, key=lambda one: (-self.waiting[one], one))
                self.waiting = {one: self.waiting[one] for one in ranked[: WAITING // 2]}
        return changed

    def _halve(self) -> None:
        self.seen /= 2.0
        self.counts = {key: count / 2.0 for key, count in self.counts.items()}
        self.waiting = {key: count / 2.0 for key, count in self.waiting.items()}

    def _admit(self, key: int, count: float) -> list[int]:
        if len(self.slots) < SLOTS:
            self.slots[key] = len(self.slots)
            self.counts[key] = count
            self.waiting.pop(key, None)
            return []
        least = min((one for one in self.slots if one > KIND), key=lambda one: (self.counts[one], one))
        if self.counts[least] >= count:
            return []
        self.slots[key] = self.slots.pop(least)
        self.waiting[least] = self.counts.pop(least)
        self.counts[key] = count
        self.waiting.pop(key, None)
        return [self.slots[key]]

    def share(self, key: int) -> float:
        """Share of examples that have a key, of late."""
        return self.counts.get(key, 0.0) / self.seen if self.seen else 0.0

    def names(self) -> tuple[str, ...]:
        """Names of all features that learners may have seen."""
        return tuple(name for slot in range(len(self.slots)) for name in (f"@{slot}", f"@{slot}?"))
