"""How people buy: when, where and how much at once, month by month."""

from collections.abc import Callable
from typing import Any, Final

from msgspec import Struct, field

from models.market.growth import MONTHS_KEPT

BOUNDS: Final = {"hour": 24, "weekday": 7, "channel": 16, "country": 64}
"""Values told apart; whatever comes up later in a month counts as `other`."""
OTHER: Final = "other"
SHOWN: Final = 24
BASKET: Final = (
    ("basket_products", "products", "purchases", 1.0),
    ("basket_units", "units_e3", "purchases", 1e3),
    ("basket_revenue", "revenue_e4", "in_main", 1e4),
)
"""What is told of a basket: its name, what is added up, over which purchases, and in what unit."""
WEEKDAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


class MonthMix(Struct):
    """Sums of one month. `counts` are purchases; units are in 1/1,000.

    `revenue_e4` is in 1/10,000 of the main currency, and of the purchases in it alone, `in_main` of them.
    """

    purchases: int = 0
    in_main: int = 0
    products: int = 0
    units_e3: int = 0
    revenue_e4: int = 0
    counts: dict[str, dict[str, int]] = field(default_factory=lambda: {what: {} for what in BOUNDS})


class Mix(Struct):
    """Purchases by month, the latest 36 months. One of an older month is dropped."""

    months: dict[int, MonthMix] = field(default_factory=dict)

    def of(self, month: int) -> MonthMix | None:
        """Return the month's sums, to be added to; None if it is gone."""
        found = self.months.get(month)
        if found is None:
            if self.months and month <= max(self.months) - MONTHS_KEPT:
                return None
            found = self.months[month] = MonthMix()
            newest = max(self.months)
            for old in [old for old in self.months if old <= newest - MONTHS_KEPT]:
                del self.months[old]
        return found

    def count(self, month: MonthMix, what: str, value: str) -> None:
        """Count one purchase."""
        counts = month.counts[what]
        if value not in counts and len(counts) >= BOUNDS[what]:
            value = OTHER
        counts[value] = counts.get(value, 0) + 1

    def report(self, month: int) -> dict[str, Any]:
        """Return the figures of a month, each with its `change` against the month before; empty if it is not known.

        Shares and their changes are of the purchases of which the value is known, the largest 24.
        """
        now, before = self.months.get(month), self.months.get(month - 1)
        if now is None or not now.purchases:
            return {}
        found: dict[str, Any] = {"purchases": _moved(now.purchases, before.purchases if before else None)}
        found["revenue"] = _moved(now.revenue_e4 / 1e4, before.revenue_e4 / 1e4 if before else None)
        for label, name, of, unit in BASKET:
            found[label] = _moved(_each(now, name, of, unit), _each(before, name, of, unit) if before else None)
        for what in BOUNDS:
            found[what] = _shares(what, now.counts[what], before.counts[what] if before else {})
        return found


def _each(month: MonthMix, name: str, of: str, unit: float) -> float | None:
    purchases = getattr(month, of)
    return getattr(month, name) / unit / purchases if purchases else None


def _moved(now: float | None, before: float | None) -> dict[str, float | None]:
    return {"value": now, "change": None if now is None or before is None else now - before}


def _shares(what: str, now: dict[str, int], before: dict[str, int]) -> dict[str, dict[str, float | None]]:
    """Weekdays come in the order of the week, hours by number."""
    total, old = sum(now.values()), sum(before.values())
    largest = sorted(now, key=lambda value: (-now[value], value))[:SHOWN]
    order: Callable[[str], Any] = WEEKDAYS.index if what == "weekday" else lambda value: (len(value), value)
    return {
        value: _moved(now[value] / total, before.get(value, 0) / old if old else None)
        for value in sorted(largest, key=order)
    }
