"""What a league asks of those who take part in it."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, Self

from schemas.serving import ServingModel

Features = Mapping[str, float]
"""Names to finite numbers, always in the same order. An attribute that is missing is left out; see `vocabulary.py`."""


class Learner(Protocol):
    """Predicts one task online, in bounded memory."""

    def score_one(self, x: Features) -> float:
        """Probability in [0, 1], or amount of at least 0. Learns nothing; the task's prior while cold."""

    def learn_one(self, x: Features, y: float) -> None:
        """Learn one matured example: `y` is 0 or 1, or an amount. `x` is neither changed nor kept."""

    def forget(self, names: Sequence[str]) -> None:
        """What these features stood for is gone: they stand for something new from here on."""

    def compiled(self, task: str, version: str, names: Sequence[str]) -> ServingModel | None:
        """Return what shards score with, its columns in the order of `names`; None while cold or if it cannot be."""

    def state(self) -> dict[str, Any]:
        """River objects and plain data, with `kind`. It is alive: freeze it before the next example."""

    @classmethod
    def restore(cls, state: dict[str, Any]) -> Self:
        """Return the learner whose `state` this was; its future is the same, to the bit. Takes `state` over."""
