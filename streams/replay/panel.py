"""Household panels of brand choice as events: who bought which brand, and what all brands cost then.

A file has `household, occasion, choice`, and for each brand `price.<brand>`, and `feat.<brand>` and
`disp.<brand>` where it was advertised or on display. Rows of a household are in order of purchase,
without dates: purchase k of n is placed at (k - 1 + u) / n of the period, u drawn once, by a seed.
"""

import csv
import gzip
import random
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from schemas.events import Alternative, Line, Purchase

BEGIN: Final = datetime(2024, 1, 1, tzinfo=UTC)
PERIOD: Final = timedelta(days=728)
HALF: Final = BEGIN + PERIOD / 2
CURRENCY: Final = "USD"


def events(path: Path, seed: int = 0) -> Iterator[Purchase]:
    """Purchases in time order; the category is the file's name.

    Parameters
    ----------
    path
        CSV, gzip or not.
    seed
        Of the moments inside each household's n-th part of the period.

    Raises
    ------
    OSError, KeyError, ValueError
        The file is not there, or not such a panel.
    """
    with gzip.open(path, "rt", newline="") if path.suffix == ".gz" else path.open(newline="") as text:
        rows = list(csv.DictReader(text))
    category = path.name.split(".")[0]
    draw = random.Random(seed)
    counts, seen = Counter(row["household"] for row in rows), Counter[str]()
    placed: list[tuple[float, int]] = []
    for row in rows:
        household = row["household"]
        placed.append(((seen[household] + draw.random()) / counts[household], len(placed)))
        seen[household] += 1
    for share, place in sorted(placed):
        yield _purchase(rows[place], category, place, BEGIN + share * PERIOD)


def _purchase(row: dict[str, str], category: str, number: int, at: datetime) -> Purchase:
    brands = [name.removeprefix("price.") for name in row if name.startswith("price.")]
    alternatives = tuple(
        Alternative(brand=brand, unit_price=_price(row, brand), promoted=_promoted(row, brand)) for brand in brands
    )
    brand = row["choice"]
    line = Line(
        product_id=brand,
        quantity=1,
        unit_price=_price(row, brand) or 0.0,
        category=category,
        brand=brand,
        alternatives=alternatives,
    )
    return Purchase(
        event_id=f"{category}-{number}",
        customer_id=f"household-{row['household']}",
        occurred_at=at,
        currency=CURRENCY,
        channel="store",
        lines=(line,),
    )


def _price(row: dict[str, str], brand: str) -> float | None:
    """Price of a brand; 0 stands for a price that is missing."""
    return float(row[f"price.{brand}"]) or None


def _promoted(row: dict[str, str], brand: str) -> bool:
    return any(float(row.get(f"{how}.{brand}") or 0) > 0 for how in ("feat", "disp"))
