"""What memory each league takes: the bytes of its state, as a snapshot has it before it is compressed."""

from typing import Any, Final

from models.league.snapshot import weigh
from models.learning import Learning

GROWTH: Final = 1.1
"""Measured anew when there are so many times the examples: it takes some 20 ms of CPU."""


class Sizes:
    """Bytes of each league. They are no part of what is learned: when they are measured depends on the moment."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, int]] = {}

    def report(self, learning: Learning) -> dict[str, Any]:
        """Return the learner's report, with `bytes` for the tasks that have a league."""
        report = learning.report()
        for task, league in learning.leagues.items():
            examples, size = self._known.get(task, (-1, 0))
            if not examples <= league.examples <= GROWTH * examples:
                size = weigh(league.state())
                self._known[task] = league.examples, size
            report["tasks"][task]["bytes"] = size
        return report
