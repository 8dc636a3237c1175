"""How good forecasts were: each is kept as it was made, and judged when its day is over."""

from typing import Any, Final

import msgspec
from msgspec import Struct, field

from models.sales.conformal import MISS, Conformal
from models.sales.contest import Contest
from models.sales.presence import MINOR

ANOMALIES: Final = 10
"""Kept of each series and horizon, the latest."""
LATELY: Final = 1.0 / 60.0
SLIGHT: Final = 0.01
"""Of the scale: a day is no anomaly that lies this near to its interval."""


class Forecast(Struct):
    """One day's forecast as made at its origin. Amounts in currency units. `entrants` are everybody's own points.

    `scale` is what residuals are relative to, 0 where nothing is expected: of a closed day, or in a silence. `low` and
    `high` are None while the interval is cold. A `positive` series never was below zero.
    """

    day: int
    point: float
    scale: float
    low: float | None
    high: float | None
    seasonal_naive: float
    moving_average: float
    entrants: dict[str, float] = {}
    positive: bool = False

    @property
    def naive(self) -> float:
        """The naive forecast as it is shown: nothing of a day that is known to bring nothing."""
        return self.seasonal_naive if self.scale > 0.0 else 0.0

    def outside(self, actual: float) -> float:
        """Return how far an amount lies from the interval: 0 within, and where no minor unit of currency is between."""
        if self.low is None or self.high is None:
            return 0.0
        far = max(self.low - actual, actual - self.high)
        return far if far >= MINOR else 0.0

    def moved_to(self, point: float) -> "Forecast":
        """Return the forecast about another point, its bounds as far from it as before.

        One that reached down to nothing still does.
        """
        move, low, high = point - self.point, self.low, self.high
        if low is not None and high is not None:
            low, high = (0.0 if self.positive and low < MINOR else low + move), high + move
            if self.positive:
                low, high = max(low, 0.0), max(high, 0.0)
        return msgspec.structs.replace(self, point=point, low=low, high=high)


class Tally(Struct):
    """Sums over judged days. MASE, WAPE and Winkler need nothing else."""

    n: int = 0
    actual: float = 0.0
    error: float = 0.0
    naive_error: float = 0.0
    average_error: float = 0.0
    step: float = 0.0
    n_interval: int = 0
    covered: int = 0
    winkler: float = 0.0
    interval_actual: float = 0.0
    squares: float = 0.0
    lately: float | None = None

    @property
    def variance(self) -> float:
        """Mean squared error of the forecasts, lately; 0 before any."""
        if self.lately is not None:
            return self.lately
        return self.squares / self.n if self.n else 0.0

    def add(self, forecast: Forecast, actual: float, week_before: float) -> bool | None:
        """Judge one forecast. Returns whether its interval held; None where it had none."""
        square = (actual - forecast.point) ** 2
        if forecast.scale > 0.0:
            self.lately = self.variance + max(LATELY, 1.0 / (self.n + 1)) * (square - self.variance)
        self.n += 1
        self.actual += abs(actual)
        self.error += abs(actual - forecast.point)
        self.squares += square
        self.naive_error += abs(actual - forecast.seasonal_naive)
        self.average_error += abs(actual - forecast.moving_average)
        self.step += abs(actual - week_before)
        low, high = forecast.low, forecast.high
        if low is None or high is None:
            return None
        outside = forecast.outside(actual)
        self.n_interval += 1
        self.covered += outside == 0.0
        self.winkler += high - low + 2 / MISS * outside
        self.interval_actual += abs(actual)
        return outside == 0.0

    def report(self) -> dict[str, Any]:
        """Return the figures of one horizon; see `SalesBook.report`."""
        return {
            "n": self.n,
            **self._errors(self.error),
            "coverage_80": _over(self.covered, self.n_interval),
            "winkler_80": _over(self.winkler, self.interval_actual),
            "baselines": {
                "seasonal_naive": self._errors(self.naive_error),
                "moving_average": self._errors(self.average_error),
            },
        }

    def _errors(self, error: float) -> dict[str, float | None]:
        return {"mase": _over(error, self.step), "wape": _over(error, self.actual)}


def _over(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None


class Anomaly(Struct, frozen=True):
    """A day whose sales left the 80 % interval; amounts in currency units."""

    day: int
    actual: float
    low: float
    high: float


class Track(Struct):
    """One horizon of one series: forecasts whose day is not over (at most `horizon`), interval, tally."""

    horizon: int
    pending: list[Forecast] = field(default_factory=list)
    conformal: Conformal = field(default_factory=Conformal)
    tally: Tally = field(default_factory=Tally)
    contest: Contest = field(default_factory=Contest)
    anomalies: list[Anomaly] = field(default_factory=list)
    seen_anomalies: int = 0

    def take(self, day: int) -> Forecast | None:
        """Remove and return the forecast of `day`, and drop any older one."""
        while self.pending and self.pending[0].day < day:
            del self.pending[0]
        return self.pending.pop(0) if self.pending and self.pending[0].day == day else None

    def report(self) -> dict[str, Any]:
        """Return the figures of this horizon; see `SalesBook.report`."""
        found = self.tally.report()
        step = self.tally.step
        errors = self.contest.errors
        asked = self.pending[-1].entrants if self.pending else {}
        found["champion"] = self.contest.serving(asked) if asked else self.contest.champion
        steps = self.contest.steps  # of the days on which each was asked
        found["entrants"] = {
            name: {"mase": error / steps.get(name, step)} for name, error in errors.items() if steps.get(name, step)
        }
        found["promotions"] = self.contest.log
        found["anomalies"] = self.seen_anomalies
        return found

    def judge(self, forecast: Forecast, actual: float, week_before: float, unit: float | None = None) -> None:
        """Test, then train the interval. A forecast that expects nothing has no scale: it is judged, not learned.

        Where days without an amount are ordinary, errors are compared in the `unit` of one with an amount.
        """
        for name in forecast.entrants:
            known = self.contest.steps.get(name, self.tally.step if name in self.contest.errors else 0.0)
            self.contest.steps[name] = known + abs(actual - week_before)
        covered = self.tally.add(forecast, actual, week_before)
        far = forecast.outside(actual) > SLIGHT * forecast.scale
        if covered is False and far and forecast.low is not None and forecast.high is not None:
            self.anomalies.append(Anomaly(forecast.day, actual, forecast.low, forecast.high))
            del self.anomalies[:-ANOMALIES]
            self.seen_anomalies += 1
        if forecast.entrants:
            self.contest.judge(forecast.day, forecast.entrants, actual, unit)
        if forecast.scale > 0:
            self.conformal.learn_one((actual - forecast.point) / forecast.scale, covered)
