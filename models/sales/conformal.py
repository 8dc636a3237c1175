"""Prediction intervals that keep their promise while sales drift."""

from typing import Final

from msgspec import Struct, field

MISS: Final = 0.2
"""The promised share of days outside: an 80 % interval."""
GAMMA: Final = 0.015
WINDOW: Final = 60
COLD: Final = 20
NARROWEST, WIDEST = 0.6, 0.01
DEBT: Final = 0.08
"""How far the learned share may lie beyond those that are served."""
FARTHEST: Final = 20.0
"""Of a residual: one sale after a long silence is any number of times the forecast."""


def quantile(ordered: list[float], share: float) -> float:
    """Linear interpolation between order statistics, as numpy's default.

    >>> quantile([1.0, 2.0, 4.0], 0.75)
    3.0
    """
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


class Conformal(Struct):
    """Adaptive conformal inference on signed residuals relative to the forecast's scale.

    The last 60 residuals are kept. Each miss widens the next interval, each hit narrows it a little.

    References
    ----------
    Gibbs and Candes (2021), Adaptive conformal inference under distribution shift, NeurIPS 34.
    """

    miss: float = MISS
    residuals: list[float] = field(default_factory=list)

    def interval(self, point: float, scale: float) -> tuple[float, float] | None:
        """Bounds about `point`, in its unit. None while fewer than 20 residuals are known."""
        if len(self.residuals) < COLD:
            return None
        ordered = sorted(self.residuals)
        tail = min(max(self.miss, WIDEST), NARROWEST) / 2
        return point + scale * quantile(ordered, tail), point + scale * quantile(ordered, 1 - tail)

    def learn_one(self, residual: float, covered: bool | None) -> None:
        """Learn a residual (actual less forecast, over scale), and whether its interval held (None: had none)."""
        self.residuals.append(min(max(residual, -FARTHEST), FARTHEST))
        if len(self.residuals) > WINDOW:
            del self.residuals[0]
        if covered is not None:
            # A debt is what makes coverage come out, but a long run must not leave one for years.
            self.miss = min(max(self.miss + GAMMA * (MISS - (not covered)), WIDEST - DEBT), NARROWEST + DEBT)
