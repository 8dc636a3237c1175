"""The simulated Starbucks offers as events, read from a folder that the user has.

The publisher's set is three files under `starbucks/`: `profile.json.gz`, `portfolio.json` and
`events_flat.csv.gz` (its `transcript.json`, one line an event). Time comes in ticks of six hours. Within a
tick offers come first, so that nobody's decision knows what the same tick brought; the rest keeps the order
of the file, milliseconds apart.

An offer received is a `sent` of a campaign of its own, with the offer's terms as attributes and its duration,
to the end of its last tick, as the window. A look at it is `opened`. `converted` is what the offer was for: it
was looked at and then completed, within its duration; who completes an offer without having seen it was not
moved by it. Informational offers cannot be completed: of them only the looks are told. A transaction is a
`purchase` in USD.
"""

import csv
import gzip
import json
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from schemas.events import Converted, Customer, Event, Line, Opened, Purchase, Sent, Value

CURRENCY: Final = "USD"
FOLDER: Final = "starbucks"
START: Final = datetime(2018, 7, 27, tzinfo=UTC)
"""The day after the last customer became one; the set counts hours from an unnamed day."""
TICK: Final = timedelta(hours=6)
SECOND_WAVE: Final = START + timedelta(hours=168)
NO_AGE: Final = 118
"""Stands for a profile that was not given."""


class Row(Struct):
    """One line of the set, at its time; `number` is its place in the file."""

    number: int
    person: str
    event: str
    at: datetime
    offer: str
    amount: float


class Receipt(Struct):
    """An offer that reached somebody."""

    row: Row
    closes_at: datetime
    campaign: str

    def holds(self, row: Row) -> bool:
        """Whether what happened belongs to this receipt: after it in the file, and within its duration."""
        return self.row.number < row.number and row.at <= self.closes_at


def _tick(hours: int) -> datetime:
    return START + timedelta(hours=hours)


def _rows(folder: Path) -> Iterator[Row]:
    with gzip.open(folder / "events_flat.csv.gz", "rt", encoding="utf-8", newline="") as text:
        read = enumerate(csv.DictReader(text))
        for hours, group in groupby(read, key=lambda pair: int(pair[1]["time"])):
            some = sorted(group, key=lambda pair: (pair[1]["event"] != "offer received", pair[0]))
            for place, (number, row) in enumerate(some):
                at = _tick(hours) + timedelta(milliseconds=place)
                yield Row(number, row["person"], row["event"], at, row["offer_id"], float(row["amount"] or 0))


def _profiles(folder: Path) -> Iterator[Event]:
    with gzip.open(folder / "profile.json.gz", "rt", encoding="utf-8") as text:
        for line in text:
            known = json.loads(line)
            given = known["age"] != NO_AGE
            joined = datetime.strptime(known["became_member_on"], "%Y%m%d").replace(tzinfo=UTC)
            attributes: dict[str, Value] = {
                "gender": known["gender"],
                "age": known["age"] if given else None,
                "income": known["income"],
                "member_days": (START - joined).days,
            }
            person = known["id"]
            yield Customer(event_id=f"p-{person}", customer_id=person, occurred_at=START, attributes=attributes)


def _offers(folder: Path) -> dict[str, dict[str, Any]]:
    with (folder / "portfolio.json").open(encoding="utf-8") as text:
        return {offer["id"]: offer for offer in map(json.loads, text)}


def _attributes(offer: dict[str, Any]) -> dict[str, Value]:
    channels = {f"by_{channel}": channel in offer["channels"] for channel in ("web", "mobile", "social")}
    terms = {name: offer[name] for name in ("difficulty", "reward", "duration", "offer_type")}
    return {**terms, **channels, "offer": offer["id"][:8]}


def _receipts(rows: Iterable[Row], offers: dict[str, dict[str, Any]]) -> dict[tuple[str, str], list[Receipt]]:
    found: dict[tuple[str, str], list[Receipt]] = defaultdict(list)
    for row in rows:
        if row.event == "offer received":
            closes_at = row.at + timedelta(days=offers[row.offer]["duration"]) + TICK - timedelta(minutes=1)
            wave = int((row.at - START) / timedelta(hours=1))
            found[row.person, row.offer].append(Receipt(row, closes_at, f"{row.offer[:8]}-{wave}"))
    return found


def _converting(rows: Iterable[Row], receipts: dict[tuple[str, str], list[Receipt]]) -> dict[int, list[Receipt]]:
    """Receipts that a completion answers, by its line: it is their first, and they had been looked at before."""
    seen: set[int] = set()
    done: set[int] = set()
    found: dict[int, list[Receipt]] = defaultdict(list)
    for row in rows:
        for receipt in receipts.get((row.person, row.offer), ()):
            if not receipt.holds(row):
                continue
            if row.event == "offer viewed":
                seen.add(receipt.row.number)
            elif row.event == "offer completed" and receipt.row.number not in done:
                done.add(receipt.row.number)
                if receipt.row.number in seen:
                    found[row.number].append(receipt)
    return found


def events(folder: Path) -> Iterator[Event]:
    """Events in time order. `folder` holds `starbucks/`. Raises `OSError` where a file cannot be read."""
    folder = folder / FOLDER
    offers, rows = _offers(folder), list(_rows(folder))
    receipts = _receipts(rows, offers)
    converting = _converting(sorted(rows, key=lambda row: row.number), receipts)
    yield from _profiles(folder)
    for row in rows:
        yield from _event(row, offers, receipts, converting)


def _event(
    row: Row,
    offers: dict[str, dict[str, Any]],
    receipts: dict[tuple[str, str], list[Receipt]],
    converting: dict[int, list[Receipt]],
) -> Iterator[Event]:
    common: dict[str, Any] = {"event_id": str(row.number), "customer_id": row.person, "occurred_at": row.at}
    if row.event == "transaction":
        line = Line(product_id="coffee", quantity=1, unit_price=row.amount)
        yield Purchase(**common, currency=CURRENCY, channel="shop", lines=(line,))
        return
    own = receipts[row.person, row.offer]
    latest = own[max(bisect_right(own, row.at, key=lambda receipt: receipt.row.at) - 1, 0)]
    engaged = common | {"campaign_id": latest.campaign, "channel": "app"}
    if row.event == "offer viewed":
        yield Opened(**engaged)
    elif row.event == "offer received" and offers[row.offer]["offer_type"] != "informational":
        window = (latest.closes_at - row.at).total_seconds()
        yield Sent(**engaged, attributes=_attributes(offers[row.offer]), window_seconds=window)
    for receipt in converting.get(row.number, ()):
        names = {"event_id": f"{row.number}-{receipt.row.number}", "campaign_id": receipt.campaign}
        yield Converted(**(engaged | names))
