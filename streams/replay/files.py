"""Event files: JSON lines, gzip or not, of whatever types, in event-time order and in bounded memory."""

import gzip
import heapq
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from schemas.codec import Poison, decode_any, encode, topic_of
from schemas.events import Event

RUN: Final = 200_000
"""Events sorted in memory at once; more are sorted in runs on disk and merged."""


def order_of(event: Event) -> tuple[float, str]:
    """Time, then topic: how a shard orders what it finds in its topics."""
    return event.occurred_at.timestamp(), topic_of(event)


def lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Number and bytes of each line that is not blank. Raises `OSError`."""
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield number, line


def events(paths: Iterable[Path], refused: Callable[[Path, int, Poison], None]) -> Iterator[Event]:
    """Read files as they are; `refused` hears of each line that is no event, with file and line number."""
    for path in paths:
        for number, line in lines(path):
            try:
                yield decode_any(line)
            except Poison as poison:
                refused(path, number, poison)


def in_time_order(unsorted: Iterable[Event]) -> Iterator[Event]:
    """Sort by time, ties by topic; what is equal stays in its order. Disk holds what memory should not."""
    with ExitStack() as stack:
        runs: list[Iterable[Event]] = []
        batch: list[Event] = []
        for event in unsorted:
            batch.append(event)
            if len(batch) == RUN:
                runs.append(_run(sorted(batch, key=order_of), stack))
                batch = []
        yield from heapq.merge(*runs, sorted(batch, key=order_of), key=order_of)


def _run(batch: list[Event], stack: ExitStack) -> Iterator[Event]:
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the caller's stack closes it
    stack.callback(file.close)
    for event in batch:
        file.write(encode(event) + b"\n")
    file.seek(0)
    return (decode_any(line) for line in file)
