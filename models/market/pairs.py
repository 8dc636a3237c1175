"""How often two products lie in one basket: exact while products are few, within a known error beyond."""

from typing import Any, Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
Counts = NDArray[np.int64]

BUFFER: Final = 2
"""Pairs that wait, in capacities of a sketch: merging costs a sort of both."""
SPAN: Final = 1 << 31
"""A pair of products (a, b), a < b, is one number: a * SPAN + b."""


def pairs_of(basket: Indices) -> tuple[Indices, Indices]:
    """Every pair of a basket's products, shapes (n * (n - 1) / 2,): the lower number first.

    `basket` holds distinct numbers, sorted.
    """
    low, high = np.triu_indices(len(basket), 1)
    return basket[low], basket[high]


class Triangle:
    """Exact counts of all pairs among `capacity` products: four bytes a pair.

    3,800 products take 29 MB. Memory grows with the products seen, up to the capacity.
    """

    kind = "triangle"

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.counts: NDArray[np.int32] = np.zeros(0, dtype=np.int32)

    def add(self, basket: Indices) -> None:
        """Count every pair of one basket. Numbers are below the capacity, distinct and sorted."""
        if len(basket) < 2:
            return
        low, high = pairs_of(basket)
        places = high * (high - 1) // 2 + low
        if places[-1] >= len(self.counts):
            self._grow(int(basket[-1]) + 1)
        self.counts[places] += 1  # a basket's pairs are distinct

    def _grow(self, products: int) -> None:
        room = min(max(products, 2 * self._products()), self.capacity)
        grown = np.zeros(room * (room - 1) // 2, dtype=np.int32)
        grown[: len(self.counts)] = self.counts
        self.counts = grown

    def _products(self) -> int:
        return int((1 + (1 + 8 * len(self.counts)) ** 0.5) / 2) if len(self.counts) else 0

    def found(self, at_least: int) -> tuple[Indices, Indices, Counts]:
        """Pairs counted `at_least` so often: low, high and count, shapes (n,)."""
        places = np.flatnonzero(self.counts >= at_least).astype(np.int64)
        high = ((1 + np.sqrt(1 + 8 * places.astype(np.float64))) // 2).astype(np.int64)
        # The root of a large number may be off by one.
        high -= high * (high - 1) // 2 > places
        high += (high + 1) * high // 2 <= places
        low = places - high * (high - 1) // 2
        return low, high, self.counts[places].astype(np.int64)

    @property
    def nbytes(self) -> int:
        """Bytes of memory."""
        return self.counts.nbytes

    @property
    def error(self) -> int:
        """By how much a count may be too low: not at all."""
        return 0

    def with_product(self, number: int, at_least: int) -> tuple[Indices, Counts]:
        """Products counted `at_least` so often with one product, and how often, shapes (n,)."""
        products = self._products()
        if number >= products:
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        low = np.arange(number, dtype=np.int64)
        high = np.arange(number + 1, products, dtype=np.int64)
        places = np.concatenate([number * (number - 1) // 2 + low, high * (high - 1) // 2 + number])
        counts = self.counts[places].astype(np.int64)
        kept = counts >= at_least
        return np.concatenate([low, high])[kept], counts[kept]

    def state(self) -> dict[str, Any]:
        """Plain data."""
        return {"kind": self.kind, "capacity": self.capacity, "counts": self.counts.tobytes()}

    @classmethod
    def restore(cls, state: dict[str, Any]) -> Self:
        """Return the triangle whose state this was."""
        made = cls(state["capacity"])
        made.counts = np.frombuffer(state["counts"], dtype=np.int32).copy()
        return made


class Seen(NamedTuple):
    """Entries of a sketch, sorted by code, and their order by the higher of the two products."""

    codes: Indices
    counts: Counts
    error: int
    by_high: Indices
    highs: Indices


class Sketch:
    """The most frequent pairs among any number of products, in at most `capacity` entries.

    An entry's count is a lower bound: it counts since the entry was made, and `missed` is how many may have
    gone before that. Pairs wait in a buffer and are merged in; of what is beyond the capacity the entries with
    the least possible counts go, and entries made later may have missed that many.

    References
    ----------
    Manku and Motwani (2002), Approximate frequency counts over data streams, VLDB, 346-357, section 4.2, with a
    bound on entries as in Metwally, Agrawal and El Abbadi (2005), Efficient computation of frequent and top-k
    elements in data streams, ICDT, 398-412.
    """

    kind = "sketch"

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.codes: Indices = np.zeros(0, dtype=np.int64)
        self.counts: Counts = np.zeros(0, dtype=np.int64)
        self.missed: Counts = np.zeros(0, dtype=np.int64)
        self._error = 0
        self._waiting: list[Indices] = []
        self._held = 0
        self._seen: Seen | None = None

    def add(self, basket: Indices) -> None:
        """Count every pair of one basket. Numbers are distinct and sorted."""
        if len(basket) < 2:
            return
        low, high = pairs_of(basket)
        self._waiting.append(low * SPAN + high)
        self._seen = None
        self._held += len(low)
        if self._held >= BUFFER * self.capacity:
            self.codes, self.counts, self.missed, self._error = self._merged()
            self._waiting, self._held = [], 0

    @classmethod
    def of(cls, triangle: Triangle, capacity: int) -> Self:
        """Go on from exact counts, with more products than they had room for."""
        made = cls(capacity)
        low, high, counts = triangle.found(1)
        codes = low * SPAN + high
        order = np.argsort(codes)
        made.codes, made.counts, made.missed, made._error = made._bounded(
            codes[order], counts[order], np.zeros(len(codes), dtype=np.int64)
        )
        return made

    def _merged(self) -> tuple[Indices, Counts, Counts, int]:
        """Return entries and error with the buffer taken in. Changes nothing: looking must not decide what is kept."""
        if not self._waiting:
            return self.codes, self.counts, self.missed, self._error
        fresh, counts = np.unique(np.concatenate(self._waiting), return_counts=True)
        places = np.searchsorted(self.codes, fresh)
        places[places == len(self.codes)] = 0
        known = self.codes[places] == fresh if len(self.codes) else np.zeros(len(fresh), dtype=bool)
        summed = self.counts.copy()
        summed[places[known]] += counts[known]
        codes = np.concatenate([self.codes, fresh[~known]])
        totals = np.concatenate([summed, counts[~known]])
        missed = np.concatenate([self.missed, np.full(int((~known).sum()), self._error, dtype=np.int64)])
        order = np.argsort(codes)
        return self._bounded(codes[order], totals[order], missed[order])

    def _bounded(self, codes: Indices, counts: Counts, missed: Counts) -> tuple[Indices, Counts, Counts, int]:
        if len(codes) <= self.capacity:
            return codes, counts, missed, self._error
        possible = counts + missed
        cut = int(np.partition(possible, -self.capacity - 1)[-self.capacity - 1])
        kept = possible > cut
        return codes[kept], counts[kept], missed[kept], max(self._error, cut)

    @property
    def _look(self) -> "Seen":
        """Entries as of now, merged once until the next basket: 200 products are looked up with one report."""
        if self._seen is None:
            codes, counts, _, error = self._merged()
            high = codes % SPAN
            by_high = np.argsort(high, kind="stable")
            self._seen = Seen(codes, counts, error, by_high, high[by_high])
        return self._seen

    @property
    def nbytes(self) -> int:
        """Bytes of memory, the pairs that wait included."""
        return sum(part.nbytes for part in (self.codes, self.counts, self.missed, *self._waiting))

    @property
    def error(self) -> int:
        """By how much a count may be too low, and how often a pair may have come that has no entry."""
        return self._look.error

    def found(self, at_least: int) -> tuple[Indices, Indices, Counts]:
        """Pairs counted `at_least` so often: low, high and the lower bound of the count, shapes (n,)."""
        seen = self._look
        kept = seen.counts >= at_least
        return seen.codes[kept] // SPAN, seen.codes[kept] % SPAN, seen.counts[kept]

    def with_product(self, number: int, at_least: int) -> tuple[Indices, Counts]:
        """Products counted `at_least` so often with one product, and the lower bound of how often, shapes (n,)."""
        seen = self._look
        first, last = np.searchsorted(seen.codes, (number * SPAN, (number + 1) * SPAN))
        begin, end = np.searchsorted(seen.highs, (number, number + 1))
        places = np.sort(np.concatenate([seen.by_high[begin:end], np.arange(first, last)]))
        places = places[seen.counts[places] >= at_least]
        return seen.codes[places] // SPAN + seen.codes[places] % SPAN - number, seen.counts[places]

    def state(self) -> dict[str, Any]:
        """Plain data."""
        waiting = np.concatenate(self._waiting) if self._waiting else np.zeros(0, dtype=np.int64)
        parts = {"codes": self.codes, "counts": self.counts, "missed": self.missed, "waiting": waiting}
        plain = {name: part.tobytes() for name, part in parts.items()}
        return {"kind": self.kind, "capacity": self.capacity, "error": self._error, **plain}

    @classmethod
    def restore(cls, state: dict[str, Any]) -> Self:
        """Return the sketch whose state this was."""
        made = cls(state["capacity"])
        made._error = state["error"]
        made.codes, made.counts, made.missed, waiting = (
            np.frombuffer(state[name], dtype=np.int64).copy() for name in ("codes", "counts", "missed", "waiting")
        )
        made._waiting, made._held = ([waiting], len(waiting)) if len(waiting) else ([], 0)
        return made
