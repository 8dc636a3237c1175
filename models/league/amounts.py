"""Who serves an amount: judged by a loss whose least expectation is the mean, promoted on evidence.

The loss is the Tweedie deviance of power 1.5, which suits amounts that are often zero and sometimes huge. A challenger
bets on each example's paired difference; its wealth never falls below 1, and 1,000 promotes.

References
----------
Jørgensen (1987), Exponential dispersion models, J. R. Stat. Soc. B 49, 127-162. Shin, Ramdas and Rinaldo (2024),
E-detectors, New England J. Stat. Data Sci. 2, 229-260.
"""

import math
from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct, field

BETS: Final = (0.1, 0.3, 0.9)
ENOUGH: Final = 1_000.0
RICHEST: Final = 1e12
LEAST: Final = 0.02
"""Of the mean amount: nothing is predicted to be less, so that a sale nobody foresaw costs much and not everything."""
CUT: Final = 4.0
"""Differences are cut at so many mean losses: one huge order must not decide."""
FORGETTING: Final = 1.0 / 2_000
LOG: Final = 20


def deviance(y: float, predicted: float) -> float:
    """Tweedie deviance of power 1.5, of an amount of at least 0 and a prediction above 0.

    >>> deviance(4.0, 4.0), deviance(0.0, 4.0), deviance(16.0, 4.0)
    (0.0, 8.0, 8.0)
    """
    root = math.sqrt(predicted)
    return 4.0 * (math.sqrt(y) - root) ** 2 / root


class AmountContest(Struct):
    """The champion of a task with amounts, and the wealth of each challenger by size of bet. Bounded by entrants."""

    champion: str
    wealth: dict[str, list[float]] = field(default_factory=dict)
    mean: float = 0.0
    loss: float = 0.0
    seen: int = 0
    log: list[dict[str, Any]] = field(default_factory=list)

    def judge(self, y: float, scores: Mapping[str, float], at: float) -> None:
        """Compare what everybody said of one example, and promote who has shown to be better. `at` in epoch seconds."""
        if self.champion not in scores or not math.isfinite(y):
            return
        y = max(y, 0.0)
        self.seen += 1
        rate = max(FORGETTING, 1.0 / self.seen)
        self.mean += rate * (y - self.mean)
        if self.mean <= 0.0:
            return
        losses = {name: deviance(y, max(score, LEAST * self.mean)) for name, score in scores.items()}
        own = losses[self.champion]
        self.loss += rate * (own - self.loss)
        for name, loss in losses.items():
            if name != self.champion:
                self._bet(name, (own - loss) / (CUT * self.loss) if self.loss > 0.0 else 0.0)
        best = max(self.wealth, key=self.evidence, default=None)
        if best is not None and self.evidence(best) >= ENOUGH:
            self.promote(best, at, f"its losses are lower: evidence of {self.evidence(best):,.0f} to 1")

    def promote(self, name: str, at: float, reason: str) -> None:
        """Let another serve; all bets begin anew. `at` in epoch seconds."""
        change = {"at": at, "from": self.champion, "to": name, "evidence": self.evidence(name), "examples": self.seen}
        self.log.append(change | {"reason": reason})
        del self.log[:-LOG]
        self.champion, self.wealth = name, {}

    def _bet(self, name: str, ahead: float) -> None:
        ahead = min(max(ahead, -1.0), 1.0)
        purses = self.wealth.setdefault(name, [1.0] * len(BETS))
        for place, bet in enumerate(BETS):
            purses[place] = min(max(purses[place], 1.0) * (1.0 + bet * ahead), RICHEST)

    def evidence(self, name: str) -> float:
        """Mean wealth of a challenger over the bets."""
        return sum(self.wealth.get(name, (0.0,))) / len(BETS)
