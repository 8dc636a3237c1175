"""Labelled tweets about brands as feedback: the label is a rating of 1, 3 or 5 stars.

A file has `created` (UTC, to the minute), `airline`, `airline_sentiment` and `text`, in time order. Nothing else
of it is read; a reason for what is negative, say, would give the label away.
"""

import csv
import gzip
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from schemas.events import Feedback

RATINGS: Final = {"negative": 1.0, "neutral": 3.0, "positive": 5.0}
CATEGORY: Final = "airlines"


def events(path: Path) -> Iterator[Feedback]:
    """Feedback in the file's order.

    Raises
    ------
    OSError, KeyError, ValueError
        The file is not there, or has another form.
    """
    with gzip.open(path, "rt", newline="") if path.suffix == ".gz" else path.open(newline="") as text:
        for number, row in enumerate(csv.DictReader(text)):
            yield Feedback(
                event_id=f"tweet-{number}",
                customer_id=None,
                occurred_at=datetime.fromisoformat(row["created"]).replace(tzinfo=UTC),
                brand=row["airline"],
                category=CATEGORY,
                rating=RATINGS[row["airline_sentiment"]],
                text=row["text"],
                source="twitter",
            )
