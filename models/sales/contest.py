"""Who forecasts one horizon of one series: judged on the forecasts as they were made, promoted on evidence."""

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct, field

FIRST: Final = "level_index"
BET: Final = 0.5
"""Share of the wealth that is put on a challenger each day."""
ENOUGH: Final = 1_000.0
"""Wealth that promotes: with forecasters alike, a change in a thousand days, however often one looks."""
LOG: Final = 10


class Contest(Struct):
    """The champion of a horizon, and what speaks for each challenger.

    A challenger's wealth grows by a bet on each day's paired difference of absolute errors, over their sum, or, where
    days without a sale are ordinary, over what a sale usually brings. It lies between -1 and 1, and wealth never falls
    below 1. Bounded: a number a challenger, the latest ten promotions.

    References
    ----------
    Shin, Ramdas and Rinaldo (2024), E-detectors: a nonparametric framework for sequential change detection,
    New England J. Stat. Data Sci. 2, 229-260. Waudby-Smith and Ramdas (2024), J. R. Stat. Soc. B 86, 1-27.
    """

    champion: str = FIRST
    wealth: dict[str, float] = field(default_factory=dict)
    errors: dict[str, float] = field(default_factory=dict)
    steps: dict[str, float] = field(default_factory=dict)
    log: list[dict[str, Any]] = field(default_factory=list)

    def point(self, forecasts: Mapping[str, float]) -> float:
        """Return the forecast that is served."""
        return forecasts[self.serving(forecasts)]

    def serving(self, forecasts: Mapping[str, float]) -> str:
        """Return whose forecast it is: the champion's, or the first one's where the champion is not asked."""
        return self.champion if self.champion in forecasts else next(iter(forecasts))

    def judge(self, day: int, forecasts: Mapping[str, float], actual: float, unit: float | None = None) -> None:
        """Compare everybody's forecast of a day that is over, and promote who has shown to be better.

        Where most days bring nothing, differences are told in a `unit`: over the sum of errors, the many days on which
        nothing was forecast and nothing came would count more than the few that matter.
        """
        errors = {name: abs(actual - point) for name, point in forecasts.items()}
        for name, error in errors.items():
            self.errors[name] = self.errors.get(name, 0.0) + error
        serving = self.serving(errors)
        own = errors[serving]
        for name, error in errors.items():
            if name != serving and own + error > 0.0:
                better = (own - error) / (own + error if unit is None else unit)
                won = BET * min(max(better, -1.0), 1.0)
                self.wealth[name] = max(self.wealth.get(name, 1.0), 1.0) * (1.0 + won)
        best = max(self.wealth, key=lambda name: self.wealth[name], default=None)
        if best is not None and self.wealth[best] >= ENOUGH:
            reason = f"wealth {self.wealth[best]:.0f} against {serving}"
            self.log.append({"day": day, "from": serving, "to": best, "reason": reason})
            del self.log[:-LOG]
            self.champion, self.wealth = best, {}
