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
    """Rows are encoded once: JSON has no line breaks of its own, so what is between them is known."""
    head = _ENCODER.encode({"task": task, "features": NAMES.get(task, ()), "rows": ()})[:-2]
    body = _ENCODER.encode_lines(rows)[:-1]
    while body:
        end = len(body)
        if end > MAX_BYTES:  # a row that is larger by itself is a record by itself
            cuts = body.rfind(b"\n", 0, MAX_BYTES + 1), body.find(b"\n"), len(body)
            end = next(cut for cut in cuts if cut >= 0)
        yield Outgoing("examples", task.encode(), head + body[:end].replace(b"\n", b",") + b"]}")
        body = body[end + 1 :]


def read_examples(body: bytes) -> tuple[str, list[dict[str, Any]]]:
    """Task and rows of a record of `examples`; packed features are bytes again."""
    record = _DECODER.decode(body)
    rows = record["rows"]
    for row in rows:
        if "x" in row:
            row["x"], row["a"] = b64decode(row["x"]), b64decode(row.get("a", ""))
    return record["task"], rows
