"""A book that grows large, saved without writing all of it again each time.

What was told since the last base is kept as a journal; whoever restores the base and tells the journal again has the
same book. Base and sealed pages never change: they are written once. Only the open page is in every snapshot.
"""

import zlib
from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, Protocol, Self, TypeVar

import msgspec

PAGE: Final = 65_536
"""Bytes of the open page at which it is sealed."""
LEAST: Final = 2_000_000
"""Bytes told since the last base at which a new one is made; more where the base itself is larger."""
_line: Final = msgspec.json.Encoder().encode


class Book(Protocol):
    """Plain data that is a function of what it is told, in order."""

    def take(self, told: Any) -> None:
        """Take in one thing. It is plain data."""

    def state(self) -> dict[str, Any]:
        """Plain data."""


B = TypeVar("B", bound=Book)


class Journaled(Generic[B]):
    """A book with its journal. A new base comes after as many bytes as it has itself: work and writes stay linear."""

    def __init__(self, book: B) -> None:
        self.book = book
        self.number = 0
        self.base = b""
        self.pages: list[bytes] = []
        self.told = 0
        self._open = bytearray()

    def take(self, told: Any) -> None:
        """Take in one thing, and note it."""
        self.book.take(told)
        body = _line(told) + b"\n"
        self._open += body
        self.told += len(body)
        if self.told > max(LEAST, len(self.base)):
            self.base = zlib.compress(msgspec.msgpack.encode(self.book.state()), 1)
            self.number += 1
            self.pages, self.told = [], 0
            self._open.clear()
        elif len(self._open) > PAGE:
            self.pages.append(zlib.compress(self._open, 1))
            self._open.clear()

    @property
    def nbytes(self) -> int:
        """Bytes of base and journal, compressed but for the open page; the book itself takes its own."""
        return len(self.base) + sum(map(len, self.pages)) + len(self._open)

    def parts(self) -> dict[str, bytes]:
        """What stays as it is once it is there, by name. A name that is gone is not needed any more."""
        found = {f"{self.number}.{page}": body for page, body in enumerate(self.pages)}
        return found | ({f"{self.number}": self.base} if self.base else {})

    def state(self) -> dict[str, Any]:
        """Return the rest: plain data, small."""
        return {"number": self.number, "pages": len(self.pages), "told": self.told, "open": bytes(self._open)}

    @classmethod
    def restore(
        cls, state: Mapping[str, Any], parts: Mapping[str, bytes], empty: B, restored: Callable[[dict[str, Any]], B]
    ) -> Self:
        """Return the book whose state and parts these were.

        Raises
        ------
        KeyError
            A part is missing.
        """
        base = parts[str(state["number"])] if state["number"] else b""
        made = cls(restored(msgspec.msgpack.decode(zlib.decompress(base))) if base else empty)
        made.number, made.base, made.told = state["number"], base, state["told"]
        made.pages = [parts[f"{state['number']}.{page}"] for page in range(state["pages"])]
        made._open += state["open"]
        for page in (*map(zlib.decompress, made.pages), state["open"]):
            for line in page.splitlines():
                made.book.take(msgspec.json.decode(line))
        return made
