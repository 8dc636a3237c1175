"""Who serves: promotion on evidence that stays valid however often it is looked at.

Each challenger bets against the hypothesis that it is no better than the champion: its wealth grows by the factor
`1 + bet * d` with each example, `d` the difference of their losses within [-1, 1], and begins again at 1 whenever it
falls below. While the hypothesis holds, a wealth above the threshold comes on average once in so many examples at the
most often; that is what peeking may cost. The wealth is the mean over a few sizes of bet. A promotion begins all bets
anew, so the former champion must win its place back by the same evidence: no flapping.

References
----------
Waudby-Smith and Ramdas (2024), Estimating means of bounded random variables by betting, J. R. Stat. Soc. B 86, 1-27.
Shin, Ramdas and Rinaldo (2024), E-detectors, New Engl. J. Stat. Data Sci. 2, 229-260.
"""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct, field

BETS: Final = (0.1, 0.3, 0.9)
CUT: Final = 2.0
"""Differences of losses are cut at so many nats: one surprise must not decide."""
THRESHOLD: Final = 10_000.0
RICHEST: Final = 1e12


class Contest(Struct):
    """Wealth of each challenger of the present champion, by size of bet."""

    wealth: dict[str, list[float]] = field(default_factory=dict)

    def update(self, champion: float, challengers: Mapping[str, float]) -> None:
        """Take in everybody's loss on one example."""
        for name, loss in challengers.items():
            ahead = min(max((champion - loss) / CUT, -1.0), 1.0)
            purses = self.wealth.setdefault(name, [1.0] * len(BETS))
            for place, bet in enumerate(BETS):
                purses[place] = min(max(purses[place], 1.0) * (1.0 + bet * ahead), RICHEST)

    def evidence(self, name: str) -> float:
        """Wealth of one challenger."""
        return sum(self.wealth.get(name, (0.0,))) / len(BETS)

    def winner(self, eligible: list[str]) -> str | None:
        """Who has more evidence than the threshold, the most of all; None while nobody has."""
        rich = [name for name in eligible if self.evidence(name) >= THRESHOLD]
        return max(rich, key=self.evidence) if rich else None
