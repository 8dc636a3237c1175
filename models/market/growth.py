"""Growth accounting: how many customers of a month are new, retained or back, and how many were lost.

A customer is active in a month with a purchase that brings revenue. Which kind the customer is, is a fact of that
customer; the sums over customers are the learner's.
"""

from datetime import date
from typing import Final, Literal

from msgspec import Struct, field

from models.market.bounds import bounded
from schemas.state import Months

Kind = Literal["new", "retained", "returned"]
KINDS: Final[tuple[Kind, ...]] = ("new", "retained", "returned")
WIDTH: Final = 24
"""Months a customer's activity is remembered for; a purchase that comes later than that changes no month."""
MONTHS_KEPT: Final = 36
"""Months that the sums are kept for."""


class Change(Struct, frozen=True, array_like=True):
    """So many customers more (or less) of one kind in one month."""

    month: int
    kind: Kind
    customers: int


def active(months: Months | None, month: int) -> bool:
    """Whether the customer bought in a month that is still remembered."""
    return (
        months is not None and 0 <= months.newest - month < WIDTH and bool(months.mask >> (months.newest - month) & 1)
    )


def kind_of(months: Months, month: int) -> Kind:
    """What an active customer is in a month: new in the first one, retained after an active month, otherwise back."""
    if month == months.first:
        return "new"
    return "retained" if active(months, month - 1) else "returned"


def bought(months: Months | None, month: int) -> tuple[Months, list[Change]]:
    """Take in a purchase. Returns what is remembered now, and what changes in the sums.

    A purchase that came late can change the kind of the month after it, and who was new when.
    """
    if months is None:
        return Months(month, month), [Change(month, "new", 1)]
    if active(months, month) or months.newest - month >= WIDTH:
        return months, []
    # The first month only where there is an earlier one: else it stays what it was, also once nobody remembers it.
    touched = {month, month + 1} | ({months.first} if month < months.first else set())
    after = _with(months, month)
    changes = []
    for one in sorted(touched):
        old = kind_of(months, one) if active(months, one) else None
        new = kind_of(after, one) if active(after, one) else None
        if old != new:
            changes += [Change(one, kind, n) for kind, n in ((old, -1), (new, 1)) if kind is not None]
    return after, changes


def _with(months: Months, month: int) -> Months:
    if month > months.newest:
        mask = (months.mask << (month - months.newest) | 1) & ((1 << WIDTH) - 1)
        return Months(min(months.first, month), month, mask)
    return Months(min(months.first, month), months.newest, months.mask | 1 << (months.newest - month))


class Month(Struct):
    """One month's sums: customers, and revenue in 1/10,000 of the main currency, by kind."""

    customers: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    revenue_e4: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))


class Growth(Struct):
    """Sums by month, the latest 36. Older ones go; a change that comes for one of them is dropped."""

    months: dict[int, Month] = field(default_factory=dict)

    def change(self, month: int, kind: str, customers: int) -> None:
        """Take in a change of who is what."""
        if (at := self._at(month)) is not None:
            at.customers[kind] += customers

    def earn(self, month: int, kind: str, revenue_e4: int) -> None:
        """Take in revenue of a customer who is of that kind."""
        if (at := self._at(month)) is not None:
            at.revenue_e4[kind] = bounded(at.revenue_e4[kind] + revenue_e4)

    def _at(self, month: int) -> Month | None:
        if month not in self.months:
            if self.months and month <= max(self.months) - MONTHS_KEPT:
                return None
            self.months[month] = Month()
            newest = max(self.months)
            for old in [old for old in self.months if old <= newest - MONTHS_KEPT]:
                del self.months[old]
        return self.months[month]

    def report(self, newest: int | None = None, running: int | None = None) -> dict[str, dict[str, int | float]]:
        """Return each month as `YYYY-MM`: `active`, `new`, `retained`, `returned`, `lost`, and `revenue_<kind>`.

        Lost are those who were active in the month before and are not in this one. A month in which nobody bought is
        there, too: all of those before are lost.

        Parameters
        ----------
        newest
            A month up to which is known that nobody was active but who is counted.
        running
            The first month that is not over. It and later ones have `running`: of `lost`, some will be back.
        """
        found: dict[str, dict[str, int | float]] = {}
        if not self.months:
            return found
        first, last = min(self.months), max(newest or 0, *self.months)
        for month in range(max(first, last - MONTHS_KEPT + 1), last + 1):
            at, before = self.months.get(month, Month()), self.months.get(month - 1, Month())
            row: dict[str, int | float] = {"active": sum(at.customers.values()), **at.customers}
            row["lost"] = sum(before.customers.values()) - at.customers["retained"] if month > first else 0
            row |= {f"revenue_{kind}": at.revenue_e4[kind] / 10_000 for kind in KINDS}
            if running is not None and month >= running:
                row["running"] = True
            found[month_name(month)] = row
        return found

    def moved(self, month: int) -> dict[str, dict[str, float | None]]:
        """Return a month's customers by kind, and the share of new ones, each with its `change` in a month."""
        report = self.report(month)
        now, before = (report.get(month_name(one)) for one in (month, month - 1))
        if now is None:
            return {}
        found: dict[str, dict[str, float | None]] = {}
        for name in ("active", *KINDS, "lost"):
            found[name] = {"value": now[name], "change": None if before is None else now[name] - before[name]}
        share, was = (None if row is None or not row["active"] else row["new"] / row["active"] for row in (now, before))
        change = None if share is None or was is None else share - was
        return found | {"new_share": {"value": share, "change": change}}


def month_of(when: date) -> int:
    """Months since the year 0 of a date, or of a moment's date where it is said.

    >>> month_name(month_of(date(2011, 11, 30)))
    '2011-11'
    """
    return 12 * when.year + when.month - 1


def month_name(month: int) -> str:
    """Name a month.

    >>> month_name(12 * 2011 + 10)
    '2011-11'
    """
    return f"{month // 12:04d}-{month % 12 + 1:02d}"
