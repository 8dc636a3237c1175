"""What memory leagues take: the bytes of their state, as a snapshot has it before it is compressed. And the books."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

import msgspec

from models.league.snapshot import weigh
from models.learning import Learning

GROWTH: Final = 1.1
"""Measured anew when there are so many times the examples: it takes some 20 ms of CPU."""
Weighed = Iterator[tuple[str, int, Callable[[], int]]]
"""A name, how much was learned, and what tells the bytes."""


class Sizes:
    """Bytes of each league and book. They are no part of what is learned: when they are measured is a moment's."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, int]] = {}

    def report(self, learning: Learning) -> dict[str, Any]:
        """Return the learner's report, with `bytes` for each task, and under `memory` those of the books."""
        report = learning.report()
        for task, examples, measure in _leagues(learning):
            if task in report["tasks"]:
                report["tasks"][task]["bytes"] = self._size(task, examples, measure)
        return report | {"memory": {name: self._size(name, n, measure) for name, n, measure in _books(learning)}}

    def _size(self, name: str, examples: int, measure: Callable[[], int]) -> int:
        known, size = self._known.get(name, (-1, 0))
        if not known <= examples <= GROWTH * known:
            size = measure()
            self._known[name] = examples, size
        return size


def _leagues(learning: Learning) -> Weighed:
    brands = learning.brands
    states: dict[str, tuple[int, Callable[[], dict[str, Any]]]] = {
        **{task: (league.examples, league.state) for task, league in learning.leagues.items()},
        "brand_choice": (brands.choices.examples, brands.choices.state),
        "sentiment": (brands.sayings.examples, brands.sayings.state),
        "demand": (learning.outlook.growth.n, learning.outlook.state),
    }
    for task, (examples, state) in states.items():
        yield task, examples, partial(_weigh, state)


def _weigh(state: Callable[[], dict[str, Any]]) -> int:
    return weigh(state())


def _books(learning: Learning) -> Weighed:
    """Of what is summed up beside the leagues."""
    brands, market = learning.brands, learning.market
    texts = sum(image.count for image in brands.images.brands.values())
    kept = (brands.markets, brands.categories, brands.prices, brands.shelves, brands.images)
    yield "brands", brands.heard + texts, lambda: len(msgspec.msgpack.encode(kept))
    yield "market", market.book.baskets.baskets, lambda: market.book.nbytes + market.nbytes
