"""The input: seeded records of a made-up shop, with duplicates, late ones and broken ones among them.

Everything that is expected of the job is counted here, by simple means of its own.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from chaos.broken import BROKEN
from models.partition import partition_of

BEGIN = datetime(2025, 1, 6, 8, tzinfo=UTC)
DAYS = 100
SETTLED = 300
"""Before so many events a time jump is not known as one."""
TOPIC_OF = {
    "customer": "customers",
    "forgotten": "customers",
    "purchase": "transactions",
    "refund": "transactions",
    "feedback": "feedback",
    "observation": "observations",
}
"""Everything else is an engagement."""
BRANDS = ("acme", "zeta", "orla", "finch")
SAID = ("Lovely {}, works as promised.", "The {} broke after a week. Refund!", "{} is fine", "Nothing to say of {}.")


@dataclass
class Record:
    """What is sent, and the reason of the dead letter that must come of it (None: a good one)."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()
    reason: str | None = None


@dataclass
class Input:
    """Records in the order in which they are sent, and the figures that must come out."""

    seed: int | str
    partitions: int
    records: list[Record] = field(default_factory=list)
    sales_e4: Counter[str] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)
    duplicates: int = 0

    def ends(self) -> Counter[tuple[str, int]]:
        """End offset of each partition."""
        return Counter((record.topic, record.partition) for record in self.records)

    def dead(self) -> Counter[tuple[Any, ...]]:
        """(topic, partition, offset, key, value, headers, reason) of every dead letter that must come."""
        at: Counter[tuple[str, int]] = Counter()
        found: Counter[tuple[Any, ...]] = Counter()
        for record in self.records:
            where = record.topic, record.partition
            if record.reason is not None:
                found[(*where, at[where], record.key, record.value, record.headers, record.reason)] += 1
            at[where] += 1
        return found


def make(seed: int | str, events: int, partitions: int, customers: int = 1_200, broken: float = 0.01) -> Input:
    """Draw an input.

    Parameters
    ----------
    events
        Good events before duplicates.
    broken
        Share of broken records to add; each kind comes about equally often.
    """
    rng = random.Random(f"chaos {seed}")
    made = Input(seed, partitions)
    kinds = list(BROKEN)
    sent: list[tuple[float, int, Record]] = []
    for number, (at, arrives, event) in enumerate(_events(rng, events, customers)):
        record = _record(event, partitions)
        sent.append((arrives, number, record))
        if event["type"] in ("purchase", "refund"):
            _sell(made, event)
        if rng.random() < 0.01 and not _leaves(event.get("customer_id")):  # who was forgotten is new again
            made.duplicates += 1
            sent.append((arrives + rng.uniform(0, 7_200), number, record))
        if rng.random() < broken and number > SETTLED and event["type"] != "forgotten":
            kind = kinds[sum(made.broken.values()) % len(kinds)]
            made.broken[kind] += 1
            sent.append((arrives, events + number, BROKEN[kind](rng, record, at, partitions)))
    sent.sort(key=lambda one: one[:2])
    made.records = [record for _, _, record in sent]
    return made


def _leaves(customer: str | None) -> bool:
    """Whether a customer is one of those who ask to be forgotten, again and again."""
    return customer is not None and customer.endswith("7")


def _record(event: dict[str, Any], partitions: int) -> Record:
    key = (event.get("customer_id") or event["event_id"]).encode()
    where = TOPIC_OF.get(event["type"], "engagements")
    return Record(where, partition_of(key, partitions), key, json.dumps(event).encode(), (("source", b"shop"),))


def _sell(made: Input, event: dict[str, Any]) -> None:
    sign = 1 if event["type"] == "purchase" else -1
    main = event["currency"] == "GBP"
    for line in event["lines"]:
        amount = sign * round(line["quantity"] * line["unit_price"] * 10_000)
        made.sales_e4["all" if main else f"all:{event['currency']}"] += amount
        if main:
            made.sales_e4[f"category:{line['category'] or 'other'}"] += amount


