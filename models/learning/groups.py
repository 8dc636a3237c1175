"""Who is in which segment: clusters learned from draws of customers, members, and who moved where."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from models.segmentation import Clusters
from schemas.segments import Segments

REMEMBERED: Final = 10_000.0
"""Draws that the share of customers who kept their segment looks back on."""
MOVEMENTS: Final = 400
"""Pairs of segments between which movements are counted; the pair longest without any is forgotten."""


class Groups:
    """The segments of one job.

    Parameters
    ----------
    currency
        Main currency, for names in words.
    """

    def __init__(self, currency: str) -> None:
        self.clusters = Clusters(currency=currency)
        self.members: dict[int, int] = {}
        self.movements: dict[tuple[int, int], int] = {}
        self.kept = self.drawn_again = 0.0

    def drawn(self, values: list[float]) -> None:
        """Learn from a customer who was drawn, by natural values of their features."""
        self.clusters.learn_one(np.log1p(np.maximum(values, 0.0)).astype(np.float16).tolist())

    def count(self, row: Mapping[str, Any]) -> None:
        """Count who came, went and moved."""
        for segment, change in row["moves"].items():
            self.members[int(segment)] = self.members.get(int(segment), 0) + change
            if not self.members[int(segment)]:
                del self.members[int(segment)]
        for before, after, n in row.get("moved", ()):
            self.movements[before, after] = self.movements.pop((before, after), 0) + n
        while len(self.movements) > MOVEMENTS:
            del self.movements[next(iter(self.movements))]
        kept, again = row.get("kept", (0, 0))
        fade = (1.0 - 1.0 / REMEMBERED) ** again
        self.kept, self.drawn_again = fade * self.kept + kept, fade * self.drawn_again + again

    def compiled(self, version: str = "") -> Segments | None:
        """Return what shards assign with; None before the first fit."""
        return self.clusters.compiled(version)

    def names(self) -> dict[str, str]:
        """Return the segments' names in words, by id."""
        segments = self.compiled()
        return {} if segments is None else {str(number): name for number, name in segments.named().items()}

    def report(self) -> dict[str, Any]:
        """Quality of the segments; `stability` is the share of customers who kept theirs from draw to draw."""
        quality = self.clusters.quality()
        matrix: dict[str, dict[str, int]] = {}
        for (before, after), n in sorted(self.movements.items()):
            matrix.setdefault(str(before), {})[str(after)] = n
        stability = self.kept / self.drawn_again if self.drawn_again else None
        return quality | {
            "stability": stability,
            "kept_in_fit": quality["stability"],
            "names": self.names(),
            "members": self.members,
            "movements": matrix,
        }
