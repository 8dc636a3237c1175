"""Who serves an amount: judged by a loss whose least expectation is the mean, promoted on evidence.

The loss is the Tweedie deviance of power 1.5, which suits amounts that are often zero and sometimes huge. There are
two ways to be promoted, for two kinds of mistakes.

A challenger bets on each example's paired difference, cut so that one huge order does not decide; its wealth never
falls below 1, and 1,000 promotes. That is quick. But where a few huge orders make most of the sales, whoever foresees
less than the mean wins almost every bet, so its losses of late must be lower uncut as well.

Who is ahead uncut, by an asymptotic confidence sequence for the mean difference (level 1 in 1,000, valid whenever one
looks), takes over too. That is slow, and gets back a place that was lost by chance. Where even the variance hardly
exists (a lognormal of spread 2.5) neither helps before some ten thousands of examples.

References
----------
Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas (2024), Time-uniform central limit theory and asymptotic confidence
sequences, Ann. Stat. 52, 2613-2640, theorem 2.2.
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
LATE: Final = 1_000.0
"""Examples that uncut losses look back on: enough to hold some of the orders that make the difference, and few enough
to forget soon what a challenger said before it knew anything."""
SURE: Final = 500
"""Examples since the champion began, below which the mean of uncut differences is not looked at."""
RHO2: Final = 17.4 / 2_000.0
"""Makes the sequence tightest after some 2,000 examples (equation 10 there)."""
LOG: Final = 20


def deviance(y: float, predicted: float) -> float:
    """Tweedie deviance of power 1.5, of an amount of at least 0 and a prediction above 0.

    >>> deviance(4.0, 4.0), deviance(0.0, 4.0), deviance(16.0, 4.0)
    (0.0, 8.0, 8.0)
    """
    root = math.sqrt(predicted)
    return 4.0 * (math.sqrt(y) - root) ** 2 / root


class Mean(Struct):
    """Mean of so many numbers, and the sum of squares around it; of the latest alone where `memory` is less."""

    count: float = 0.0
    mean: float = 0.0
    squares: float = 0.0

    def update(self, value: float, memory: float = math.inf) -> None:
        """Take a number in."""
        self.count += 1.0
        off = value - self.mean
        self.mean += off / min(self.count, memory)
        self.squares += off * (value - self.mean)

    def is_positive(self) -> bool:
        """Whether the expectation is above 0, by the lower end of the confidence sequence."""
        if self.count < SURE:
            return False
        t = self.count
        width = math.sqrt(2.0 * (t * RHO2 + 1.0) / (t * t * RHO2) * math.log(ENOUGH * math.sqrt(t * RHO2 + 1.0)))
        return self.mean > width * math.sqrt(self.squares / t)


class AmountContest(Struct):
    """The champion of a task with amounts, and what each challenger has to show. Bounded by entrants.

    `wealth` is by size of bet and `ahead` the uncut difference, both since the champion began; `late` are uncut losses.
    """

    champion: str
    wealth: dict[str, list[float]] = field(default_factory=dict)
    mean: float = 0.0
    loss: float = 0.0
    seen: int = 0
    log: list[dict[str, Any]] = field(default_factory=list)
    late: dict[str, Mean] = field(default_factory=dict)
    ahead: dict[str, Mean] = field(default_factory=dict)

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
            self.late.setdefault(name, Mean()).update(loss, LATE)
            if name != self.champion:
                self._bet(name, (own - loss) / (CUT * self.loss) if self.loss > 0.0 else 0.0)
                self.ahead.setdefault(name, Mean()).update(own - loss)
        self._look(at)

    def _look(self, at: float) -> None:
        best = max((name for name in self.wealth if self._is_lower(name)), key=self.evidence, default=None)
        if best is not None and self.evidence(best) >= ENOUGH:
            self.promote(best, at, f"its losses are lower: evidence of {self.evidence(best):,.0f} to 1")
            return
        sure = [name for name, ahead in self.ahead.items() if self._is_lower(name) and ahead.is_positive()]
        if sure:
            best = min(sure, key=lambda name: self.late[name].mean)
            lower, own = self.late[best].mean, self.late[self.champion].mean
            self.promote(
                best, at, f"its losses are lower where orders are large: {lower:.4g}, not {own:.4g}, in the mean"
            )

    def _is_lower(self, name: str) -> bool:
        known = self.late.get(name)  # of a contest that was restored from before 0.2 not yet
        return known is not None and known.mean < self.late[self.champion].mean

    def promote(self, name: str, at: float, reason: str) -> None:
        """Let another serve; all bets begin anew. `at` in epoch seconds."""
        change = {"at": at, "from": self.champion, "to": name, "evidence": self.evidence(name), "examples": self.seen}
        self.log.append(change | {"reason": reason})
        del self.log[:-LOG]
        self.champion, self.wealth, self.ahead = name, {}, {}

    def _bet(self, name: str, ahead: float) -> None:
        ahead = min(max(ahead, -1.0), 1.0)
        purses = self.wealth.setdefault(name, [1.0] * len(BETS))
        for place, bet in enumerate(BETS):
            purses[place] = min(max(purses[place], 1.0) * (1.0 + bet * ahead), RICHEST)

    def evidence(self, name: str) -> float:
        """Mean wealth of a challenger over the bets."""
        return sum(self.wealth.get(name, (0.0,))) / len(BETS)
