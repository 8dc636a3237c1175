"""What is bought together: support, lift, and how sure it is."""

from collections.abc import Sequence
from typing import Any, Final, Self

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from models.market.pairs import Counts, Indices, Sketch, Triangle

EXACT_PRODUCTS: Final = 4_096
"""Pairs of so many products are counted exactly, in 34 MB; of more by a sketch."""
ENTRIES: Final = 200_000
"""Pairs that the sketch keeps."""
KNOWN: Final = 100_000
"""Products told apart; of one that comes up later is counted how often it was bought, and nothing else."""
LARGEST: Final = 2_000
"""Products of a basket that are paired: the first so many by their ids. A larger one would stall the others."""
SURE: Final = 3.29
"""Standard errors of a bound that holds with 99.95 %."""


class Pair(Struct, frozen=True):
    """Two products. `support` counts baskets with both; `lift` is how many times as often as by chance.

    `low` is a lower bound of the lift: above 1, the two belong together beyond chance.
    """

    a: str
    b: str
    support: int
    lift: float
    low: float


class Baskets:
    """Counts baskets, products and pairs, in bounded memory.

    Exact until there are more than `exact` products; from then on a sketch goes on from the exact counts, and
    supports are lower bounds.
    """

    def __init__(self, exact: int = EXACT_PRODUCTS, entries: int = ENTRIES) -> None:
        self.exact, self.entries = exact, entries
        self.numbers: dict[str, int] = {}
        self.singles: Counts = np.zeros(64, dtype=np.int64)
        self.pairs: Triangle | Sketch = Triangle(exact)
        self.baskets = 0
        self.cut = 0
        self.uncounted = 0
        self._names: list[str] = []

    def learn_one(self, products: Sequence[str]) -> None:
        """Take in one basket; a product that is in it twice counts once."""
        self.baskets += 1
        distinct = sorted(set(products))
        if len(distinct) > LARGEST:
            self.cut += 1
            del distinct[LARGEST:]
        known = [number for product in distinct if (number := self._number(product)) is not None]
        self.uncounted += len(distinct) - len(known)
        basket = np.array(sorted(known), dtype=np.int64)
        self.singles[basket] += 1
        self.pairs.add(basket)

    def _number(self, product: str) -> int | None:
        number = self.numbers.get(product)
        if number is None and len(self.numbers) < KNOWN:
            number = self.numbers[product] = len(self.numbers)
            self._names.append(product)
            if number == len(self.singles):
                self.singles = np.concatenate([self.singles, np.zeros_like(self.singles)])
            if number == self.exact and isinstance(self.pairs, Triangle):
                self.pairs = Sketch.of(self.pairs, self.entries)
        return number

    def bought(self, product: str) -> int:
        """Return how many baskets had a product, of those that are told apart."""
        number = self.numbers.get(product)
        return 0 if number is None else int(self.singles[number])

    @property
    def is_exact(self) -> bool:
        """Whether supports are exact; otherwise they are lower bounds, too low by at most `pairs.error`."""
        return isinstance(self.pairs, Triangle) and not self.cut

    @property
    def nbytes(self) -> int:
        """Bytes of the counts of pairs and of products."""
        return self.pairs.nbytes + self.singles.nbytes

    def best(self, by: str, count: int, support: int = 50) -> list[Pair]:
        """Return the pairs with the greatest `support` or `lift`, of at least so much support.

        A sketch cannot tell exactly who has the support: a pair is in if half of it was counted.
        """
        low, high, counts = self.pairs.found(support if isinstance(self.pairs, Triangle) else max(support // 2, 1))
        lift = self._lift(low, high, counts)
        order = np.lexsort((high, low, -(counts if by == "support" else lift)))[:count]
        return self._as_pairs(low[order], high[order], counts[order])

    def partners(self, product: str, count: int, support: int) -> list[Pair]:
        """Return the products that belong to this one beyond chance: the greatest lower bound of lift first."""
        number = self.numbers.get(product)
        if number is None:
            return []
        others, counts = self.pairs.with_product(number, support)
        low, high = np.minimum(others, number), np.maximum(others, number)
        sure = self._low(low, high, counts)
        beyond = np.flatnonzero(sure > 1.0)
        order = beyond[np.lexsort((high[beyond], low[beyond], -sure[beyond]))][:count]
        pairs = self._as_pairs(low[order], high[order], counts[order])
        return [one if one.a == product else Pair(one.b, one.a, one.support, one.lift, one.low) for one in pairs]

    def _as_pairs(self, low: Indices, high: Indices, counts: Counts) -> list[Pair]:
        rows = zip(
            low.tolist(),
            high.tolist(),
            counts.tolist(),
            self._lift(low, high, counts).tolist(),
            self._low(low, high, counts).tolist(),
            strict=True,
        )
        return [Pair(self._names[a], self._names[b], count, lift, sure) for a, b, count, lift, sure in rows]

    def _lift(self, low: Indices, high: Indices, counts: Counts) -> NDArray[np.float64]:
        expected: NDArray[np.float64] = self.singles[low] * (self.singles[high] / max(self.baskets, 1))
        return counts / expected

    def _low(self, low: Indices, high: Indices, counts: Counts) -> NDArray[np.float64]:
        """Lower bound of the lift, as a ratio of two rates.

        References
        ----------
        Katz, Baptista, Azen and Pike (1978), Obtaining confidence intervals for the risk ratio in cohort
        studies, Biometrics 34, 469-474.
        """
        variance = 1 / counts - 1 / self.singles[low] + 1 / self.singles[high] - 1 / max(self.baskets, 1)
        bound: NDArray[np.float64] = self._lift(low, high, counts) * np.exp(-SURE * np.sqrt(np.maximum(variance, 0.0)))
        return bound

    def state(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "exact": self.exact,
            "entries": self.entries,
            "names": list(self._names),
            "singles": self.singles.tobytes(),
            "pairs": self.pairs.state(),
            "baskets": self.baskets,
            "cut": self.cut,
            "uncounted": self.uncounted,
        }

    @classmethod
    def restore(cls, state: dict[str, Any]) -> Self:
        """Return the baskets whose state this was; the future is the same."""
        made = cls(state["exact"], state["entries"])
        made._names = list(state["names"])
        made.numbers = {name: number for number, name in enumerate(made._names)}
        made.singles = np.frombuffer(state["singles"], dtype=np.int64).copy()
        made.pairs = (Triangle if state["pairs"]["kind"] == "triangle" else Sketch).restore(state["pairs"])
        made.baskets, made.cut, made.uncounted = state["baskets"], state["cut"], state["uncounted"]
        return made
