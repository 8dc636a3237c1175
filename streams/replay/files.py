"""Event files: JSON lines, gzip or not, of whatever types, in event-time order and in bounded memory."""

import gzip
import heapq
import tempfile
import zlib
from codecs import BOM_UTF8
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import BinaryIO, Final

from schemas.codec import Poison, decode_any, encode, topic_of
from schemas.events import Event
from streams.errors import Misconfigured

RUN: Final = 200_000
"""Events sorted in memory at once; more are sorted in runs on disk and merged."""
EVERY: Final = 1_000
"""Events written between two reports of progress."""


def order_of(event: Event) -> tuple[float, str]:
    """Time, then topic: how a shard orders what it finds in its topics."""
    return event.occurred_at.timestamp(), topic_of(event)


def lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Number and bytes of each line that is not blank, without the mark that some editors begin a file with.

    Raises
    ------
    Misconfigured
        The file cannot be read, or is not what a name that ends with `.gz` says, or not all of it.
    """
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            for number, line in enumerate(file, 1):
                body = line.removeprefix(BOM_UTF8) if number == 1 else line
                if body.strip():
                    yield number, body
    except (OSError, EOFError, zlib.error) as error:
        raise Misconfigured(f"{path} cannot be read to its end: {error}") from None


def events(paths: Iterable[Path], refused: Callable[[Path, int, Poison], None]) -> Iterator[Event]:
    """Read files as they are; `refused` hears of each line that is no event, with file and line number."""
    for path in paths:
        for number, line in lines(path):
            try:
                yield decode_any(line)
            except Poison as poison:
                refused(path, number, poison)


def write(path: Path, made: Iterable[Event], progress: Callable[[int], None] | None = None) -> int:
    """Write events as JSON lines, compressed if the name ends with `.gz`; the file is whole or not there.

    Parameters
    ----------
    progress
        Told how many more were written, now and then.

    Returns
    -------
    int
        How many. Raises `OSError`.
    """
    part = path.with_name(path.name + ".part")
    written = 0
    try:
        with part.open("wb") as raw, _compressed(raw) if path.suffix == ".gz" else nullcontext(raw) as file:
            for event in made:
                file.write(encode(event) + b"\n")
                written += 1
                if progress and written % EVERY == 0:
                    progress(EVERY)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    if progress:
        progress(written % EVERY)
    return written


def _compressed(raw: BinaryIO) -> gzip.GzipFile:
    """Without name or time inside: the same events make the same bytes."""
    return gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=raw, mtime=0)


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
