"""The UCI Online Retail set as events: a year of a British gift shop, in the order in which it happened.

An invoice's lines of one customer and minute are one event: `purchase`, or `refund` where quantities are
below zero. A sale without customer is anonymous. With a customer's first sale, at its time, comes a `customer` event
with the country, and with consent to e-mail, which the data do not have: it is assumed, so that campaigns
have somebody to decide about. Times are London's.
"""

import csv
import gzip
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from importlib.resources import files
from itertools import groupby
from typing import Any, Final
from zoneinfo import ZoneInfo

from msgspec import Struct, field

from schemas.events import Customer, Event, Line, Purchase, Refund
from streams.replay.category import category

LINES: Final = 541_909
CURRENCY: Final = "GBP"
_LONDON: Final = ZoneInfo("Europe/London")
_DATA: Final = "data/online_retail.csv.gz"


class Account(Struct):
    """What became of each line. `sent` began an event, `merged` joined its invoice's; the rest was left out."""

    fates: Counter[str] = field(default_factory=Counter)
    left_out_e4: int = 0

    @property
    def lines(self) -> int:
        """All lines read."""
        return sum(self.fates.values())


def events(account: Account | None = None, limit: int | None = None) -> Iterator[Event]:
    """Events in time order.

    Parameters
    ----------
    account
        Filled in on the way.
    limit
        Read at most so many lines of the data.
    """
    account = Account() if account is None else account
    known: set[str] = set()
    used: Counter[str] = Counter()
    for (invoice, date, customer), group in groupby(_rows(limit), key=_invoice):
        lines = [row for row in group if _is_sale(row, account)]
        for kind, sign in ((Purchase, 1), (Refund, -1)):
            some = [row for row in lines if (int(row["Quantity"]) > 0) == (sign > 0)]
            if not some:
                continue
            at = datetime.fromisoformat(date).replace(tzinfo=_LONDON)
            if customer and customer not in known:
                known.add(customer)
                yield _customer(customer, some[0]["Country"], at)
            used[invoice] += 1
            account.fates["sent"] += 1
            account.fates["merged"] += len(some) - 1
            yield kind(
                event_id=invoice if used[invoice] == 1 else f"{invoice}-{used[invoice]}",
                customer_id=customer or None,
                occurred_at=at,
                currency=CURRENCY,
                channel="web",
                lines=tuple(map(_line, some)),
            )


def _rows(limit: int | None) -> Iterator[dict[str, Any]]:
    with gzip.open(str(files(__package__).joinpath(_DATA)), "rt", encoding="utf-8", newline="") as text:
        for number, row in enumerate(csv.DictReader(text)):
            if limit is not None and number >= limit:
                return
            yield row


def _invoice(row: dict[str, Any]) -> tuple[str, str, str]:
    return row["InvoiceNo"], row["InvoiceDate"], row["CustomerID"].removesuffix(".0")


def _is_sale(row: dict[str, Any], account: Account) -> bool:
    quantity, price = int(row["Quantity"]), float(row["UnitPrice"])
    reason = None
    if price < 0:
        reason = "left out: bad debt adjustment (negative price)"
    elif quantity == 0:
        reason = "left out: nothing sold (quantity 0)"
    elif quantity < 0 and price == 0:
        reason = "left out: stock correction (negative quantity at no price)"
    if reason is None:
        return True
    account.fates[reason] += 1
    account.left_out_e4 += round(quantity * price * 10_000)
    return False


def _customer(customer: str, country: str, at: datetime) -> Customer:
    return Customer(
        event_id=f"profile-{customer}",
        customer_id=customer,
        occurred_at=at,
        attributes={"country": country},
        consent={"email": True},
    )


def _line(row: dict[str, Any]) -> Line:
    product = row["StockCode"].strip()
    return Line(
        product_id=product,
        quantity=abs(int(row["Quantity"])),
        unit_price=float(row["UnitPrice"]),
        category=category(product, row["Description"]),
    )
