"""How a brand's share of its category moves with what goes below its usual price, day by day.

Not causal: promotions are timed, rivals' promotions move as well, and who buys ahead does not buy later.
"""

from collections.abc import Callable
from typing import Any, Final

from msgspec import Struct, field

from models.market.price import Slope

MAX_OPEN: Final = 400
"""Days that may be open at once; what comes of yet another one counts nowhere here."""
E3: Final = 1_000


class Went(Struct, array_like=True):
    """One brand's day, in 1/1,000 units: all that was bought, what of it had a usual price, and what went below it."""

    units_e3: int = 0
    judged_e3: int = 0
    low_e3: int = 0


class Promotions(Struct):
    """A category's days that are open, and of each brand the slope of its share on the share bought low.

    A day counts for the brands that were bought on it. Integers alone: the order in which sales come is forgotten.
    """

    days: dict[int, dict[str, Went]] = field(default_factory=dict)
    slopes: dict[str, Slope] = field(default_factory=dict)
    closed: int | None = None

    def sold(self, brand: str, day: int, units: float, low: bool | None) -> None:
        """Add what was bought. `low`: whether below the usual price, None where there is none yet."""
        if (self.closed is not None and day < self.closed) or (day not in self.days and len(self.days) >= MAX_OPEN):
            return
        went = self.days.setdefault(day, {}).setdefault(brand, Went())
        amount = round(units * E3)
        went.units_e3 += amount
        if low is not None:
            went.judged_e3 += amount
            went.low_e3 += amount * low

    def close(self, until: int) -> None:
        """Days before `until` are over: of each brand bought, one point."""
        self.closed = until if self.closed is None else max(self.closed, until)
        for day in sorted(day for day in self.days if day < until):
            brands = self.days.pop(day)
            total = sum(went.units_e3 for went in brands.values())
            for brand, went in sorted(brands.items()):
                if went.judged_e3:
                    slope = self.slopes.setdefault(brand, Slope())
                    slope.learn_one(went.low_e3 / went.judged_e3, went.units_e3 / total)

    def leave(self, brand: str, other: str) -> None:
        """A brand has given its place: its days go to the rest, and its slope is forgotten."""
        self.slopes.pop(brand, None)
        for brands in self.days.values():
            if brand in brands:
                gone, rest = brands.pop(brand), brands.setdefault(other, Went())
                rest.units_e3 += gone.units_e3
                rest.judged_e3 += gone.judged_e3
                rest.low_e3 += gone.low_e3

    def absorb(self, gone: "Promotions", name: Callable[[str], str]) -> None:
        """Add the open days of another category, its brands under other names. Its slopes are forgotten."""
        for day, brands in gone.days.items():
            if (self.closed is None or day >= self.closed) and (day in self.days or len(self.days) < MAX_OPEN):
                for brand, went in brands.items():
                    mine = self.days.setdefault(day, {}).setdefault(name(brand), Went())
                    mine.units_e3 += went.units_e3
                    mine.judged_e3 += went.judged_e3
                    mine.low_e3 += went.low_e3

    def report(self, brand: str) -> dict[str, Any] | None:
        """Return by how much the share is greater on a day when all is bought low than when nothing is; None: unknown.

        `slope` with `low` and `high` that hold with 95 % if days are independent, of `n` days.
        """
        found = self.slopes[brand].estimate() if brand in self.slopes else None
        return None if found is None else {"slope": found.slope, "low": found.low, "high": found.high, "n": found.n}
