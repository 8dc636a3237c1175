"""A shop's time: how busy it is, by hour, weekday, season and growth."""

from datetime import UTC, datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

START: Final = datetime(2025, 1, 1, tzinfo=UTC)
DAY_MS: Final = 86_400_000
"""Times of the simulator are whole milliseconds since `START`."""
_FIRST_WEEKDAY: Final = START.weekday()
_WEEKDAYS: Final = np.array([1.05, 0.95, 0.95, 1.0, 1.1, 1.25, 0.7])
_HOURS: Final = np.array(
    [4, 2, 1, 1, 1, 2, 8, 20, 38, 55, 66, 72, 75, 66, 62, 62, 64, 70, 78, 86, 82, 60, 34, 14], dtype=np.float64
)
_SHARE: Final = np.concatenate([[0.0], np.cumsum(_HOURS) / _HOURS.sum()])
_EDGES: Final = np.arange(25) / 24.0
YEARLY_GROWTH: Final = 0.15


def intensity(days: Ints) -> Floats:
    """How busy whole days are, 1 on average of the first year, shape as given."""
    weekday = _WEEKDAYS[(days + _FIRST_WEEKDAY) % 7]
    year = (days % 365) / 365.0
    season = 1.0 + 0.12 * np.sin(2.0 * np.pi * (year - 0.2)) + 0.8 * np.exp(-(((year - 0.93) / 0.045) ** 2))
    growth = 1.0 + YEARLY_GROWTH * days / 365.0
    return np.asarray(weekday * season * growth / 1.14)


class Clock:
    """Calendar time to shop time: a day as busy as the average is 1. Purchases and lives run in shop time."""

    def __init__(self) -> None:
        self._passed = np.zeros(1)

    def shop_days(self, ms: Ints | Floats) -> Floats:
        """Shop time since `START` of calendar times in ms, both 0 at `START` and before."""
        at = np.maximum(np.asarray(ms, dtype=np.float64), 0.0) / DAY_MS
        day = at.astype(np.int64)
        newest = int(day.max(initial=0)) + 1
        if newest >= len(self._passed):
            busy = intensity(np.arange(2 * newest))
            self._passed = np.concatenate([[0.0], np.cumsum(busy)])
        share = np.interp(at - day, _EDGES, _SHARE)
        start = self._passed[day]
        return np.asarray(start + share * (self._passed[day + 1] - start))


def moments(draw: np.random.Generator, days: Ints) -> Ints:
    """Random times within given days, as busy as the hours are."""
    within = np.interp(draw.random(len(days)), _SHARE, _EDGES)
    return days * DAY_MS + np.minimum((within * DAY_MS).astype(np.int64), DAY_MS - 1)
