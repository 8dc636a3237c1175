"""On which of its open days a series sells at all, how much then, and whether refunds outweigh it."""

from typing import Final

from msgspec import Struct

from models.sales.calendar import WEEK

MINOR: Final = 0.01
"""Less than this, in currency units, is nothing: no currency of two decimals can say it."""
RATE: Final = 0.05
KNOWN: Final = 7
"""Days with an amount before a series may count as silent or as signed."""
GAPS: Final = 5.0
"""A silence is this many usual gaps long, and a week: where days are alike, one gap in 150 is."""
SPARSE: Final = 1.15
"""Usual gap, in open days, from which days without an amount are ordinary: one day in eight."""
SIGNED: Final = 0.2
"""Share of days below zero from which a series is forecast below zero too."""
SPIKE: Final = 4.0
"""An amount counts as at most this many times what is usual: one bulk order must not set the level."""


class Presence(Struct):
    """The gaps between days with an amount, their usual size without its sign, and how many are below zero.

    Gaps are those of Croston (1972), Operational Research Quarterly 23, 289-303. A silence is no gap.
    """

    days: int = 0
    empty: int = 0
    gap: float = 1.0
    size: float = 0.0
    below: float = 0.0

    def learn_one(self, revenue: float) -> None:
        """Learn an open day's revenue, in currency units."""
        if abs(revenue) < MINOR:
            self.empty += 1
            return
        rate = max(RATE, 1.0 / (self.days + 1))
        if not self.silent:
            self.gap += rate * (self.empty + 1 - self.gap)
        self.size += rate * (abs(self.clip(revenue)) - self.size)
        self.below += rate * ((revenue < 0.0) - self.below)
        self.empty = 0
        self.days += 1

    def clip(self, revenue: float) -> float:
        """Return an amount within a few times its usual size, either way."""
        most = SPIKE * self.size
        return min(max(revenue, -most), most) if most > 0.0 else revenue

    @property
    def silent(self) -> bool:
        """Whether the series pauses or has ended, by its own gaps."""
        return self.days >= KNOWN and self.empty >= max(WEEK, GAPS * self.gap)

    @property
    def sparse(self) -> bool:
        """Whether days without an amount are ordinary."""
        return self.days >= KNOWN and self.gap > SPARSE

    @property
    def signed(self) -> bool:
        """Whether refunds outweigh sales so often that a forecast of at least zero says nothing."""
        return self.days >= KNOWN and self.below > SIGNED
