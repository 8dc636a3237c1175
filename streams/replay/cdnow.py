"""The CDNOW set as events: a year and a half of a music shop's first customers, from a folder given.

The data are Fader and Hardie's: one row a purchase, with customer, day, number of CDs and dollars. They have no
time of day, so a customer's rows of one day are one purchase, at noon UTC, as in the papers.
"""

import gzip
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Final

from schemas.events import Line, Purchase

CURRENCY: Final = "USD"
FILES: Final = ("CDNOW_master.txt.gz", "CDNOW_master.txt")
_Row = tuple[str, str, int, float]


def events(folder: Path) -> Iterator[Purchase]:
    """Purchases in time order, customers in the data's order within a day.

    Raises
    ------
    FileNotFoundError
        The folder has none of `FILES`.
    ValueError
        A row is not what it should be.
    """
    path = next((folder / name for name in FILES if (folder / name).is_file()), None)
    if path is None:
        raise FileNotFoundError(f"{folder} has no {' or '.join(FILES)}")
    rows = sorted(_rows(path), key=_day_and_customer)  # 70 thousand, in the order of customers
    for (day, customer), group in groupby(rows, key=_day_and_customer):
        yield Purchase(
            event_id=f"{customer}-{day}",
            customer_id=customer,
            occurred_at=datetime.strptime(f"{day}12", "%Y%m%d%H").replace(tzinfo=UTC),
            currency=CURRENCY,
            channel="web",
            lines=tuple(Line(product_id="cd", quantity=cds, unit_price=paid / cds) for _, _, cds, paid in group),
        )


def _rows(path: Path) -> Iterator[_Row]:
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as text:
        for line in text:
            fields = line.split()
            if fields and fields[0].isdecimal():
                customer, day, cds, paid = fields
                yield customer, day, int(cds), float(paid)


def _day_and_customer(row: _Row) -> tuple[str, str]:
    return row[1], row[0]
