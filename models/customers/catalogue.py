"""The catalogue of features: name, unit, meaning, owner and scaling of each, and the function that defines it.

A further feature is one function at the end of this file: its name is the feature's, its docstring says what it means.
Examples, models and states of before stay good, for a row that was packed without it is read as 0 there, and a model
that does not know it does not look. None is moved or removed: a packed row knows its values by their places.

Scorers compute the first `FUSED` in one pass (`models/customers/features.py`), to the bit what the functions here say;
one that is added is computed by its function until it is worth a place in that pass.
"""

from collections.abc import Callable, Iterator
from typing import Final

from msgspec import Struct

from models.policy import DAY
from schemas.state import CustomerState, Day

SCALING: Final = "sign(v) ln(1 + |v|), within 60,000, 16 bits"
"""Of every feature, before a model sees it."""
FUSED: Final = 21


class Moment(Struct, frozen=True):
    """One customer's state at one time, in epoch seconds; amounts are in `currency`, the shop's main one."""

    state: CustomerState
    at: float
    currency: str

    def days(self, count: int) -> Iterator[Day]:
        """Today and the days before, `count` in all, by days in UTC."""
        today = int(self.at // DAY)
        return (day for day in self.state.days if 0 <= today - day.day < count)

    def orders(self, days: int) -> int:
        """Purchases of the last days."""
        return sum(day.orders for day in self.days(days))

    def spend(self, days: int) -> float:
        """Purchases less refunds of the last days."""
        return sum(day.spend_e4 for day in self.days(days)) / 1e4


class Feature(Struct, frozen=True):
    """One feature. `owner` is the topic whose events it is made of, `of` gives its value in its unit."""

    name: str
    unit: str
    meaning: str
    owner: str
    of: Callable[[Moment], float]
    scaling: str = SCALING


CATALOGUE: Final[list[Feature]] = []
"""In the order of their columns."""
_SALES: Final = "transactions"
_CAMPAIGNS: Final = "engagements"
_Computed = Callable[[Moment], float]


def feature(unit: str, owner: str) -> Callable[[_Computed], _Computed]:
    """Put a function into the catalogue."""

    def add(of: _Computed) -> _Computed:
        CATALOGUE.append(Feature(of.__name__, unit, str(of.__doc__), owner, of))
        return of

    return add


@feature("days", _SALES)
def recency_days(one: Moment) -> float:
    """Since the latest purchase; 0 before the first."""
    last = one.state.last_purchase
    return 0.0 if last is None else max(one.at - last, 0.0) / DAY


@feature("days", _SALES)
def tenure_days(one: Moment) -> float:
    """Since the first purchase; 0 before it."""
    first = one.state.first_purchase
    return 0.0 if first is None else max(one.at - first, 0.0) / DAY


@feature("purchases", _SALES)
def orders(one: Moment) -> float:
    """Ever made."""
    return one.state.orders


@feature("refunds", _SALES)
def refunds(one: Moment) -> float:
    """Ever taken."""
    return one.state.refunds


@feature("main currency", _SALES)
def spend(one: Moment) -> float:
    """Purchases less refunds, of all time; none in other currencies."""
    return one.state.spend.get(one.currency, 0) / 1e4


@feature("main currency", _SALES)
def mean_order(one: Moment) -> float:
    """`spend` over `orders`; 0 before the first."""
    return spend(one) / one.state.orders if one.state.orders else 0.0


@feature("days", _SALES)
def gap_mean_days(one: Moment) -> float:
    """Mean time between purchases; 0 before the second."""
    first, last, made = one.state.first_purchase, one.state.last_purchase, one.state.orders
    return 0.0 if first is None or last is None or made < 2 else (last - first) / DAY / (made - 1)


@feature("ratio", _SALES)
def gap_ratio(one: Moment) -> float:
    """`recency_days` over `gap_mean_days` (one day at least): how overdue the next purchase is; 0 before the second."""
    return recency_days(one) / max(gap_mean_days(one), 1.0) if one.state.orders > 1 else 0.0


@feature("purchases", _SALES)
def orders_7d(one: Moment) -> float:
    """Made today (UTC) and in the 6 days before."""
    return one.orders(7)


@feature("purchases", _SALES)
def orders_30d(one: Moment) -> float:
    """Made today and in the 29 days before."""
    return one.orders(30)


@feature("purchases", _SALES)
def orders_90d(one: Moment) -> float:
    """Made today and in the 89 days before."""
    return one.orders(90)


@feature("main currency", _SALES)
def spend_7d(one: Moment) -> float:
    """Purchases less refunds, today and in the 6 days before."""
    return one.spend(7)


@feature("main currency", _SALES)
def spend_30d(one: Moment) -> float:
    """Purchases less refunds, today and in the 29 days before."""
    return one.spend(30)


@feature("main currency", _SALES)
def spend_90d(one: Moment) -> float:
    """Purchases less refunds, today and in the 89 days before."""
    return one.spend(90)


@feature("0 or 1", _SALES)
def has_bought(one: Moment) -> float:
    """Whether there was a purchase: tells times of 0 from those that are not known."""
    return one.state.first_purchase is not None


@feature("0 or 1", _SALES)
def has_gap(one: Moment) -> float:
    """Whether there was a second purchase: tells a gap of 0 from one that is not known."""
    return one.state.orders > 1


@feature("categories", _SALES)
def categories(one: Moment) -> float:
    """Different ones bought, of the eight that are remembered."""
    return len(one.state.categories)


@feature("messages", _CAMPAIGNS)
def sent(one: Moment) -> float:
    """Sent, in the eight campaigns that are remembered."""
    return sum(offer.sent for offer in one.state.offers.values())


@feature("messages", _CAMPAIGNS)
def opened(one: Moment) -> float:
    """Opened, in these campaigns."""
    return sum(offer.opened for offer in one.state.offers.values())


@feature("messages", _CAMPAIGNS)
def clicked(one: Moment) -> float:
    """Clicked, in these campaigns."""
    return sum(offer.clicked for offer in one.state.offers.values())


@feature("conversions", _CAMPAIGNS)
def converted(one: Moment) -> float:
    """Reported, in these campaigns."""
    return sum(offer.converted for offer in one.state.offers.values())
