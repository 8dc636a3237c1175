"""The UCI Bank Marketing set as events: calls that offer a term deposit, in the order of the file.

Each line is the one call to a customer of its own: a `customer` event with what the bank knows, a `sent` with
the call and the economy as the offer's attributes, a `converted` where the answer was yes. The set has no
dates: the 26 runs of equal `month` are the calendar months from May 2008, and a run's lines stand evenly
within it. The call's `duration` is left out, for it is known only afterwards. At the end comes an event that
says nothing and moves time, so that the last windows close.
"""

import csv
import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from itertools import groupby
from pathlib import Path
from typing import Any, Final, TextIO

from schemas.events import Converted, Customer, Event, Sent, Value

FILE: Final = "bank_marketing/bank-additional-full.csv.gz"
CAMPAIGN: Final = "term-deposit"
CUSTOMER: Final = ("age", "job", "marital", "education", "default", "housing", "loan", "pdays", "previous", "poutcome")
OFFER: Final = (
    "contact",
    "month",
    "day_of_week",
    "campaign",
    "emp.var.rate",
    "cons.price.idx",
    "cons.conf.idx",
    "euribor3m",
    "nr.employed",
)
NUMBERS: Final = frozenset({"age", "pdays", "previous", "campaign", *OFFER[4:]})
NEVER: Final = 999.0
"""`pdays` of a customer who was not called before: missing."""
FIRST_YEAR: Final = 2008
MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
ANSWER: Final = timedelta(milliseconds=1)
"""From call to answer; the shortest time between calls is a thousand times as long."""


@contextmanager
def _opened(folder: Path | None) -> Iterator[TextIO]:
    if folder is not None:
        with gzip.open(folder / FILE, "rt", encoding="utf-8", newline="") as text:
            yield text
        return
    with (
        files("streams.replay").joinpath("data/bank_marketing.csv.gz").open("rb") as packed,
        gzip.open(packed, "rt", encoding="utf-8", newline="") as text,
    ):
        yield text


def _placed(rows: list[dict[str, str]]) -> Iterator[tuple[datetime, dict[str, str]]]:
    """Give each line its time: the runs of months are calendar months, one after the other."""
    year, previous = FIRST_YEAR, 0
    for name, run in groupby(rows, key=lambda row: row["month"]):
        month, lines = MONTHS.index(name) + 1, list(run)
        year += month <= previous
        previous = month
        start = datetime(year, month, 1, tzinfo=UTC)
        end = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
        for place, row in enumerate(lines):
            yield start + (end - start) * (place + 0.5) / len(lines), row


def _value(name: str, text: str) -> Value:
    if name not in NUMBERS:
        return text
    number = float(text)
    return None if name == "pdays" and number == NEVER else number


def events(folder: Path | None = None, late: int = 0) -> Iterator[Event]:
    """Events in time order.

    Parameters
    ----------
    folder
        Holds `FILE`. None: the copy that comes with the package.
    late
        An answer is known once so many further calls were made. 0: before the next call.

    Raises
    ------
    OSError
        The file cannot be read.
    """
    with _opened(folder) as text:
        placed = list(_placed(list(csv.DictReader(text, delimiter=";"))))
    for number, (at, row) in enumerate(placed):
        common: dict[str, Any] = {"customer_id": f"bank-{number}", "occurred_at": at}
        known = {name: _value(name, row[name]) for name in CUSTOMER}
        yield Customer(event_id=f"profile-{number}", attributes=known, **common)
        engaged = common | {"campaign_id": CAMPAIGN, "channel": "phone"}
        offer = {name: _value(name, row[name]) for name in OFFER}
        window = (_known_at(placed, number + late) - at).total_seconds()
        yield Sent(event_id=f"call-{number}", attributes=offer, window_seconds=window, **engaged)
        if row["y"] == "yes":
            yield Converted(event_id=f"yes-{number}", **(engaged | {"occurred_at": at + ANSWER}))
    yield Customer(
        event_id="end", customer_id=f"bank-{len(placed) - 1}", occurred_at=_known_at(placed, len(placed) + late)
    )


def _known_at(placed: list[tuple[datetime, dict[str, str]]], number: int) -> datetime:
    """Just before the call after `number`; beyond the file calls go on by the minute."""
    last = len(placed) - 1
    if number < last:
        return placed[number + 1][0] - ANSWER
    return placed[last][0] + timedelta(minutes=number - last + 1) - ANSWER