def _events(rng: random.Random, events: int, customers: int) -> Iterator[tuple[float, float, dict[str, Any]]]:
    """Event, its time and when it arrives: mostly minutes later, now and then days."""
    pace = {f"c{n:05d}": rng.lognormvariate(0.0, 1.0) for n in range(customers)}
    names, weights = list(pace), list(pace.values())
    span = DAYS * 86_400
    times = sorted(rng.uniform(0, span) for _ in range(events))
    pick = rng.choices(names, weights, k=events)
    known: set[str] = set()
    for number, (at, customer) in enumerate(zip(times, pick, strict=True)):
        event = _event(rng, number, customer, known)
        event |= {"event_id": f"e{number}", "occurred_at": (BEGIN + timedelta(seconds=int(at))).isoformat()}
        delay = rng.uniform(86_400, 3 * 86_400) if rng.random() < 0.005 else rng.expovariate(1 / 120)
        yield at, at + delay, event


def _event(rng: random.Random, number: int, customer: str, known: set[str]) -> dict[str, Any]:
    draw = rng.random()
    base: dict[str, Any] = {"customer_id": customer}
    if customer not in known or draw < 0.06:
        known.add(customer)
        attributes: dict[str, Any] = {"city": rng.choice(["Leeds", "York", "Bath"]), "age": rng.randint(18, 90)}
        attributes |= {"vip": rng.random() < 0.1, "country": rng.choice(["GB", "IE"])}
        return base | {"type": "customer", "attributes": attributes, "consent": {"email": rng.random() < 0.9}}
    if draw < 0.09 and _leaves(customer):
        return base | {"type": "forgotten"}
    if draw < 0.27:
        kind = rng.choices(["sent", "withheld", "opened", "clicked", "converted", "unsubscribed"], [6, 1, 3, 2, 2, 0.1])
        contact = {"campaign_id": rng.choice(["spring", "vouchers"]), "channel": "email"}
        return base | {"type": kind[0]} | contact
    if draw < 0.31:
        return _feedback(rng, customer)
    if draw < 0.33:
        series = rng.choice(["competitor:acme", "market volume"])
        return {"type": "observation", "series": series, "value": rng.randint(1, 999) / 10, "unit": "GBP"}
    if draw < 0.35:
        base["customer_id"] = None
    kind = "refund" if draw > 0.96 else "purchase"
    currency = "EUR" if number % 25 == 0 else "GBP"
    lines = [_line(rng) for _ in range(rng.randint(1, 4))]
    if rng.random() < 0.05:  # what is bought together
        lines += [_line(rng) | {"product_id": product} for product in ("pot", "lid")]
    return base | {"type": kind, "currency": currency, "channel": "web", "lines": lines}


def _feedback(rng: random.Random, customer: str) -> dict[str, Any]:
    """Stars, words or both, now and then of nobody."""
    brand = rng.choice(BRANDS)
    said: dict[str, Any] = {"type": "feedback", "brand": brand, "source": "reviews"}
    said |= {"customer_id": customer if rng.random() < 0.9 else None, "category": rng.choice(["tea", "lamps", None])}
    how = rng.random()
    stars = {"rating": rng.randint(1, 5)} if how < 0.8 else {}
    words = {"text": rng.choice(SAID).format(brand)} if how > 0.3 else {}
    return said | stars | words


def _line(rng: random.Random) -> dict[str, Any]:
    """Most with a brand, some of these with what else was there."""
    brand = rng.choice([*BRANDS, None])
    price = rng.randint(50, 9_000) / 100
    line = {
        "product_id": f"p{min(int(rng.expovariate(0.08)), 80)}",
        "category": rng.choice(["tea", "lamps", "bags", None]),
        "brand": brand,
        "quantity": rng.randint(1, 5),
        "unit_price": price,
    }
    if brand is not None and rng.random() < 0.5:
        others = rng.sample(BRANDS, rng.randint(1, len(BRANDS)))
        line["alternatives"] = [
            {
                "brand": other,
                "unit_price": price if other == brand else rng.choice([rng.randint(50, 9_000) / 100, 0, None]),
                "promoted": rng.choice([True, False, None]),
            }
            for other in others
        ]
    return line
