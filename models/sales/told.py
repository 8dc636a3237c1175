"""What is told of a series, and of a day of the whole."""

from msgspec import Struct

from models.sales.judge import Anomaly, Forecast


class Ahead(Struct, frozen=True):
    """What is expected of one day, in currency units. Bounds are None while cold. A closed day expects 0."""

    day: int
    point: float
    low: float | None
    high: float | None
    naive: float


class Outlook(Struct, frozen=True):
    """One series as it stands after its last closed day.

    `total_e4` is exact, late amounts included; `last_day` is None before the first close. `horizons` maps
    1, 7 and 14 days to what is expected, and is empty while fewer than 14 open days are known; `week` is
    the sum of the next 7 days. Forecasts are in currency units.
    """

    series: str
    total_e4: int
    late: int
    last_day: int | None
    last_e4: int
    horizons: dict[int, Ahead]
    week: float | None
    week_naive: float | None
    anomaly: Anomaly | None = None


class Day(Struct, frozen=True):
    """One day of the whole, beside what was forecast of it a week before; amounts in currency units."""

    day: int
    actual: float
    point: float
    low: float | None
    high: float | None
    naive: float


def ahead_of(forecast: Forecast) -> Ahead:
    """Return what is told of a forecast."""
    return Ahead(forecast.day, forecast.point, forecast.low, forecast.high, forecast.naive)
