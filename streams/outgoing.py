"""What of a commit leaves for Kafka, cut into records of a bounded size."""

from base64 import b64decode
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from models.cold import NAMES
from schemas.commit import Commit, Outgoing

MAX_BYTES: Final = 512_000
_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder()


def records(commit: Commit) -> Iterator[Outgoing]:
    """Triggers and dead letters as they are; a task's examples as one record, or several where one is too large."""
    yield from commit.outgoing
    for task, rows in commit.examples.items():
        yield from _parts(task, rows)


def _parts(task: str, rows: Sequence[object]) -> Iterator[Outgoing]:
    body = _ENCODER.encode({"task": task, "features": NAMES.get(task, ()), "rows": rows})
    if len(body) > MAX_BYTES and len(rows) > 1:
        middle = len(rows) // 2
        yield from _parts(task, rows[:middle])
        yield from _parts(task, rows[middle:])
    else:
        yield Outgoing("examples", task.encode(), body)


def read_examples(body: bytes) -> tuple[str, list[dict[str, Any]]]:
    """Task and rows of a record of `examples`; packed features are bytes again."""
    record = _DECODER.decode(body)
    rows = record["rows"]
    for row in rows:
        if "x" in row:
            row["x"], row["a"] = b64decode(row["x"]), b64decode(row.get("a", ""))
    return record["task"], rows
